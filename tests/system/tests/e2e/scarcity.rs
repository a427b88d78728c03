//! The operator's own calls go by their FlowSchemas.
use crate::support::cluster;

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
