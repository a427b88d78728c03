//! Records of workers in a gateway's spool: what billing did not take by a worker's drain deadline, the gateway reports in its
//! place. It says whose records they are, because a gateway's own word counts for more: it knows what was delivered.

use futures::future::try_join_all;
use springtide_proto::metering::Delivery;
use sqlx::{Sqlite, Transaction};

use super::{Change, Spool, SpoolError};

/// The worker that spooled a record first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its Pod.
    pub reporter: String,
    /// Which start of it.
    pub boot_id: String,
}

pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS origin (sequence INTEGER PRIMARY KEY, reporter TEXT NOT NULL, boot_id TEXT NOT NULL) STRICT";

impl Spool {
    /// Takes a worker's records over; all are durable when this returns. After an error some may be: who offers them again
    /// loses nothing, and billing knows those that come twice.
    pub async fn take_over(
        &self,
        events: impl IntoIterator<Item = Vec<u8>>,
        origin: &Origin,
    ) -> Result<(), SpoolError> {
        let appends = events.into_iter().map(|event| {
            self.write(Change::Append {
                event,
                delivery: Delivery::Unspecified,
                held: false,
                origin: Some(origin.clone()),
                if_last: None,
            })
        });
        try_join_all(appends).await.map(drop)
    }
}

impl Origin {
    pub(super) async fn note(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
        sequence: i64,
    ) -> Result<(), sqlx::Error> {
        sqlx::query("INSERT INTO origin (sequence, reporter, boot_id) VALUES ($1, $2, $3)")
            .bind(sequence)
            .bind(&self.reporter)
            .bind(&self.boot_id)
            .execute(&mut **transaction)
            .await
            .map(drop)
    }
}

pub(super) async fn forget(
    transaction: &mut Transaction<'_, Sqlite>,
    sequence: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM origin WHERE sequence = $1")
        .bind(sequence)
        .execute(&mut **transaction)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_taken_over_outlives_the_process_with_whose_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).await.unwrap();
        let origin = Origin {
            reporter: "web-1".into(),
            boot_id: "boot-1".into(),
        };
        let own = spool
            .append(b"own".to_vec(), Delivery::Delivered, false)
            .await
            .unwrap();
        let events = [b"one".to_vec(), b"two".to_vec()];
        spool.take_over(events.clone(), &origin).await.unwrap();
        let again = Spool::open(folder.path()).await.unwrap();
        assert_eq!(again.depth(), 3);
        let records = again.oldest(9).await.unwrap();
        let (mine, theirs) = records.split_first().unwrap();
        assert_eq!((mine.sequence, &mine.origin), (own, &None));
        let mut taken: Vec<_> = theirs.iter().map(|record| record.event.clone()).collect();
        taken.sort();
        assert_eq!(taken, events);
        assert!(theirs.iter().all(|record| record.origin == Some(origin.clone())));
        let sequences = records.iter().map(|record| record.sequence).collect();
        again.acknowledge(sequences).await.unwrap();
        let (left,): (i64,) = sqlx::query_as("SELECT count(*) FROM origin")
            .fetch_one(&again.relaxed)
            .await
            .unwrap();
        assert_eq!((again.depth(), left), (0, 0));
    }
}
