//! Service levels: which slices count, and what is credited.

use super::*;

#[test]
fn a_silent_slice_is_bad_and_one_with_few_requests_is_what_the_plan_says() {
    let silent = Service::default();
    for (no_data, good, left_out) in [("Up", 8_640, 0), ("Down", 0, 0), ("Exclude", 0, 8_640)] {
        let plan = full_plan(&[(
            "sla",
            json!({"availability": {"objective": "99", "noData": no_data,
            "credits": [{"below": "100", "percent": "50"}], "creditCap": "30"}}),
        )]);
        let mut few = minutes_with_bad_slices(0);
        few.minutes
            .iter_mut()
            .for_each(|(_, counts)| *counts = MinuteCounts::default());
        let rated = with_service(&plan, &[], &few);
        let credits: Vec<_> = kinds(&rated)
            .into_iter()
            .filter(|(kind, _)| *kind == "credit")
            .collect();
        assert_eq!(credits.len(), usize::from(no_data == "Down"), "{no_data}");
        let slices = rated.service.unwrap().slices.unwrap();
        assert_eq!((slices.good, slices.left_out), (good, left_out), "{no_data}");
        let times = slices.times_left_out.iter().map(|time| (time.from, time.to));
        let all = (left_out > 0).then_some((november().start, november().end));
        assert_eq!(times.collect::<Vec<_>>(), Vec::from_iter(all), "{no_data}");
        let rated = with_service(&plan, &[], &silent);
        assert!(
            kinds(&rated).contains(&("credit", "-300.00")),
            "{no_data}: half, capped at 30 %"
        );
        let bad = rated.service.unwrap().slices.unwrap().bad;
        assert_eq!((bad.len(), bad[0].cause), (1, BadCause::NotReported));
    }
}

#[test]
fn what_is_excluded_does_not_count_and_what_has_not_ended_neither() {
    let mut service = minutes_with_bad_slices(12);
    let start = november().start;
    let minutes = |count| start + jiff::SignedDuration::from_mins(count);
    let exclusion = |from, to| Exclusion {
        from: minutes(from),
        to: minutes(to),
        reason: "network moved".into(),
        approver: "lin".into(),
    };
    // Slices 0 to 9 wholly, and two minutes of slice 10.
    service.exclusions = vec![exclusion(0, 52)];
    let plan = full_plan(&[]);
    let slices = with_service(&plan, &[], &service)
        .service
        .unwrap()
        .slices
        .unwrap();
    assert_eq!((slices.left_out, slices.counted - slices.good), (10, 2));
    // Without any report too: who allowed it knew that nothing runs.
    service.minutes.retain(|(minute, _)| *minute >= minutes(60));
    let slices = with_service(&plan, &[], &service)
        .service
        .unwrap()
        .slices
        .unwrap();
    assert_eq!((slices.left_out, slices.counted - slices.good), (10, 2));
    let account = Account {
        service: Some(&service),
        as_of: minutes(64),
        ..Account::whole(&plan, november(), &[])
    };
    let slices = rate(&account).unwrap().service.unwrap().slices.unwrap();
    assert_eq!(
        (slices.counted, slices.good),
        (2, 0),
        "the slice at minute 60 has not ended"
    );
}

fn at_least_available() -> RatePlan {
    full_plan(&[(
        "sla",
        json!({"availability": {"objective": "99", "slice": "5m", "badShare": "0.05", "minimumRequests": 10,
        "credits": [{"below": "99", "percent": "10"}], "creditCap": "30"}}),
    )])
}

#[test]
fn before_and_after_service_is_owed_nothing_that_was_not_reported_is_bad() {
    let plan = at_least_available();
    let mut service = minutes_with_bad_slices(0);
    // From the 10th at 18:00 to the 11th at noon there was an account, and gateways that reported.
    let owed = Bounds {
        start: "2026-11-10T10:00:00Z".parse().unwrap(),
        end: "2026-11-11T04:00:00Z".parse().unwrap(),
    };
    service.minutes.retain(|(minute, _)| owed.contain(*minute));
    let account = Account {
        service: Some(&service),
        owed,
        ..Account::whole(&plan, november(), &[])
    };
    let slices = rate(&account).unwrap().service.unwrap().slices.unwrap();
    assert_eq!((slices.good, slices.counted), (18 * 12, 18 * 12));
}

#[test]
fn a_slice_in_which_customers_could_not_come_in_is_bad_however_few_requests_there_were() {
    let plan = at_least_available();
    let mut service = minutes_with_bad_slices(0);
    // Quiet minutes, of which the probe found one closed; and one closed minute among many good requests.
    for (place, (_, counts)) in service.minutes.iter_mut().enumerate() {
        let (is_quiet, unreachable) = (place < 5, place == 3 || place == 500);
        if is_quiet {
            *counts = MinuteCounts::default();
        }
        counts.unreachable = unreachable;
        counts.bad += u64::from(unreachable);
    }
    let rated = with_service(&plan, &[], &service);
    let bad = rated.service.unwrap().slices.unwrap().bad;
    let causes: Vec<_> = bad.iter().map(|time| (time.cause, time.requests)).collect();
    assert_eq!(causes, [(BadCause::Unreachable, 1), (BadCause::Unreachable, 51)]);
}

#[test]
fn of_several_objectives_the_highest_percentage_counts() {
    let plan = |percent: &str| {
        full_plan(&[(
            "sla",
            json!({
        "availability": {"objective": "99.9", "credits": [{"below": "99.9", "percent": "10"}]},
        "responseTime": {"within": "1s", "credits": [{"below": "90.1", "percent": percent}]}}),
        )])
    };
    let service = minutes_with_bad_slices(11);
    for (percent, expected) in [("20", "-200.00"), ("5", "-100.00")] {
        let rated = with_service(&plan(percent), &[], &service);
        assert!(
            kinds(&rated).contains(&("credit", expected)),
            "{:?}",
            kinds(&rated)
        );
    }
}

#[test]
fn a_bound_is_missed_only_strictly_below_it() {
    let plan = full_plan(&[(
        "sla",
        json!({"availability": {"objective": "99", "badShare": "0.05",
        "credits": [{"below": "50", "percent": "10"}]}}),
    )]);
    let half = with_service(&plan, &[], &minutes_with_bad_slices(4_320));
    assert_eq!(
        kinds(&half).len(),
        5,
        "50 % is not below 50 %: {:?}",
        kinds(&half)
    );
    assert_eq!(
        kinds(&with_service(&plan, &[], &minutes_with_bad_slices(4_321))).len(),
        6
    );
    // A share of exactly 5 % is bearable.
    let mut service = minutes_with_bad_slices(0);
    service
        .minutes
        .iter_mut()
        .for_each(|(_, counts)| (counts.good, counts.bad) = (95, 5));
    assert_eq!(
        with_service(&plan, &[], &service)
            .service
            .unwrap()
            .slices
            .unwrap()
            .good,
        8_640
    );
}
