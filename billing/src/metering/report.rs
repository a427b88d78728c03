//! A report whose every part was checked, and what may be said to it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use springtide_proto::error::Reason;
use springtide_proto::ids::{TenantId, TenantUid};
use springtide_proto::metering::{Delivery, Witness};

use crate::digest::Digest;
use crate::rating::number::Exact;
use crate::rating::period::BUCKET_SECONDS;
use crate::rating::plan::IDENTIFYING_DIMENSIONS;

/// Whose usage: a tenant's UID with the name it was reported under.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Party {
    /// Identity over time.
    pub tenant_uid: TenantUid,
    /// Name.
    pub tenant: TenantId,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Kind of identity: "interaction" for turns.
    pub source: String,
    /// Identity within the source.
    pub id: String,
    /// What is counted.
    pub meter: String,
    /// How much, not negative.
    pub quantity: Exact,
    /// When; at most nanoseconds since 1970 that fit 63 bits.
    pub time: Timestamp,
    /// Sorted by key.
    pub dimensions: BTreeMap<String, String>,
    /// The event that it undoes.
    pub reversal_of: Option<String>,
}

/// A witness says that an event happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whose.
    pub party: Party,
    /// What.
    pub event: Event,
    /// Of the bytes as they came.
    pub hash: Digest,
    /// The bytes as they came.
    pub payload: Vec<u8>,
    /// Who says it.
    pub provenance: Provenance,
}

/// Who says it: outside the event's identity and hash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Provenance {
    /// As which part.
    pub witness: Witness,
    /// Whether it reached the customer.
    pub delivery: Delivery,
    /// Pod.
    pub reporter: String,
    /// Process start of that pod.
    pub boot_id: String,
}

/// A record that is wrong in itself. Kept for people to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Tenant of the peer that sent it.
    pub peer: String,
    /// The record's event bytes, cut if they are too long.
    pub payload: Vec<u8>,
    /// Of the whole bytes.
    pub hash: Digest,
    /// Pod, as far as it is known.
    pub reporter: String,
    /// From the table of reasons.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
}

/// A record after its examination.
pub type Examined = Result<Box<Report>, Box<Rejection>>;

/// What becomes of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// First of its identity.
    Accepted,
    /// Known, same bytes.
    Duplicate,
    /// A known interaction with other bytes.
    Variant,
    /// Anything else known, with other bytes.
    Conflict,
    /// Wrong in itself.
    Rejected(Reason, String),
}

/// Which part of a ledger's usage an event belongs to: bills read usage summed by these.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketKey {
    /// Start of the quarter of an hour, in seconds since 1970.
    pub start_second: i64,
    /// What is counted.
    pub meter: String,
    /// By what it can be narrowed, as canonical JSON: all dimensions but those that tell one event from another.
    pub dimensions: String,
}

impl Event {
    /// Where it is summed.
    pub fn bucket(&self) -> BucketKey {
        let second = self.time.as_second();
        let narrowing = self
            .dimensions
            .iter()
            .filter(|(key, _)| !IDENTIFYING_DIMENSIONS.contains(&key.as_str()));
        BucketKey {
            start_second: second - second.rem_euclid(BUCKET_SECONDS),
            meter: self.meter.clone(),
            dimensions: dimensions_to_json(narrowing),
        }
    }
}

/// Dimensions as canonical JSON.
pub fn dimensions_to_json<'a>(dimensions: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    let fields = dimensions
        .map(|(key, value)| (key.clone(), value.clone().into()))
        .collect();
    crate::digest::canonical_json(&serde_json::Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_summed_by_quarter_hour_and_by_what_narrows_it() {
        let dimensions = [
            ("turn", "t1"),
            ("conversation", "c1"),
            ("answer_id", "a"),
            ("kind", "answer"),
            ("channel", "web"),
        ];
        let event = Event {
            source: "interaction".into(),
            id: "c1/t1".into(),
            meter: "interactions".into(),
            quantity: Exact::parse("1").unwrap(),
            time: "2026-11-11T00:29:59.999999999Z".parse().unwrap(),
            dimensions: dimensions
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            reversal_of: None,
        };
        let bucket = event.bucket();
        assert_eq!(
            Timestamp::from_second(bucket.start_second).unwrap().to_string(),
            "2026-11-11T00:15:00Z"
        );
        assert_eq!(bucket.dimensions, r#"{"channel":"web","kind":"answer"}"#);
    }
}
