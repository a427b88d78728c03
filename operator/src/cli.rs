//! The command line.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand};
use springtide_runtime::admin::AdminArgs;
use springtide_runtime::pod::PodArgs;
use springtide_runtime::telemetry::TelemetryArgs;

use crate::simulate::{EXAMPLES, SimulateArguments};

/// Workers created in a second over all pools, in the long run, where an installation does not say another number.
pub const DEFAULT_CREATIONS_PER_SECOND: u32 = 50;

/// Controller of Springtide's resources, autoscaler and fleet service.
///
/// Run two replicas or more: one leads, the others take over within seconds. All state is in the API server.
#[derive(Parser, Debug)]
#[command(name = "springtide-operator", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the operator in a cluster (or, with KUBECONFIG, beside one)
    ///
    /// Watches Tenants, BotPools, Promotions and RatePlans, and keeps namespaces, gateways, workers and accounts in step with
    /// them. Needs the custom resource definitions (see "crds") and the permissions of the chart "springtide".
    Run(Box<RunArguments>),
    /// Print the custom resource definitions as YAML
    ///
    /// For example: springtide-operator crds | kubectl apply --server-side -f -
    Crds {
        /// Write one file per definition into this folder instead
        #[arg(long, value_name = "FOLDER")]
        folder: Option<std::path::PathBuf>,
    },
    /// Try a pool's scaling on a trace of load, beside other autoscalers, under a virtual clock
    ///
    /// Says how many worker-hours each policy takes, and how long customers wait. Needs no cluster. The policy "springtide" is
    /// the operator's own decision; hpa, keda and kpa follow their documented algorithms with their defaults, and are given
    /// that conversations move off a worker that is removed, though they lack it; oracle knows the future.
    #[command(after_help = EXAMPLES)]
    Simulate(Box<SimulateArguments>),
}

/// How to run.
#[derive(Args, Debug)]
pub struct RunArguments {
    /// Namespace of the operator: its Lease, the CA and billing's identity are there
    #[arg(
        long,
        env = "SPRINGTIDE_NAMESPACE",
        default_value = "springtide-system",
        value_name = "NAME"
    )]
    pub namespace: String,
    /// Address of the fleet service, to which workers and gateways attach (gRPC, mutual TLS)
    #[arg(
        long,
        env = "SPRINGTIDE_LISTEN",
        default_value = "0.0.0.0:7444",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,
    /// Where workers and gateways find the fleet service
    #[arg(
        long,
        env = "SPRINGTIDE_FLEET",
        default_value = "springtide-fleet.springtide-system.svc:7444",
        value_name = "HOST:PORT"
    )]
    pub fleet: String,
    /// Where billing is found, by the operator, workers and gateways
    #[arg(
        long,
        env = "SPRINGTIDE_BILLING",
        default_value = "springtide-billing.springtide-system.svc:7445",
        value_name = "HOST:PORT"
    )]
    pub billing: String,
    /// Image of the tenants' gateways
    #[arg(
        long,
        env = "SPRINGTIDE_GATEWAY_IMAGE",
        default_value = "springtide.dev/gateway:0.1.0",
        value_name = "IMAGE"
    )]
    pub gateway_image: String,
    /// Gateways of each tenant
    #[arg(
        long,
        env = "SPRINGTIDE_GATEWAY_REPLICAS",
        default_value_t = 2,
        value_name = "COUNT"
    )]
    pub gateway_replicas: u32,
    /// Seconds from a gateway's door to the reply within which an answer counts as fast, as "1" or "0.8"
    #[arg(
        long,
        env = "SPRINGTIDE_ANSWER_WITHIN",
        default_value = "1",
        value_parser = springtide_runtime::clock::parse_seconds,
        value_name = "SECONDS"
    )]
    pub answer_within: std::time::Duration,
    /// Workers that the whole cluster may have; tenants then share them by their guarantees and weights. Without it the cluster
    /// is full when no node takes more
    #[arg(
        long,
        env = "SPRINGTIDE_MAX_WORKERS",
        value_parser = clap::value_parser!(u32).range(1..),
        value_name = "COUNT"
    )]
    pub max_workers: Option<u32>,
    /// Workers created in a second over all pools, in the long run: what the nodes and the API server carry
    #[arg(
        long,
        env = "SPRINGTIDE_CREATIONS_PER_SECOND",
        default_value_t = DEFAULT_CREATIONS_PER_SECOND,
        value_parser = clap::value_parser!(u32).range(1..=10_000),
        value_name = "COUNT"
    )]
    pub creations_per_second: u32,
    /// Workers created at once over all pools, where so many were saved up while few were created
    #[arg(
        long,
        env = "SPRINGTIDE_CREATIONS_BURST",
        default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..=10_000),
        value_name = "COUNT"
    )]
    pub creations_burst: u32,
    /// Ask each pool a synthetic question through its tenant's public door, every 15 seconds; a minute in which that failed twice
    /// running counts as bad in the service level
    #[arg(
        long,
        env = "SPRINGTIDE_PROBE_DOORS",
        default_value_t = true,
        action = clap::ArgAction::Set,
        value_name = "BOOLEAN"
    )]
    pub probe_doors: bool,
    /// When images of gateways and workers are pulled: Always, IfNotPresent or Never
    #[arg(
        long,
        env = "SPRINGTIDE_IMAGE_PULL_POLICY",
        default_value = "IfNotPresent",
        value_name = "POLICY"
    )]
    pub image_pull_policy: String,
    /// Who this Pod is.
    #[command(flatten)]
    pub pod: PodArgs,
    /// The admin port.
    #[command(flatten)]
    pub admin: AdminArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }
}
