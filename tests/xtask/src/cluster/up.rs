//! Bringing the cluster up.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result, anyhow, bail};

use crate::clock::{Look, wait_until};
use crate::command::output;
use crate::images::oci;
use crate::progress::{Step, alone};
use crate::{packages, workspace};

use super::layout::{API_PORT, CONTROL, CONTROL_IP, NODES, Node, PAUSE_IMAGE, State, write};
use super::{binaries, control, down, fake, kubectl, network, node, process};

/// Seconds until a node that is not heard is lost. A fake one is never: while thousands of pods come at once its heartbeats are late.
const NODE_GRACE: u32 = 10;
const FAKE_NODE_GRACE: u32 = 3_600;

/// Whether this machine can run the cluster; an error says what is missing.
pub(crate) fn possible() -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("the cluster needs Linux: it is made of network namespaces and cgroups");
    }
    if !workspace::is_root() {
        bail!("the cluster needs root: it makes network namespaces and cgroups; run this under `sudo -E`");
    }
    Ok(())
}

/// Packages, programs, and the cluster itself, each shown as a step.
pub(crate) fn run(state: &State, fake_nodes: Option<u16>) -> Result<()> {
    possible()?;
    alone("packages", |step| packages::ensure(step, packages::CLUSTER))?;
    let folder = alone("cluster programs", |step| {
        binaries::ensure(step, fake_nodes.is_some())
    })?;
    alone("cluster up", |step| start(step, state, &folder, fake_nodes))
}

/// Starts the cluster after cleaning what an earlier run left; with `fake_nodes`, so many of kwok's instead of the two.
pub(crate) fn start(step: &Step, state: &State, folder: &Path, fake_nodes: Option<u16>) -> Result<()> {
    step.note("cleaning what an earlier run left");
    down::clean(state, Duration::ZERO)?;
    if network::exists() {
        bail!(
            "network namespaces named springtide-… are there already, of another state folder; take that cluster down with --state"
        );
    }
    step.note("networks and certificates");
    for name in ["logs", "pids"] {
        fs::create_dir_all(state.path(name)).context("cannot make the state folder")?;
    }
    write(&state.path("binaries"), &folder.display().to_string())?;
    let port = free_port()?;
    network::create()?;
    control::certificates(state, folder, port)?;
    pause_image(state, folder)?;
    step.note("control plane and container runtimes");
    control::start_api(state, folder, fake_nodes.is_some())?;
    if fake_nodes.is_none() {
        on_each_node(|node| node::start_runtime(state, node))?;
    }
    control::wait_api(state, folder)?;
    let grace = if fake_nodes.is_some() {
        FAKE_NODE_GRACE
    } else {
        NODE_GRACE
    };
    control::start_rest(state, folder, grace)?;
    match fake_nodes {
        Some(count) => fake::start(state, folder, count)?,
        None => NODES
            .into_iter()
            .try_for_each(|node| node::start_agents(state, folder, node))?,
    }
    start_forwarder(state, port)?;
    step.note("waiting for the nodes");
    wait_ready(state, folder, fake_nodes.map_or(NODES.len(), usize::from))?;
    state.describe(folder, port)
}

/// Starts the daemons of a node that was killed.
pub(crate) fn restart_node(state: &State, node: Node) -> Result<()> {
    let folder = state.binaries()?;
    node::kill(state, node)?;
    node::start_runtime(state, node)?;
    node::start_agents(state, &folder, node)?;
    network::heal(node)
}

/// Runs the same for all nodes side by side; the first error is returned.
pub(crate) fn on_each_node(work: impl Fn(Node) -> Result<()> + Sync) -> Result<()> {
    let work = &work;
    thread::scope(|scope| {
        let running: Vec<_> = NODES
            .map(|node| scope.spawn(move || work(node)))
            .into_iter()
            .collect();
        let ended = running.into_iter().map(thread::ScopedJoinHandle::join);
        let results: Vec<Result<()>> = ended
            .map(|result| result.unwrap_or_else(|_| Err(anyhow!("a thread broke off"))))
            .collect();
        results.into_iter().collect()
    })
}

fn pause_image(state: &State, folder: &Path) -> Result<()> {
    let contents = oci::Contents {
        name: PAUSE_IMAGE,
        entrypoint: "/pause",
        files: vec![(folder.join("pause"), "/pause".to_owned())],
        user: "65535:65535",
    };
    oci::pack(
        &contents,
        &state.path("images/pause"),
        &state.path("images/pause.tar"),
    )
    .map(drop)
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port on loopback")?;
    Ok(listener.local_addr()?.port())
}

fn start_forwarder(state: &State, port: u16) -> Result<()> {
    // A copy, since builds replace the program that runs now.
    let copy = state.program();
    fs::copy("/proc/self/exe", &copy).with_context(|| format!("cannot write {}", copy.display()))?;
    let this = copy.display().to_string();
    let (listen, to) = (format!("127.0.0.1:{port}"), format!("{CONTROL_IP}:{API_PORT}"));
    let words = [
        this.as_str(),
        "forward",
        "--listen",
        &listen,
        "--netns",
        CONTROL,
        "--to",
        &to,
    ];
    process::start(state, "forward-api", None, &words)
}

fn wait_ready(state: &State, folder: &Path, nodes: usize) -> Result<()> {
    let wanted = vec!["True"; nodes].join(" ");
    wait_until("all nodes to be ready", Duration::from_secs(90), || {
        for name in process::recorded(state)? {
            process::check_alive(state, &name.name)?;
        }
        let mut ready = kubectl(state, folder);
        let path = "jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}";
        let seen = output(ready.args(["get", "nodes", "--output", path]))?;
        Ok(if seen.trim() == wanted {
            Look::Ready
        } else {
            Look::NotYet(seen)
        })
    })?;
    wait_until("the default service account", Duration::from_secs(30), || {
        let mut account = kubectl(state, folder);
        Ok(Look::tried(output(account.args([
            "get",
            "serviceaccount",
            "default",
            "--output",
            "name",
        ]))))
    })
}
