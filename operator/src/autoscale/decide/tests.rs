use super::super::{OverrideMode, Plan, Rates, ServiceLevel};
use super::*;

fn policy() -> Policy {
    Policy {
        capacity: 20,
        min: 1,
        max: 10,
        headroom_workers: 0,
        headroom_percent: 0.0,
        service_level: ServiceLevel::default(),
        down_window: Duration::from_mins(1),
        max_down_percent_per_minute: 50,
        suspended: false,
    }
}

fn observed(active: u32, ready: u32) -> Observation {
    Observation {
        active,
        ready,
        start_time: Duration::from_secs(8),
        ..Observation::default()
    }
}

fn free() -> Bounds<'static> {
    Bounds {
        manual: None,
        plans: &[],
        tenant_share: 400,
        kept_share: 400,
        scarce: false,
    }
}

fn at(seconds: u64) -> Moment {
    Duration::from_secs(seconds)
}

fn warm(policy: &Policy) -> History {
    let mut history = History::default();
    decide(policy, &observed(0, 0), &free(), &mut history, at(0));
    history
}

fn manual(mode: OverrideMode, workers: u32) -> Bounds<'static> {
    Bounds {
        manual: Override::new(mode, workers, jiff::Timestamp::UNIX_EPOCH, at(60)),
        ..free()
    }
}

#[test]
fn the_load_is_met_at_once_and_what_starts_is_counted() {
    let mut observation = observed(41, 1);
    observation.starting = 2;
    let decision = decide(&policy(), &observation, &free(), &mut History::default(), at(0));
    assert_eq!((decision.desired, decision.binding), (3, Binding::Load));
    assert_eq!(decision.observation.have(), 3, "nothing more is asked for");
}

#[test]
fn growth_is_the_net_arrivals_while_a_worker_starts_and_a_margin() {
    let observation = Observation {
        rates: Rates::steady(5.0, 3.0),
        ..observed(40, 2)
    };
    let decision = decide(&policy(), &observation, &free(), &mut History::default(), at(0));
    // 2 more each second for 8 s, less the 15 that end within the wait, and 3.09 deviations of the 79 that come and go.
    assert!((decision.growth - 28.47).abs() < 0.01, "{}", decision.growth);
    assert_eq!(decision.needed, 4);
}

#[test]
fn no_more_growth_is_expected_than_a_doubling_and_one_worker() {
    let observation = Observation {
        rates: Rates::steady(500.0, 0.0),
        ..observed(40, 2)
    };
    let decision = decide(&policy(), &observation, &free(), &mut History::default(), at(0));
    assert!((decision.growth - 60.0).abs() < 1e-9, "{}", decision.growth);
}

#[test]
fn bounds_name_themselves() {
    let mut high = Observation {
        waiting: 1_000,
        ..observed(20, 1)
    };
    let decided = |observation: &Observation, bounds: &Bounds<'_>| {
        let decision = decide(&policy(), observation, bounds, &mut warm(&policy()), at(100));
        (decision.desired, decision.binding)
    };
    assert_eq!(decided(&high, &free()), (10, Binding::Maximum));
    assert_eq!(
        decided(
            &high,
            &Bounds {
                tenant_share: 4,
                scarce: false,
                ..free()
            }
        ),
        (4, Binding::TenantLimit)
    );
    assert_eq!(
        decided(&high, &manual(OverrideMode::Ceiling, 3)),
        (3, Binding::Override)
    );
    assert_eq!(
        decided(&high, &manual(OverrideMode::Pin, 2)),
        (2, Binding::Override)
    );
    let plans = [Plan {
        promotion: "p".into(),
        floor: 30,
        ceiling: Some(40),
        keeps: true,
        open: true,
    }];
    assert_eq!(
        decided(
            &high,
            &Bounds {
                plans: &plans,
                ..free()
            }
        ),
        (40, Binding::Maximum)
    );
    high.waiting = 0;
    assert_eq!(
        decided(
            &high,
            &Bounds {
                plans: &plans,
                ..free()
            }
        ),
        (30, Binding::Promotion)
    );
    assert_eq!(decided(&observed(0, 1), &free()), (1, Binding::Minimum));
    assert_eq!(
        decided(&observed(0, 1), &manual(OverrideMode::Floor, 4)),
        (4, Binding::Override)
    );
}

#[test]
fn active_conversations_keep_their_workers_above_a_ceiling() {
    let decision = decide(
        &policy(),
        &observed(61, 6),
        &manual(OverrideMode::Ceiling, 2),
        &mut warm(&policy()),
        at(100),
    );
    assert_eq!((decision.desired, decision.binding), (4, Binding::Busy));
}

#[test]
fn nothing_leaves_before_the_window_is_warm_and_empty_of_need() {
    let mut history = History::default();
    let mut decided = |seconds, active, ready| {
        let decision = decide(
            &policy(),
            &observed(active, ready),
            &free(),
            &mut history,
            at(seconds),
        );
        (decision.desired, decision.binding)
    };
    assert_eq!(decided(0, 0, 8), (8, Binding::ColdWindow));
    assert_eq!(decided(59, 160, 8), (8, Binding::Load));
    assert_eq!(decided(100, 0, 8), (8, Binding::DownWindow));
    assert_eq!(decided(120, 0, 8), (4, Binding::DownRate));
    assert_eq!(decided(150, 0, 4), (4, Binding::DownRate));
    assert_eq!(decided(181, 0, 4), (2, Binding::DownRate));
}

#[test]
fn what_is_held_for_later_makes_way_where_another_pool_wants_the_room() {
    let mut history = warm(&policy());
    decide(&policy(), &observed(160, 8), &free(), &mut history, at(100));
    let decided = |kept_share: u32| {
        let bounds = Bounds { kept_share, ..free() };
        let decision = decide(
            &policy(),
            &observed(60, 8),
            &bounds,
            &mut history.clone(),
            at(110),
        );
        (decision.desired, decision.binding)
    };
    assert_eq!(decided(400), (8, Binding::DownWindow));
    assert_eq!(decided(5), (5, Binding::DownWindow));
    assert_eq!(
        decided(1),
        (3, Binding::Load),
        "what the load needs is not for later"
    );
}

#[test]
fn missing_data_keeps_what_was_decided_even_when_workers_are_lost() {
    let mut history = warm(&policy());
    decide(&policy(), &observed(100, 5), &free(), &mut history, at(100));
    let silent = Observation {
        silent: 1,
        ..observed(20, 4)
    };
    let decision = decide(
        &policy(),
        &silent,
        &manual(OverrideMode::Ceiling, 1),
        &mut history,
        at(300),
    );
    assert_eq!((decision.desired, decision.binding), (5, Binding::MissingData));
}

#[test]
fn lost_workers_are_made_up_for_as_far_as_those_that_are_heard_cannot_take_the_load() {
    let decided = |active: u32, waiting: u32, lost: u32, bounds: &Bounds<'_>| {
        let mut history = warm(&policy());
        decide(&policy(), &observed(110, 6), &free(), &mut history, at(100));
        let observation = Observation {
            waiting,
            silent: lost,
            lost,
            ..observed(active, 6)
        };
        let decision = decide(&policy(), &observation, bounds, &mut history, at(103));
        (decision.desired, decision.binding)
    };
    assert_eq!(
        decided(60, 0, 3, &free()),
        (6, Binding::MissingData),
        "3 can take that"
    );
    // 90 conversations need 5 that are heard.
    assert_eq!(decided(60, 30, 3, &free()), (8, Binding::LostWorkers));
    assert_eq!(decided(60, 30, 1, &free()), (6, Binding::MissingData));
    let ceiling = manual(OverrideMode::Ceiling, 7);
    assert_eq!(decided(60, 30, 3, &ceiling), (7, Binding::LostWorkers));
}

#[test]
fn a_suspended_pool_is_emptied_whatever_else_is_asked() {
    let suspended = Policy {
        suspended: true,
        ..policy()
    };
    let decision = decide(
        &suspended,
        &observed(100, 5),
        &manual(OverrideMode::Floor, 9),
        &mut History::default(),
        at(0),
    );
    assert_eq!((decision.desired, decision.binding), (0, Binding::Suspended));
}

/// A pool whose load usually rises by 30 in the next minute, and did so at each of the last minutes.
fn rising(history: &mut History, observed_now: u32) -> (Observation, Moment) {
    let horizon = Duration::from_mins(1);
    let minute = |minute: u32| Observation {
        horizon,
        usual: Some(super::super::Usual {
            now: f64::from(100 + 30 * minute),
            highest: f64::from(130 + 30 * minute),
            at_horizon: f64::from(130 + 30 * minute),
        }),
        ..observed(100 + 30 * minute, 20)
    };
    let roomy = Policy { max: 100, ..policy() };
    for passed in 0..10 {
        decide(&roomy, &minute(passed), &free(), history, horizon * passed);
    }
    let now = Observation {
        active: observed_now,
        ..minute(10)
    };
    (now, horizon * 10)
}

#[test]
fn a_rise_that_is_forecast_and_trusted_is_made_room_for_before_it_comes() {
    let (roomy, mut history) = (Policy { max: 100, ..policy() }, History::default());
    let (observation, now) = rising(&mut history, 400);
    let decision = decide(&roomy, &observation, &free(), &mut history, now);
    assert_eq!(
        (decision.react(), decision.forecast_needed),
        (20, 22),
        "400 and 430 by 20"
    );
    assert_eq!((decision.desired, decision.binding), (22, Binding::Forecast));
    assert_eq!(decision.demand, 22);
    let forecast = decision.forecast.unwrap();
    assert!(
        (forecast.gain - 30.0).abs() < 1e-9 && forecast.error < 1e-9,
        "{forecast:?}"
    );
}

#[test]
fn a_forecast_that_is_not_trusted_asks_for_nothing_and_is_shown_with_its_error() {
    let (roomy, mut history) = (Policy { max: 100, ..policy() }, History::default());
    let (observation, now) = rising(&mut history, 400);
    let decision = decide(&roomy, &observation, &free(), &mut history, now);
    assert_eq!((decision.forecast_needed, decision.untrusted), (22, None));
    // It goes on usually to rise, and does not.
    let minutes = (1..40).map(|minute| now + observation.horizon * minute);
    let decisions = minutes.map(|at| decide(&roomy, &observation, &free(), &mut history, at));
    let decision = decisions.last().unwrap();
    assert_eq!(
        decision.forecast_needed,
        decision.react(),
        "no more than the load"
    );
    let untrusted = decision.untrusted.unwrap();
    assert!(
        (untrusted.gain - 30.0).abs() < 1e-9 && untrusted.error > 0.01,
        "{untrusted:?}"
    );
}

#[test]
fn a_forecast_never_exceeds_the_ceiling_and_never_lowers_what_the_load_needs() {
    let mut history = History::default();
    let (observation, now) = rising(&mut history, 150);
    let decision = decide(&policy(), &observation, &free(), &mut history.clone(), now);
    assert_eq!(
        (decision.forecast_needed, decision.react()),
        (8, 8),
        "a day far below the usual gains nothing"
    );
    let many = Observation {
        active: 900,
        ..observation
    };
    let decision = decide(&policy(), &many, &free(), &mut history, now);
    assert_eq!((decision.forecast_needed, decision.ceiling), (47, 10));
    assert!(decision.desired <= 20, "{decision:?}");
}
