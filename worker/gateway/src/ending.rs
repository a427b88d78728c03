//! How conversations end, as far as this gateway knows: what it says of each if nobody comes through it any more.
//!
//! A message that reached the door and was not answered, or whose answer nobody read, is known here alone. What it says may be
//! old news, where the conversation went on through another gateway: then that one, and the worker, have heard a later
//! message, and that counts.

use jiff::Timestamp;
use springtide_proto::conversation::AnswerKind;
use springtide_proto::ended::{ConversationEnd, Outcome};
use springtide_proto::error::ApiError;
use springtide_proto::event::InteractionKind;
use springtide_proto::ids::ConversationId;

use crate::relay::{CustomerTurn, Relay, Relayed};

impl Relay {
    /// What is said of the conversation if that message is its last; none without such a channel.
    pub(crate) fn if_last(&self, turn: &CustomerTurn, outcome: Outcome) -> Option<ConversationEnd> {
        Some(ConversationEnd {
            last_message_at: turn.arrived_at,
            outcome,
            channel: turn.channel.clone(),
            pool: self.channels.pool(&turn.channel)?.clone(),
            conversation: turn.conversation.clone(),
            tenant: self.tenant.clone(),
            tenant_uid: self.tenant_uid.clone(),
        })
    }

    /// Keeps in mind that a message was not answered, if it was not.
    pub(crate) async fn note_unanswered(
        &self,
        if_last: Option<ConversationEnd>,
        outcome: &Result<Relayed, ApiError>,
    ) {
        let Some(if_last) = if_last.filter(|_| is_unanswered(outcome)) else {
            return;
        };
        if self.spool.is_failing() {
            return;
        }
        if let Err(error) = self.spool.unanswered(&if_last).await {
            tracing::warn!(%error, "a conversation will end as if its last message had not come");
        }
    }

    /// The customer said that the conversation is over.
    pub(crate) async fn end(&self, conversation: &ConversationId) {
        if let Err(error) = self.spool.end_conversation(conversation).await {
            tracing::warn!(%error, "a conversation is left to end by its silence");
        }
    }

    /// Conversations end of which nothing came through this gateway for the idle time.
    pub async fn end_silent(&self, now: Timestamp) {
        let since = now.saturating_sub(self.idle_after).unwrap_or(Timestamp::MIN);
        self.end_unheard_since(since).await;
    }

    /// This gateway ends, and leaves nothing on its disk that it did not report: where a conversation goes on, it ends later,
    /// and that counts.
    pub async fn end_all(&self) {
        self.end_unheard_since(Timestamp::MAX).await;
    }

    async fn end_unheard_since(&self, since: Timestamp) {
        if let Err(error) = self.spool.end_silent(since).await {
            tracing::warn!(%error, "silent conversations are not ended yet");
        }
    }
}

/// What a conversation comes to that ends after this answer.
pub(crate) fn outcome_after(kind: AnswerKind) -> Outcome {
    InteractionKind::try_from(kind).map_or(Outcome::Abandoned, Outcome::after)
}

/// The message was one, and got no answer. What is the client's own error is none.
fn is_unanswered(outcome: &Result<Relayed, ApiError>) -> bool {
    match outcome {
        Ok(Relayed::Replied(_)) => false,
        Ok(Relayed::Waiting(_)) => true,
        Err(error) => error.reason.http_status() >= 500,
    }
}

#[cfg(test)]
mod tests {
    use springtide_proto::error::Reason;

    use super::*;
    use crate::relay::Place;

    #[test]
    fn who_waits_or_is_failed_is_unanswered_and_a_clients_own_error_is_no_message() {
        assert!(is_unanswered(&Ok(Relayed::Waiting(Place::default()))));
        for reason in Reason::ALL {
            let ours = reason.http_status() >= 500;
            assert_eq!(
                is_unanswered(&Err(ApiError::new(*reason, "x"))),
                ours,
                "{reason:?}"
            );
        }
        assert_eq!(outcome_after(AnswerKind::Answer), Outcome::Resolved);
        assert_eq!(outcome_after(AnswerKind::Unspecified), Outcome::Abandoned);
    }
}
