//! Taking the cluster down, and cleaning what a killed one left: only what is recorded in the state folder, runs in our
//! cgroups and namespaces, or is mounted below that folder.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context, Result};

use super::layout::{NODES, State};
use super::{cgroup, network, node, process, traces};

/// Ends everything and removes the state folder's contents. Processes get `grace` to end by themselves.
pub(crate) fn clean(state: &State, grace: Duration) -> Result<()> {
    let ours = state.path("binaries").exists();
    process::stop(&process::recorded(state)?, grace)?;
    if ours {
        for node in NODES {
            node::kill_pods(state, node)?;
        }
    }
    node::unmount_below(state.folder())?;
    if ours {
        NODES.into_iter().try_for_each(cgroup::delete)?;
        network::delete()?;
        traces::remove(state);
    }
    remove_state(state)
}

/// Only what this tool writes, by name: the folder itself may be the user's.
fn remove_state(state: &State) -> Result<()> {
    let names = ["nodes", "etcd", "pki", "config", "images", "pids", "logs"];
    for path in names.map(|name| state.path(name)) {
        ignore_absent(fs::remove_dir_all(&path))
            .with_context(|| format!("cannot remove {}", path.display()))?;
    }
    for path in [
        "kubeconfig",
        "kubeconfig-local",
        "cluster.json",
        "xtask",
        "binaries",
    ]
    .map(|name| state.path(name))
    {
        ignore_absent(fs::remove_file(&path)).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    let _ = fs::remove_dir(state.folder());
    Ok(())
}

fn ignore_absent(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
