//! Who this process is in the cluster, from the downward API.

use clap::Args;
use springtide_proto::error::ApiError;
use springtide_proto::ids::{BootId, PodName, PodUid};

/// Name and place of this pod.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Pod")]
pub struct PodArgs {
    /// Name of this Pod
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub pod_name: PodName,
    /// UID of this Pod
    #[arg(long, env = "POD_UID", value_name = "UID")]
    pub pod_uid: PodUid,
    /// Address of this Pod
    #[arg(long, env = "POD_IP", value_name = "IP")]
    pub pod_ip: std::net::IpAddr,
    /// Name of the Node it runs on
    #[arg(long, env = "NODE_NAME", default_value = "", value_name = "NAME")]
    pub node_name: String,
}

/// This start of this pod.
#[derive(Clone, Debug)]
pub struct PodIdentity {
    /// Name of the Pod.
    pub name: PodName,
    /// UID of the Pod.
    pub uid: PodUid,
    /// This start of the process.
    pub boot_id: BootId,
    /// Name of the Node; empty if unknown.
    pub node: String,
}

impl PodArgs {
    /// The identity, with a new boot id.
    pub fn identity(&self) -> Result<PodIdentity, ApiError> {
        Ok(PodIdentity {
            name: self.pod_name.clone(),
            uid: self.pod_uid.clone(),
            boot_id: BootId::parse(crate::clock::new_boot_id())?,
            node: self.node_name.clone(),
        })
    }
}
