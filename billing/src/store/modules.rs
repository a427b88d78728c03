//! When modules were taken and dropped: events like others, which outlive the months in which they were recorded.

use jiff::Timestamp;

use super::facts::OfLedgers;
use super::ingest::instant_of;
use super::{Store, StoreError, on_readers};
use crate::metering::decide::LedgerId;
use crate::metering::examine::stored_event;
use crate::metering::modules::{ModuleHistory, RecordedModule};
use crate::metering::standing::billable_sql;
use crate::rating::rate::ModuleChange;

macro_rules! select_modules {
    ($of_ledgers:literal) => {
        concat!(
            "SELECT ledger_id, payload FROM recorded_module WHERE ledger_id ",
            $of_ledgers,
            " AND event_time < $2 AND ",
            billable_sql!(),
            " ORDER BY event_time, key"
        )
    };
}

/// $2 an instant: what was before.
pub(super) const SELECT_MODULES: OfLedgers = OfLedgers {
    sqlite: select_modules!("IN (SELECT value FROM json_each($1))"),
    postgres: select_modules!("= ANY($1)"),
};

/// With what was undone, and what undid it.
const SELECT_HISTORY: &str =
    "SELECT recorded_at, payload FROM recorded_module WHERE ledger_id = $1 ORDER BY event_time, key";

/// What an event of [`SELECT_MODULES`] says.
pub(super) fn module_change_of(payload: &[u8]) -> Result<Option<ModuleChange>, StoreError> {
    let (_, event) = stored_event(payload).map_err(|_| StoreError::unreadable("event"))?;
    Ok(event.module_change())
}

impl Store {
    /// All that was ever said of a ledger's modules.
    pub async fn module_history(&self, ledger: LedgerId) -> Result<ModuleHistory, StoreError> {
        let rows: Vec<(i64, Vec<u8>)> =
            on_readers!(self, pool => sqlx::query_as(SELECT_HISTORY).bind(ledger).fetch_all(pool).await)?;
        let recorded = rows.into_iter().map(|(recorded_at, payload)| {
            let (_, event) = stored_event(&payload).map_err(|_| StoreError::unreadable("event"))?;
            Ok(RecordedModule {
                recorded_at: instant_of(recorded_at)?,
                event,
            })
        });
        Ok(ModuleHistory::new(recorded.collect::<Result<_, StoreError>>()?))
    }

    /// When modules of a ledger were taken and dropped before an instant, as it was recorded until another, in the order of
    /// time.
    pub async fn module_changes(
        &self,
        ledger: LedgerId,
        before: Timestamp,
        recorded_until: Option<Timestamp>,
    ) -> Result<Vec<ModuleChange>, StoreError> {
        let history = self.module_history(ledger).await?;
        Ok(history.known(before, recorded_until.unwrap_or(Timestamp::MAX)))
    }
}
