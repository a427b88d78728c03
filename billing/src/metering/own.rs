//! Events of our own workers and gateways: what they must say of themselves, and which of two ends, or ratings, of a conversation
//! counts. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use springtide_proto::ended::{CONVERSATION_SOURCE, METER_CONVERSATIONS, Outcome};
use springtide_proto::error::ApiError;
use springtide_proto::event::{INTERACTION_SOURCE, InteractionKind, interaction_id};
use springtide_proto::ids::{ConversationId, PoolId, TurnId};
use springtide_proto::rated::{METER_RATINGS, RATING_SOURCE, Score};

use super::report::Event;
use crate::rating::number::Exact;

/// Workers and gateways alone report events of that source.
pub fn is_witnessed(source: &str) -> bool {
    [INTERACTION_SOURCE, CONVERSATION_SOURCE, RATING_SOURCE].contains(&source)
}

/// A later event of that source takes the place of an earlier one of its identity.
pub fn is_replaced_by_later(source: &str) -> bool {
    [CONVERSATION_SOURCE, RATING_SOURCE].contains(&source)
}

/// An interaction, the end of a conversation, or a rating says the same in its identity, its meter and its dimensions.
pub fn check_own(event: &Event) -> Result<(), ApiError> {
    match event.source.as_str() {
        INTERACTION_SOURCE => check_interaction(event),
        CONVERSATION_SOURCE => check_end(event),
        RATING_SOURCE => check_rating(event),
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
    check_of_conversation(event, METER_CONVERSATIONS, "a conversation's end")
}

fn check_rating(event: &Event) -> Result<(), ApiError> {
    Score::parse(dimension(event, "score"))?;
    check_of_conversation(event, METER_RATINGS, "a rating")
}

/// What is said once of a conversation.
fn check_of_conversation(event: &Event, meter: &str, what: &str) -> Result<(), ApiError> {
    PoolId::parse(dimension(event, "pool"))?;
    let conversation = ConversationId::parse(dimension(event, "conversation"))?;
    if event.id != conversation.as_str() {
        return Err(ApiError::invalid(
            "id",
            format!("id of {what} must be its conversation"),
        ));
    }
    if event.meter != meter {
        return Err(ApiError::invalid(
            "meter",
            format!("meter of {what} must be {meter}"),
        ));
    }
    check_is_one(event, what)
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

/// Another end, or rating, of a conversation counts instead of the one that is known: it came back, or went on where the first
/// witness did not see it, or was rated anew. The order is that of
/// [`ConversationEnd`](springtide_proto::ended::ConversationEnd): a rating has no outcome. Of a customer who was erased nothing
/// more is taken.
pub fn counts_instead(event: &Event, known: &Event) -> bool {
    let are_plain = event.reversal_of.is_none() && known.reversal_of.is_none();
    are_plain && !known.is_erased() && rank(event) > rank(known)
}

type Rank<'a> = (Timestamp, Option<Outcome>, &'a BTreeMap<String, String>);

fn rank(event: &Event) -> Rank<'_> {
    let outcome = Outcome::parse(dimension(event, "outcome")).ok();
    (event.time, outcome, &event.dimensions)
}
