//! `event` has a partition for each month (of UTC) in which its events were recorded. They are made ahead, and dropped whole.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sqlx::AssertSqlSafe;

use super::Postgres;
use crate::metering::decide::LedgerId;
use crate::metering::retention::DropPlan;
use crate::store::ingest::nanosecond_of;
use crate::store::retention::first_instant;
use crate::store::{DroppedByRule, StoreError};

/// Months that are made ahead, the current one among them.
const AHEAD: i32 = 4;
const PREFIX: &str = "event_of_";
/// Where events are whose month has no partition.
const OTHER_MONTHS: &str = "event_of_other_months";
/// Taken by whoever makes or drops partitions: one at a time.
const LOCK: i64 = 0x7370_745f_6d6f_6e74;

/// First instant of the month that is `later` months after that of `instant`.
fn month(instant: Timestamp, later: i32) -> Option<(Date, Timestamp)> {
    let first = instant.to_zoned(TimeZone::UTC).date().first_of_month();
    let date = first
        .checked_add(jiff::Span::new().try_months(later).ok()?)
        .ok()?;
    Some((date, date.to_zoned(TimeZone::UTC).ok()?.timestamp()))
}

fn name(first: Date) -> String {
    format!("{PREFIX}{:04}_{:02}", first.year(), first.month())
}

/// The first day of a partition's month.
fn first_of(name: &str) -> Option<Date> {
    let (year, month) = name.strip_prefix(PREFIX)?.split_once('_')?;
    Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok()
}

impl Postgres {
    /// Makes the partitions of this month and the next ones where they are missing.
    pub(in crate::store) async fn make_months(&self, now: Timestamp) -> Result<(), StoreError> {
        let existing = self.months().await?;
        for later in 0..AHEAD {
            let unreadable = StoreError::unreadable("month");
            let Some(((first, from), (_, to))) = month(now, later).zip(month(now, later + 1)) else {
                return Err(unreadable);
            };
            if existing.contains(&first) {
                continue;
            }
            let text = format!(
                "CREATE TABLE IF NOT EXISTS {} PARTITION OF event FOR VALUES FROM ({}) TO ({})",
                name(first),
                nanosecond_of(from)?,
                nanosecond_of(to)?
            );
            self.change_months(&[text]).await?;
        }
        Ok(())
    }

    /// Drops the partitions of months before `limit`, but for events of modules; how many there were.
    pub(in crate::store) async fn drop_months(&self, limit: Date) -> Result<u64, StoreError> {
        let mut dropped = 0;
        for first in self.months().await? {
            if first < limit {
                self.drop_month(&name(first)).await?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }

    /// Drops what is due, month by month.
    pub(in crate::store) async fn drop_by_rule(&self, plan: &DropPlan) -> Result<DroppedByRule, StoreError> {
        let mut dropped = DroppedByRule::default();
        for first in self.months().await? {
            let (may_go, is_due) = plan.of_month(first);
            if !is_due {
                continue;
            }
            let month = name(first);
            let text = format!("SELECT DISTINCT ledger_id FROM {month}");
            let there: Vec<LedgerId> = sqlx::query_scalar(AssertSqlSafe(text))
                .fetch_all(&self.pool)
                .await?;
            let there = BTreeSet::from_iter(there);
            if there.is_subset(&may_go) {
                self.drop_month(&month).await?;
                dropped.months += 1;
                dropped.ledgers.extend(there);
                continue;
            }
            for ledger in there.intersection(&may_go) {
                let events = self.delete_from(&month, *ledger, i64::MAX).await?;
                dropped.note(*ledger, events);
            }
        }
        for (ledger, limit) in &plan.due {
            let limit = nanosecond_of(first_instant(*limit)?)?;
            let events = self.delete_from(OTHER_MONTHS, *ledger, limit).await?;
            dropped.note(*ledger, events);
        }
        Ok(dropped)
    }

    async fn drop_month(&self, month: &str) -> Result<(), StoreError> {
        self.change_months(&[
            format!("INSERT INTO module_event SELECT * FROM {month} WHERE meter = 'modules'"),
            format!("DROP TABLE {month}"),
        ])
        .await
    }

    /// Deletes events of a ledger that were recorded before an instant; how many there were.
    async fn delete_from(&self, partition: &str, ledger: LedgerId, before: i64) -> Result<u64, StoreError> {
        let its = "ledger_id = $1 AND recorded_at < $2";
        let mut transaction = self.pool.begin().await?;
        let mut done = 0;
        for text in [
            format!("INSERT INTO module_event SELECT * FROM {partition} WHERE meter = 'modules' AND {its}"),
            format!("DELETE FROM {partition} WHERE {its}"),
        ] {
            let statement = sqlx::query(AssertSqlSafe(text)).bind(ledger).bind(before);
            done = statement.execute(&mut *transaction).await?.rows_affected();
        }
        transaction.commit().await?;
        Ok(done)
    }

    async fn months(&self) -> Result<Vec<Date>, StoreError> {
        let text = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'event'::regclass ORDER BY 1";
        let names: Vec<(String,)> = sqlx::query_as(text).fetch_all(&self.pool).await?;
        Ok(names.iter().filter_map(|(name,)| first_of(name)).collect())
    }

    async fn change_months(&self, texts: &[String]) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(LOCK)
            .execute(&mut *transaction)
            .await?;
        for text in texts {
            sqlx::query(AssertSqlSafe(text.clone()))
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_named_by_its_first_day_and_ends_where_the_next_begins() {
        let now = "2026-12-31T23:59:59.5Z".parse().unwrap();
        let (first, from) = month(now, 0).unwrap();
        let (next, to) = month(now, 1).unwrap();
        assert_eq!(
            (name(first), name(next)),
            ("event_of_2026_12".into(), "event_of_2027_01".into())
        );
        assert_eq!(
            (from.to_string(), to.to_string()),
            ("2026-12-01T00:00:00Z".into(), "2027-01-01T00:00:00Z".into())
        );
        assert_eq!(first_of(&name(first)), Some(first));
        assert_eq!(first_of("event_of_other_months"), None);
    }
}
