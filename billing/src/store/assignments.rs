//! Which plan an account is billed by, from which local date on. Records are added and never changed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;

use super::ingest::instant_of;
use super::{Store, StoreError, on_readers};
use crate::metering::decide::LedgerId;

/// Who records assignments: the Tenant object comes by the operator alone.
pub(super) const OPERATOR: &str = "operator";

/// A plan from a date on. What a later record says of a date, and of those after it, takes the place of what an earlier one
/// said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanAssignment {
    /// Name of the plan.
    pub plan: String,
    /// First local date, in the plan's zone.
    pub from: Date,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// By whom.
    pub recorded_by: String,
}

type Row = (i64, String, String, i64, String);

macro_rules! select_assignments {
    ($rest:literal) => {
        concat!(
            "SELECT ledger_id, plan, from_date, recorded_at, recorded_by FROM plan_assignment ",
            $rest
        )
    };
}

/// $1 ledger, $2 plan, $3 date, $4 when, $5 by whom.
pub(super) const INSERT: &str =
    "INSERT INTO plan_assignment (ledger_id, ordinal, plan, from_date, recorded_at, recorded_by)
    VALUES ($1, (SELECT coalesce(max(ordinal), 0) + 1 FROM plan_assignment WHERE ledger_id = $1), $2, $3, $4, $5)";

impl Store {
    /// All records of a ledger, in their order.
    pub async fn assignments(&self, ledger: LedgerId) -> Result<Vec<PlanAssignment>, StoreError> {
        let text = select_assignments!("WHERE ledger_id = $1 ORDER BY ordinal");
        let rows: Vec<Row> =
            on_readers!(self, pool => sqlx::query_as(text).bind(ledger).fetch_all(pool).await)?;
        Ok(by_ledger(rows)?.remove(&ledger).unwrap_or_default())
    }

    /// Those of all ledgers.
    pub async fn all_assignments(&self) -> Result<BTreeMap<LedgerId, Vec<PlanAssignment>>, StoreError> {
        let text = select_assignments!("ORDER BY ledger_id, ordinal");
        let rows: Vec<Row> = on_readers!(self, pool => sqlx::query_as(text).fetch_all(pool).await)?;
        by_ledger(rows)
    }
}

fn by_ledger(rows: Vec<Row>) -> Result<BTreeMap<LedgerId, Vec<PlanAssignment>>, StoreError> {
    let mut assignments: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (ledger, plan, from, recorded_at, recorded_by) in rows {
        assignments.entry(ledger).or_default().push(PlanAssignment {
            plan,
            from: from
                .parse()
                .map_err(|_| StoreError::unreadable("assignment of a plan"))?,
            recorded_at: instant_of(recorded_at)?,
            recorded_by,
        });
    }
    Ok(assignments)
}
