//! The usage event of a conversation that ended.
//!
//! It is made of the last message alone, so every witness that saw that message makes the same bytes, whenever it finds that
//! the conversation ended; its time is that message's. A conversation may be said to have ended more than once: it came back
//! after a silence, or went on where a witness did not see it. All these events have one identity, and the greatest counts
//! (see the order of [`ConversationEnd`]), so it is no matter who says what, how often, and in which order.

use jiff::Timestamp;
use prost::Message as _;

use crate::error::ApiError;
use crate::event::{Interaction, InteractionKind, decoded_of_source, dimension_of};
use crate::ids::{ConversationId, PoolId, TenantId, TenantUid};
use crate::metering::{Dimension, UsageEvent};
use crate::time::{timestamp_from_wire, timestamp_to_wire};

/// `source` of events that say that a conversation ended; their `id` is the conversation.
pub const CONVERSATION_SOURCE: &str = "conversation";
/// Meter of conversations that ended.
pub const METER_CONVERSATIONS: &str = "conversations";

/// What a conversation came to. Nobody can be handed over to a person yet, so no event says that somebody was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Its last message got one answer.
    Resolved,
    /// The customer went without: nothing fitted the last message, it was offered a choice and did not choose, or no reply
    /// reached it.
    Abandoned,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Resolved, Self::Abandoned];

    /// Of a conversation whose last message was answered like that.
    pub fn after(last: InteractionKind) -> Self {
        match last {
            InteractionKind::Answer => Self::Resolved,
            InteractionKind::List | InteractionKind::Sorry => Self::Abandoned,
        }
    }

    /// Text in dimensions, plans and exports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::Abandoned => "abandoned",
        }
    }

    /// The outcome of that text.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let found = Self::ALL.into_iter().find(|outcome| outcome.as_str() == text);
        found.ok_or_else(|| ApiError::invalid("dimensions.outcome", "outcome must be resolved or abandoned"))
    }
}

/// How a conversation ended, as one witness knows it. In the order of what counts: the later last message; of one message,
/// that no reply to it was read, which only a gateway knows; then anything, as long as it is the same for everybody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConversationEnd {
    /// When the last message reached the gateway's door.
    pub last_message_at: Timestamp,
    /// What it came to.
    pub outcome: Outcome,
    /// The channel of the last message.
    pub channel: String,
    /// The pool that it went to.
    pub pool: PoolId,
    /// The session.
    pub conversation: ConversationId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Identity of that tenant over time.
    pub tenant_uid: TenantUid,
}

impl ConversationEnd {
    /// If nothing comes after that turn.
    pub fn after(last: &Interaction) -> Self {
        // Without `..`: what is forgotten here is forgotten on the bill.
        let Interaction {
            tenant,
            tenant_uid,
            pool,
            conversation,
            turn: _,
            channel,
            arrived_at,
            kind,
            answer_id: _,
        } = last;
        Self {
            last_message_at: *arrived_at,
            outcome: Outcome::after(*kind),
            channel: channel.clone(),
            pool: pool.clone(),
            conversation: conversation.clone(),
            tenant: tenant.clone(),
            tenant_uid: tenant_uid.clone(),
        }
    }

    /// The event's bytes. Equal ends encode to equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let Self {
            last_message_at,
            outcome,
            channel,
            pool,
            conversation,
            tenant,
            tenant_uid,
        } = self;
        let dimensions = [
            ("channel", channel.as_str()),
            ("conversation", conversation.as_str()),
            ("outcome", outcome.as_str()),
            ("pool", pool.as_str()),
        ];
        UsageEvent {
            tenant_uid: tenant_uid.to_string(),
            tenant: tenant.to_string(),
            source: CONVERSATION_SOURCE.to_owned(),
            id: conversation.to_string(),
            meter: METER_CONVERSATIONS.to_owned(),
            quantity: "1".to_owned(),
            event_time: Some(timestamp_to_wire(*last_message_at)),
            dimensions: dimensions
                .map(|(key, value)| Dimension {
                    key: key.to_owned(),
                    value: value.to_owned(),
                })
                .into(),
            reversal_of: String::new(),
        }
        .encode_to_vec()
    }

    /// Reads it back from its event's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ApiError> {
        let event = decoded_of_source(bytes, CONVERSATION_SOURCE)?;
        let find = |key: &str| dimension_of(&event, key).unwrap_or_default();
        Ok(Self {
            last_message_at: timestamp_from_wire(event.event_time, "event_time")?,
            outcome: Outcome::parse(&find("outcome"))?,
            channel: find("channel"),
            pool: PoolId::parse(find("pool"))?,
            conversation: ConversationId::parse(find("conversation"))?,
            tenant: TenantId::parse(event.tenant)?,
            tenant_uid: TenantUid::parse(event.tenant_uid)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TurnId;

    fn turn(second: i64, kind: InteractionKind) -> Interaction {
        Interaction {
            tenant: TenantId::parse("acme").unwrap(),
            tenant_uid: TenantUid::parse("uid-acme").unwrap(),
            pool: PoolId::parse("web").unwrap(),
            conversation: ConversationId::parse("c1").unwrap(),
            turn: TurnId::parse(format!("t{second}")).unwrap(),
            channel: "app".into(),
            arrived_at: Timestamp::from_second(second).unwrap(),
            kind,
            answer_id: None,
        }
    }

    #[test]
    fn a_conversation_is_resolved_if_its_last_message_got_one_answer_and_else_abandoned() {
        for (kind, outcome) in [
            (InteractionKind::Answer, Outcome::Resolved),
            (InteractionKind::List, Outcome::Abandoned),
            (InteractionKind::Sorry, Outcome::Abandoned),
        ] {
            let end = ConversationEnd::after(&turn(7, kind));
            assert_eq!(
                (end.outcome, end.last_message_at.as_second()),
                (outcome, 7),
                "{kind:?}"
            );
            assert_eq!(Outcome::parse(outcome.as_str()).unwrap(), outcome);
        }
        assert!(Outcome::parse("handed_off").is_err(), "there are no people yet");
    }

    #[test]
    fn an_end_reads_back_from_its_bytes_and_no_turn_is_one() {
        let end = ConversationEnd::after(&turn(7, InteractionKind::Answer));
        assert_eq!(ConversationEnd::decode(&end.encode()).unwrap(), end);
        assert_eq!(end.encode(), end.clone().encode());
        assert!(ConversationEnd::decode(&turn(7, InteractionKind::Answer).encode()).is_err());
    }

    #[test]
    fn the_later_message_counts_and_of_one_message_that_no_reply_was_read() {
        let answered = |second| ConversationEnd::after(&turn(second, InteractionKind::Answer));
        let unread = |second| ConversationEnd {
            outcome: Outcome::Abandoned,
            ..answered(second)
        };
        assert!(answered(8) > unread(7));
        assert!(unread(7) > answered(7));
        assert!(unread(8) > answered(7));
    }
}
