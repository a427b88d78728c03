//! Ratings in a gateway's spool: of each conversation one at most, the latest, however often it is rated while billing is away.
//!
//! A rating that takes another's place is a record of its own: that other one may be on its way to billing just now, and an
//! acknowledgement of it must not take the new one away.

use springtide_proto::metering::Delivery;
use springtide_proto::rated::Rating;
use sqlx::{Sqlite, Transaction};

use super::conversations::nanosecond_of;
use super::{Change, Spool, SpoolError};

pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS rating (conversation TEXT PRIMARY KEY, sequence INTEGER NOT NULL, rated_at INTEGER NOT NULL) STRICT, WITHOUT ROWID";

/// A rating as it is written.
pub(super) struct RatingRecord {
    conversation: String,
    rated_at: i64,
    event: Vec<u8>,
}

impl RatingRecord {
    /// Its record, and whether there is one more than before.
    pub(super) async fn write(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
    ) -> Result<(i64, bool), sqlx::Error> {
        let Self {
            conversation,
            rated_at,
            event,
        } = self;
        // Written before anything is read: a transaction that reads first, and finds that others wrote since, cannot write.
        let replaced = sqlx::query(
            "DELETE FROM record WHERE sequence = (SELECT sequence FROM rating WHERE conversation = $1 AND rated_at <= $2)",
        )
        .bind(conversation)
        .bind(rated_at)
        .execute(&mut **transaction)
        .await?
        .rows_affected();
        let later: Option<(i64,)> =
            sqlx::query_as("SELECT sequence FROM rating WHERE conversation = $1 AND rated_at > $2")
                .bind(conversation)
                .bind(rated_at)
                .fetch_optional(&mut **transaction)
                .await?;
        if let Some((sequence,)) = later {
            return Ok((sequence, false));
        }
        let sequence = super::append(transaction, event, Delivery::Unspecified).await?;
        sqlx::query("INSERT OR REPLACE INTO rating (conversation, sequence, rated_at) VALUES ($1, $2, $3)")
            .bind(conversation)
            .bind(sequence)
            .bind(rated_at)
            .execute(&mut **transaction)
            .await?;
        Ok((sequence, replaced == 0))
    }
}

/// What billing acknowledged is no rating of the spool any more: there are as many as wait for billing.
pub(super) async fn forget_reported(transaction: &mut Transaction<'_, Sqlite>) -> Result<(), sqlx::Error> {
    let text =
        "DELETE FROM rating WHERE NOT EXISTS (SELECT 1 FROM record WHERE record.sequence = rating.sequence)";
    sqlx::query(text).execute(&mut **transaction).await.map(drop)
}

impl Spool {
    /// Takes a rating in the place of an earlier one that is still here; durable when this returns.
    pub async fn rate(&self, rating: &Rating) -> Result<(), SpoolError> {
        let rated = RatingRecord {
            conversation: rating.conversation.to_string(),
            rated_at: nanosecond_of(rating.rated_at),
            event: rating.encode(),
        };
        self.write(Change::Rating(rated)).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use springtide_proto::ids::{ConversationId, PoolId, TenantId, TenantUid};
    use springtide_proto::rated::Score;

    use super::*;

    fn rating(conversation: &str, second: i64, score: i64) -> Rating {
        Rating {
            rated_at: Timestamp::from_second(second).unwrap(),
            score: Score::new(score).unwrap(),
            comment: None,
            answer_id: None,
            channel: "web".into(),
            pool: PoolId::parse("web").unwrap(),
            conversation: ConversationId::parse(conversation).unwrap(),
            tenant: TenantId::parse("acme").unwrap(),
            tenant_uid: TenantUid::parse("uid").unwrap(),
        }
    }

    async fn spooled(spool: &Spool) -> Vec<(i64, Rating)> {
        let records = spool.oldest(99).await.unwrap().into_iter();
        records
            .map(|record| (record.sequence, Rating::decode(&record.event).unwrap()))
            .collect()
    }

    fn ratings(spooled: Vec<(i64, Rating)>) -> Vec<Rating> {
        spooled.into_iter().map(|(_, rating)| rating).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn however_often_a_conversation_is_rated_one_record_waits_and_it_is_the_latest() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).await.unwrap();
        for (second, score) in [(10, 1), (30, 5), (20, 2)] {
            spool.rate(&rating("one", second, score)).await.unwrap();
        }
        spool.rate(&rating("two", 5, 3)).await.unwrap();
        let expected = [rating("one", 30, 5), rating("two", 5, 3)];
        assert_eq!(
            (ratings(spooled(&spool).await), spool.depth()),
            (expected.to_vec(), 2)
        );
        let again = Spool::open(folder.path()).await.unwrap();
        assert_eq!(
            (ratings(spooled(&again).await), again.depth()),
            (expected.to_vec(), 2),
            "after a restart, too"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_rating_that_comes_while_the_earlier_one_is_reported_is_not_taken_away_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).await.unwrap();
        spool.rate(&rating("one", 10, 1)).await.unwrap();
        let on_its_way = spooled(&spool).await[0].0;
        spool.rate(&rating("one", 20, 4)).await.unwrap();
        spool.acknowledge(vec![on_its_way]).await.unwrap();
        let left = spooled(&spool).await;
        assert_eq!((left[0].1.clone(), spool.depth()), (rating("one", 20, 4), 1));
        spool.acknowledge(vec![left[0].0]).await.unwrap();
        assert_eq!((spooled(&spool).await, spool.depth()), (vec![], 0));
        spool.rate(&rating("one", 30, 2)).await.unwrap();
        assert_eq!(
            (ratings(spooled(&spool).await), spool.depth()),
            (vec![rating("one", 30, 2)], 1),
            "what was reported is in nobody's way"
        );
    }
    #[tokio::test(flavor = "multi_thread")]
    async fn ratings_are_taken_while_billing_acknowledges_others() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).await.unwrap();
        for round in 0..300 {
            let turn = spool
                .append(b"turn".to_vec(), Delivery::Delivered, false)
                .await
                .unwrap();
            let rating = rating(&format!("c{}", round % 7), round, 3);
            let (rated, acknowledged) = tokio::join!(spool.rate(&rating), spool.acknowledge(vec![turn]));
            assert!(
                rated.is_ok() && acknowledged.is_ok(),
                "{round}: {rated:?} {acknowledged:?}"
            );
        }
        assert_eq!((spool.depth(), spooled(&spool).await.len()), (7, 7));
    }
}
