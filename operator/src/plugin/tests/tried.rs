//! A promotion that is tried on worked records.

use http::{Request, Response};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::explained::record;
use crate::admin::PoolRecord;
use crate::api::{BotPool, Promotion};
use crate::autoscale::{Baseline, BaselineLearner};
use crate::plugin::arguments::{Format, WhatIfArguments};
use crate::plugin::cluster::Cluster;
use crate::plugin::what_if::{Tried, sections, seen};
use crate::simulate::{read_promotion, what_if};

const NOW: &str = "2026-11-10T10:00:00Z";
const PROMOTION: &str = "{apiVersion: springtide.dev/v1alpha1, kind: Promotion, metadata: {name: flash}, spec: {pools: [{tenant: acme, \
     pool: web}], window: {start: '2026-11-10T20:00', end: '2026-11-10T21:00', timeZone: Asia/Shanghai}, \
     boost: {workers: 30}}}";

fn pool(name: &str, max: u32) -> Value {
    json!({
        "apiVersion": "springtide.dev/v1alpha1", "kind": "BotPool",
        "metadata": {"name": name, "namespace": "tenant-acme", "labels": {"kind": name}},
        "spec": {"worker": {"image": "w", "conversations": 20}, "scaling": {"max": max}},
        "status": {
            "override": {"replicas": 8, "mode": "Floor", "setBy": "kubectl", "setAt": "2026-11-10T09:00:00Z",
                         "lapsesAt": "2026-11-10T10:30:00Z"},
        }
    })
}

fn tried(max: u32, share: u32) -> String {
    let mut record = record();
    record.terms.tenant_share = share;
    let pool: BotPool = serde_json::from_value(pool("web", max)).unwrap();
    let promotion = read_promotion(PROMOTION).unwrap();
    let now = NOW.parse().unwrap();
    let tried = attempt(record, &pool, &promotion, now);
    sections(&promotion, &[("acme/web".to_owned(), Ok(tried))], now)
}

fn attempt(record: PoolRecord, pool: &BotPool, promotion: &Promotion, now: Timestamp) -> Tried {
    let seen = seen(&record, pool, "Asia/Shanghai", Baseline::default());
    let outcome = what_if(pool, promotion, &[], &seen, now, 4).unwrap();
    Tried {
        record,
        seen,
        knows_zone: true,
        outcome,
    }
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
fn pools_that_were_tried_one_by_one_are_held_against_the_limit_that_they_share() {
    let together = |limit: u32| {
        let promotion = read_promotion(PROMOTION).unwrap();
        let now = NOW.parse().unwrap();
        let attempts = ["web", "voice"].map(|name| {
            let mut record = record();
            // Each has six.
            (record.pool, record.terms.tenant_share) = (name.to_owned(), limit - 6);
            let mut pool: BotPool = serde_json::from_value(pool("web", 100)).unwrap();
            pool.metadata.name = Some("web".to_owned());
            let tried = attempt(record, &pool, &promotion, now);
            (format!("acme/{name}"), Ok(tried))
        });
        let text = sections(&promotion, &attempts, now);
        text.lines()
            .skip_while(|line| !line.starts_with("Together"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let short = together(50);
    assert!(
        short.starts_with(
            "Together the 2 pools of tenant acme want 60 workers at most, and its limit leaves 50: 10 will be"
        ),
        "{short}"
    );
    assert!(together(60).ends_with("which its limit leaves to them."));
}

#[test]
fn conversations_last_as_long_as_was_measured() {
    let mut record = record();
    let pool: BotPool = serde_json::from_value(pool("web", 9)).unwrap();
    let hold = |record: &PoolRecord| seen(record, &pool, "UTC", Baseline::default()).hold;
    assert_eq!(hold(&record).map(|hold| hold.as_millis()), Some(179_800));
    record.observation.hold_time_seconds = None;
    assert_eq!(hold(&record), None);
}

/// Four weeks in which sixty conversations were there all the time.
fn learned() -> Baseline {
    let mut learner = BaselineLearner::default();
    let begun: jiff::Timestamp = "2026-10-12T00:00:00Z".parse().unwrap();
    for tick in 0..(28 * 24 * 3_600 / 20) {
        learner.observe(
            begun + std::time::Duration::from_secs(tick * 20),
            "Asia/Shanghai",
            Some(60),
        );
    }
    learner.learned().as_ref().clone()
}

/// A cluster with the pools web and chat of acme, of which the operator decided web alone.
fn cluster() -> Cluster {
    let own = "/apis/springtide.dev/v1alpha1";
    let leader = "/api/v1/namespaces/springtide-system/pods/operator-a:9090/proxy/debug/pools";
    let list = |kind: &str, items: &[Value]| json!({"apiVersion": "springtide.dev/v1alpha1", "kind": kind, "metadata": {}, "items": items});
    let known = PoolRecord {
        baseline: Some(k8s_openapi::ByteString(learned().encode())),
        ..record()
    };
    let pools = [pool("web", 100), pool("chat", 100)];
    let answers = [
        (
            "/api/v1/namespaces/springtide-system/pods".to_owned(),
            json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [{"metadata": {"name": "operator-a"}}]}),
        ),
        (leader.to_owned(), json!([record()])),
        (format!("{leader}/acme/web"), serde_json::to_value(known).unwrap()),
        (format!("{own}/botpools"), list("BotPoolList", &pools)),
        (
            format!("{own}/namespaces/tenant-acme/botpools/web"),
            pools[0].clone(),
        ),
        (format!("{own}/promotions"), list("PromotionList", &[])),
        (
            format!("{own}/tenants/acme"),
            json!({
                "apiVersion": "springtide.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme"},
                "spec": {"displayName": "acme", "timeZone": "Asia/Shanghai", "ratePlan": "x"}
            }),
        ),
    ];
    let service = tower::service_fn(move |request: Request<Body>| {
        let asked = request.uri().path().to_owned();
        let known = answers.iter().find(|(path, _)| asked == *path);
        let (code, body) = known.map_or((404, "{}".to_owned()), |(_, body)| (200, body.to_string()));
        async move {
            let response = Response::builder().status(code);
            Ok::<_, tower::BoxError>(response.body(Body::from(body.into_bytes()))?)
        }
    });
    let client = Client::new(service, "default");
    Cluster::new(
        client,
        "https://api.example".to_owned(),
        "springtide-system".to_owned(),
    )
}

async fn asked(promotion: &str, pool: Option<&str>, output: Option<Format>) -> Result<String, String> {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("promotion.yaml");
    std::fs::write(&path, promotion).unwrap();
    let asked = WhatIfArguments {
        pool: pool.map(str::to_owned),
        promotion: path,
        hours: 4,
        namespace: None,
        output,
    };
    let said = crate::plugin::what_if(&cluster(), &asked, NOW.parse().unwrap()).await;
    said.map_err(|error| error.to_string())
}

#[tokio::test]
async fn without_a_pool_there_is_a_section_for_each_that_the_promotion_names() {
    let both = PROMOTION.replace("pool: web}", "pool: web}, {tenant: acme, pool: chat}");
    let text = asked(&both, None, None).await.unwrap();
    assert!(
        text.starts_with("flash on acme/web: at most 30 workers"),
        "{text}"
    );
    assert!(text.contains("\nflash on acme/chat: cannot be tried\n"), "{text}");
    assert!(
        text.contains("the operator has not decided pool acme/chat"),
        "{text}"
    );
    let alone = asked(&both, Some("acme/web"), None).await.unwrap();
    assert!(!alone.contains("chat"), "{alone}");
    let error = asked(&both, Some("acme/chat"), None).await.unwrap_err();
    assert!(error.contains("has not decided pool acme/chat"), "{error}");
}

#[tokio::test]
async fn a_selector_tries_the_pools_that_have_its_labels() {
    let selected = |kind: &str| {
        let selector = format!("selector: {{matchLabels: {{kind: {kind}}}}}");
        PROMOTION.replace("pools: [{tenant: acme, pool: web}]", &selector)
    };
    let text = asked(&selected("web"), None, None).await.unwrap();
    assert!(
        text.starts_with("flash on acme/web") && !text.contains("chat"),
        "{text}"
    );
    let error = asked(&selected("none"), None, None).await.unwrap_err();
    assert!(error.contains("no BotPool has the labels kind=none"), "{error}");
}

#[tokio::test]
async fn figures_say_what_they_are_from() {
    let percent = PROMOTION.replace("workers: 30", "percent: '200'");
    let text = asked(&percent, None, Some(Format::Json)).await.unwrap();
    let figures: Value = serde_json::from_str(&text).unwrap();
    let web = &figures[0];
    assert_eq!(
        (&web["pool"], &web["promotion"]),
        (&json!("acme/web"), &json!("flash"))
    );
    assert_eq!(
        (&web["baseline_conversations"], &web["baseline_from"]),
        (&json!(60), &json!("SameSlotBaseline")),
        "as the leader learned it: {web}"
    );
    assert_eq!(web["limited_by"], Value::Null);
    assert!(web["all_answer_at"].as_str() <= web["ready_by"].as_str(), "{web}");
    let assumed = &web["assumed"];
    assert_eq!(
        (&assumed["begins"], &assumed["from_live_state"]),
        (&json!(NOW), &json!(true))
    );
    assert_eq!(
        (&assumed["override_workers"], &assumed["time_zone"]),
        (&json!(8), &json!("Asia/Shanghai"))
    );
    assert_eq!(assumed["load_conversations"]["learned"], json!(true));
    assert!(
        web["without"]["peak_workers"].as_u64() < web["with"]["peak_workers"].as_u64(),
        "{web}"
    );
}
