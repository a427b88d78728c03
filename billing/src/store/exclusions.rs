//! Exclusions: spans of time that no credit is computed from, as for agreed maintenance.
//!
//! Recording and revoking one hold the ledger as issuing a bill does: neither changes what an issued bill was computed from.

use jiff::Timestamp;

use super::ingest::{instant_of, nanosecond_of};
use super::{Store, StoreError, in_transaction, on_readers};
use crate::metering::decide::LedgerId;
use crate::rating::period::Bounds;

/// A span that is to be left out: `[from, to)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewExclusion {
    /// First instant.
    pub from: Timestamp,
    /// First instant that is no longer in it.
    pub to: Timestamp,
    /// Why.
    pub reason: String,
    /// Who agreed.
    pub approver: String,
}

/// A span as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedExclusion {
    /// To name it by.
    pub id: i64,
    /// What was recorded.
    pub exclusion: NewExclusion,
    /// When.
    pub recorded_at: Timestamp,
    /// When it was revoked, and by whom.
    pub revoked: Option<(Timestamp, String)>,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExclusionOutcome {
    /// Done; which one.
    Done(i64),
    /// It touches a period whose bill was issued: its number.
    Issued(String),
    /// There is none of that id, or it is revoked already.
    NotFound,
}

type Row = (i64, i64, i64, String, String, i64, Option<i64>, Option<String>);

const SELECT: &str = "SELECT id, from_time, to_time, reason, approver, recorded_at, revoked_at, revoked_by FROM service_exclusion
    WHERE ledger_id = $1 AND from_time < $3 AND to_time > $2 ORDER BY from_time, id";
const INSERT: &str =
    "INSERT INTO service_exclusion (ledger_id, from_time, to_time, reason, approver, recorded_at)
    VALUES ($1, $2, $3, $4, $5, $6) RETURNING id";
const REVOKE: &str = "UPDATE service_exclusion SET revoked_at = $2, revoked_by = $3 WHERE id = $1";
const FIND: &str = "SELECT from_time, to_time FROM service_exclusion WHERE ledger_id = $1 AND id = $2 AND revoked_at IS NULL";
/// The first bill whose period a span touches.
const ISSUED: &str =
    "SELECT number FROM invoice WHERE ledger_id = $1 AND period_start < $3 AND period_end > $2
    ORDER BY sequence LIMIT 1";

impl Store {
    /// Records an exclusion, unless it touches a period whose bill was issued.
    pub async fn exclude(
        &self,
        ledger: LedgerId,
        exclusion: &NewExclusion,
        now: Timestamp,
    ) -> Result<ExclusionOutcome, StoreError> {
        let NewExclusion {
            from,
            to,
            reason,
            approver,
        } = exclusion;
        let (from, to, now) = (nanosecond_of(*from)?, nanosecond_of(*to)?, nanosecond_of(now)?);
        let hold = self.hold_ledger();
        in_transaction!(self, transaction => {
            sqlx::query(hold).bind(ledger).execute(&mut *transaction).await?;
            let issued: Option<(String,)> = sqlx::query_as(ISSUED)
                .bind(ledger).bind(from).bind(to).fetch_optional(&mut *transaction).await?;
            if let Some((number,)) = issued {
                return Ok(ExclusionOutcome::Issued(number));
            }
            let (id,): (i64,) = sqlx::query_as(INSERT)
                .bind(ledger).bind(from).bind(to).bind(reason).bind(approver).bind(now)
                .fetch_one(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(ExclusionOutcome::Done(id))
        })
    }

    /// Revokes an exclusion, unless it touches a period whose bill was issued. It stays to be seen.
    pub async fn revoke_exclusion(
        &self,
        ledger: LedgerId,
        id: i64,
        approver: &str,
        now: Timestamp,
    ) -> Result<ExclusionOutcome, StoreError> {
        let now = nanosecond_of(now)?;
        let hold = self.hold_ledger();
        in_transaction!(self, transaction => {
            sqlx::query(hold).bind(ledger).execute(&mut *transaction).await?;
            let found: Option<(i64, i64)> =
                sqlx::query_as(FIND).bind(ledger).bind(id).fetch_optional(&mut *transaction).await?;
            let Some((from, to)) = found else { return Ok(ExclusionOutcome::NotFound) };
            let issued: Option<(String,)> = sqlx::query_as(ISSUED)
                .bind(ledger).bind(from).bind(to).fetch_optional(&mut *transaction).await?;
            if let Some((number,)) = issued {
                return Ok(ExclusionOutcome::Issued(number));
            }
            sqlx::query(REVOKE).bind(id).bind(now).bind(approver).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(ExclusionOutcome::Done(id))
        })
    }

    /// Exclusions that stand and touch the bounds, in the order of time.
    pub async fn exclusions(
        &self,
        ledger: LedgerId,
        bounds: &Bounds,
    ) -> Result<Vec<RecordedExclusion>, StoreError> {
        let mut all = self.recorded_exclusions(ledger, bounds).await?;
        all.retain(|exclusion| exclusion.revoked.is_none());
        Ok(all)
    }

    /// The same with those that were revoked.
    pub async fn recorded_exclusions(
        &self,
        ledger: LedgerId,
        bounds: &Bounds,
    ) -> Result<Vec<RecordedExclusion>, StoreError> {
        let (from, to) = (nanosecond_of(bounds.start)?, nanosecond_of(bounds.end)?);
        let rows: Vec<Row> = on_readers!(self, pool => {
            sqlx::query_as(SELECT).bind(ledger).bind(from).bind(to).fetch_all(pool).await
        })?;
        rows.into_iter().map(exclusion_of).collect()
    }

    fn hold_ledger(&self) -> &'static str {
        self.dialect(
            "SELECT id FROM ledger WHERE id = $1",
            "SELECT id FROM ledger WHERE id = $1 FOR UPDATE",
        )
    }
}

fn exclusion_of(row: Row) -> Result<RecordedExclusion, StoreError> {
    let (id, from, to, reason, approver, recorded_at, revoked_at, revoked_by) = row;
    Ok(RecordedExclusion {
        id,
        exclusion: NewExclusion {
            from: instant_of(from)?,
            to: instant_of(to)?,
            reason,
            approver,
        },
        recorded_at: instant_of(recorded_at)?,
        revoked: revoked_at
            .map(|at| Ok::<_, StoreError>((instant_of(at)?, revoked_by.unwrap_or_default())))
            .transpose()?,
    })
}
