use super::super::units::SECOND;
use super::*;

fn format() -> TraceFormat {
    TraceFormat {
        time_column: "time".to_owned(),
        value_column: "value".to_owned(),
        step_seconds: None,
        gaps: Gaps::Error,
    }
}

fn problem(text: &str, format: &TraceFormat) -> (usize, Problem) {
    match Trace::parse(text, format) {
        Err(TraceError::Line(LineError { line, problem })) => (line, problem),
        other => panic!("{other:?}"),
    }
}

fn parsed(text: &str, format: &TraceFormat) -> (Vec<(f64, f64)>, u64) {
    let trace = Trace::parse(text, format).unwrap();
    let steps = trace.steps.iter().map(|step| (seconds(step.start), step.value));
    (steps.collect(), trace.end / SECOND)
}

#[test]
fn a_step_lasts_until_the_next_line_and_the_last_as_long_as_the_one_before() {
    let expected = (vec![(0.0, 1.0), (60.0, 2.5), (120.0, 0.0)], 180);
    assert_eq!(parsed("time,value\n100,1\n160,2.5\n220,0\n", &format()), expected);
    let instants =
        "time,value\n2026-11-10T23:59:00Z,1\n2026-11-11T08:00:00+08:00,2.5\n2026-11-11T00:01:00Z,0";
    assert_eq!(parsed(instants, &format()), expected);
    let local = "time,value\r\n2026-11-10T23:59:00,1\r\n2026-11-11 00:00,2.5\r\n2026-11-11T00:01,0\r\n\r\n";
    assert_eq!(parsed(local, &format()), expected);
    let origin = Trace::parse(local, &format()).unwrap().origin;
    assert_eq!(origin.unwrap().to_string(), "2026-11-10T23:59:00Z");
}

#[test]
fn columns_are_found_by_name_and_counted_steps_have_the_length_that_is_given() {
    let other = TraceFormat {
        time_column: "minute".to_owned(),
        value_column: "tweets".to_owned(),
        step_seconds: Some(60.0),
        ..format()
    };
    let text = "\u{feff}id, tweets ,\"minute\"\n\"a, \"\"b\"\"\",7,0\nb,8,1\n";
    assert_eq!(parsed(text, &other), (vec![(0.0, 7.0), (60.0, 8.0)], 120));
    assert_eq!(
        parsed("minute,tweets\n5,7\n", &other),
        (vec![(0.0, 7.0)], 60),
        "one line, whose length is known"
    );
}

#[test]
fn a_gap_is_an_error_or_holds_or_is_empty() {
    let text = "time,value\n0,1\n60,2\n120,3\n600,4\n660,5\n";
    let with = |gaps| TraceFormat { gaps, ..format() };
    let gap = Problem::Gap {
        length: 480.0,
        usual: 60.0,
    };
    assert_eq!(problem(text, &with(Gaps::Error)), (4, gap));
    let held = vec![(0.0, 1.0), (60.0, 2.0), (120.0, 3.0), (600.0, 4.0), (660.0, 5.0)];
    assert_eq!(parsed(text, &with(Gaps::Hold)), (held.clone(), 720));
    let mut empty = held;
    empty.insert(3, (180.0, 0.0));
    assert_eq!(parsed(text, &with(Gaps::Zero)), (empty, 720));
    let last = "time,value\n0,1\n60,2\n120,3\n600,4\n";
    assert_eq!(
        parsed(last, &with(Gaps::Zero)).1,
        660,
        "a last line after a gap is of usual length"
    );
}

#[test]
fn a_short_step_is_no_gap() {
    let text = "time,value\n0,1\n60,2\n90,3\n150,4\n210,5\n";
    assert_eq!(parsed(text, &format()).1, 270);
}

#[test]
fn bad_lines_are_named() {
    let wrong = |lines: &str| problem(&format!("time,value\n0,1\n{lines}\n"), &format());
    assert_eq!(wrong("60,x"), (3, Problem::NotANumber("x".to_owned())));
    assert_eq!(wrong("60,"), (3, Problem::NotANumber(String::new())));
    assert_eq!(wrong("60,NaN"), (3, Problem::NotFinite("NaN".to_owned())));
    assert_eq!(wrong("60,inf"), (3, Problem::NotFinite("inf".to_owned())));
    assert_eq!(wrong("60,-1"), (3, Problem::Negative(-1.0)));
    assert_eq!(wrong("NaN,1"), (3, Problem::NotFinite("NaN".to_owned())));
    assert_eq!(
        wrong("yesterday,1"),
        (3, Problem::NotATime("yesterday".to_owned()))
    );
    assert_eq!(wrong("60,1\n60,2"), (4, Problem::Repeated("60".to_owned())));
    assert_eq!(wrong("60,1\n59,2"), (4, Problem::Backwards("59".to_owned())));
    assert_eq!(wrong("-60,1"), (3, Problem::Backwards("-60".to_owned())));
    assert_eq!(wrong("2026-11-11T00:00:00Z,1"), (3, Problem::MixedTimes));
    assert_eq!(wrong("60"), (3, Problem::ShortLine { count: 1, needed: 2 }));
    assert_eq!(wrong("\n60,1"), (3, Problem::ShortLine { count: 1, needed: 2 }));
    assert_eq!(wrong("60,\"1"), (3, Problem::OpenQuote));
}

#[test]
fn a_header_is_needed_and_lines_below_it() {
    assert_eq!(Trace::parse("", &format()), Err(TraceError::Empty));
    assert_eq!(Trace::parse("\n\n", &format()), Err(TraceError::Empty));
    assert_eq!(Trace::parse("time,value\n", &format()), Err(TraceError::NoLines));
    assert_eq!(problem("0,1\n60,2\n", &format()), (1, Problem::NoHeader));
    assert_eq!(
        problem("2026-11-11T00:00:00Z,1\n", &format()),
        (1, Problem::NoHeader)
    );
    let missing = Problem::NoColumn {
        wanted: "value".to_owned(),
        present: "time, calls".to_owned(),
    };
    assert_eq!(problem("time,calls\n0,1\n", &format()), (1, missing));
    assert_eq!(problem("time,value\n0,1\n", &format()), (2, Problem::NoLength));
    let counted = TraceFormat {
        step_seconds: Some(60.0),
        ..format()
    };
    assert_eq!(
        problem("time,value\n2026-11-11T00:00,1\n", &counted),
        (2, Problem::StepsOfTimes)
    );
}
