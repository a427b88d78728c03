//! SQLite: one connection that writes, a few that read, a write-ahead log, and a sync at every commit.
//!
//! Batches go in as one JSON text per statement, which SQLite takes apart itself: a row needs no round trip.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqlitePool, Transaction};

mod archived;

use super::StoreError;
use super::ingest::{
    BucketDelta, Hold, IngestDatabase, IngestTransaction, KeyRow, LedgerRow, Place, bucket_deltas,
    nanosecond_of,
};
use super::kept::insert_rivals_and_rejections;
use super::ratings::note_on_sqlite;
use super::replaced::{self, replace_events};
use super::reporters::SeenReporters;
use crate::digest::Fingerprint;
use crate::metering::assume::Doubt;
use crate::metering::decide::{Changes, Marks};
use crate::metering::report::{EventKey, Party};
use crate::metering::standing::Standing;
pub(super) use archived::Archived;
use archived::archive;

const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
const READERS: u32 = 4;

/// A database file.
#[derive(Clone, Debug)]
pub struct Sqlite {
    writer: SqlitePool,
    readers: SqlitePool,
    file: PathBuf,
    is_archived: bool,
    pub(super) reporters: SeenReporters,
}

impl Sqlite {
    pub(super) async fn connect(url: &str, create: bool, archived: Archived) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::from_str(url)?.create_if_missing(create);
        Self::open(options.synchronous(SqliteSynchronous::Full), create, archived).await
    }

    /// One that nobody needs after a crash: a commit does not wait for the disk.
    pub(super) async fn scratch(file: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
        Self::open(
            options.synchronous(SqliteSynchronous::Off),
            true,
            Archived::AsBefore,
        )
        .await
    }

    async fn open(
        options: SqliteConnectOptions,
        create: bool,
        archived: Archived,
    ) -> Result<Self, StoreError> {
        let mut options = options
            .journal_mode(SqliteJournalMode::Wal)
            .foreign_keys(true)
            // What is deleted or written over is gone from the file.
            .pragma("secure_delete", "ON")
            .busy_timeout(BUSY_TIMEOUT);
        if !create && !options.get_filename().exists() {
            return Err(StoreError::NoFile(options.get_filename().display().to_string()));
        }
        let mut first = options.connect().await?;
        let is_archived = archive(&mut first, archived).await?;
        if is_archived {
            options = options
                .pragma("wal_autocheckpoint", "0")
                // What a log had before it began anew is gone from the disk.
                .pragma("journal_size_limit", "0");
        }
        let file = options.get_filename().to_owned();
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
        };
        let writer = pool(1).connect_with(options.clone()).await?;
        let readers = pool(READERS)
            .connect_with(options.create_if_missing(false))
            .await?;
        if is_archived {
            // The last connection that is closed would bring the log into the file and remove it. This one ends with the
            // process, as in a crash.
            std::mem::forget(first);
        } else {
            first.close().await?;
        }
        Ok(Self {
            writer,
            readers,
            file,
            is_archived,
            reporters: SeenReporters::default(),
        })
    }

    /// The database's file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        let texts = [
            (
                1,
                "metering and bills",
                include_str!("../../migrations/sqlite/0001_metering_and_bills.sql"),
            ),
            (
                2,
                "service levels",
                include_str!("../../migrations/sqlite/0002_service_levels.sql"),
            ),
            (
                3,
                "invoices",
                include_str!("../../migrations/sqlite/0003_invoices.sql"),
            ),
            (
                4,
                "portal",
                include_str!("../../migrations/sqlite/0004_portal.sql"),
            ),
            (
                5,
                "tenant reads",
                include_str!("../../migrations/sqlite/0005_tenant_reads.sql"),
            ),
            (
                6,
                "provider audit",
                include_str!("../../migrations/sqlite/0006_provider_audit.sql"),
            ),
            (
                7,
                "back office",
                include_str!("../../migrations/sqlite/0007_back_office.sql"),
            ),
            (
                8,
                "minutes by statement",
                include_str!("../../migrations/sqlite/0008_minutes_by_statement.sql"),
            ),
            (
                9,
                "ratings",
                include_str!("../../migrations/sqlite/0009_ratings.sql"),
            ),
            (
                10,
                "retention",
                include_str!("../../migrations/sqlite/0010_retention.sql"),
            ),
            (
                11,
                "audit stays",
                include_str!("../../migrations/sqlite/0011_audit_stays.sql"),
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

    /// Takes out of the write-ahead log what was there before; what somebody still reads, with the next one. That of an
    /// archived database begins anew within a minute or so, when its archive has it.
    pub(super) async fn forget_erased(&self) -> Result<(), sqlx::Error> {
        if self.is_archived {
            return Ok(());
        }
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&self.writer)
            .await
            .map(drop)
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

impl IngestDatabase for Sqlite {
    type Transaction = Transaction<'static, sqlx::Sqlite>;

    fn doubt(&self, _records: usize, _at_once: bool) -> Option<&Doubt> {
        None
    }

    async fn begin_ingest(&self) -> Result<Self::Transaction, StoreError> {
        Ok(self.begin().await?)
    }

    /// There are no round trips to spare.
    fn last_seen(&self, _: &BTreeSet<&Party>, _records: usize) -> Option<Vec<LedgerRow>> {
        None
    }

    fn saw(&self, _: &[LedgerRow]) {}

    async fn take_at_once(&self, _: &Changes<'_>, _: &[LedgerRow], _now: i64) -> Result<(), StoreError> {
        Err(StoreError::Overtaken)
    }
}

impl IngestTransaction for Transaction<'_, sqlx::Sqlite> {
    async fn hold_ledgers(&mut self, parties: &[&Party], _: Hold) -> Result<Vec<LedgerRow>, StoreError> {
        let rows: Vec<_> = parties
            .iter()
            .map(|party| json!([party.tenant_uid, party.tenant]))
            .collect();
        let rows = Value::from(rows).to_string();
        let insert = "INSERT INTO ledger (tenant_uid, tenant) SELECT value ->> 0, value ->> 1 FROM json_each($1) w
            WHERE NOT EXISTS (SELECT 1 FROM account a WHERE a.tenant_uid = w.value ->> 0 AND a.tenant <> w.value ->> 1)
            ON CONFLICT DO NOTHING";
        sqlx::query(insert).bind(&rows).execute(&mut **self).await?;
        let select = "SELECT l.tenant_uid, l.tenant, l.id, l.open_statement FROM json_each($1) w
            JOIN ledger l ON l.tenant_uid = w.value ->> 0 AND l.tenant = w.value ->> 1
            WHERE NOT EXISTS (SELECT 1 FROM account a WHERE a.tenant_uid = l.tenant_uid AND a.tenant <> l.tenant)";
        Ok(sqlx::query_as(select).bind(&rows).fetch_all(&mut **self).await?)
    }

    async fn find(&mut self, keys: &[EventKey]) -> Result<Vec<KeyRow>, StoreError> {
        let keys: Vec<_> = keys.iter().map(EventKey::to_string).collect();
        let text = "SELECT k.key, k.hash, k.event_time, k.standing, k.worker, k.gateway, k.delivery
            FROM json_each($1) w CROSS JOIN event_key k ON k.key = unhex(w.value)";
        let rows: Vec<FoundRow> = sqlx::query_as(text)
            .bind(json!(keys).to_string())
            .fetch_all(&mut **self)
            .await?;
        rows.into_iter().map(found).collect()
    }

    async fn payloads(&mut self, places: &[Place]) -> Result<Vec<(EventKey, Vec<u8>)>, StoreError> {
        let rows: Vec<_> = places
            .iter()
            .map(|place| json!([place.key.to_string(), place.ledger, place.event_time]))
            .collect();
        let text = "SELECT e.key, e.payload FROM json_each($1) w CROSS JOIN event e
            ON e.ledger_id = w.value ->> 1 AND e.event_time = w.value ->> 2 AND e.key = unhex(w.value ->> 0)";
        let rows: Vec<(Vec<u8>, Vec<u8>)> = sqlx::query_as(text)
            .bind(Value::from(rows).to_string())
            .fetch_all(&mut **self)
            .await?;
        rows.into_iter()
            .map(|(key, payload)| Ok((fingerprint(&key)?, payload)))
            .collect()
    }

    async fn apply(&mut self, changes: &Changes<'_>, now: i64) -> Result<(), StoreError> {
        write_events(self, changes, now).await?;
        replace_events!(self, changes, replaced::SQLITE);
        note_on_sqlite(self, changes, now).await?;
        insert_rivals_and_rejections!(self, changes, now);
        write_buckets(self, bucket_deltas(changes)).await
    }

    async fn finish(self) -> Result<(), StoreError> {
        Ok(self.commit().await?)
    }
}

fn fingerprint(bytes: &[u8]) -> Result<Fingerprint, StoreError> {
    Fingerprint::try_from(bytes).map_err(|_| StoreError::unreadable("key"))
}

fn found(row: FoundRow) -> Result<KeyRow, StoreError> {
    let (key, hash, event_time, standing, worker, gateway, delivery) = row;
    let standing = Standing::from_stored(standing);
    Ok(KeyRow {
        key: fingerprint(&key)?,
        hash: fingerprint(&hash)?,
        event_time,
        marks: Marks {
            standing,
            worker,
            gateway,
            delivery,
        },
    })
}

/// (key, hash, event time, standing, worker, gateway, delivery).
type FoundRow = (Vec<u8>, Vec<u8>, i64, i16, i32, i32, i16);
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

async fn write_events(
    transaction: &mut Writing<'_>,
    changes: &Changes<'_>,
    now: i64,
) -> Result<(), StoreError> {
    let (mut keys, mut events) = (Vec::new(), Vec::new());
    for new in &changes.events {
        let (report, marks) = (new.report, new.marks);
        let (key, hash) = (report.key.to_string(), report.hash.fingerprint().to_string());
        let time = nanosecond_of(report.event.time)?;
        let standing = marks.standing.to_stored();
        keys.push(json!([
            key,
            hash,
            time,
            marks.worker,
            marks.gateway,
            standing,
            marks.delivery
        ]));
        let nanos = report.event.quantity.to_nanos()?.to_string();
        let payload = hexadecimal(&report.payload);
        events.push(json!([new.ledger, time, key, report.event.meter, nanos, payload]));
    }
    let text = "INSERT INTO event_key (key, hash, event_time, worker, gateway, standing, delivery)
        SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
        FROM json_each($1)";
    run(transaction, text, keys, None).await?;
    let text = "INSERT INTO event (ledger_id, event_time, recorded_at, key, meter, quantity, payload)
        SELECT value ->> 0, value ->> 1, $2, unhex(value ->> 2), value ->> 3, value ->> 4, unhex(value ->> 5) FROM json_each($1)";
    run(transaction, text, events, Some(now)).await?;
    let changed = changes
        .changed
        .iter()
        .map(|changed| {
            let marks = changed.after;
            let standing = marks.standing.to_stored();
            json!([
                changed.key.to_string(),
                marks.worker,
                marks.gateway,
                standing,
                marks.delivery
            ])
        })
        .collect();
    let text =
        "UPDATE event_key SET worker = w.value ->> 1, gateway = w.value ->> 2, standing = w.value ->> 3,
            delivery = w.value ->> 4
        FROM json_each($1) w WHERE event_key.key = unhex(w.value ->> 0)";
    run(transaction, text, changed, None).await?;
    let further = changes
        .further
        .iter()
        .map(|(further, delivery)| {
            json!([
                further.key.to_string(),
                further.witness,
                further.reporter,
                delivery
            ])
        })
        .collect();
    let text = "INSERT INTO further_report (key, witness, reporter, delivery, recorded_at)
        SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, $2 FROM json_each($1) WHERE true
        ON CONFLICT (key, witness, reporter) DO UPDATE SET delivery = excluded.delivery
        WHERE excluded.delivery > further_report.delivery";
    run(transaction, text, further, Some(now)).await
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
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
