//! Runs over all tenants' bills: who began one, how far it came, and what came of it.

use jiff::Timestamp;

use super::ingest::{instant_of, nanosecond_of};
use super::{Store, StoreError, in_transaction, on_readers};

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunKind {
    /// Puts bills into review.
    Review,
    /// Issues bills without a review.
    Issue,
    /// Issues what was reviewed.
    Approve,
    /// Issues notes on what came or changed afterwards.
    Correct,
}

impl RunKind {
    /// As it is kept.
    pub fn name(self) -> &'static str {
        match self {
            Self::Review => "review",
            Self::Issue => "issue",
            Self::Approve => "approve",
            Self::Correct => "correct",
        }
    }

    fn named(name: &str) -> Result<Self, StoreError> {
        [Self::Review, Self::Issue, Self::Approve, Self::Correct]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| StoreError::unreadable("run"))
    }
}

/// A run as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillRun {
    /// Counts up.
    pub id: i64,
    /// What it does.
    pub kind: RunKind,
    /// As "2026-11".
    pub period: String,
    /// Who began it.
    pub actor: String,
    /// When.
    pub started_at: Timestamp,
    /// When it was heard of last.
    pub seen_at: Timestamp,
    /// Tenants that it has to do with; 0 until that is known.
    pub due: u64,
    /// Tenants that it is through with.
    pub done: u64,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What came of it, as JSON; empty until it ends.
    pub summary: String,
}

type Row = (
    i64,
    String,
    String,
    String,
    i64,
    i64,
    i64,
    i64,
    Option<i64>,
    String,
);

macro_rules! select_run {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, period, actor, started_at, seen_at, due, done, ended_at, summary FROM bill_run ",
            $rest
        )
    };
}

impl Store {
    /// Notes that a run begins; its id.
    pub async fn begin_run(
        &self,
        kind: RunKind,
        period: &str,
        actor: &str,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let text = "INSERT INTO bill_run (kind, period, actor, started_at, seen_at) VALUES ($1, $2, $3, $4, $4) RETURNING id";
        let now = nanosecond_of(now)?;
        in_transaction!(self, transaction => {
            let (id,): (i64,) = sqlx::query_as(text).bind(kind.name()).bind(period).bind(actor).bind(now)
                .fetch_one(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(id)
        })
    }

    /// Notes how far a run has come, and that it goes on.
    pub async fn note_run(&self, id: i64, due: u64, done: u64, now: Timestamp) -> Result<(), StoreError> {
        let text = "UPDATE bill_run SET due = $2, done = $3, seen_at = $4 WHERE id = $1";
        let now = nanosecond_of(now)?;
        let (due, done) = (count_of(due)?, count_of(done)?);
        in_transaction!(self, transaction => {
            sqlx::query(text).bind(id).bind(due).bind(done).bind(now).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(())
        })
    }

    /// Notes that a run ended, and what came of it.
    pub async fn end_run(&self, id: i64, summary: &str, now: Timestamp) -> Result<(), StoreError> {
        let text = "UPDATE bill_run SET ended_at = $2, seen_at = $2, summary = $3 WHERE id = $1";
        let now = nanosecond_of(now)?;
        in_transaction!(self, transaction => {
            sqlx::query(text).bind(id).bind(now).bind(summary).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(())
        })
    }

    /// Runs of a period, the newest first.
    pub async fn runs_of(&self, period: &str, most: i64) -> Result<Vec<BillRun>, StoreError> {
        let text = select_run!("WHERE period = $1 ORDER BY id DESC LIMIT $2");
        let rows: Vec<Row> = on_readers!(self, pool => {
            sqlx::query_as(text).bind(period).bind(most).fetch_all(pool).await
        })?;
        rows.into_iter().map(run_of).collect()
    }

    /// A run.
    pub async fn run(&self, id: i64) -> Result<Option<BillRun>, StoreError> {
        let text = select_run!("WHERE id = $1");
        let row: Option<Row> =
            on_readers!(self, pool => sqlx::query_as(text).bind(id).fetch_optional(pool).await)?;
        row.map(run_of).transpose()
    }
}

fn count_of(count: u64) -> Result<i64, StoreError> {
    i64::try_from(count).map_err(|_| StoreError::unreadable("run"))
}

fn run_of(row: Row) -> Result<BillRun, StoreError> {
    let (id, kind, period, actor, started_at, seen_at, due, done, ended_at, summary) = row;
    let count = |count: i64| u64::try_from(count).map_err(|_| StoreError::unreadable("run"));
    Ok(BillRun {
        id,
        kind: RunKind::named(&kind)?,
        period,
        actor,
        started_at: instant_of(started_at)?,
        seen_at: instant_of(seen_at)?,
        due: count(due)?,
        done: count(done)?,
        ended_at: ended_at.map(instant_of).transpose()?,
        summary,
    })
}
