//! How long events are kept. Their keys, the sums that bills are made of, and bills are kept for ever.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::alerts::WatchLock;
use super::ingest::{instant_of, nanosecond_of};
use super::{Store, StoreError, in_transaction, on_readers};
use crate::metering::decide::LedgerId;
use crate::metering::examine::FUTURE_TOLERANCE;
use crate::metering::retention::{DropPlan, KeptDays, RetentionRule};

/// The key of the lock in PostgreSQL; no other lock of ours has it.
const RETENTION_LOCK: i64 = 0x7370_745f_6b65_6570;

/// What became of dropping events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DropOutcome {
    /// How many months they filled on PostgreSQL; on SQLite how many events they were.
    Dropped(u64),
    /// Nothing was dropped: what a disputed bill was made of may be among them.
    Disputed {
        /// The bill.
        number: String,
        /// Since when what it was made of may have been recorded.
        since: Timestamp,
    },
}

/// What went by tenants' contracts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DroppedByRule {
    /// Of whom something went.
    pub ledgers: BTreeSet<LedgerId>,
    /// Months that went whole, with their partitions; on PostgreSQL.
    pub months: u64,
    /// Events that were deleted one by one, as others of their month stay.
    pub events: u64,
}

impl DroppedByRule {
    /// Notes events of a ledger that were deleted one by one.
    pub(super) fn note(&mut self, ledger: LedgerId, events: u64) {
        if events > 0 {
            self.events += events;
            self.ledgers.insert(ledger);
        }
    }
}

/// The first bill whose last state is a dispute and whose period begins before $1.
const DISPUTED: &str =
    "SELECT i.number, i.period_start FROM invoice i JOIN invoice_state s ON s.number = i.number
    WHERE s.state = 'disputed' AND i.period_start < $1
    AND s.ordinal = (SELECT max(l.ordinal) FROM invoice_state l WHERE l.number = i.number)
    ORDER BY i.period_start, i.number LIMIT 1";
/// (ledger, days, where the first disputed period begins, what is gone).
type RuleRow = (i64, Option<i64>, Option<i64>, Option<i64>);
const RULES: &str = "SELECT l.id, a.usage_days, (SELECT min(i.period_start) FROM invoice i JOIN invoice_state s ON s.number = i.number
        WHERE i.ledger_id = l.id AND s.state = 'disputed'
        AND s.ordinal = (SELECT max(o.ordinal) FROM invoice_state o WHERE o.number = i.number)), r.dropped_before
    FROM ledger l LEFT JOIN account a ON a.ledger_id = l.id LEFT JOIN ledger_retention r ON r.ledger_id = l.id ORDER BY l.id";
const NOTE: &str = "INSERT INTO ledger_retention (ledger_id, kept_since, dropped_before)
    SELECT l.id, CAST($1 AS BIGINT), 0 FROM ledger l WHERE l.id = $2 OR $2 = 0
    ON CONFLICT (ledger_id) DO UPDATE SET kept_since = excluded.kept_since
    WHERE ledger_retention.kept_since < excluded.kept_since";
const DONE: &str = "UPDATE ledger_retention SET dropped_before = $1 WHERE (ledger_id = $2 OR $2 = 0) AND dropped_before < $1";
/// All ledgers.
const ALL: LedgerId = 0;

/// The first instant of a month.
pub(super) fn first_instant(month: Date) -> Result<Timestamp, StoreError> {
    let zoned = month.to_zoned(TimeZone::UTC);
    Ok(zoned.map_err(|_| StoreError::unreadable("month"))?.timestamp())
}

impl Store {
    /// Makes room ahead for what will be recorded; called at start and now and then.
    pub async fn make_months(&self, now: Timestamp) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(database) => database.make_months(now).await,
        }
    }

    /// Drops the events that were recorded in months (of UTC) before that of `before`, but for those that say when modules
    /// were taken or dropped; none while what they count is disputed.
    pub async fn drop_events(&self, before: Timestamp) -> Result<DropOutcome, StoreError> {
        let first = before.to_zoned(TimeZone::UTC).date().first_of_month();
        let limit = first_instant(first)?;
        if let Some(disputed) = self.disputed_before(limit).await? {
            return Ok(disputed);
        }
        // First, so that nobody misses what is being dropped.
        self.note_events_dropped(limit).await?;
        let dropped = match self {
            Self::Postgres(database) => database.drop_months(first).await?,
            Self::Sqlite(database) => {
                let limit = nanosecond_of(limit)?;
                let mut transaction = database.begin().await?;
                let keep = "INSERT INTO module_event SELECT * FROM event WHERE recorded_at < $1 AND meter = 'modules'";
                sqlx::query(keep).bind(limit).execute(&mut *transaction).await?;
                let deleted = sqlx::query("DELETE FROM event WHERE recorded_at < $1")
                    .bind(limit)
                    .execute(&mut *transaction)
                    .await?;
                transaction.commit().await?;
                deleted.rows_affected()
            }
        };
        self.mark(DONE, limit, ALL).await?;
        Ok(DropOutcome::Dropped(dropped))
    }

    /// A disputed bill of which events may have been recorded before an instant: they are recorded at most so long before
    /// they happen as clocks may differ.
    pub async fn disputed_before(&self, limit: Timestamp) -> Result<Option<DropOutcome>, StoreError> {
        let limit = nanosecond_of(limit.saturating_add(FUTURE_TOLERANCE).unwrap_or(Timestamp::MAX))?;
        let row: Option<(String, i64)> =
            on_readers!(self, pool => sqlx::query_as(DISPUTED).bind(limit).fetch_optional(pool).await)?;
        let disputed = |(number, start)| {
            let start = instant_of(start)?;
            Ok(DropOutcome::Disputed {
                number,
                since: start.saturating_sub(FUTURE_TOLERANCE).unwrap_or(start),
            })
        };
        row.map(disputed).transpose()
    }

    /// What says how long each ledger's events are kept.
    pub async fn retention_rules(&self) -> Result<Vec<(LedgerId, RetentionRule)>, StoreError> {
        let rows: Vec<RuleRow> = on_readers!(self, pool => sqlx::query_as(RULES).fetch_all(pool).await)?;
        let rule = |(ledger, days, disputed, dropped): RuleRow| {
            let kept = match days {
                Some(days) => kept_days_of(days)?,
                None => KeptDays::default(),
            };
            Ok((
                ledger,
                RetentionRule {
                    kept,
                    disputed_from: disputed.map(instant_of).transpose()?,
                    dropped_before: dropped.map_or(Ok(Timestamp::UNIX_EPOCH), instant_of)?,
                },
            ))
        };
        rows.into_iter().map(rule).collect()
    }

    /// How many events were recorded before an instant; of one ledger or of all.
    pub async fn events_recorded_before(
        &self,
        before: Timestamp,
        ledger: Option<LedgerId>,
    ) -> Result<i64, StoreError> {
        let text = "SELECT count(*) FROM event WHERE recorded_at < $1 AND (ledger_id = $2 OR $2 = 0)";
        let (before, ledger) = (nanosecond_of(before)?, ledger.unwrap_or(ALL));
        let (events,): (i64,) = on_readers!(self, pool => {
            sqlx::query_as(text).bind(before).bind(ledger).fetch_one(pool).await
        })?;
        Ok(events)
    }

    /// Held by the one of several servers that drops events by tenants' contracts; `None` while another does.
    pub async fn try_retention(&self) -> Result<Option<WatchLock>, StoreError> {
        self.try_lock(RETENTION_LOCK).await
    }

    /// Drops what is due: a month's partition whole when nothing else is in it, and else the events of those whose contract
    /// allows it. What says when modules were taken or dropped is kept.
    pub async fn drop_by_rule(&self, plan: &DropPlan) -> Result<DroppedByRule, StoreError> {
        for (ledger, month) in &plan.due {
            // First, so that nobody misses what is being dropped.
            self.mark(NOTE, first_instant(*month)?, *ledger).await?;
        }
        let dropped = match self {
            Self::Postgres(database) => database.drop_by_rule(plan).await?,
            Self::Sqlite(database) => {
                let mut dropped = DroppedByRule::default();
                for (ledger, month) in &plan.due {
                    let limit = nanosecond_of(first_instant(*month)?)?;
                    let mut transaction = database.begin().await?;
                    let mut events = 0;
                    for text in DELETE_OF_LEDGER {
                        let done = sqlx::query(text)
                            .bind(ledger)
                            .bind(limit)
                            .execute(&mut *transaction)
                            .await?;
                        events = done.rows_affected();
                    }
                    transaction.commit().await?;
                    dropped.note(*ledger, events);
                }
                dropped
            }
        };
        for (ledger, month) in &plan.due {
            self.drop_kept(first_instant(*month)?, *ledger).await?;
            self.mark(DONE, first_instant(*month)?, *ledger).await?;
        }
        Ok(dropped)
    }

    /// Drops what is kept beside the events of a ledger and came before an instant.
    async fn drop_kept(&self, before: Timestamp, ledger: LedgerId) -> Result<(), StoreError> {
        let before = nanosecond_of(before)?;
        in_transaction!(self, transaction => {
            for text in DELETE_KEPT {
                sqlx::query(text).bind(ledger).bind(before).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(())
        })
    }

    /// Notes that events of all tenants that were recorded before an instant are dropped; to be said before they are.
    pub async fn note_events_dropped(&self, before: Timestamp) -> Result<(), StoreError> {
        self.mark(NOTE, before, ALL).await
    }

    async fn mark(&self, text: &'static str, at: Timestamp, ledger: LedgerId) -> Result<(), StoreError> {
        let at = nanosecond_of(at)?;
        in_transaction!(self, transaction => {
            sqlx::query(text).bind(at).bind(ledger).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(())
        })
    }

    /// Since when all events of a ledger that were recorded are there.
    pub async fn events_kept_since(&self, ledger: LedgerId) -> Result<Timestamp, StoreError> {
        let text = "SELECT kept_since FROM ledger_retention WHERE ledger_id = $1";
        let since: Option<(i64,)> =
            on_readers!(self, pool => sqlx::query_as(text).bind(ledger).fetch_optional(pool).await)?;
        since.map_or(Ok(Timestamp::UNIX_EPOCH), |(since,)| instant_of(since))
    }

    /// The accounts of ledgers, by ledger; for people to read.
    pub async fn names_of_ledgers(&self) -> Result<BTreeMap<LedgerId, String>, StoreError> {
        let text = "SELECT id, tenant FROM ledger";
        let rows: Vec<(i64, String)> = on_readers!(self, pool => sqlx::query_as(text).fetch_all(pool).await)?;
        Ok(rows.into_iter().collect())
    }
}

/// Of the ledger $1, recorded before $2; the last says how many there were.
const DELETE_OF_LEDGER: [&str; 2] = [
    "INSERT INTO module_event SELECT * FROM event WHERE ledger_id = $1 AND recorded_at < $2 AND meter = 'modules'",
    "DELETE FROM event WHERE ledger_id = $1 AND recorded_at < $2",
];

/// Of the ledger $1, before $2. Of what was rejected only the tenant's name is known: the newest of that name has it.
const DELETE_KEPT: [&str; 2] = [
    "DELETE FROM rival WHERE ledger_id = $1 AND recorded_at < $2",
    "DELETE FROM rejection WHERE last_at < $2 AND peer = (SELECT tenant FROM ledger WHERE id = $1)
    AND NOT EXISTS (SELECT 1 FROM ledger newer WHERE newer.tenant = rejection.peer AND newer.id > $1)",
];

/// As it is kept with an account.
pub(super) fn kept_days_of(stored: i64) -> Result<KeptDays, StoreError> {
    let days = u32::try_from(stored).ok().and_then(KeptDays::new);
    days.ok_or(StoreError::unreadable("account"))
}
