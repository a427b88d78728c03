//! Worked records, and the pages that they read as.

use jiff::Timestamp;
use serde_json::json;

use crate::admin::{HeldPromotion, PoolObservation, PoolRecord, PoolTerms, SilentPeer};
use crate::api::{BotPool, Promotion};
use crate::autoscale::Binding;
use crate::plugin::binding::sentences;
use crate::plugin::{pool, promotion};

pub(super) fn record() -> PoolRecord {
    PoolRecord {
        tenant: "acme".to_owned(),
        pool: "web".to_owned(),
        desired: 6,
        binding: "Load".to_owned(),
        observation: PoolObservation {
            active: 87,
            waiting: 0,
            arrivals_per_second: 0.484,
            endings_per_second: 0.45,
            start_time_seconds: 1.84,
            start_time_p99_seconds: Some(2.5),
            horizon_seconds: Some(2.5),
            usual_conversations: Some(90.2),
            usual_highest_conversations: Some(96.0),
            hold_time_seconds: Some(179.8),
            ready: 5,
            starting: 1,
            draining: 0,
            silent: 0,
            lost: 0,
            silent_peers: Vec::new(),
        },
        terms: PoolTerms {
            conversations_per_worker: 20,
            growth_conversations: 9.31,
            forecast: 6,
            forecast_conversations: 12.0,
            forecast_error_percent: Some(4.2),
            untrusted_conversations: None,
            untrusted_error_percent: None,
            needed: 5,
            headroom: 1,
            react: 6,
            plan: 0,
            floor: 3,
            ceiling: 100,
            needed_within_window: 6,
            busy: 5,
            demand: 6,
            tenant_share: 400,
            cluster_is_short: false,
            peak_load_last_hour: 91,
        },
        promotions: Vec::new(),
        baseline: None,
    }
}

fn botpool() -> BotPool {
    serde_json::from_value(json!({
        "apiVersion": "springtide.dev/v1alpha1",
        "kind": "BotPool",
        "metadata": {"name": "web", "namespace": "tenant-acme"},
        "spec": {"worker": {"image": "w", "conversations": 20}, "scaling": {"max": 100}},
        "status": {
            "override": {"replicas": 3, "mode": "Floor", "setBy": "王芳", "setAt": "2026-11-10T11:00:00Z",
                         "lapsesAt": "2026-11-10T13:00:00Z"},
            "conditions": [
                condition("Available", "True", "WorkersAnswer", "5 of 6 workers answer"),
                condition("WorkersStarting", "True", "Starting", "workers are starting"),
                condition("ScalingActive", "False", "DataMissing", "nothing is scaled in while data is missing: 1 workers (web-3) and 0 gateways are not heard"),
                condition("OverrideActive", "True", "Scaled", "Floor 3"),
            ]
        }
    }))
    .unwrap()
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> serde_json::Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message,
           "lastTransitionTime": "2026-11-10T11:59:30Z"})
}

fn now() -> Timestamp {
    "2026-11-10T12:00:00Z".parse().unwrap()
}

#[test]
fn a_record_reads_as_a_page() {
    let text = pool::explain(&record(), Some(&botpool()), now());
    assert_eq!(text, include_str!("pool.txt"), "{text}");
}

#[test]
fn a_forecast_that_is_not_trusted_is_shown_with_its_error_and_so_is_what_is_usual() {
    let mut record = record();
    record.terms.untrusted_conversations = Some(30.0);
    record.terms.untrusted_error_percent = Some(24.0);
    let text = pool::explain(&record, None, now());
    assert!(text.contains("\n  not trusted "), "{text}");
    assert!(
        text.contains("a forecast of +30.0 conversations in 2.5 s: such forecasts were 24.0 % off"),
        "{text}"
    );
    record.observation.usual_conversations = None;
    let text = pool::explain(&record, None, now());
    assert!(
        text.contains("what the pool learned of this time of the week is not trusted"),
        "{text}"
    );
}

#[test]
fn a_record_of_a_pool_that_is_gone_reads_on_without_its_object() {
    let text = pool::explain(&record(), None, now());
    assert!(text.contains("the BotPool does not exist any more"), "{text}");
    let unknown = PoolRecord {
        binding: "Moonlight".to_owned(),
        ..record()
    };
    let text = pool::explain(&unknown, None, now());
    assert!(text.contains("acme/web: 6 workers wanted (Moonlight)"), "{text}");
    assert!(text.contains("older than the operator"), "{text}");
}

#[test]
fn every_binding_says_what_it_means_and_what_to_change() {
    let held = |name: &str| HeldPromotion {
        promotion: name.to_owned(),
        floor: 60,
        ceiling: None,
        keeps: true,
        open: true,
    };
    let record = PoolRecord {
        promotions: vec![held("double-11")],
        ..record()
    };
    let object = botpool();
    let means = |binding| sentences(binding, &record, Some(&object)).means;
    let starts = [
        (
            Binding::Load,
            "The load decides: 87 active conversations, 0 waiting",
        ),
        (
            Binding::Forecast,
            "The forecast decides: the load is expected to gain 12 conversations until a new worker answers, which needs 6 workers; \
             the load alone needs 6. Such forecasts were 4.2 % off of late.",
        ),
        (
            Binding::Minimum,
            "The pool's minimum decides: it never has fewer than 3",
        ),
        (Binding::Override, "A number that somebody gave by kubectl scale"),
        (Binding::Promotion, "Promotion double-11 holds 0 workers"),
        (Binding::Maximum, "Wanted: 6 workers; the maximum allows 100"),
        (
            Binding::TenantLimit,
            "Wanted: 6 workers; the limit of tenant acme",
        ),
        (
            Binding::FairShare,
            "Wanted: 6 workers; the cluster is short of room",
        ),
        (Binding::DownWindow, "6 were needed within the last 1m"),
        (Binding::DownRate, "The pool is shrinking to 6: at most 50 %"),
        (Binding::MissingData, "0 workers and gateways are not heard"),
        (Binding::LostWorkers, "0 workers are not heard any more"),
        (
            Binding::ColdWindow,
            "The operator that leads has not watched for 1m yet",
        ),
        (Binding::PromotionHolds, "Promotion double-11 holds the pool"),
        (
            Binding::Busy,
            "The active conversations fill 5 workers, more than the 100",
        ),
        (Binding::Suspended, "spec.suspend empties the pool"),
    ];
    assert_eq!(starts.map(|(binding, _)| binding), Binding::ALL);
    for (binding, start) in starts {
        assert!(means(binding).starts_with(start), "{}", means(binding));
        let change = sentences(binding, &record, None).change;
        assert!(
            change.ends_with('.') && change.len() > 20,
            "{binding:?}: {change}"
        );
        assert_eq!(Binding::parse(binding.as_str()), Some(binding));
    }
    let several = PoolRecord {
        promotions: vec![held("double-11"), held("flash")],
        ..record.clone()
    };
    assert!(
        sentences(Binding::Promotion, &several, None)
            .means
            .starts_with("Promotions double-11, flash hold 0 workers")
    );
}

#[test]
fn who_is_not_heard_is_named_with_the_age_of_what_is_known() {
    let mut record = record();
    let silent = |pod: &str, last_report_age_seconds| SilentPeer {
        pod: pod.to_owned(),
        last_report_age_seconds,
    };
    record.observation.silent = 2;
    record.observation.silent_peers = vec![silent("web-3", Some(12.4)), silent("gateway-x", None)];
    let text = pool::explain(&record, None, now());
    let line =
        "workers and gateways that are not heard: web-3 (last report 12 s before), gateway-x (no report)\n";
    assert!(text.contains(line), "{text}");
    record.observation.silent_peers = vec![silent("web-3", None); 6];
    let text = pool::explain(&record, None, now());
    assert!(text.contains("web-3 (no report), …\n"), "{text}");
}

#[test]
fn what_an_older_operator_leaves_out_is_no_error() {
    let mut value = serde_json::to_value(record()).unwrap();
    value.as_object_mut().unwrap().remove("promotions");
    let terms = value["terms"].as_object_mut().unwrap();
    terms.remove("conversations_per_worker");
    terms.remove("demand");
    let observation = value["observation"].as_object_mut().unwrap();
    observation.remove("draining");
    observation.remove("silent_peers");
    let record: PoolRecord = serde_json::from_value(value).unwrap();
    let text = pool::explain(&record, None, now());
    assert!(text.contains("for load and growth"), "{text}");
}

fn promo(status: &serde_json::Value) -> Promotion {
    serde_json::from_value(json!({
        "apiVersion": "springtide.dev/v1alpha1",
        "kind": "Promotion",
        "metadata": {"name": "double-11"},
        "spec": {
            "pools": [{"tenant": "acme", "pool": "web"}, {"tenant": "bloom", "pool": "chat"}],
            "window": {"start": "2026-11-10T20:30", "end": "2026-11-12T00:00", "timeZone": "Asia/Shanghai"},
            "boost": {"percent": "200", "of": "SameSlotBaseline"},
            "ceiling": 300
        },
        "status": status
    }))
    .unwrap()
}

#[test]
fn a_promotion_reads_as_a_page() {
    let message = "acme/web lacks 10 of 70 workers: the tenant's limit of 60 leaves 60; raise spec.capacity.limit of the Tenant";
    let promotion = promo(&json!({
        "phase": "Prewarming",
        "prewarmAt": "2026-11-10T11:50:00Z",
        "start": "2026-11-10T12:30:00Z",
        "end": "2026-11-11T16:00:00Z",
        "wanted": 82,
        "ready": 62,
        "conditions": [
            condition("PrewarmReady", "False", "CapacityShort", message),
            condition("Active", "False", "Prewarming", "the window has not opened"),
            condition("PoolsFound", "True", "Found", "it is for 2 pools"),
        ],
        "pools": [
            {"tenant": "acme", "pool": "web", "baseline": 420, "baselineFrom": "SameSlotBaseline", "holdSeconds": 190, "wanted": 70, "floor": 60,
             "ready": 60, "limitedBy": "TenantLimit"},
            {"tenant": "bloom", "pool": "chat", "baseline": 70, "baselineFrom": "LastHour", "wanted": 12, "floor": 12,
             "ready": 2, "expectedAt": "2026-11-10T12:01:10Z"}
        ]
    }));
    let text = promotion::explain(&promotion, now());
    assert_eq!(text, include_str!("promotion.txt"), "{text}");
}

#[test]
fn a_promotion_that_nobody_looked_at_says_so() {
    let mut promotion = promo(&json!({}));
    let text = promotion::explain(&promotion, now());
    assert!(
        text.starts_with("double-11: not planned; 0 of 0 workers"),
        "{text}"
    );
    promotion.status = None;
    let text = promotion::explain(&promotion, now());
    assert!(text.starts_with("double-11: not looked at yet"), "{text}");
}
