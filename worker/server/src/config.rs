//! Flags and environment of the worker.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use springtide_proto::ids::{PoolId, TenantId, TenantUid};
use springtide_runtime::admin::AdminArgs;
use springtide_runtime::pod::PodArgs;
use springtide_runtime::telemetry::TelemetryArgs;
use springtide_runtime::tls::TlsArgs;

/// Answers the conversations of one pool of one tenant.
///
/// Runs as a Pod that the operator makes; every flag is also an environment variable, which is how the operator sets it.
/// On SIGTERM it takes nothing new, hands its conversations over, brings its usage records to billing, and ends.
#[derive(Parser, Clone, Debug)]
#[command(name = "springtide-worker", version)]
pub struct Config {
    /// Name of the tenant whose conversations are answered
    #[arg(long, env = "SPRINGTIDE_TENANT", value_name = "NAME")]
    pub tenant: TenantId,
    /// UID of the Tenant object
    #[arg(long, env = "SPRINGTIDE_TENANT_UID", value_name = "UID")]
    pub tenant_uid: TenantUid,
    /// Name of the pool
    #[arg(long, env = "SPRINGTIDE_POOL", value_name = "NAME")]
    pub pool: PoolId,
    /// Conversations at once
    #[arg(long, env = "SPRINGTIDE_CAPACITY", value_name = "CONVERSATIONS", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub capacity: u32,
    /// Folder with knowledge files (.jsonl, .json, .yaml), read in the order of their paths
    #[arg(
        long,
        env = "SPRINGTIDE_KNOWLEDGE_DIR",
        default_value = "/etc/springtide/knowledge",
        value_name = "FOLDER"
    )]
    pub knowledge_dir: PathBuf,
    /// Folder with the tenant's token keys: a file of 32 bytes a generation, named 1, 2, …
    #[arg(
        long,
        env = "SPRINGTIDE_TOKEN_KEYS_DIR",
        default_value = "/etc/springtide/token-keys",
        value_name = "FOLDER"
    )]
    pub token_keys_dir: PathBuf,
    /// Folder of the spool: must outlive a restart of the process
    #[arg(
        long,
        env = "SPRINGTIDE_SPOOL_DIR",
        default_value = "/var/spool/springtide",
        value_name = "FOLDER"
    )]
    pub spool_dir: PathBuf,
    /// The operator's fleet service
    #[arg(
        long,
        env = "SPRINGTIDE_FLEET",
        default_value = "springtide-fleet.springtide-system.svc:7444",
        value_name = "HOST:PORT"
    )]
    pub fleet: String,
    /// Billing's gRPC service
    #[arg(
        long,
        env = "SPRINGTIDE_BILLING",
        default_value = "springtide-billing.springtide-system.svc:7445",
        value_name = "HOST:PORT"
    )]
    pub billing: String,
    /// Where conversations are served
    #[arg(
        long,
        env = "SPRINGTIDE_LISTEN",
        default_value = "0.0.0.0:7443",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,
    /// Seconds without a message until a conversation is parked
    #[arg(long, env = "SPRINGTIDE_IDLE_AFTER", default_value = "180", value_name = "SECONDS", value_parser = seconds)]
    pub idle_after: Duration,
    /// Seconds that conversations have to end by themselves once the worker is cordoned
    #[arg(long, env = "SPRINGTIDE_DRAIN_DEADLINE", default_value = "120", value_name = "SECONDS", value_parser = seconds)]
    pub drain_deadline: Duration,
    /// Who this process is in the cluster
    #[command(flatten)]
    pub pod: PodArgs,
    /// Its TLS material
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Its admin port
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Its logs and traces
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("a whole number of seconds from 1 to 86400 is needed".to_owned()),
    }
}
