//! What a large batch most likely meets, so that it need not look first: pure but for the memory of how that went.
//!
//! A worker's batch is nearly always the first report of its events, and a gateway's the second, after the worker's.
//! [`Assumption::known`] says what would then be known, [`super::decide`] what follows from it, and the store writes that only
//! where it is so. Where it is not, the batch is taken as any other, and [`Doubt`] keeps the next ones of that tenant from
//! trying the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use springtide_proto::ids::TenantUid;
use springtide_proto::metering::{Delivery, Witness};
use springtide_proto::rated::RATING_SOURCE;

use super::decide::{Known, KnownEvents, Marks, ReporterId};
use super::report::{Examined, Report};
use super::standing::Standing;

/// Somebody, it is not known who: of a mark that is neither read nor written.
pub const SOMEBODY: ReporterId = -1;
/// Batches that are not tried after the assumption did not hold, at most; each failure in a row doubles them.
const MOST_DOUBTED: u32 = 64;

/// What is supposed of all events of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Assumption {
    /// Nobody reported them.
    New,
    /// A worker reported each, with the same bytes, and no gateway did; but for ratings, of which workers know nothing.
    ReportedByWorkers,
}

impl Assumption {
    /// `None` if nothing can be supposed: of no reports, of reports by several parts, or of reversals.
    pub fn of(records: &[Examined]) -> Option<Self> {
        let mut reports = reports(records).peekable();
        let witness = reports.peek()?.provenance.witness;
        let is_plain =
            |report: &Report| report.provenance.witness == witness && report.event.reversal_of.is_none();
        reports.all(is_plain).then_some(match witness {
            Witness::Gateway => Self::ReportedByWorkers,
            Witness::Worker | Witness::Unspecified => Self::New,
        })
    }

    /// What is known if it holds.
    pub fn known(self, records: &[Examined]) -> KnownEvents {
        let reported = |report: &Report| {
            let standing = Standing::first(
                &report.event.source,
                false,
                Witness::Worker,
                Delivery::Unspecified,
            );
            let known = Known {
                hash: report.hash.fingerprint(),
                marks: Marks {
                    standing,
                    worker: SOMEBODY,
                    ..Marks::default()
                },
                event: None,
            };
            (report.key, known)
        };
        match self {
            Self::New => HashMap::new(),
            Self::ReportedByWorkers => {
                let by_both = reports(records).filter(|report| report.event.source != RATING_SOURCE);
                by_both.map(reported).collect()
            }
        }
    }
}

fn reports(records: &[Examined]) -> impl Iterator<Item = &Report> {
    records.iter().flatten().map(Box::as_ref)
}

type Subject = (TenantUid, Assumption);

/// Which assumptions did not hold lately, by tenant. It holds an entry for a tenant only while there is doubt.
#[derive(Clone, Debug, Default)]
pub struct Doubt(Arc<Mutex<HashMap<Subject, Doubted>>>);

#[derive(Clone, Copy, Debug, Default)]
struct Doubted {
    /// Batches that are still to be taken without it.
    left: u32,
    /// How many it was last time.
    length: u32,
}

impl Doubt {
    /// What is worth a try for this batch.
    pub fn assumption(&self, records: &[Examined]) -> Option<(TenantUid, Assumption)> {
        let assumption = Assumption::of(records)?;
        let subject = (reports(records).next()?.party.tenant_uid.clone(), assumption);
        let mut doubts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match doubts.get_mut(&subject) {
            Some(doubted) if doubted.left > 0 => {
                doubted.left -= 1;
                None
            }
            _ => Some(subject),
        }
    }

    /// How a try went.
    pub fn note(&self, subject: &(TenantUid, Assumption), held: bool) {
        let mut doubts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held {
            doubts.remove(subject);
            return;
        }
        let doubted = doubts.entry(subject.clone()).or_default();
        doubted.length = (doubted.length * 2).clamp(1, MOST_DOUBTED);
        doubted.left = doubted.length;
    }
}

#[cfg(test)]
mod tests;
