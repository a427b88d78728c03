//! A promotion that is tried on a worked record.

use serde_json::json;

use super::explained::record;
use crate::admin::PoolRecord;
use crate::plugin::what_if::{explain, steady};
use crate::simulate::{read_promotion, what_if};

fn tried(max: u32, share: u32) -> String {
    let mut record = record();
    record.terms.tenant_share = share;
    let pool = serde_json::from_value(json!({
        "apiVersion": "springtide.dev/v1alpha1", "kind": "BotPool", "metadata": {"name": "web", "namespace": "tenant-acme"},
        "spec": {"worker": {"image": "w", "conversations": 20}, "scaling": {"max": max}}
    }))
    .unwrap();
    let promotion = read_promotion(
        "{apiVersion: springtide.dev/v1alpha1, kind: Promotion, metadata: {name: flash}, spec: {pools: [{tenant: acme, \
         pool: web}], window: {start: '2026-11-10T20:00', end: '2026-11-10T21:00', timeZone: Asia/Shanghai}, \
         boost: {workers: 30}}}",
    )
    .unwrap();
    let steady = steady(&record);
    let now = "2026-11-10T08:00:00Z".parse().unwrap();
    let outcome = what_if(&pool, &promotion, &steady, now, 4).unwrap();
    explain(&record, &promotion, &steady, &outcome)
}

#[test]
fn a_promotion_that_is_tried_reads_as_a_page() {
    let text = tried(100, 400);
    assert_eq!(text, include_str!("what_if.txt"), "{text}");
}

#[test]
fn the_limit_that_cuts_is_named() {
    let text = tried(20, 400);
    assert!(
        text.contains("Cut short: 30 workers are wanted at most, and the maximum is 20"),
        "{text}"
    );
    let text = tried(100, 12);
    assert!(text.contains("the limit of tenant acme leaves 12"), "{text}");
}

#[test]
fn conversations_last_as_long_as_was_measured_or_as_is_assumed() {
    let mut record = record();
    let lasts = |record: &PoolRecord, wanted: f64| {
        let seconds = steady(record).hold_seconds;
        assert!((seconds - wanted).abs() < 0.1, "{seconds}");
    };
    lasts(&record, 179.8);
    record.observation.hold_time_seconds = Some(31.0);
    lasts(&record, 31.0);
    record.observation.hold_time_seconds = None;
    lasts(&record, 180.0);
}
