//! What a person wants to know of a running cluster.

use anyhow::Result;

use crate::command::attached;

use super::layout::{NODES, State};
use super::{kubectl, process};

/// Prints nodes, processes and ways in.
pub(crate) fn show(state: &State) -> Result<()> {
    let binaries = state.binaries()?;
    for process in process::recorded(state)? {
        println!(
            "{:24} {}",
            process.name,
            if process.alive() {
                "runs"
            } else {
                "HAS ENDED; see its log"
            }
        );
    }
    println!("\nlogs                     {}", state.text("logs"));
    println!("programs                 {}", binaries.display());
    println!(
        "from this machine        export KUBECONFIG={}",
        state.local_kubeconfig().display()
    );
    println!(
        "inside the namespaces    export KUBECONFIG={}",
        state.kubeconfig().display()
    );
    println!(
        "namespaces               control, {}\n",
        NODES.map(|node| node.name).join(", ")
    );
    attached(kubectl(state, &binaries).args(["get", "nodes", "--output", "wide", "--request-timeout=5s"]))
}
