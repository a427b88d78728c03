use serde_json::json;

use super::*;
use crate::autoscale::{BaselineFrom, BaselineLearner, OverrideMode};

const BEGUN: &str = "2026-11-10T18:00:00Z";

fn pool(max: u32) -> BotPool {
    serde_json::from_value(json!({
        "apiVersion": "springtide.dev/v1alpha1", "kind": "BotPool",
        "metadata": {"name": "web", "namespace": "tenant-acme"},
        "spec": {"worker": {"image": "w", "conversations": 20}, "scaling": {"max": max}}
    }))
    .unwrap()
}

fn promotion(name: &str, boost: &str) -> Promotion {
    read_promotion(&format!(
        "{{apiVersion: springtide.dev/v1alpha1, kind: Promotion, metadata: {{name: {name}}}, spec: {{pools: [{{tenant: acme, \
         pool: web}}], window: {{start: '2026-11-10T20:00', end: '2026-11-10T21:00', timeZone: UTC}}, boost: {{{boost}}}}}}}"
    ))
    .unwrap()
}

/// A hundred conversations on six workers.
fn seen() -> SeenPool {
    SeenPool {
        load: 100,
        flow: Flow {
            arrivals: 0.55,
            endings: 0.55,
        },
        ready: 6,
        starting: 0,
        desired: 6,
        start_times: (Duration::from_secs(8), Duration::from_secs(12)),
        hold: Some(Duration::from_mins(3)),
        peak: 100,
        tenant_share: u32::MAX,
        zone: "UTC".to_owned(),
        baseline: Baseline::default(),
        manual: None,
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn asked(max: u32, seen: &SeenPool, now: &str) -> WhatIf {
    what_if(
        &pool(max),
        &promotion("flash", "workers: 30"),
        &[],
        seen,
        at(now),
        4,
    )
    .unwrap()
}

/// Workers at a time of a run.
fn workers(what_if: &WhatIf, run: &Run, time: &str) -> u32 {
    let since = at(time).duration_since(what_if.origin);
    run.workers[usize::try_from(since.as_secs()).unwrap()]
}

#[test]
fn the_promotion_holds_its_workers_and_costs_their_hours() {
    let free = asked(100, &seen(), BEGUN);
    assert_eq!((free.with.peak, free.wanted), (30, 30));
    assert!(free.without.peak < 12, "{}", free.without.peak);
    assert!(free.with.worker_hours > free.without.worker_hours + 30.0);
    assert_eq!(free.with.waited, 0);
    let held = |time| workers(&free, &free.with, time);
    assert_eq!(held("2026-11-10T19:30:00Z"), 30, "half an hour before the start");
    assert_eq!(held("2026-11-10T20:59:59Z"), 30);
    assert!(held("2026-11-10T21:10:00Z") < 12, "it is let go");
    let note = free.note.unwrap();
    assert_eq!((note.wanted, note.baseline), (30, None));
    assert!(
        note.answered_at.unwrap() <= at("2026-11-10T19:30:00Z"),
        "{note:?}"
    );
}

#[test]
fn a_run_goes_on_from_the_pool_as_it_was_seen() {
    let crowded = SeenPool {
        ready: 3,
        starting: 4,
        desired: 7,
        ..seen()
    };
    let live = asked(100, &crowded, BEGUN);
    assert_eq!((live.origin, live.is_live), (at(BEGUN), true));
    assert_eq!(live.without.workers[0], 7, "{:?}", &live.without.workers[..9]);
    assert!(
        live.without.waited >= 30,
        "40 find no worker until four more are ready: {}",
        live.without.waited
    );
    // Far away nobody knows how it will be then.
    let far = asked(100, &crowded, "2026-11-03T18:00:00Z");
    assert_eq!((far.origin, far.is_live), (at("2026-11-10T18:20:00Z"), false));
    assert!(far.without.waited < 10, "{}", far.without.waited);
}

#[test]
fn what_was_given_by_hand_holds_until_it_lapses() {
    let given = SeenPool {
        manual: Override::new(
            OverrideMode::Floor,
            20,
            at("2026-11-10T17:00:00Z"),
            Duration::from_mins(90),
        ),
        ..seen()
    };
    let held = asked(100, &given, BEGUN);
    let without = |time| workers(&held, &held.without, time);
    assert_eq!(without("2026-11-10T18:29:00Z"), 20);
    assert!(without("2026-11-10T18:45:00Z") < 12);
}

#[test]
fn other_promotions_that_are_for_the_pool_count_in_both_runs() {
    let tried = promotion("flash", "workers: 30");
    let applied = [
        promotion("other", "workers: 25"),
        promotion("flash", "workers: 99"),
    ];
    let both = what_if(&pool(100), &tried, &applied, &seen(), at(BEGUN), 4).unwrap();
    assert_eq!(
        (both.without.peak, both.with.peak),
        (25, 30),
        "what is tried replaces what is applied"
    );
    assert_eq!(both.others, ["other"]);
}

/// Four weeks in which 60 conversations were there all the time.
fn learned() -> Baseline {
    let mut learner = BaselineLearner::default();
    let begun = at("2026-10-12T00:00:00Z");
    for tick in 0..(28 * 24 * 3_600 / 20) {
        learner.observe(begun + Duration::from_secs(tick * 20), "UTC", Some(60));
    }
    learner.learned().as_ref().clone()
}

#[test]
fn what_the_pool_learned_is_expected_and_counted_from() {
    let tried = promotion("flash", "percent: '200'");
    let run = |seen: &SeenPool| what_if(&pool(100), &tried, &[], seen, at(BEGUN), 4).unwrap();
    let unknown = run(&seen());
    let from = |what_if: &WhatIf| what_if.note.as_ref().unwrap().baseline.unwrap().1;
    assert_eq!(
        (from(&unknown), unknown.is_learned),
        (BaselineFrom::LastHour, false)
    );
    let known = run(&SeenPool {
        baseline: learned(),
        ..seen()
    });
    assert_eq!(
        known.note.as_ref().unwrap().baseline,
        Some((60, BaselineFrom::SameSlotBaseline))
    );
    assert!(
        known.is_learned && (known.expected.1 - 60.0).abs() < 0.5,
        "{:?}",
        known.expected
    );
    assert!(
        known.without.worker_hours < unknown.without.worker_hours,
        "60 come, and not 100"
    );
}

#[test]
fn what_was_begun_goes_on() {
    let mut begun = promotion("flash", "percent: '200'");
    begun.status = serde_json::from_value(json!({
        "phase": "Prewarming", "start": "2026-11-10T20:00:00Z", "prewarmAt": "2026-11-10T19:19:00Z",
        "pools": [{"tenant": "acme", "pool": "web", "baseline": 300, "baselineFrom": "LastHour", "wanted": 50, "floor": 40, "ready": 6}],
    }))
    .unwrap();
    let run = what_if(&pool(100), &begun, &[], &seen(), at("2026-11-10T19:25:00Z"), 4).unwrap();
    let note = run.note.unwrap();
    assert_eq!(
        (note.baseline.unwrap().0, note.prewarm_at),
        (300, at("2026-11-10T19:19:00Z"))
    );
    assert!(run.with.workers[120] >= 40, "{}", run.with.workers[120]);
}

#[test]
fn limits_cut_what_is_held_and_not_what_is_wanted() {
    let by_maximum = asked(20, &seen(), BEGUN);
    let by_tenant = asked(
        100,
        &SeenPool {
            tenant_share: 15,
            ..seen()
        },
        BEGUN,
    );
    assert_eq!((by_maximum.with.peak, by_maximum.wanted), (20, 30));
    assert_eq!((by_tenant.with.peak, by_tenant.wanted), (15, 30));
    assert_eq!(by_tenant.note.unwrap().limited_by, Some("TenantLimit"));
}

#[test]
fn a_window_that_lies_behind_is_no_question() {
    let late = what_if(
        &pool(9),
        &promotion("flash", "workers: 30"),
        &[],
        &seen(),
        at("2026-11-10T21:00:00Z"),
        4,
    );
    assert!(matches!(late, Err(WhatIfError::Over)));
}
