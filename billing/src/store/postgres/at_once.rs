//! Small batches of new events by one statement, which is a transaction of its own: each round trip less is one wait less
//! for a turn, and where large batches come in beside it, turns are scarce.
//!
//! It supposes what was last seen of the ledgers, and holds them if they are still like that; else it writes nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use sqlx::PgPool;

use super::ingest::{bind_new, column, event_rows, insert_new, raise_buckets};
use crate::metering::decide::{Changes, LedgerId};
use crate::metering::report::Party;
use crate::store::StoreError;
use crate::store::ingest::{LedgerRow, bucket_deltas};

/// Ledgers that are kept in mind at most.
const MOST_SEEN: usize = 100_000;

/// Of a tenant's UID and name, the ledger and its open statement.
type Seen = HashMap<(String, String), (LedgerId, i64)>;

/// Ledgers as they were last seen. A ledger's row never goes, and its id never changes.
#[derive(Clone, Debug, Default)]
pub(super) struct SeenLedgers(Arc<RwLock<Seen>>);

impl SeenLedgers {
    pub(super) fn of(&self, parties: &BTreeSet<&Party>) -> Option<Vec<LedgerRow>> {
        let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let row = |party: &&Party| {
            let key = (party.tenant_uid.to_string(), party.tenant.to_string());
            let (id, statement) = *seen.get(&key)?;
            Some((key.0, key.1, id, statement))
        };
        parties.iter().map(row).collect()
    }

    pub(super) fn note(&self, ledgers: &[LedgerRow]) {
        let news: Vec<_> = {
            let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
            let rows = ledgers.iter().map(|(uid, tenant, id, statement)| {
                let key = (uid.clone(), tenant.clone());
                (key, (*id, *statement))
            });
            rows.filter(|(key, row)| seen.get(key) != Some(row)).collect()
        };
        if news.is_empty() {
            return;
        }
        let mut seen = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if seen.len() + news.len() > MOST_SEEN {
            seen.clear();
        }
        seen.extend(news);
    }
}

/// Closing a statement waits until this one has ended; where it was closed before, the row is not as it was seen.
const INSERT: &str = insert_new!(
    "held AS MATERIALIZED (
        SELECT count(*) = cardinality($20::bigint[]) AS are_open FROM (
            SELECT l.id FROM ledger l
            JOIN unnest($20::bigint[], $21::bigint[], $22::text[], $23::text[]) AS w (id, statement, uid, tenant) ON l.id = w.id
            WHERE l.open_statement = w.statement AND l.tenant_uid = w.uid AND l.tenant = w.tenant
            AND NOT EXISTS (SELECT FROM account a WHERE a.tenant_uid = l.tenant_uid AND a.tenant <> l.tenant)
            ORDER BY l.id FOR SHARE OF l
        ) AS locked
    ), ",
    "WHERE (SELECT are_open FROM held)"
);

/// Writes new events and their buckets, if the ledgers are as they were last seen and none of the events is known.
pub(super) async fn insert_at_once(
    pool: &PgPool,
    changes: &Changes<'_>,
    ledgers: &[LedgerRow],
    now: i64,
) -> Result<(), StoreError> {
    let (rows, buckets) = (event_rows(changes)?, bucket_deltas(changes));
    let written = bind_new(INSERT, &rows, &buckets, now)
        .bind(column(ledgers, |(_, _, id, _)| *id))
        .bind(column(ledgers, |(_, _, _, statement)| *statement))
        .bind(column(ledgers, |(uid, ..)| uid.clone()))
        .bind(column(ledgers, |(_, tenant, ..)| tenant.clone()))
        .execute(pool)
        .await?
        .rows_affected();
    if usize::try_from(written).ok() == Some(rows.len()) {
        Ok(())
    } else {
        Err(StoreError::Overtaken)
    }
}
