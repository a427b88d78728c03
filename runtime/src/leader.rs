//! Finds the operator replica that leads.
//!
//! All replicas stand behind one headless service. A follower names the leader ([`Detached::NotLeader`]); where none is known,
//! the replicas are tried in turn. Who is attached and detached tries the next one: [`LeaderFinder::connect`], then
//! [`LeaderFinder::after`].

use std::collections::VecDeque;
use std::time::Duration;

use tonic::transport::Channel;

use crate::identity::{PeerIdentity, SystemRole};
use crate::tls::TlsMaterial;

/// Longest wait for a replica: to connect, and to be attached. A new leader is asked by thousands at once, and who gives up makes it
/// do the same again.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// From being detached until the next try, where no leader was named; twice as long after each that is in vain.
const RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(1);
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why somebody is attached no longer.
#[derive(Debug, thiserror::Error)]
pub enum Detached {
    /// Another replica leads: its address, or nothing if that is not known.
    #[error("this replica does not lead")]
    NotLeader(String),
    /// Nobody answers.
    #[error("the operator cannot be reached")]
    Unreachable,
    /// The stream ended.
    #[error("the stream ended: {0}")]
    Ended(String),
}

/// Which address to try next.
#[derive(Debug)]
pub struct LeaderFinder {
    service: String,
    candidates: VecDeque<String>,
    /// Tries in vain since we were attached last.
    tries: u32,
    /// The address that was tried last.
    tried: String,
    /// The leader that a follower named last.
    named: String,
    /// See [`Self::lost_leader`].
    lost: String,
}

impl LeaderFinder {
    /// `service` is "HOST:PORT" of the headless service; or several, with commas between them.
    pub fn new(service: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            candidates: VecDeque::new(),
            tries: 0,
            tried: String::new(),
            named: String::new(),
            lost: String::new(),
        }
    }

    /// The leader that does not answer any more, which a hello says; empty if there is none. A follower that has not heard of it since
    /// keeps the stream until it knows of another, so that nobody goes back and forth between the two meanwhile.
    pub fn lost_leader(&self) -> &str {
        &self.lost
    }

    /// The next address to try; `None` if the service resolves to nothing now.
    async fn next(&mut self) -> Option<String> {
        if self.candidates.is_empty() {
            self.candidates = self.resolve().await;
        }
        let next = self.candidates.pop_front();
        self.tried = next.clone().unwrap_or_default();
        next
    }

    /// Connects to the next one.
    pub async fn connect(&mut self, tls: &TlsMaterial) -> Option<Channel> {
        let address = self.next().await?;
        let operator = PeerIdentity::System(SystemRole::Operator);
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, tls.connect(&address, &operator)).await;
        connected.ok()?.ok()
    }

    /// What comes before the next try: a leader that was named is tried at once, anybody else after a pause. While nobody leads,
    /// followers name one that has gone: what was tried in vain is tried again after a pause, too.
    pub async fn after(&mut self, detached: Detached) {
        tracing::debug!(%detached, "detached from the operator");
        let pause = RETRY.saturating_mul(1 << self.tries.min(8)).min(LONGEST_RETRY);
        let is_first = self.tries == 0;
        self.tries += 1;
        self.remember(&detached);
        match detached {
            Detached::NotLeader(leader) if !leader.is_empty() => {
                self.redirected(leader);
                if !is_first {
                    tokio::time::sleep(pause).await;
                }
            }
            Detached::NotLeader(_) | Detached::Unreachable => tokio::time::sleep(pause).await,
            Detached::Ended(_) => {
                self.tries = 0;
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    fn remember(&mut self, detached: &Detached) {
        match detached {
            Detached::Ended(_) => self.lost.clone_from(&self.tried),
            Detached::Unreachable if self.tried == self.named => self.lost.clone_from(&self.tried),
            Detached::NotLeader(leader) if !leader.is_empty() => {
                self.named.clone_from(leader);
                self.lost.clear();
            }
            Detached::Unreachable | Detached::NotLeader(_) => {}
        }
    }

    /// A follower named the leader: it is tried next.
    fn redirected(&mut self, leader: String) {
        self.candidates.retain(|candidate| *candidate != leader);
        self.candidates.push_front(leader);
    }

    async fn resolve(&self) -> VecDeque<String> {
        let mut found = VecDeque::new();
        for service in self.service.split(',') {
            match tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host(service)).await {
                Ok(Ok(addresses)) => found.extend(addresses.map(|address| address.to_string())),
                Ok(Err(error)) => tracing::debug!(service, %error, "operator not found"),
                Err(_) => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_leader_that_a_follower_names_is_tried_first_and_at_once_and_anybody_else_after_a_pause() {
        let mut finder = LeaderFinder::new("127.0.0.1:7444");
        // Looked at once: over without a pause, or not yet.
        let named = Detached::NotLeader("10.0.0.9:7444".into());
        let at_once = tokio::time::timeout(Duration::ZERO, finder.after(named)).await;
        assert!(at_once.is_ok());
        assert_eq!(finder.next().await.as_deref(), Some("10.0.0.9:7444"));
        assert_eq!(finder.next().await.as_deref(), Some("127.0.0.1:7444"));
        for detached in [
            Detached::NotLeader(String::new()),
            Detached::Unreachable,
            Detached::Ended(String::new()),
        ] {
            let at_once = tokio::time::timeout(Duration::ZERO, finder.after(detached)).await;
            assert!(at_once.is_err());
            assert_eq!(finder.next().await.as_deref(), Some("127.0.0.1:7444"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_is_lost_when_its_stream_ends_or_it_was_named_and_does_not_answer_until_another_is_named()
     {
        let mut finder = LeaderFinder::new("127.0.0.1:7444,127.0.0.1:7454");
        let named = |leader: &str| Detached::NotLeader(leader.into());
        for (tried, detached, lost) in [
            ("127.0.0.1:7444", Detached::Unreachable, ""),
            ("127.0.0.1:7454", named("10.0.0.9:7444"), ""),
            ("10.0.0.9:7444", Detached::Unreachable, "10.0.0.9:7444"),
            ("127.0.0.1:7444", named(""), "10.0.0.9:7444"),
            ("127.0.0.1:7454", named("10.0.0.8:7444"), ""),
            ("10.0.0.8:7444", Detached::Ended(String::new()), "10.0.0.8:7444"),
        ] {
            assert_eq!(finder.next().await.as_deref(), Some(tried));
            finder.after(detached).await;
            assert_eq!(finder.lost_leader(), lost, "after {tried}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_is_named_again_and_again_and_does_not_lead_is_asked_less_and_less_often() {
        let mut finder = LeaderFinder::new("127.0.0.1:7444");
        let mut paused = async |detached| {
            let begun = tokio::time::Instant::now();
            finder.after(detached).await;
            begun.elapsed().as_millis()
        };
        let named = || Detached::NotLeader("10.0.0.9:7444".into());
        let ended = || Detached::Ended(String::new());
        let mut pauses = Vec::new();
        for detached in [
            ended(),
            named(),
            Detached::Unreachable,
            named(),
            named(),
            ended(),
            named(),
        ] {
            pauses.push(paused(detached).await);
        }
        assert_eq!(pauses, [250, 0, 500, 1_000, 1_000, 250, 0]);
    }
}
