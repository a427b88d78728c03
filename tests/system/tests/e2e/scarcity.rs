//! A cluster that is full: tenants share what its nodes have by guarantee. The operator's own calls go by their FlowSchemas.
use serde_json::json;
use springtide_tests::cluster::Cluster;
use springtide_tests::data::TenantData;
use springtide_tests::manifests::{PoolManifest, TenantManifest, rate_plan};

use crate::support::{LIMIT, cluster, condition, wait_for_condition, wait_for_number};

const GUARANTEED: u32 = 3;

/// A tenant whose pool has `min` workers that take `cpu` each.
async fn take_on(cluster: &Cluster, name: &str, min: u32, cpu: &str, guaranteed: u32) {
    let shipped = TenantData::shipped("arrivals_evening.csv").unwrap();
    let knowledge = shipped.knowledge_parts().unwrap();
    let pool = PoolManifest {
        conversations: 4,
        min: 0,
        max: 40,
        down_window_seconds: 2,
        drain_seconds: 5,
    };
    let manifest = TenantManifest {
        name,
        display_name: name,
        rate_plan: "standard-2026",
        limit: 40,
        knowledge: &knowledge,
        pool,
    };
    cluster.apply(&manifest.to_yaml()).await.unwrap();
    let tenant = json!({"spec": {"capacity": {"limit": 40, "guaranteed": guaranteed}}}).to_string();
    let patch = ["patch", "tn", name, "--type=merge", "-p", tenant.as_str()];
    cluster.kubectl(&patch).await.unwrap();
    let pool = json!({"spec": {
        "worker": {"resources": {"requests": {"cpu": cpu, "memory": "32Mi"}}}, "scaling": {"min": min},
    }})
    .to_string();
    let namespace = format!("tenant-{name}");
    let patch = [
        "patch",
        "bp",
        "web",
        "-n",
        namespace.as_str(),
        "--type=merge",
        "-p",
        pool.as_str(),
    ];
    cluster.kubectl(&patch).await.unwrap();
}

/// Workers that answer, once nodes take no more of a tenant's.
async fn until_full(cluster: &Cluster, tenant: &str) -> i64 {
    let namespace = format!("tenant-{tenant}");
    let check = || async {
        let pool = cluster.get(&["bp", "web", "-n", &namespace]).await?;
        let refused =
            condition(&pool, "WorkersStarting").is_some_and(|(_, reason, _)| reason == "Unschedulable");
        let pods = cluster.pods(&namespace, "springtide.dev/pool=web").await?;
        let placed = pods.iter().filter(|pod| !pod.node.is_empty()).count();
        let ready = pool["status"]["readyReplicas"].as_i64().unwrap_or_default();
        anyhow::ensure!(
            refused && usize::try_from(ready)? == placed && ready > 0,
            "{ready} answer of {placed} that nodes have; refused {refused}"
        );
        Ok(ready)
    };
    cluster
        .wait_for("nodes that are full", LIMIT, check)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_cluster_that_is_full_is_shared_by_guarantee() {
    let Some(cluster) = cluster().await else { return };
    cluster.apply(&rate_plan("standard-2026")).await.unwrap();
    // Many small workers of another tenant make no room for large ones.
    take_on(&cluster, "aspen", 12, "30m", 0).await;
    let aspen = ["bp", "web", "-n", "tenant-aspen"];
    wait_for_number(&cluster, &aspen, "/status/readyReplicas", |ready| ready == 12).await;
    take_on(&cluster, "birch", 40, "400m", 0).await;
    let room = until_full(&cluster, "birch").await;
    assert!(
        room > i64::from(GUARANTEED),
        "{room} workers are too few to share"
    );

    // What birch has is idle, and cedar is guaranteed three.
    take_on(&cluster, "cedar", GUARANTEED, "400m", GUARANTEED).await;
    let cedar = ["bp", "web", "-n", "tenant-cedar"];
    wait_for_number(&cluster, &cedar, "/status/readyReplicas", |ready| ready == 3).await;
    let birch = ["bp", "web", "-n", "tenant-birch"];
    let message = wait_for_condition(&cluster, &birch, "CapacityGranted", "False").await;
    assert!(message.contains("the cluster is short"), "{message}");

    for tenant in ["aspen", "birch", "cedar"] {
        cluster
            .kubectl(&["delete", "tn", tenant, "--wait=true", "--timeout=120s"])
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn the_operators_calls_wait_behind_nobody_elses_in_a_busy_api_server() {
    let Some(cluster) = cluster().await else { return };
    let metrics = cluster.kubectl(&["get", "--raw", "/metrics"]).await.unwrap();
    let dispatched = |schema: &str, level: &str| {
        let line = metrics.lines().find(|line| {
            line.starts_with("apiserver_flowcontrol_dispatched_requests_total{")
                && line.contains(&format!("flow_schema=\"{schema}\""))
                && line.contains(&format!("priority_level=\"{level}\""))
        });
        let count = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        count.unwrap_or_default()
    };
    assert!(dispatched("springtide-operator-leases", "leader-election") > 0.0);
    assert!(dispatched("springtide-operator", "workload-high") > 0.0);
}
