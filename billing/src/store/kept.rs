//! What was kept but not counted: rejected records, which may be offered again, and other bytes under a known identity.

use jiff::Timestamp;
use springtide_proto::metering::{Delivery, Record, Witness};

use super::ingest::{instant_of, nanosecond_of};
use super::{Store, StoreError, in_transaction, on_readers};
use crate::digest::Digest;

/// A record that was kept but not counted: rejected, or other bytes under a known identity.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// Tenant whose part sent it.
    pub tenant: String,
    /// "rejected", "conflict" or "variant".
    pub kind: String,
    /// Why, of the table of reasons; empty for a variant.
    pub reason: String,
    /// In words, or the identity that was taken.
    pub message: String,
    /// Pod that sent it first.
    pub reporter: String,
    /// How often it came; conflicts and variants are kept once.
    pub times: i64,
    /// When it came first.
    pub at: Timestamp,
    /// When it was taken after all.
    pub taken_at: Option<Timestamp>,
    /// Where the next page begins, after this one.
    pub cursor: String,
}

/// Which of what was kept.
#[derive(Clone, Debug, Default)]
pub struct KeptQuery {
    /// Of one tenant.
    pub tenant: Option<String>,
    /// Of one reason.
    pub reason: Option<String>,
    /// That came first at this time or later.
    pub since: Option<Timestamp>,
    /// That came first before this time.
    pub until: Option<Timestamp>,
    /// With this in its message, identity or reporter, in any case of letters.
    pub text: Option<String>,
    /// After the one with this cursor.
    pub after: Option<String>,
    /// So many at most.
    pub limit: Option<u32>,
}

/// A rejected record that can be offered again.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// Tenant whose part sent it.
    pub peer: String,
    /// Of the bytes.
    pub hash: Digest,
    /// Why it was rejected.
    pub reason: String,
    /// In words.
    pub message: String,
    /// As it came.
    pub record: Record,
}

type KeptRow = (
    String,
    String,
    String,
    String,
    String,
    i64,
    i64,
    Option<i64>,
    String,
);
type RejectedRow = (String, Vec<u8>, String, String, Vec<u8>, i64, i64, String, String);

/// `$hex` before and behind what is written as hexadecimal.
macro_rules! select_kept {
    ($before:literal, $behind:literal) => {
        concat!(
            "SELECT * FROM (
                SELECT peer AS tenant, 'rejected' AS kind, reason, message, reporter, times, first_at AS at, taken_at, ",
            $before, "hash", $behind, " || '-' || peer || '-' || reason AS id FROM rejection
            UNION ALL
                SELECT l.tenant, CASE WHEN r.is_variant = 1 THEN 'variant' ELSE 'conflict' END,
                CASE WHEN r.is_variant = 1 THEN '' ELSE 'EVENT_CONFLICT' END, r.identity, r.reporter, 1, r.recorded_at, NULL, ",
            $before, "r.hash", $behind, " || '-' || ", $before, "r.key", $behind, "
                FROM rival r JOIN ledger l ON l.id = r.ledger_id
            ) k
            WHERE ($1 = '' OR tenant = $1) AND ($2 = '' OR reason = $2) AND at >= $3 AND at < $4
            AND ($5 = '' OR lower(message) LIKE $5 ESCAPE '!' OR lower(reporter) LIKE $5 ESCAPE '!')
            AND (at < $6 OR (at = $6 AND id > $7))
            ORDER BY at DESC, id LIMIT $8"
        )
    };
}

/// Writes a batch's rivals and rejections, in a transaction of either database. They are rare: a statement each.
macro_rules! insert_rivals_and_rejections {
    ($transaction:expr, $changes:expr, $now:expr) => {{
        for rival in &$changes.rivals {
            let report = rival.report;
            let (identity, payload) = rival.kept();
            let text = "INSERT INTO rival (key, hash, ledger_id, identity, payload, is_variant, reporter, recorded_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
            sqlx::query(text)
                .bind(&report.key.as_bytes()[..])
                .bind(&report.hash.as_bytes()[..])
                .bind(rival.ledger)
                .bind(identity)
                .bind(&payload[..])
                .bind(i64::from(rival.is_variant))
                .bind(&report.provenance.reporter)
                .bind($now)
                .execute(&mut **$transaction)
                .await?;
        }
        for ((peer, hash, reason), (rejection, times)) in &$changes.rejections {
            let text = "INSERT INTO rejection (peer, hash, reason, message, payload, witness, delivery, reporter, boot_id, times,
                    first_at, last_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)
                ON CONFLICT (peer, hash, reason) DO UPDATE SET times = rejection.times + excluded.times, last_at = excluded.last_at";
            sqlx::query(text)
                .bind(peer)
                .bind(&hash.as_bytes()[..])
                .bind(*reason)
                .bind(&rejection.message)
                .bind(&rejection.payload)
                .bind(i64::from(i32::from(rejection.witness)))
                .bind(i64::from(i32::from(rejection.delivery)))
                .bind(&rejection.reporter)
                .bind(&rejection.boot_id)
                .bind(times)
                .bind($now)
                .execute(&mut **$transaction)
                .await?;
        }
    }};
}
pub(super) use insert_rivals_and_rejections;

impl Store {
    /// What was kept but not counted, the newest first.
    pub async fn kept(&self, query: &KeptQuery) -> Result<Vec<Kept>, StoreError> {
        let text = self.dialect(
            select_kept!("lower(hex(", "))"),
            select_kept!("encode(", ", 'hex')"),
        );
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
        let since = query.since.map_or(Ok(i64::MIN), nanosecond_of)?;
        let until = query.until.map_or(Ok(i64::MAX), nanosecond_of)?;
        let (before, id) = match &query.after {
            Some(cursor) => cursor
                .split_once(':')
                .and_then(|(at, id)| Some((at.parse().ok()?, id)))
                .ok_or(StoreError::Cursor)?,
            None => (i64::MAX, ""),
        };
        let rows: Vec<KeptRow> = on_readers!(self, pool => {
            sqlx::query_as(text)
                .bind(or_empty(&query.tenant))
                .bind(or_empty(&query.reason))
                .bind(since)
                .bind(until)
                .bind(query.text.as_deref().map(containing).unwrap_or_default())
                .bind(before)
                .bind(id)
                .bind(query.limit.map_or(i64::MAX, i64::from))
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter().map(kept_of).collect()
    }

    /// The rejected records that came whole and were not taken since, the oldest first; `after` is the last of the page
    /// before.
    pub async fn rejected(
        &self,
        tenant: Option<&str>,
        reason: Option<&str>,
        after: Option<&Rejected>,
        limit: u32,
    ) -> Result<Vec<Rejected>, StoreError> {
        let text =
            "SELECT peer, hash, reason, message, payload, witness, delivery, reporter, boot_id FROM rejection
            WHERE taken_at IS NULL AND message <> '(erased)' AND ($1 = '' OR peer = $1) AND ($2 = '' OR reason = $2)
            AND (peer > $3 OR (peer = $3 AND hash > $4) OR (peer = $3 AND hash = $4 AND reason > $5))
            ORDER BY peer, hash, reason LIMIT $6";
        let (peer, hash, last_reason) = after.map_or(("", Vec::new(), ""), |last| {
            (
                last.peer.as_str(),
                last.hash.as_bytes().to_vec(),
                last.reason.as_str(),
            )
        });
        let rows: Vec<RejectedRow> = on_readers!(self, pool => {
            sqlx::query_as(text)
                .bind(tenant.unwrap_or_default())
                .bind(reason.unwrap_or_default())
                .bind(peer)
                .bind(hash)
                .bind(last_reason)
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter().map(rejected_of).collect()
    }

    /// Notes that rejected records were taken after all.
    pub async fn mark_taken(&self, records: &[&Rejected], now: Timestamp) -> Result<(), StoreError> {
        let text = "UPDATE rejection SET taken_at = $4 WHERE peer = $1 AND hash = $2 AND reason = $3";
        let now = nanosecond_of(now)?;
        in_transaction!(self, transaction => {
            for record in records {
                sqlx::query(text)
                    .bind(&record.peer)
                    .bind(&record.hash.as_bytes()[..])
                    .bind(&record.reason)
                    .bind(now)
                    .execute(&mut *transaction)
                    .await?;
            }
            Ok(transaction.commit().await?)
        })
    }
}

/// A pattern for what contains `text`.
fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.to_lowercase().chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

fn kept_of(row: KeptRow) -> Result<Kept, StoreError> {
    let (tenant, kind, reason, message, reporter, times, at, taken_at, id) = row;
    Ok(Kept {
        tenant,
        kind,
        reason,
        message,
        reporter,
        times,
        at: instant_of(at)?,
        taken_at: taken_at.map(instant_of).transpose()?,
        cursor: format!("{at}:{id}"),
    })
}

fn rejected_of(row: RejectedRow) -> Result<Rejected, StoreError> {
    let (peer, hash, reason, message, payload, witness, delivery, reporter, boot_id) = row;
    let number = |value: i64| i32::try_from(value).unwrap_or_default();
    Ok(Rejected {
        peer,
        hash: Digest::try_from(hash.as_slice()).map_err(|_| StoreError::unreadable("hash"))?,
        reason,
        message,
        record: Record {
            usage_event: payload.into(),
            witness: Witness::try_from(number(witness))
                .unwrap_or(Witness::Unspecified)
                .into(),
            delivery: Delivery::try_from(number(delivery))
                .unwrap_or(Delivery::Unspecified)
                .into(),
            reporter,
            boot_id,
        },
    })
}
