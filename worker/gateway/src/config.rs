//! Flags and environment of the gateway.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use springtide_proto::ids::{PoolId, TenantId, TenantUid};
use springtide_runtime::admin::AdminArgs;
use springtide_runtime::clock::parse_seconds;
use springtide_runtime::pod::PodArgs;
use springtide_runtime::telemetry::TelemetryArgs;
use springtide_runtime::tls::TlsArgs;

/// The edge of one tenant: customers come in by HTTP, WebSocket and a chat page, workers answer.
///
/// Runs as Pods that the operator makes, at least two a tenant. Serves on from the last known workers when the operator is
/// away, and keeps usage records when billing is away.
#[derive(Parser, Clone, Debug)]
#[command(name = "springtide-gateway", version)]
pub struct Config {
    /// Name of the tenant
    #[arg(long, env = "SPRINGTIDE_TENANT", value_name = "NAME")]
    pub tenant: TenantId,
    /// UID of the Tenant object
    #[arg(long, env = "SPRINGTIDE_TENANT_UID", value_name = "UID")]
    pub tenant_uid: TenantUid,
    /// Channels and the pools they lead to, as "web=web,webhook=night"
    #[arg(
        long,
        env = "SPRINGTIDE_CHANNELS",
        default_value = "web=web",
        value_name = "CHANNEL=POOL,…"
    )]
    pub channels: Channels,
    /// Where customers come in
    #[arg(
        long,
        env = "SPRINGTIDE_LISTEN",
        default_value = "0.0.0.0:8080",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,
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
    /// Seconds without a message until a conversation is parked
    #[arg(long, env = "SPRINGTIDE_IDLE_AFTER", default_value = "180", value_name = "SECONDS", value_parser = seconds)]
    pub idle_after: Duration,
    /// Seconds within which a turn is answered, or refused
    #[arg(long, env = "SPRINGTIDE_TURN_TIMEOUT", default_value = "10", value_name = "SECONDS", value_parser = seconds)]
    pub turn_timeout: Duration,
    /// Seconds from the door to the reply within which an answer counts as fast, as "1" or "0.8"
    #[arg(long, env = "SPRINGTIDE_ANSWER_WITHIN", default_value = "1", value_name = "SECONDS", value_parser = parse_seconds)]
    pub answer_within: Duration,
    /// Conversations that may wait for a worker at once, a pool
    #[arg(
        long,
        env = "SPRINGTIDE_WAITING_ROOM",
        default_value = "1000",
        value_name = "CONVERSATIONS"
    )]
    pub waiting_room: usize,
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

/// Channel names and the pools they lead to; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channels(BTreeMap<String, PoolId>);

impl Channels {
    /// The pool that a channel leads to.
    pub fn pool(&self, channel: &str) -> Option<&PoolId> {
        self.0.get(channel)
    }

    /// Each pool once.
    pub fn pools(&self) -> Vec<PoolId> {
        let mut pools: Vec<_> = self.0.values().cloned().collect();
        pools.sort();
        pools.dedup();
        pools
    }
}

impl std::str::FromStr for Channels {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut channels = BTreeMap::new();
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            let (channel, pool) = pair
                .trim()
                .split_once('=')
                .ok_or_else(|| format!("{pair:?} is not CHANNEL=POOL"))?;
            let pool = PoolId::parse(pool).map_err(|error| error.message)?;
            if channel.is_empty()
                || channel.chars().count() > 32
                || channels.insert(channel.to_owned(), pool).is_some()
            {
                return Err(format!(
                    "channel {channel:?} must have 1 to 32 characters and be named once"
                ));
            }
        }
        if channels.is_empty() {
            Err("at least one CHANNEL=POOL is needed".to_owned())
        } else {
            Ok(Self(channels))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_lead_to_pools_and_wrong_ones_are_refused() {
        let channels: Channels = "web=web,app=web, webhook=night".parse().unwrap();
        assert_eq!(channels.pool("app").unwrap().as_str(), "web");
        assert_eq!(channels.pools().len(), 2);
        for wrong in ["", "web", "web=", "web=a,web=b", "web=A B"] {
            assert!(wrong.parse::<Channels>().is_err(), "{wrong}");
        }
    }
}
