//! Connections to the leading operator. Those who share one attach over it with a stream each, and look for the leader as workers
//! and gateways do.

use std::time::Duration;

use springtide_runtime::leader::{Detached, LeaderFinder};
use springtide_runtime::tls::TlsMaterial;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::transport::Channel;

/// Addresses of the operator's replicas.
pub(super) const REPLICAS: [&str; 2] = ["127.0.0.1:7444", "127.0.0.1:7454"];

/// One connection, made again when it is lost.
pub(super) struct Link {
    tls: TlsMaterial,
    begun: Instant,
    state: Mutex<State>,
}

struct State {
    finder: LeaderFinder,
    generation: u64,
    channel: Option<Channel>,
}

/// A connection as it is now.
pub(super) struct Connection {
    pub(super) channel: Channel,
    /// As a hello says it.
    pub(super) lost_leader: String,
    /// Which of all that were made.
    pub(super) generation: u64,
}

impl Link {
    /// Its reports are due so much later than those of a link that is made now without a delay.
    pub(super) fn new(tls: TlsMaterial, delay: Duration) -> Self {
        Self {
            tls,
            begun: Instant::now() + delay,
            state: Mutex::new(State {
                finder: LeaderFinder::new(REPLICAS.join(",")),
                generation: 0,
                channel: None,
            }),
        }
    }

    /// When those who share it report next: together, as one process would that speaks for them all.
    pub(super) fn next_report(&self, every: Duration) -> Instant {
        let periods = self.begun.elapsed().as_nanos() / every.as_nanos() + 1;
        self.begun + every * u32::try_from(periods).unwrap_or(u32::MAX)
    }

    /// A stream over that connection ended.
    pub(super) async fn detached(&self, generation: u64, detached: Detached) {
        let mut state = self.state.lock().await;
        // Whoever shares it may have seen the same before.
        if state.generation == generation && state.channel.take().is_some() {
            state.finder.after(detached).await;
        }
    }

    /// The connection, when there is one.
    pub(super) async fn connection(&self) -> Connection {
        let mut state = self.state.lock().await;
        let State {
            finder,
            generation,
            channel,
        } = &mut *state;
        loop {
            if let Some(channel) = channel.clone() {
                return Connection {
                    channel,
                    lost_leader: finder.lost_leader().to_owned(),
                    generation: *generation,
                };
            }
            match finder.connect(&self.tls).await {
                Some(connected) => {
                    *channel = Some(connected);
                    *generation += 1;
                }
                None => finder.after(Detached::Unreachable).await,
            }
        }
    }
}
