//! What a batch of reports changes, as the store writes it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use springtide_proto::metering::{Delivery, Witness};

use super::{LedgerId, Marks, OpenLedger, ReporterId, Working};
use crate::digest::{Digest, Fingerprint};
use crate::metering::erase::{ERASED, erased};
use crate::metering::report::{BucketKey, EventKey, Provenance, Rejection, Report};
use crate::rating::number::Overflow;

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

/// A known event whose place a later one takes: a conversation that ended, or was rated, again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced<'a> {
    /// Whose.
    pub ledger: LedgerId,
    /// Its key and bytes, and how it stands before and after.
    pub changed: Changed,
    /// When it happened, as it was known.
    pub was_at: Timestamp,
    /// What it is now.
    pub report: &'a Report,
}

/// What one transaction writes.
#[derive(Clone, Debug, Default)]
pub struct Changes<'a> {
    /// New events, by key.
    pub events: Vec<NewEvent<'a>>,
    /// Known events that stand differently now, by key.
    pub changed: Vec<Changed>,
    /// Known events whose place others take, by key; none of them is in `changed`.
    pub replaced: Vec<Replaced<'a>>,
    /// Further reporters, and what they say of the delivery (0 nothing, 1 undelivered, 2 delivered).
    pub further: BTreeMap<FurtherReport, i16>,
    /// Other bytes.
    pub rivals: Vec<Rival<'a>>,
    /// Wrong records, by their peer, digest and reason, and how often each came.
    pub rejections: BTreeMap<(String, Digest, &'static str), (Cow<'a, Rejection>, i64)>,
    /// What is added to, or taken from, usage.
    pub buckets: BTreeMap<(LedgerId, i64, BucketKey), i128>,
}

impl<'a> Changes<'a> {
    /// New events and their usage, nothing else.
    pub fn is_only_new(&self) -> bool {
        self.changed.is_empty()
            && self.replaced.is_empty()
            && self.further.is_empty()
            && self.rivals.is_empty()
            && self.rejections.is_empty()
    }

    /// One more report of an event.
    pub(super) fn note(
        &mut self,
        working: &mut Working<'a>,
        ledger: OpenLedger,
        reporter: ReporterId,
        report: &Report,
    ) {
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

    /// What is written of the event itself.
    pub(super) fn add_event(&mut self, key: EventKey, working: Working<'a>, ledger: OpenLedger) {
        let Working {
            hash,
            stored,
            marks,
            report,
            replaced,
            ..
        } = working;
        let ledger = ledger.id;
        let changed = |hash, before| Changed {
            key,
            hash,
            before,
            after: marks,
        };
        match (stored, report, replaced) {
            (None, Some(report), _) => self.events.push(NewEvent {
                ledger,
                marks,
                report,
            }),
            (Some(before), Some(report), Some((hash, event))) => self.replaced.push(Replaced {
                ledger,
                changed: changed(hash, before),
                was_at: event.time,
                report,
            }),
            (Some(before), ..) if before != marks => self.changed.push(changed(hash, before)),
            _ => {}
        }
    }

    /// The difference between what an event counted for before and after.
    pub(super) fn add_usage(&mut self, working: &Working<'_>, ledger: OpenLedger) -> Result<(), Overflow> {
        let was_billable = working.stored.is_some_and(|marks| marks.standing.is_billable());
        let is_billable = working.marks.standing.is_billable();
        if was_billable == is_billable && working.replaced.is_none() {
            return Ok(());
        }
        let after = working.event.as_deref();
        let before = working.replaced.as_ref().map(|(_, event)| event.as_ref());
        let counted = [(was_billable, before.or(after), -1), (is_billable, after, 1)];
        for (counts, event, sign) in counted {
            if let Some(event) = event.filter(|_| counts) {
                let sum = self
                    .buckets
                    .entry((ledger.id, ledger.statement, event.bucket()))
                    .or_insert(0);
                let nanos = event.quantity.to_nanos()?;
                *sum = sum.checked_add(sign * nanos).ok_or(Overflow)?;
            }
        }
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
