//! Minutes of service: an hour of one (pool, start of a gateway) in a row.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Store, StoreError, in_transaction, on_readers};
use crate::metering::decide::LedgerId;
use crate::rating::period::Bounds;
use crate::service_level::burn::Minute;
use crate::service_level::hour::{Hour, Offered};
use crate::service_level::report::{MinutesReport, ReportedMinute};
use crate::service_level::sum::{StoredHour, minutes_within};

const HOUR: i64 = 3_600;

const SELECT: &str = "SELECT start_second, is_probe, minutes FROM service_hour WHERE ledger_id = $1 AND start_second >= $2 AND start_second < $3";
/// Empty, so that there is a row to lock.
const INSERT: &str =
    "INSERT INTO service_hour (ledger_id, start_second, pool, boot_id, is_probe, reporter, minutes)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
const UPDATE: &str = "UPDATE service_hour SET minutes = $6
    WHERE ledger_id = $1 AND start_second = $2 AND pool = $3 AND boot_id = $4 AND is_probe = $5";

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
        let lock = self.dialect(
            "SELECT minutes FROM service_hour WHERE ledger_id = $1 AND start_second = $2 AND pool = $3 AND boot_id = $4 AND is_probe = $5",
            "SELECT minutes FROM service_hour WHERE ledger_id = $1 AND start_second = $2 AND pool = $3 AND boot_id = $4 AND is_probe = $5 FOR UPDATE",
        );
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
            let find = "SELECT id FROM ledger WHERE tenant_uid = $1 AND tenant = $2";
            let mut found: Option<(LedgerId,)> =
                sqlx::query_as(find).bind(uid).bind(tenant).fetch_optional(&mut *transaction).await?;
            if found.is_none() {
                sqlx::query("INSERT INTO ledger (tenant_uid, tenant) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                    .bind(uid).bind(tenant).execute(&mut *transaction).await?;
                found = sqlx::query_as(find).bind(uid).bind(tenant).fetch_optional(&mut *transaction).await?;
            }
            let (ledger,) = found.ok_or(StoreError::unreadable("ledger"))?;
            for ((start, pool, boot_id), minutes) in rows {
                sqlx::query(INSERT)
                    .bind(ledger).bind(start).bind(pool).bind(boot_id).bind(is_probe)
                    .bind(reporter.as_str()).bind(Hour::default().to_bytes())
                    .execute(&mut *transaction).await?;
                let (bytes,): (Vec<u8>,) = sqlx::query_as(lock)
                    .bind(ledger).bind(start).bind(pool).bind(boot_id).bind(is_probe)
                    .fetch_one(&mut *transaction).await?;
                let mut hour = hour_of(&bytes)?;
                for (place, minute) in minutes {
                    if let Some(offered) = offered.get_mut(place) {
                        *offered = hour.offer(minute.minute, minute.counts);
                    }
                }
                let updated = hour.to_bytes();
                if updated != bytes {
                    sqlx::query(UPDATE)
                        .bind(ledger).bind(start).bind(pool).bind(boot_id).bind(is_probe).bind(updated)
                        .execute(&mut *transaction).await?;
                }
            }
            transaction.commit().await?;
            Ok(Some(offered))
        })
    }

    /// Minutes that gateways of a ledger reported within the bounds, in order: (its beginning, good, bad, fast, slow), summed
    /// over pools and gateways.
    pub async fn service_minutes(
        &self,
        ledger: LedgerId,
        bounds: &Bounds,
    ) -> Result<Vec<Minute>, StoreError> {
        let rows: Vec<HourRow> = on_readers!(self, pool => {
            sqlx::query_as(SELECT).bind(ledger).bind(first_hour_of(bounds)).bind(bounds.end.as_second()).fetch_all(pool).await
        })?;
        minutes_of(&rows, bounds)
    }

    /// The last minute that a gateway of a ledger ever reported.
    pub async fn last_minute(&self, ledger: LedgerId) -> Result<Option<Minute>, StoreError> {
        let text = "SELECT max(start_second) FROM service_hour WHERE ledger_id = $1 AND is_probe = 0";
        let (hour,): (Option<i64>,) =
            on_readers!(self, pool => sqlx::query_as(text).bind(ledger).fetch_one(pool).await)?;
        let Some(hour) = hour else { return Ok(None) };
        let instant = |second| Timestamp::from_second(second).map_err(|_| unreadable_hour());
        let bounds = Bounds {
            start: instant(hour)?,
            end: instant(hour + HOUR)?,
        };
        Ok(self.service_minutes(ledger, &bounds).await?.pop())
    }
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
