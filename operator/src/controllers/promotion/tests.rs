//! - [`planned`]: what is asked for at one moment, from what is seen then; no cluster.
//! - [`counted`]: what percent counts from. [`recurring`]: from one occurrence to the next.
//! - [`held`]: reconciles against an API server in memory.

mod counted;
mod held;
mod planned;
mod recurring;

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::build::{Prepared, build};
use super::dereference::{Seen, SeenPool};
use super::findings::{findings, prewarm_ready};
use super::validate::validate;
use super::*;
use crate::autoscale::{Baseline, BaselineFrom, Beside, Bound, TenantRoom};
use crate::controllers::conditions::{Finding, Holds};
use crate::controllers::live::LivePool;
use crate::controllers::testing::{Cached, NOW, Scenario, acme, key, web};

/// The start of the promotion in most tests, 20:30 in Shanghai.
fn start() -> Timestamp {
    "2026-11-10T12:30:00Z".parse().unwrap()
}

fn at(minutes_to_start: i64) -> Timestamp {
    start() - SignedDuration::from_mins(minutes_to_start)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "so that a test can write json!(…) in place"
)]
fn promotion(spec: Value) -> Promotion {
    let mut whole = json!({
        "pools": [{"tenant": "acme", "pool": "web"}],
        "window": {"start": "2026-11-10T20:30", "end": "2026-11-12T00:00", "timeZone": "Asia/Shanghai"},
        "boost": {"workers": 6}, "readyBy": "10m",
    });
    for (field, value) in spec.as_object().unwrap() {
        whole[field] = value.clone();
    }
    if !spec["recur"].is_null() {
        whole.as_object_mut().unwrap().remove("window");
    }
    if !spec["selector"].is_null() {
        whole.as_object_mut().unwrap().remove("pools");
    }
    serde_json::from_value(json!({
        "apiVersion": "springtide.dev/v1alpha1", "kind": "Promotion",
        "metadata": {"name": "double-11", "generation": 1, "uid": "promotion-uid"}, "spec": whole,
    }))
    .unwrap()
}

/// The pool web after one decision, with that many workers that answer and that highest load of the last hour.
async fn live(ready: u32, peak: u32) -> LivePool {
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
        starting: 0,
        ..scenario.context.live.pool(&key()).unwrap()
    }
}

/// The pool web, of at most ten workers, of a tenant with a limit of twenty; no status yet.
fn seen(now: Timestamp, live: &LivePool) -> Seen {
    let tenant = TenantRoom {
        zone: TimeZone::get("Asia/Shanghai").unwrap(),
        limit: 20,
        granted: None,
        others: 0,
        beside: Vec::new(),
    };
    let pool = SeenPool {
        key: key(),
        object: Some(Arc::new(web(json!({"max": 10})))),
        live: Some(live.clone()),
        settling: false,
    };
    Seen {
        now,
        known: crate::api::PromotionStatus::default(),
        pools: vec![pool],
        short_memory: false,
        too_many: 0,
        creations_per_second: 5.0,
        others: Vec::new(),
        tenants: [(key().tenant, tenant)].into(),
    }
}

fn knowing(seen: Seen, status: Value) -> Seen {
    Seen {
        known: serde_json::from_value(status).unwrap(),
        ..seen
    }
}

fn built(promotion: &Promotion, seen: &Seen) -> Prepared {
    build(&validate(promotion).unwrap(), seen).unwrap()
}

/// A condition, and what it says.
fn found(promotion: &Promotion, seen: &Seen, type_: &str) -> Option<Finding> {
    let valid = validate(promotion).unwrap();
    let prepared = build(&valid, seen).unwrap();
    let findings = findings(&valid, &prepared, seen.now);
    findings.into_iter().find(|finding| finding.type_ == type_)
}

/// Every slot of the week was learned twice, with that load.
fn learned(load: u32) -> Arc<Baseline> {
    let [a, b, c, d] = (load * 4).to_be_bytes();
    assert_eq!(a, 0);
    let mut bytes = vec![2, 0, 0, 2, 160];
    for _ in 0..672 {
        bytes.extend([b, c, d, 255, 0, 0, 2]);
    }
    Arc::new(Baseline::decode(&bytes).unwrap())
}
