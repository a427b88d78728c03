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
