//! Billed interactions one by one, in the order of their time, as a stream: a month of a big tenant fits no memory.

use std::collections::BTreeMap;

use futures::stream::{BoxStream, StreamExt as _};
use jiff::Timestamp;
use serde::Serialize;

use super::ingest::{instant_of, nanosecond_of};
use super::{Store, StoreError, on_readers};
use crate::metering::decide::LedgerId;
use crate::metering::standing::{Standing, billable_sql};
use crate::rating::period::Bounds;

/// One billed interaction or unanswered turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExportedEvent {
    /// Name of the tenant.
    pub tenant: String,
    /// Which conversation.
    pub conversation: String,
    /// Which turn of it.
    pub turn: String,
    /// When it reached the gateway's door.
    pub time: Timestamp,
    /// "interactions" or "unanswered".
    pub meter: String,
    /// "answer", "list" or "sorry".
    pub kind: String,
    /// Who reported it, sorted.
    pub witnesses: Vec<&'static str>,
    /// All by which it can be narrowed; not part of an export.
    #[serde(skip)]
    pub dimensions: BTreeMap<String, String>,
}

type Row = (i64, i64, String, String);

const SELECT: &str = concat!(
    "SELECT event_time, standing, meter, dimensions FROM event
     WHERE ledger_id = $1 AND event_time >= $2 AND event_time < $3 AND source = 'interaction' AND ",
    billable_sql!(),
    " ORDER BY event_time, sequence LIMIT $4"
);

impl Store {
    /// The billed interactions of a ledger in a period; `tenant` is the name they are written with.
    pub fn export(
        &self,
        ledger: LedgerId,
        tenant: &str,
        bounds: &Bounds,
    ) -> BoxStream<'_, Result<ExportedEvent, StoreError>> {
        self.export_at_most(ledger, tenant, bounds, i64::MAX)
    }

    /// The first `most` of them.
    pub fn export_at_most(
        &self,
        ledger: LedgerId,
        tenant: &str,
        bounds: &Bounds,
        most: i64,
    ) -> BoxStream<'_, Result<ExportedEvent, StoreError>> {
        let (Ok(from), Ok(to)) = (nanosecond_of(bounds.start), nanosecond_of(bounds.end)) else {
            return futures::stream::empty().boxed();
        };
        let tenant = tenant.to_owned();
        on_readers!(self, pool => {
            sqlx::query_as::<_, Row>(SELECT)
                .bind(ledger)
                .bind(from)
                .bind(to)
                .bind(most)
                .fetch(pool)
                .map(move |row| exported(&tenant, row?))
                .boxed()
        })
    }
}

fn exported(tenant: &str, row: Row) -> Result<ExportedEvent, StoreError> {
    let (time, standing, meter, dimensions) = row;
    let mut dimensions: BTreeMap<String, String> =
        serde_json::from_str(&dimensions).map_err(|_| StoreError::unreadable("dimensions"))?;
    let all = dimensions.clone();
    let mut take = |key: &str| dimensions.remove(key).unwrap_or_default();
    Ok(ExportedEvent {
        dimensions: all,
        tenant: tenant.to_owned(),
        conversation: take("conversation"),
        turn: take("turn"),
        time: instant_of(time)?,
        meter,
        kind: take("kind"),
        witnesses: Standing::from_stored(standing).witnesses(),
    })
}
