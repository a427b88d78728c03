//! Names, addresses and files of the local cluster. All that a running cluster writes is under its *state folder*;
//! nothing else on the machine is changed but network namespaces and cgroups that carry our names.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;

/// Network namespace of the control plane; it holds the bridge.
pub(crate) const CONTROL: &str = "springtide-control";
/// Address of the control plane on the bridge, of the API server and of CoreDNS.
pub(crate) const CONTROL_IP: &str = "10.97.0.1";
/// The API server's port.
pub(crate) const API_PORT: u16 = 6443;
/// All pods of all nodes.
pub(crate) const POD_RANGE: &str = "10.98.0.0/16";
/// Service addresses; the first is the API server's.
pub(crate) const SERVICE_RANGE: &str = "10.96.0.0/16";
/// Image of the program that holds a pod's namespaces.
pub(crate) const PAUSE_IMAGE: &str = "springtide.dev/pause:1";

/// One node of the cluster.
#[derive(Clone, Copy)]
pub(crate) struct Node {
    /// Kubernetes' name of the node.
    pub(crate) name: &'static str,
    /// Last part of its addresses.
    pub(crate) number: u8,
    /// Value of its `topology.kubernetes.io/zone` label.
    pub(crate) zone: &'static str,
}

/// The two nodes.
pub(crate) const NODES: [Node; 2] = [
    Node {
        name: "node-1",
        number: 1,
        zone: "a",
    },
    Node {
        name: "node-2",
        number: 2,
        zone: "b",
    },
];

impl Node {
    /// Finds a node by its name.
    pub(crate) fn named(name: &str) -> Result<Self> {
        let found = NODES.into_iter().find(|node| node.name == name);
        found.with_context(|| {
            format!(
                "no node `{name}`; there are {}",
                NODES.map(|node| node.name).join(" and ")
            )
        })
    }

    /// Its network namespace.
    pub(crate) fn netns(self) -> String {
        format!("springtide-{}", self.name)
    }

    /// Its address on the bridge.
    pub(crate) fn ip(self) -> String {
        format!("10.97.0.1{}", self.number)
    }

    /// Addresses of its pods.
    pub(crate) fn pod_range(self) -> String {
        format!("10.98.{}.0/24", self.number)
    }

    /// The bridge's side of its cable.
    pub(crate) fn link(self) -> String {
        format!("to-{}", self.name)
    }

    /// The cgroup that holds its pods, below each hierarchy.
    pub(crate) fn cgroup(self) -> String {
        format!("springtide-{}", self.name)
    }

    /// Its containerd's mark in the record of processes.
    pub(crate) fn process(self, program: &str) -> String {
        format!("{}-{program}", self.name)
    }
}

/// Files in the state folder.
#[derive(Clone)]
pub(crate) struct State(PathBuf);

impl State {
    /// `folder` may not exist yet.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let folder = std::path::absolute(folder).context("the state folder's path")?;
        if folder.as_os_str().len() > 60 {
            bail!(
                "{} is too long a path for unix sockets; choose a shorter --state",
                folder.display()
            );
        }
        Ok(Self(folder))
    }

    /// The folder itself.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// A file or folder in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The same as text, for settings and arguments.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Administrator's kubeconfig for use inside the network namespaces.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// Administrator's kubeconfig for use outside, through the forwarder.
    pub(crate) fn local_kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig-local")
    }

    /// A copy of this very program, for the forwarders of a running cluster.
    pub(crate) fn program(&self) -> PathBuf {
        self.path("xtask")
    }

    /// A node's own folder.
    pub(crate) fn node(&self, node: Node, name: &str) -> PathBuf {
        self.path("nodes").join(node.name).join(name)
    }

    /// The socket of a node's containerd.
    pub(crate) fn containerd_socket(&self, node: Node) -> PathBuf {
        self.node(node, "containerd.sock")
    }

    /// Where the cluster's binaries are, as recorded when it was brought up.
    pub(crate) fn binaries(&self) -> Result<PathBuf> {
        let recorded = fs::read_to_string(self.path("binaries"));
        recorded
            .map(PathBuf::from)
            .context("no cluster is up here; bring one up with `cargo xtask cluster up`")
    }

    /// Writes `cluster.json`: what tests need to know of a running cluster.
    pub(crate) fn describe(&self, binaries: &Path, api_port: u16) -> Result<()> {
        let node = |node: Node| {
            json!({
                "name": node.name, "netns": node.netns(), "ip": node.ip(), "podRange": node.pod_range(),
                "zone": node.zone, "containerd": self.containerd_socket(node),
            })
        };
        let text = json!({
            "kubeconfig": self.kubeconfig(),
            "kubeconfigLocal": self.local_kubeconfig(),
            "apiServer": format!("https://{CONTROL_IP}:{API_PORT}"),
            "apiServerLocal": format!("https://127.0.0.1:{api_port}"),
            "controlNetns": CONTROL,
            "nodes": NODES.map(node),
            "binaries": binaries,
            "xtask": self.program(),
            "auditLog": self.path("logs/audit.log"),
        });
        write(&self.path("cluster.json"), &format!("{text:#}\n"))
    }
}

/// Writes a file and the folders above it.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
