//! The four resources on a real API server: what is refused, what becomes a condition, what `kubectl scale` means, and how a
//! tenant goes.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};
use springtide_tests::cluster::Cluster;
use springtide_tests::data::TenantData;
use springtide_tests::manifests::{PoolManifest, TenantManifest, rate_plan};

use crate::support::{LIMIT, cluster, condition, wait_for_condition, wait_for_number};

const POOL: PoolManifest = PoolManifest {
    conversations: 4,
    min: 1,
    max: 10,
    down_window_seconds: 3,
    drain_seconds: 5,
};

async fn take_on(cluster: &Cluster, name: &str, plan: &str) {
    let knowledge = TenantData::shipped("arrivals_evening.csv")
        .unwrap()
        .knowledge_parts()
        .unwrap();
    let manifest = TenantManifest {
        name,
        display_name: "试用",
        rate_plan: plan,
        limit: 12,
        knowledge: &knowledge,
        pool: POOL,
    };
    cluster.apply(&manifest.to_yaml()).await.unwrap();
}

async fn remove(cluster: &Cluster, name: &str) {
    cluster
        .kubectl(&["delete", "tn", name, "--wait=true", "--timeout=120s"])
        .await
        .unwrap();
}

fn resource(kind: &str, name: &str, spec: &Value) -> Value {
    let mut object = json!({"apiVersion": "springtide.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    if kind == "BotPool" {
        object["metadata"]["namespace"] = json!("default");
    }
    object
}

fn pool_with(path: &str, value: Value) -> Value {
    let mut pool = POOL.to_json("acme", &["knowledge".to_owned()]);
    pool["metadata"]["namespace"] = json!("default");
    *pool.pointer_mut(path).unwrap() = value;
    pool
}

fn promotion_with(path: &str, value: Value) -> Value {
    let spec = json!({
        "pools": [{"tenant": "acme", "pool": "web"}],
        "window": {"start": "2027-11-10T20:00", "end": "2027-11-12T00:00", "timeZone": "Asia/Shanghai"},
        "boost": {"percent": "200", "of": "CurrentLoad"},
    });
    let mut promotion = resource("Promotion", "p", &spec);
    *promotion.pointer_mut(path).unwrap() = value;
    promotion
}

/// A promotion with these fields of its spec; one that is null is left out.
fn promotion_of(fields: Value) -> Value {
    let mut promotion = promotion_with("/spec/boost/percent", json!("200"));
    let Some(spec) = promotion["spec"].as_object_mut() else {
        return promotion;
    };
    let Value::Object(fields) = fields else {
        return promotion;
    };
    for (name, value) in fields {
        if value.is_null() {
            spec.remove(&name);
        } else {
            spec.insert(name, value);
        }
    }
    promotion
}

fn recurring(cron: &str, duration: &str) -> Value {
    let recur = json!({"cron": cron, "duration": duration, "timeZone": "Asia/Shanghai"});
    promotion_of(json!({"window": null, "recur": recur}))
}

/// Promotions that are refused, each with the sentence that says what to change.
fn wrong_promotions() -> Vec<(Value, &'static str)> {
    let recur = json!({"cron": "0 20 * * FRI", "duration": "4h", "timeZone": "Asia/Shanghai"});
    vec![
        (
            promotion_with("/spec/window/end", json!("2027-11-10T19:00")),
            "ends before it begins",
        ),
        (
            promotion_with("/spec/boost", json!({})),
            "exactly one of boost.percent and boost.workers",
        ),
        (
            promotion_with("/spec/boost/percent", json!("-5")),
            "cannot take capacity away",
        ),
        (
            promotion_with("/spec/boost/of", json!("Yesterday")),
            "SameSlotBaseline",
        ),
        (
            promotion_of(json!({"selector": {"matchLabels": {"line": "retail"}}})),
            "exactly one of pools and selector",
        ),
        (
            promotion_of(json!({"pools": null})),
            "exactly one of pools and selector",
        ),
        (
            promotion_of(json!({"pools": null, "selector": {"matchLabels": {}}})),
            "would match every pool; give at least one label",
        ),
        (
            promotion_of(json!({"recur": recur})),
            "exactly one of window and recur",
        ),
        (
            promotion_of(json!({"window": null})),
            "exactly one of window and recur",
        ),
        (recurring("0 20 * *", "4h"), "cron must have five fields"),
        (recurring("0 0 20 * * FRI", "4h"), "cron must have five fields"),
        (recurring("0 20 * * FRI", "59s"), "must last from 1m to 744h"),
        (recurring("0 20 * * FRI", "744h1s"), "must last from 1m to 744h"),
        (
            promotion_of(json!({"ramp": "25h"})),
            "ramp is too long; give at most 24h",
        ),
        (
            promotion_of(json!({"readyBy": "745h"})),
            "readyBy is too long; give at most 744h",
        ),
        (
            promotion_of(json!({"coolDown": {"hold": "24h1m"}})),
            "coolDown.hold is too long; give at most 24h",
        ),
        (
            promotion_of(json!({"coolDown": {"stepPercent": "0"}})),
            "stepPercent must be above 0 and at most 100",
        ),
        (
            promotion_of(json!({"coolDown": {"stepPercent": "100.1"}})),
            "stepPercent must be above 0 and at most 100",
        ),
    ]
}

fn plan_with(path: &str, value: Value) -> Value {
    let spec = json!({
        "currency": "CNY", "timeZone": "Asia/Shanghai",
        "charges": [{"name": "answers", "meter": "interactions", "model": "Graduated", "included": "0",
            "tiers": [{"upTo": "10", "unitPrice": "0.10"}, {"unitPrice": "0.05"}]}],
        "surcharges": [{"name": "peak", "charge": "answers", "unitPrice": "0.02",
            "windows": [{"days": ["Sat"], "from": "20:00", "to": "24:00"}, {"calendar": "shopping"}]}],
        "calendars": {"shopping": ["2026-11-11"]},
        "modules": [{"name": "voice", "monthlyFee": "500.00"}],
        "minimumCommitment": "1000.00", "cap": "50000.00", "discount": {"percent": "0"},
        "tax": {"name": "VAT", "percent": "6", "inclusive": false},
        "sla": {"availability": {"objective": "99.9", "slice": "5m", "badShare": "0.05", "minimumRequests": 10, "noData": "Up",
            "credits": [{"below": "99.9", "percent": "10"}], "creditCap": "100"},
            "responseTime": {"within": "1s", "credits": [{"below": "95", "percent": "5"}]}},
    });
    let mut plan = resource("RatePlan", "wrong", &spec);
    *plan.pointer_mut(path).unwrap() = value;
    plan
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_refuses_what_is_wrong_with_a_sentence_that_says_what_to_change() {
    let Some(cluster) = cluster().await else { return };
    let mut long_name = pool_with("/spec/scaling/min", json!(1));
    long_name["metadata"]["name"] = json!("p".repeat(41));
    let wrong = [
        (
            pool_with("/spec/scaling/min", json!(11)),
            "min must not be greater than max",
        ),
        (pool_with("/spec/worker/conversations", json!(0)), "conversations"),
        (pool_with("/spec/drain", json!({"deadline": "soon"})), "deadline"),
        (pool_with("/spec/scaling", json!({"max": 3, "mx": 4})), "mx"),
        (long_name, "choose a shorter name"),
        (
            plan_with("/spec/charges/0/tiers/0/unitPrice", json!("-0.10")),
            "negative",
        ),
        (plan_with("/spec/charges", json!([])), "charges"),
        (
            plan_with("/spec/cap", json!("999.99")),
            "below the minimum commitment",
        ),
        (
            plan_with("/spec/charges/0/model", json!("Package")),
            "needs size and price",
        ),
        (
            plan_with("/spec/surcharges/0/charge", json!("others")),
            "a surcharge is on a charge",
        ),
        (plan_with("/spec/calendars", json!({})), "names a calendar"),
        (
            plan_with("/spec/surcharges/0/windows/0/from", json!("24:00")),
            "to must be later than from",
        ),
        (
            plan_with("/spec/surcharges/0/windows/1", json!({})),
            "a window names days",
        ),
        (plan_with("/spec/tax/percent", json!("100.1")), "tax.percent"),
    ];
    // With all that a plan can say it is taken, so that each refusal below is for the one thing that was changed.
    let whole = plan_with("/metadata/name", json!("whole"));
    cluster.apply(&whole.to_string()).await.unwrap();
    wait_for_condition(&cluster, &["plan", "whole"], "Accepted", "True").await;
    for (object, sentence) in wrong.into_iter().chain(wrong_promotions()) {
        let error = cluster.apply(&object.to_string()).await.unwrap_err().to_string();
        assert!(
            error.contains(sentence),
            "{object}\nwanted: {sentence}\ngot: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_is_explained() {
    let Some(cluster) = cluster().await else { return };
    for field in [
        "tenant.spec.capacity.limit",
        "botpool.spec.scaling.downWindow",
        "promotion.spec.boost.percent",
        "promotion.spec.selector.matchLabels",
        "promotion.spec.recur.cron",
        "promotion.spec.ramp",
        "promotion.spec.coolDown.stepPercent",
        "promotion.status.pools.baselineFrom",
        "rateplan.spec.charges.tiers.upTo",
    ] {
        let text = cluster.kubectl(&["explain", field]).await.unwrap();
        assert!(
            text.contains("DESCRIPTION") && !text.contains("<empty>"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_object_cannot_know_is_a_condition_and_other_pools_are_unaffected() {
    let Some(cluster) = cluster().await else { return };
    cluster.apply(&rate_plan("standard-2026")).await.unwrap();
    take_on(&cluster, "cedar", "no-such-plan").await;
    let good = ["bp", "web", "-n", "tenant-cedar"];
    wait_for_condition(&cluster, &["tn", "cedar"], "RatePlanFound", "False").await;
    wait_for_number(&cluster, &good, "/status/readyReplicas", |ready| ready >= 1).await;

    let mut missing = POOL.to_json("cedar", &["nowhere".to_owned()]);
    missing["metadata"]["name"] = json!("missing");
    let mut image = POOL.to_json("cedar", &["cedar-knowledge-1".to_owned()]);
    image["metadata"]["name"] = json!("image");
    image["spec"]["worker"]["image"] = json!("springtide.dev/nothing:1");
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "broken", "namespace": "tenant-cedar"},
        "data": {"knowledge.jsonl": "{\"id\":\"a\",\"question\":\"q\",\"answer\":\"a\"}\n{\"id\":"}});
    let mut broken = POOL.to_json("cedar", &["broken".to_owned()]);
    broken["metadata"]["name"] = json!("broken");
    cluster
        .apply(
            &[missing, image, map, broken]
                .map(|object| format!("---\n{object}\n"))
                .concat(),
        )
        .await
        .unwrap();

    let sentence = wait_for_condition(
        &cluster,
        &["bp", "missing", "-n", "tenant-cedar"],
        "KnowledgeReady",
        "False",
    )
    .await;
    assert!(sentence.contains("nowhere"), "{sentence}");
    let none = cluster
        .pods("tenant-cedar", "springtide.dev/pool=missing")
        .await
        .unwrap();
    assert!(none.is_empty(), "nothing is half made: {none:?}");
    let sentence = wait_for_condition(
        &cluster,
        &["bp", "broken", "-n", "tenant-cedar"],
        "KnowledgeReady",
        "False",
    )
    .await;
    assert!(sentence.contains("line 2"), "{sentence}");
    let check = || async {
        let pool = cluster.get(&["bp", "image", "-n", "tenant-cedar"]).await?;
        match condition(&pool, "WorkersStarting") {
            Some((_, reason, message)) if reason.contains("Image") || message.contains("mage") => Ok(()),
            other => anyhow::bail!("{other:?}"),
        }
    };
    cluster
        .wait_for("the image's trouble", LIMIT, check)
        .await
        .unwrap();
    let check = || async {
        let events = cluster
            .kubectl(&["get", "events", "-n", "tenant-cedar", "-o", "json"])
            .await?;
        anyhow::ensure!(events.contains("nowhere"), "no event names the missing ConfigMap");
        Ok(())
    };
    cluster
        .wait_for("an event with the cause", LIMIT, check)
        .await
        .unwrap();
    wait_for_number(&cluster, &good, "/status/readyReplicas", |ready| ready >= 1).await;

    let unlabelled = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tenant-birch"}});
    cluster.apply(&unlabelled.to_string()).await.unwrap();
    let tenant = json!({"displayName": "桦", "timeZone": "Asia/Shanghai", "ratePlan": "standard-2026", "channels": {"web": {"pool": "web"}},
        "billing": {}, "capacity": {"limit": 2}});
    cluster
        .apply(&resource("Tenant", "birch", &tenant).to_string())
        .await
        .unwrap();
    let sentence = wait_for_condition(&cluster, &["tn", "birch"], "NamespaceReady", "False").await;
    assert!(sentence.contains("springtide.dev/tenant"), "{sentence}");
    remove(&cluster, "birch").await;
    cluster
        .kubectl(&["get", "namespace", "tenant-birch"])
        .await
        .expect("a namespace that was not adopted stays");
    remove(&cluster, "cedar").await;
}

/// The controller manager's own HorizontalPodAutoscaler, whose minimum is above what the pool's scale says, so that it
/// writes whatever its metrics say.
async fn the_real_autoscaler_is_refused(cluster: &Cluster) {
    let autoscaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "by-mistake", "namespace": "tenant-larch"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "springtide.dev/v1alpha1", "kind": "BotPool", "name": "web"},
            "minReplicas": 6, "maxReplicas": 8,
        },
    });
    cluster.apply(&autoscaler.to_string()).await.unwrap();
    let look = || async {
        let found = cluster.get(&["hpa", "by-mistake", "-n", "tenant-larch"]).await?;
        let conditions = found.pointer("/status/conditions").and_then(Value::as_array);
        let able = conditions.and_then(|all| all.iter().find(|one| one["type"] == "AbleToScale"));
        let able = able.context("it has not looked yet")?;
        anyhow::ensure!(able["reason"] == "FailedUpdateScale", "{able}");
        Ok(able["message"].to_string())
    };
    let message = cluster
        .wait_for("the autoscaler to be refused", LIMIT, look)
        .await
        .unwrap();
    assert!(message.contains("autoscaler"), "{message}");
    let name = ["delete", "hpa", "by-mistake", "-n", "tenant-larch"];
    cluster.kubectl(&name).await.unwrap();
}

/// What the plugin prints, with an administrator's rights.
fn plugin(cluster: &Cluster, words: &[&str]) -> String {
    let this = std::env::current_exe().unwrap();
    let built = this.parent().and_then(Path::parent).unwrap();
    let mut command = std::process::Command::new(built.join("kubectl-springtide"));
    command.args(words).env("KUBECONFIG", &cluster.kubeconfig);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The override is seen by whoever looks, and the plugin asks the operator that leads.
async fn the_override_is_explained(cluster: &Cluster) {
    let columns = cluster
        .kubectl(&["get", "bp", "web", "-n", "tenant-larch"])
        .await
        .unwrap();
    assert!(columns.contains("Floor 4 until "), "{columns}");
    let object = cluster.get(&["bp", "web", "-n", "tenant-larch"]).await.unwrap();
    assert_eq!(
        object.pointer("/status/override/setBy"),
        Some(&json!("scale subresource"))
    );
    let explained = plugin(cluster, &["explain", "pool", "larch/web"]);
    for part in [
        "larch/web: 4 workers wanted (Override)",
        "scale subresource",
        "kubectl",
    ] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
    let record = plugin(cluster, &["explain", "pool", "larch/web", "-o", "json"]);
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["binding"], "Override", "{record}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("promotion.json");
    let named = json!({"pools": [{"tenant": "larch", "pool": "web"}], "boost": {"workers": 9}});
    let tried = resource("Promotion", "tried", &promotion_of(named)["spec"]);
    std::fs::write(&file, tried.to_string()).unwrap();
    let file = file.display().to_string();
    let tried = plugin(cluster, &["what-if", "--promotion", &file]);
    assert!(tried.contains("larch/web") && tried.contains('9'), "{tried}");
    let applied = cluster.kubectl(&["get", "promo", "tried"]).await;
    assert!(applied.is_err(), "what is tried is not applied");
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_scale_is_a_floor_until_it_is_released_and_other_autoscalers_are_refused() {
    let Some(cluster) = cluster().await else { return };
    cluster.apply(&rate_plan("standard-2026")).await.unwrap();
    take_on(&cluster, "larch", "standard-2026").await;
    let pool = ["bp", "web", "-n", "tenant-larch"];
    wait_for_number(&cluster, &pool, "/status/readyReplicas", |ready| ready >= 1).await;
    cluster
        .kubectl(&["scale", "bp/web", "-n", "tenant-larch", "--replicas=4"])
        .await
        .unwrap();
    wait_for_number(&cluster, &pool, "/status/readyReplicas", |ready| ready >= 4).await;
    let object = cluster.get(&pool).await.unwrap();
    assert_eq!(
        object.pointer("/status/override/replicas"),
        Some(&json!(4)),
        "{}",
        object["status"]
    );
    let as_hpa = "--as=system:serviceaccount:kube-system:horizontal-pod-autoscaler";
    let refused = cluster
        .kubectl(&["scale", "bp/web", "-n", "tenant-larch", "--replicas=9", as_hpa])
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("botpools") || refused.to_string().contains("autoscaler"),
        "{refused:#}"
    );
    the_real_autoscaler_is_refused(&cluster).await;
    the_override_is_explained(&cluster).await;
    let object = cluster.get(&pool).await.unwrap();
    assert_eq!(
        object.pointer("/spec/replicas"),
        Some(&json!(4)),
        "nobody else wrote it"
    );
    cluster
        .kubectl(&["scale", "bp/web", "-n", "tenant-larch", "--replicas=0"])
        .await
        .unwrap();
    wait_for_number(&cluster, &pool, "/status/replicas", |replicas| replicas <= 2).await;
    let patch = r#"{"spec":{"suspend":true}}"#;
    cluster
        .kubectl(&[
            "patch",
            "bp",
            "web",
            "-n",
            "tenant-larch",
            "--type=merge",
            "-p",
            patch,
        ])
        .await
        .unwrap();
    let check = || async {
        let pods = cluster.pods("tenant-larch", "springtide.dev/pool=web").await?;
        anyhow::ensure!(pods.is_empty(), "{} pods are left", pods.len());
        Ok(())
    };
    cluster.wait_for("an empty pool", LIMIT, check).await.unwrap();
    remove(&cluster, "larch").await;
    let gone = cluster.kubectl(&["get", "namespace", "tenant-larch"]).await;
    assert!(gone.is_err(), "the namespace goes with its tenant");
}
