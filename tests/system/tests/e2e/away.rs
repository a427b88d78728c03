//! Parts that are away: conversations go on without the operator and without billing, and every turn is billed afterwards. And a public
//! door that is away, of which only the operator's probe knows.
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use springtide_runtime::clock::{Clock as _, SystemClock};
use springtide_tests::cluster::Cluster;
use springtide_tests::course::{Database, SYSTEM};
use springtide_tests::data::TenantData;
use springtide_tests::load::{Client, Reply, Sent};
use springtide_tests::manifests::{PoolManifest, TenantManifest, outcome_plan};

use crate::support::{LIMIT, cluster, database, draft, exported, service_minutes, wait_for_number};

const TENANT: &str = "aspen";
const NAMESPACE: &str = "tenant-aspen";
const PLAN: &str = "outcome-2026";
/// A minute is reported after its end and the longest that a turn of it may take.
const MINUTES: Duration = Duration::from_mins(3);

async fn take_on(cluster: &Cluster) -> Client {
    cluster.apply(&outcome_plan(PLAN)).await.unwrap();
    let knowledge = TenantData::shipped("arrivals_evening.csv")
        .unwrap()
        .knowledge_parts()
        .unwrap();
    let pool = PoolManifest {
        conversations: 4,
        min: 1,
        max: 4,
        down_window_seconds: 5,
        drain_seconds: 5,
    };
    let manifest = TenantManifest {
        name: TENANT,
        display_name: "杨",
        rate_plan: PLAN,
        limit: 8,
        knowledge: &knowledge,
        pool,
    };
    cluster.apply(&manifest.to_yaml()).await.unwrap();
    wait_for_number(
        cluster,
        &["bp", "web", "-n", NAMESPACE],
        "/status/readyReplicas",
        |ready| ready >= 1,
    )
    .await;
    let address = || cluster.service_address(NAMESPACE, "gateway");
    let address = cluster
        .wait_for("the gateways' service", LIMIT, address)
        .await
        .unwrap();
    Client::new(&format!("http://{address}")).unwrap()
}

/// Asks until it is answered.
async fn ask(cluster: &Cluster, client: &Client, conversation: &str, turn: &str, token: &str) -> Reply {
    let check = || async {
        match client.turn(conversation, turn, "怎么开发票", token).await {
            Sent::Reply(reply) => Ok(reply),
            other => anyhow::bail!("{other:?}"),
        }
    };
    cluster.wait_for("an answer", LIMIT, check).await.unwrap()
}

/// The conversations are on the bill, each once, as they ended for their customers: though one paused for longer than the idle
/// time, both witnesses' processes were replaced, and billing was away.
async fn conversations_are_billed_once(cluster: &Cluster, ended: &[Reply]) {
    let resolved = ended.iter().filter(|last| last.kind == "unique").count();
    let wanted = [ended.len().to_string(), resolved.to_string()];
    let check = || async {
        let bill = draft(cluster, TENANT).await?;
        let lines = bill["lines"].as_array().context("a bill has lines")?;
        let counted = |name: &str| {
            let line = lines.iter().find(|line| line["name"] == name);
            line.and_then(|line| line["counted"].as_str())
                .unwrap_or_default()
                .to_owned()
        };
        let counted = ["conversations", "resolved"].map(counted);
        anyhow::ensure!(counted == wanted, "{counted:?}, not {wanted:?}: {bill}");
        Ok(())
    };
    cluster
        .wait_for("conversations on the bill", MINUTES, check)
        .await
        .unwrap();
}

async fn replicas(cluster: &Cluster, object: &str, name: &str, count: usize) {
    cluster
        .kubectl(&["scale", object, "-n", SYSTEM, &format!("--replicas={count}")])
        .await
        .unwrap();
    let check = || async {
        let pods = cluster
            .pods(SYSTEM, &format!("app.kubernetes.io/name={name}"))
            .await?;
        let ready = pods.iter().filter(|pod| pod.ready).count();
        anyhow::ensure!(
            pods.len() == count && ready == count,
            "{ready} of {} pods are ready",
            pods.len()
        );
        Ok(())
    };
    cluster
        .wait_for(&format!("{count} replicas of {object}"), LIMIT, check)
        .await
        .unwrap();
}

/// Billing has every minute from `began` on, none missing, with all turns that were answered; though gateways were replaced and
/// billing was away.
async fn every_minute_is_reported(cluster: &Cluster, began: Timestamp, answered: usize) {
    let ended = minute_of(SystemClock.now());
    let check = || async {
        let minutes = service_minutes(cluster, TENANT).await?;
        let during: Vec<_> = minutes
            .iter()
            .filter(|(minute, ..)| minute_of(began) <= *minute && *minute <= ended)
            .collect();
        let wanted = (ended - minute_of(began)) / 60 + 1;
        anyhow::ensure!(
            i64::try_from(during.len())? == wanted,
            "{} of {wanted} minutes: {during:?}",
            during.len()
        );
        let good: u64 = during.iter().map(|(_, good, _)| good).sum();
        anyhow::ensure!(
            good >= u64::try_from(answered)?,
            "{good} of {answered} answers are counted"
        );
        Ok(())
    };
    cluster
        .wait_for("every minute of service", MINUTES, check)
        .await
        .unwrap();
}

/// The gateways are well, but customers cannot reach them: only a probe through the public door finds that. The operator mends
/// the door whenever it writes the tenant again, so this is to be said until it has been noticed.
async fn break_public_door(cluster: &Cluster) -> anyhow::Result<()> {
    let nobody = r#"{"spec":{"selector":{"springtide.dev/nobody":"here"}}}"#;
    let patch = ["patch", "service", "gateway", "-n", NAMESPACE, "-p", nobody];
    cluster.kubectl(&patch).await.map(|_| ())
}

/// A minute is bad once customers cannot reach the gateways, and none was before.
async fn a_broken_door_makes_a_minute_bad(cluster: &Cluster) {
    let broken = SystemClock.now();
    let check = || async {
        break_public_door(cluster).await?;
        let minutes = service_minutes(cluster, TENANT).await?;
        let bad = |wanted: bool| {
            let of = minutes
                .iter()
                .filter(|(minute, ..)| (*minute < minute_of(broken)) == wanted);
            of.map(|(.., bad)| bad).sum::<u64>()
        };
        anyhow::ensure!(bad(false) > 0, "none is bad since {broken}: {minutes:?}");
        Ok(bad(true))
    };
    let bad_before = cluster.wait_for("a bad minute", MINUTES, check).await.unwrap();
    assert_eq!(bad_before, 0, "no probe failed while the door was there");
}

/// Billing is away, and workers leave all the same: gateways take what they have.
async fn every_worker_leaves(cluster: &Cluster) {
    let suspend = async |suspended: bool| {
        let patch = serde_json::json!({"spec": {"suspend": suspended}}).to_string();
        let words = [
            "patch",
            "bp",
            "web",
            "-n",
            NAMESPACE,
            "--type=merge",
            "-p",
            &patch,
        ];
        cluster.kubectl(&words).await.unwrap();
    };
    suspend(true).await;
    let check = || async {
        let left = cluster.pods(NAMESPACE, "springtide.dev/pool=web").await?;
        anyhow::ensure!(left.is_empty(), "{left:?} are still there");
        Ok(())
    };
    cluster
        .wait_for("workers that leave without billing", LIMIT, check)
        .await
        .unwrap();
    suspend(false).await;
    let pool = ["bp", "web", "-n", NAMESPACE];
    wait_for_number(cluster, &pool, "/status/readyReplicas", |ready| ready >= 1).await;
}

fn minute_of(instant: Timestamp) -> i64 {
    instant.as_second().div_euclid(60) * 60
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_go_on_without_operator_and_billing_and_every_turn_is_billed_afterwards() {
    let Some(cluster) = cluster().await else { return };
    let client = take_on(&cluster).await;
    let began = SystemClock.now();
    let token = ask(&cluster, &client, "c1", "t1", "").await.resume_token;

    replicas(
        &cluster,
        "deployment/springtide-operator",
        "springtide-operator",
        0,
    )
    .await;
    let token = ask(&cluster, &client, "c1", "t2", &token).await.resume_token;
    let pods = cluster
        .pods(NAMESPACE, "app.kubernetes.io/name=springtide-gateway")
        .await
        .unwrap();
    for pod in &pods {
        cluster
            .kubectl(&["delete", "pod", &pod.name, "-n", NAMESPACE, "--wait=false"])
            .await
            .unwrap();
    }
    let check = || async {
        let now = cluster
            .pods(NAMESPACE, "app.kubernetes.io/name=springtide-gateway")
            .await?;
        let fresh = now
            .iter()
            .filter(|pod| pod.ready && pods.iter().all(|old| old.uid != pod.uid))
            .count();
        anyhow::ensure!(
            fresh == pods.len() && now.len() == fresh,
            "{fresh} new gateways are ready"
        );
        Ok(())
    };
    cluster
        .wait_for("gateways that started without an operator", LIMIT, check)
        .await
        .unwrap();
    let mut last = ask(&cluster, &client, "c1", "t3", &token).await;
    let other = ask(&cluster, &client, "c2", "t1", "").await;
    client.close("c2", &other.resume_token).await.unwrap();
    replicas(
        &cluster,
        "deployment/springtide-operator",
        "springtide-operator",
        2,
    )
    .await;

    // Only PostgreSQL outlives billing's pod here; the SQLite of a trial goes with it.
    let keeps = matches!(database(), Database::Postgres(_));
    if keeps {
        replicas(
            &cluster,
            "statefulset/springtide-billing",
            "springtide-billing",
            0,
        )
        .await;
        last = ask(&cluster, &client, "c1", "t4", &last.resume_token).await;
        every_worker_leaves(&cluster).await;
        replicas(
            &cluster,
            "statefulset/springtide-billing",
            "springtide-billing",
            1,
        )
        .await;
    }
    let wanted = if keeps { 5 } else { 4 };
    let check = || async {
        let lines = exported(&cluster, TENANT).await?;
        let witnessed = lines
            .iter()
            .filter(|line| line.contains("gateway") && line.contains("worker"))
            .count();
        anyhow::ensure!(
            lines.len() == wanted && witnessed == wanted,
            "{} turns, {witnessed} by both witnesses",
            lines.len()
        );
        Ok(())
    };
    cluster
        .wait_for("every turn, by both witnesses", LIMIT, check)
        .await
        .unwrap();
    tokio::join!(
        every_minute_is_reported(&cluster, began, wanted),
        a_broken_door_makes_a_minute_bad(&cluster),
    );
    conversations_are_billed_once(&cluster, &[last, other]).await;
    cluster
        .kubectl(&["delete", "tn", TENANT, "--wait=true", "--timeout=120s"])
        .await
        .unwrap();
}
