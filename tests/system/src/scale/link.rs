//! Connections to the leading operator. Those who share one attach over it with a stream each.

use std::time::Duration;

use springtide_runtime::identity::{PeerIdentity, SystemRole};
use springtide_runtime::tls::TlsMaterial;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::transport::Channel;

/// As workers and gateways wait before they try again.
pub(super) const RETRY: Duration = Duration::from_millis(250);
/// As long as they wait for a connection, and for a stream.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);
/// Addresses of the operator's replicas.
pub(super) const REPLICAS: [&str; 2] = ["127.0.0.1:7444", "127.0.0.1:7454"];

/// One connection, made again when it is lost.
pub(super) struct Link {
    tls: TlsMaterial,
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    generation: u64,
    channel: Option<Channel>,
    /// A follower named it.
    leader: Option<String>,
    next: usize,
}

/// Why a stream ended.
#[derive(Debug)]
pub(super) enum End {
    /// That replica does not lead; this one does, if it is known.
    NotLeader(String),
    /// Anything else.
    Lost,
}

impl Link {
    pub(super) fn new(tls: TlsMaterial) -> Self {
        Self {
            tls,
            begun: Instant::now(),
            state: Mutex::default(),
        }
    }

    /// When those who share it report next: together, as one process would that speaks for them all.
    pub(super) fn next_report(&self, every: Duration) -> Instant {
        let periods = self.begun.elapsed().as_nanos() / every.as_nanos() + 1;
        self.begun + every * u32::try_from(periods).unwrap_or(u32::MAX)
    }

    /// The connection and its number; `None` if there is none now.
    pub(super) async fn channel(&self) -> Option<(u64, Channel)> {
        let mut state = self.state.lock().await;
        if state.channel.is_none() {
            let address = state.leader.take().unwrap_or_else(|| {
                state.next += 1;
                REPLICAS[(state.next - 1) % REPLICAS.len()].to_owned()
            });
            let operator = PeerIdentity::System(SystemRole::Operator);
            let connecting = self.tls.connect(&address, &operator);
            state.channel = tokio::time::timeout(TIMEOUT, connecting).await.ok()?.ok();
            state.generation += 1;
        }
        Some((state.generation, state.channel.clone()?))
    }

    /// A stream over that connection ended; waits as its peer would before it tries again.
    pub(super) async fn ended(&self, generation: u64, end: End) {
        let redirected = {
            let mut state = self.state.lock().await;
            if state.generation == generation {
                state.channel = None;
                if let End::NotLeader(leader) = &end {
                    state.leader = Some(leader.clone()).filter(|leader| !leader.is_empty());
                }
            }
            state.leader.is_some() || state.generation != generation
        };
        if !redirected {
            tokio::time::sleep(RETRY).await;
        }
    }
}
