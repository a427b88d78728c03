//! What the rows of a usage file come to, by the same decisions by which reports are taken and billed; nothing is stored.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use springtide_runtime::identity::TenantRole;

use super::files::UsageRow;
use crate::metering::decide::{Candidate, KnownEvents, OpenLedger, decide};
use crate::metering::examine::{Reporter, examine};
use crate::metering::meters::{NamedByPlans, judged};
use crate::metering::report::{BucketKey, EventKey, Examined, Party, Report, Verdict};
use crate::rating::number::{Exact, Overflow};
use crate::rating::period::Bounds;
use crate::rating::rate::{ModuleChange, Usage};

/// Rows that are decided together: no two of them are one event, so it only bounds the memory.
const BATCH: usize = 10_000;
const LEDGER: OpenLedger = OpenLedger { id: 1, statement: 1 };

/// What a bill is made of.
pub(super) struct Taken {
    /// By quarter of an hour.
    pub(super) usage: Vec<Usage>,
    /// In the order of time.
    pub(super) module_changes: Vec<ModuleChange>,
}

/// Takes all rows, or says which may not be taken; `named` are the meters that the plans name.
pub(super) fn taken(
    rows: &[UsageRow],
    named: &BTreeSet<String>,
    (party, bounds): (&Party, Bounds),
    path: &Path,
) -> anyhow::Result<Taken> {
    let peer = Reporter {
        tenant: party.tenant.clone(),
        role: Some(TenantRole::Worker),
    };
    // The clock is the usage's own: a future month can be rated too.
    let now = rows.iter().map(|row| row.time).max();
    let now = now.unwrap_or(Timestamp::UNIX_EPOCH);
    let mut buckets: BTreeMap<BucketKey, i128> = BTreeMap::new();
    let mut modules = Vec::new();
    let named = NamedByPlans::from([(party.clone(), named.clone())]);
    for rows in rows.chunks(BATCH) {
        let examined: Vec<_> = rows
            .iter()
            .map(|row| examine(row.record(party), &peer, now))
            .collect();
        let examined = judged(&examined, &named);
        let candidates: Vec<_> = examined.iter().map(candidate).collect();
        let (verdicts, changes) = decide(&candidates, KnownEvents::new())?;
        for (row, verdict) in rows.iter().zip(verdicts) {
            ensure!(
                verdict == Verdict::Accepted,
                "{}, line {}: {}",
                path.display(),
                row.line,
                refusal(&verdict)
            );
        }
        for ((.., key), nanos) in changes.buckets {
            let sum = buckets.entry(key).or_insert(0);
            *sum = sum.checked_add(nanos).ok_or(Overflow)?;
        }
        let before_the_end = examined
            .iter()
            .flatten()
            .filter(|report| report.event.time < bounds.end);
        modules.extend(before_the_end.filter_map(|report| module_of(report)));
    }
    modules.sort_by_key(|(key, _)| *key);
    Ok(Taken {
        usage: buckets.into_iter().map(usage).collect::<anyhow::Result<_>>()?,
        module_changes: modules.into_iter().map(|(_, change)| change).collect(),
    })
}

fn candidate(examined: &Examined) -> Candidate<'_> {
    match examined {
        Ok(report) => Candidate::Report(LEDGER, 1, report),
        Err(rejection) => Candidate::Rejection(Cow::Borrowed(rejection)),
    }
}

/// In the order in which the store hands them out: by time, and of one instant by identity.
fn module_of(report: &Report) -> Option<((Timestamp, EventKey), ModuleChange)> {
    let change = report.event.module_change()?;
    Some(((change.at, report.key), change))
}

fn usage((key, nanos): (BucketKey, i128)) -> anyhow::Result<Usage> {
    let BucketKey {
        start_second,
        meter,
        dimensions,
    } = key;
    Ok(Usage {
        bucket_start: Timestamp::from_second(start_second)?,
        meter,
        dimensions: serde_json::from_str(&dimensions).context("dimensions that we wrote")?,
        quantity: Exact::from_nanos(nanos),
    })
}

fn refusal(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Rejected(_, message) => message.clone(),
        other => format!("{other:?}"),
    }
}
