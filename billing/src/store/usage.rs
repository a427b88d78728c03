//! Usage as bills read it: quarters of an hour, by the statement in which each part landed.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::postgres::nanos_of;
use super::{Store, StoreError, on_readers};
use crate::bill::slots::Slots;
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

/// $1 ledgers, $2 and $3 range, $4 up to which statement, $5 class of each quarter of an hour from $2 on.
pub(super) const SUMMED_POSTGRES: &str =
    "SELECT ledger_id, meter, dimensions, class::bigint, sum(quantity)::text FROM (
        SELECT ledger_id, meter, dimensions, ($5::int[])[(start_second - $2) / 900 + 1] AS class, quantity FROM usage_bucket
        WHERE ledger_id = ANY($1) AND start_second >= $2 AND start_second < $3 AND statement <= $4) b
    GROUP BY ledger_id, meter, dimensions, class ORDER BY ledger_id, meter, dimensions, class";
/// The same, not yet summed; with the start in place of the class. $1 is a JSON list.
pub(super) const SUMMED_SQLITE: &str = "SELECT ledger_id, meter, dimensions, start_second, quantity FROM usage_bucket
    WHERE ledger_id IN (SELECT value FROM json_each($1)) AND start_second >= $2 AND start_second < $3 AND statement <= $4";

/// Ledger, meter, dimensions, class or start, quantity.
pub(super) type SummedRow = (LedgerId, String, String, i64, String);
/// Usage of several ledgers.
pub(super) type UsageByLedger = BTreeMap<LedgerId, Vec<Usage>>;

/// Usage by class, of PostgreSQL's rows.
pub(super) fn summed_by_postgres(rows: Vec<SummedRow>, slots: &Slots) -> Result<UsageByLedger, StoreError> {
    let unreadable = || StoreError::unreadable("usage");
    let sums = rows
        .into_iter()
        .map(|(ledger, meter, dimensions, class, quantity)| {
            let class = i32::try_from(class).map_err(|_| unreadable())?;
            let nanos: i128 = nanos_of(&quantity)?.parse().map_err(|_| unreadable())?;
            Ok(((ledger, meter, dimensions, class), nanos))
        });
    usage_of(sums.collect::<Result<Vec<_>, StoreError>>()?, slots)
}

/// Usage by class, of SQLite's rows: its decimals are texts, which only we add up exactly.
pub(super) fn summed_by_us(rows: Vec<SummedRow>, slots: &Slots) -> Result<UsageByLedger, StoreError> {
    let unreadable = || StoreError::unreadable("usage");
    let mut sums: BTreeMap<(LedgerId, String, String, i32), i128> = BTreeMap::new();
    for (ledger, meter, dimensions, start, quantity) in rows {
        let class = slots.class_at(start).ok_or_else(unreadable)?;
        let nanos: i128 = quantity.parse().map_err(|_| unreadable())?;
        let sum = sums.entry((ledger, meter, dimensions, class)).or_insert(0);
        *sum = sum.checked_add(nanos).ok_or(crate::rating::number::Overflow)?;
    }
    usage_of(sums, slots)
}

fn usage_of(
    sums: impl IntoIterator<Item = ((LedgerId, String, String, i32), i128)>,
    slots: &Slots,
) -> Result<UsageByLedger, StoreError> {
    let unreadable = StoreError::unreadable;
    let mut known: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut usage = UsageByLedger::new();
    for ((ledger, meter, text, class), nanos) in sums {
        let dimensions = if let Some(dimensions) = known.get(&text) {
            dimensions.clone()
        } else {
            let read: BTreeMap<_, _> = serde_json::from_str(&text).map_err(|_| unreadable("dimensions"))?;
            known.insert(text, read.clone());
            read
        };
        usage.entry(ledger).or_default().push(Usage {
            bucket_start: slots.first_of(class).ok_or_else(|| unreadable("usage"))?,
            meter,
            dimensions,
            quantity: Exact::from_nanos(nanos),
        });
    }
    Ok(usage)
}

impl Store {
    /// Usage of a ledger in a period that landed up to a statement, added up by class.
    pub async fn summed_usage(
        &self,
        ledger: LedgerId,
        slots: &Slots,
        up_to: i64,
    ) -> Result<Vec<Usage>, StoreError> {
        let (from, to) = slots.range();
        let mut usage = match self {
            Self::Sqlite(database) => {
                let query = sqlx::query_as(SUMMED_SQLITE).bind(format!("[{ledger}]"));
                let query = query.bind(from).bind(to).bind(up_to);
                summed_by_us(query.fetch_all(database.readers()).await?, slots)?
            }
            Self::Postgres(database) => {
                let query = sqlx::query_as(SUMMED_POSTGRES).bind(vec![ledger]);
                let query = query.bind(from).bind(to).bind(up_to).bind(slots.classes());
                summed_by_postgres(query.fetch_all(database.readers()).await?, slots)?
            }
        };
        Ok(usage.remove(&ledger).unwrap_or_default())
    }

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
