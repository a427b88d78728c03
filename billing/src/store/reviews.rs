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

type Row = (i64, String, String, String, String, i64);

const LATEST: &str =
    "SELECT r.ledger_id, r.digest, r.document, r.findings, r.actor, r.recorded_at FROM invoice_review r
    WHERE r.ledger_id = $1 AND r.period = $2 ORDER BY r.ordinal DESC LIMIT 1";
const WAITING: &str = "SELECT r.ledger_id, r.digest, r.document, r.findings, r.actor, r.recorded_at FROM invoice_review r
    WHERE r.period = $1
    AND r.ordinal = (SELECT max(o.ordinal) FROM invoice_review o WHERE o.ledger_id = r.ledger_id AND o.period = r.period)
    AND NOT EXISTS (SELECT 1 FROM invoice i WHERE i.ledger_id = r.ledger_id AND i.period = r.period AND i.kind = 'regular')
    ORDER BY r.ledger_id";
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
