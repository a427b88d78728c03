//! Ratings of the last days, by which bursts of complaints are found: written with the events that they are, each as it counts.

use jiff::Timestamp;
use springtide_proto::rated::{RATING_SOURCE, Rating, Score};

use super::ingest::{instant_of, nanosecond_of};
use super::{Store, StoreError, in_transaction, on_readers};
use crate::metering::decide::{Changes, LedgerId};
use crate::metering::report::{EventKey, Report};
use crate::metering::standing::billable_sql;

/// Complaints that are looked through for examples.
const LOOKED_THROUGH: i64 = 100;

/// What a complaint is about: the knowledge entry of the last single answer; empty where there was none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic {
    /// Whose customers complain.
    pub ledger: LedgerId,
    /// Of which entry.
    pub answer_id: String,
}

/// Complaints about a topic that were reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewComplaints {
    /// About what.
    pub topic: Topic,
    /// When the earliest of them came.
    pub earliest: Timestamp,
}

/// A row.
struct NotedRating {
    key: EventKey,
    ledger: LedgerId,
    answer_id: String,
    score: i64,
    rated_at: i64,
}

/// The ratings of a batch, by key.
fn ratings_of(changes: &Changes<'_>) -> Result<Vec<NotedRating>, StoreError> {
    let new = changes.events.iter().map(|new| (new.ledger, new.report));
    let replaced = changes
        .replaced
        .iter()
        .map(|replaced| (replaced.ledger, replaced.report));
    let ratings = new.chain(replaced).filter(|(_, report)| is_rating(report));
    let mut noted = ratings
        .map(|(ledger, report)| {
            let dimension = |key: &str| report.event.dimensions.get(key).map_or("", String::as_str);
            let score = Score::parse(dimension("score")).map_err(|_| StoreError::unreadable("rating"))?;
            Ok(NotedRating {
                key: report.key,
                ledger,
                answer_id: dimension("answer_id").to_owned(),
                score: score.number().into(),
                rated_at: nanosecond_of(report.event.time)?,
            })
        })
        .collect::<Result<Vec<_>, StoreError>>()?;
    noted.sort_unstable_by_key(|rating| rating.key);
    Ok(noted)
}

fn is_rating(report: &Report) -> bool {
    report.event.source == RATING_SOURCE && report.event.reversal_of.is_none()
}

/// Notes the ratings of a batch in its transaction.
pub(super) async fn note_on_sqlite(
    transaction: &mut sqlx::Transaction<'_, sqlx::Sqlite>,
    changes: &Changes<'_>,
    now: i64,
) -> Result<(), StoreError> {
    let ratings = ratings_of(changes)?;
    if ratings.is_empty() {
        return Ok(());
    }
    let row = |rating: &NotedRating| {
        let key = rating.key.to_string();
        serde_json::json!([
            key,
            rating.ledger,
            rating.answer_id,
            rating.score,
            rating.rated_at
        ])
    };
    let text = "INSERT INTO rating (key, ledger_id, answer_id, score, rated_at, noted_at)
        SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, $2 FROM json_each($1) WHERE true
        ON CONFLICT (key) DO UPDATE SET answer_id = excluded.answer_id, score = excluded.score,
            rated_at = excluded.rated_at, noted_at = excluded.noted_at";
    let rows: Vec<_> = ratings.iter().map(row).collect();
    sqlx::query(text)
        .bind(serde_json::Value::from(rows).to_string())
        .bind(now)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// The same.
pub(super) async fn note_on_postgres(
    transaction: &mut sqlx::Transaction<'_, sqlx::Postgres>,
    changes: &Changes<'_>,
    now: i64,
) -> Result<(), StoreError> {
    let ratings = ratings_of(changes)?;
    if ratings.is_empty() {
        return Ok(());
    }
    let text = "INSERT INTO rating (key, ledger_id, answer_id, score, rated_at, noted_at)
        SELECT key, ledger_id, answer_id, score, rated_at, $6
        FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[])
        AS w (key, ledger_id, answer_id, score, rated_at)
        ON CONFLICT (key) DO UPDATE SET answer_id = excluded.answer_id, score = excluded.score,
            rated_at = excluded.rated_at, noted_at = excluded.noted_at";
    sqlx::query(text)
        .bind(ratings.iter().map(|rating| rating.key).collect::<Vec<_>>())
        .bind(ratings.iter().map(|rating| rating.ledger).collect::<Vec<_>>())
        .bind(
            ratings
                .iter()
                .map(|rating| rating.answer_id.clone())
                .collect::<Vec<_>>(),
        )
        .bind(ratings.iter().map(|rating| rating.score).collect::<Vec<_>>())
        .bind(ratings.iter().map(|rating| rating.rated_at).collect::<Vec<_>>())
        .bind(now)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Complaints are scores of 1 and 2.
macro_rules! complaints {
    ($select:literal, $rest:literal) => {
        concat!("SELECT ", $select, " FROM rating WHERE score <= 2 AND ", $rest)
    };
}

const EXAMPLES: &str = concat!(
    "SELECT e.payload FROM rating r JOIN recorded_event e ON e.ledger_id = r.ledger_id AND e.event_time = r.rated_at AND e.key = r.key
    WHERE r.ledger_id = $1 AND r.answer_id = $2 AND r.score <= 2 AND r.rated_at >= $3 AND r.rated_at <= $4 AND ",
    billable_sql!(),
    " ORDER BY r.rated_at DESC, r.key LIMIT $5"
);

impl Store {
    /// Topics with complaints that were reported since `since`, and came since `earliest`; of all tenants.
    pub async fn new_complaints(
        &self,
        since: Timestamp,
        earliest: Timestamp,
    ) -> Result<Vec<NewComplaints>, StoreError> {
        let text = complaints!(
            "ledger_id, answer_id, min(rated_at)",
            "noted_at >= $1 AND rated_at >= $2 GROUP BY ledger_id, answer_id ORDER BY ledger_id, answer_id"
        );
        let (since, earliest) = (nanosecond_of(since)?, nanosecond_of(earliest)?);
        let rows: Vec<(LedgerId, String, i64)> = on_readers!(self, pool => {
            sqlx::query_as(text).bind(since).bind(earliest).fetch_all(pool).await
        })?;
        rows.into_iter()
            .map(|(ledger, answer_id, earliest)| {
                Ok(NewComplaints {
                    topic: Topic { ledger, answer_id },
                    earliest: instant_of(earliest)?,
                })
            })
            .collect()
    }

    /// When complaints about a topic came, since `from`, sorted.
    pub async fn complaint_times(
        &self,
        topic: &Topic,
        from: Timestamp,
    ) -> Result<Vec<Timestamp>, StoreError> {
        let text = complaints!(
            "rated_at",
            "ledger_id = $1 AND answer_id = $2 AND rated_at >= $3 ORDER BY rated_at"
        );
        let from = nanosecond_of(from)?;
        let rows: Vec<(i64,)> = on_readers!(self, pool => {
            sqlx::query_as(text).bind(topic.ledger).bind(&topic.answer_id).bind(from).fetch_all(pool).await
        })?;
        rows.into_iter().map(|(time,)| instant_of(time)).collect()
    }

    /// Complaints about a topic from one instant to another, both included, at most `most`: rather those with words, then the
    /// newest. None of a customer who was erased.
    pub async fn complaint_examples(
        &self,
        topic: &Topic,
        (from, to): (Timestamp, Timestamp),
        most: usize,
    ) -> Result<Vec<Rating>, StoreError> {
        let (from, to) = (nanosecond_of(from)?, nanosecond_of(to)?);
        let rows: Vec<(Vec<u8>,)> = on_readers!(self, pool => {
            sqlx::query_as(EXAMPLES).bind(topic.ledger).bind(&topic.answer_id).bind(from).bind(to)
                .bind(LOOKED_THROUGH).fetch_all(pool).await
        })?;
        let ratings = rows.iter().filter_map(|(payload,)| Rating::decode(payload).ok());
        let mut examples: Vec<_> = ratings.collect();
        // Stable: the newest of each stay first.
        examples.sort_by_key(|rating| rating.comment.is_none());
        examples.truncate(most);
        Ok(examples)
    }

    /// Forgets ratings that are older than what is looked at.
    pub async fn forget_ratings(&self, before: Timestamp) -> Result<(), StoreError> {
        let before = nanosecond_of(before)?;
        in_transaction!(self, transaction => {
            sqlx::query("DELETE FROM rating WHERE noted_at < $1 AND rated_at < $1").bind(before)
                .execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(())
        })
    }
}
