//! Bursts of complaints: which are under way, which were, and that their tenants are told of each once.

use jiff::Timestamp;

use super::alerts::{ENQUEUE, FORGET, KEPT};
use super::ingest::{instant_of, nanosecond_of};
use super::ratings::Topic;
use super::{Store, StoreError, in_transaction, on_readers};
use crate::metering::decide::LedgerId;
use crate::rating::period::Bounds;
use crate::satisfaction::burst::Burst;

/// A burst that a tenant was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldBurst {
    /// To name it by.
    pub id: i64,
    /// About what.
    pub topic: Topic,
    /// Its complaints.
    pub burst: Burst,
    /// When it was told.
    pub told_at: Timestamp,
    /// When it was over; none while it goes on.
    pub ended_at: Option<Timestamp>,
}

/// (id, ledger, answer, first, last, complaints, before, told, ended).
type Row = (i64, LedgerId, String, i64, i64, i64, i64, i64, Option<i64>);

macro_rules! select_bursts {
    ($rest:literal) => {
        concat!(
            "SELECT id, ledger_id, answer_id, first_at, last_at, complaints, complaints_before, told_at, ended_at
            FROM complaint_burst WHERE ",
            $rest
        )
    };
}

fn burst_of(row: Row) -> Result<ToldBurst, StoreError> {
    let (id, ledger, answer_id, first, last, complaints, before, told, ended) = row;
    let number = |number: i64| u64::try_from(number).map_err(|_| StoreError::unreadable("burst"));
    Ok(ToldBurst {
        id,
        topic: Topic { ledger, answer_id },
        burst: Burst {
            first_at: instant_of(first)?,
            last_at: instant_of(last)?,
            complaints: number(complaints)?,
            before: number(before)?,
        },
        told_at: instant_of(told)?,
        ended_at: ended.map(instant_of).transpose()?,
    })
}

fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Store {
    /// The last burst of a topic.
    pub async fn last_burst(&self, topic: &Topic) -> Result<Option<ToldBurst>, StoreError> {
        let text = select_bursts!("ledger_id = $1 AND answer_id = $2 ORDER BY last_at DESC, id DESC LIMIT 1");
        let row: Option<Row> = on_readers!(self, pool => {
            sqlx::query_as(text).bind(topic.ledger).bind(&topic.answer_id).fetch_optional(pool).await
        })?;
        row.map(burst_of).transpose()
    }

    /// Those that go on, of all tenants.
    pub async fn bursts_under_way(&self) -> Result<Vec<ToldBurst>, StoreError> {
        let text = select_bursts!("ended_at IS NULL ORDER BY id");
        let rows: Vec<Row> = on_readers!(self, pool => sqlx::query_as(text).fetch_all(pool).await)?;
        rows.into_iter().map(burst_of).collect()
    }

    /// The bursts of a ledger that touch a period, the newest first; of very many the first two hundred.
    pub async fn bursts_within(
        &self,
        ledger: LedgerId,
        bounds: &Bounds,
    ) -> Result<Vec<ToldBurst>, StoreError> {
        let text = select_bursts!(
            "ledger_id = $1 AND last_at >= $2 AND first_at < $3 ORDER BY first_at DESC, id DESC LIMIT 200"
        );
        let (from, to) = (nanosecond_of(bounds.start)?, nanosecond_of(bounds.end)?);
        let rows: Vec<Row> = on_readers!(self, pool => {
            sqlx::query_as(text).bind(ledger).bind(from).bind(to).fetch_all(pool).await
        })?;
        rows.into_iter().map(burst_of).collect()
    }

    /// Notes a burst; if it was not known, `body` is on its way where the tenant has a target. A burst of the topic that was under
    /// way is over.
    pub async fn tell_burst(
        &self,
        topic: &Topic,
        burst: &Burst,
        body: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let end = "UPDATE complaint_burst SET ended_at = $3 WHERE ledger_id = $1 AND answer_id = $2 AND ended_at IS NULL AND last_at < $4";
        let note = "INSERT INTO complaint_burst (ledger_id, answer_id, first_at, last_at, complaints, complaints_before, told_at)
            SELECT $1, $2, $3, $4, $5, $6, $7
            WHERE NOT EXISTS (SELECT 1 FROM complaint_burst WHERE ledger_id = $1 AND answer_id = $2 AND last_at >= $3)
            ON CONFLICT DO NOTHING";
        let (first, last) = (nanosecond_of(burst.first_at)?, nanosecond_of(burst.last_at)?);
        let now = nanosecond_of(now)?;
        in_transaction!(self, transaction => {
            sqlx::query(end).bind(topic.ledger).bind(&topic.answer_id).bind(now).bind(first)
                .execute(&mut *transaction).await?;
            let noted = sqlx::query(note).bind(topic.ledger).bind(&topic.answer_id).bind(first).bind(last)
                .bind(stored(burst.complaints)).bind(stored(burst.before)).bind(now)
                .execute(&mut *transaction).await?;
            if noted.rows_affected() == 0 {
                return Ok(false);
            }
            sqlx::query(ENQUEUE).bind(topic.ledger).bind(body).bind(now).execute(&mut *transaction).await?;
            sqlx::query(FORGET).bind(topic.ledger).bind(KEPT).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(true)
        })
    }

    /// A burst goes on: its tenant was told.
    pub async fn extend_burst(&self, id: i64, burst: &Burst) -> Result<(), StoreError> {
        let text = "UPDATE complaint_burst SET last_at = $2, complaints = $3 WHERE id = $1 AND last_at <= $2";
        let last = nanosecond_of(burst.last_at)?;
        in_transaction!(self, transaction => {
            sqlx::query(text).bind(id).bind(last).bind(stored(burst.complaints))
                .execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(())
        })
    }

    /// A burst is over; if that is news, `body` is on its way where the tenant has a target.
    pub async fn end_burst(&self, told: &ToldBurst, body: &str, now: Timestamp) -> Result<bool, StoreError> {
        let text =
            "UPDATE complaint_burst SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL AND last_at = $3";
        let (last, now) = (nanosecond_of(told.burst.last_at)?, nanosecond_of(now)?);
        let ledger = told.topic.ledger;
        in_transaction!(self, transaction => {
            let ended = sqlx::query(text).bind(told.id).bind(now).bind(last).execute(&mut *transaction).await?;
            if ended.rows_affected() == 0 {
                return Ok(false);
            }
            sqlx::query(ENQUEUE).bind(ledger).bind(body).bind(now).execute(&mut *transaction).await?;
            sqlx::query(FORGET).bind(ledger).bind(KEPT).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(true)
        })
    }
}
