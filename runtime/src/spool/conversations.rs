//! Conversations that go on, in the spool: what is to be said of each if nobody hears more of it.
//!
//! It is written with the record of each turn, in one transaction, and becomes a record of its own when the conversation ends,
//! in another. So a conversation is on a witness's disk from its first answer until billing has its end, and a process that is
//! killed in between goes on with it when it starts again. Silence is measured from when the last message reached the door,
//! by the wall clock: it goes on while no process runs.

use jiff::Timestamp;
use springtide_proto::ended::ConversationEnd;
use springtide_proto::ids::ConversationId;
use springtide_proto::metering::Delivery;
use sqlx::{Sqlite, SqlitePool, Transaction};

use super::{Change, Spool, SpoolError};

pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS conversation (id TEXT PRIMARY KEY, heard INTEGER NOT NULL, event BLOB NOT NULL) STRICT, WITHOUT ROWID";
pub(super) const BY_SILENCE: &str =
    "CREATE INDEX IF NOT EXISTS conversation_by_silence ON conversation (heard)";

/// What is said of a conversation if no more comes of it.
pub(super) struct IfLast {
    id: String,
    heard: i64,
    event: Vec<u8>,
}

/// What becomes of conversations.
pub(super) enum Told {
    /// The last message of one was not answered.
    Unanswered(IfLast),
    /// One is over.
    Ended(String),
    /// One goes on elsewhere.
    Forgotten(String),
    /// Those are over that were not heard since.
    Silent(i64),
}

impl From<&ConversationEnd> for IfLast {
    fn from(end: &ConversationEnd) -> Self {
        Self {
            id: end.conversation.to_string(),
            heard: nanosecond_of(end.last_message_at),
            event: end.encode(),
        }
    }
}

impl IfLast {
    /// The conversation begins or goes on.
    pub(super) async fn note(&self, transaction: &mut Transaction<'_, Sqlite>) -> Result<(), sqlx::Error> {
        let Self { id, heard, event } = self;
        sqlx::query(
            "INSERT INTO conversation (id, heard, event) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE
            SET heard = excluded.heard, event = excluded.event WHERE excluded.heard >= conversation.heard",
        )
        .bind(id)
        .bind(heard)
        .bind(event)
        .execute(&mut **transaction)
        .await
        .map(drop)
    }
}

impl Told {
    /// There is something to be done. What changes nothing is not written: it would say that a full disk can be written.
    async fn concerns_any(&self, pool: &SqlitePool) -> Result<bool, sqlx::Error> {
        let by_id = "SELECT EXISTS (SELECT 1 FROM conversation WHERE id = $1)";
        let by_silence = "SELECT EXISTS (SELECT 1 FROM conversation WHERE heard < $1)";
        let (is_there,): (bool,) = match self {
            Self::Unanswered(IfLast { id, .. }) | Self::Ended(id) | Self::Forgotten(id) => {
                sqlx::query_as(by_id).bind(id).fetch_one(pool).await?
            }
            Self::Silent(since) => sqlx::query_as(by_silence).bind(since).fetch_one(pool).await?,
        };
        Ok(is_there)
    }

    /// Does it; the records that it makes.
    pub(super) async fn write(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
    ) -> Result<Vec<i64>, sqlx::Error> {
        let mut ended: Vec<(i64,)> = Vec::new();
        match self {
            // Of a conversation in which nothing was answered there is nothing to be said.
            Self::Unanswered(IfLast { id, heard, event }) => {
                sqlx::query("UPDATE conversation SET heard = $2, event = $3 WHERE id = $1 AND heard <= $2")
                    .bind(id)
                    .bind(heard)
                    .bind(event)
                    .execute(&mut **transaction)
                    .await?;
            }
            Self::Ended(id) => {
                let end = "INSERT INTO record (event, delivery) SELECT event, $2 FROM conversation WHERE id = $1 RETURNING sequence";
                let end = sqlx::query_as(end).bind(id).bind(Delivery::Unspecified as i32);
                ended = end.fetch_all(&mut **transaction).await?;
                delete(transaction, id).await?;
            }
            Self::Forgotten(id) => delete(transaction, id).await?,
            Self::Silent(since) => {
                let end = "INSERT INTO record (event, delivery) SELECT event, $2 FROM conversation WHERE heard < $1 ORDER BY heard RETURNING sequence";
                let end = sqlx::query_as(end).bind(since).bind(Delivery::Unspecified as i32);
                ended = end.fetch_all(&mut **transaction).await?;
                sqlx::query("DELETE FROM conversation WHERE heard < $1")
                    .bind(since)
                    .execute(&mut **transaction)
                    .await?;
            }
        }
        Ok(ended.into_iter().map(|(sequence,)| sequence).collect())
    }
}

async fn delete(transaction: &mut Transaction<'_, Sqlite>, id: &str) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM conversation WHERE id = $1")
        .bind(id)
        .execute(&mut **transaction)
        .await
        .map(drop)
}

/// Times beyond what 63 bits hold are as late as that.
pub(super) fn nanosecond_of(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(if at < Timestamp::UNIX_EPOCH {
        i64::MIN
    } else {
        i64::MAX
    })
}

impl Spool {
    /// Takes the record of a turn, and what is said of its conversation if no more comes of it; both are durable when this
    /// returns. A `held` record waits for [`Spool::settle`]; the conversation does not.
    pub async fn append_turn(
        &self,
        event: Vec<u8>,
        (delivery, held): (Delivery, bool),
        if_last: &ConversationEnd,
    ) -> Result<i64, SpoolError> {
        self.write(Change::Append {
            event,
            delivery,
            held,
            origin: None,
            if_last: Some(if_last.into()),
        })
        .await
    }

    /// The last message of a conversation was not answered, or nobody read the answer.
    pub async fn unanswered(&self, if_last: &ConversationEnd) -> Result<(), SpoolError> {
        self.tell(Told::Unanswered(if_last.into())).await
    }

    /// The conversation is over: its end is a record when this returns. One that is not known is no error.
    pub async fn end_conversation(&self, conversation: &ConversationId) -> Result<(), SpoolError> {
        self.tell(Told::Ended(conversation.to_string())).await
    }

    /// The conversation goes on elsewhere: who has it there says when it ended.
    pub async fn forget_conversation(&self, conversation: &ConversationId) -> Result<(), SpoolError> {
        self.tell(Told::Forgotten(conversation.to_string())).await
    }

    /// The conversations are over of which nothing was heard since; with [`Timestamp::MAX`] all of them.
    pub async fn end_silent(&self, since: Timestamp) -> Result<(), SpoolError> {
        self.tell(Told::Silent(nanosecond_of(since))).await
    }

    /// What would be said of a conversation that goes on, if it ended now; `None` of one that is not known.
    pub async fn conversation(
        &self,
        conversation: &ConversationId,
    ) -> Result<Option<ConversationEnd>, SpoolError> {
        let found: Option<(Vec<u8>,)> = sqlx::query_as("SELECT event FROM conversation WHERE id = $1")
            .bind(conversation.as_str())
            .fetch_optional(&self.relaxed)
            .await
            .map_err(|error| SpoolError::Read(error.to_string()))?;
        let end = found.map(|(event,)| ConversationEnd::decode(&event)).transpose();
        end.map_err(|error| SpoolError::Read(error.message))
    }

    async fn tell(&self, told: Told) -> Result<(), SpoolError> {
        let concerns_any = told.concerns_any(&self.relaxed).await;
        if concerns_any.map_err(|error| SpoolError::Read(error.to_string()))? {
            self.write(Change::Conversations(told)).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use springtide_proto::ended::Outcome;
    use springtide_proto::ids::{PoolId, TenantId, TenantUid};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn end(id: &str, second: i64, outcome: Outcome) -> ConversationEnd {
        ConversationEnd {
            last_message_at: at(second),
            outcome,
            channel: "web".into(),
            pool: PoolId::parse("web").unwrap(),
            conversation: ConversationId::parse(id).unwrap(),
            tenant: TenantId::parse("acme").unwrap(),
            tenant_uid: TenantUid::parse("uid").unwrap(),
        }
    }

    fn resolved(id: &str, second: i64) -> ConversationEnd {
        end(id, second, Outcome::Resolved)
    }

    async fn turn(spool: &Spool, if_last: &ConversationEnd) {
        let sequence = spool
            .append_turn(b"turn".to_vec(), (Delivery::Delivered, true), if_last)
            .await
            .unwrap();
        spool.release(sequence);
    }

    /// The ends that are records.
    async fn ends(spool: &Spool) -> Vec<ConversationEnd> {
        let records = spool.oldest(99).await.unwrap().into_iter();
        records
            .filter_map(|record| ConversationEnd::decode(&record.event).ok())
            .collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_conversation_that_goes_on_when_the_process_is_killed_ends_by_its_silence_in_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let killed = Spool::open(folder.path()).await.unwrap();
        turn(&killed, &resolved("one", 10)).await;
        turn(&killed, &resolved("one", 20)).await;
        turn(&killed, &resolved("two", 30)).await;
        let next = Spool::open(folder.path()).await.unwrap();
        let known = async |id: &str| {
            let id = ConversationId::parse(id).unwrap();
            next.conversation(&id).await.unwrap()
        };
        assert_eq!(
            (known("one").await, known("none").await),
            (Some(resolved("one", 20)), None)
        );
        next.end_silent(at(20)).await.unwrap();
        assert_eq!(ends(&next).await, [], "the last message counts, not the first");
        next.end_silent(at(21)).await.unwrap();
        next.end_silent(at(21)).await.unwrap();
        assert_eq!((ends(&next).await, next.depth()), (vec![resolved("one", 20)], 4));
        let after = Spool::open(folder.path()).await.unwrap();
        after.end_silent(Timestamp::MAX).await.unwrap();
        assert_eq!(
            ends(&after).await,
            [resolved("one", 20), resolved("two", 30)],
            "each once"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_over_ends_once_and_what_goes_on_elsewhere_ends_there() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).await.unwrap();
        for id in ["over", "moved"] {
            turn(&spool, &resolved(id, 10)).await;
        }
        for _ in 0..2 {
            spool
                .end_conversation(&ConversationId::parse("over").unwrap())
                .await
                .unwrap();
            spool
                .forget_conversation(&ConversationId::parse("moved").unwrap())
                .await
                .unwrap();
        }
        spool.end_silent(Timestamp::MAX).await.unwrap();
        assert_eq!(ends(&spool).await, [resolved("over", 10)]);
        turn(&spool, &resolved("over", 90)).await;
        spool.end_silent(Timestamp::MAX).await.unwrap();
        assert_eq!(
            ends(&spool).await.last(),
            Some(&resolved("over", 90)),
            "it came back"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_unanswered_message_makes_no_conversation_and_what_was_heard_before_changes_none() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).await.unwrap();
        let abandoned = |id: &str, second| end(id, second, Outcome::Abandoned);
        spool.unanswered(&abandoned("none", 10)).await.unwrap();
        for (id, unanswered) in [("before", 9), ("same", 10), ("later", 11)] {
            turn(&spool, &resolved(id, 10)).await;
            spool.unanswered(&abandoned(id, unanswered)).await.unwrap();
        }
        turn(&spool, &resolved("later", 10)).await;
        spool.end_silent(Timestamp::MAX).await.unwrap();
        let mut ended = ends(&spool).await;
        ended.sort();
        assert_eq!(
            ended,
            [
                resolved("before", 10),
                abandoned("same", 10),
                abandoned("later", 11)
            ]
        );
    }
}
