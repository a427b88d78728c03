//! Minutes of service in the spool: what a gateway counted within a minute, until billing acknowledged it.
//!
//! An *open* minute is written again while it is counted; a *closed* one never changes and waits for its report. What another
//! start of the process left open is closed when the spool is opened: nobody counts it any more. These writes survive SIGKILL
//! but are not synced one by one: the file outlives its process, not its Pod.

use jiff::Timestamp;
use springtide_proto::ids::{BootId, PoolId};
use sqlx::{Sqlite, Transaction};

use super::{Spool, SpoolError};

/// What became of the turns of one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MinuteCounts {
    /// Answered in time.
    pub good: u64,
    /// Failed by us.
    pub bad: u64,
    /// Of the good ones: within the response time that was aimed at.
    pub fast: u64,
    /// Of the good ones: after it.
    pub slow: u64,
}

/// One minute of one pool, as one start of a gateway counted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpooledMinute {
    /// Which start of the process.
    pub boot_id: BootId,
    /// Which pool.
    pub pool: PoolId,
    /// The instant at which it begins.
    pub minute: Timestamp,
    /// What was counted.
    pub counts: MinuteCounts,
    /// Nothing is counted any more.
    pub closed: bool,
}

type Row = (String, String, i64, i64, i64, i64, i64, bool);

const SELECT: &str = "SELECT boot_id, pool, second, good, bad, fast, slow, closed FROM minute WHERE closed ORDER BY second, pool, boot_id LIMIT $1";
const UPSERT: &str = "INSERT INTO minute (boot_id, pool, second, good, bad, fast, slow, closed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (boot_id, pool, second) DO UPDATE SET good = excluded.good, bad = excluded.bad, fast = excluded.fast,
    slow = excluded.slow, closed = excluded.closed";

pub(super) const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS minute (boot_id TEXT NOT NULL, pool TEXT NOT NULL, second INTEGER NOT NULL, good INTEGER NOT NULL,
    bad INTEGER NOT NULL, fast INTEGER NOT NULL, slow INTEGER NOT NULL, closed INTEGER NOT NULL,
    PRIMARY KEY (boot_id, pool, second)) STRICT, WITHOUT ROWID";

impl Spool {
    /// Closes what other starts than `own` left open.
    pub async fn close_minutes_of_others(&self, own: &BootId) -> Result<(), SpoolError> {
        sqlx::query("UPDATE minute SET closed = 1 WHERE boot_id <> $1")
            .bind(own.as_str())
            .execute(&self.relaxed)
            .await
            .map_err(|error| write_failed(&error))?;
        Ok(())
    }

    /// Writes minutes as they stand now.
    pub async fn keep_minutes(&self, minutes: &[SpooledMinute]) -> Result<(), SpoolError> {
        let mut transaction = self.relaxed.begin().await.map_err(|error| write_failed(&error))?;
        for minute in minutes {
            keep(&mut transaction, minute)
                .await
                .map_err(|error| write_failed(&error))?;
        }
        transaction.commit().await.map_err(|error| write_failed(&error))
    }

    /// The oldest closed minutes, at most `limit`.
    pub async fn closed_minutes(&self, limit: u32) -> Result<Vec<SpooledMinute>, SpoolError> {
        let rows: Vec<Row> = sqlx::query_as(SELECT)
            .bind(limit)
            .fetch_all(&self.relaxed)
            .await
            .map_err(|error| SpoolError::Read(error.to_string()))?;
        rows.into_iter().map(minute_of).collect()
    }

    /// Forgets minutes that billing acknowledged.
    pub async fn forget_minutes(&self, minutes: &[SpooledMinute]) -> Result<(), SpoolError> {
        let mut transaction = self.relaxed.begin().await.map_err(|error| write_failed(&error))?;
        for minute in minutes {
            sqlx::query("DELETE FROM minute WHERE boot_id = $1 AND pool = $2 AND second = $3")
                .bind(minute.boot_id.as_str())
                .bind(minute.pool.as_str())
                .bind(minute.minute.as_second())
                .execute(&mut *transaction)
                .await
                .map_err(|error| write_failed(&error))?;
        }
        transaction.commit().await.map_err(|error| write_failed(&error))
    }
}

fn write_failed(error: &sqlx::Error) -> SpoolError {
    SpoolError::Write(error.to_string())
}

async fn keep(transaction: &mut Transaction<'_, Sqlite>, minute: &SpooledMinute) -> Result<(), sqlx::Error> {
    let SpooledMinute {
        boot_id,
        pool,
        minute,
        counts:
            MinuteCounts {
                good,
                bad,
                fast,
                slow,
            },
        closed,
    } = minute;
    let mut query = sqlx::query(UPSERT)
        .bind(boot_id.as_str())
        .bind(pool.as_str())
        .bind(minute.as_second());
    for count in [good, bad, fast, slow] {
        query = query.bind(i64::try_from(*count).unwrap_or(i64::MAX));
    }
    query.bind(closed).execute(&mut **transaction).await?;
    Ok(())
}

fn minute_of(row: Row) -> Result<SpooledMinute, SpoolError> {
    let (boot_id, pool, second, good, bad, fast, slow, closed) = row;
    let count = |count: i64| u64::try_from(count).unwrap_or_default();
    let read_failed = |cause: String| SpoolError::Read(cause);
    Ok(SpooledMinute {
        boot_id: BootId::parse(boot_id).map_err(|error| read_failed(error.message))?,
        pool: PoolId::parse(pool).map_err(|error| read_failed(error.message))?,
        minute: Timestamp::from_second(second).map_err(|error| read_failed(error.to_string()))?,
        counts: MinuteCounts {
            good: count(good),
            bad: count(bad),
            fast: count(fast),
            slow: count(slow),
        },
        closed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(boot: &str, good: u64, closed: bool) -> SpooledMinute {
        SpooledMinute {
            boot_id: BootId::parse(boot).unwrap(),
            pool: PoolId::parse("web").unwrap(),
            minute: "2026-11-11T00:00:00Z".parse().unwrap(),
            counts: MinuteCounts {
                good,
                fast: good,
                ..MinuteCounts::default()
            },
            closed,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_killed_process_counted_is_reported_by_the_next_one_and_its_own_open_minutes_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let killed = Spool::open(folder.path()).await.unwrap();
        killed.keep_minutes(&[minute("one", 2, false)]).await.unwrap();
        killed.keep_minutes(&[minute("one", 3, false)]).await.unwrap();
        assert_eq!(killed.closed_minutes(10).await.unwrap(), [], "it still counts");
        let next = Spool::open(folder.path()).await.unwrap();
        next.close_minutes_of_others(&BootId::parse("two").unwrap())
            .await
            .unwrap();
        next.keep_minutes(&[minute("two", 1, false)]).await.unwrap();
        let left = next.closed_minutes(10).await.unwrap();
        assert_eq!(left, [minute("one", 3, true)]);
        next.forget_minutes(&left).await.unwrap();
        next.keep_minutes(&[minute("two", 1, true)]).await.unwrap();
        assert_eq!(next.closed_minutes(10).await.unwrap(), [minute("two", 1, true)]);
    }
}
