//! The operator's probes of this door: a turn like a customer's, but for what it leaves behind. No conversation begins, no event
//! is made, no place is taken, and no minute counts it.

use std::collections::HashSet;
use std::time::Duration;

use axum::http::HeaderValue;
use springtide_proto::conversation::converse_request::Action;
use springtide_proto::error::{ApiError, Reason};
use springtide_runtime::identity::refused;
use tokio::time::Instant;

use crate::http::Door;
use crate::relay::{CustomerTurn, Relay, wire_turn};
use crate::workers::WorkerAnswer;

/// Longest wait for one worker: two may be tried before the operator gives up.
const WORKER_TIMEOUT: Duration = Duration::from_secs(2);

impl Door {
    /// Takes a probe, if it is the operator's. `false` if there is no worker that could answer.
    pub(crate) async fn probe(
        &self,
        signature: &HeaderValue,
        path: &str,
        turn: &CustomerTurn,
    ) -> Result<bool, ApiError> {
        let signed = signature.to_str().unwrap_or_default();
        let is_own = self
            .probe_key
            .as_ref()
            .is_some_and(|key| key.verify(signed, path, turn.arrived_at));
        if is_own {
            self.relay.probe(turn).await
        } else {
            Err(refused())
        }
    }
}

impl Relay {
    async fn probe(&self, turn: &CustomerTurn) -> Result<bool, ApiError> {
        self.check_spool().await?;
        let pool = self
            .channels
            .pool(&turn.channel)
            .and_then(|id| self.pools.get(id))
            .ok_or_else(|| ApiError::invalid("channel", format!("there is no channel {:?}", turn.channel)))?;
        let mut failed = HashSet::new();
        loop {
            let now = Instant::now();
            let Some(worker) = pool.look(|pool| pool.for_probe(&failed, now).cloned()) else {
                return if failed.is_empty() {
                    Ok(false)
                } else {
                    Err(ApiError::new(Reason::Unavailable, "no worker answers"))
                };
            };
            let action = Action::Turn(wire_turn(turn, Vec::new()));
            let request = self.request(&turn.conversation, action, true);
            let answer = self
                .workers
                .converse(&worker.address, request, WORKER_TIMEOUT)
                .await;
            if let Ok(WorkerAnswer { reply: Some(_), .. }) = answer {
                return Ok(true);
            }
            failed.insert(worker.pod);
        }
    }
}
