//! Events of our own workers and gateways: what they must say of themselves, and which of two ends of a conversation counts.
//! Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use springtide_proto::ended::{CONVERSATION_SOURCE, METER_CONVERSATIONS, Outcome};
use springtide_proto::error::ApiError;
use springtide_proto::event::{INTERACTION_SOURCE, InteractionKind, interaction_id};
use springtide_proto::ids::{ConversationId, PoolId, TurnId};

use super::report::Event;
use crate::rating::number::Exact;

/// Workers and gateways alone report events of that source.
pub fn is_witnessed(source: &str) -> bool {
    [INTERACTION_SOURCE, CONVERSATION_SOURCE].contains(&source)
}

/// An interaction, or the end of a conversation, says the same in its identity, its meter and its dimensions.
pub fn check_own(event: &Event) -> Result<(), ApiError> {
    match event.source.as_str() {
        INTERACTION_SOURCE => check_interaction(event),
        CONVERSATION_SOURCE => check_end(event),
        _ => Ok(()),
    }
}

fn check_interaction(event: &Event) -> Result<(), ApiError> {
    let kind = InteractionKind::parse(dimension(event, "kind"))?;
    PoolId::parse(dimension(event, "pool"))?;
    let conversation = ConversationId::parse(dimension(event, "conversation"))?;
    let turn = TurnId::parse(dimension(event, "turn"))?;
    if event.id != interaction_id(&conversation, &turn) {
        return Err(ApiError::invalid(
            "id",
            "id of an interaction must be its conversation/turn",
        ));
    }
    if event.meter != kind.meter() {
        return Err(ApiError::invalid(
            "meter",
            format!("meter of this kind of interaction must be {}", kind.meter()),
        ));
    }
    check_is_one(event, "an interaction")
}

fn check_end(event: &Event) -> Result<(), ApiError> {
    Outcome::parse(dimension(event, "outcome"))?;
    PoolId::parse(dimension(event, "pool"))?;
    let conversation = ConversationId::parse(dimension(event, "conversation"))?;
    if event.id != conversation.as_str() {
        return Err(ApiError::invalid(
            "id",
            "id of a conversation's end must be its conversation",
        ));
    }
    if event.meter != METER_CONVERSATIONS {
        return Err(ApiError::invalid(
            "meter",
            format!("meter of a conversation's end must be {METER_CONVERSATIONS}"),
        ));
    }
    check_is_one(event, "a conversation's end")
}

fn check_is_one(event: &Event, what: &str) -> Result<(), ApiError> {
    if event.quantity == Exact::new(1, 0) {
        Ok(())
    } else {
        Err(ApiError::invalid(
            "quantity",
            format!("quantity of {what} must be 1"),
        ))
    }
}

fn dimension<'a>(event: &'a Event, key: &str) -> &'a str {
    event.dimensions.get(key).map_or("", String::as_str)
}

/// Another end of a conversation counts instead of the one that is known: it came back, or went on where the first witness did
/// not see it. The order is that of [`ConversationEnd`](springtide_proto::ended::ConversationEnd). Of a customer who was erased
/// nothing more is taken.
pub fn ends_later(event: &Event, known: &Event) -> bool {
    let are_ends = event.reversal_of.is_none() && known.reversal_of.is_none();
    are_ends && !known.is_erased() && rank(event) > rank(known)
}

type Rank<'a> = (Timestamp, Option<Outcome>, &'a BTreeMap<String, String>);

fn rank(event: &Event) -> Rank<'_> {
    let outcome = Outcome::parse(dimension(event, "outcome")).ok();
    (event.time, outcome, &event.dimensions)
}
