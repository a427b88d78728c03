//! What bills are made of besides usage: how the service was, and which modules were taken. Read for many ledgers at once; by
//! an issuer in its transaction, when it holds them, so that what was accepted before a bill is on it.

use std::collections::BTreeMap;

use super::ingest::{instant_of, nanosecond_of};
use super::modules::{SELECT_MODULES, module_change_of};
use super::service::{HOUR, first_hour_of, minutes_of};
use super::{Landed, Store, StoreError};
use crate::metering::decide::LedgerId;
use crate::rating::period::Bounds;
use crate::rating::rate::{Exclusion, ModuleChange, Service};
use crate::service_level::burn::Minute;

/// Of one ledger and period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Minutes of service and exclusions; `None`: no gateway of the ledger had reported a minute when the period ended.
    pub service: Option<Service>,
    /// In the order of time, from before the period too; none where no plan has modules.
    pub module_changes: Vec<ModuleChange>,
}

/// A text in the words of either database: $1 is a list of ledgers.
pub(super) struct OfLedgers {
    pub(super) sqlite: &'static str,
    pub(super) postgres: &'static str,
}

/// The same text with the ledgers of a list, in the words of either.
macro_rules! of_ledgers {
    ($before:literal, $behind:literal) => {
        OfLedgers {
            sqlite: concat!($before, " IN (SELECT value FROM json_each($1)) ", $behind),
            postgres: concat!($before, " = ANY($1) ", $behind),
        }
    };
}

const SELECT_HOURS: OfLedgers = of_ledgers!(
    "SELECT ledger_id, start_second, is_probe, minutes FROM service_hour WHERE ledger_id",
    "AND start_second >= $2 AND start_second < $3 AND statement > $4 AND statement <= $5"
);
const SELECT_EXCLUSIONS: OfLedgers = of_ledgers!(
    "SELECT ledger_id, from_time, to_time, reason, approver FROM service_exclusion WHERE ledger_id",
    "AND from_time < $3 AND to_time > $2 AND revoked_at IS NULL ORDER BY ledger_id, from_time, id"
);
/// Ledgers of a list that had reported minutes in hours that began before an instant.
const EVER_SQLITE: &str = "SELECT value FROM json_each($1) WHERE EXISTS
    (SELECT 1 FROM service_hour h WHERE h.ledger_id = value AND h.is_probe = 0 AND h.statement > $2 AND h.statement <= $3
    AND h.start_second < $4)";
const EVER_POSTGRES: &str = "SELECT w.id FROM unnest($1::bigint[]) AS w (id) WHERE EXISTS
    (SELECT 1 FROM service_hour h WHERE h.ledger_id = w.id AND h.is_probe = 0 AND h.statement > $2 AND h.statement <= $3
    AND h.start_second < $4)";

/// What is read of one kind, by ledger.
type HourRow = (LedgerId, i64, i64, Vec<u8>);
type ExclusionRow = (LedgerId, i64, i64, String, String);
type ModuleRow = (LedgerId, Vec<u8>);

/// Reads the facts of several ledgers over one connection.
macro_rules! facts_over {
    ($name:ident, $connection:ty, $ids:expr, $ever:expr, $in_list:ident) => {
        pub(super) async fn $name(
            connection: &mut $connection,
            ledgers: &[LedgerId],
            bounds: Bounds,
            with_modules: bool,
            Landed { after, up_to }: Landed,
        ) -> Result<BTreeMap<LedgerId, Facts>, StoreError> {
            // Planned by what is bound, as usage is.
            let hours: Vec<HourRow> = sqlx::query_as(SELECT_HOURS.$in_list)
                .persistent(false)
                .bind($ids(ledgers))
                .bind(first_hour_of(&bounds))
                .bind(bounds.end.as_second())
                .bind(after)
                .bind(up_to)
                .fetch_all(&mut *connection)
                .await?;
            let exclusions: Vec<ExclusionRow> = sqlx::query_as(SELECT_EXCLUSIONS.$in_list)
                .bind($ids(ledgers))
                .bind(nanosecond_of(bounds.start)?)
                .bind(nanosecond_of(bounds.end)?)
                .fetch_all(&mut *connection)
                .await?;
            let modules: Vec<ModuleRow> = if with_modules {
                sqlx::query_as(SELECT_MODULES.$in_list)
                    .bind($ids(ledgers))
                    .bind(nanosecond_of(bounds.end)?)
                    .fetch_all(&mut *connection)
                    .await?
            } else {
                Vec::new()
            };
            let minutes = minutes_by_ledger(hours, &bounds)?;
            let silent: Vec<_> = ledgers
                .iter()
                .copied()
                .filter(|ledger| !minutes.contains_key(ledger))
                .collect();
            let ever: Vec<(LedgerId,)> = if silent.is_empty() {
                Vec::new()
            } else {
                sqlx::query_as($ever)
                    .bind($ids(&silent))
                    .bind(after)
                    .bind(up_to)
                    // In a zone of half hours the last one goes on after the end, and its minutes were looked at.
                    .bind(bounds.end.as_second() - HOUR + 1)
                    .fetch_all(&mut *connection)
                    .await?
            };
            facts_of(
                minutes,
                ever.into_iter().map(|(ledger,)| ledger),
                exclusions,
                modules,
            )
        }
    };
}

fn json_ids(ledgers: &[LedgerId]) -> String {
    serde_json::json!(ledgers).to_string()
}

facts_over!(
    facts_over_sqlite,
    sqlx::SqliteConnection,
    json_ids,
    EVER_SQLITE,
    sqlite
);
facts_over!(
    facts_over_postgres,
    sqlx::PgConnection,
    <[LedgerId]>::to_vec,
    EVER_POSTGRES,
    postgres
);

impl Store {
    /// Of one ledger: minutes that landed in these statements; modules and exclusions as they are now.
    pub async fn facts(
        &self,
        ledger: LedgerId,
        bounds: Bounds,
        with_modules: bool,
        landed: Landed,
    ) -> Result<Facts, StoreError> {
        let mut facts = match self {
            Self::Sqlite(database) => {
                let mut connection = database.readers().acquire().await?;
                facts_over_sqlite(&mut connection, &[ledger], bounds, with_modules, landed).await?
            }
            Self::Postgres(database) => {
                let mut connection = database.readers().acquire().await?;
                facts_over_postgres(&mut connection, &[ledger], bounds, with_modules, landed).await?
            }
        };
        Ok(facts.remove(&ledger).unwrap_or_default())
    }
}

/// Those that have any within the bounds.
fn minutes_by_ledger(
    rows: Vec<HourRow>,
    bounds: &Bounds,
) -> Result<BTreeMap<LedgerId, Vec<Minute>>, StoreError> {
    let mut hours: BTreeMap<LedgerId, Vec<_>> = BTreeMap::new();
    for (ledger, start_second, is_probe, bytes) in rows {
        hours
            .entry(ledger)
            .or_default()
            .push((start_second, is_probe, bytes));
    }
    let mut minutes = BTreeMap::new();
    for (ledger, hours) in hours {
        minutes.insert(ledger, minutes_of(&hours, bounds)?);
    }
    minutes.retain(|_, minutes| !minutes.is_empty());
    Ok(minutes)
}

fn facts_of(
    minutes: BTreeMap<LedgerId, Vec<Minute>>,
    ever: impl Iterator<Item = LedgerId>,
    exclusions: Vec<ExclusionRow>,
    modules: Vec<ModuleRow>,
) -> Result<BTreeMap<LedgerId, Facts>, StoreError> {
    let mut facts: BTreeMap<LedgerId, Facts> = BTreeMap::new();
    let reported = minutes.into_iter().chain(ever.map(|ledger| (ledger, Vec::new())));
    for (ledger, minutes) in reported {
        facts.entry(ledger).or_default().service = Some(Service {
            minutes,
            exclusions: Vec::new(),
        });
    }
    for (ledger, from, to, reason, approver) in exclusions {
        let service = facts.get_mut(&ledger).and_then(|facts| facts.service.as_mut());
        if let Some(service) = service {
            service.exclusions.push(Exclusion {
                from: instant_of(from)?,
                to: instant_of(to)?,
                reason,
                approver,
            });
        }
    }
    for (ledger, payload) in modules {
        facts
            .entry(ledger)
            .or_default()
            .module_changes
            .extend(module_change_of(&payload)?);
    }
    Ok(facts)
}
