//! A node is drained while customers chat: nobody is lost, no worker that serves is evicted, and the pool is whole again on
//! the other node.
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::json;
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

/// Customers who chat until told; what they got is in `folder`.
struct Chat {
    counts: Arc<LoadCounts>,
    ledger: Ledger,
    customers: JoinSet<()>,
}

impl Chat {
    async fn begin(url: &str, data: &TenantData, folder: &Path, until: Instant) -> Self {
        let (counts, ledger) = (Arc::default(), Ledger::create(folder).await.unwrap());
        let mut customers = JoinSet::new();
        for number in 0..CUSTOMERS {
            let customer = Customer {
                tenant: TENANT.to_owned(),
                conversation: format!("drain-{number}"),
                client: Client::new(url).unwrap(),
                counts: Arc::clone(&counts),
                ledger: ledger.clone(),
                random: StdRng::seed_from_u64(number),
            };
            let think = (Duration::from_millis(500), Duration::from_millis(1_500));
            let questions = data.questions.iter().cycle().take(1_000).cloned().collect();
            customers.spawn(customer.ask_until(questions, think, until));
        }
        Self {
            counts,
            ledger,
            customers,
        }
    }

    async fn all_were_answered(&self, cluster: &Cluster) {
        let check = || async {
            let answered = self.counts.answered.load(Ordering::Relaxed);
            anyhow::ensure!(answered >= 3 * CUSTOMERS, "{answered} turns answered");
            Ok(())
        };
        cluster.wait_for("conversations", LIMIT, check).await.unwrap();
    }
}

/// What a budget is for: nobody but the pool takes a worker that serves.
async fn an_eviction_is_refused(cluster: &Cluster, pod: &Pod, folder: &Path) {
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

async fn drain(cluster: &Cluster) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let timeout = format!("--timeout={}s", LONGEST_DRAIN.as_secs());
    let words = ["drain", NODE, "--ignore-daemonsets", "--delete-emptydir-data", &timeout];
    let said = cluster.kubectl(&words).await;
    // Whatever came of it, the next test finds two nodes.
    let taken = begun.elapsed();
    let left = workers(cluster).await?;
    cluster.kubectl(&["uncordon", NODE]).await?;
    println!("drain of {NODE}: {:.1} s\n{}", taken.as_secs_f64(), said?);
    let left: Vec<_> = left.iter().filter(|pod| pod.node == NODE).collect();
    anyhow::ensure!(left.is_empty(), "{left:?} are left on {NODE}");
    Ok(taken)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_drained_while_customers_chat_and_none_of_them_is_lost() {
    let Some(cluster) = cluster().await else { return };
    let data = TenantData::shipped("arrivals_evening.csv").unwrap();
    let url = take_on(&cluster, &data).await;
    let folder = tempfile::tempdir().unwrap();
    let until = Instant::now() + LONGEST_DRAIN;
    let mut chat = Chat::begin(&url, &data, folder.path(), until).await;
    chat.all_were_answered(&cluster).await;
    let before = workers(&cluster).await.unwrap();
    let on_node: Vec<_> = before.iter().filter(|pod| pod.node == NODE).collect();
    assert!(!on_node.is_empty(), "no worker is on {NODE}: {before:?}");
    an_eviction_is_refused(&cluster, on_node[0], folder.path()).await;

    drain(&cluster).await.unwrap();
    all_answer(&cluster).await;
    let at_drain = chat.counts.answered.load(Ordering::Relaxed);
    let check = || async {
        let answered = chat.counts.answered.load(Ordering::Relaxed);
        anyhow::ensure!(answered >= at_drain + CUSTOMERS, "{answered} turns answered");
        Ok(())
    };
    cluster.wait_for("conversations that go on", LIMIT, check).await.unwrap();
    chat.customers.join_all().await;
    chat.ledger.close().await.unwrap();
}
