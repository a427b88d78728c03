//! Billed interactions one by one, in the order of their time, as a stream: a month of a big tenant fits no memory.

use std::collections::BTreeMap;

use futures::stream::{BoxStream, StreamExt as _};
use jiff::Timestamp;
use serde::Serialize;
use springtide_proto::event::INTERACTION_SOURCE;

use super::ingest::{instant_of, nanosecond_of};
use super::{Store, StoreError, on_readers};
use crate::metering::decide::LedgerId;
use crate::metering::examine::stored_event;
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

type Row = (i64, i16, String, Vec<u8>);

const SELECT: &str = concat!(
    "SELECT event_time, standing, meter, payload FROM recorded_event
     WHERE ledger_id = $1 AND event_time >= $2 AND event_time < $3 AND ",
    billable_sql!(),
    " ORDER BY event_time, key"
);

impl Store {
    /// The billed interactions of a ledger in a period; `tenant` is the name they are written with.
    pub fn export(
        &self,
        ledger: LedgerId,
        tenant: &str,
        bounds: &Bounds,
    ) -> BoxStream<'_, Result<ExportedEvent, StoreError>> {
        self.export_at_most(ledger, tenant, bounds, usize::MAX)
    }

    /// The first `most` of them.
    pub fn export_at_most(
        &self,
        ledger: LedgerId,
        tenant: &str,
        bounds: &Bounds,
        most: usize,
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
                .fetch(pool)
                .map(move |row| exported(&tenant, row?))
                .filter_map(async |event| event.transpose())
                .take(most)
                .boxed()
        })
    }
}

/// `None` for what is no interaction.
fn exported(tenant: &str, row: Row) -> Result<Option<ExportedEvent>, StoreError> {
    let (time, standing, meter, payload) = row;
    let (_, event) = stored_event(&payload).map_err(|_| StoreError::unreadable("event"))?;
    if event.source != INTERACTION_SOURCE {
        return Ok(None);
    }
    let mut dimensions = event.dimensions;
    let all = dimensions.clone();
    let mut take = |key: &str| dimensions.remove(key).unwrap_or_default();
    Ok(Some(ExportedEvent {
        dimensions: all,
        tenant: tenant.to_owned(),
        conversation: take("conversation"),
        turn: take("turn"),
        time: instant_of(time)?,
        meter,
        kind: take("kind"),
        witnesses: Standing::from_stored(standing).witnesses(),
    }))
}
