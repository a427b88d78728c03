//! A node: containerd, kubelet and kube-proxy in its own network namespace, and what its pods leave behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock::{Look, wait_until};
use crate::command::{command, output};

use super::layout::{Node, State};
use super::{cgroup, process, settings, traces};

/// Starts a node's containerd and gives it the pause image.
pub(crate) fn start_runtime(state: &State, node: Node) -> Result<()> {
    settings::containerd(state, node, plugins())?;
    settings::pod_network(state, node)?;
    cgroup::create(node)?;
    let name = node.process("containerd");
    let config = state.node(node, "containerd.toml").display().to_string();
    process::start(
        state,
        &name,
        Some(&node.netns()),
        &["containerd", "--log-level", "info", "--config", &config],
    )?;
    cgroup::enter_runtime(node, process::id_of(state, &name)?)?;
    wait_until("containerd", Duration::from_secs(30), || {
        process::check_alive(state, &name)?;
        Ok(Look::tried(ctr(state, node, &["version"])))
    })?;
    load_image(state, node, &state.path("images/pause.tar"))
}

/// Starts a node's kubelet and kube-proxy.
pub(crate) fn start_agents(state: &State, binaries: &Path, node: Node) -> Result<()> {
    settings::kubelet(state, node)?;
    settings::proxy(state, node)?;
    for folder in ["pod-logs", "volume-plugins", "kubelet"] {
        fs::create_dir_all(state.node(node, folder))?;
    }
    let (netns, program) = (node.netns(), |name: &str| {
        binaries.join(name).display().to_string()
    });
    let file = |name: &str| state.node(node, name).display().to_string();
    process::start(
        state,
        &node.process("kubelet"),
        Some(&netns),
        &[
            program("kubelet"),
            format!("--config={}", file("kubelet.json")),
            // Statistics of many small pods are costly on a small machine; the default is every ten seconds.
            "--housekeeping-interval=60s".to_owned(),
            format!(
                "--kubeconfig={}",
                state.text(&format!("pki/{}.kubeconfig", node.name))
            ),
            format!("--hostname-override={}", node.name),
            format!("--node-ip={}", node.ip()),
            format!("--root-dir={}", file("kubelet")),
            format!("--cert-dir={}", file("kubelet/pki")),
            format!("--node-labels=topology.kubernetes.io/zone={}", node.zone),
        ],
    )?;
    let config = format!("--config={}", file("kube-proxy.json"));
    process::start(
        state,
        &node.process("kube-proxy"),
        Some(&netns),
        &[program("kube-proxy"), config],
    )
}

/// Imports an image archive.
pub(crate) fn load_image(state: &State, node: Node, archive: &Path) -> Result<()> {
    ctr(
        state,
        node,
        &[
            "--namespace",
            "k8s.io",
            "images",
            "import",
            &archive.display().to_string(),
        ],
    )
    .map(drop)
}

/// Digests of a node's images, by name.
pub(crate) fn images(state: &State, node: Node) -> Result<Vec<(String, String)>> {
    let list = ctr(state, node, &["--namespace", "k8s.io", "images", "list"])?;
    let rows = list
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    Ok(rows
        .filter(|row| row.len() > 2)
        .map(|row| (row[0].to_owned(), row[2].to_owned()))
        .collect())
}

/// Containerd's own client, at a node.
fn ctr(state: &State, node: Node, words: &[&str]) -> Result<String> {
    let mut client = command(&["ctr", "--address"]);
    output(client.arg(state.containerd_socket(node)).args(words))
}

/// Kills all of a node at once, as a loss of power would: its daemons, shims and pods.
pub(crate) fn kill(state: &State, node: Node) -> Result<()> {
    let mark = node.process("");
    let daemons: Vec<_> = process::recorded(state)?
        .into_iter()
        .filter(|process| process.name.starts_with(&mark))
        .collect();
    process::stop(&daemons, Duration::ZERO)?;
    kill_pods(state, node)
}

/// Kills a node's shims and what runs in its pods, and removes the shims' sockets.
pub(crate) fn kill_pods(state: &State, node: Node) -> Result<()> {
    process::kill(&process::find(
        "containerd-shim-runc-v2",
        &state.containerd_socket(node),
    ))?;
    cgroup::kill(node)?;
    traces::remove_shim_sockets(state, node);
    Ok(())
}

/// Lazily unmounts all that is mounted below a folder, innermost first.
pub(crate) fn unmount_below(folder: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read the mounts")?;
    let points = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from);
    let mut ours: Vec<_> = points
        .filter(|point| point.starts_with(folder) && point != folder)
        .collect();
    ours.sort();
    for point in ours.iter().rev() {
        output(command(&["umount", "--lazy"]).arg(point))?;
    }
    Ok(())
}

fn plugins() -> &'static Path {
    let usual = ["/usr/lib/cni", "/opt/cni/bin"].map(Path::new);
    usual
        .into_iter()
        .find(|folder| folder.join("ptp").is_file())
        .unwrap_or(usual[0])
}
