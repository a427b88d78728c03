//! Telling workers that conversations are no longer theirs.
//!
//! A worker that failed on the way, or was too slow, may have taken a conversation that now goes on at another one. Until it
//! hears so, or the conversation was silent for the idle time, it keeps a place for it that nobody uses; many such places at
//! once would make a pool that is merely slow a pool that is full.

use std::sync::Arc;
use std::time::Duration;

use springtide_proto::conversation::close;
use springtide_proto::ids::{ConversationId, PodUid, PoolId};
use tokio::time::Instant;

use crate::relay::Relay;

/// Before the first attempt: what made the worker fail may pass.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Between two attempts at most.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Conversations that are let go of at once; beyond it, silence ends them.
const MOST: usize = 4_096;

impl Relay {
    /// Ends the conversation at that worker, now or as soon as it is reached, unless it went back there meanwhile.
    pub(crate) fn let_go(
        self: &Arc<Self>,
        conversation: &ConversationId,
        pool: &PoolId,
        (pod, reason): (&PodUid, close::Reason),
    ) {
        if self.letting_go.len() >= MOST {
            return;
        }
        let (relay, conversation) = (self.clone(), conversation.clone());
        let (pool, pod) = (pool.clone(), pod.clone());
        self.letting_go.spawn(async move {
            let (begun, mut wait) = (Instant::now(), FIRST_WAIT);
            // Then silence has ended it there.
            while begun.elapsed() < relay.idle_after {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
                let session = relay.sessions.find(&conversation);
                if let Some(session) = session
                    && session.lock().await.worker.as_ref() == Some(&pod)
                {
                    return;
                }
                let Some(pool) = relay.pools.get(&pool) else {
                    return;
                };
                let told = relay.end_at(&conversation, pool, (&pod, reason)).await;
                if told.is_ok() {
                    return;
                }
            }
        });
    }
}
