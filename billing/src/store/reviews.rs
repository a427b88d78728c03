//! What a close run needs besides bills: the drafts that wait for approval, and who may run.

use jiff::Timestamp;
use sqlx::{Connection as _, PgConnection};

use super::ingest::{instant_of, nanosecond_of};
use super::usage::bucket_range;
use super::{Store, StoreError, in_transaction, on_readers};
use crate::metering::decide::LedgerId;
use crate::rating::period::Bounds;

/// Key of PostgreSQL's advisory lock; any number that nobody else uses.
const ISSUER_LOCK: i64 = 0x5350_545f_4953_5355;

/// A draft that waits for approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// Whose.
    pub ledger: LedgerId,
    /// Of the draft.
    pub digest: String,
    /// The draft, as canonical JSON.
    pub document: String,
    /// What is striking about it, as a JSON list.
    pub findings: String,
    /// Who put it here.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}

/// Held by the one run that issues for all; given back when it is closed or its process ends.
#[derive(Debug)]
pub enum IssuerLock {
    /// SQLite has one writer at a time; what one run issued the other finds.
    Sqlite,
    /// A connection of its own, with which the lock goes.
    Postgres(Box<PgConnection>),
}

impl IssuerLock {
    /// Gives it back.
    pub async fn release(self) -> Result<(), StoreError> {
        if let Self::Postgres(connection) = self {
            connection.close().await?;
        }
        Ok(())
    }
}

/// Which of the drafts that wait for approval.
#[derive(Clone, Copy, Debug)]
pub struct QueueQuery {
    /// Only those with something striking.
    pub striking_only: bool,
    /// After so many, in the order of the queue.
    pub skip: i64,
    /// At most so many.
    pub most: i64,
}

/// Drafts that wait for approval: what is striking comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Those that were asked for.
    pub reviews: Vec<Review>,
    /// How many wait in all.
    pub waiting: u64,
    /// How many of them have something striking.
    pub striking: u64,
}

type Row = (i64, String, String, String, String, i64);

const LATEST: &str =
    "SELECT r.ledger_id, r.digest, r.document, r.findings, r.actor, r.recorded_at FROM invoice_review r
    WHERE r.ledger_id = $1 AND r.period = $2 ORDER BY r.ordinal DESC LIMIT 1";
/// Drafts of the period $1 that wait.
macro_rules! waiting {
    ($columns:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM invoice_review r WHERE r.period = $1
            AND r.ordinal = (SELECT max(o.ordinal) FROM invoice_review o WHERE o.ledger_id = r.ledger_id AND o.period = r.period)
            AND NOT EXISTS (SELECT 1 FROM invoice i WHERE i.ledger_id = r.ledger_id AND i.period = r.period AND i.kind = 'regular') ",
            $rest
        )
    };
}

const WAITING: &str = waiting!(
    "r.ledger_id, r.digest, r.document, r.findings, r.actor, r.recorded_at",
    "ORDER BY r.ledger_id"
);
const QUEUE: &str = waiting!(
    "r.ledger_id, r.digest, r.document, r.findings, r.actor, r.recorded_at",
    "AND ($2 = 0 OR r.findings <> '[]') ORDER BY CASE WHEN r.findings = '[]' THEN 1 ELSE 0 END, r.ledger_id LIMIT $3 OFFSET $4"
);
const COUNTS: &str = waiting!(
    "count(*), CAST(COALESCE(sum(CASE WHEN r.findings = '[]' THEN 0 ELSE 1 END), 0) AS BIGINT)",
    ""
);
const LEDGERS: &str = waiting!(
    "r.ledger_id, r.digest",
    "AND ($2 = 0 OR r.findings = '[]') ORDER BY r.ledger_id"
);
const INSERT: &str = "INSERT INTO invoice_review (ledger_id, period, ordinal, digest, document, findings, actor, recorded_at)
    VALUES ($1, $2, (SELECT COALESCE(max(ordinal), 0) + 1 FROM invoice_review WHERE ledger_id = $1 AND period = $2), $3, $4, $5, $6, $7)";

impl Store {
    /// Waits until no other run issues, and keeps others out.
    pub async fn issuer_lock(&self) -> Result<IssuerLock, StoreError> {
        let Self::Postgres(database) = self else {
            return Ok(IssuerLock::Sqlite);
        };
        // Detached: what goes back to the pool would keep the lock.
        let mut connection = database.pool().acquire().await?.detach();
        let query = sqlx::query("SELECT pg_advisory_lock($1)").bind(ISSUER_LOCK);
        query.execute(&mut connection).await?;
        Ok(IssuerLock::Postgres(Box::new(connection)))
    }

    /// The draft of a period that was put into review last.
    pub async fn latest_review(&self, ledger: LedgerId, period: &str) -> Result<Option<Review>, StoreError> {
        let row: Option<Row> = on_readers!(self, pool => {
            sqlx::query_as(LATEST).bind(ledger).bind(period).fetch_optional(pool).await
        })?;
        row.map(review_of).transpose()
    }

    /// Drafts of a period that wait for approval.
    pub async fn waiting_reviews(&self, period: &str) -> Result<Vec<Review>, StoreError> {
        let rows: Vec<Row> =
            on_readers!(self, pool => sqlx::query_as(WAITING).bind(period).fetch_all(pool).await)?;
        rows.into_iter().map(review_of).collect()
    }

    /// Some of the drafts of a period that wait for approval, and how many there are.
    pub async fn review_queue(&self, period: &str, query: QueueQuery) -> Result<Queue, StoreError> {
        let QueueQuery {
            striking_only,
            skip,
            most,
        } = query;
        let only = i64::from(striking_only);
        let rows: Vec<Row> = on_readers!(self, pool => {
            sqlx::query_as(QUEUE).bind(period).bind(only).bind(most).bind(skip).fetch_all(pool).await
        })?;
        let (waiting, striking): (i64, i64) =
            on_readers!(self, pool => sqlx::query_as(COUNTS).bind(period).fetch_one(pool).await)?;
        let count = |count: i64| u64::try_from(count).map_err(|_| StoreError::unreadable("review"));
        Ok(Queue {
            reviews: rows.into_iter().map(review_of).collect::<Result<_, _>>()?,
            waiting: count(waiting)?,
            striking: count(striking)?,
        })
    }

    /// Ledgers whose drafts of a period wait for approval, with the drafts' digests; of all, or those with nothing striking.
    pub async fn ledgers_in_review(
        &self,
        period: &str,
        plain_only: bool,
    ) -> Result<Vec<(LedgerId, String)>, StoreError> {
        let only = i64::from(plain_only);
        let rows: Vec<(LedgerId, String)> = on_readers!(self, pool => {
            sqlx::query_as(LEDGERS).bind(period).bind(only).fetch_all(pool).await
        })?;
        Ok(rows)
    }

    /// Puts drafts into review.
    pub async fn add_reviews(&self, period: &str, reviews: &[Review]) -> Result<(), StoreError> {
        in_transaction!(self, transaction => {
            for review in reviews {
                let at = nanosecond_of(review.at)?;
                sqlx::query(INSERT).bind(review.ledger).bind(period).bind(&review.digest).bind(&review.document)
                    .bind(&review.findings).bind(&review.actor).bind(at)
                    .execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(())
        })
    }

    /// There is usage of a ledger in a period.
    pub async fn has_usage(&self, ledger: LedgerId, bounds: &Bounds) -> Result<bool, StoreError> {
        let (from, to) = bucket_range(bounds);
        let text = "SELECT 1 FROM usage_bucket WHERE ledger_id = $1 AND start_second >= $2 AND start_second < $3 LIMIT 1";
        let found = on_readers!(self, pool => {
            sqlx::query(text).bind(ledger).bind(from).bind(to).fetch_optional(pool).await.map(|row| row.is_some())
        })?;
        Ok(found)
    }
}

fn review_of(row: Row) -> Result<Review, StoreError> {
    let (ledger, digest, document, findings, actor, at) = row;
    Ok(Review {
        ledger,
        digest,
        document,
        findings,
        actor,
        at: instant_of(at)?,
    })
}
