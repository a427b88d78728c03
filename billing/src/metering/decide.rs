//! What a batch of reports changes: pure.
//!
//! The store first *claims* the identities of the batch (inserts those that are new), then loads the events that were
//! *known* before, and asks [`decide`]. Reports are taken one after the other, as if each had come alone. What the batch
//! changes in sums follows from each event's standing before and after, and from nothing else.

use std::collections::{BTreeMap, HashMap};

use springtide_proto::error::Reason;
use springtide_proto::event::INTERACTION_SOURCE;
use springtide_proto::metering::{Delivery, Witness};

use super::report::{BucketKey, Event, Rejection, Report, Verdict};
use super::standing::Standing;
use crate::digest::Digest;
use crate::rating::number::Overflow;

/// Row of a ledger.
pub type LedgerId = i64;
/// Row of an event.
pub type Sequence = i64;

/// (ledger, source, id): an event's identity for ever.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Whose.
    pub ledger: LedgerId,
    /// Kind of identity.
    pub source: String,
    /// Within it.
    pub id: String,
}

/// A ledger that takes usage in this transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenLedger {
    /// Which.
    pub id: LedgerId,
    /// The statement that is open, held so that it cannot be closed before this transaction ends.
    pub statement: i64,
}

/// An identity of the batch: known before, or claimed by it.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// Its row.
    pub sequence: Sequence,
    /// Of its bytes, as stored or claimed.
    pub hash: Digest,
    /// What it is and how it stands; `None` while it is only claimed.
    pub known: Option<(Event, Standing)>,
}

/// All that a batch may touch.
pub type TrackedEvents = HashMap<Identity, Tracked>;

/// What was reported, with its ledger; or why it is no report.
#[derive(Clone, Debug)]
pub enum Candidate {
    /// To be decided.
    Report(OpenLedger, Box<Report>),
    /// Wrong in itself.
    Rejection(Box<Rejection>),
}

/// A report's provenance with the event it belongs to; of several by one reporter the one that says most.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProvenanceKey {
    /// Of which event.
    pub sequence: Sequence,
    /// As which part.
    pub witness: i64,
    /// Pod.
    pub reporter: String,
    /// Process start.
    pub boot_id: String,
}

/// Other bytes under an identity that is taken: a variant of an interaction, or a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// The event that holds the identity.
    pub sequence: Sequence,
    /// Of the other bytes.
    pub hash: Digest,
    /// The other bytes.
    pub payload: Vec<u8>,
    /// An interaction's variant; else a conflict.
    pub is_variant: bool,
    /// Pod that sent it first.
    pub reporter: String,
}

/// A new event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Whose.
    pub ledger: LedgerId,
    /// Its row.
    pub sequence: Sequence,
    /// How it stands after the batch.
    pub standing: Standing,
    /// What it is.
    pub event: Event,
}

/// What one transaction writes besides the claims.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// New events.
    pub events: Vec<NewEvent>,
    /// Known events that stand differently now.
    pub standings: Vec<(Sequence, Standing)>,
    /// Claims whose first report was refused and a later one of other bytes taken.
    pub rehashed: Vec<(Identity, Digest)>,
    /// Claims that came to nothing.
    pub released: Vec<Identity>,
    /// Who reported, and whether it was delivered (0 not said, 1 undelivered, 2 delivered).
    pub provenance: BTreeMap<ProvenanceKey, i64>,
    /// Other bytes.
    pub rivals: Vec<Rival>,
    /// Wrong records, by their digest and reason, and how often each came.
    pub rejections: BTreeMap<(String, Digest, &'static str), (Rejection, i64)>,
    /// What is added to, or taken from, usage.
    pub buckets: BTreeMap<(LedgerId, i64, BucketKey), i128>,
}

const UNKNOWN_TARGET: &str = "reversal_of names an event that is not known";

/// The identities of a batch with the hash of their first report: what the store claims.
pub fn claims(candidates: &[Candidate]) -> BTreeMap<Identity, Digest> {
    let mut claims = BTreeMap::new();
    for candidate in candidates {
        if let Candidate::Report(ledger, report) = candidate {
            claims
                .entry(identity_of(ledger.id, report))
                .or_insert(report.hash);
        }
    }
    claims
}

/// The identities, besides the batch's own, that it refers to: what its reversals undo.
pub fn referred(candidates: &[Candidate]) -> Vec<Identity> {
    let target = |candidate: &Candidate| {
        let Candidate::Report(ledger, report) = candidate else {
            return None;
        };
        let id = report.event.reversal_of.clone()?;
        Some(Identity {
            ledger: ledger.id,
            source: report.event.source.clone(),
            id,
        })
    };
    candidates.iter().filter_map(target).collect()
}

/// Decides a batch. `tracked` holds every identity of [`claims`] and those of [`referred`] that exist.
pub fn decide(
    candidates: Vec<Candidate>,
    tracked: TrackedEvents,
) -> Result<(Vec<Verdict>, Changes), Overflow> {
    let events = tracked
        .into_iter()
        .map(|(identity, stored)| (identity, Working::of(stored)))
        .collect();
    let mut batch = Batch {
        events,
        changes: Changes::default(),
    };
    let verdicts = candidates
        .into_iter()
        .map(|candidate| batch.take(candidate))
        .collect();
    Ok((verdicts, batch.finish()?))
}

struct Batch {
    events: HashMap<Identity, Working>,
    changes: Changes,
}

struct Working {
    sequence: Sequence,
    stored_hash: Digest,
    /// `None` if it is new.
    stored_standing: Option<Standing>,
    hash: Digest,
    standing: Standing,
    event: Option<Event>,
    /// The open statement of its ledger, once a report touched it.
    statement: Option<i64>,
}

impl Working {
    fn of(stored: Tracked) -> Self {
        let Tracked {
            sequence,
            hash,
            known,
        } = stored;
        let (event, stored_standing) = known.unzip();
        let standing = stored_standing.unwrap_or_default();
        Self {
            sequence,
            stored_hash: hash,
            stored_standing,
            hash,
            standing,
            event,
            statement: None,
        }
    }
}

impl Batch {
    fn take(&mut self, candidate: Candidate) -> Verdict {
        match candidate {
            Candidate::Rejection(rejection) => self.reject(*rejection),
            Candidate::Report(ledger, report) => self.take_report(ledger, *report),
        }
    }

    fn reject(&mut self, rejection: Rejection) -> Verdict {
        let verdict = Verdict::Rejected(rejection.reason, rejection.message.clone());
        let key = (rejection.peer.clone(), rejection.hash, rejection.reason.as_str());
        self.changes.rejections.entry(key).or_insert((rejection, 0)).1 += 1;
        verdict
    }

    fn take_report(&mut self, ledger: OpenLedger, report: Report) -> Verdict {
        let identity = identity_of(ledger.id, &report);
        let is_new = self
            .events
            .get(&identity)
            .is_none_or(|working| working.event.is_none());
        if is_new && let Err(message) = self.reverse(ledger, &report) {
            return self.refuse(report, Reason::EventRejected, message);
        }
        let Some(working) = self.events.get_mut(&identity) else {
            // The store tracks every claim; without one the record cannot be made durable.
            return self.refuse(report, Reason::Internal, "the identity was not claimed");
        };
        let sequence = working.sequence;
        let Report {
            party: _,
            event,
            hash,
            payload,
            provenance,
        } = report;
        let verdict = if is_new {
            working.hash = hash;
            let is_reversal = event.reversal_of.is_some();
            working.standing = Standing::first(
                &event.source,
                is_reversal,
                provenance.witness,
                provenance.delivery,
            );
            working.event = Some(event);
            Verdict::Accepted
        } else if working.hash == hash {
            Verdict::Duplicate
        } else {
            let is_variant = event.source == INTERACTION_SOURCE;
            let reporter = provenance.reporter.clone();
            self.changes.rivals.push(Rival {
                sequence,
                hash,
                payload,
                is_variant,
                reporter,
            });
            if !is_variant {
                return Verdict::Conflict;
            }
            Verdict::Variant
        };
        working.statement = Some(ledger.statement);
        working.standing =
            working
                .standing
                .witnessed(&identity.source, provenance.witness, provenance.delivery);
        let (witness, delivery) = (
            stored_witness(provenance.witness),
            stored_delivery(provenance.delivery),
        );
        let key = ProvenanceKey {
            sequence,
            witness,
            reporter: provenance.reporter,
            boot_id: provenance.boot_id,
        };
        let says = self.changes.provenance.entry(key).or_insert(delivery);
        *says = delivery.max(*says);
        verdict
    }

    fn refuse(&mut self, report: Report, reason: Reason, message: &str) -> Verdict {
        let Report {
            party,
            hash,
            payload,
            provenance,
            event: _,
        } = report;
        let (peer, reporter, message) = (party.tenant.to_string(), provenance.reporter, message.to_owned());
        self.reject(Rejection {
            peer,
            payload,
            hash,
            reporter,
            reason,
            message,
        })
    }

    /// Undoes what the report's event refers to, if it does.
    fn reverse(&mut self, ledger: OpenLedger, report: &Report) -> Result<(), &'static str> {
        let event = &report.event;
        let Some(id) = event.reversal_of.clone() else {
            return Ok(());
        };
        let target = Identity {
            ledger: ledger.id,
            source: event.source.clone(),
            id,
        };
        let working = self.events.get_mut(&target).ok_or(UNKNOWN_TARGET)?;
        let undone = working.event.as_ref().ok_or(UNKNOWN_TARGET)?;
        if working.standing.is_reversal() {
            return Err("reversal_of names an event that undoes another");
        }
        if working.standing.is_reversed() {
            return Err("reversal_of names an event that was undone already");
        }
        if undone.meter != event.meter || undone.quantity != event.quantity {
            return Err("meter and quantity must be those of the event that is undone");
        }
        working.standing = working.standing.reversed();
        working.statement = Some(ledger.statement);
        Ok(())
    }

    fn finish(self) -> Result<Changes, Overflow> {
        let Self { events, mut changes } = self;
        for (identity, working) in events {
            let Working {
                sequence,
                stored_hash,
                stored_standing,
                hash,
                standing,
                event,
                statement,
            } = working;
            let Some(event) = event else {
                changes.released.push(identity);
                continue;
            };
            let was_billable = stored_standing.is_some_and(Standing::is_billable);
            // An event's standing changes only by a report, which brought the ledger's open statement.
            if let Some(statement) = statement.filter(|_| was_billable != standing.is_billable()) {
                let nanos = event.quantity.to_nanos()?;
                let signed = if was_billable { -nanos } else { nanos };
                let sum = changes
                    .buckets
                    .entry((identity.ledger, statement, event.bucket()))
                    .or_insert(0);
                *sum = sum.checked_add(signed).ok_or(Overflow)?;
            }
            if hash != stored_hash {
                changes.rehashed.push((identity.clone(), hash));
            }
            match stored_standing {
                None => changes.events.push(NewEvent {
                    ledger: identity.ledger,
                    sequence,
                    standing,
                    event,
                }),
                Some(stored) if stored != standing => changes.standings.push((sequence, standing)),
                Some(_) => {}
            }
        }
        changes.buckets.retain(|_, nanos| *nanos != 0);
        changes.events.sort_unstable_by_key(|new| new.sequence);
        changes.standings.sort_unstable_by_key(|(sequence, _)| *sequence);
        Ok(changes)
    }
}

fn identity_of(ledger: LedgerId, report: &Report) -> Identity {
    Identity {
        ledger,
        source: report.event.source.clone(),
        id: report.event.id.clone(),
    }
}

fn stored_witness(witness: Witness) -> i64 {
    i64::from(i32::from(witness))
}

/// Ordered by how much it says.
fn stored_delivery(delivery: Delivery) -> i64 {
    match delivery {
        Delivery::Unspecified => 0,
        Delivery::Undelivered => 1,
        Delivery::Delivered => 2,
    }
}

#[cfg(test)]
mod tests;
