//! Finds the operator replica that leads.
//!
//! All replicas stand behind one headless service. A follower names the leader ([`LeaderFinder::redirected`]); where none is
//! known, the replicas are tried in turn.

use std::collections::VecDeque;
use std::time::Duration;

const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Which address to try next.
#[derive(Debug)]
pub struct LeaderFinder {
    service: String,
    candidates: VecDeque<String>,
}

impl LeaderFinder {
    /// `service` is "HOST:PORT" of the headless service.
    pub fn new(service: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            candidates: VecDeque::new(),
        }
    }

    /// The next address to try; `None` if the service resolves to nothing now.
    pub async fn next(&mut self) -> Option<String> {
        if self.candidates.is_empty() {
            self.candidates = self.resolve().await;
        }
        self.candidates.pop_front()
    }

    /// A follower named the leader: it is tried next.
    pub fn redirected(&mut self, leader: String) {
        if !leader.is_empty() {
            self.candidates.retain(|candidate| *candidate != leader);
            self.candidates.push_front(leader);
        }
    }

    async fn resolve(&self) -> VecDeque<String> {
        match tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host(&self.service)).await {
            Ok(Ok(addresses)) => addresses.map(|address| address.to_string()).collect(),
            Ok(Err(error)) => {
                tracing::debug!(service = self.service, %error, "operator not found");
                VecDeque::new()
            }
            Err(_) => VecDeque::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_leader_that_a_follower_names_is_tried_first() {
        let mut finder = LeaderFinder::new("127.0.0.1:7444");
        finder.redirected("10.0.0.9:7444".into());
        assert_eq!(finder.next().await.as_deref(), Some("10.0.0.9:7444"));
        assert_eq!(finder.next().await.as_deref(), Some("127.0.0.1:7444"));
        finder.redirected(String::new());
        assert_eq!(finder.next().await.as_deref(), Some("127.0.0.1:7444"));
    }
}
