//! `cluster`: a real two-node Kubernetes on this machine. Every part is the real program, each node in its own network
//! namespace; nothing is simulated but the machines.

mod binaries;
mod cgroup;
mod control;
mod down;
mod fake;
pub(crate) mod layout;
mod network;
mod node;
mod process;
mod settings;
mod status;
mod traces;
mod up;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::command::{attached, output};
use crate::progress::alone;

use layout::{NODES, Node, State};

pub(crate) use layout::CONTROL;

pub(crate) use binaries::ensure as ensure_binaries;
pub(crate) use node::{images as node_images, load_image};
pub(crate) use process::in_netns;
pub(crate) use up::{on_each_node, possible, start};

/// Where a cluster keeps its files unless told otherwise.
pub(crate) const DEFAULT_STATE: &str = "/var/lib/springtide-cluster";
/// Environment variable that names the state folder; tests find the cluster by it.
pub(crate) const STATE_VARIABLE: &str = "SPRINGTIDE_CLUSTER_STATE";
const GRACE: Duration = Duration::from_secs(2);

/// Options of all cluster commands.
#[derive(Args)]
pub(crate) struct Options {
    /// Folder that holds all that the running cluster writes.
    #[arg(long, env = STATE_VARIABLE, default_value = DEFAULT_STATE)]
    state: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Build what is missing, clean what an earlier run left, and start both nodes.
    Up {
        /// Instead of the two nodes, so many fake ones: kwok answers for them and for the pods on them.
        #[arg(long, value_name = "COUNT")]
        fake_nodes: Option<u16>,
    },
    /// Stop everything and remove what the cluster wrote.
    Down,
    /// Show nodes, processes, and how to reach the cluster.
    Status,
    /// Run kubectl as administrator.
    #[command(disable_help_flag = true)]
    Kubectl {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run helm as administrator.
    #[command(disable_help_flag = true)]
    Helm {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Import an image archive (an OCI layout as a tar file) into both nodes.
    LoadImage {
        /// The archive.
        archive: PathBuf,
    },
    /// Cut a node's network cable.
    Partition {
        /// node-1 or node-2.
        node: String,
    },
    /// Join a node's network cable again.
    Heal {
        /// node-1 or node-2.
        node: String,
    },
    /// Kill all of a node at once: daemons, containers, all.
    KillNode {
        /// node-1 or node-2.
        node: String,
    },
    /// Start a killed node again, and join its cable.
    StartNode {
        /// node-1 or node-2.
        node: String,
    },
    /// Run a command in a network namespace: `control`, `node-1`, `node-2`, or a pod's as `pod:NAMESPACE/NAME`.
    #[command(disable_help_flag = true)]
    Exec {
        netns: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<String>,
    },
}

/// Runs one cluster command.
pub(crate) fn run(options: Options) -> Result<()> {
    let state = State::new(&options.state)?;
    match options.action {
        Action::Up { fake_nodes } => up::run(&state, fake_nodes).and_then(|()| status::show(&state)),
        Action::Down => alone("cluster down", |_| stop(&state)),
        Action::Status => status::show(&state),
        Action::Kubectl { arguments } => attached(kubectl(&state, &state.binaries()?).args(arguments)),
        Action::Helm { arguments } => attached(client(&state, &state.binaries()?, "helm").args(arguments)),
        Action::LoadImage { archive } => on_each_node(|node| load_image(&state, node, &archive))
            .context("the image was not loaded everywhere"),
        Action::Partition { node } => network::partition(Node::named(&node)?),
        Action::Heal { node } => network::heal(Node::named(&node)?),
        Action::KillNode { node } => node::kill(&state, Node::named(&node)?),
        Action::StartNode { node } => up::restart_node(&state, Node::named(&node)?),
        Action::Exec { netns, words } => {
            let net = format!("--net={}", namespace(&state, &netns)?);
            attached(Command::new("nsenter").arg(net).args(words))
        }
    }
}

/// Takes the cluster of a state folder down.
pub(crate) fn stop(state: &State) -> Result<()> {
    possible()?;
    down::clean(state, GRACE)
}

/// kubectl as administrator, run where the API server is.
pub(crate) fn kubectl(state: &State, binaries: &Path) -> Command {
    client(state, binaries, "kubectl")
}

/// kubectl or helm as administrator, run where the API server is.
pub(crate) fn client(state: &State, binaries: &Path, program: &str) -> Command {
    let program = binaries.join(program).display().to_string();
    let mut client = process::in_netns(Some(CONTROL), &[program]);
    client.env("KUBECONFIG", state.kubeconfig());
    client
}

/// The file of a network namespace that a person named.
fn namespace(state: &State, name: &str) -> Result<String> {
    if let Some(pod) = name.strip_prefix("pod:") {
        return pod_namespace(state, pod);
    }
    let known = if name == "control" {
        Some(CONTROL.to_owned())
    } else {
        Node::named(name).ok().map(Node::netns)
    };
    Ok(format!("/run/netns/{}", known.unwrap_or_else(|| name.to_owned())))
}

fn pod_namespace(state: &State, pod: &str) -> Result<String> {
    let (namespace, name) = pod.split_once('/').context("name a pod as pod:NAMESPACE/NAME")?;
    let mut get = kubectl(state, &state.binaries()?);
    let uid = output(get.args([
        "get",
        "pod",
        name,
        "--namespace",
        namespace,
        "--output",
        "jsonpath={.metadata.uid}",
    ]))?;
    for node in NODES {
        if let Some(pid) = cgroup::pod_members(node, uid.trim())?.first() {
            return Ok(format!("/proc/{pid}/ns/net"));
        }
    }
    anyhow::bail!("pod {pod} runs no process on this machine; see `cargo xtask cluster kubectl describe pod`")
}
