//! The ledger of a run with workers in this process: for each turn, what its customer got, and who reported it as usage.
//! Conversation number N is `cN`, its turns are `t0`, `t1`, …, worker number N is `web-N`: so a turn is a few bytes in memory,
//! and a line on disk.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use prost::Message as _;
use springtide_proto::metering::{Delivery, Record, UsageEvent, Witness};

use crate::ends::end_of;

/// Name of the file.
pub const TURNS: &str = "turns.csv";
const HEAD: &str = "conversation,turn,attempts,wait_us,answered_by,fault,reported_by,reported_too_by,delivered,undelivered,bytes_differ";

/// Name of a worker.
pub fn worker_name(number: u32) -> String {
    format!("web-{number}")
}

/// Number of the worker of that name, or of the Pod with that UID.
pub fn worker_number(name: &str) -> Option<u32> {
    let name = name.strip_prefix("pod-").unwrap_or(name);
    name.strip_prefix("web-")?.parse().ok()
}

/// What was wrong with what a customer got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It was refused for good, or not answered within a customer's patience.
    NotAnswered,
    /// It was answered as if the conversation had not been there before.
    StateLost,
    /// Sent again after it was answered, it was answered otherwise.
    AnsweredOtherwise,
}

const FAULTS: [(Option<Fault>, &str); 4] = [
    (None, ""),
    (Some(Fault::NotAnswered), "not answered"),
    (Some(Fault::StateLost), "state lost"),
    (Some(Fault::AnsweredOtherwise), "answered otherwise"),
];

/// One turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Requests that its customer sent until it was answered.
    pub attempts: u16,
    /// From its first request to its answer, in microseconds.
    pub wait_us: u32,
    /// The worker whose answer the customer got.
    pub answered_by: Option<u32>,
    /// What was wrong.
    pub fault: Option<Fault>,
    /// The worker that reported it first.
    pub reported_by: Option<u32>,
    /// Another worker that reported it: both answered it.
    pub reported_too_by: Option<u32>,
    /// Reports of gateways that it was handed to its customer.
    pub delivered: u16,
    /// Reports of gateways that it could not be.
    pub undelivered: u16,
    /// Not all reports had the same bytes.
    pub bytes_differ: bool,
}

impl Turn {
    /// What a customer got: `worker` is the UID of the Pod that answered.
    pub fn got(&mut self, attempts: u32, wait: Duration, worker: Option<&str>, fault: Option<Fault>) {
        self.attempts = u16::try_from(attempts).unwrap_or(u16::MAX);
        self.wait_us = u32::try_from(wait.as_micros()).unwrap_or(u32::MAX);
        self.answered_by = worker.and_then(worker_number);
        self.fault = fault;
    }

    /// Billing's rule: an interaction counts when a witness reported it, and gateways that speak of its delivery do not all say
    /// that there was none.
    pub fn counts(&self) -> bool {
        let reported = self.reported_by.is_some() || self.delivered > 0;
        reported && (self.delivered > 0 || self.undelivered == 0)
    }

    fn reported(&mut self, record: &Record) {
        match (record.witness(), record.delivery()) {
            (Witness::Worker, _) => {
                let worker = worker_number(&record.reporter);
                if self.reported_by.is_none() {
                    self.reported_by = worker;
                } else if self.reported_by != worker {
                    self.reported_too_by = worker;
                }
            }
            (_, Delivery::Undelivered) => self.undelivered = self.undelivered.saturating_add(1),
            _ => self.delivered = self.delivered.saturating_add(1),
        }
    }

    fn to_line(self) -> String {
        let number = |number: Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
        let fault = FAULTS.iter().find(|(fault, _)| *fault == self.fault);
        format!(
            "{},{},{},{},{},{},{},{},{}",
            self.attempts,
            self.wait_us,
            number(self.answered_by),
            fault.map_or("", |(_, text)| text),
            number(self.reported_by),
            number(self.reported_too_by),
            self.delivered,
            self.undelivered,
            u8::from(self.bytes_differ)
        )
    }

    fn from_line(line: &str) -> Option<(usize, Self)> {
        let mut fields = line.split(',');
        let number = |field: Option<&str>| {
            let field = field?;
            (!field.is_empty()).then(|| field.parse().ok()).flatten()
        };
        let conversation = fields.next()?.parse().ok()?;
        fields.next()?;
        let turn = Self {
            attempts: fields.next()?.parse().ok()?,
            wait_us: fields.next()?.parse().ok()?,
            answered_by: number(fields.next()),
            fault: {
                let text = fields.next()?;
                FAULTS.iter().find(|(_, known)| *known == text)?.0
            },
            reported_by: number(fields.next()),
            reported_too_by: number(fields.next()),
            delivered: fields.next()?.parse().ok()?,
            undelivered: fields.next()?.parse().ok()?,
            bytes_differ: fields.next()? == "1",
        };
        Some((conversation, turn))
    }
}

/// A turn, with a digest of the first report's bytes.
type Kept = (Turn, Option<u64>);

/// See the module.
#[derive(Clone)]
pub struct Turns {
    turns_each: usize,
    kept: Arc<Mutex<Vec<Kept>>>,
}

impl Turns {
    /// Of so many conversations.
    pub fn new(conversations: usize, turns_each: usize) -> Self {
        Self {
            turns_each,
            kept: Arc::new(Mutex::new(vec![
                (Turn::default(), None);
                conversations * turns_each
            ])),
        }
    }

    /// Changes what is known of a turn.
    pub fn note(&self, conversation: usize, turn: usize, change: impl FnOnce(&mut Turn)) {
        let place = conversation * self.turns_each + turn;
        if let Some((kept, _)) = self.kept.lock().get_mut(place) {
            change(kept);
        }
    }

    /// What witnesses report; each record belongs to a turn of this ledger, or says that a conversation ended.
    pub fn reported(&self, records: Vec<Record>) {
        let mut kept = self.kept.lock();
        for record in records.into_iter().filter(|record| end_of(record).is_none()) {
            let place = self.place(&record);
            let Some((turn, digest)) = place.and_then(|place| kept.get_mut(place)) else {
                tracing::error!(reporter = record.reporter, "a report of a turn that nobody sent");
                continue;
            };
            turn.reported(&record);
            let mut hasher = DefaultHasher::new();
            record.usage_event.hash(&mut hasher);
            let own = hasher.finish();
            turn.bytes_differ |= *digest.get_or_insert(own) != own;
        }
    }

    fn place(&self, record: &Record) -> Option<usize> {
        let event = UsageEvent::decode(record.usage_event.clone()).ok()?;
        let (conversation, turn) = event.id.split_once('/')?;
        let conversation: usize = conversation.strip_prefix('c')?.parse().ok()?;
        let turn: usize = turn.strip_prefix('t')?.parse().ok()?;
        (turn < self.turns_each).then_some(conversation * self.turns_each + turn)
    }

    /// Writes a line a turn.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let mut out = std::io::BufWriter::new(std::fs::File::create(folder.join(TURNS))?);
        writeln!(out, "{HEAD}")?;
        for (place, (turn, _)) in self.kept.lock().iter().enumerate() {
            let (conversation, number) = (place / self.turns_each, place % self.turns_each);
            writeln!(out, "{conversation},{number},{}", turn.to_line())?;
        }
        Ok(out.flush()?)
    }
}

/// Hands on each turn that was written to `folder`, with its conversation's number, in order.
pub fn read(folder: &Path, mut turn: impl FnMut(usize, Turn)) -> anyhow::Result<()> {
    let file = folder.join(TURNS);
    let lines = std::io::BufReader::new(
        std::fs::File::open(&file).with_context(|| format!("cannot read {}", file.display()))?,
    );
    for (number, line) in lines.lines().enumerate().skip(1) {
        let (conversation, read) =
            Turn::from_line(&line?).with_context(|| format!("{}, line {}", file.display(), number + 1))?;
        turn(conversation, read);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, witness: Witness, reporter: &str, channel: &str) -> Record {
        let event = UsageEvent {
            id: id.into(),
            tenant: channel.into(),
            ..UsageEvent::default()
        };
        Record {
            usage_event: event.encode_to_vec().into(),
            witness: witness.into(),
            reporter: reporter.into(),
            ..Record::default()
        }
    }

    #[test]
    fn a_turn_that_two_workers_reported_was_answered_twice_and_one_reported_again_was_not() {
        let (turns, folder) = (Turns::new(2, 2), tempfile::tempdir().unwrap());
        let own = || record("c1/t1", Witness::Worker, "web-7", "web");
        turns.reported(vec![
            own(),
            record("c1/t1", Witness::Gateway, "gateway", "web"),
            own(),
        ]);
        turns.note(1, 1, |turn| {
            turn.got(2, Duration::from_millis(3), Some("pod-web-7"), None);
        });
        turns.reported(vec![record("c0/t1", Witness::Worker, "web-7", "web")]);
        turns.reported(vec![record("c0/t1", Witness::Worker, "web-8", "app")]);
        turns.reported(vec![record("c2/t0", Witness::Worker, "web-8", "app")]);
        turns.write(folder.path()).unwrap();
        let mut all = Vec::new();
        read(folder.path(), |conversation, turn| all.push((conversation, turn))).unwrap();
        let once = Turn {
            attempts: 2,
            wait_us: 3_000,
            answered_by: Some(7),
            reported_by: Some(7),
            delivered: 1,
            ..Turn::default()
        };
        let twice = Turn {
            reported_by: Some(7),
            reported_too_by: Some(8),
            bytes_differ: true,
            ..Turn::default()
        };
        let nothing = Turn::default();
        assert_eq!(all, [(0, nothing), (0, twice), (1, nothing), (1, once)]);
        assert_eq!((once.counts(), nothing.counts()), (true, false));
    }

    #[test]
    fn an_interaction_counts_when_one_gateway_delivered_it() {
        let undelivered = Turn {
            reported_by: Some(1),
            undelivered: 1,
            ..Turn::default()
        };
        let again = Turn {
            delivered: 1,
            ..undelivered
        };
        assert_eq!((undelivered.counts(), again.counts()), (false, true));
    }
}
