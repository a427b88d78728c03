//! What holds for every decision.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn policies() -> impl Strategy<Value = Policy> {
    (
        1_u32..50,
        0_u32..20,
        0_u32..80,
        0_u32..5,
        0.0..50.0,
        0_u64..120,
        1_u32..=100,
    )
        .prop_map(
            |(capacity, min, more, headroom_workers, headroom_percent, window, percent)| Policy {
                capacity,
                min,
                max: min + more,
                headroom_workers,
                headroom_percent,
                service_level: ServiceLevel::default(),
                down_window: Duration::from_secs(window),
                max_down_percent_per_minute: percent,
                suspended: false,
            },
        )
}

fn observations() -> impl Strategy<Value = Observation> {
    (
        0_u32..2_000,
        0_u32..500,
        0.0..50.0,
        0.0..50.0,
        0_u32..60,
        0_u32..20,
        proptest::option::of((0.0..2_000.0, 0.0..2_000.0)),
    )
        .prop_map(
            |(active, waiting, arrivals, endings, ready, starting, usual)| Observation {
                active,
                waiting,
                rates: Rates::steady(arrivals, endings),
                start_time: Duration::from_secs(8),
                horizon: Duration::from_secs(8),
                usual: usual.map(|(now, later): (f64, f64)| Usual {
                    now,
                    highest: now.max(later),
                    at_horizon: later,
                }),
                ready,
                starting,
                silent: 0,
                lost: 0,
            },
        )
}

fn overrides() -> impl Strategy<Value = Option<Override>> {
    let mode = prop_oneof![
        Just(OverrideMode::Floor),
        Just(OverrideMode::Pin),
        Just(OverrideMode::Ceiling)
    ];
    (mode, 0_u32..100).prop_map(|(mode, workers)| {
        Override::new(mode, workers, jiff::Timestamp::UNIX_EPOCH, Duration::from_mins(1))
    })
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let plan =
        (0_u32..60, proptest::option::of(1_u32..120), any::<bool>()).prop_map(|(floor, ceiling, keeps)| {
            Plan {
                promotion: "p".to_owned(),
                floor,
                ceiling,
                keeps,
                open: keeps,
            }
        });
    proptest::collection::vec(plan, 0..3)
}

/// A history of earlier decisions, some of which were made without all data.
fn histories() -> impl Strategy<Value = Vec<(Observation, u64, bool)>> {
    proptest::collection::vec((observations(), 1_u64..40, proptest::bool::weighted(0.1)), 0..20)
}

fn replay(policy: &Policy, earlier: &[(Observation, u64, bool)]) -> (History, Moment) {
    let (mut history, mut now) = (History::default(), Moment::ZERO);
    let bounds = Bounds {
        manual: None,
        plans: &[],
        tenant_share: 400,
        kept_share: u32::MAX,
        scarce: false,
    };
    for (observation, seconds, silent) in earlier {
        now += Duration::from_secs(*seconds);
        let observation = Observation {
            silent: u32::from(*silent),
            ..observation.clone()
        };
        decide(policy, &observation, &bounds, &mut history, now);
    }
    (history, now + Duration::from_secs(1))
}

proptest! {
    #[test]
    fn more_load_never_asks_for_fewer_workers(
        policy in policies(), observation in observations(), manual in overrides(), plans in plans(),
        earlier in histories(), more_active in 0_u32..200, more_waiting in 0_u32..200, tenant_share in 0_u32..200,
    ) {
        let (history, now) = replay(&policy, &earlier);
        let bounds = Bounds { manual, plans: &plans, tenant_share, kept_share: u32::MAX, scarce: false };
        let more = Observation {
            active: observation.active + more_active,
            waiting: observation.waiting + more_waiting,
            ..observation.clone()
        };
        let less = decide(&policy, &observation, &bounds, &mut history.clone(), now);
        let more = decide(&policy, &more, &bounds, &mut history.clone(), now);
        prop_assert!(more.desired >= less.desired, "{less:?}\n{more:?}");
    }

    #[test]
    fn nothing_exceeds_the_ceiling_but_what_conversations_fill(
        policy in policies(), observation in observations(), manual in overrides(), plans in plans(),
        earlier in histories(), tenant_share in 0_u32..200,
    ) {
        let (mut history, now) = replay(&policy, &earlier);
        let bounds = Bounds { manual, plans: &plans, tenant_share, kept_share: u32::MAX, scarce: false };
        let decision = decide(&policy, &observation, &bounds, &mut history, now);
        let filled = decision.busy.min(observation.have());
        prop_assert!(decision.desired <= decision.ceiling.max(filled), "{decision:?}");
        prop_assert!(decision.ceiling <= tenant_share);
        prop_assert!(decision.desired >= filled.min(decision.react()), "{decision:?}");
    }

    #[test]
    fn scaling_in_is_bounded_within_each_minute(
        policy in policies(), earlier in histories(), later in histories(),
    ) {
        let (mut history, mut now) = replay(&policy, &earlier);
        let bounds = Bounds { manual: None, plans: &[], tenant_share: u32::MAX, kept_share: u32::MAX, scarce: false };
        let mut sizes: Vec<(Moment, u32)> = Vec::new();
        let mut size = history.last().unwrap_or(0);
        for (observation, seconds, _) in later {
            now += Duration::from_secs(seconds);
            // The pool is as large as was decided: it follows at once.
            let observation = Observation { ready: size, starting: 0, ..observation };
            let decision = decide(&policy, &observation, &bounds, &mut history, now);
            sizes.push((now, decision.desired));
            let most = sizes.iter().filter(|(at, _)| *at + Duration::from_mins(1) >= now).map(|(_, size)| *size).max().unwrap_or(0);
            let allowed = (most * policy.max_down_percent_per_minute / 100).max(1);
            let within = most - decision.desired <= allowed;
            prop_assert!(within || decision.desired >= decision.ceiling, "{most} {decision:?}");
            size = decision.desired;
        }
    }

    #[test]
    fn what_is_lost_is_made_up_for_within_the_ceiling(
        policy in policies(), observation in observations(), manual in overrides(), plans in plans(),
        lost in 0_u32..20, tenant_share in 0_u32..200,
    ) {
        let bounds = Bounds { manual, plans: &plans, tenant_share, kept_share: u32::MAX, scarce: false };
        let lost = lost.min(observation.ready);
        let observation = Observation { silent: lost, lost, ..observation };
        let decision = decide(&policy, &observation, &bounds, &mut History::default(), Moment::ZERO);
        let have = observation.have();
        prop_assert!(decision.desired <= decision.ceiling.max(have), "{decision:?}");
        let heard_later = decision.desired.max(have) - lost;
        let needed = if observation.waiting > 0 { decision.react() } else { 0 };
        prop_assert!(heard_later >= needed.min(decision.ceiling.saturating_sub(lost)), "{decision:?}");
        prop_assert!(heard_later <= have.max(decision.react().max(decision.forecast_needed)).max(decision.floor), "{decision:?}");
    }

    #[test]
    fn missing_data_never_lowers(
        policy in policies(), observation in observations(), manual in overrides(), plans in plans(),
        earlier in histories(), silent in 1_u32..10, tenant_share in 0_u32..200,
    ) {
        let (history, now) = replay(&policy, &earlier);
        let bounds = Bounds { manual, plans: &plans, tenant_share, kept_share: u32::MAX, scarce: false };
        let missing = Observation { silent, lost: silent.min(observation.ready), ..observation.clone() };
        let with_all = decide(&policy, &observation, &bounds, &mut history.clone(), now);
        let decision = decide(&policy, &missing, &bounds, &mut history.clone(), now);
        prop_assert!(decision.desired >= with_all.desired);
        prop_assert!(decision.desired >= history.last().unwrap_or(observation.have()));
    }

    #[test]
    fn the_same_seen_again_decides_the_same(
        policy in policies(), observation in observations(), manual in overrides(), plans in plans(), earlier in histories(),
    ) {
        let (mut history, now) = replay(&policy, &earlier);
        let bounds = Bounds { manual, plans: &plans, tenant_share: 100, kept_share: u32::MAX, scarce: false };
        let first = decide(&policy, &observation, &bounds, &mut history, now);
        let again = decide(&policy, &observation, &bounds, &mut history, now);
        prop_assert_eq!(first.desired, again.desired);
    }

    #[test]
    fn a_lower_override_never_asks_for_more(
        policy in policies(), observation in observations(), earlier in histories(), workers in 2_u32..100,
    ) {
        let (history, now) = replay(&policy, &earlier);
        for mode in [OverrideMode::Floor, OverrideMode::Pin, OverrideMode::Ceiling] {
            let with = |workers| {
                let manual = Override::new(mode, workers, jiff::Timestamp::UNIX_EPOCH, Duration::from_mins(1));
                let bounds = Bounds { manual, plans: &[], tenant_share: 400, kept_share: u32::MAX, scarce: false };
                decide(&policy, &observation, &bounds, &mut history.clone(), now).desired
            };
            prop_assert!(with(workers - 1) <= with(workers));
        }
    }
}
