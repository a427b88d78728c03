//! Minutes of service: an hour of one (pool, start of a gateway) in a row, one for each statement in which some of it landed.
//!
//! Taking minutes holds the ledger's open statement as taking usage does: a bill has all minutes that landed up to its own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::sqlite::hexadecimal;
use super::{Landed, Store, StoreError, in_transaction, on_readers};
use crate::metering::decide::LedgerId;
use crate::rating::period::Bounds;
use crate::service_level::burn::Minute;
use crate::service_level::hour::{Hour, Offered};
use crate::service_level::report::{MinutesReport, ReportedMinute};
use crate::service_level::sum::{StoredHour, minutes_within};

pub(super) const HOUR: i64 = 3_600;

const SELECT: &str = "SELECT start_second, is_probe, minutes FROM service_hour
    WHERE ledger_id = $1 AND start_second >= $2 AND start_second < $3 AND statement > $4 AND statement <= $5";
const LAST: &str = "SELECT max(start_second) FROM service_hour
    WHERE ledger_id = $1 AND is_probe = 0 AND statement > $2 AND statement <= $3 AND start_second < $4";
/// Of the hours in a JSON array of [start, pool, boot id]: empty ones, so that there are rows to lock.
const INSERT_SQLITE: &str =
    "INSERT INTO service_hour (ledger_id, is_probe, statement, reporter, minutes, start_second, pool, boot_id)
    SELECT $1, $2, $3, $4, $5, value ->> 0, value ->> 1, value ->> 2 FROM json_each($6) WHERE true ON CONFLICT DO NOTHING";
const INSERT_POSTGRES: &str =
    "INSERT INTO service_hour (ledger_id, is_probe, statement, reporter, minutes, start_second, pool, boot_id)
    SELECT $1, $2, $3, $4, $5, (value ->> 0)::bigint, value ->> 1, value ->> 2 FROM jsonb_array_elements($6::jsonb)
    ON CONFLICT DO NOTHING";
/// Of the hours in such an array, what landed in all statements.
const HOURS_SQLITE: &str =
    "SELECT h.start_second, h.pool, h.boot_id, h.statement, h.minutes FROM json_each($3) w CROSS JOIN service_hour h
    ON h.ledger_id = $1 AND h.is_probe = $2
    AND h.start_second = w.value ->> 0 AND h.pool = w.value ->> 1 AND h.boot_id = w.value ->> 2";
const HOURS_POSTGRES: &str =
    "SELECT h.start_second, h.pool, h.boot_id, h.statement, h.minutes FROM jsonb_array_elements($3::jsonb) w JOIN service_hour h
    ON h.ledger_id = $1 AND h.is_probe = $2
    AND h.start_second = (w.value ->> 0)::bigint AND h.pool = w.value ->> 1 AND h.boot_id = w.value ->> 2
    ORDER BY 1, 2, 3, 4 FOR UPDATE OF h";
/// Of the hours in an array of [start, pool, boot id, minutes in hexadecimal], whose rows are there. An update from such an array
/// would go through all of it for each hour of the ledger, as SQLite plans it.
const UPDATE_SQLITE: &str =
    "INSERT INTO service_hour (ledger_id, is_probe, statement, reporter, minutes, start_second, pool, boot_id)
    SELECT $1, $2, $3, '', unhex(value ->> 3), value ->> 0, value ->> 1, value ->> 2 FROM json_each($4) WHERE true
    ON CONFLICT (ledger_id, start_second, pool, boot_id, is_probe, statement) DO UPDATE SET minutes = excluded.minutes";
const UPDATE_POSTGRES: &str =
    "UPDATE service_hour SET minutes = decode(w.value ->> 3, 'hex') FROM jsonb_array_elements($4::jsonb) w
    WHERE ledger_id = $1 AND is_probe = $2 AND statement = $3
    AND start_second = (w.value ->> 0)::bigint AND pool = w.value ->> 1 AND boot_id = w.value ->> 2";
const LEDGER_SQLITE: &str = "SELECT id, open_statement FROM ledger WHERE tenant_uid = $1 AND tenant = $2";
/// Closing the statement waits until this transaction has ended.
const LEDGER_POSTGRES: &str =
    "SELECT id, open_statement FROM ledger WHERE tenant_uid = $1 AND tenant = $2 FOR SHARE";

type Key<'a> = (i64, &'a str, &'a str);
type Minutes<'a> = Vec<(usize, &'a ReportedMinute)>;
/// Start, pool and boot id, statement, minutes.
type LandedRow = (i64, String, String, i64, Vec<u8>);
/// When it begins, whether it is by the operator, its minutes.
pub(super) type HourRow = (i64, i64, Vec<u8>);

impl Store {
    /// Takes the minutes of a report that are any; when it returns they are durable. What became of each of those, in order;
    /// `None` if the UID belongs to another name.
    pub async fn take_minutes(&self, report: &MinutesReport) -> Result<Option<Vec<Offered>>, StoreError> {
        let MinutesReport {
            party,
            reporter,
            is_probe,
            minutes,
        } = report;
        let (uid, tenant) = (party.tenant_uid.as_str(), party.tenant.as_str());
        let is_probe = i64::from(*is_probe);
        let hold = self.dialect(LEDGER_SQLITE, LEDGER_POSTGRES);
        let insert = self.dialect(INSERT_SQLITE, INSERT_POSTGRES);
        let lock = self.dialect(HOURS_SQLITE, HOURS_POSTGRES);
        let update = self.dialect(UPDATE_SQLITE, UPDATE_POSTGRES);
        // In the order of their keys, so that two reports do not wait for each other in a circle.
        let mut rows: BTreeMap<Key<'_>, Minutes<'_>> = BTreeMap::new();
        for (place, minute) in minutes.iter().flatten().enumerate() {
            let key = (minute.hour, minute.pool.as_str(), minute.boot_id.as_str());
            rows.entry(key).or_default().push((place, minute));
        }
        let mut offered = vec![Offered::Other; rows.values().map(Vec::len).sum()];
        let hours = json!(rows.keys().collect::<Vec<_>>()).to_string();
        in_transaction!(self, transaction => {
            let name: Option<(String,)> = sqlx::query_as("SELECT tenant FROM account WHERE tenant_uid = $1")
                .bind(uid).fetch_optional(&mut *transaction).await?;
            if name.is_some_and(|(name,)| name != tenant) {
                return Ok(None);
            }
            let mut held: Option<(LedgerId, i64)> =
                sqlx::query_as(hold).bind(uid).bind(tenant).fetch_optional(&mut *transaction).await?;
            if held.is_none() {
                sqlx::query("INSERT INTO ledger (tenant_uid, tenant) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                    .bind(uid).bind(tenant).execute(&mut *transaction).await?;
                held = sqlx::query_as(hold).bind(uid).bind(tenant).fetch_optional(&mut *transaction).await?;
            }
            let (ledger, statement) = held.ok_or(StoreError::unreadable("ledger"))?;
            sqlx::query(insert)
                .bind(ledger).bind(is_probe).bind(statement).bind(reporter.as_str()).bind(Hour::default().to_bytes())
                .bind(&hours).execute(&mut *transaction).await?;
            let landed: Vec<LandedRow> = sqlx::query_as(lock)
                .bind(ledger).bind(is_probe).bind(&hours).fetch_all(&mut *transaction).await?;
            let changed = offer_all(&landed, statement, &rows, &mut offered)?;
            if !changed.is_empty() {
                sqlx::query(update)
                    .bind(ledger).bind(is_probe).bind(statement).bind(json!(changed).to_string())
                    .execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(Some(offered))
        })
    }

    /// Minutes that gateways of a ledger reported within the bounds and that landed in these statements, in order, summed over
    /// pools and gateways.
    pub async fn service_minutes(
        &self,
        ledger: LedgerId,
        bounds: &Bounds,
        landed: Landed,
    ) -> Result<Vec<Minute>, StoreError> {
        let Landed { after, up_to } = landed;
        let (from, to) = (first_hour_of(bounds), bounds.end.as_second());
        let rows: Vec<HourRow> = on_readers!(self, pool => {
            sqlx::query_as(SELECT).bind(ledger).bind(from).bind(to).bind(after).bind(up_to).fetch_all(pool).await
        })?;
        minutes_of(&rows, bounds)
    }

    /// The last minute before an instant that a gateway of a ledger reported, of those that landed in these statements.
    pub async fn last_minute(
        &self,
        ledger: LedgerId,
        before: Timestamp,
        landed: Landed,
    ) -> Result<Option<Minute>, StoreError> {
        let Landed { after, up_to } = landed;
        let instant = |second| Timestamp::from_second(second).map_err(|_| unreadable_hour());
        let mut end = before;
        loop {
            let (hour,): (Option<i64>,) = on_readers!(self, pool => {
                sqlx::query_as(LAST).bind(ledger).bind(after).bind(up_to).bind(end.as_second()).fetch_one(pool).await
            })?;
            let Some(hour) = hour else { return Ok(None) };
            let bounds = Bounds {
                start: instant(hour)?,
                end: instant(hour + HOUR)?.min(before),
            };
            let last = self.service_minutes(ledger, &bounds, landed).await?.pop();
            if last.is_some() {
                return Ok(last);
            }
            // All that hour's minutes came later, or landed in other statements.
            end = bounds.start;
        }
    }
}

/// Offers minutes to their hours; the hours of the open statement that are others now, with their bytes in hexadecimal.
fn offer_all<'a>(
    rows: &[LandedRow],
    open_statement: i64,
    minutes: &BTreeMap<Key<'a>, Minutes<'_>>,
    offered: &mut [Offered],
) -> Result<Vec<(i64, &'a str, &'a str, String)>, StoreError> {
    let mut landed: BTreeMap<Key<'_>, Vec<(i64, &[u8])>> = BTreeMap::new();
    for (start, pool, boot_id, statement, bytes) in rows {
        let key = (*start, pool.as_str(), boot_id.as_str());
        landed.entry(key).or_default().push((*statement, bytes));
    }
    let mut changed = Vec::new();
    for (key, minutes) in minutes {
        let landed = landed.get(key).map_or(&[][..], Vec::as_slice);
        if let Some(bytes) = offer(landed, open_statement, minutes, offered)? {
            changed.push((key.0, key.1, key.2, hexadecimal(&bytes)));
        }
    }
    Ok(changed)
}

/// Offers minutes, with their places among those of the report, to an hour whose minutes landed in several statements. What is
/// new goes to those of the open one: its bytes, if they are others now.
fn offer(
    landed: &[(i64, &[u8])],
    open_statement: i64,
    minutes: &[(usize, &ReportedMinute)],
    offered: &mut [Offered],
) -> Result<Option<Vec<u8>>, StoreError> {
    let (mut known, mut open) = (Hour::default(), Hour::default());
    for (statement, bytes) in landed {
        let hour = hour_of(bytes)?;
        known.add(&hour);
        if *statement == open_statement {
            open = hour;
        }
    }
    let mut is_other = false;
    for (place, minute) in minutes {
        let became = known.offer(minute.minute, minute.counts);
        if became == Offered::New {
            open.offer(minute.minute, minute.counts);
            is_other = true;
        }
        if let Some(offered) = offered.get_mut(*place) {
            *offered = became;
        }
    }
    Ok(is_other.then(|| open.to_bytes()))
}

/// When the hour begins in which the bounds begin.
pub(super) fn first_hour_of(bounds: &Bounds) -> i64 {
    bounds.start.as_second().div_euclid(HOUR) * HOUR
}

/// The minutes within the bounds of a ledger's rows.
pub(super) fn minutes_of(rows: &[HourRow], bounds: &Bounds) -> Result<Vec<Minute>, StoreError> {
    let hours = rows.iter().map(|(start_second, is_probe, minutes)| StoredHour {
        start_second: *start_second,
        is_probe: *is_probe != 0,
        minutes,
    });
    minutes_within(hours, bounds).ok_or_else(unreadable_hour)
}

fn hour_of(bytes: &[u8]) -> Result<Hour, StoreError> {
    Hour::from_bytes(bytes).ok_or_else(unreadable_hour)
}

fn unreadable_hour() -> StoreError {
    StoreError::unreadable("hour of service")
}
