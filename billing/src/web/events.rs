//! Usage over HTTP, as CloudEvents 1.0 in JSON: one event (structured) or a list (batch), each with a result of its own.
//!
//! `source` and `id` are the identity, `time` is when it happened; `data` has `meter`, `quantity` (a decimal as text, or an
//! integer) and, if wanted, `dimensions` and `reversalOf`. Interactions come from their two witnesses alone.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use prost::Message as _;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use springtide_proto::error::ApiError;
use springtide_proto::metering::{Delivery, Dimension, Record, UsageEvent, Witness};
use springtide_proto::time::timestamp_to_wire;

use super::auth::{Caller, caller_asked_for};
use super::{Failure, WebState};
use crate::digest::Digest;
use crate::metering::examine::{Reporter, examine, rejection};
use crate::metering::report::{Examined, Party, Provenance, Verdict, answer_of};
use crate::metering::{MAX_MESSAGE, MAX_RECORDS};
use crate::store::Role;

const ONE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
/// The reporter of what comes over HTTP.
const CLIENT: &str = "http";

/// An event; attributes that are not named here are extensions and are not looked at.
#[derive(Deserialize)]
struct CloudEvent {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    time: Option<Timestamp>,
    datacontenttype: Option<String>,
    data: Option<Data>,
    data_base64: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Data {
    meter: String,
    quantity: Quantity,
    #[serde(default)]
    dimensions: BTreeMap<String, String>,
    #[serde(default)]
    reversal_of: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Quantity {
    Text(String),
    Integer(u64),
}

/// Takes events of the tenant whose token comes with them.
pub async fn take(
    State(state): State<WebState>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Failure> {
    // Before a byte of the body is read.
    let caller = caller_asked_for(&state, &headers, &tenant, Role::Admin).await?;
    let Caller {
        account,
        store,
        holder,
    } = caller;
    let party = account.details.party;
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let content_type = content_type
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    let is_batch = match content_type {
        Some(ONE) => false,
        Some(BATCH) => true,
        _ => {
            let message = format!("Content-Type must be {ONE} or {BATCH}");
            return Err(ApiError::invalid("Content-Type", message).into());
        }
    };
    let bytes = to_bytes(body, MAX_MESSAGE).await.map_err(|_| {
        let message = format!("the body must be whole and of at most {MAX_MESSAGE} bytes");
        ApiError::invalid("body", message)
    })?;
    let events = events_of(&bytes, is_batch)?;
    let now = state.clock.now();
    let attribute = |event: &Value, name: &str| event.get(name).cloned().unwrap_or_default();
    let identities: Vec<_> = events
        .iter()
        .map(|event| (attribute(event, "source"), attribute(event, "id")))
        .collect();
    let examined = events
        .into_iter()
        .map(|event| examined(event, &party, now))
        .collect();
    let verdicts = state.writer.write(examined).await?;
    // This also sees to it that the tenant reads at once what it wrote.
    let reported = format!("{} events", verdicts.len());
    store
        .note(account.ledger, &holder, "report usage", &reported, now)
        .await?;
    let results: Vec<_> = identities
        .into_iter()
        .zip(verdicts)
        .map(|((source, id), verdict)| result(&source, &id, &verdict))
        .collect();
    Ok(Json(json!({"results": results})))
}

fn events_of(bytes: &[u8], is_batch: bool) -> Result<Vec<Value>, ApiError> {
    let wrong = |error: serde_json::Error| {
        ApiError::invalid("body", format!("the body is not JSON of events: {error}"))
    };
    let events: Vec<Value> = if is_batch {
        serde_json::from_slice(bytes).map_err(wrong)?
    } else {
        vec![serde_json::from_slice(bytes).map_err(wrong)?]
    };
    if (1..=MAX_RECORDS).contains(&events.len()) {
        Ok(events)
    } else {
        let message = format!("events must be 1 to {MAX_RECORDS}, not {}", events.len());
        Err(ApiError::invalid("events", message))
    }
}

fn examined(event: Value, party: &Party, now: Timestamp) -> Examined {
    let client = Reporter {
        tenant: party.tenant.clone(),
        role: None,
    };
    let text = event.to_string();
    match usage_event(event, party) {
        Ok(event) => {
            let record = Record {
                usage_event: event.encode_to_vec().into(),
                witness: Witness::Unspecified.into(),
                delivery: Delivery::Unspecified.into(),
                reporter: CLIENT.to_owned(),
                boot_id: CLIENT.to_owned(),
            };
            examine(record, &client, now)
        }
        Err(error) => {
            let said = Provenance {
                witness: Witness::Unspecified,
                delivery: Delivery::Unspecified,
                reporter: CLIENT.to_owned(),
                boot_id: CLIENT.to_owned(),
            };
            let (payload, hash) = (text.as_bytes().to_vec(), Digest::of(text.as_bytes()));
            Err(Box::new(rejection(payload, hash, said, &client, error)))
        }
    }
}

fn usage_event(event: Value, party: &Party) -> Result<UsageEvent, ApiError> {
    let event: CloudEvent = serde_json::from_value(event).map_err(|error| {
        ApiError::invalid("event", format!("event is not a CloudEvent of usage: {error}"))
    })?;
    if event.specversion != "1.0" {
        return Err(ApiError::invalid("specversion", "specversion must be 1.0"));
    }
    if event.kind.is_empty() {
        return Err(ApiError::invalid("type", "type must not be empty"));
    }
    let is_json = |kind: &String| kind.split(';').next().map(str::trim) == Some("application/json");
    if event.data_base64.is_some() || !event.datacontenttype.as_ref().is_none_or(is_json) {
        return Err(ApiError::invalid("data", "data must be JSON"));
    }
    let data = event
        .data
        .ok_or_else(|| ApiError::invalid("data", "data is missing"))?;
    let time = event
        .time
        .ok_or_else(|| ApiError::invalid("time", "time is missing"))?;
    let dimensions = data
        .dimensions
        .into_iter()
        .map(|(key, value)| Dimension { key, value })
        .collect();
    Ok(UsageEvent {
        tenant_uid: party.tenant_uid.to_string(),
        tenant: party.tenant.to_string(),
        source: event.source,
        id: event.id,
        meter: data.meter,
        quantity: match data.quantity {
            Quantity::Text(text) => text,
            Quantity::Integer(number) => number.to_string(),
        },
        event_time: Some(timestamp_to_wire(time)),
        dimensions,
        reversal_of: data.reversal_of,
    })
}

fn result(source: &Value, id: &Value, verdict: &Verdict) -> Value {
    let (reason, message) = answer_of(verdict).unwrap_or_default();
    json!({"source": source, "id": id, "status": verdict.name(), "reason": reason, "message": message})
}

#[cfg(test)]
mod tests;
