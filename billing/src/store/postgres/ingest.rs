//! Batches go in by COPY and come out by arrays of keys. Locks are taken in the order of their keys, kind after kind (new
//! keys, known keys, replaced events, ratings, further reports, rejections, buckets), so that two servers do not wait for each other in a
//! circle; where one does all the same, its transaction is done again, alone in its ledgers.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::{Decode, Encode, PgConnection, Transaction, Type};

use super::copy::Rows;
use crate::at_length::at_length;
use crate::digest::Fingerprint;
use crate::metering::decide::{Changes, Marks, NewEvent};
use crate::metering::report::{EventKey, Party};
use crate::metering::standing::Standing;
use crate::rating::number::Exact;
use crate::store::StoreError;
use crate::store::ingest::{
    BucketDelta, Hold, IngestTransaction, KeyRow, LedgerRow, Place, bucket_deltas, nanosecond_of,
};
use crate::store::kept::insert_rivals_and_rejections;
use crate::store::ratings::note_on_postgres;
use crate::store::replaced::{self, replace_events};

/// Up to so many rows an INSERT is faster: the end of a COPY waits some 40 ms for the acknowledgement of its data, which is
/// hidden only while the server still works on them.
pub(super) const FEW: usize = 1_000;
/// PostgreSQL's numbers of UUID and UUID[].
const UUID: Oid = Oid(2950);
const UUID_ARRAY: Oid = Oid(2951);

impl Type<sqlx::Postgres> for Fingerprint {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(UUID)
    }
}

impl PgHasArrayType for Fingerprint {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(UUID_ARRAY)
    }
}

impl Encode<'_, sqlx::Postgres> for Fingerprint {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(self.as_bytes());
        Ok(IsNull::No)
    }
}

impl Decode<'_, sqlx::Postgres> for Fingerprint {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Binary => Ok(Self::try_from(value.as_bytes()?)?),
            PgValueFormat::Text => Err("a fingerprint is read in its binary form".into()),
        }
    }
}

/// Ledgers of parties whose UIDs are not registered under other names.
macro_rules! own_ledgers {
    ($lock:literal) => {
        concat!(
            "SELECT l.tenant_uid, l.tenant, l.id, l.open_statement FROM ledger l
            JOIN unnest($1::text[], $2::text[]) AS w (uid, tenant) ON l.tenant_uid = w.uid AND l.tenant = w.tenant
            WHERE NOT EXISTS (SELECT FROM account a WHERE a.tenant_uid = l.tenant_uid AND a.tenant <> l.tenant)
            ORDER BY l.id ",
            $lock,
            " OF l"
        )
    };
}

/// Adds to buckets, on a condition that may be empty; with the numbers of its parameters.
macro_rules! raise_buckets {
    ($ledger:literal, $start:literal, $statement:literal, $meter:literal, $digest:literal, $dimensions:literal, $quantity:literal, $where:literal) => {
        concat!(
            "INSERT INTO usage_bucket AS b (ledger_id, start_second, statement, meter, dimensions_digest, dimensions, quantity)
            SELECT ledger_id, start_second, statement, meter, digest, dimensions, quantity::numeric
            FROM unnest(",
            $ledger, "::bigint[], ", $start, "::bigint[], ", $statement, "::bigint[], ", $meter, "::text[], ",
            $digest, "::bytea[], ", $dimensions, "::text[], ", $quantity, "::text[])
            AS w (ledger_id, start_second, statement, meter, digest, dimensions, quantity) ",
            $where,
            " ON CONFLICT (ledger_id, start_second, statement, meter, dimensions_digest)
            DO UPDATE SET quantity = b.quantity + excluded.quantity"
        )
    };
}

/// (key, hash, event time, standing, worker, gateway, delivery).
type FoundRow = (Fingerprint, Fingerprint, i64, i16, i32, i32, i16);
type Writing<'a> = Transaction<'a, sqlx::Postgres>;

impl IngestTransaction for Writing<'_> {
    async fn hold_ledgers(&mut self, parties: &[&Party], hold: Hold) -> Result<Vec<LedgerRow>, StoreError> {
        let uids: Vec<_> = parties.iter().map(|party| party.tenant_uid.to_string()).collect();
        let names: Vec<_> = parties.iter().map(|party| party.tenant.to_string()).collect();
        // In either form, closing a statement waits until this transaction has ended.
        let text = match hold {
            Hold::Shared => own_ledgers!("FOR SHARE"),
            Hold::Alone => own_ledgers!("FOR NO KEY UPDATE"),
        };
        let held: Vec<LedgerRow> = sqlx::query_as(text)
            .bind(&uids)
            .bind(&names)
            .fetch_all(&mut **self)
            .await?;
        if held.len() == parties.len() {
            return Ok(held);
        }
        let insert = "INSERT INTO ledger (tenant_uid, tenant)
            SELECT w.uid, w.tenant FROM unnest($1::text[], $2::text[]) AS w (uid, tenant)
            WHERE NOT EXISTS (SELECT FROM account a WHERE a.tenant_uid = w.uid AND a.tenant <> w.tenant)
            ON CONFLICT DO NOTHING";
        sqlx::query(insert)
            .bind(&uids)
            .bind(&names)
            .execute(&mut **self)
            .await?;
        Ok(sqlx::query_as(text)
            .bind(&uids)
            .bind(&names)
            .fetch_all(&mut **self)
            .await?)
    }

    async fn find(&mut self, keys: &[EventKey]) -> Result<Vec<KeyRow>, StoreError> {
        let text = "SELECT key, hash, event_time, standing, worker, gateway, delivery FROM event_key WHERE key = ANY($1)";
        let rows: Vec<FoundRow> = sqlx::query_as(text).bind(keys).fetch_all(&mut **self).await?;
        Ok(rows.into_iter().map(key_row).collect())
    }

    async fn payloads(&mut self, places: &[Place]) -> Result<Vec<(EventKey, Vec<u8>)>, StoreError> {
        let text = "SELECT e.key, e.payload FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS w (key, ledger_id, event_time)
            JOIN event e ON e.ledger_id = w.ledger_id AND e.event_time = w.event_time AND e.key = w.key";
        let query = sqlx::query_as(text)
            .bind(places.iter().map(|place| place.key).collect::<Vec<_>>())
            .bind(places.iter().map(|place| place.ledger).collect::<Vec<_>>())
            .bind(places.iter().map(|place| place.event_time).collect::<Vec<_>>());
        Ok(query.fetch_all(&mut **self).await?)
    }

    async fn apply(&mut self, changes: &Changes<'_>, now: i64) -> Result<(), StoreError> {
        let buckets = bucket_deltas(changes);
        // What has nothing between new keys and buckets, as most small batches, costs one round trip.
        let (with_events, after) = if changes.is_only_new() && changes.events.len() <= FEW {
            (buckets, Vec::new())
        } else {
            (Vec::new(), buckets)
        };
        insert_events(self, changes, &with_events, now).await?;
        update_known(self, changes).await?;
        replace_events!(self, changes, replaced::POSTGRES);
        note_on_postgres(self, changes, now).await?;
        write_further(self, changes, now).await?;
        insert_rivals_and_rejections!(self, changes, now);
        write_buckets(self, &after).await
    }

    async fn finish(self) -> Result<(), StoreError> {
        Ok(self.commit().await?)
    }
}

fn key_row(row: FoundRow) -> KeyRow {
    let (key, hash, event_time, standing, worker, gateway, delivery) = row;
    let standing = Standing::from_stored(standing);
    let marks = Marks {
        standing,
        worker,
        gateway,
        delivery,
    };
    KeyRow {
        key,
        hash,
        event_time,
        marks,
    }
}

async fn insert_events(
    transaction: &mut Writing<'_>,
    changes: &Changes<'_>,
    buckets: &[BucketDelta<'_>],
    now: i64,
) -> Result<(), StoreError> {
    let rows = event_rows(changes)?;
    match rows.len() {
        0 => Ok(()),
        few if few <= FEW => insert_few(transaction, &rows, buckets, now).await,
        _ => copy_many(transaction, &rows, now).await,
    }
}

/// A new event as its two rows have it.
pub(super) struct EventRow<'a> {
    new: NewEvent<'a>,
    time: i64,
    nanos: i128,
}

pub(super) fn event_rows<'a>(changes: &Changes<'a>) -> Result<Vec<EventRow<'a>>, StoreError> {
    changes.events.iter().map(event_row).collect()
}

fn event_row<'a>(new: &NewEvent<'a>) -> Result<EventRow<'a>, StoreError> {
    Ok(EventRow {
        new: *new,
        time: nanosecond_of(new.report.event.time)?,
        nanos: new.report.event.quantity.to_nanos()?,
    })
}

/// New events and buckets in one statement, on a condition for all of them that may be empty, after what it is WITH. Rows of
/// the statement itself come first.
macro_rules! insert_new {
    ($with:literal, $where:literal) => {
        concat!(
            "WITH ",
            $with,
            "buckets AS (",
            raise_buckets!("$13", "$14", "$15", "$16", "$17", "$18", "$19", $where),
            "), events AS (
                INSERT INTO event (key, ledger_id, event_time, recorded_at, meter, quantity, payload)
                SELECT key, ledger_id, event_time, $12, meter, quantity::numeric, payload
                FROM unnest($1::uuid[], $8::bigint[], $3::bigint[], $9::text[], $10::text[], $11::bytea[])
                AS w (key, ledger_id, event_time, meter, quantity, payload) ",
            $where,
            ")
            INSERT INTO event_key (key, hash, event_time, standing, worker, gateway, delivery)
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::smallint[], $5::int[], $6::int[], $7::smallint[]) ",
            $where
        )
    };
}
pub(super) use {insert_new, raise_buckets};

async fn insert_few(
    transaction: &mut Writing<'_>,
    rows: &[EventRow<'_>],
    buckets: &[BucketDelta<'_>],
    now: i64,
) -> Result<(), StoreError> {
    bind_new(insert_new!("", ""), rows, buckets, now)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// The nineteen parameters of `insert_new!`.
pub(super) fn bind_new<'q>(
    text: &'static str,
    rows: &[EventRow<'q>],
    buckets: &[BucketDelta<'q>],
    now: i64,
) -> Query<'q> {
    let query = sqlx::query(text)
        .bind(column(rows, |row| row.new.report.key))
        .bind(column(rows, |row| row.new.report.hash.fingerprint()))
        .bind(column(rows, |row| row.time))
        .bind(column(rows, |row| row.new.marks.standing.to_stored()))
        .bind(column(rows, |row| row.new.marks.worker))
        .bind(column(rows, |row| row.new.marks.gateway))
        .bind(column(rows, |row| row.new.marks.delivery))
        .bind(column(rows, |row| row.new.ledger))
        .bind(column(rows, |row| row.new.report.event.meter.clone()))
        .bind(column(rows, |row| Exact::from_nanos(row.nanos).to_string()))
        .bind(column(rows, |row| row.new.report.payload.clone()))
        .bind(now);
    bind_buckets(query, buckets)
}

pub(super) fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

async fn copy_many(transaction: &mut Writing<'_>, rows: &[EventRow<'_>], now: i64) -> Result<(), StoreError> {
    let (keys, events) = at_length(|| copied(rows, now));
    let into_keys = "COPY event_key (key, hash, event_time, standing, worker, gateway, delivery) FROM STDIN (FORMAT binary)";
    copy(transaction, into_keys, keys).await?;
    let into_events = "COPY event (key, ledger_id, event_time, recorded_at, meter, quantity, payload) FROM STDIN (FORMAT binary)";
    copy(transaction, into_events, events).await
}

/// The rows of both tables.
fn copied(rows: &[EventRow<'_>], now: i64) -> (Rows, Rows) {
    let (mut keys, mut events) = (Rows::new(7), Rows::new(7));
    for EventRow { new, time, nanos } in rows {
        let (report, marks) = (new.report, new.marks);
        keys.row()
            .uuid(report.key)
            .uuid(report.hash.fingerprint())
            .big(*time)
            .small(marks.standing.to_stored())
            .int(marks.worker)
            .int(marks.gateway)
            .small(marks.delivery);
        events
            .row()
            .uuid(report.key)
            .big(new.ledger)
            .big(*time)
            .big(now)
            .bytes(report.event.meter.as_bytes())
            .numeric(*nanos)
            .bytes(&report.payload);
    }
    (keys, events)
}

async fn copy(connection: &mut PgConnection, text: &str, rows: Rows) -> Result<(), StoreError> {
    let mut copying = connection.copy_in_raw(text).await?;
    copying.send(rows.finish()).await?;
    copying.finish().await?;
    Ok(())
}

async fn update_known(transaction: &mut Writing<'_>, changes: &Changes<'_>) -> Result<(), StoreError> {
    let changed = &changes.changed;
    if changed.is_empty() {
        return Ok(());
    }
    // What is there must still be what was read, or supposed: whoever waited for another transaction finds no row here.
    let text = "UPDATE event_key k SET standing = w.standing, gateway = w.gateway, delivery = w.delivery,
            worker = CASE w.worker WHEN -1 THEN k.worker ELSE w.worker END
        FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::int[], $5::int[], $6::smallint[],
            $7::smallint[], $8::int[], $9::int[], $10::smallint[])
        AS w (key, hash, standing, worker, gateway, delivery, was_standing, was_worker, was_gateway, was_delivery)
        WHERE k.key = w.key AND k.hash = w.hash AND k.standing = w.was_standing AND k.gateway = w.was_gateway
        AND k.delivery = w.was_delivery AND (w.was_worker = -1 OR k.worker = w.was_worker)";
    let mut query = sqlx::query(text)
        .bind(changed.iter().map(|changed| changed.key).collect::<Vec<_>>())
        .bind(changed.iter().map(|changed| changed.hash).collect::<Vec<_>>());
    for is_after in [true, false] {
        let marks = || {
            changed
                .iter()
                .map(move |changed| if is_after { changed.after } else { changed.before })
        };
        query = query
            .bind(
                marks()
                    .map(|marks| marks.standing.to_stored())
                    .collect::<Vec<_>>(),
            )
            .bind(marks().map(|marks| marks.worker).collect::<Vec<_>>())
            .bind(marks().map(|marks| marks.gateway).collect::<Vec<_>>())
            .bind(marks().map(|marks| marks.delivery).collect::<Vec<_>>());
    }
    let written = query.execute(&mut **transaction).await?.rows_affected();
    if usize::try_from(written).ok() == Some(changed.len()) {
        Ok(())
    } else {
        Err(StoreError::Overtaken)
    }
}

async fn write_further(
    transaction: &mut Writing<'_>,
    changes: &Changes<'_>,
    now: i64,
) -> Result<(), StoreError> {
    if changes.further.is_empty() {
        return Ok(());
    }
    let rows = &changes.further;
    let text = "INSERT INTO further_report (key, witness, reporter, delivery, recorded_at)
        SELECT key, witness, reporter, delivery, $5
        FROM unnest($1::uuid[], $2::smallint[], $3::int[], $4::smallint[]) AS w (key, witness, reporter, delivery)
        ON CONFLICT (key, witness, reporter) DO UPDATE SET delivery = excluded.delivery
        WHERE excluded.delivery > further_report.delivery";
    sqlx::query(text)
        .bind(rows.keys().map(|further| further.key).collect::<Vec<_>>())
        .bind(rows.keys().map(|further| further.witness).collect::<Vec<_>>())
        .bind(rows.keys().map(|further| further.reporter).collect::<Vec<_>>())
        .bind(rows.values().copied().collect::<Vec<_>>())
        .bind(now)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn write_buckets(transaction: &mut Writing<'_>, buckets: &[BucketDelta<'_>]) -> Result<(), StoreError> {
    if buckets.is_empty() {
        return Ok(());
    }
    let text = raise_buckets!("$1", "$2", "$3", "$4", "$5", "$6", "$7", "");
    bind_buckets(sqlx::query(text), buckets)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

pub(super) type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// The seven parameters of `raise_buckets!`.
fn bind_buckets<'q>(query: Query<'q>, buckets: &[BucketDelta<'q>]) -> Query<'q> {
    query
        .bind(column(buckets, |delta| delta.ledger))
        .bind(column(buckets, |delta| delta.start_second))
        .bind(column(buckets, |delta| delta.statement))
        .bind(column(buckets, |delta| delta.meter))
        .bind(column(buckets, |delta| delta.digest.as_bytes().to_vec()))
        .bind(column(buckets, |delta| delta.dimensions))
        .bind(column(buckets, |delta| {
            Exact::from_nanos(delta.nanos).to_string()
        }))
}
