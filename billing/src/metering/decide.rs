//! What a batch of reports changes: pure.
//!
//! The store first looks up which identities of the batch are *known*, and asks [`decide`]; what is not known is new, and
//! the database's unique key sees to it that it still is when it is written. Reports are taken one after the other, as if
//! each had come alone. What the batch changes in sums follows from each event's standing before and after, and from nothing
//! else.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use springtide_proto::error::Reason;
use springtide_proto::event::INTERACTION_SOURCE;
use springtide_proto::metering::{Delivery, Witness};

use super::erase::{ERASED, erased};
use super::report::{BucketKey, Event, EventKey, Provenance, Rejection, Report, Verdict};
use super::standing::Standing;
use crate::digest::{Digest, Fingerprint};
use crate::rating::number::Overflow;

/// Row of a ledger.
pub type LedgerId = i64;
/// Row of a reporter: a pod and its process start. 0 is nobody.
pub type ReporterId = i32;

/// A ledger that takes usage in this transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenLedger {
    /// Which.
    pub id: LedgerId,
    /// The statement that is open, held so that it cannot be closed before this transaction ends.
    pub statement: i64,
}

/// What is kept beside an event's key: how it stands, and the first reporter of each kind. Who else reported it is kept
/// elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// What all reports say together.
    pub standing: Standing,
    /// The first worker, or who reported it over HTTP.
    pub worker: ReporterId,
    /// The first gateway.
    pub gateway: ReporterId,
    /// What that gateway says of its delivery: 0 nothing, 1 undelivered, 2 delivered.
    pub delivery: i16,
}

impl Marks {
    /// Notes a reporter; `false` if another of its kind came before.
    fn note(&mut self, witness: Witness, reporter: ReporterId, delivery: i16) -> bool {
        let slot = if witness == Witness::Gateway {
            &mut self.gateway
        } else {
            &mut self.worker
        };
        if *slot == 0 {
            *slot = reporter;
        }
        let is_first = *slot == reporter;
        if is_first && witness == Witness::Gateway {
            self.delivery = self.delivery.max(delivery);
        }
        is_first
    }
}

/// An event that was known before the batch.
#[derive(Clone, Debug)]
pub struct Known {
    /// Of its bytes.
    pub hash: Fingerprint,
    /// What is kept beside its key.
    pub marks: Marks,
    /// What it is: for those of [`unclear`], unless it was dropped for its age.
    pub event: Option<Event>,
}

/// All that a batch may touch and that was there before.
pub type KnownEvents = HashMap<EventKey, Known>;

/// What was reported, with its ledger and reporter; or why it is no report.
#[derive(Clone, Debug)]
pub enum Candidate<'a> {
    /// To be decided.
    Report(OpenLedger, ReporterId, &'a Report),
    /// Wrong in itself.
    Rejection(Cow<'a, Rejection>),
}

/// A reporter of an event beside its first; of several words of one reporter the one that says most is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FurtherReport {
    /// Of which event.
    pub key: EventKey,
    /// As which part.
    pub witness: i16,
    /// Who.
    pub reporter: ReporterId,
}

/// Other bytes under an identity that is taken: a variant of an interaction, or a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rival<'a> {
    /// Whose.
    pub ledger: LedgerId,
    /// What was reported.
    pub report: &'a Report,
    /// An interaction's variant; else a conflict.
    pub is_variant: bool,
    /// The event under that identity was erased: so is what comes after it.
    pub is_erased: bool,
}

impl Rival<'_> {
    /// Identity and bytes as they are kept.
    pub fn kept(&self) -> (String, Cow<'_, [u8]>) {
        let Report { event, payload, .. } = self.report;
        if self.is_erased {
            return (format!("{}/{ERASED}", event.source), Cow::Owned(erased(payload)));
        }
        (format!("{}/{}", event.source, event.id), Cow::Borrowed(payload))
    }
}

/// A new event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEvent<'a> {
    /// Whose.
    pub ledger: LedgerId,
    /// How it stands after the batch, and who reported it.
    pub marks: Marks,
    /// What it is.
    pub report: &'a Report,
}

/// A known event that stands differently now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Which.
    pub key: EventKey,
    /// Of its bytes.
    pub hash: Fingerprint,
    /// What was read.
    pub before: Marks,
    /// What it is now.
    pub after: Marks,
}

/// What one transaction writes.
#[derive(Clone, Debug, Default)]
pub struct Changes<'a> {
    /// New events, by key.
    pub events: Vec<NewEvent<'a>>,
    /// Known events that stand differently now, by key.
    pub changed: Vec<Changed>,
    /// Further reporters, and what they say of the delivery (0 nothing, 1 undelivered, 2 delivered).
    pub further: BTreeMap<FurtherReport, i16>,
    /// Other bytes.
    pub rivals: Vec<Rival<'a>>,
    /// Wrong records, by their peer, digest and reason, and how often each came.
    pub rejections: BTreeMap<(String, Digest, &'static str), (Cow<'a, Rejection>, i64)>,
    /// What is added to, or taken from, usage.
    pub buckets: BTreeMap<(LedgerId, i64, BucketKey), i128>,
}

const UNKNOWN_TARGET: &str = "reversal_of names an event that is not known";

/// The identities of a batch, with those that its reversals undo, sorted: what the store looks up.
pub fn keys(candidates: &[Candidate<'_>]) -> Vec<EventKey> {
    let mut keys = Vec::new();
    for candidate in candidates {
        if let Candidate::Report(_, _, report) = candidate {
            keys.push(report.key);
            keys.extend(target(report));
        }
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Known events, with their ledgers, of which the batch alone does not say what they are: they came with other bytes, or are
/// to be undone.
pub fn unclear(candidates: &[Candidate<'_>], known: &KnownEvents) -> BTreeMap<EventKey, LedgerId> {
    let mut unclear = BTreeMap::new();
    for candidate in candidates {
        let Candidate::Report(ledger, _, report) = candidate else {
            continue;
        };
        let differs = |stored: &Known| stored.hash != report.hash.fingerprint();
        if known.get(&report.key).is_some_and(differs) {
            unclear.insert(report.key, ledger.id);
        }
        let undone = target(report).filter(|target| known.contains_key(target));
        unclear.extend(undone.map(|target| (target, ledger.id)));
    }
    unclear
}

/// What a reversal undoes.
fn target(report: &Report) -> Option<EventKey> {
    let id = report.event.reversal_of.as_deref()?;
    Some(report.party.event_key(&report.event.source, id))
}

/// Decides a batch. `known` holds all of [`keys`] that exist.
pub fn decide<'a>(
    candidates: &[Candidate<'a>],
    known: KnownEvents,
) -> Result<(Vec<Verdict>, Changes<'a>), Overflow> {
    let events = known
        .into_iter()
        .map(|(key, known)| (key, Working::of(known)))
        .collect();
    let mut batch = Batch {
        events,
        changes: Changes::default(),
    };
    let verdicts = candidates.iter().map(|candidate| batch.take(candidate)).collect();
    Ok((verdicts, batch.finish()?))
}

struct Batch<'a> {
    events: HashMap<EventKey, Working<'a>>,
    changes: Changes<'a>,
}

struct Working<'a> {
    hash: Fingerprint,
    /// `None` if it is new.
    stored: Option<Marks>,
    marks: Marks,
    event: Option<Cow<'a, Event>>,
    /// Its first report, if it is new.
    report: Option<&'a Report>,
    /// The open statement of its ledger, once a report touched it.
    ledger: Option<OpenLedger>,
}

impl<'a> Working<'a> {
    fn of(known: Known) -> Self {
        let Known { hash, marks, event } = known;
        Self {
            hash,
            stored: Some(marks),
            marks,
            event: event.map(Cow::Owned),
            report: None,
            ledger: None,
        }
    }

    fn new(report: &'a Report) -> Self {
        let is_reversal = report.event.reversal_of.is_some();
        let Provenance {
            witness, delivery, ..
        } = report.provenance;
        let standing = Standing::first(&report.event.source, is_reversal, witness, delivery);
        Self {
            hash: report.hash.fingerprint(),
            stored: None,
            marks: Marks {
                standing,
                ..Marks::default()
            },
            event: Some(Cow::Borrowed(&report.event)),
            report: Some(report),
            ledger: None,
        }
    }
}

impl<'a> Batch<'a> {
    fn take(&mut self, candidate: &Candidate<'a>) -> Verdict {
        match candidate {
            Candidate::Rejection(rejection) => self.reject(rejection.clone()),
            Candidate::Report(ledger, reporter, report) => self.take_report(*ledger, *reporter, report),
        }
    }

    fn reject(&mut self, rejection: Cow<'a, Rejection>) -> Verdict {
        let verdict = Verdict::Rejected(rejection.reason, rejection.message.clone());
        let key = (rejection.peer.clone(), rejection.hash, rejection.reason.as_str());
        self.changes.rejections.entry(key).or_insert((rejection, 0)).1 += 1;
        verdict
    }

    fn take_report(&mut self, ledger: OpenLedger, reporter: ReporterId, report: &'a Report) -> Verdict {
        let Some(working) = self.events.get_mut(&report.key) else {
            return self.take_new(ledger, reporter, report);
        };
        let verdict = if working.hash == report.hash.fingerprint() {
            working.event.get_or_insert(Cow::Borrowed(&report.event));
            Verdict::Duplicate
        } else {
            let is_variant = report.event.source == INTERACTION_SOURCE;
            self.changes.rivals.push(Rival {
                ledger: ledger.id,
                report,
                is_variant,
                is_erased: working.event.as_ref().is_some_and(|event| event.is_erased()),
            });
            if !is_variant {
                return Verdict::Conflict;
            }
            if working.event.is_none() {
                // Dropped for its age: what it counted for is not known, so that may not change.
                return Verdict::Variant;
            }
            Verdict::Variant
        };
        self.changes.note(working, ledger, reporter, report);
        verdict
    }

    fn take_new(&mut self, ledger: OpenLedger, reporter: ReporterId, report: &'a Report) -> Verdict {
        if let Err(message) = self.reverse(ledger, report) {
            let rejection = report.rejected(Reason::EventRejected, message.to_owned());
            return self.reject(Cow::Owned(rejection));
        }
        let mut working = Working::new(report);
        self.changes.note(&mut working, ledger, reporter, report);
        self.events.insert(report.key, working);
        Verdict::Accepted
    }

    /// Undoes what the report's event refers to, if it does.
    fn reverse(&mut self, ledger: OpenLedger, report: &Report) -> Result<(), &'static str> {
        let Some(target) = target(report) else {
            return Ok(());
        };
        let working = self.events.get_mut(&target).ok_or(UNKNOWN_TARGET)?;
        let undone = working
            .event
            .as_ref()
            .ok_or("reversal_of names an event that is older than what is kept")?;
        if working.marks.standing.is_reversal() {
            return Err("reversal_of names an event that undoes another");
        }
        if working.marks.standing.is_reversed() {
            return Err("reversal_of names an event that was undone already");
        }
        if undone.meter != report.event.meter || undone.quantity != report.event.quantity {
            return Err("meter and quantity must be those of the event that is undone");
        }
        working.marks.standing = working.marks.standing.reversed();
        working.ledger = Some(ledger);
        Ok(())
    }

    fn finish(self) -> Result<Changes<'a>, Overflow> {
        let Self { events, mut changes } = self;
        for (key, working) in events {
            // An event's standing changes only by a report, which brought the ledger with its open statement.
            let Some(ledger) = working.ledger else {
                continue;
            };
            changes.add_usage(&working, ledger)?;
            match (working.stored, working.report) {
                (None, Some(report)) => changes.events.push(NewEvent {
                    ledger: ledger.id,
                    marks: working.marks,
                    report,
                }),
                (Some(before), _) if before != working.marks => changes.changed.push(Changed {
                    key,
                    hash: working.hash,
                    before,
                    after: working.marks,
                }),
                _ => {}
            }
        }
        changes.buckets.retain(|_, nanos| *nanos != 0);
        changes.events.sort_unstable_by_key(|new| new.report.key);
        changes.changed.sort_unstable_by_key(|changed| changed.key);
        Ok(changes)
    }
}

impl<'a> Changes<'a> {
    /// New events and their usage, nothing else.
    pub fn is_only_new(&self) -> bool {
        self.changed.is_empty()
            && self.further.is_empty()
            && self.rivals.is_empty()
            && self.rejections.is_empty()
    }

    /// One more report of an event.
    fn note(&mut self, working: &mut Working<'a>, ledger: OpenLedger, reporter: ReporterId, report: &Report) {
        let Provenance {
            witness, delivery, ..
        } = report.provenance;
        working.ledger = Some(ledger);
        working.marks.standing = working
            .marks
            .standing
            .witnessed(&report.event.source, witness, delivery);
        let delivery = stored_delivery(delivery);
        if !working.marks.note(witness, reporter, delivery) {
            let further = FurtherReport {
                key: report.key,
                witness: stored_witness(witness),
                reporter,
            };
            let says = self.further.entry(further).or_insert(delivery);
            *says = delivery.max(*says);
        }
    }

    /// The difference between an event's standing before and after.
    fn add_usage(&mut self, working: &Working<'_>, ledger: OpenLedger) -> Result<(), Overflow> {
        let was_billable = working.stored.is_some_and(|marks| marks.standing.is_billable());
        let Some(event) = &working.event else {
            return Ok(());
        };
        if was_billable == working.marks.standing.is_billable() {
            return Ok(());
        }
        let nanos = event.quantity.to_nanos()?;
        let signed = if was_billable { -nanos } else { nanos };
        let sum = self
            .buckets
            .entry((ledger.id, ledger.statement, event.bucket()))
            .or_insert(0);
        *sum = sum.checked_add(signed).ok_or(Overflow)?;
        Ok(())
    }
}

fn stored_witness(witness: Witness) -> i16 {
    match witness {
        Witness::Unspecified => 0,
        Witness::Worker => 1,
        Witness::Gateway => 2,
    }
}

/// Ordered by how much it says.
fn stored_delivery(delivery: Delivery) -> i16 {
    match delivery {
        Delivery::Unspecified => 0,
        Delivery::Undelivered => 1,
        Delivery::Delivered => 2,
    }
}

#[cfg(test)]
mod tests;
