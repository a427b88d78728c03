//! Nodes are drained and Pods deleted while customers chat: nobody is lost, no worker that serves is evicted, and the pool is
//! whole again on the other node; where there is none, the drain ends all the same.
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use springtide_tests::cluster::{Cluster, Pod};
use springtide_tests::course::Database;
use springtide_tests::data::TenantData;
use springtide_tests::load::ledger::{LEDGER, Ledger, LedgerLine};
use springtide_tests::load::{Client, Customer, LoadCounts};
use springtide_tests::manifests::{PoolManifest, TenantManifest, rate_plan};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{LIMIT, cluster, database, exported, wait_for_number};

const TENANT: &str = "willow";
const NAMESPACE: &str = "tenant-willow";
const NODE: &str = "node-2";
const CUSTOMERS: u64 = 10;
/// Of each conversation, and the pause between two.
const TURNS: usize = 15;
const THINK: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(1_500));
const MIN: u32 = 4;
/// Workers drain within 5 s; gateways end within 60 s, one after the other.
const LONGEST_DRAIN: Duration = Duration::from_secs(150);

async fn take_on(cluster: &Cluster, data: &TenantData) -> String {
    cluster.apply(&rate_plan("standard-2026")).await.unwrap();
    let manifest = TenantManifest {
        name: TENANT,
        display_name: "柳",
        rate_plan: "standard-2026",
        limit: 12,
        knowledge: &data.knowledge_parts().unwrap(),
        pool: PoolManifest {
            conversations: 4,
            min: MIN,
            max: 10,
            down_window_seconds: 5,
            drain_seconds: 5,
        },
    };
    cluster.apply(&manifest.to_yaml()).await.unwrap();
    all_answer(cluster).await;
    let address = || cluster.service_address(NAMESPACE, "gateway");
    let address = cluster
        .wait_for("the gateways' service", LIMIT, address)
        .await
        .unwrap();
    format!("http://{address}")
}

async fn all_answer(cluster: &Cluster) {
    let pool = ["bp", "web", "-n", NAMESPACE];
    let enough = |ready| ready >= i64::from(MIN);
    wait_for_number(cluster, &pool, "/status/readyReplicas", enough).await;
}

async fn workers(cluster: &Cluster) -> anyhow::Result<Vec<Pod>> {
    cluster.pods(NAMESPACE, "springtide.dev/pool=web").await
}

/// Customers who chat, one conversation after the other, until they are told to end.
struct Chat {
    counts: Arc<LoadCounts>,
    ledger: Ledger,
    ending: Arc<AtomicBool>,
    customers: JoinSet<()>,
}

impl Chat {
    async fn begin(url: &str, data: &TenantData, folder: &Path) -> Self {
        let (counts, ending): (Arc<LoadCounts>, Arc<AtomicBool>) = Default::default();
        let ledger = Ledger::create(folder).await.unwrap();
        let mut customers = JoinSet::new();
        for number in 0..CUSTOMERS {
            let (counts, ending, ledger) = (counts.clone(), ending.clone(), ledger.clone());
            let client = Client::new(url).unwrap();
            let questions: Vec<_> = data.questions.iter().cycle().take(TURNS).cloned().collect();
            customers.spawn(async move {
                for round in 0_u64.. {
                    let customer = Customer {
                        tenant: TENANT.to_owned(),
                        conversation: format!("drain-{number}-{round}"),
                        client: client.clone(),
                        counts: counts.clone(),
                        ledger: ledger.clone(),
                        random: StdRng::seed_from_u64(number),
                    };
                    customer.ask_each(questions.clone(), THINK).await;
                    if ending.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        Self {
            counts,
            ledger,
            ending,
            customers,
        }
    }

    /// Waits until that many more turns are answered.
    async fn answers(&self, cluster: &Cluster, more: u64) {
        let answered = || self.counts.answered.load(Ordering::Relaxed);
        let before = answered();
        let check = || async {
            let since = answered() - before;
            anyhow::ensure!(since >= more, "{since} turns answered");
            Ok(())
        };
        cluster.wait_for("conversations", LIMIT, check).await.unwrap();
    }

    /// Lets each conversation end; what each customer got.
    async fn end(self, folder: &Path) -> Vec<LedgerLine> {
        self.ending.store(true, Ordering::Relaxed);
        self.customers.join_all().await;
        self.ledger.close().await.unwrap();
        let text = std::fs::read_to_string(folder.join(LEDGER)).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// What a budget is for: nobody but the pool takes a worker that serves.
async fn an_eviction_is_refused(cluster: &Cluster, folder: &Path) {
    // A worker that is not ready, or that the pool let go as the load fell, serves nobody and may go; and the budget is known to
    // evictions once it was counted.
    let budget = ["pdb", "pool-web", "-n", NAMESPACE];
    let covers = |status: &Value| {
        let number = |name: &str| status[name].as_u64().unwrap_or_default();
        number("currentHealthy") > 0 && number("desiredHealthy") >= number("currentHealthy")
    };
    let check = || async {
        let status = cluster.get(&budget).await?["status"].take();
        let serving = cluster
            .pods(NAMESPACE, "springtide.dev/pool=web,springtide.dev/serving=true")
            .await?;
        anyhow::ensure!(covers(&status), "budget {status} of {serving:?}");
        let serves = serving.into_iter().find(|pod| pod.node == NODE && pod.ready);
        serves.context("none serves there")
    };
    let pod = cluster
        .wait_for("a worker that serves under a budget", LIMIT, check)
        .await
        .unwrap();
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": NAMESPACE}});
    let file = folder.join("eviction.json");
    std::fs::write(&file, eviction.to_string()).unwrap();
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{}/eviction", pod.name);
    let file = file.display().to_string();
    let words = ["create", "--raw", &path, "-f", &file];
    let refused = cluster.kubectl(&words).await.unwrap_err().to_string();
    assert!(refused.contains("disruption budget"), "{refused}");
}

/// Drains a node of those pods; whatever comes of it, both nodes take pods again.
async fn drain(cluster: &Cluster, node: &str, pods: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    let (timeout, pods) = (
        format!("--timeout={}s", LONGEST_DRAIN.as_secs()),
        format!("--pod-selector={pods}"),
    );
    let words = ["drain", node, "--ignore-daemonsets", "--delete-emptydir-data"];
    let said = cluster.kubectl(&[&words[..], &[&timeout, &pods]].concat()).await;
    let taken = begun.elapsed();
    let left = workers(cluster).await?;
    cluster.kubectl(&["uncordon", "node-1", "node-2"]).await?;
    println!("drain of {node}: {:.1} s\n{}", taken.as_secs_f64(), said?);
    let left: Vec<_> = left.iter().filter(|pod| pod.node == node).collect();
    anyhow::ensure!(left.is_empty(), "{left:?} are left on {node}");
    Ok(())
}

/// SIGTERM without a word before: the worker finishes, and another takes its place.
async fn a_pod_is_deleted(cluster: &Cluster) {
    let all = workers(cluster).await.unwrap();
    let pod = all.iter().find(|pod| pod.ready).unwrap();
    let words = [
        "delete",
        "pod",
        &pod.name,
        "-n",
        NAMESPACE,
        "--wait=true",
        "--timeout=60s",
    ];
    cluster.kubectl(&words).await.unwrap();
    all_answer(cluster).await;
}

/// Each turn was answered, and is billed once. Only PostgreSQL outlives billing's pod here.
async fn each_turn_is_billed_once(cluster: &Cluster, got: &[LedgerLine]) {
    let unanswered: Vec<_> = got.iter().filter(|line| line.answered.is_none()).collect();
    assert!(unanswered.is_empty(), "{unanswered:?}");
    let turns: BTreeSet<_> = got.iter().map(|line| (&line.conversation, &line.turn)).collect();
    assert_eq!(turns.len(), got.len(), "a turn was answered twice");
    if matches!(database(), Database::Sqlite) {
        return;
    }
    let check = || async {
        let billed = exported(cluster, TENANT).await?.len();
        anyhow::ensure!(billed == turns.len(), "{billed} turns billed of {}", turns.len());
        Ok(())
    };
    cluster.wait_for("the bill", LIMIT, check).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_drained_and_pods_deleted_while_customers_chat_and_none_of_them_is_lost() {
    let Some(cluster) = cluster().await else { return };
    let data = TenantData::shipped("arrivals_evening.csv").unwrap();
    let url = take_on(&cluster, &data).await;
    let folder = tempfile::tempdir().unwrap();
    let chat = Chat::begin(&url, &data, folder.path()).await;
    chat.answers(&cluster, 3 * CUSTOMERS).await;
    let before = workers(&cluster).await.unwrap();
    assert!(
        before.iter().any(|pod| pod.node == NODE),
        "no worker is on {NODE}: {before:?}"
    );
    an_eviction_is_refused(&cluster, folder.path()).await;

    drain(&cluster, NODE, "").await.unwrap();
    all_answer(&cluster).await;
    chat.answers(&cluster, 3 * CUSTOMERS).await;
    let events = ["get", "events", "-n", NAMESPACE, "-o", "json"];
    let said = cluster.kubectl(&events).await.unwrap();
    assert!(said.contains(&format!("from {NODE}, which takes no more pods")));
    assert!(
        !said.contains("NotReplaced"),
        "each left when another answered in its place"
    );

    a_pod_is_deleted(&cluster).await;
    chat.answers(&cluster, 3 * CUSTOMERS).await;

    // Nowhere to go: the workers leave all the same, and customers wait until a node is there again.
    cluster.kubectl(&["cordon", NODE]).await.unwrap();
    drain(&cluster, "node-1", "springtide.dev/pool=web")
        .await
        .unwrap();
    all_answer(&cluster).await;
    chat.answers(&cluster, 3 * CUSTOMERS).await;
    assert!(cluster.kubectl(&events).await.unwrap().contains("NotReplaced"));
    let got = chat.end(folder.path()).await;
    let attempts = got.iter().map(|line| line.attempts).max();
    println!("{} turns, at most {attempts:?} requests for one", got.len());
    each_turn_is_billed_once(&cluster, &got).await;
    let remove = ["delete", "tn", TENANT, "--wait=true", "--timeout=120s"];
    cluster.kubectl(&remove).await.unwrap();
}
