//! Usage as bills read it: quarters of an hour, by the statement in which each part landed.

use jiff::Timestamp;

use super::ingest::instant_of;
use super::postgres::nanos_of;
use super::{Store, StoreError, on_readers};
use crate::metering::decide::LedgerId;
use crate::rating::number::Exact;
use crate::rating::period::{BUCKET_SECONDS, Bounds};
use crate::rating::rate::Usage;

/// Usage with the statement in which it landed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementUsage {
    /// Which statement.
    pub statement: i64,
    /// What landed there.
    pub usage: Usage,
}

/// A record that was kept but not counted: rejected, or other bytes under a known identity.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// Tenant whose part sent it.
    pub tenant: String,
    /// "rejected", "conflict" or "variant".
    pub kind: String,
    /// Why, of the table of reasons; empty for a variant.
    pub reason: String,
    /// In words, or the identity that was taken.
    pub message: String,
    /// Pod that sent it first.
    pub reporter: String,
    /// How often it came; conflicts and variants are kept once.
    pub times: i64,
    /// When it came first.
    pub at: Timestamp,
}

type Row = (i64, i64, String, String, String);
type KeptRow = (String, String, String, String, String, i64, i64);

/// Lower and upper start of the buckets of a period.
pub(super) fn bucket_range(bounds: &Bounds) -> (i64, i64) {
    let first = bounds.start.as_second();
    (first - first.rem_euclid(BUCKET_SECONDS), bounds.end.as_second())
}

pub(super) const SELECT_SQLITE: &str = "SELECT start_second, statement, meter, dimensions, quantity FROM usage_bucket
    WHERE ledger_id = $1 AND start_second >= $2 AND start_second < $3 ORDER BY start_second, statement, meter, dimensions_digest";
pub(super) const SELECT_POSTGRES: &str = "SELECT start_second, statement, meter, dimensions, quantity::text FROM usage_bucket
    WHERE ledger_id = $1 AND start_second >= $2 AND start_second < $3 ORDER BY start_second, statement, meter, dimensions_digest";

impl Store {
    /// All usage of a ledger in a period, whichever statement it landed in.
    pub async fn usage(&self, ledger: LedgerId, bounds: &Bounds) -> Result<Vec<StatementUsage>, StoreError> {
        let (from, to) = bucket_range(bounds);
        let text = self.dialect(SELECT_SQLITE, SELECT_POSTGRES);
        let rows: Vec<Row> = on_readers!(self, pool => {
            sqlx::query_as(text).bind(ledger).bind(from).bind(to).fetch_all(pool).await
        })?;
        rows.into_iter().map(|row| self.statement_usage_of(row)).collect()
    }

    pub(super) fn statement_usage_of(&self, row: Row) -> Result<StatementUsage, StoreError> {
        let (start_second, statement, meter, dimensions, quantity) = row;
        let unreadable = StoreError::unreadable;
        let nanos = match self {
            Self::Sqlite(_) => quantity,
            Self::Postgres(_) => nanos_of(&quantity)?,
        };
        let usage = Usage {
            bucket_start: Timestamp::from_second(start_second).map_err(|_| unreadable("usage"))?,
            meter,
            dimensions: serde_json::from_str(&dimensions).map_err(|_| unreadable("dimensions"))?,
            quantity: Exact::from_nanos(nanos.parse().map_err(|_| unreadable("usage"))?),
        };
        Ok(StatementUsage { statement, usage })
    }

    /// What was kept but not counted, the newest first; of one tenant or of all.
    pub async fn kept(&self, tenant: Option<&str>) -> Result<Vec<Kept>, StoreError> {
        let text = "SELECT peer, 'rejected', reason, message, reporter, times, first_at FROM rejection
            WHERE $1 = '' OR peer = $1
            UNION ALL
            SELECT l.tenant, CASE WHEN r.is_variant = 1 THEN 'variant' ELSE 'conflict' END,
                CASE WHEN r.is_variant = 1 THEN '' ELSE 'EVENT_CONFLICT' END, e.source || '/' || e.id, r.reporter, 1, r.recorded_at
            FROM rival r JOIN event e ON e.sequence = r.sequence JOIN ledger l ON l.id = e.ledger_id
            WHERE $1 = '' OR l.tenant = $1
            ORDER BY 7 DESC, 4";
        let tenant = tenant.unwrap_or_default();
        let rows: Vec<KeptRow> =
            on_readers!(self, pool => sqlx::query_as(text).bind(tenant).fetch_all(pool).await)?;
        rows.into_iter()
            .map(|(tenant, kind, reason, message, reporter, times, at)| {
                Ok(Kept {
                    tenant,
                    kind,
                    reason,
                    message,
                    reporter,
                    times,
                    at: instant_of(at)?,
                })
            })
            .collect()
    }
}
