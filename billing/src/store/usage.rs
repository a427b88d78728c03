//! Usage as bills read it: quarters of an hour, by the statement in which each part landed.

use jiff::Timestamp;

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

type Row = (i64, i64, String, String, String);

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
}
