//! The usage event of an interaction.
//!
//! It is encoded once, by the worker that answered; its bytes go into the worker's spool and, with the reply, to the
//! gateway, so that both witnesses report the same bytes and billing can tell a duplicate from a variant.

use jiff::Timestamp;
use prost::Message as _;

use crate::conversation::AnswerKind;
use crate::error::ApiError;
use crate::ids::{ConversationId, PoolId, TenantId, TenantUid, TurnId};
use crate::metering::{Dimension, UsageEvent};
use crate::time::{timestamp_from_wire, timestamp_to_wire};

/// `source` of events that are interactions.
pub const INTERACTION_SOURCE: &str = "interaction";
/// Meter of answers and lists.
pub const METER_INTERACTIONS: &str = "interactions";
/// Meter of turns that nothing in the knowledge answered.
pub const METER_UNANSWERED: &str = "unanswered";
/// Largest encoded event, in bytes.
pub const MAX_EVENT: usize = 4_096;

/// A turn that the bot took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interaction {
    /// Whose it is.
    pub tenant: TenantId,
    /// Identity of that tenant over time.
    pub tenant_uid: TenantUid,
    /// The pool that answered.
    pub pool: PoolId,
    /// The session.
    pub conversation: ConversationId,
    /// The message.
    pub turn: TurnId,
    /// The channel it came by.
    pub channel: String,
    /// When it reached the gateway's door.
    pub arrived_at: Timestamp,
    /// How it was answered.
    pub kind: InteractionKind,
    /// The knowledge entry, for a single answer.
    pub answer_id: Option<String>,
}

/// How a turn was answered, as it is metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InteractionKind {
    /// One answer.
    Answer,
    /// Candidates to choose from.
    List,
    /// Nothing fits.
    Sorry,
}

impl InteractionKind {
    /// Text in dimensions and exports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::List => "list",
            Self::Sorry => "sorry",
        }
    }

    /// The kind of that text.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        match text {
            "answer" => Ok(Self::Answer),
            "list" => Ok(Self::List),
            "sorry" => Ok(Self::Sorry),
            _ => Err(ApiError::invalid(
                "dimensions.kind",
                "kind must be answer, list or sorry",
            )),
        }
    }

    /// The meter that counts it.
    pub fn meter(self) -> &'static str {
        match self {
            Self::Answer | Self::List => METER_INTERACTIONS,
            Self::Sorry => METER_UNANSWERED,
        }
    }
}

impl From<InteractionKind> for AnswerKind {
    fn from(kind: InteractionKind) -> Self {
        match kind {
            InteractionKind::Answer => Self::Answer,
            InteractionKind::List => Self::List,
            InteractionKind::Sorry => Self::Sorry,
        }
    }
}

impl TryFrom<AnswerKind> for InteractionKind {
    type Error = ApiError;
    fn try_from(kind: AnswerKind) -> Result<Self, ApiError> {
        match kind {
            AnswerKind::Answer => Ok(Self::Answer),
            AnswerKind::List => Ok(Self::List),
            AnswerKind::Sorry => Ok(Self::Sorry),
            AnswerKind::Unspecified => Err(ApiError::invalid(
                "kind",
                "kind is not one of ANSWER, LIST, SORRY",
            )),
        }
    }
}

/// `id` of an interaction's event.
pub fn interaction_id(conversation: &ConversationId, turn: &TurnId) -> String {
    format!("{conversation}/{turn}")
}

impl Interaction {
    /// The event's bytes. Equal interactions encode to equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        // Without `..`: a field that is forgotten here would be lost from every bill.
        let Self {
            tenant,
            tenant_uid,
            pool,
            conversation,
            turn,
            channel,
            arrived_at,
            kind,
            answer_id,
        } = self;
        let dimension = |key: &str, value: &str| Dimension {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let mut dimensions = vec![
            dimension("channel", channel),
            dimension("conversation", conversation.as_str()),
            dimension("kind", kind.as_str()),
            dimension("pool", pool.as_str()),
            dimension("turn", turn.as_str()),
        ];
        dimensions.extend(answer_id.as_deref().map(|id| dimension("answer_id", id)));
        dimensions.sort_by(|one, other| one.key.cmp(&other.key));
        UsageEvent {
            tenant_uid: tenant_uid.to_string(),
            tenant: tenant.to_string(),
            source: INTERACTION_SOURCE.to_owned(),
            id: interaction_id(conversation, turn),
            meter: kind.meter().to_owned(),
            quantity: "1".to_owned(),
            event_time: Some(timestamp_to_wire(*arrived_at)),
            dimensions,
            reversal_of: String::new(),
        }
        .encode_to_vec()
    }

    /// Reads an interaction back from its event's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ApiError> {
        let event = decoded(bytes)?;
        let find = |key: &str| dimension_of(&event, key);
        let kind = InteractionKind::parse(&find("kind").unwrap_or_default())?;
        Ok(Self {
            tenant: TenantId::parse(event.tenant.clone())?,
            tenant_uid: TenantUid::parse(event.tenant_uid.clone())?,
            pool: PoolId::parse(find("pool").unwrap_or_default())?,
            conversation: ConversationId::parse(find("conversation").unwrap_or_default())?,
            turn: TurnId::parse(find("turn").unwrap_or_default())?,
            channel: find("channel").unwrap_or_default(),
            arrived_at: timestamp_from_wire(event.event_time, "event_time")?,
            kind,
            answer_id: find("answer_id"),
        })
    }
}

fn decoded(bytes: &[u8]) -> Result<UsageEvent, ApiError> {
    UsageEvent::decode(bytes)
        .map_err(|_| ApiError::invalid("usage_event", "usage_event is not an encoded UsageEvent"))
}

/// The event of that source that is encoded there.
pub(crate) fn decoded_of_source(bytes: &[u8], source: &str) -> Result<UsageEvent, ApiError> {
    let event = decoded(bytes)?;
    if event.source == source {
        Ok(event)
    } else {
        Err(ApiError::invalid("source", format!("source must be {source}")))
    }
}

/// What an event says of a dimension.
pub(crate) fn dimension_of(event: &UsageEvent, key: &str) -> Option<String> {
    let found = event.dimensions.iter().find(|dimension| dimension.key == key);
    found.map(|dimension| dimension.value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interaction_reads_back_from_its_bytes_and_stays_within_the_limit() {
        let interaction = Interaction {
            tenant: TenantId::parse("a".repeat(40)).unwrap(),
            tenant_uid: TenantUid::parse("u".repeat(64)).unwrap(),
            pool: PoolId::parse("p".repeat(40)).unwrap(),
            conversation: ConversationId::parse("c".repeat(64)).unwrap(),
            turn: TurnId::parse("t".repeat(64)).unwrap(),
            channel: "web".into(),
            arrived_at: "2026-11-11T00:00:00.123456789Z".parse().unwrap(),
            kind: InteractionKind::Answer,
            answer_id: Some("refund-time".into()),
        };
        let bytes = interaction.encode();
        assert!(bytes.len() <= MAX_EVENT);
        assert_eq!(Interaction::decode(&bytes).unwrap(), interaction);
        assert_eq!(bytes, interaction.clone().encode());
    }
}
