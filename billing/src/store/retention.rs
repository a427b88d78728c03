//! How long events are kept. Their keys, the sums that bills are made of, and bills are kept for ever.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::ingest::{instant_of, nanosecond_of};
use super::{Store, StoreError, on_readers};
use crate::metering::examine::FUTURE_TOLERANCE;

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

/// The first bill whose last state is a dispute and whose period begins before $1.
const DISPUTED: &str =
    "SELECT i.number, i.period_start FROM invoice i JOIN invoice_state s ON s.number = i.number
    WHERE s.state = 'disputed' AND i.period_start < $1
    AND s.ordinal = (SELECT max(l.ordinal) FROM invoice_state l WHERE l.number = i.number)
    ORDER BY i.period_start, i.number LIMIT 1";

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
        let limit = first
            .to_zoned(TimeZone::UTC)
            .map_err(|_| StoreError::unreadable("month"))?;
        if let Some(disputed) = self.disputed_before(limit.timestamp()).await? {
            return Ok(disputed);
        }
        // First, so that nobody misses what is being dropped.
        self.note_events_dropped(limit.timestamp()).await?;
        match self {
            Self::Postgres(database) => Ok(DropOutcome::Dropped(database.drop_months(first).await?)),
            Self::Sqlite(database) => {
                let limit = nanosecond_of(limit.timestamp())?;
                let mut transaction = database.begin().await?;
                let keep = "INSERT INTO module_event SELECT * FROM event WHERE recorded_at < $1 AND meter = 'modules'";
                sqlx::query(keep).bind(limit).execute(&mut *transaction).await?;
                let deleted = sqlx::query("DELETE FROM event WHERE recorded_at < $1")
                    .bind(limit)
                    .execute(&mut *transaction)
                    .await?;
                transaction.commit().await?;
                Ok(DropOutcome::Dropped(deleted.rows_affected()))
            }
        }
    }

    /// A disputed bill of which events may have been recorded before an instant: they are recorded at most so long before
    /// they happen as clocks may differ.
    async fn disputed_before(&self, limit: Timestamp) -> Result<Option<DropOutcome>, StoreError> {
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
}
