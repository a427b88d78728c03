//! The cluster's networks: one namespace for the control plane with a bridge, one per node, joined by cables (veth
//! pairs). None has a default route, so nothing can leave the machine, and cutting a cable is a real partition.

use std::path::Path;

use anyhow::Result;

use crate::command::quietly;

use super::layout::{CONTROL, CONTROL_IP, NODES, Node, SERVICE_RANGE};

const BRIDGE: &str = "cluster0";

/// Makes the namespaces, bridge, cables and routes.
pub(crate) fn create() -> Result<()> {
    quietly(&["ip", "netns", "add", CONTROL])?;
    ip(CONTROL, "link set lo up")?;
    ip(CONTROL, &format!("link add {BRIDGE} type bridge"))?;
    ip(CONTROL, &format!("addr add {CONTROL_IP}/24 dev {BRIDGE}"))?;
    ip(CONTROL, &format!("link set {BRIDGE} up"))?;
    NODES.into_iter().try_for_each(add_node)?;
    for node in NODES {
        ip(
            CONTROL,
            &format!("route add {} via {}", node.pod_range(), node.ip()),
        )?;
        for other in NODES.into_iter().filter(|other| other.number != node.number) {
            ip(
                &node.netns(),
                &format!("route add {} via {} dev eth0", other.pod_range(), other.ip()),
            )?;
        }
    }
    Ok(())
}

fn add_node(node: Node) -> Result<()> {
    let (netns, link) = (node.netns(), node.link());
    quietly(&["ip", "netns", "add", &netns])?;
    ip(
        CONTROL,
        &format!("link add {link} type veth peer name eth0 netns {netns}"),
    )?;
    ip(CONTROL, &format!("link set {link} master {BRIDGE} up"))?;
    ip(&netns, "link set lo up")?;
    ip(&netns, &format!("addr add {}/24 dev eth0", node.ip()))?;
    ip(&netns, "link set eth0 up")?;
    // Without a default route the kernel needs one for service addresses, before kube-proxy's rules turn them.
    ip(&netns, &format!("route add {SERVICE_RANGE} dev eth0"))?;
    let forwarding = "echo 1 > /proc/sys/net/ipv4/ip_forward";
    quietly(&[
        "nsenter",
        &format!("--net=/run/netns/{netns}"),
        "sh",
        "-c",
        forwarding,
    ])
}

/// Cuts a node's cable.
pub(crate) fn partition(node: Node) -> Result<()> {
    ip(CONTROL, &format!("link set {} down", node.link()))
}

/// Joins a node's cable again.
pub(crate) fn heal(node: Node) -> Result<()> {
    ip(CONTROL, &format!("link set {} up", node.link()))
}

/// Whether any of our namespaces is there.
pub(crate) fn exists() -> bool {
    names()
        .iter()
        .any(|name| Path::new("/run/netns").join(name).exists())
}

/// Removes the namespaces; their cables and the bridge go with them.
pub(crate) fn delete() -> Result<()> {
    for name in names()
        .iter()
        .filter(|name| Path::new("/run/netns").join(name).exists())
    {
        quietly(&["ip", "netns", "delete", name])?;
    }
    Ok(())
}

fn names() -> Vec<String> {
    std::iter::once(CONTROL.to_owned())
        .chain(NODES.map(Node::netns))
        .collect()
}

fn ip(netns: &str, words: &str) -> Result<()> {
    let all: Vec<&str> = ["ip", "-n", netns].into_iter().chain(words.split(' ')).collect();
    quietly(&all)
}
