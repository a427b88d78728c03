//! What a batch of reports changes: pure.
//!
//! The store first looks up which identities of the batch are *known*, and asks [`decide`]; what is not known is new, and
//! the database's unique key sees to it that it still is when it is written. Reports are taken one after the other, as if
//! each had come alone. What the batch changes in sums follows from each event's standing before and after, and from nothing
//! else.

mod changes;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use springtide_proto::error::Reason;
use springtide_proto::event::INTERACTION_SOURCE;
use springtide_proto::metering::Witness;

use super::own::{counts_instead, is_replaced_by_later};
use super::report::{Event, EventKey, Provenance, Rejection, Report, Verdict};
use super::standing::Standing;
use crate::digest::Fingerprint;
use crate::rating::number::Overflow;

pub use changes::{Changed, Changes, FurtherReport, NewEvent, Replaced, Rival};

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
    /// Its first report, if it is new; that which takes its place, if one does.
    report: Option<&'a Report>,
    /// What was stored, if another takes its place.
    replaced: Option<(Fingerprint, Cow<'a, Event>)>,
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
            replaced: None,
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
            replaced: None,
            ledger: None,
        }
    }

    /// A conversation ended, or was rated, otherwise than was known, and later. What was dropped for its age stays as it is.
    fn is_outdated_by(&self, report: &Report) -> bool {
        let was_read = matches!(self.event, Some(Cow::Owned(_)));
        let is_at_hand = self.stored.is_none() || self.replaced.is_some() || was_read;
        let known = self.event.as_deref().filter(|_| is_at_hand);
        known.is_some_and(|known| counts_instead(&report.event, known))
    }

    /// The report takes the place of what was known.
    fn replace(&mut self, report: &'a Report) {
        let hash = std::mem::replace(&mut self.hash, report.hash.fingerprint());
        let event = self.event.replace(Cow::Borrowed(&report.event));
        if self.stored.is_some() && self.replaced.is_none() {
            self.replaced = event.map(|event| (hash, event));
        }
        self.report = Some(report);
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
        } else if is_replaced_by_later(&report.event.source) {
            // What is older says nothing that is not known: nobody needs to see it.
            if working.is_outdated_by(report) {
                working.replace(report);
            }
            Verdict::Variant
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
            changes.add_event(key, working, ledger);
        }
        changes.buckets.retain(|_, nanos| *nanos != 0);
        changes.events.sort_unstable_by_key(|new| new.report.key);
        changes.changed.sort_unstable_by_key(|changed| changed.key);
        changes
            .replaced
            .sort_unstable_by_key(|replaced| replaced.changed.key);
        Ok(changes)
    }
}

#[cfg(test)]
mod tests;
