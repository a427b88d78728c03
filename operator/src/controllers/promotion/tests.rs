use jiff::Timestamp;
use serde_json::{Value, json};

use super::build::build;
use super::update_status::prewarm_ready;
use super::*;
use crate::controllers::conditions::Holds;
use crate::controllers::live::LivePool;
use crate::controllers::testing::{Cached, NOW, Scenario, acme, key, web};

#[expect(
    clippy::needless_pass_by_value,
    reason = "so that a test can write json!(…) in place"
)]
fn promotion(boost: Value, status: Value) -> Promotion {
    serde_json::from_value(json!({
        "apiVersion": "springtide.dev/v1alpha1", "kind": "Promotion", "metadata": {"name": "double-11", "generation": 1},
        "spec": {
            "pools": [{"tenant": "acme", "pool": "web"}],
            "window": {"start": "2026-11-10T20:30", "end": "2026-11-12T00:00", "timeZone": "Asia/Shanghai"},
            "boost": boost, "readyBy": "10m",
        },
        "status": status,
    }))
    .unwrap()
}

fn at(minutes_to_start: i64) -> Timestamp {
    "2026-11-10T12:30:00Z".parse::<Timestamp>().unwrap() - jiff::SignedDuration::from_mins(minutes_to_start)
}

/// The pool web after one decision, with that many ready workers and that peak.
async fn live(ready: u32, peak: u32, tenant_share: u32) -> LivePool {
    let scenario = Scenario::new(Cached {
        tenants: vec![acme()],
        ..Cached::default()
    });
    scenario.know(&web(json!({"max": 10})));
    crate::controllers::pool::reconcile(Arc::new(web(json!({"max": 10}))), scenario.context.clone())
        .await
        .unwrap();
    LivePool {
        ready,
        peak,
        tenant_share,
        starting: 0,
        ..scenario.context.live.pool(&key()).unwrap()
    }
}

#[tokio::test]
async fn prewarming_begins_early_enough_for_what_is_missing() {
    let live = live(1, 40, 20).await;
    let prepared = build(&promotion(json!({"percent": "200"}), Value::Null), at(30), |_| {
        Some(live.clone())
    })
    .unwrap();
    assert_eq!((prepared.wishes[0].wanted, prepared.phase), (6, Phase::Waiting));
    // 10 minutes, 1 second of creations, two starts of 8 seconds, 10 seconds to look.
    assert_eq!(
        prepared
            .prewarm_at
            .duration_until(prepared.window.start)
            .as_secs(),
        600 + 1 + 16 + 10
    );
}

#[tokio::test]
async fn the_baseline_is_fixed_when_prewarming_begins() {
    let live = live(3, 400, 20).await;
    let status = json!({
        "phase": "Prewarming", "prewarmAt": at(12).to_string(),
        "pools": [{"tenant": "acme", "pool": "web", "baseline": 40, "wanted": 6, "ready": 1}],
    });
    let prepared = build(&promotion(json!({"percent": "200"}), status), at(5), |_| {
        Some(live.clone())
    })
    .unwrap();
    assert_eq!((prepared.wishes[0].wanted, prepared.prewarm_at), (6, at(12)));
    let finding = prewarm_ready(&prepared, at(5));
    assert_eq!(
        (finding.holds, finding.reason.as_str()),
        (Holds::False, "CapacityShort")
    );
    assert!(
        finding.message.contains("acme/web lacks 3 of 6"),
        "{}",
        finding.message
    );
    assert!(finding.alarming);
}

#[tokio::test]
async fn what_the_limit_does_not_allow_is_said_before_prewarming_begins() {
    let live = live(1, 0, 8).await;
    let prepared = build(&promotion(json!({"workers": 12}), Value::Null), at(60), |_| {
        Some(live.clone())
    })
    .unwrap();
    let finding = prewarm_ready(&prepared, at(60));
    assert_eq!(finding.reason, "CapacityShort");
    assert!(finding.message.contains("lacks 4 of 12"), "{}", finding.message);
}

#[tokio::test]
async fn ready_is_when_every_wanted_worker_answers() {
    let live = live(6, 40, 20).await;
    let prepared = build(&promotion(json!({"workers": 6}), Value::Null), at(8), |_| {
        Some(live.clone())
    })
    .unwrap();
    assert_eq!(prewarm_ready(&prepared, at(8)).holds, Holds::True);
}

#[tokio::test]
async fn a_promotion_holds_its_floor_until_it_ends() {
    let promotion = promotion(json!({"workers": 6}), Value::Null);
    let scenario = Scenario::new(Cached {
        tenants: vec![acme()],
        promotions: vec![promotion.clone()],
        ..Cached::default()
    });
    let pool = Arc::new(web(json!({"max": 10})));
    scenario.know(&promotion);
    scenario.know(&*pool);
    let decided = async || {
        reconcile(Arc::new(promotion.clone()), scenario.context.clone())
            .await
            .unwrap();
        crate::controllers::pool::reconcile(pool.clone(), scenario.context.clone())
            .await
            .unwrap();
        let live = scenario.context.live.pool(&key()).unwrap();
        (live.floor, live.binding)
    };
    crate::controllers::pool::reconcile(pool.clone(), scenario.context.clone())
        .await
        .unwrap();
    assert_eq!(scenario.context.clock.now().to_string(), NOW);
    assert_eq!(decided().await.0, 1, "half an hour before");
    scenario.clock.set(at(10));
    assert_eq!(decided().await, (6, "Promotion"));
    scenario.clock.set("2026-11-11T16:00:00Z".parse().unwrap());
    assert_eq!(decided().await.0, 1);
}
