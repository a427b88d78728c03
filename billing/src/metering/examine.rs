//! The edge: a wire record becomes a [`Report`], or a [`Rejection`] that says why not.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::event::MAX_EVENT;
use springtide_proto::ids::{TenantId, TenantUid};
use springtide_proto::metering::{Delivery, Dimension, Record, UsageEvent, Witness};
use springtide_proto::time::timestamp_from_wire;
use springtide_runtime::identity::TenantRole;

use super::meters::is_built_in;
use super::own::{check_own, is_witnessed};
use super::report::{Event, Examined, Party, Provenance, Rejection, Report};
use crate::digest::Digest;
use crate::rating::number::Exact;

/// How far ahead of the clock an event may lie.
pub const FUTURE_TOLERANCE: SignedDuration = SignedDuration::from_hours(1);
/// Source of what the provider says itself, by a command.
pub const PROVIDER_SOURCE: &str = "provider";
const MAX_DIMENSIONS: usize = 16;
const MAX_SOURCE: usize = 64;
const MAX_EVENT_ID: usize = 130;
const MAX_KEY: usize = 32;
const MAX_VALUE: usize = 64;
const MAX_REPORTER: usize = 253;

/// A part of a tenant, proven by its certificate, or the client firm itself, by its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reporter {
    /// Whose.
    pub tenant: TenantId,
    /// Which part; `None` is the client firm, over HTTP.
    pub role: Option<TenantRole>,
}

/// Who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// The peer itself.
    Peer,
    /// The provider, for the tenant.
    Provider,
}

/// Checks everything about a record that can be known without the store.
pub fn examine(record: Record, peer: &Reporter, now: Timestamp) -> Examined {
    examine_word(record, peer, Word::Peer, now)
}

/// Checks what the provider says itself of a tenant, by a command.
pub fn examine_of_provider(record: Record, tenant: &TenantId, now: Timestamp) -> Examined {
    let peer = Reporter {
        tenant: tenant.clone(),
        role: None,
    };
    examine_word(record, &peer, Word::Provider, now)
}

fn examine_word(record: Record, peer: &Reporter, word: Word, now: Timestamp) -> Examined {
    let Record {
        usage_event,
        witness,
        delivery,
        reporter,
        boot_id,
    } = record;
    let payload = Vec::from(usage_event);
    let hash = Digest::of(&payload);
    let checked = provenance_of(witness, delivery, &reporter, &boot_id, peer)
        .and_then(|provenance| Ok((provenance, event_of(&payload, peer, word, now)?)));
    match checked {
        Ok((provenance, (party, event))) => Ok(Box::new(Report {
            key: party.event_key(&event.source, &event.id),
            party,
            event,
            hash,
            payload,
            provenance,
        })),
        Err(error) => {
            let said = Provenance {
                witness: Witness::try_from(witness).unwrap_or(Witness::Unspecified),
                delivery: Delivery::try_from(delivery).unwrap_or(Delivery::Unspecified),
                reporter: printable(&reporter, MAX_REPORTER),
                boot_id: printable(&boot_id, MAX_SOURCE),
            };
            Err(Box::new(rejection(payload, hash, said, peer, error)))
        }
    }
}

/// Checks a record that was rejected once, with the words of the one who sent it first.
pub fn examine_again(peer: &str, record: &Record, now: Timestamp) -> Examined {
    let role = match record.witness() {
        Witness::Worker => Some(TenantRole::Worker),
        Witness::Gateway => Some(TenantRole::Gateway),
        Witness::Unspecified => None,
    };
    match TenantId::parse(peer) {
        Ok(tenant) => examine(record.clone(), &Reporter { tenant, role }, now),
        Err(error) => {
            let payload = record.usage_event.to_vec();
            let hash = Digest::of(&payload);
            let said = Provenance {
                witness: record.witness(),
                delivery: record.delivery(),
                reporter: record.reporter.clone(),
                boot_id: record.boot_id.clone(),
            };
            Err(Box::new(Rejection {
                peer: peer.to_owned(),
                payload,
                hash,
                witness: said.witness,
                delivery: said.delivery,
                reporter: said.reporter,
                boot_id: said.boot_id,
                reason: Reason::EventRejected,
                message: error.message,
            }))
        }
    }
}

/// What is kept of a record that is not taken.
pub fn rejection(
    mut payload: Vec<u8>,
    hash: Digest,
    said: Provenance,
    peer: &Reporter,
    error: ApiError,
) -> Rejection {
    payload.truncate(MAX_EVENT);
    let ApiError {
        reason,
        message,
        field,
    } = error;
    let Provenance {
        witness,
        delivery,
        reporter,
        boot_id,
    } = said;
    // Of the table, a record's own faults are all EVENT_REJECTED; what the identity may not do keeps its reason.
    let reason = if reason == Reason::PermissionDenied {
        reason
    } else {
        Reason::EventRejected
    };
    let message = field
        .filter(|field| !message.starts_with(field.as_str()))
        .map_or(message.clone(), |field| format!("{field}: {message}"));
    Rejection {
        peer: peer.tenant.to_string(),
        payload,
        hash,
        witness,
        delivery,
        reporter,
        boot_id,
        reason,
        message,
    }
}

fn printable(text: &str, longest: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(longest).collect()
}

fn provenance_of(
    witness: i32,
    delivery: i32,
    reporter: &str,
    boot_id: &str,
    peer: &Reporter,
) -> Result<Provenance, ApiError> {
    let witness = Witness::try_from(witness).unwrap_or(Witness::Unspecified);
    let may_say = match peer.role {
        Some(TenantRole::Worker) => witness == Witness::Worker,
        // It passes on what workers left behind that went.
        Some(TenantRole::Gateway) => matches!(witness, Witness::Gateway | Witness::Worker),
        None => witness == Witness::Unspecified,
    };
    if !may_say {
        return Err(ApiError::new(
            Reason::PermissionDenied,
            "witness is not the part that this certificate belongs to",
        ));
    }
    let delivery = Delivery::try_from(delivery)
        .map_err(|_| ApiError::invalid("delivery", "delivery is not one of DELIVERED, UNDELIVERED"))?;
    Ok(Provenance {
        witness,
        // Only a gateway knows.
        delivery: if witness == Witness::Gateway {
            delivery
        } else {
            Delivery::Unspecified
        },
        reporter: text("reporter", reporter, MAX_REPORTER)?,
        boot_id: text("boot_id", boot_id, MAX_SOURCE)?,
    })
}

fn event_of(payload: &[u8], peer: &Reporter, word: Word, now: Timestamp) -> Result<(Party, Event), ApiError> {
    if payload.len() > MAX_EVENT {
        return Err(ApiError::invalid(
            "usage_event",
            format!("usage_event is longer than {MAX_EVENT} bytes"),
        ));
    }
    let (party, event) = fields_of(payload, now)?;
    if party.tenant != peer.tenant {
        return Err(ApiError::new(
            Reason::PermissionDenied,
            "tenant is not the one that this certificate belongs to",
        ));
    }
    if peer.role.is_none() {
        check_without_witness(&event, word)?;
    }
    if event.reversal_of.is_none() {
        check_own(&event)?;
    }
    Ok((party, event))
}

/// A client firm says nothing of what it is charged for by what the provider does: neither turns, nor which modules it has.
fn check_without_witness(event: &Event, word: Word) -> Result<(), ApiError> {
    let Event { source, meter, .. } = event;
    if is_witnessed(source) {
        return Err(ApiError::invalid(
            "source",
            format!("source {source} is what workers and gateways alone report"),
        ));
    }
    if word == Word::Peer && source == PROVIDER_SOURCE {
        return Err(ApiError::invalid(
            "source",
            format!("source {PROVIDER_SOURCE} is what the provider alone reports"),
        ));
    }
    if word == Word::Peer && is_built_in(meter) {
        return Err(ApiError::invalid(
            "meter",
            format!("meter {meter} is what the provider alone reports"),
        ));
    }
    Ok(())
}

/// An event as it was taken once.
pub fn stored_event(payload: &[u8]) -> Result<(Party, Event), ApiError> {
    fields_of(payload, Timestamp::MAX)
}

fn fields_of(payload: &[u8], now: Timestamp) -> Result<(Party, Event), ApiError> {
    let wire = UsageEvent::decode(payload)
        .map_err(|_| ApiError::invalid("usage_event", "usage_event is not an encoded UsageEvent"))?;
    let UsageEvent {
        tenant_uid,
        tenant,
        source,
        id,
        meter,
        quantity,
        event_time,
        dimensions,
        reversal_of,
    } = wire;
    let party = Party {
        tenant_uid: TenantUid::parse(tenant_uid)?,
        tenant: TenantId::parse(tenant)?,
    };
    let event = Event {
        source: text("source", &source, MAX_SOURCE)?,
        id: text("id", &id, MAX_EVENT_ID)?,
        meter: lower_name("meter", &meter, MAX_SOURCE)?,
        quantity: Exact::parse(&quantity)
            .map_err(|why| ApiError::invalid("quantity", format!("quantity {why}")))?,
        time: time_of(event_time, now)?,
        dimensions: dimensions_of(dimensions)?,
        reversal_of: if reversal_of.is_empty() {
            None
        } else {
            Some(text("reversal_of", &reversal_of, MAX_EVENT_ID)?)
        },
    };
    Ok((party, event))
}

fn time_of(wire: Option<prost_types::Timestamp>, now: Timestamp) -> Result<Timestamp, ApiError> {
    let time = timestamp_from_wire(wire, "event_time")?;
    if time > now.saturating_add(FUTURE_TOLERANCE).unwrap_or(Timestamp::MAX) {
        return Err(ApiError::invalid(
            "event_time",
            "event_time lies more than an hour ahead",
        ));
    }
    if time < Timestamp::UNIX_EPOCH || i64::try_from(time.as_nanosecond()).is_err() {
        return Err(ApiError::invalid("event_time", "event_time lies before 1970"));
    }
    Ok(time)
}

fn dimensions_of(wire: Vec<Dimension>) -> Result<BTreeMap<String, String>, ApiError> {
    if wire.len() > MAX_DIMENSIONS {
        return Err(ApiError::invalid(
            "dimensions",
            format!("dimensions are more than {MAX_DIMENSIONS}"),
        ));
    }
    if !wire.is_sorted_by(|one, next| one.key < next.key) {
        return Err(ApiError::invalid(
            "dimensions",
            "dimensions must be sorted by key, each key once",
        ));
    }
    wire.into_iter()
        .map(|Dimension { key, value }| {
            let fits = value.chars().count() <= MAX_VALUE && !value.chars().any(char::is_control);
            if !fits {
                return Err(ApiError::invalid(
                    "dimensions",
                    format!("dimensions: a value must be of at most {MAX_VALUE} printable characters"),
                ));
            }
            Ok((lower_name("dimensions", &key, MAX_KEY)?, value))
        })
        .collect()
}

fn text(field: &str, text: &str, longest: usize) -> Result<String, ApiError> {
    let fits = (1..=longest).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if fits {
        Ok(text.to_owned())
    } else {
        Err(ApiError::invalid(
            field,
            format!("{field} must be 1 to {longest} printable characters"),
        ))
    }
}

fn lower_name(field: &str, text: &str, longest: usize) -> Result<String, ApiError> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if (1..=longest).contains(&text.len()) && text.bytes().all(inner) {
        Ok(text.to_owned())
    } else {
        Err(ApiError::invalid(
            field,
            format!("{field} must be 1 to {longest} of a to z, 0 to 9 and _"),
        ))
    }
}

#[cfg(test)]
mod tests;
