//! The settings files of the cluster's programs. JSON is YAML too, so the Kubernetes ones are written as JSON.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::layout::{CONTROL_IP, Node, PAUSE_IMAGE, POD_RANGE, State, write};

/// Audit: when each pod was asked for, in microseconds, which the object itself does not say, and with what annotations; which
/// one a deletion meant; and who wrote what into a pool, statuses aside.
pub(crate) fn audit_policy(state: &State) -> Result<()> {
    let rule = |level: &str, verbs: &[&str]| json!({"level": level, "verbs": verbs, "resources": [{"group": "", "resources": ["pods"]}]});
    let changes = ["update", "patch", "deletecollection"];
    let pools = json!({"group": "springtide.dev", "resources": ["botpools", "botpools/scale"]});
    save(
        &state.path("config/audit-policy.json"),
        &json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
            "rules": [rule("Request", &["create", "delete"]), rule("Metadata", &changes),
                {"level": "Request", "verbs": ["update", "patch"], "resources": [pools]}, {"level": "None"}],
        }),
    )
}

/// The scheduler, at a speed that does not bound the tests.
pub(crate) fn scheduler(state: &State) -> Result<()> {
    save(
        &state.path("config/scheduler.json"),
        &json!({
            "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
            "leaderElection": {"leaderElect": false},
            "clientConnection": {"kubeconfig": state.path("pki/kube-scheduler.kubeconfig"), "qps": 500, "burst": 1000},
        }),
    )
}

/// CoreDNS on the control plane's address, which pods reach without a service.
pub(crate) fn dns(state: &State) -> Result<()> {
    let kubeconfig = state.text("pki/coredns.kubeconfig");
    let text = format!(
        ".:53 {{\n    bind {CONTROL_IP}\n    errors\n    health 127.0.0.1:8080\n    ready 127.0.0.1:8181\n    \
         kubernetes cluster.local in-addr.arpa {{\n        kubeconfig {kubeconfig}\n        pods insecure\n        \
         ttl 5\n    }}\n}}\n"
    );
    write(&state.path("config/Corefile"), &text)
}

/// What CoreDNS may read.
pub(crate) fn dns_access(state: &State) -> Result<()> {
    let read = |group: &str, resources: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": ["list", "watch"]});
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "springtide:coredns"},
        "rules": [read("", &["endpoints", "services", "pods", "namespaces"]), read("discovery.k8s.io", &["endpointslices"])],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "springtide:coredns"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "springtide:coredns"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:coredns"}],
    });
    save(
        &state.path("config/dns-access.json"),
        &json!({"apiVersion": "v1", "kind": "List", "items": [role, binding]}),
    )
}

/// A node's kubelet. Images are never collected and disks never count as full: the machine is shared.
pub(crate) fn kubelet(state: &State, node: Node) -> Result<()> {
    let pki = |name: &str| state.path(&format!("pki/{name}"));
    save(
        &state.node(node, "kubelet.json"),
        &json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "address": node.ip(), "healthzBindAddress": "127.0.0.1",
            "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true}, "x509": {"clientCAFile": pki("ca.crt")}},
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": pki(&format!("{}.crt", node.name)), "tlsPrivateKeyFile": pki(&format!("{}.key", node.name)),
            "containerRuntimeEndpoint": format!("unix://{}", state.containerd_socket(node).display()),
            "cgroupDriver": "cgroupfs", "cgroupRoot": format!("/{}", node.cgroup()), "failCgroupV1": false, "failSwapOn": false,
            "clusterDNS": [CONTROL_IP], "clusterDomain": "cluster.local", "resolvConf": "",
            "podLogsDir": state.node(node, "pod-logs"), "volumePluginDir": state.node(node, "volume-plugins"),
            "maxPods": 110, "serializeImagePulls": false, "kubeAPIQPS": 100, "kubeAPIBurst": 200, "oomScoreAdj": 0,
            "nodeStatusUpdateFrequency": "2s", "nodeLeaseDurationSeconds": 8,
            "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
        }),
    )
}

/// A node's kube-proxy.
pub(crate) fn proxy(state: &State, node: Node) -> Result<()> {
    save(
        &state.node(node, "kube-proxy.json"),
        &json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "iptables",
            "hostnameOverride": node.name, "clusterCIDR": POD_RANGE, "oomScoreAdj": 0,
            "clientConnection": {"kubeconfig": state.path("pki/kube-proxy.kubeconfig")},
            "healthzBindAddress": "127.0.0.1:10256", "metricsBindAddress": "127.0.0.1:10249",
            // The kernel's limits cannot be set from a namespace.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            "iptables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
        }),
    )
}

/// A node's pod network: each pod is routed (not bridged) to its node, so that services work between pods of one node
/// whatever the kernel's bridge does.
pub(crate) fn pod_network(state: &State, node: Node) -> Result<()> {
    save(
        &state.node(node, "cni/10-pods.conflist"),
        &json!({
            "cniVersion": "0.4.0", "name": node.cgroup(),
            "plugins": [{
                "type": "ptp", "ipMasq": false,
                "ipam": {
                    "type": "host-local", "dataDir": state.node(node, "addresses"),
                    "ranges": [[{"subnet": node.pod_range()}]], "routes": [{"dst": "0.0.0.0/0"}],
                },
            }],
        }),
    )
}

/// A node's containerd, with all its folders and sockets of its own.
pub(crate) fn containerd(state: &State, node: Node, plugins: &Path) -> Result<()> {
    let path = |name: &str| state.node(node, name).display().to_string();
    let text = format!(
        r#"version = 2
root = "{root}"
state = "{run}"
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{opt}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_tcp_service = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{cni}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "{runc}"
"#,
        root = path("containerd"),
        run = path("containerd-run"),
        socket = path("containerd.sock"),
        opt = path("opt"),
        cni = path("cni"),
        runc = path("runc"),
        plugins = plugins.display(),
    );
    write(&state.node(node, "containerd.toml"), &text)
}

fn save(path: &Path, value: &Value) -> Result<()> {
    write(path, &format!("{value:#}\n"))
}
