//! Minutes of service: an hour of one (pool, start of a gateway) in a row, one for each statement in which some of it landed.
//!
//! Taking minutes holds the ledger's open statement as taking usage does: a bill has all minutes that landed up to its own.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Landed, Store, StoreError, in_transaction, on_readers};
use crate::metering::decide::LedgerId;
use crate::rating::period::Bounds;
use crate::service_level::burn::Minute;
use crate::service_level::hour::{Hour, Offered};
use crate::service_level::report::{MinutesReport, ReportedMinute};
use crate::service_level::sum::{StoredHour, minutes_within};

const HOUR: i64 = 3_600;

const SELECT: &str = "SELECT start_second, is_probe, minutes FROM service_hour
    WHERE ledger_id = $1 AND start_second >= $2 AND start_second < $3 AND statement > $4 AND statement <= $5";
const LAST: &str = "SELECT max(start_second) FROM service_hour
    WHERE ledger_id = $1 AND is_probe = 0 AND statement > $2 AND statement <= $3";
/// Empty, so that there is a row to lock.
const INSERT: &str =
    "INSERT INTO service_hour (ledger_id, start_second, pool, boot_id, is_probe, statement, reporter, minutes)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
/// Of all statements.
const HOUR_SQLITE: &str = "SELECT statement, minutes FROM service_hour
    WHERE ledger_id = $1 AND start_second = $2 AND pool = $3 AND boot_id = $4 AND is_probe = $5";
const HOUR_POSTGRES: &str = "SELECT statement, minutes FROM service_hour
    WHERE ledger_id = $1 AND start_second = $2 AND pool = $3 AND boot_id = $4 AND is_probe = $5 ORDER BY statement FOR UPDATE";
const UPDATE: &str = "UPDATE service_hour SET minutes = $7
    WHERE ledger_id = $1 AND start_second = $2 AND pool = $3 AND boot_id = $4 AND is_probe = $5 AND statement = $6";
const LEDGER_SQLITE: &str = "SELECT id, open_statement FROM ledger WHERE tenant_uid = $1 AND tenant = $2";
/// Closing the statement waits until this transaction has ended.
const LEDGER_POSTGRES: &str =
    "SELECT id, open_statement FROM ledger WHERE tenant_uid = $1 AND tenant = $2 FOR SHARE";

type Key<'a> = (i64, &'a str, &'a str);
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
        let lock = self.dialect(HOUR_SQLITE, HOUR_POSTGRES);
        // In the order of their keys, so that two reports do not wait for each other in a circle.
        let mut rows: BTreeMap<Key<'_>, Vec<(usize, &ReportedMinute)>> = BTreeMap::new();
        for (place, minute) in minutes.iter().flatten().enumerate() {
            let key = (minute.hour, minute.pool.as_str(), minute.boot_id.as_str());
            rows.entry(key).or_default().push((place, minute));
        }
        let mut offered = vec![Offered::Other; rows.values().map(Vec::len).sum()];
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
            for ((start, pool, boot_id), minutes) in rows {
                sqlx::query(INSERT)
                    .bind(ledger).bind(start).bind(pool).bind(boot_id).bind(is_probe).bind(statement)
                    .bind(reporter.as_str()).bind(Hour::default().to_bytes())
                    .execute(&mut *transaction).await?;
                let landed: Vec<(i64, Vec<u8>)> = sqlx::query_as(lock)
                    .bind(ledger).bind(start).bind(pool).bind(boot_id).bind(is_probe)
                    .fetch_all(&mut *transaction).await?;
                if let Some(bytes) = offer(&landed, statement, &minutes, &mut offered)? {
                    sqlx::query(UPDATE)
                        .bind(ledger).bind(start).bind(pool).bind(boot_id).bind(is_probe).bind(statement).bind(bytes)
                        .execute(&mut *transaction).await?;
                }
            }
            transaction.commit().await?;
            Ok(Some(offered))
        })
    }

    /// Minutes that gateways of a ledger reported within the bounds and that landed in these statements, in order: (its
    /// beginning, good, bad, fast, slow), summed over pools and gateways.
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

    /// The last minute that a gateway of a ledger reported, of those that landed in these statements.
    pub async fn last_minute(&self, ledger: LedgerId, landed: Landed) -> Result<Option<Minute>, StoreError> {
        let Landed { after, up_to } = landed;
        let (hour,): (Option<i64>,) = on_readers!(self, pool => {
            sqlx::query_as(LAST).bind(ledger).bind(after).bind(up_to).fetch_one(pool).await
        })?;
        let Some(hour) = hour else { return Ok(None) };
        let instant = |second| Timestamp::from_second(second).map_err(|_| unreadable_hour());
        let bounds = Bounds {
            start: instant(hour)?,
            end: instant(hour + HOUR)?,
        };
        Ok(self.service_minutes(ledger, &bounds, landed).await?.pop())
    }
}

/// Offers minutes, with their places among those of the report, to an hour whose minutes landed in several statements. What is
/// new goes to those of the open one: its bytes, if they are others now.
fn offer(
    landed: &[(i64, Vec<u8>)],
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
