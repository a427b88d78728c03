//! What the cluster's programs leave at fixed places outside the state folder, whatever their settings say. Only what
//! names our state folder is removed, and a folder only when nothing else is in it.

use std::fs::{self, DirEntry};
use std::path::Path;

use super::layout::{Node, State};

const KUBELET_FOLDER: &str = "/var/lib/kubelet";
const LOG_LINKS: &str = "/var/log/containers";
const POD_NETWORK_CACHE: [&str; 2] = ["/var/lib/cni/results", "/var/lib/cni"];

/// Removes all traces but the shims' sockets, which [`remove_shim_sockets`] finds by files in the state folder.
pub(crate) fn remove(state: &State) {
    remove_device_socket();
    let ours = |target: &Path| target.starts_with(state.folder());
    remove_where(LOG_LINKS, |entry| {
        fs::read_link(entry.path()).is_ok_and(|target| ours(&target))
    });
    let folder = state.folder().display().to_string();
    remove_where(POD_NETWORK_CACHE[0], |entry| {
        fs::read_to_string(entry.path()).is_ok_and(|text| text.contains(&folder))
    });
    for folder in POD_NETWORK_CACHE.into_iter().chain([LOG_LINKS]) {
        let _ = fs::remove_dir(folder);
    }
}

/// Removes the sockets that a node's shims have left in containerd's common folder.
pub(crate) fn remove_shim_sockets(state: &State, node: Node) {
    let tasks = state.node(node, "containerd-run/io.containerd.runtime.v2.task/k8s.io");
    for task in entries(&tasks) {
        let address = fs::read_to_string(task.path().join("address")).unwrap_or_default();
        if let Some(socket) = address.trim().strip_prefix("unix://") {
            let _ = fs::remove_file(socket);
        }
    }
}

/// The kubelet keeps its device plugins' socket at a fixed path.
fn remove_device_socket() {
    let mut inside = entries(Path::new(KUBELET_FOLDER)).peekable();
    if inside.peek().is_some() && inside.all(|entry| entry.file_name() == "device-plugins") {
        let _ = fs::remove_dir_all(KUBELET_FOLDER);
    }
}

fn remove_where(folder: &str, ours: impl Fn(&DirEntry) -> bool) {
    for entry in entries(Path::new(folder)).filter(ours) {
        let _ = fs::remove_file(entry.path());
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = DirEntry> + use<> {
    fs::read_dir(folder).into_iter().flatten().map_while(Result::ok)
}
