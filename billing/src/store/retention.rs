//! How long events are kept. Their keys, the sums that bills are made of, and bills are kept for ever.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::ingest::nanosecond_of;
use super::{Store, StoreError};

impl Store {
    /// Makes room ahead for what will be recorded; called at start and now and then.
    pub async fn make_months(&self, now: Timestamp) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(database) => database.make_months(now).await,
        }
    }

    /// Drops the events that were recorded in months (of UTC) before that of `before`, but for those that say when modules
    /// were taken or dropped. How many months they filled on PostgreSQL; on SQLite how many events they were.
    pub async fn drop_events(&self, before: Timestamp) -> Result<u64, StoreError> {
        let first = before.to_zoned(TimeZone::UTC).date().first_of_month();
        let limit = first
            .to_zoned(TimeZone::UTC)
            .map_err(|_| StoreError::unreadable("month"))?;
        // First, so that nobody misses what is being dropped.
        self.note_events_dropped(limit.timestamp()).await?;
        match self {
            Self::Postgres(database) => database.drop_months(first).await,
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
                Ok(deleted.rows_affected())
            }
        }
    }
}
