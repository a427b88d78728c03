//! The cgroups that hold our nodes' pods: one per node, in each hierarchy of cgroup v1 or in the one of v2.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::clock::{Look, wait_until};

use super::layout::Node;
use super::process;

const TOP: &str = "/sys/fs/cgroup";

/// Of the processors, the nodes get this many times the part of one process outside of them (v1; then that of v2, of 100).
const NODE_SHARES: (&str, &str) = ("8192", "800");
/// Of a node's processors, starting and stopping containers gets this part, beside 1024 for each processor that pods get: on
/// a machine that is full, those that answer go before those that start.
const RUNTIME_SHARES: (&str, &str) = ("512", "50");
/// The container runtime's cgroup in that of its node.
const RUNTIME: &str = "runtime";

/// Makes a node's cgroup in each hierarchy, and in it one for its container runtime.
pub(crate) fn create(node: Node) -> Result<()> {
    for hierarchy in hierarchies()? {
        if hierarchy == Path::new(TOP) {
            let controllers = fs::read_to_string(hierarchy.join("cgroup.controllers"))?;
            let all = controllers
                .split_whitespace()
                .map(|name| format!("+{name}"))
                .collect::<Vec<_>>()
                .join(" ");
            fs::write(hierarchy.join("cgroup.subtree_control"), all).context("cannot pass controllers on")?;
        }
        let folder = hierarchy.join(node.cgroup());
        make(&hierarchy, &folder, NODE_SHARES)?;
        make(&hierarchy, &folder.join(RUNTIME), RUNTIME_SHARES)?;
    }
    Ok(())
}

fn make(hierarchy: &Path, folder: &Path, shares: (&str, &str)) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // A new cpuset of v1 is empty and takes no process.
    for name in ["cpuset.cpus", "cpuset.mems"] {
        if hierarchy != Path::new(TOP) && folder.join(name).exists() {
            let whole = fs::read_to_string(hierarchy.join(name))?;
            fs::write(folder.join(name), whole).with_context(|| format!("cannot fill {name}"))?;
        }
    }
    for (name, value) in [("cpu.shares", shares.0), ("cpu.weight", shares.1)] {
        if folder.join(name).exists() {
            fs::write(folder.join(name), value).with_context(|| format!("cannot set {name}"))?;
        }
    }
    Ok(())
}

/// Puts a node's container runtime, and all that it will start outside of pods, into its cgroup.
pub(crate) fn enter_runtime(node: Node, pid: u32) -> Result<()> {
    for hierarchy in hierarchies()? {
        let folder = hierarchy.join(node.cgroup()).join(RUNTIME);
        if folder.join("cpu.shares").exists() || hierarchy == Path::new(TOP) {
            fs::write(folder.join("cgroup.procs"), pid.to_string())
                .with_context(|| format!("cannot move process {pid} to {}", folder.display()))?;
        }
    }
    Ok(())
}

/// Kills every process in a node's cgroup.
pub(crate) fn kill(node: Node) -> Result<()> {
    let mut pids = Vec::new();
    for hierarchy in hierarchies()? {
        members(&hierarchy.join(node.cgroup()), &mut pids);
    }
    pids.sort_unstable();
    pids.dedup();
    process::kill(&pids)
}

/// Processes of one pod, by its unique id.
pub(crate) fn pod_members(node: Node, uid: &str) -> Result<Vec<u32>> {
    let mut pids = Vec::new();
    for hierarchy in hierarchies()? {
        for folder in walk(&hierarchy.join(node.cgroup())) {
            if folder
                .file_name()
                .is_some_and(|name| name.to_string_lossy() == format!("pod{uid}"))
            {
                members(&folder, &mut pids);
            }
        }
    }
    Ok(pids)
}

/// Removes a node's cgroup from each hierarchy.
pub(crate) fn delete(node: Node) -> Result<()> {
    for hierarchy in hierarchies()? {
        let folder = hierarchy.join(node.cgroup());
        wait_until(
            &format!("{} to empty", folder.display()),
            Duration::from_secs(5),
            || {
                let removed = walk(&folder).iter().try_for_each(fs::remove_dir);
                Ok(Look::tried(removed.map_err(anyhow::Error::from)))
            },
        )?;
    }
    Ok(())
}

/// The mounted hierarchies that may hold our cgroups.
fn hierarchies() -> Result<Vec<PathBuf>> {
    if Path::new(TOP).join("cgroup.controllers").exists() {
        return Ok(vec![PathBuf::from(TOP)]);
    }
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read the mounts")?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let v1 = fields.filter(|fields| fields.len() > 2 && fields[2].starts_with("cgroup"));
    let found: Vec<_> = v1.map(|fields| PathBuf::from(fields[1])).collect();
    if found.is_empty() {
        bail!("no cgroups are mounted under {TOP}; the cluster's kubelets need them");
    }
    Ok(found)
}

fn members(folder: &Path, pids: &mut Vec<u32>) {
    for folder in walk(folder) {
        let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        pids.extend(
            text.lines()
                .filter_map(|line| line.parse::<u32>().ok())
                .filter(|&pid| pid > 1),
        );
    }
}

/// A cgroup and all below it, innermost first.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    if folder.is_dir() {
        let inner = fs::read_dir(folder).into_iter().flatten().map_while(Result::ok);
        for entry in inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            all.extend(walk(&entry.path()));
        }
        all.push(folder.to_path_buf());
    }
    all
}
