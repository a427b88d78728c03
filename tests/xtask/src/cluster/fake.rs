//! Fake nodes: kwok, as a process beside the API server, says for them and for the pods on them what kubelets would. A pod
//! there is ready a moment after it is scheduled, and gone a moment after it is deleted; nothing runs in it.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::command::output;

use super::layout::{CONTROL, CONTROL_IP, State, write};
use super::{kubectl, process};

/// Pods of one node, at most.
const PODS: u32 = 2_000;
/// The first address of the fake pods.
const POD_ADDRESSES: &str = "10.128.0.1/12";

/// Starts kwok and makes the nodes.
pub(super) fn start(state: &State, binaries: &Path, count: u16) -> Result<()> {
    let words = [
        binaries.join("kwok").display().to_string(),
        format!("--kubeconfig={}", state.kubeconfig().display()),
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake".to_owned(),
        format!("--node-ip={CONTROL_IP}"),
        format!("--cidr={POD_ADDRESSES}"),
    ];
    process::start(state, "kwok", Some(CONTROL), &words)?;
    let nodes: Vec<_> = (0..count).map(node).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": nodes});
    let file = state.path("config/fake-nodes.json");
    write(&file, &list.to_string())?;
    output(kubectl(state, binaries).arg("create").arg("--filename").arg(file)).map(drop)
}

fn node(number: u16) -> Value {
    let name = format!("fake-{number}");
    let zone = if number.is_multiple_of(2) { "a" } else { "b" };
    let room = json!({"cpu": "10000", "memory": "10Ti", "pods": PODS});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": name, "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "topology.kubernetes.io/zone": zone},
        },
        "status": {"capacity": room, "allocatable": room},
    })
}
