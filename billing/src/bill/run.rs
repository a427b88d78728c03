//! Runs over all tenants' bills leave a record behind: who began them, how far they came, and what came of it. One that is
//! killed has no end and is heard of no more; whoever starts it again goes on where it was.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::{Either, select};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use springtide_runtime::clock::Clock;

use super::BillError;
use super::close::{CloseReport, Refusal};
use crate::rating::period::Period;
use crate::store::{BillRun, RunKind, Store, with_causes};

/// How often it is noted how far a run is.
const EVERY: Duration = Duration::from_secs(2);
/// A run that is not heard of for so long was cut off.
const SILENT_FOR: SignedDuration = SignedDuration::from_secs(30);
/// Refusals that are kept with a run; their number is kept whole.
const KEPT: usize = 500;

/// How far a run has come.
#[derive(Debug, Default)]
pub struct Progress {
    due: AtomicU64,
    done: AtomicU64,
}

impl Progress {
    /// So many tenants are due.
    pub fn due(&self, tenants: usize) {
        self.due
            .store(tenants.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The run is through with so many more.
    pub fn done(&self, tenants: usize) {
        self.done
            .fetch_add(tenants.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn now(&self) -> (u64, u64) {
        (
            self.due.load(Ordering::Relaxed),
            self.done.load(Ordering::Relaxed),
        )
    }
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunSummary {
    /// Bills or notes issued by it.
    pub issued: u64,
    /// Bills that were there before.
    pub issued_before: u64,
    /// Drafts put into review, or found to be there as they are.
    pub in_review: u64,
    /// Tenants for whom it did nothing, and why; the first of them.
    pub refused: Vec<Refusal>,
    /// How many those are in all.
    pub refusals: u64,
    /// Why it ended before it was through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl RunSummary {
    /// With these refusals.
    #[must_use]
    pub fn refusing(mut self, refused: &[Refusal]) -> Self {
        self.refusals = refused.len().try_into().unwrap_or(u64::MAX);
        self.refused = refused.iter().take(KEPT).cloned().collect();
        self
    }
}

impl From<&CloseReport> for RunSummary {
    fn from(report: &CloseReport) -> Self {
        Self {
            issued: report.issued,
            issued_before: report.issued_before,
            in_review: report.in_review.len().try_into().unwrap_or(u64::MAX),
            ..Self::default()
        }
        .refusing(&report.refused)
    }
}

impl From<&Self> for RunSummary {
    fn from(summary: &Self) -> Self {
        summary.clone()
    }
}

/// How a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It goes on.
    UnderWay,
    /// It ended without a word: its process was killed, or the database went away.
    CutOff,
    /// It ended.
    Ended(RunSummary),
}

impl BillRun {
    /// How it stands.
    pub fn standing(&self, now: Timestamp) -> Standing {
        match self.ended_at {
            Some(_) => Standing::Ended(serde_json::from_str(&self.summary).unwrap_or_default()),
            None if self.seen_at.duration_until(now) > SILENT_FOR => Standing::CutOff,
            None => Standing::UnderWay,
        }
    }
}

/// What is to be recorded.
#[derive(Clone, Copy, Debug)]
pub struct NewRun<'a> {
    /// What it does.
    pub kind: RunKind,
    /// Of which month.
    pub period: Period,
    /// Who begins it.
    pub actor: &'a str,
}

/// Does the work of a run, and records it.
pub async fn recorded<T>(
    store: &Store,
    clock: &dyn Clock,
    run: NewRun<'_>,
    progress: &Progress,
    work: impl Future<Output = Result<T, BillError>>,
) -> Result<T, BillError>
where
    RunSummary: for<'a> From<&'a T>,
{
    let id = store
        .begin_run(run.kind, &run.period.to_string(), run.actor, clock.now())
        .await?;
    // Both go on at once: the work may hold what noting needs.
    let done = match select(pin!(work), pin!(note_again(store, clock, id, progress))).await {
        Either::Left((done, _)) => done,
        Either::Right((never, _)) => match never {},
    };
    let summary = match &done {
        Ok(report) => RunSummary::from(report),
        Err(error) => RunSummary {
            failure: Some(with_causes(error)),
            ..RunSummary::default()
        },
    };
    let (due, came) = progress.now();
    let text = serde_json::to_string(&summary).unwrap_or_default();
    let noted = async {
        store.note_run(id, due, came, clock.now()).await?;
        store.end_run(id, &text, clock.now()).await
    };
    if let Err(error) = noted.await {
        tracing::warn!(run = id, error = %with_causes(&error), "it could not be noted that a run ended");
    }
    done
}

async fn note_again(store: &Store, clock: &dyn Clock, id: i64, progress: &Progress) -> Infallible {
    loop {
        tokio::time::sleep(EVERY).await;
        let (due, done) = progress.now();
        if let Err(error) = store.note_run(id, due, done, clock.now()).await {
            tracing::warn!(run = id, error = %with_causes(&error), "it could not be noted how far a run is");
        }
    }
}
