//! PostgreSQL: batches go in as one array per column; locks are taken in the order of their keys, so that two servers do
//! not wait for each other in a circle.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Transaction};

use super::StoreError;
use super::ingest::{IngestTransaction, KnownRow, LedgerRow, bucket_deltas};
use crate::digest::Digest;
use crate::metering::decide::{Changes, Identity, Sequence};
use crate::metering::report::Party;
use crate::rating::number::Exact;

const CONNECTIONS: u32 = 10;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A database server.
#[derive(Clone, Debug)]
pub struct Postgres {
    pool: PgPool,
}

impl Postgres {
    pub(super) async fn connect(url: &str) -> Result<Self, StoreError> {
        let options = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT);
        Ok(Self {
            pool: options.connect(url).await?,
        })
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        let texts = [
            (
                1,
                "metering and bills",
                include_str!("../../migrations/postgres/0001_metering_and_bills.sql"),
            ),
            (
                4,
                "portal",
                include_str!("../../migrations/postgres/0004_portal.sql"),
            ),
        ];
        Ok(super::ingest::migrations(&texts).run(&self.pool).await?)
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(super) async fn begin(&self) -> Result<Transaction<'static, sqlx::Postgres>, sqlx::Error> {
        self.pool.begin().await
    }
}

type Writing<'a> = Transaction<'a, sqlx::Postgres>;

impl IngestTransaction for Writing<'_> {
    async fn registered_names(&mut self, uids: &[String]) -> Result<Vec<(String, String)>, StoreError> {
        let text = "SELECT tenant_uid, tenant FROM account WHERE tenant_uid = ANY($1)";
        Ok(sqlx::query_as(text).bind(uids).fetch_all(&mut **self).await?)
    }

    async fn hold_ledgers(&mut self, parties: &[&Party]) -> Result<Vec<LedgerRow>, StoreError> {
        let uids: Vec<_> = parties.iter().map(|party| party.tenant_uid.to_string()).collect();
        let names: Vec<_> = parties.iter().map(|party| party.tenant.to_string()).collect();
        // FOR SHARE: closing a statement waits until this transaction has ended.
        let hold = "SELECT l.tenant_uid, l.tenant, l.id, l.open_statement FROM ledger l
            JOIN unnest($1::text[], $2::text[]) AS w (uid, tenant) ON l.tenant_uid = w.uid AND l.tenant = w.tenant
            ORDER BY l.id FOR SHARE OF l";
        let held: Vec<LedgerRow> = sqlx::query_as(hold)
            .bind(&uids)
            .bind(&names)
            .fetch_all(&mut **self)
            .await?;
        if held.len() == parties.len() {
            return Ok(held);
        }
        let insert = "INSERT INTO ledger (tenant_uid, tenant) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING";
        sqlx::query(insert)
            .bind(&uids)
            .bind(&names)
            .execute(&mut **self)
            .await?;
        Ok(sqlx::query_as(hold)
            .bind(&uids)
            .bind(&names)
            .fetch_all(&mut **self)
            .await?)
    }

    async fn claim(
        &mut self,
        claims: &BTreeMap<Identity, Digest>,
    ) -> Result<Vec<(Sequence, i64, String, String)>, StoreError> {
        let (ledgers, sources, ids) = columns(claims.keys());
        let hashes: Vec<_> = claims.values().map(|hash| hash.as_bytes().to_vec()).collect();
        let text = "INSERT INTO event_key (ledger_id, source, id, hash)
            SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[])
            ON CONFLICT DO NOTHING RETURNING sequence, ledger_id, source, id";
        let query = sqlx::query_as(text)
            .bind(ledgers)
            .bind(sources)
            .bind(ids)
            .bind(hashes);
        Ok(query.fetch_all(&mut **self).await?)
    }

    async fn load_known(&mut self, identities: &[&Identity]) -> Result<Vec<KnownRow>, StoreError> {
        let (ledgers, sources, ids) = columns(identities.iter().copied());
        let text = "SELECT k.sequence, k.ledger_id, k.source, k.id, k.hash,
                e.standing, e.event_time, e.meter, e.quantity::text, e.dimensions, e.reversal_of
            FROM unnest($1::bigint[], $2::text[], $3::text[]) AS w (ledger_id, source, id)
            JOIN event_key k ON k.ledger_id = w.ledger_id AND k.source = w.source AND k.id = w.id
            JOIN event e ON e.sequence = k.sequence
            ORDER BY e.sequence FOR UPDATE OF e";
        let mut known: Vec<KnownRow> = sqlx::query_as(text)
            .bind(ledgers)
            .bind(sources)
            .bind(ids)
            .fetch_all(&mut **self)
            .await?;
        for row in &mut known {
            row.8 = nanos_of(&row.8)?;
        }
        Ok(known)
    }

    async fn apply(&mut self, changes: &Changes, now: i64) -> Result<(), StoreError> {
        insert_events(self, changes, now).await?;
        update_known(self, changes).await?;
        write_provenance(self, changes, now).await?;
        write_rivals_and_rejections(self, changes, now).await?;
        write_buckets(self, changes).await
    }

    async fn finish(self) -> Result<(), StoreError> {
        Ok(self.commit().await?)
    }
}

/// A NUMERIC's text in billionths, as SQLite keeps it.
pub(super) fn nanos_of(numeric: &str) -> Result<String, StoreError> {
    let digits = numeric.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.len() > 9 {
        return Err(StoreError::unreadable("usage"));
    }
    let nanos: i128 = format!("{whole}{fraction:0<9}")
        .parse()
        .map_err(|_| StoreError::unreadable("usage"))?;
    Ok(if numeric.starts_with('-') {
        (-nanos).to_string()
    } else {
        nanos.to_string()
    })
}

fn columns<'a>(identities: impl Iterator<Item = &'a Identity>) -> (Vec<i64>, Vec<&'a str>, Vec<&'a str>) {
    let (mut ledgers, mut sources, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for Identity { ledger, source, id } in identities {
        ledgers.push(*ledger);
        sources.push(source.as_str());
        ids.push(id.as_str());
    }
    (ledgers, sources, ids)
}

async fn insert_events(transaction: &mut Writing<'_>, changes: &Changes, now: i64) -> Result<(), StoreError> {
    if changes.events.is_empty() {
        return Ok(());
    }
    let rows = changes
        .events
        .iter()
        .map(super::ingest::event_row)
        .collect::<Result<Vec<_>, _>>()?;
    let text = "INSERT INTO event (sequence, ledger_id, standing, source, id, event_time, recorded_at, meter, quantity, dimensions, reversal_of)
        SELECT sequence, ledger_id, standing, source, id, event_time, $11, meter, quantity::numeric, dimensions, reversal_of
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::text[], $10::text[])
        AS w (sequence, ledger_id, standing, source, id, event_time, meter, quantity, dimensions, reversal_of)";
    sqlx::query(text)
        .bind(rows.iter().map(|row| row.sequence).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.ledger).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.standing).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.source).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.id).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.time).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.meter).collect::<Vec<_>>())
        .bind(
            rows.iter()
                .map(|row| Exact::from_nanos(row.nanos).to_string())
                .collect::<Vec<_>>(),
        )
        .bind(rows.iter().map(|row| row.dimensions.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.reversal_of).collect::<Vec<_>>())
        .bind(now)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn update_known(transaction: &mut Writing<'_>, changes: &Changes) -> Result<(), StoreError> {
    if !changes.standings.is_empty() {
        let (sequences, standings): (Vec<_>, Vec<_>) = changes
            .standings
            .iter()
            .map(|(sequence, standing)| (*sequence, standing.to_stored()))
            .unzip();
        let text = "UPDATE event e SET standing = w.standing FROM unnest($1::bigint[], $2::bigint[]) AS w (sequence, standing)
            WHERE e.sequence = w.sequence";
        sqlx::query(text)
            .bind(sequences)
            .bind(standings)
            .execute(&mut **transaction)
            .await?;
    }
    if !changes.rehashed.is_empty() {
        let (ledgers, sources, ids) = columns(changes.rehashed.iter().map(|(identity, _)| identity));
        let hashes: Vec<_> = changes
            .rehashed
            .iter()
            .map(|(_, hash)| hash.as_bytes().to_vec())
            .collect();
        let text = "UPDATE event_key k SET hash = w.hash
            FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[]) AS w (ledger_id, source, id, hash)
            WHERE k.ledger_id = w.ledger_id AND k.source = w.source AND k.id = w.id";
        sqlx::query(text)
            .bind(ledgers)
            .bind(sources)
            .bind(ids)
            .bind(hashes)
            .execute(&mut **transaction)
            .await?;
    }
    if !changes.released.is_empty() {
        let (ledgers, sources, ids) = columns(changes.released.iter());
        let text = "DELETE FROM event_key k USING unnest($1::bigint[], $2::text[], $3::text[]) AS w (ledger_id, source, id)
            WHERE k.ledger_id = w.ledger_id AND k.source = w.source AND k.id = w.id";
        sqlx::query(text)
            .bind(ledgers)
            .bind(sources)
            .bind(ids)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

async fn write_provenance(
    transaction: &mut Writing<'_>,
    changes: &Changes,
    now: i64,
) -> Result<(), StoreError> {
    if changes.provenance.is_empty() {
        return Ok(());
    }
    let rows = &changes.provenance;
    let text = "INSERT INTO provenance (sequence, witness, reporter, boot_id, delivery, recorded_at)
        SELECT sequence, witness, reporter, boot_id, delivery, $6
        FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[]) AS w (sequence, witness, reporter, boot_id, delivery)
        ON CONFLICT (sequence, witness, reporter, boot_id) DO UPDATE SET delivery = excluded.delivery
        WHERE excluded.delivery > provenance.delivery";
    sqlx::query(text)
        .bind(rows.keys().map(|key| key.sequence).collect::<Vec<_>>())
        .bind(rows.keys().map(|key| key.witness).collect::<Vec<_>>())
        .bind(rows.keys().map(|key| key.reporter.as_str()).collect::<Vec<_>>())
        .bind(rows.keys().map(|key| key.boot_id.as_str()).collect::<Vec<_>>())
        .bind(rows.values().copied().collect::<Vec<_>>())
        .bind(now)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn write_rivals_and_rejections(
    transaction: &mut Writing<'_>,
    changes: &Changes,
    now: i64,
) -> Result<(), StoreError> {
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

async fn write_buckets(transaction: &mut Writing<'_>, changes: &Changes) -> Result<(), StoreError> {
    let deltas = bucket_deltas(changes);
    if deltas.is_empty() {
        return Ok(());
    }
    let text = "INSERT INTO usage_bucket AS b (ledger_id, start_second, statement, meter, dimensions_digest, dimensions, quantity)
        SELECT ledger_id, start_second, statement, meter, digest, dimensions, quantity::numeric
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bytea[], $6::text[], $7::text[])
        AS w (ledger_id, start_second, statement, meter, digest, dimensions, quantity)
        ON CONFLICT (ledger_id, start_second, statement, meter, dimensions_digest)
        DO UPDATE SET quantity = b.quantity + excluded.quantity";
    sqlx::query(text)
        .bind(deltas.iter().map(|delta| delta.ledger).collect::<Vec<_>>())
        .bind(deltas.iter().map(|delta| delta.start_second).collect::<Vec<_>>())
        .bind(deltas.iter().map(|delta| delta.statement).collect::<Vec<_>>())
        .bind(deltas.iter().map(|delta| delta.meter).collect::<Vec<_>>())
        .bind(
            deltas
                .iter()
                .map(|delta| delta.digest.as_bytes().to_vec())
                .collect::<Vec<_>>(),
        )
        .bind(deltas.iter().map(|delta| delta.dimensions).collect::<Vec<_>>())
        .bind(
            deltas
                .iter()
                .map(|delta| Exact::from_nanos(delta.nanos).to_string())
                .collect::<Vec<_>>(),
        )
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
