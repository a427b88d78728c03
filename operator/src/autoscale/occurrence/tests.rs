use proptest::prelude::*;

use super::*;

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn recurring(cron: &str, duration: SignedDuration, zone: &str) -> Schedule {
    Schedule::Recurring(Box::new(Recurrence::parse(cron, duration, zone).unwrap()))
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

/// All starts after `from` and before `to`.
fn starts(schedule: &Schedule, from: &str, to: &str) -> Vec<String> {
    let Schedule::Recurring(recurrence) = schedule else {
        panic!("it recurs")
    };
    let (mut at, to) = (instant(from), instant(to));
    let mut found = Vec::new();
    while let Some(start) = recurrence.first_start_after(at).filter(|start| *start < to) {
        found.push(start.to_string());
        at = start;
    }
    found
}

#[test]
fn windows_are_exact_where_clocks_change() {
    // Zone, local start and end, and the instants that they are.
    for line in [
        "Asia/Shanghai 2026-11-10T20:00 2026-11-12T00:00 2026-11-10T12:00:00Z 2026-11-11T16:00:00Z",
        // Berlin, 25 October 2026: 02:00 to 03:00 is repeated. 29 March: it is skipped.
        "Europe/Berlin 2026-10-25T02:30 2026-10-25T02:30 2026-10-25T00:30:00Z 2026-10-25T01:30:00Z",
        "Europe/Berlin 2026-03-29T02:30 2026-03-29T04:00 2026-03-29T01:30:00Z 2026-03-29T02:00:00Z",
        // Over both changes a window has an hour more, or less, than the same days at another time of the year.
        "Europe/Berlin 2026-10-24T20:00 2026-10-26T00:00 2026-10-24T18:00:00Z 2026-10-25T23:00:00Z",
        "Europe/Berlin 2026-03-28T20:00 2026-03-30T00:00 2026-03-28T19:00:00Z 2026-03-29T22:00:00Z",
        // New York, 8 March and 1 November 2026.
        "America/New_York 2026-03-08T02:30 2026-03-08T05:00 2026-03-08T07:30:00Z 2026-03-08T09:00:00Z",
        "America/New_York 2026-11-01T01:30 2026-11-01T01:45 2026-11-01T05:30:00Z 2026-11-01T06:45:00Z",
    ] {
        let words: Vec<_> = line.split(' ').collect();
        let [zone, start, end, first, last] = words[..] else {
            panic!("{line}")
        };
        let expected = Occurrence {
            start: instant(first),
            end: instant(last),
        };
        assert_eq!(Occurrence::of_window(start, end, zone), Ok(expected), "{line}");
    }
}

#[test]
fn windows_that_are_none_are_refused() {
    let of = |end, zone| Occurrence::of_window("2026-11-10T20:00", end, zone);
    assert_eq!(
        of("2026-11-10T19:00", "Asia/Shanghai"),
        Err(ScheduleError::Reversed)
    );
    assert!(matches!(of("x", "UTC"), Err(ScheduleError::Time(_))));
    assert!(matches!(of("x", "Mars/Base"), Err(ScheduleError::Zone(_))));
}

#[test]
fn a_window_comes_is_running_and_is_over() {
    let once = Occurrence::of_window("2026-11-10T20:00", "2026-11-12T00:00", "Asia/Shanghai").unwrap();
    let schedule = Schedule::Once(once);
    let at = |text| {
        let Around { running, next } = schedule.around(instant(text));
        (running.is_some(), next.is_some())
    };
    assert_eq!(at("2026-11-10T11:59:59Z"), (false, true));
    assert_eq!(at("2026-11-10T12:00:00Z"), (true, false));
    assert_eq!(at("2026-11-11T15:59:59Z"), (true, false));
    assert_eq!(at("2026-11-11T16:00:00Z"), (false, false));
}

#[test]
fn a_weekly_start_keeps_its_local_time_through_the_year() {
    let fridays = recurring("0 20 * * FRI", hours(4), "Europe/Berlin");
    assert_eq!(
        starts(&fridays, "2026-10-15T00:00:00Z", "2026-11-01T00:00:00Z"),
        [
            "2026-10-16T18:00:00Z",
            "2026-10-23T18:00:00Z",
            "2026-10-30T19:00:00Z"
        ]
    );
    let around = fridays.around(instant("2026-10-16T21:59:59Z"));
    assert_eq!(around.running.unwrap().end, instant("2026-10-16T22:00:00Z"));
    assert_eq!(around.next.unwrap().start, instant("2026-10-23T18:00:00Z"));
    assert_eq!(fridays.around(instant("2026-10-16T22:00:00Z")).running, None);
}

#[test]
fn a_skipped_start_occurs_once_as_much_later_as_clocks_are_put_forward() {
    let daily = recurring("30 2 * * *", hours(1), "Europe/Berlin");
    assert_eq!(
        starts(&daily, "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z"),
        [
            "2026-03-28T01:30:00Z",
            "2026-03-29T01:30:00Z",
            "2026-03-30T00:30:00Z"
        ]
    );
    let daily = recurring("30 2 * * *", hours(1), "America/New_York");
    assert_eq!(
        starts(&daily, "2026-03-08T05:00:00Z", "2026-03-09T12:00:00Z"),
        ["2026-03-08T07:30:00Z", "2026-03-09T06:30:00Z"]
    );
    // 02:45, which is skipped, comes after 03:15, which is not.
    let both = recurring("15,45 2,3 * * *", hours(1), "Europe/Berlin");
    assert_eq!(
        starts(&both, "2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z"),
        ["2026-03-29T01:15:00Z", "2026-03-29T01:45:00Z"]
    );
    let mixed = recurring("40 2 29 3 *", hours(1), "Europe/Berlin");
    assert_eq!(
        starts(&mixed, "2026-03-29T01:39:59Z", "2026-03-30T00:00:00Z"),
        ["2026-03-29T01:40:00Z"],
        "at 03:39:59 by the clock it is still to come"
    );
}

#[test]
fn a_repeated_start_occurs_once_the_first_time() {
    let daily = recurring("30 2 * * *", hours(1), "Europe/Berlin");
    assert_eq!(
        starts(&daily, "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z"),
        ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    );
    let quarters = recurring("*/15 1 1 11 *", hours(1), "America/New_York");
    assert_eq!(
        starts(&quarters, "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z").len(),
        4,
        "each of the four local times once, though the hour is there twice"
    );
}

#[test]
fn an_occurrence_lasts_as_long_as_ever_over_a_change_of_clocks() {
    let nights = recurring("0 22 * * SAT", hours(8), "Europe/Berlin");
    for (within, end) in [
        ("2026-10-24T23:00:00Z", "2026-10-25T04:00:00Z"),
        ("2026-03-28T23:00:00Z", "2026-03-29T05:00:00Z"),
    ] {
        assert_eq!(nights.around(instant(within)).running.unwrap().end, instant(end));
    }
}

#[test]
fn the_running_occurrence_goes_on_until_its_end_whatever_begins_meanwhile() {
    let hourly = recurring("0 * * * *", SignedDuration::from_mins(90), "UTC");
    // Started long ago, every second hour begins within another; at the end of one the next is on already.
    let running = |text| hourly.around(instant(text)).running.unwrap().start.to_string();
    assert_eq!(running("2026-11-10T20:00:00Z"), "2026-11-10T19:00:00Z");
    assert_eq!(running("2026-11-10T20:29:59Z"), "2026-11-10T19:00:00Z");
    assert_eq!(running("2026-11-10T20:30:00Z"), "2026-11-10T20:00:00Z");
    assert_eq!(running("2026-11-10T21:29:59Z"), "2026-11-10T20:00:00Z");
    let around = hourly.around(instant("2026-11-10T20:45:00Z"));
    assert_eq!(around.next.unwrap().start, instant("2026-11-10T21:00:00Z"));
}

#[test]
fn what_never_occurs_is_found_out() {
    let never = recurring("0 0 30 2 *", hours(1), "UTC");
    assert_eq!(
        never.around(instant("2026-11-10T20:00:00Z")),
        Around {
            running: None,
            next: None
        }
    );
    let leap = recurring("0 0 29 2 *", hours(1), "UTC");
    let next = leap.around(instant("2026-11-10T20:00:00Z")).next.unwrap();
    assert_eq!(next.start, instant("2028-02-29T00:00:00Z"));
}

#[test]
fn nonsense_is_refused_with_a_sentence() {
    let parse =
        |cron, minutes, zone| Recurrence::parse(cron, SignedDuration::from_mins(minutes), zone).unwrap_err();
    for wrong in [
        "",
        "0 20 * *",
        "0 25 * * FRI",
        "0 20 * * FRY",
        "0 0 20 * * FRI",
        "x * * * *",
    ] {
        assert!(
            matches!(parse(wrong, 60, "UTC"), ScheduleError::Cron { .. }),
            "{wrong}"
        );
    }
    assert_eq!(parse("0 20 * * FRI", 0, "UTC"), ScheduleError::Duration);
    assert_eq!(
        parse("0 20 * * FRI", 31 * 24 * 60 + 1, "UTC"),
        ScheduleError::Duration
    );
    assert!(matches!(
        parse("0 20 * * FRI", 60, "Mars/Base"),
        ScheduleError::Zone(_)
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against the definition: every local time that the expression names, turned into an instant.
    #[test]
    fn starts_are_the_instants_of_all_local_times_and_of_no_other(
        minute in 0_i8..60, hour in 0_i8..24, day in 0_i64..3, first in 0_i64..96,
        zone in prop_oneof![Just("Europe/Berlin"), Just("America/New_York"), Just("Australia/Lord_Howe"), Just("Pacific/Apia")],
    ) {
        // Days on which clocks change in each of these; in Apia, 30 December 2011 did not exist.
        let around_change = match zone {
            "Europe/Berlin" => ["2026-03-28", "2026-10-24"],
            "America/New_York" => ["2026-03-07", "2026-10-31"],
            "Australia/Lord_Howe" => ["2026-04-04", "2026-10-03"],
            _ => ["2011-12-29", "2011-12-30"],
        };
        let tz = TimeZone::get(zone).unwrap();
        for date in around_change {
            let date: jiff::civil::Date = date.parse().unwrap();
            let mut expected: Vec<_> = (-2..5)
                .map(|later| date + SignedDuration::from_hours(24 * later))
                .map(|date| tz.to_ambiguous_zoned(date.at(hour, minute, 0, 0)).compatible().unwrap().timestamp())
                .collect();
            expected.sort_unstable();
            expected.dedup();
            let from = tz.to_ambiguous_zoned(date.at(0, 0, 0, 0)).compatible().unwrap().timestamp()
                + SignedDuration::from_mins(day * 24 * 60 + first * 15);
            let schedule = recurring(&format!("{minute} {hour} * * *"), hours(1), zone);
            let Schedule::Recurring(recurrence) = &schedule else { unreachable!() };
            let next = expected.into_iter().find(|start| *start > from);
            prop_assert!(next.is_none() || recurrence.first_start_after(from) == next, "{zone} {from}: {next:?}");
        }
    }
}
