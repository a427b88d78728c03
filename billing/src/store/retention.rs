//! How long events are kept. Their keys, the sums that bills are made of, and bills are kept for ever.

use jiff::Timestamp;

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

    /// Drops the events that were recorded in months (of UTC) before that of `before`. How many months they filled on
    /// PostgreSQL; on SQLite how many events they were.
    pub async fn drop_events(&self, before: Timestamp) -> Result<u64, StoreError> {
        match self {
            Self::Postgres(database) => database.drop_months(before).await,
            Self::Sqlite(database) => {
                let first = before.to_zoned(jiff::tz::TimeZone::UTC).date().first_of_month();
                let limit = first
                    .to_zoned(jiff::tz::TimeZone::UTC)
                    .map_err(|_| StoreError::unreadable("month"))?;
                let mut transaction = database.begin().await?;
                let deleted = sqlx::query("DELETE FROM event WHERE recorded_at < $1")
                    .bind(nanosecond_of(limit.timestamp())?)
                    .execute(&mut *transaction)
                    .await?;
                transaction.commit().await?;
                Ok(deleted.rows_affected())
            }
        }
    }
}
