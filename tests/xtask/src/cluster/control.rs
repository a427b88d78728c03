//! The control plane: etcd, API server, controller manager, scheduler and CoreDNS, as processes in its namespace.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::clock::{Look, wait_until};
use crate::command::{output, quietly};

use super::layout::{API_PORT, CONTROL, CONTROL_IP, NODES, POD_RANGE, SERVICE_RANGE, State};
use super::{kubectl, process, settings};

const API_NAMES: &str = "kubernetes,kubernetes.default,kubernetes.default.svc,kubernetes.default.svc.cluster.local,localhost,10.96.0.1,127.0.0.1";

/// Makes all certificates and kubeconfigs.
pub(crate) fn certificates(state: &State, binaries: &Path, local_port: u16) -> Result<()> {
    std::fs::create_dir_all(state.path("pki"))?;
    let nodes = NODES.map(|node| format!("{}={}", node.name, node.ip())).join(",");
    quietly(&[
        &binaries.join("certs").display().to_string(),
        "--dir",
        &state.text("pki"),
        "--server",
        &format!("https://{CONTROL_IP}:{API_PORT}"),
        "--local",
        &format!("https://127.0.0.1:{local_port}"),
        "--names",
        &format!("{API_NAMES},{CONTROL_IP}"),
        "--nodes",
        &nodes,
    ])?;
    std::fs::copy(state.path("pki/admin.kubeconfig"), state.kubeconfig())?;
    std::fs::copy(state.path("pki/admin-local.kubeconfig"), state.local_kubeconfig())?;
    Ok(())
}

/// Of a cluster with thousands of pods: the API server's garbage is collected when there is five times what is in use, not twice,
/// and sooner only where memory grows short. A collection takes two processors for some seconds; elsewhere the API server has its
/// own, here it shares them with what is measured.
const RARE_COLLECTIONS: [&str; 2] = ["GOGC=400", "GOMEMLIMIT=12GiB"];

/// Starts etcd and the API server.
pub(crate) fn start_api(state: &State, binaries: &Path, has_thousands_of_pods: bool) -> Result<()> {
    settings::audit_policy(state)?;
    start(state, binaries, "etcd", &etcd(state))?;
    let name = "kube-apiserver";
    let program = binaries.join(name).display().to_string();
    let mut words = vec![program];
    if has_thousands_of_pods {
        words.splice(
            0..0,
            ["env"].into_iter().chain(RARE_COLLECTIONS).map(str::to_owned),
        );
    }
    words.extend(api_server(state));
    process::start(state, name, Some(CONTROL), &words)
}

/// Waits until the API server serves.
pub(crate) fn wait_api(state: &State, binaries: &Path) -> Result<()> {
    wait_until("the API server", Duration::from_mins(1), || {
        process::check_alive(state, "etcd")?;
        process::check_alive(state, "kube-apiserver")?;
        let mut ready = kubectl(state, binaries);
        ready.args(["get", "--raw", "/readyz", "--request-timeout=2s"]);
        Ok(Look::tried(output(&mut ready)))
    })
}

/// Starts what works on the API server. A node that is not heard for `node_grace_seconds` is lost.
pub(crate) fn start_rest(state: &State, binaries: &Path, node_grace_seconds: u32) -> Result<()> {
    settings::scheduler(state)?;
    settings::dns(state)?;
    settings::dns_access(state)?;
    start(
        state,
        binaries,
        "kube-controller-manager",
        &controller_manager(state, node_grace_seconds),
    )?;
    start(
        state,
        binaries,
        "kube-scheduler",
        &[format!("--config={}", state.text("config/scheduler.json"))],
    )?;
    let mut access = kubectl(state, binaries);
    output(
        access
            .args(["apply", "--filename"])
            .arg(state.path("config/dns-access.json")),
    )?;
    start(
        state,
        binaries,
        "coredns",
        &["-conf".to_owned(), state.text("config/Corefile")],
    )
}

fn start(state: &State, binaries: &Path, name: &str, arguments: &[String]) -> Result<()> {
    let words: Vec<String> = [binaries.join(name).display().to_string()]
        .into_iter()
        .chain(arguments.iter().cloned())
        .collect();
    process::start(state, name, Some(CONTROL), &words)
}

fn etcd(state: &State) -> Vec<String> {
    vec![
        "--name=springtide".into(),
        format!("--data-dir={}", state.text("etcd")),
        "--listen-client-urls=http://127.0.0.1:2379".into(),
        "--advertise-client-urls=http://127.0.0.1:2379".into(),
        "--listen-peer-urls=http://127.0.0.1:2380".into(),
        // The data lives as long as the cluster: nothing is to be kept over a loss of power.
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
    ]
}

fn api_server(state: &State) -> Vec<String> {
    let pki = |name: &str| state.text(&format!("pki/{name}"));
    vec![
        format!("--advertise-address={CONTROL_IP}"),
        format!("--secure-port={API_PORT}"),
        "--etcd-servers=http://127.0.0.1:2379".into(),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--allow-privileged=true".into(),
        format!("--client-ca-file={}", pki("ca.crt")),
        format!("--tls-cert-file={}", pki("apiserver.crt")),
        format!("--tls-private-key-file={}", pki("apiserver.key")),
        format!("--kubelet-certificate-authority={}", pki("ca.crt")),
        format!(
            "--kubelet-client-certificate={}",
            pki("apiserver-kubelet-client.crt")
        ),
        format!("--kubelet-client-key={}", pki("apiserver-kubelet-client.key")),
        "--kubelet-preferred-address-types=InternalIP".into(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
        format!("--service-account-key-file={}", pki("sa.pub")),
        format!("--service-account-signing-key-file={}", pki("sa.key")),
        format!("--requestheader-client-ca-file={}", pki("front-proxy-ca.crt")),
        "--requestheader-allowed-names=front-proxy-client".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
        format!("--proxy-client-cert-file={}", pki("front-proxy-client.crt")),
        format!("--proxy-client-key-file={}", pki("front-proxy-client.key")),
        // No kube-proxy runs beside the API server: webhooks are called at their pods.
        "--enable-aggregator-routing=true".into(),
        format!("--audit-policy-file={}", state.text("config/audit-policy.json")),
        format!("--audit-log-path={}", state.text("logs/audit.log")),
        "--profiling=false".into(),
    ]
}

fn controller_manager(state: &State, node_grace_seconds: u32) -> Vec<String> {
    let pki = |name: &str| state.text(&format!("pki/{name}"));
    vec![
        format!("--kubeconfig={}", pki("kube-controller-manager.kubeconfig")),
        format!(
            "--authentication-kubeconfig={}",
            pki("kube-controller-manager.kubeconfig")
        ),
        format!(
            "--authorization-kubeconfig={}",
            pki("kube-controller-manager.kubeconfig")
        ),
        format!("--root-ca-file={}", pki("ca.crt")),
        format!("--client-ca-file={}", pki("ca.crt")),
        format!("--cluster-signing-cert-file={}", pki("ca.crt")),
        format!("--cluster-signing-key-file={}", pki("ca.key")),
        format!("--service-account-private-key-file={}", pki("sa.key")),
        format!("--cluster-cidr={POD_RANGE}"),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        "--use-service-account-credentials=true".into(),
        "--leader-elect=false".into(),
        format!("--node-monitor-grace-period={node_grace_seconds}s"),
        "--node-monitor-period=2s".into(),
        "--kube-api-qps=500".into(),
        "--kube-api-burst=1000".into(),
        "--profiling=false".into(),
    ]
}
