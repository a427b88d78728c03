use super::*;
use crate::autoscale::Occurrence;

const MINUTE: i64 = 60;

fn seconds_before_start(instant: Timestamp) -> i64 {
    start().duration_since(instant).as_secs()
}

#[tokio::test]
async fn prewarming_begins_early_enough_for_the_ramp_and_for_what_is_missing() {
    let mut live = live(1, 40).await;
    let begins = |promotion: &Promotion, live: &LivePool| {
        let prepared = built(promotion, &seen(at(300), live));
        assert_eq!(prepared.phase, Phase::Waiting);
        seconds_before_start(prepared.course.prewarm_at)
    };
    assert_eq!(
        begins(&promotion(json!({})), &live),
        20 * MINUTE,
        "10 minutes, and a ramp of 10"
    );
    // 10 minutes, 1 second of creations, a start of 8 seconds, 10 seconds to look.
    let steep = promotion(json!({"ramp": "0s"}));
    assert_eq!(begins(&steep, &live), 10 * MINUTE + 1 + 8 + 10);
    // Starts become slower: 15 minutes.
    live.start_time = Duration::from_mins(15);
    for promotion in [&steep, &promotion(json!({}))] {
        assert_eq!(begins(promotion, &live), 25 * MINUTE + 1 + 10);
    }
}

#[tokio::test]
async fn when_it_is_too_late_for_slow_starts_all_is_asked_for_and_it_is_said_when_all_will_answer() {
    let mut live = live(1, 40).await;
    live.start_time = Duration::from_mins(15);
    let promotion = promotion(json!({}));
    let now = at(21);
    let prepared = built(&promotion, &seen(now, &live));
    assert_eq!((prepared.phase, prepared.wishes[0].floor), (Phase::Prewarming, 6));
    let expected = now + SignedDuration::from_secs(1 + 15 * MINUTE + 10);
    assert_eq!(prepared.wishes[0].expected_at, Some(expected));
    let finding = prewarm_ready(&prepared, now);
    assert_eq!(
        (finding.holds, finding.reason.as_str(), finding.alarming),
        (Holds::False, "CapacityShort", true)
    );
    let sentence = format!("acme/web lacks 5 of 6 workers, expected at {expected}");
    assert_eq!(finding.message, sentence);
    let late = prewarm_ready(&built(&promotion, &seen(at(10), &live)), at(10));
    assert!(
        late.message.ends_with(", after the window opens"),
        "{}",
        late.message
    );
}

#[tokio::test]
async fn while_it_goes_as_planned_nobody_is_alarmed() {
    let live = live(1, 40).await;
    let promotion = promotion(json!({}));
    let waiting = prewarm_ready(&built(&promotion, &seen(at(300), &live)), at(300));
    assert_eq!(
        (waiting.holds, waiting.reason.as_str()),
        (Holds::Unknown, "Waiting")
    );
    assert_eq!(
        waiting.message,
        "pre-warming begins at 2026-11-10T12:10:00Z, and all answer by 2026-11-10T12:20:00Z"
    );
    let prepared = built(&promotion, &seen(at(19), &live));
    assert_eq!(prepared.wishes[0].expected_at, Some(at(10)));
    let rising = prewarm_ready(&prepared, at(19));
    assert_eq!(
        (rising.holds, rising.reason.as_str(), rising.alarming),
        (Holds::False, "Prewarming", false)
    );
    let short = prewarm_ready(&built(&promotion, &seen(at(10), &live)), at(10));
    assert_eq!((short.reason.as_str(), short.alarming), ("CapacityShort", true));
}

#[tokio::test]
async fn a_time_at_which_all_are_expected_stands_until_it_moves_by_much() {
    let live = live(1, 40).await;
    let status = |expected: Timestamp| json!({"pools": [{"tenant": "acme", "pool": "web", "wanted": 6, "ready": 1, "expectedAt": expected.to_string()}]});
    // A second of creations, a start of 8, 10 to look: 19 seconds from now.
    for (known, expected) in [(30, 30), (5, 5), (60, 19), (3, 19), (-5, 19)] {
        let known = at(5) + SignedDuration::from_secs(known);
        let seen = knowing(seen(at(5), &live), status(known));
        let prepared = built(&promotion(json!({})), &seen);
        let expected = at(5) + SignedDuration::from_secs(expected);
        assert_eq!(prepared.wishes[0].expected_at, Some(expected), "{known}");
    }
}

#[tokio::test]
async fn what_limits_do_not_allow_is_said_days_before_with_what_would() {
    let live = live(1, 0).await;
    let week = at(7 * 24 * 60);
    let said = |spec: Value, seen: &Seen| {
        let finding = prewarm_ready(&built(&promotion(spec), seen), seen.now);
        assert_eq!(
            (finding.reason.as_str(), finding.alarming),
            ("CapacityShort", true),
            "{}",
            finding.message
        );
        finding.message
    };
    let plain = seen(week, &live);
    let message = said(json!({"boost": {"workers": 12}}), &plain);
    assert!(
        message.starts_with("acme/web lacks 2 of 12 workers: its maximum is 10;"),
        "{message}"
    );
    let message = said(json!({"boost": {"workers": 25}, "ceiling": 30}), &plain);
    assert!(
        message.starts_with("acme/web lacks 5 of 25 workers: the tenant's limit of 20 leaves 20;"),
        "{message}"
    );
    let enough = built(
        &promotion(json!({"boost": {"workers": 12}, "ceiling": 12})),
        &plain,
    );
    assert_eq!(
        prewarm_ready(&enough, week).reason,
        "Waiting",
        "its ceiling raises the maximum"
    );

    let mut crowded = seen(week, &live);
    crowded.tenants.get_mut(&key().tenant).unwrap().others = 15;
    let message = said(json!({}), &crowded);
    assert!(
        message.contains("lacks 1 of 6 workers: the tenant's limit of 20 leaves 5;"),
        "{message}"
    );
    let mut two = seen(week, &live);
    two.tenants.get_mut(&key().tenant).unwrap().limit = 10;
    two.pools.push(two.pools[0].clone());
    two.pools[1].key.pool = springtide_proto::ids::PoolId::parse("voice").unwrap();
    let message = said(json!({}), &two);
    for pool in ["web", "voice"] {
        let said = format!("acme/{pool} lacks 1 of 6 workers: the tenant's limit of 10 leaves 5;");
        assert!(message.contains(&said), "together they want 12 of 10: {message}");
    }
    let mut held = web(json!({"max": 10, "manual": {"mode": "Ceiling", "ttl": "4h"}}));
    held.spec.replicas = 4;
    let held_at = |now| {
        let mut held_down = seen(now, &live);
        held_down.pools[0].object = Some(Arc::new(held.clone()));
        held_down
    };
    assert_eq!(
        prewarm_ready(&built(&promotion(json!({})), &held_at(week)), week).reason,
        "Waiting",
        "it lapses before"
    );
    let message = said(json!({}), &held_at(at(60)));
    assert!(
        message.starts_with(
            "acme/web lacks 2 of 6 workers: an override holds it to 4 until 2026-11-10T15:30:00Z;"
        ),
        "{message}"
    );
    let mut orphaned = seen(week, &live);
    orphaned.tenants.clear();
    assert!(said(json!({}), &orphaned).contains("there is no Tenant acme"));
    let mut suspended = seen(week, &live);
    let mut object = web(json!({"max": 10}));
    object.spec.suspend = true;
    suspended.pools[0].object = Some(Arc::new(object));
    assert!(said(json!({}), &suspended).contains("lacks 6 of 6 workers: it is suspended"));
}

#[tokio::test]
async fn ready_is_when_every_wanted_worker_answers() {
    let live = live(6, 40).await;
    for now in [at(8), at(0), at(-60)] {
        let finding = prewarm_ready(&built(&promotion(json!({})), &seen(now, &live)), now);
        assert_eq!(
            (finding.holds, finding.reason.as_str()),
            (Holds::True, "WorkersAnswer")
        );
    }
}

#[tokio::test]
async fn a_missing_pool_and_a_selector_without_a_match_are_conditions() {
    let live = live(1, 0).await;
    let mut missing = seen(at(300), &live);
    (missing.pools[0].object, missing.pools[0].live) = (None, None);
    let named = promotion(json!({}));
    let finding = found(&named, &missing, "PoolsFound").unwrap();
    assert_eq!(
        (finding.holds, finding.reason.as_str()),
        (Holds::False, "PoolMissing")
    );
    assert!(finding.message.contains("acme/web"), "{}", finding.message);
    assert_eq!(built(&named, &missing).wishes[0].bound, Bound::NoPool);

    let labelled = promotion(json!({"selector": {"matchLabels": {"line": "retail"}}}));
    let none = Seen {
        pools: Vec::new(),
        ..seen(at(300), &live)
    };
    let finding = found(&labelled, &none, "PoolsFound").unwrap();
    assert_eq!((finding.reason.as_str(), finding.alarming), ("NoPools", true));
    assert!(finding.message.contains("line=retail"), "{}", finding.message);
    assert_eq!(found(&labelled, &none, "PrewarmReady").unwrap().reason, "NoPools");
    let many = Seen {
        too_many: 44,
        ..seen(at(300), &live)
    };
    let finding = found(&labelled, &many, "PoolsFound").unwrap();
    assert!(
        finding.message.contains("44 pools more than the 1 that"),
        "{}",
        finding.message
    );
}

#[tokio::test]
async fn the_floor_of_prewarming_never_falls_when_starts_turn_out_faster_or_a_new_leader_knows_none() {
    let live = live(1, 0).await;
    let status = |wanted: u32| {
        json!({
            "phase": "Prewarming", "prewarmAt": at(20).to_string(), "start": start().to_string(),
            "pools": [{"tenant": "acme", "pool": "web", "wanted": wanted, "floor": 5, "ready": 1}],
        })
    };
    let floor = |workers: u32| {
        let seen = knowing(seen(at(19), &live), status(6));
        built(&promotion(json!({"boost": {"workers": workers}})), &seen).wishes[0].floor
    };
    assert_eq!(
        (floor(6), floor(2)),
        (5, 2),
        "but nobody holds more than is wanted now"
    );
}

#[tokio::test]
async fn what_was_held_cools_down_and_what_never_was_does_not() {
    let live = live(2, 40).await;
    let promotion = promotion(json!({"coolDown": {"hold": "15m", "stepPercent": "50"}}));
    let end: Timestamp = "2026-11-11T16:00:00Z".parse().unwrap();
    let after = |minutes: i64| end + SignedDuration::from_mins(minutes);
    let status = json!({
        "phase": "Open", "prewarmAt": at(20).to_string(), "start": start().to_string(),
        "pools": [{"tenant": "acme", "pool": "web", "wanted": 6, "floor": 6, "ready": 6}],
    });
    let plan = |minutes, status: &Value| {
        let prepared = built(&promotion, &knowing(seen(after(minutes), &live), status.clone()));
        let plan = prepared.plan("double-11", &prepared.wishes[0]);
        assert_eq!(prepared.wishes[0].expected_at, None);
        (prepared.phase, plan.map(|plan| (plan.floor, plan.keeps)))
    };
    assert_eq!(plan(0, &status), (Phase::CoolingDown, Some((6, true))));
    assert_eq!(plan(15, &status), (Phase::CoolingDown, Some((6, false))));
    assert_eq!(plan(16, &status), (Phase::CoolingDown, Some((3, false))));
    assert_eq!(plan(17, &status), (Phase::Over, None));
    assert_eq!(
        plan(0, &json!({})),
        (Phase::Over, None),
        "it was made when all was over"
    );
}

#[tokio::test]
async fn a_pool_that_nobody_decides_keeps_no_other_from_being_held() {
    let live = live(6, 40).await;
    let mut two = seen(at(5), &live);
    two.pools.push(two.pools[0].clone());
    (two.pools[1].key.pool, two.pools[1].live) =
        (springtide_proto::ids::PoolId::parse("voice").unwrap(), None);
    let prepared = built(&promotion(json!({})), &two);
    assert!(!prepared.is_settling());
    assert_eq!((prepared.wishes[0].floor, prepared.wishes[1].floor), (6, 6));
    let finding = prewarm_ready(&prepared, at(5));
    assert_eq!(finding.message, "acme/voice is not decided; its Events say why");
    two.pools[1].settling = true;
    assert!(built(&promotion(json!({})), &two).is_settling());
}

#[tokio::test]
async fn pools_share_the_pace_of_creation() {
    let live = live(1, 40).await;
    let mut two = seen(at(300), &live);
    two.tenants.get_mut(&key().tenant).unwrap().limit = 40;
    two.pools.push(two.pools[0].clone());
    two.pools[1].key.pool = springtide_proto::ids::PoolId::parse("voice").unwrap();
    let steep = promotion(json!({"ramp": "0s", "boost": {"workers": 10}}));
    let prepared = built(&steep, &two);
    // Two times nine workers at five a second, a start of 8 seconds, 10 to look.
    let expected = 10 * MINUTE + 4 + 8 + 10;
    assert_eq!(seconds_before_start(prepared.course.prewarm_at), expected);
}

#[tokio::test]
async fn nonsense_waits_for_an_edit() {
    let live = live(1, 40).await;
    let refused = |spec: Value| {
        let promotion = promotion(spec);
        let error = validate(&promotion)
            .and_then(|valid| build(&valid, &seen(at(300), &live)))
            .unwrap_err();
        let PromotionError::Invalid(message) = error else {
            panic!("{error:?}")
        };
        message
    };
    let recur = |cron: &str, zone: &str| json!({"recur": {"cron": cron, "duration": "1h", "timeZone": zone}});
    for (spec, sentence) in [
        (recur("0 25 * * FRI", "UTC"), "is not a cron expression"),
        (
            recur("0 20 * * FRI", "Mars/Base"),
            "the time zone \"Mars/Base\" is not known",
        ),
        (recur("0 0 30 2 *", "UTC"), "no date is ever named"),
        (
            json!({"window": null}),
            "exactly one of spec.window and spec.recur",
        ),
        (
            json!({"pools": null}),
            "exactly one of spec.pools and spec.selector",
        ),
        (json!({"boost": {"percent": "x"}}), "spec.boost.percent"),
        (
            json!({"coolDown": {"stepPercent": "0"}}),
            "spec.coolDown.stepPercent",
        ),
    ] {
        let message = refused(spec);
        assert!(message.contains(sentence), "{message}");
    }
}

#[tokio::test]
async fn the_documented_shapes_are_understood() {
    let live = live(6, 40).await;
    let window = json!({"start": "2026-11-10T20:00", "end": "2026-11-12T00:00", "timeZone": "Asia/Shanghai"});
    let spec = json!({
        "pools": [{"tenant": "acme", "pool": "web"}], "window": window,
        "boost": {"percent": "200", "of": "SameSlotBaseline"}, "readyBy": "30m", "ramp": "10m",
        "coolDown": {"hold": "15m", "stepPercent": "20"}, "ceiling": 300,
    });
    let prepared = built(&promotion(spec), &seen(at(300), &live));
    let minutes_after_end =
        |instant: Timestamp| instant.duration_since(prepared.course.occurrence.end).as_mins();
    assert_eq!(minutes_after_end(prepared.course.falls_at), 15);
    assert_eq!(minutes_after_end(prepared.course.over_at), 20);
    // With nothing but what is required: readyBy 30 minutes, ramp 10 minutes, no hold, five steps.
    let mut plain = promotion(json!({}));
    let least = json!({
        "selector": {"matchLabels": {"line": "retail"}}, "window": window, "boost": {"workers": 6},
    });
    plain.spec = serde_json::from_value(least).unwrap();
    let prepared = built(&plain, &seen(at(300), &live));
    let Occurrence { start, end } = prepared.course.occurrence;
    assert_eq!(start.duration_since(prepared.course.prewarm_at).as_mins(), 40);
    assert_eq!(
        (prepared.course.falls_at, prepared.course.over_at),
        (end, end + SignedDuration::from_mins(5))
    );
}

#[tokio::test]
async fn the_lead_counts_on_the_installations_pace_and_on_what_others_need_by_then() {
    let live = live(1, 40).await;
    let steep = promotion(json!({"ramp": "0s"}));
    let begins = |creations_per_second, others: &[(Timestamp, u32)]| {
        let seen = Seen {
            creations_per_second,
            others: others.to_vec(),
            ..seen(at(300), &live)
        };
        seconds_before_start(built(&steep, &seen).course.prewarm_at) - 10 * MINUTE - 8 - 10
    };
    assert_eq!(begins(5.0, &[]), 1, "5 workers");
    assert_eq!(begins(0.25, &[]), 20);
    assert_eq!(
        begins(5.0, &[(at(10), 95), (at(9), 95)]),
        20,
        "100 workers by then, and others later"
    );
}

#[tokio::test]
async fn a_pool_is_staffed_for_its_own_service_level() {
    let live = live(1, 100).await;
    let double = promotion(json!({"boost": {"percent": "100", "of": "CurrentLoad"}}));
    let wanted = |share: &str| {
        let mut seen = seen(at(30), &live);
        let scaling = json!({"max": 100, "serviceLevel": {"share": share, "within": "5s"}});
        seen.pools[0].object = Some(Arc::new(web(scaling)));
        built(&double, &seen).wishes[0].boosted.wanted
    };
    assert!(
        wanted("0.5") < wanted("0.999"),
        "{} {}",
        wanted("0.5"),
        wanted("0.999")
    );
}

#[tokio::test]
async fn starts_that_do_not_end_are_waited_for_as_long_as_they_take_already() {
    let mut live = live(1, 40).await;
    live.starting_for = Duration::from_mins(15);
    let begins = |live: &LivePool| {
        let prepared = built(&promotion(json!({"ramp": "0s"})), &seen(at(300), live));
        seconds_before_start(prepared.course.prewarm_at)
    };
    assert_eq!(begins(&live), 25 * MINUTE + 1 + 10);
    live.starting_for = Duration::from_hours(50);
    assert_eq!(begins(&live), 40 * MINUTE + 1 + 10, "half an hour at most");
}

#[tokio::test]
async fn what_another_promotion_wants_of_the_tenants_limit_by_an_earlier_time_is_not_promised_again() {
    let live = live(1, 40).await;
    let lacks = |from: i64, until: i64, first: bool| {
        let mut beside = seen(at(3_000), &live);
        let tenant = beside.tenants.get_mut(&key().tenant).unwrap();
        tenant.beside.push(Beside {
            span: (at(from), at(until)),
            workers: 17,
            first,
        });
        let prepared = built(&promotion(json!({})), &beside);
        (prepared.wishes[0].shortfall(), prepared.wishes[0].limited_by())
    };
    // This one wants 6 of 20, ten minutes before its start.
    assert_eq!(lacks(60, -60, false), (3, Some("TenantLimit")));
    assert_eq!(lacks(60, 10, false), (0, None), "it is over by then");
    assert_eq!(lacks(9, -60, true), (0, None), "it wants them later");
    assert_eq!(
        (lacks(10, -60, false).0, lacks(10, -60, true).0),
        (0, 3),
        "one of two is the first"
    );
}

#[tokio::test]
async fn a_cluster_that_is_short_is_said_days_before_the_window() {
    let live = live(1, 40).await;
    let mut short = seen(at(3_000), &live);
    let tenant = short.tenants.get_mut(&key().tenant).unwrap();
    tenant.granted = Some(4);
    let prepared = built(&promotion(json!({})), &short);
    assert_eq!(
        (prepared.wishes[0].shortfall(), prepared.wishes[0].bound),
        (2, Bound::FairShare(4))
    );
    let finding = prewarm_ready(&prepared, short.now);
    assert!(
        finding.alarming && finding.message.contains("the cluster is short"),
        "{}",
        finding.message
    );
}
