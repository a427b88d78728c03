//! Usage as bills read it: quarters of an hour, by the statement in which each part landed.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use sqlx::query::QueryAs;

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

/// The statements in which usage landed that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landed {
    /// Those after this one.
    pub after: i64,
    /// The last one.
    pub up_to: i64,
}

impl Landed {
    /// In any statement.
    pub const EVER: Self = Self::up_to(i64::MAX);

    /// Up to a statement.
    pub const fn up_to(statement: i64) -> Self {
        Self {
            after: 0,
            up_to: statement,
        }
    }

    /// After a statement.
    pub const fn after(statement: i64) -> Self {
        Self {
            after: statement,
            up_to: i64::MAX,
        }
    }
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

/// $1 ledgers, $2 and $3 after and up to which statement, $4 to $6 the runs of the quarters of an hour: first seconds, ends and
/// classes. Each run is read by the key: of the whole period at once the server may expect so many rows that it reads all there
/// are, of all tenants; and it would sort them, instead of adding up a few sums.
pub(super) const SUMMED_POSTGRES: &str =
    "SELECT b.ledger_id, b.meter, b.dimensions, r.class::bigint, sum(b.quantity)::text
    FROM unnest($4::bigint[], $5::bigint[], $6::int[]) AS r (first, until, class)
    CROSS JOIN LATERAL (SELECT ledger_id, meter, dimensions, sum(quantity) AS quantity FROM usage_bucket
        WHERE ledger_id = ANY($1) AND start_second >= r.first AND start_second < r.until AND statement > $2 AND statement <= $3
        GROUP BY ledger_id, meter, dimensions) b
    GROUP BY b.ledger_id, b.meter, b.dimensions, r.class ORDER BY b.ledger_id, b.meter, b.dimensions, r.class";
/// The same, not yet summed; with the start in place of the class. $1 is a JSON list, $4 and $5 are the range.
pub(super) const SUMMED_SQLITE: &str =
    "SELECT ledger_id, meter, dimensions, start_second, quantity FROM usage_bucket
    WHERE ledger_id IN (SELECT value FROM json_each($1)) AND statement > $2 AND statement <= $3
    AND start_second >= $4 AND start_second < $5";

/// Ledger, meter, dimensions, class or start, quantity.
pub(super) type SummedRow = (LedgerId, String, String, i64, String);
/// Usage of several ledgers.
pub(super) type UsageByLedger = BTreeMap<LedgerId, Vec<Usage>>;

/// A query of summed usage, of either database.
type SummedQuery<'q, D> = QueryAs<'q, D, SummedRow, <D as sqlx::Database>::Arguments>;

/// Binds the quarters of an hour that are meant. It is planned each time, by what is bound: a plan for any ledgers and runs expects
/// a row where there are thousands, reads them one by one from all over the table, and takes five times as long.
pub(super) fn with_runs<'q>(
    query: SummedQuery<'q, sqlx::Postgres>,
    slots: &Slots,
) -> SummedQuery<'q, sqlx::Postgres> {
    let runs = slots.runs();
    let firsts: Vec<_> = runs.iter().map(|run| run.first_second).collect();
    let ends: Vec<_> = runs.iter().map(|run| run.end_second).collect();
    let classes: Vec<_> = runs.iter().map(|run| run.class).collect();
    query.bind(firsts).bind(ends).bind(classes).persistent(false)
}

/// The same for SQLite.
pub(super) fn with_range<'q>(
    query: SummedQuery<'q, sqlx::Sqlite>,
    slots: &Slots,
) -> SummedQuery<'q, sqlx::Sqlite> {
    let (from, to) = slots.range();
    query.bind(from).bind(to)
}

/// Usage by class, of PostgreSQL's rows.
pub(super) fn summed_by_postgres(rows: Vec<SummedRow>, slots: &Slots) -> Result<UsageByLedger, StoreError> {
    let unreadable = || StoreError::unreadable("usage");
    let sums = rows
        .into_iter()
        .map(|(ledger, meter, dimensions, class, quantity)| {
            let class = i32::try_from(class).map_err(|_| unreadable())?;
            Ok(((ledger, meter, dimensions, class), exact_of(&quantity)?))
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
    let sums = sums
        .into_iter()
        .map(|(key, nanos)| (key, Exact::from_nanos(nanos)));
    usage_of(sums, slots)
}

fn usage_of(
    sums: impl IntoIterator<Item = ((LedgerId, String, String, i32), Exact)>,
    slots: &Slots,
) -> Result<UsageByLedger, StoreError> {
    let unreadable = StoreError::unreadable;
    let mut known = KnownDimensions::default();
    let mut usage = UsageByLedger::new();
    for ((ledger, meter, text, class), quantity) in sums {
        let dimensions = known.read(text)?;
        usage.entry(ledger).or_default().push(Usage {
            bucket_start: slots.first_of(class).ok_or_else(|| unreadable("usage"))?,
            meter,
            dimensions,
            quantity,
        });
    }
    Ok(usage)
}

/// Dimensions that were read: there are few of them, and many rows that have them.
#[derive(Default)]
struct KnownDimensions(HashMap<String, BTreeMap<String, String>>);

impl KnownDimensions {
    fn read(&mut self, text: String) -> Result<BTreeMap<String, String>, StoreError> {
        if let Some(dimensions) = self.0.get(&text) {
            return Ok(dimensions.clone());
        }
        let read: BTreeMap<_, _> =
            serde_json::from_str(&text).map_err(|_| StoreError::unreadable("dimensions"))?;
        self.0.insert(text, read.clone());
        Ok(read)
    }
}

/// A NUMERIC's text. What has more digits after the point than usage has is none.
fn exact_of(numeric: &str) -> Result<Exact, StoreError> {
    let unreadable = || StoreError::unreadable("usage");
    let (whole, fraction) = numeric.split_once('.').unwrap_or((numeric, ""));
    if fraction.len() > 9 {
        return Err(unreadable());
    }
    let mantissa = if fraction.is_empty() {
        whole.parse()
    } else {
        format!("{whole}{fraction}").parse()
    };
    let scale = u32::try_from(fraction.len()).map_err(|_| unreadable())?;
    Ok(Exact::new(mantissa.map_err(|_| unreadable())?, scale))
}

impl Store {
    /// Usage of a ledger in a period that landed in these statements, added up by class.
    pub async fn summed_usage(
        &self,
        ledger: LedgerId,
        slots: &Slots,
        landed: Landed,
    ) -> Result<Vec<Usage>, StoreError> {
        let Landed { after, up_to } = landed;
        let mut usage = match self {
            Self::Sqlite(database) => {
                let query = sqlx::query_as(SUMMED_SQLITE).bind(format!("[{ledger}]"));
                let query = with_range(query.bind(after).bind(up_to), slots);
                summed_by_us(query.fetch_all(database.readers()).await?, slots)?
            }
            Self::Postgres(database) => {
                let query = sqlx::query_as(SUMMED_POSTGRES).bind(vec![ledger]);
                let query = with_runs(query.bind(after).bind(up_to), slots);
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
        let mut known = KnownDimensions::default();
        let read = |row| self.statement_usage_of(row, &mut known);
        rows.into_iter().map(read).collect()
    }

    fn statement_usage_of(
        &self,
        row: Row,
        known: &mut KnownDimensions,
    ) -> Result<StatementUsage, StoreError> {
        let (start_second, statement, meter, dimensions, quantity) = row;
        let unreadable = StoreError::unreadable;
        let usage = Usage {
            bucket_start: Timestamp::from_second(start_second).map_err(|_| unreadable("usage"))?,
            meter,
            dimensions: known.read(dimensions)?,
            quantity: match self {
                Self::Sqlite(_) => Exact::from_nanos(quantity.parse().map_err(|_| unreadable("usage"))?),
                Self::Postgres(_) => exact_of(&quantity)?,
            },
        };
        Ok(StatementUsage { statement, usage })
    }
}
