//! SQLite: one connection that writes, a few that read, a write-ahead log, and a sync at every commit.
//!
//! Batches go in as one JSON text per statement, which SQLite takes apart itself: a row needs no round trip.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqlitePool, Transaction};

use super::StoreError;
use super::ingest::{BucketDelta, IngestTransaction, KnownRow, LedgerRow, bucket_deltas};
use crate::digest::Digest;
use crate::metering::decide::{Changes, Identity, Sequence};
use crate::metering::report::Party;

const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
const READERS: u32 = 4;

/// A database file.
#[derive(Clone, Debug)]
pub struct Sqlite {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Sqlite {
    pub(super) async fn connect(url: &str, create: bool) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(create)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        if !create && !options.get_filename().exists() {
            return Err(StoreError::NoFile(options.get_filename().display().to_string()));
        }
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
        };
        let writer = pool(1).connect_with(options.clone()).await?;
        let readers = pool(READERS)
            .connect_with(options.create_if_missing(false))
            .await?;
        Ok(Self { writer, readers })
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        let texts = [
            (
                1,
                "metering and bills",
                include_str!("../../migrations/sqlite/0001_metering_and_bills.sql"),
            ),
            (
                4,
                "portal",
                include_str!("../../migrations/sqlite/0004_portal.sql"),
            ),
        ];
        Ok(super::ingest::migrations(&texts).run(&self.writer).await?)
    }

    pub(super) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Takes the one write lock at once, so that no transaction fails half way for want of it.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, sqlx::Sqlite>, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

impl IngestTransaction for Transaction<'_, sqlx::Sqlite> {
    async fn registered_names(&mut self, uids: &[String]) -> Result<Vec<(String, String)>, StoreError> {
        let text =
            "SELECT tenant_uid, tenant FROM account WHERE tenant_uid IN (SELECT value FROM json_each($1))";
        Ok(sqlx::query_as(text)
            .bind(json!(uids).to_string())
            .fetch_all(&mut **self)
            .await?)
    }

    async fn hold_ledgers(&mut self, parties: &[&Party]) -> Result<Vec<LedgerRow>, StoreError> {
        let rows: Vec<_> = parties
            .iter()
            .map(|party| json!([party.tenant_uid, party.tenant]))
            .collect();
        let rows = Value::from(rows).to_string();
        let insert = "INSERT INTO ledger (tenant_uid, tenant) SELECT value ->> 0, value ->> 1 FROM json_each($1) WHERE true
            ON CONFLICT DO NOTHING";
        sqlx::query(insert).bind(&rows).execute(&mut **self).await?;
        let select = "SELECT l.tenant_uid, l.tenant, l.id, l.open_statement FROM json_each($1) w
            JOIN ledger l ON l.tenant_uid = w.value ->> 0 AND l.tenant = w.value ->> 1";
        Ok(sqlx::query_as(select).bind(&rows).fetch_all(&mut **self).await?)
    }

    async fn claim(
        &mut self,
        claims: &BTreeMap<Identity, Digest>,
    ) -> Result<Vec<(Sequence, i64, String, String)>, StoreError> {
        let rows: Vec<_> = claims
            .iter()
            .map(|(identity, hash)| key_row(identity, Some(*hash)))
            .collect();
        let text = "INSERT INTO event_key (ledger_id, source, id, hash)
            SELECT value ->> 0, value ->> 1, value ->> 2, unhex(value ->> 3) FROM json_each($1) WHERE true
            ON CONFLICT DO NOTHING RETURNING sequence, ledger_id, source, id";
        Ok(sqlx::query_as(text)
            .bind(Value::from(rows).to_string())
            .fetch_all(&mut **self)
            .await?)
    }

    async fn load_known(&mut self, identities: &[&Identity]) -> Result<Vec<KnownRow>, StoreError> {
        let rows: Vec<_> = identities
            .iter()
            .map(|identity| key_row(identity, None))
            .collect();
        let text = "SELECT k.sequence, k.ledger_id, k.source, k.id, k.hash,
                e.standing, e.event_time, e.meter, e.quantity, e.dimensions, e.reversal_of
            FROM json_each($1) w
            JOIN event_key k ON k.ledger_id = w.value ->> 0 AND k.source = w.value ->> 1 AND k.id = w.value ->> 2
            JOIN event e ON e.sequence = k.sequence";
        let known: Vec<KnownRow> = sqlx::query_as(text)
            .bind(Value::from(rows).to_string())
            .fetch_all(&mut **self)
            .await?;
        Ok(known)
    }

    async fn apply(&mut self, changes: &Changes, now: i64) -> Result<(), StoreError> {
        write_events(self, changes, now).await?;
        write_reports(self, changes, now).await?;
        write_buckets(self, bucket_deltas(changes)).await
    }

    async fn finish(self) -> Result<(), StoreError> {
        Ok(self.commit().await?)
    }
}

type Writing<'a> = Transaction<'a, sqlx::Sqlite>;

/// Runs `text` over the rows, if there are any; `now` is its second parameter.
async fn run(
    transaction: &mut Writing<'_>,
    text: &'static str,
    rows: Vec<Value>,
    now: Option<i64>,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(text).bind(Value::from(rows).to_string());
    let query = if let Some(now) = now {
        query.bind(now)
    } else {
        query
    };
    query.execute(&mut **transaction).await?;
    Ok(())
}

async fn write_events(transaction: &mut Writing<'_>, changes: &Changes, now: i64) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(changes.events.len());
    for new in &changes.events {
        let row = super::ingest::event_row(new)?;
        rows.push(json!([
            row.sequence,
            row.ledger,
            row.standing,
            row.source,
            row.id,
            row.time,
            row.meter,
            row.nanos.to_string(),
            row.dimensions,
            row.reversal_of,
        ]));
    }
    let text = "INSERT INTO event (sequence, ledger_id, standing, source, id, event_time, recorded_at, meter, quantity, dimensions, reversal_of)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, $2, value ->> 6, value ->> 7, value ->> 8, value ->> 9
        FROM json_each($1)";
    run(transaction, text, rows, Some(now)).await?;
    let standings = changes
        .standings
        .iter()
        .map(|(sequence, standing)| json!([sequence, standing.to_stored()]))
        .collect();
    let text =
        "UPDATE event SET standing = w.value ->> 1 FROM json_each($1) w WHERE sequence = w.value ->> 0";
    run(transaction, text, standings, None).await?;
    let rehashed = changes
        .rehashed
        .iter()
        .map(|(identity, hash)| key_row(identity, Some(*hash)))
        .collect();
    let text = "UPDATE event_key SET hash = unhex(w.value ->> 3) FROM json_each($1) w
        WHERE ledger_id = w.value ->> 0 AND source = w.value ->> 1 AND id = w.value ->> 2";
    run(transaction, text, rehashed, None).await?;
    let released = changes
        .released
        .iter()
        .map(|identity| key_row(identity, None))
        .collect();
    let text =
        "DELETE FROM event_key WHERE sequence IN (SELECT k.sequence FROM json_each($1) w JOIN event_key k
        ON k.ledger_id = w.value ->> 0 AND k.source = w.value ->> 1 AND k.id = w.value ->> 2)";
    run(transaction, text, released, None).await
}

fn key_row(identity: &Identity, hash: Option<Digest>) -> Value {
    let Identity { ledger, source, id } = identity;
    json!([ledger, source, id, hash.map(|hash| hash.to_string())])
}

async fn write_reports(transaction: &mut Writing<'_>, changes: &Changes, now: i64) -> Result<(), StoreError> {
    let provenance = changes
        .provenance
        .iter()
        .map(|(key, delivery)| json!([key.sequence, key.witness, key.reporter, key.boot_id, delivery]))
        .collect();
    let text = "INSERT INTO provenance (sequence, witness, reporter, boot_id, delivery, recorded_at)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, $2 FROM json_each($1) WHERE true
        ON CONFLICT (sequence, witness, reporter, boot_id) DO UPDATE SET delivery = excluded.delivery
        WHERE excluded.delivery > provenance.delivery";
    run(transaction, text, provenance, Some(now)).await?;
    // Rare: a statement each, so that bytes need no text form.
    for rival in &changes.rivals {
        let text = "INSERT INTO rival (sequence, hash, payload, is_variant, reporter, recorded_at)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        sqlx::query(text)
            .bind(rival.sequence)
            .bind(&rival.hash.as_bytes()[..])
            .bind(&rival.payload)
            .bind(i64::from(rival.is_variant))
            .bind(&rival.reporter)
            .bind(now)
            .execute(&mut **transaction)
            .await?;
    }
    for ((peer, hash, reason), (rejection, times)) in &changes.rejections {
        let text = "INSERT INTO rejection (peer, hash, reason, message, payload, reporter, times, first_at, last_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
            ON CONFLICT (peer, hash, reason) DO UPDATE SET times = rejection.times + excluded.times, last_at = excluded.last_at";
        sqlx::query(text)
            .bind(peer)
            .bind(&hash.as_bytes()[..])
            .bind(reason)
            .bind(&rejection.message)
            .bind(&rejection.payload)
            .bind(&rejection.reporter)
            .bind(times)
            .bind(now)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

/// Adds in this program, not in SQL: SQLite's sums of large numbers turn into floats.
async fn write_buckets(
    transaction: &mut Writing<'_>,
    deltas: Vec<BucketDelta<'_>>,
) -> Result<(), StoreError> {
    if deltas.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = deltas
        .iter()
        .map(|delta| {
            json!([
                delta.ledger,
                delta.start_second,
                delta.statement,
                delta.meter,
                delta.digest.to_string()
            ])
        })
        .collect();
    let text = "SELECT CAST(w.key AS INTEGER), b.quantity FROM json_each($1) w JOIN usage_bucket b ON b.ledger_id = w.value ->> 0
        AND b.start_second = w.value ->> 1 AND b.statement = w.value ->> 2 AND b.meter = w.value ->> 3
        AND b.dimensions_digest = unhex(w.value ->> 4)";
    let stored: Vec<(i64, String)> = sqlx::query_as(text)
        .bind(Value::from(keys).to_string())
        .fetch_all(&mut **transaction)
        .await?;
    let mut sums: Vec<i128> = deltas.iter().map(|delta| delta.nanos).collect();
    for (position, quantity) in stored {
        let quantity: i128 = quantity.parse().map_err(|_| StoreError::unreadable("usage"))?;
        let sum = usize::try_from(position)
            .ok()
            .and_then(|position| sums.get_mut(position));
        let sum = sum.ok_or(StoreError::unreadable("usage"))?;
        *sum = sum.checked_add(quantity).ok_or(crate::rating::number::Overflow)?;
    }
    let rows = deltas
        .iter()
        .zip(sums)
        .map(|(delta, sum)| {
            json!([
                delta.ledger,
                delta.start_second,
                delta.statement,
                delta.meter,
                delta.digest.to_string(),
                delta.dimensions,
                sum.to_string(),
            ])
        })
        .collect();
    let text = "INSERT INTO usage_bucket (ledger_id, start_second, statement, meter, dimensions_digest, dimensions, quantity)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, unhex(value ->> 4), value ->> 5, value ->> 6
        FROM json_each($1) WHERE true
        ON CONFLICT (ledger_id, start_second, statement, meter, dimensions_digest) DO UPDATE SET quantity = excluded.quantity";
    run(transaction, text, rows, None).await
}
