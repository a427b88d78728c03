//! A report whose every part was checked, and what may be said to it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use springtide_proto::error::Reason;
use springtide_proto::ids::{TenantId, TenantUid};
use springtide_proto::metering::{Delivery, Witness};

use super::erase::ERASED;
use super::meters::MODULES;
use crate::digest::{Digest, Fingerprint};
use crate::rating::number::Exact;
use crate::rating::period::BUCKET_SECONDS;
use crate::rating::plan::is_identifying;
use crate::rating::rate::ModuleChange;

/// Whose usage: a tenant's UID with the name it was reported under.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Party {
    /// Identity over time.
    pub tenant_uid: TenantUid,
    /// Name.
    pub tenant: TenantId,
}

/// An event's identity for ever: a fingerprint of its tenant's UID and name, its source and its id. Ids that are the same up
/// to their first slash, as those of one conversation's turns, lie side by side: a batch touches few pages of the largest
/// index.
pub type EventKey = Fingerprint;

/// Bytes of a key that tell where it lies: as many places as a hundred thousand pages have room for, and the 104 bits behind
/// them still tell any two identities apart.
const PLACE: usize = 3;

impl Party {
    /// The key of this party's event. None of the parts holds a control character, so none runs into the next.
    pub fn event_key(&self, source: &str, id: &str) -> EventKey {
        let of = |id: &str| {
            let parts = [self.tenant_uid.as_str(), self.tenant.as_str(), source, id];
            Digest::of(parts.join("\0").as_bytes()).fingerprint()
        };
        match id.split_once('/') {
            Some((group, _)) => of(id).placed_at(of(group), PLACE),
            None => of(id),
        }
    }
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
    /// Its identity.
    pub key: EventKey,
    /// Of the bytes as they came.
    pub hash: Digest,
    /// The bytes as they came.
    pub payload: Vec<u8>,
    /// Who says it.
    pub provenance: Provenance,
}

impl Report {
    /// What is kept if it may not be taken.
    pub fn rejected(&self, reason: Reason, message: String) -> Rejection {
        let Provenance {
            witness,
            delivery,
            reporter,
            boot_id,
        } = self.provenance.clone();
        Rejection {
            peer: self.party.tenant.to_string(),
            payload: self.payload.clone(),
            hash: self.hash,
            witness,
            delivery,
            reporter,
            boot_id,
            reason,
            message,
        }
    }
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
    /// As which part, as it said.
    pub witness: Witness,
    /// Whether it reached the customer, as it said.
    pub delivery: Delivery,
    /// Pod, as far as it is known.
    pub reporter: String,
    /// Process start of that pod, as far as it is known.
    pub boot_id: String,
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
    /// A known interaction with other bytes, or another end or rating of a conversation.
    Variant,
    /// Anything else known, with other bytes.
    Conflict,
    /// Wrong in itself.
    Rejected(Reason, String),
}

impl Verdict {
    /// As metrics and JSON name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Variant => "variant",
            Self::Conflict => "conflict",
            Self::Rejected(..) => "rejected",
        }
    }
}

/// The reason and the sentence that go with a verdict that is no success.
pub fn answer_of(verdict: &Verdict) -> Option<(&'static str, String)> {
    match verdict {
        Verdict::Accepted | Verdict::Duplicate | Verdict::Variant => None,
        Verdict::Conflict => Some((
            Reason::EventConflict.as_str(),
            "another event of this identity is known; the first one stands".to_owned(),
        )),
        Verdict::Rejected(reason, message) => Some((reason.as_str(), message.clone())),
    }
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
    /// When a module was taken or dropped, if it says that: the dimension `module` says which, and the quantity is 0 where it
    /// was dropped.
    pub fn module_change(&self) -> Option<ModuleChange> {
        let module = self.dimensions.get("module").filter(|_| self.meter == MODULES)?;
        Some(ModuleChange {
            at: self.time,
            module: module.clone(),
            active: !self.quantity.is_zero(),
        })
    }

    /// What told its customer was taken out of it: its id is not the one that its key was made of.
    pub fn is_erased(&self) -> bool {
        self.id == ERASED
    }

    /// Where it is summed.
    pub fn bucket(&self) -> BucketKey {
        let second = self.time.as_second();
        let narrowing = self
            .dimensions
            .iter()
            .filter(|(key, _)| !is_identifying(&self.meter, key));
        BucketKey {
            start_second: second - second.rem_euclid(BUCKET_SECONDS),
            meter: self.meter.clone(),
            dimensions: dimensions_to_json(narrowing),
        }
    }
}

/// Dimensions, which come sorted by their keys, as canonical JSON.
pub fn dimensions_to_json<'a>(dimensions: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    let mut text = String::from("{");
    for (position, (key, value)) in dimensions.enumerate() {
        if position > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(key.as_str()).to_string());
        text.push(':');
        text.push_str(&serde_json::Value::from(value.as_str()).to_string());
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_conversation_lie_side_by_side_and_no_two_identities_share_one() {
        let party = |tenant: &str| Party {
            tenant_uid: TenantUid::parse(format!("uid-{tenant}")).unwrap(),
            tenant: TenantId::parse(tenant).unwrap(),
        };
        let place = |key: EventKey| key.as_bytes()[..PLACE].to_vec();
        let keys: Vec<_> = (0..1000)
            .map(|turn| party("acme").event_key("interaction", &format!("c1/{turn}")))
            .collect();
        assert!(keys.iter().all(|key| place(*key) == place(keys[0])));
        let others = [
            party("acme").event_key("interaction", "c2/0"),
            party("acme").event_key("other", "c1/0"),
            party("other").event_key("interaction", "c1/0"),
        ];
        assert!(others.iter().all(|key| place(*key) != place(keys[0])));
        let alone = party("acme").event_key("other", "c1");
        let all: std::collections::BTreeSet<_> = keys.iter().chain(&others).chain([&alone]).collect();
        assert_eq!(all.len(), keys.len() + others.len() + 1);
    }

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
