//! Whether a reply reached its customer.

use springtide_proto::conversation::Reply;
use springtide_proto::ended::ConversationEnd;
use springtide_proto::ids::{ConversationId, TurnId};
use springtide_proto::metering::Delivery;
use springtide_runtime::spool::Spool;

use crate::metrics::Metrics;
use crate::resume::ResumeToken;
use crate::sessions::Sessions;

/// A reply whose usage event is in the spool. Say [`Witnessed::delivered`] when it is on its way to the customer; dropped
/// without that, it counts as undelivered.
#[derive(Debug)]
pub struct Witnessed {
    /// The worker's reply.
    pub reply: Reply,
    /// For the client.
    pub token: ResumeToken,
    pub(crate) turn: (ConversationId, TurnId),
    /// In the spool, until it is settled.
    pub(crate) sequence: Option<i64>,
    /// How the conversation ended if nobody reads the reply.
    pub(crate) if_unread: Option<ConversationEnd>,
    pub(crate) sessions: Sessions,
    pub(crate) spool: Spool,
    pub(crate) metrics: Metrics,
}

impl Witnessed {
    /// The reply is on its way.
    pub fn delivered(mut self) -> (Reply, ResumeToken) {
        if let Some(sequence) = self.sequence.take() {
            self.spool.release(sequence);
            let (conversation, turn) = &self.turn;
            self.sessions.read(conversation, turn.clone());
        }
        (std::mem::take(&mut self.reply), self.token.clone())
    }
}

impl Drop for Witnessed {
    fn drop(&mut self) {
        let Some(sequence) = self.sequence.take() else {
            return;
        };
        self.metrics.undelivered();
        let (conversation, turn) = &self.turn;
        let was_read = self.sessions.was_read(conversation, turn);
        let if_unread = self.if_unread.take().filter(|_| !was_read);
        let spool = self.spool.clone();
        tokio::spawn(async move {
            let mut settled = spool.settle(sequence, Delivery::Undelivered).await;
            if let Some(if_unread) = if_unread {
                settled = settled.and(spool.unanswered(&if_unread).await);
            }
            if let Err(error) = settled {
                tracing::warn!(%error, "an undelivered reply stays as delivered");
            }
        });
    }
}
