//! All that may be reported in a simulated month, checked once.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use springtide_proto::ended::{ConversationEnd, Outcome};
use springtide_proto::event::InteractionKind;
use springtide_proto::ids::ConversationId;
use springtide_proto::metering::{Delivery, Witness};

use super::super::support::{at, interaction, now, reported, usage_event};
use crate::digest::Digest;
use crate::metering::examine::stored_event;
use crate::metering::report::{BucketKey, Examined, Report};
use crate::store::reporters::ReporterIds;

pub(super) const INTERACTIONS: usize = 48;
pub(super) const OTHERS: usize = 12;
/// Of an interaction: as it was answered first, answered by another with other words, and otherwise answered.
pub(super) const ANSWERS: usize = 3;
const DELIVERIES: [Delivery; 3] = [Delivery::Unspecified, Delivery::Undelivered, Delivery::Delivered];
/// Two workers, and two gateways with three words each.
const SPEAKERS: usize = 2 + 2 * DELIVERIES.len();
/// Of other usage: the event, another of the same identity, what undoes it, and what would undo it again.
const FORMS: usize = 4;
/// Conversations that end.
pub(super) const ENDING: usize = 16;
/// How one ends: as it was known before it went on, after its last message, and the same if nobody read the answer.
const ENDS: usize = 3;
/// A worker and two gateways.
const ENDERS: [&str; 3] = ["worker-0", "gateway-0", "gateway-1"];

pub(super) struct Population {
    messages: Vec<Examined>,
    by_hash: BTreeMap<Digest, usize>,
    /// What each message counts for, as it reads back from its bytes.
    read_back: HashMap<Vec<u8>, (BucketKey, i128)>,
    pub(super) reporters: ReporterIds,
    pub(super) now: Timestamp,
}

impl Population {
    pub(super) fn new() -> Self {
        let mut messages = Vec::new();
        for number in 0..INTERACTIONS {
            for answer in 0..ANSWERS {
                messages.extend((0..SPEAKERS).map(|speaker| interaction_by(number, answer, speaker)));
            }
        }
        for number in 0..OTHERS {
            messages.extend((0..FORMS).map(|form| other(number, form)));
        }
        for number in 0..ENDING {
            for end in 0..ENDS {
                messages.extend(ENDERS.map(|ender| ended(number, end, ender)));
            }
        }
        let hash = |(position, message): (usize, &Examined)| (message.as_ref().unwrap().hash, position);
        let by_hash = messages.iter().enumerate().map(hash).collect();
        let read_back = messages.iter().flatten().map(|report| {
            let (_, event) = stored_event(&report.payload).unwrap();
            let nanos = event.quantity.to_nanos().unwrap();
            (report.payload.clone(), (event.bucket(), nanos))
        });
        Self {
            read_back: read_back.collect(),
            by_hash,
            messages,
            reporters: reporters(),
            now: now(),
        }
    }

    /// What an event counts for whose bytes were stored.
    pub(super) fn read_back(&self, payload: &[u8]) -> &(BucketKey, i128) {
        &self.read_back[payload]
    }

    pub(super) fn worker(interaction: usize, answer: usize, worker: usize) -> usize {
        (interaction * ANSWERS + answer) * SPEAKERS + worker
    }

    pub(super) fn gateway(interaction: usize, answer: usize, gateway: usize, delivery: usize) -> usize {
        (interaction * ANSWERS + answer) * SPEAKERS + 2 + gateway * DELIVERIES.len() + delivery
    }

    pub(super) fn other(number: usize, form: usize) -> usize {
        INTERACTIONS * ANSWERS * SPEAKERS + number * FORMS + form
    }

    /// `ender`: 0 is the worker, 1 and 2 are the gateways.
    pub(super) fn ended(number: usize, end: usize, ender: usize) -> usize {
        Self::other(OTHERS, 0) + (number * ENDS + end) * ENDERS.len() + ender
    }

    pub(super) fn report(&self, message: usize) -> &Report {
        self.messages[message].as_ref().unwrap()
    }

    pub(super) fn examined(&self, message: usize) -> Examined {
        self.messages[message].clone()
    }

    pub(super) fn of_hash(&self, hash: Digest) -> usize {
        self.by_hash[&hash]
    }
}

fn reporters() -> ReporterIds {
    let names = ["worker-0", "worker-1", "gateway-0", "gateway-1"];
    let ids = (1..)
        .zip(names)
        .map(|(id, name)| (name.to_owned(), HashMap::from([("boot-1".to_owned(), id)])));
    ReporterIds(ids.collect())
}

fn tenant(number: usize) -> &'static str {
    if number.is_multiple_of(3) { "beta" } else { "acme" }
}

fn interaction_by(number: usize, answer: usize, speaker: usize) -> Examined {
    let mut turn = interaction(tenant(number), &format!("t{number}"));
    // Some share a quarter of an hour, and some lie on either side of a month's end.
    let hours = i64::try_from(number / 3 * 24).unwrap();
    turn.arrived_at = at("2026-10-31T15:59:59.999999999Z") + jiff::SignedDuration::from_hours(hours * 2);
    turn.answer_id = (answer == 1).then(|| "another".into());
    if answer == 2 {
        turn.kind = InteractionKind::Sorry;
    }
    let (witness, delivery, reporter) = match speaker {
        0 | 1 => (
            Witness::Worker,
            Delivery::Unspecified,
            format!("worker-{speaker}"),
        ),
        _ => {
            let delivery = DELIVERIES[(speaker - 2) % DELIVERIES.len()];
            let gateway = (speaker - 2) / DELIVERIES.len();
            (Witness::Gateway, delivery, format!("gateway-{gateway}"))
        }
    };
    reported(turn.encode(), tenant(number), witness, delivery, &reporter)
}

fn other(number: usize, form: usize) -> Examined {
    use prost::Message as _;
    let id = format!("s{number}");
    let quantity = if form == 1 { "0.25" } else { "2.000000001" };
    let mut event = usage_event(tenant(number), &id, quantity);
    if form >= 2 {
        event.reversal_of.clone_from(&id);
        event.id = format!("undo-{form}-of-{id}");
    }
    reported(
        event.encode_to_vec(),
        tenant(number),
        Witness::Worker,
        Delivery::Unspecified,
        "worker-0",
    )
}

fn ended(number: usize, end: usize, ender: &str) -> Examined {
    let mut last = interaction(tenant(number), "last");
    last.conversation = ConversationId::parse(format!("ending-{number}")).unwrap();
    let minutes = i64::try_from(number * 600 + end.min(1) * 20).unwrap();
    last.arrived_at = at("2026-10-31T15:50:00Z") + jiff::SignedDuration::from_mins(minutes);
    let mut ended = ConversationEnd::after(&last);
    if end == 2 {
        ended.outcome = Outcome::Abandoned;
    }
    let witness = if ender.starts_with("worker") {
        Witness::Worker
    } else {
        Witness::Gateway
    };
    reported(
        ended.encode(),
        tenant(number),
        witness,
        Delivery::Unspecified,
        ender,
    )
}
