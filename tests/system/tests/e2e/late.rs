//! Caches that lag: what watches of Pods say is held back while a pool's size goes up and down and leaders are killed. Workers are
//! created and deleted as often as was decided, each once, and with the caches the pool is as it should be.
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use futures::FutureExt as _;
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use springtide_runtime::clock::{Clock as _, SystemClock};
use springtide_tests::cluster::{Cluster, Pod, kill_process_of_pod};
use springtide_tests::course::SYSTEM;
use springtide_tests::data::TenantData;
use springtide_tests::late::LateWatches;
use springtide_tests::load::Client;
use springtide_tests::manifests::{PoolManifest, TenantManifest, rate_plan};
use springtide_tests::report::read_pod_events;

use crate::support::{LIMIT, cluster, wait_for_number};

const TENANT: &str = "larch";
const NAMESPACE: &str = "tenant-larch";
const OPERATOR: &str = "deployment/springtide-operator";
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Most of the operator's own words to the API server go by it while the test runs.
const DOOR: &str = "late-watches";

async fn take_on(cluster: &Cluster) {
    cluster.apply(&rate_plan("standard-2026")).await.unwrap();
    let knowledge = TenantData::shipped("arrivals_evening.csv").unwrap();
    let pool = PoolManifest {
        conversations: 4,
        min: 1,
        max: 12,
        down_window_seconds: 2,
        drain_seconds: 5,
    };
    let manifest = TenantManifest {
        name: TENANT,
        display_name: "落叶松",
        rate_plan: "standard-2026",
        limit: 12,
        knowledge: &knowledge.knowledge_parts().unwrap(),
        pool,
    };
    cluster.apply(&manifest.to_yaml()).await.unwrap();
    until_all_answer(cluster, 1).await;
}

/// Opens the door on this node, where Pods reach it, and leads the operator's replicas to it.
async fn lead_through_door(cluster: &Cluster) -> LateWatches {
    let node = cluster.get(&["node", "node-1"]).await.unwrap();
    let addresses = node["status"]["addresses"].as_array().unwrap();
    let internal = addresses.iter().find(|one| one["type"] == "InternalIP").unwrap();
    let address: IpAddr = internal["address"].as_str().unwrap().parse().unwrap();
    let door = LateWatches::open(cluster, SocketAddr::new(address, 0))
        .await
        .unwrap();
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": DOOR,
        // No client is made without a certificate to trust, though none is asked for.
        "clusters": [{"name": DOOR, "cluster": {"server": door.url(), "certificate-authority": format!("{ACCOUNT}/ca.crt")}}],
        "users": [{"name": DOOR, "user": {"tokenFile": format!("{ACCOUNT}/token")}}],
        "contexts": [{"name": DOOR, "context": {"cluster": DOOR, "user": DOOR}}],
    });
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": DOOR, "namespace": SYSTEM},
        "data": {"config": kubeconfig.to_string()},
    });
    cluster.apply(&map.to_string()).await.unwrap();
    let by_door = json!({"spec": {"template": {"spec": {
        "volumes": [{"name": DOOR, "configMap": {"name": DOOR}}],
        "containers": [{
            "name": "operator", "env": [{"name": "KUBECONFIG", "value": "/etc/springtide/door/config"}],
            "volumeMounts": [{"name": DOOR, "mountPath": "/etc/springtide/door"}],
        }],
    }}}});
    cluster
        .kubectl(&["patch", OPERATOR, "-n", SYSTEM, "-p", &by_door.to_string()])
        .await
        .unwrap();
    until_rolled_out(cluster).await;
    door
}

async fn until_rolled_out(cluster: &Cluster) {
    let rolled_out = ["rollout", "status", OPERATOR, "-n", SYSTEM, "--timeout=120s"];
    cluster.kubectl(&rolled_out).await.unwrap();
}

/// The replica that leads, with what it knows of the pool, and another one.
async fn leader(cluster: &Cluster) -> anyhow::Result<(Pod, Value, Pod)> {
    let pods = cluster
        .pods(SYSTEM, "app.kubernetes.io/name=springtide-operator")
        .await?;
    for pod in pods.iter().filter(|pod| pod.ready) {
        let admin = Client::new(&format!("http://{}:9090", pod.ip))?;
        let said = admin.request(Method::GET, "/debug/live", String::new()).await;
        let Ok((StatusCode::OK, body)) = said else {
            continue;
        };
        let pools: Vec<Value> = serde_json::from_slice(&body)?;
        let pool = pools.into_iter().find(|pool| pool["tenant"] == TENANT);
        let other = pods.iter().find(|other| other.ready && other.uid != pod.uid);
        if let (Some(pool), Some(other)) = (pool, other) {
            return Ok((pod.clone(), pool, other.clone()));
        }
    }
    anyhow::bail!("none leads beside another that is ready: {pods:?}")
}

/// SIGKILL, and its Pod is gone before it could take its own lease again; another leads, and counts as many workers as there
/// should be.
async fn lose_leader(cluster: &Cluster, desired: u64) {
    let lost = cluster
        .wait_for("a leader", LIMIT, || leader(cluster))
        .await
        .unwrap()
        .0;
    kill_process_of_pod(&lost.uid).unwrap();
    let at_once = [
        "delete",
        "pod",
        &lost.name,
        "-n",
        SYSTEM,
        "--force",
        "--grace-period=0",
    ];
    cluster.kubectl(&at_once).await.unwrap();
    let check = || async {
        let (leads, pool, _) = leader(cluster).await?;
        let counted = pool["ready"].as_u64().zip(pool["starting"].as_u64());
        let counted = counted.map(|(ready, starting)| ready + starting);
        anyhow::ensure!(
            leads.uid != lost.uid && pool["desired"] == desired && counted == Some(desired),
            "{} says {pool}, {} was killed",
            leads.name,
            lost.name
        );
        Ok(())
    };
    cluster.wait_for("another leader", LIMIT, check).await.unwrap();
}

async fn size(cluster: &Cluster, workers: usize) {
    let replicas = format!("--replicas={workers}");
    cluster
        .kubectl(&["scale", "bp/web", "-n", NAMESPACE, &replicas])
        .await
        .unwrap();
}

/// Waits until the API server has so many workers that are not being deleted.
async fn until_there(cluster: &Cluster, workers: usize) {
    let check = || async {
        let of_pool = ["pods", "-n", NAMESPACE, "-l", "springtide.dev/pool=web"];
        let pods = cluster.get(&of_pool).await?;
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let stay = pods
            .iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let stay = stay.count();
        anyhow::ensure!(stay == workers, "{stay} of {} stay, not {workers}", pods.len());
        Ok(())
    };
    cluster.wait_for("workers", LIMIT, check).await.unwrap();
}

async fn until_all_answer(cluster: &Cluster, workers: usize) {
    let pool = ["bp", "web", "-n", NAMESPACE];
    let wanted = i64::try_from(workers).unwrap();
    wait_for_number(cluster, &pool, "/status/readyReplicas", |ready| ready == wanted).await;
    until_there(cluster, workers).await;
}

/// What the operator did to workers since then.
fn assert_done(cluster: &Cluster, since: Timestamp, (created, deleted): (usize, usize)) {
    let all = read_pod_events(&cluster.audit_log).unwrap();
    let of_pool = |verb: &str| {
        let is_one = |pod: &&springtide_tests::report::PodEvent| {
            pod.at >= since && pod.by_operator && pod.verb == verb && pod.namespace == NAMESPACE
        };
        all.iter().filter(is_one).cloned().collect::<Vec<_>>()
    };
    let (creations, deletions) = (of_pool("create"), of_pool("delete"));
    assert_eq!(creations.len(), created, "{creations:#?}");
    assert_eq!(deletions.len(), deleted, "{deletions:#?}");
    let meant: BTreeSet<_> = deletions.iter().filter_map(|pod| pod.uid.clone()).collect();
    assert_eq!(meant.len(), deleted, "each names another UID: {deletions:#?}");
}

/// Nobody hears of Pods: what the leaders know is what they did themselves, and what they look for.
async fn no_cache_follows(cluster: &Cluster, door: &LateWatches) {
    size(cluster, 2).await;
    until_all_answer(cluster, 2).await;
    let since = SystemClock.now();
    door.hold_all();
    size(cluster, 6).await;
    until_there(cluster, 6).await;
    lose_leader(cluster, 6).await;
    assert_done(cluster, since, (4, 0));
    size(cluster, 8).await;
    until_there(cluster, 8).await;
    // Of those that are seen, which are two, as many leave as should.
    size(cluster, 3).await;
    until_there(cluster, 6).await;
    size(cluster, 7).await;
    until_there(cluster, 7).await;
    door.let_go();
    until_all_answer(cluster, 7).await;
    assert_done(cluster, since, (7, 2));
}

/// The next leader knows nothing of what the one before did, which has the names of those it knows used again or free.
async fn the_next_leaders_cache_is_old(cluster: &Cluster, door: &LateWatches) {
    size(cluster, 1).await;
    until_all_answer(cluster, 1).await;
    let follows = cluster
        .wait_for("a leader", LIMIT, || leader(cluster))
        .await
        .unwrap()
        .2;
    let since = SystemClock.now();
    door.hold(follows.ip.parse().unwrap());
    size(cluster, 6).await;
    until_all_answer(cluster, 6).await;
    size(cluster, 3).await;
    until_all_answer(cluster, 3).await;
    lose_leader(cluster, 3).await;
    assert_done(cluster, since, (5, 3));
    size(cluster, 5).await;
    until_there(cluster, 5).await;
    door.let_go();
    until_all_answer(cluster, 5).await;
    assert_done(cluster, since, (7, 3));
}

/// A figure on the admin port of a Pod, over all labels.
async fn figure(pod: &Pod, name: &str) -> anyhow::Result<f64> {
    let admin = Client::new(&format!("http://{}:9090", pod.ip))?;
    let (_, body) = admin.request(Method::GET, "/metrics", String::new()).await?;
    let text = String::from_utf8_lossy(&body).into_owned();
    let of_name = text
        .lines()
        .filter(|line| line.split(['{', ' ']).next() == Some(name));
    let values = of_name.map(|line| line.rsplit(' ').next().unwrap_or_default().parse::<f64>());
    Ok(values.collect::<Result<Vec<_>, _>>()?.iter().sum())
}

async fn until_leading(cluster: &Cluster, pod: &Pod, wanted: f64) {
    let check = || async {
        let leading = figure(pod, "springtide_leading").await?;
        anyhow::ensure!(leading.total_cmp(&wanted).is_eq(), "leading is {leading}");
        Ok(())
    };
    cluster.wait_for("the lease", LIMIT, check).await.unwrap();
}

/// The API server does not answer for longer than a lease is waited for, and nobody else takes it: workers and gateways stay
/// attached, and the leader goes on.
async fn the_api_server_is_away(cluster: &Cluster, door: &LateWatches) {
    let (leads, _, follows) = cluster
        .wait_for("a leader", LIMIT, || leader(cluster))
        .await
        .unwrap();
    let opened = figure(&leads, "springtide_fleet_streams_opened_total")
        .await
        .unwrap();
    assert!(opened > 0.0);
    let since = SystemClock.now();
    let [leading, following] = [&leads, &follows].map(|pod| pod.ip.parse::<IpAddr>().unwrap());
    door.shut_for([leading, following]);
    until_leading(cluster, &leads, 0.0).await;
    door.shut_for([following]);
    until_leading(cluster, &leads, 1.0).await;
    let again = figure(&leads, "springtide_fleet_streams_opened_total")
        .await
        .unwrap();
    assert!(
        again.total_cmp(&opened).is_eq(),
        "{again} streams, {opened} before"
    );
    door.shut_for([]);
    size(cluster, 6).await;
    until_all_answer(cluster, 6).await;
    assert_done(cluster, since, (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_worker_is_created_or_deleted_beyond_what_was_decided_however_late_caches_are_and_whoever_leads() {
    let Some(cluster) = cluster().await else { return };
    take_on(&cluster).await;
    let course = async {
        let door = lead_through_door(&cluster).await;
        no_cache_follows(&cluster, &door).await;
        the_next_leaders_cache_is_old(&cluster, &door).await;
        the_api_server_is_away(&cluster, &door).await;
        door
    };
    let ended = std::panic::AssertUnwindSafe(course).catch_unwind().await;
    // Whatever came of it, the tests after this one need operators that do not go by a door that closes.
    let undo = ["rollout", "undo", OPERATOR, "-n", SYSTEM];
    cluster.kubectl(&undo).await.unwrap();
    until_rolled_out(&cluster).await;
    if let Err(failed) = ended {
        std::panic::resume_unwind(failed);
    }
    cluster
        .kubectl(&["delete", "tn", TENANT, "--wait=true", "--timeout=120s"])
        .await
        .unwrap();
}
