//! The spool: usage records that a witness holds until billing acknowledged them.
//!
//! One SQLite file in WAL mode with `synchronous = FULL`: when [`Spool::append`] returns, the record survives SIGKILL and a
//! restart. Appends that come together share one transaction, and so one fsync (group commit). Acknowledgements need no fsync:
//! one that is lost is a record reported again, which billing knows already. A record may be *held*: it is
//! durable, but not given to the reporter until it is known whether it was delivered. After a restart nothing is held. A
//! gateway's minutes of service are in the same file ([`minutes`]), what it took over from workers ([`origin`]), the
//! conversations that go on ([`conversations`]), and which records are ratings ([`ratings`]).

pub mod conversations;
pub mod minutes;
pub mod origin;
pub mod ratings;

use std::collections::HashSet;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use springtide_proto::metering::Delivery;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};
use tokio::sync::{Notify, mpsc, oneshot};

use conversations::{IfLast, Told};
use origin::Origin;
use ratings::RatingRecord;

/// Writes that share one transaction, at most.
const GROUP: usize = 512;
/// Writes that wait for the writer, at most; more wait at their caller.
const QUEUE: usize = 4_096;

/// Why the spool cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SpoolError {
    /// The file cannot be opened or made.
    #[error("the spool in {folder} cannot be opened: {cause}")]
    Open {
        /// Its folder.
        folder: String,
        /// What the database says.
        cause: String,
    },
    /// It cannot be written: the disk is full or failing.
    #[error("the spool cannot be written: {0}")]
    Write(String),
    /// It cannot be read.
    #[error("the spool cannot be read: {0}")]
    Read(String),
    /// It is closed: the process ends.
    #[error("the spool is closed")]
    Closed,
}

/// A record on its way to billing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpooledRecord {
    /// Its place in the spool.
    pub sequence: i64,
    /// The encoded usage event.
    pub event: Vec<u8>,
    /// Whether it reached the customer, where the witness knows.
    pub delivery: Delivery,
    /// The worker that it was taken over from; none for a record of its own.
    pub origin: Option<Origin>,
}

enum Change {
    Append {
        event: Vec<u8>,
        delivery: Delivery,
        held: bool,
        origin: Option<Origin>,
        if_last: Option<IfLast>,
    },
    Conversations(Told),
    Rating(RatingRecord),
    Settle {
        sequence: i64,
        delivery: Delivery,
    },
    Probe,
}

struct Write {
    change: Change,
    done: oneshot::Sender<Result<i64, SpoolError>>,
}

type Row = (i64, Vec<u8>, i32, Option<String>, Option<String>);

const TABLE: &str = "CREATE TABLE IF NOT EXISTS record (sequence INTEGER PRIMARY KEY AUTOINCREMENT, event BLOB NOT NULL, delivery INTEGER NOT NULL) STRICT";
const PROBE_TABLE: &str =
    "CREATE TABLE IF NOT EXISTS probe (id INTEGER PRIMARY KEY, count INTEGER NOT NULL) STRICT";
const OLDEST: &str =
    "SELECT sequence, event, delivery, reporter, boot_id FROM record LEFT JOIN origin USING (sequence)
    ORDER BY sequence LIMIT $1";

/// See the module.
#[derive(Clone)]
pub struct Spool {
    /// Reads and acknowledgements.
    relaxed: SqlitePool,
    writes: mpsc::Sender<Write>,
    state: Arc<State>,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool")
            .field("depth", &self.depth())
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    depth: AtomicU64,
    failing: AtomicBool,
    held: Mutex<Held>,
    changed: Notify,
}

/// What the reporter may not have yet.
#[derive(Clone, Default)]
struct Held {
    sequences: HashSet<i64>,
    /// The newest record that was written here.
    newest: i64,
}

impl Spool {
    /// Opens the spool in `folder`, making it where there is none.
    pub async fn open(folder: &Path) -> Result<Self, SpoolError> {
        let open_error = |cause: String| SpoolError::Open {
            folder: folder.display().to_string(),
            cause,
        };
        std::fs::create_dir_all(folder).map_err(|error| open_error(error.to_string()))?;
        let options = SqliteConnectOptions::from_str("sqlite://")
            .map_err(|error| open_error(error.to_string()))?
            .filename(folder.join("spool.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5));
        let connect = async |options: SqliteConnectOptions| {
            let pool = SqlitePoolOptions::new()
                .max_connections(1)
                .connect_with(options)
                .await;
            pool.map_err(|error| open_error(error.to_string()))
        };
        let pool = connect(options.clone()).await?;
        let relaxed = connect(options.synchronous(SqliteSynchronous::Normal)).await?;
        for table in [
            TABLE,
            minutes::TABLE,
            origin::TABLE,
            conversations::TABLE,
            conversations::BY_SILENCE,
            ratings::TABLE,
            PROBE_TABLE,
        ] {
            sqlx::query(table)
                .execute(&pool)
                .await
                .map_err(|error| open_error(error.to_string()))?;
        }
        let (depth, newest): (i64, i64) =
            sqlx::query_as("SELECT count(*), coalesce(max(sequence), 0) FROM record")
                .fetch_one(&pool)
                .await
                .map_err(|error| open_error(error.to_string()))?;
        let state = Arc::new(State::default());
        state.held.lock().newest = newest;
        state
            .depth
            .store(u64::try_from(depth).unwrap_or_default(), Ordering::Relaxed);
        let (writes, queue) = mpsc::channel(QUEUE);
        tokio::spawn(write_in_groups(pool.clone(), queue, state.clone()));
        Ok(Self {
            relaxed,
            writes,
            state,
        })
    }

    /// Takes a record; durable when this returns. A `held` one waits for [`Self::settle`].
    pub async fn append(&self, event: Vec<u8>, delivery: Delivery, held: bool) -> Result<i64, SpoolError> {
        self.write(Change::Append {
            event,
            delivery,
            held,
            origin: None,
            if_last: None,
        })
        .await
    }

    /// Says whether a held record was delivered, and gives it to the reporter; as it was appended, where that fails.
    pub async fn settle(&self, sequence: i64, delivery: Delivery) -> Result<(), SpoolError> {
        let settled = self.write(Change::Settle { sequence, delivery }).await;
        if settled.is_err() {
            self.release(sequence);
        }
        settled.map(drop)
    }

    /// Gives a held record to the reporter as it was appended. No disk is touched.
    pub fn release(&self, sequence: i64) {
        self.state.held.lock().sequences.remove(&sequence);
        self.state.changed.notify_waiters();
    }

    /// Forgets what billing acknowledged.
    pub async fn acknowledge(&self, sequences: Vec<i64>) -> Result<(), SpoolError> {
        let failed = |error: sqlx::Error| SpoolError::Write(error.to_string());
        let mut transaction = self.relaxed.begin().await.map_err(failed)?;
        let removed = delete(&mut transaction, &sequences).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        self.state.depth.fetch_sub(removed, Ordering::Relaxed);
        self.state.changed.notify_waiters();
        Ok(())
    }

    /// The oldest records that are not held, at most `limit`.
    pub async fn oldest(&self, limit: u32) -> Result<Vec<SpooledRecord>, SpoolError> {
        let before = self.state.held.lock().clone();
        let rows: Vec<Row> = sqlx::query_as(OLDEST)
            .bind(limit)
            .fetch_all(&self.relaxed)
            .await
            .map_err(|error| SpoolError::Read(error.to_string()))?;
        let after = self.state.held.lock();
        // Of a record that was settled during the read, what was read may be what it was before.
        let may_have_been_held = |sequence: &i64| {
            before.sequences.contains(sequence)
                || after.sequences.contains(sequence)
                || (before.newest + 1..=after.newest).contains(sequence)
        };
        Ok(rows
            .into_iter()
            .filter(|(sequence, ..)| !may_have_been_held(sequence))
            .map(|(sequence, event, delivery, reporter, boot_id)| SpooledRecord {
                sequence,
                event,
                delivery: Delivery::try_from(delivery).unwrap_or_default(),
                origin: reporter
                    .zip(boot_id)
                    .map(|(reporter, boot_id)| Origin { reporter, boot_id }),
            })
            .collect())
    }

    /// Records in the spool, held ones too.
    pub fn depth(&self) -> u64 {
        self.state.depth.load(Ordering::Relaxed)
    }

    /// The last write failed: nothing should be accepted that would need the spool.
    pub fn is_failing(&self) -> bool {
        self.state.failing.load(Ordering::Relaxed)
    }

    /// Tries a write, to learn whether a failing spool works again.
    pub async fn probe(&self) -> Result<(), SpoolError> {
        self.write(Change::Probe).await.map(drop)
    }

    /// Returns at the next change of the spool; it may have happened already when you call, so look after a while too.
    pub async fn changed(&self) {
        self.state.changed.notified().await;
    }

    async fn write(&self, change: Change) -> Result<i64, SpoolError> {
        let (done, result) = oneshot::channel();
        self.writes
            .send(Write { change, done })
            .await
            .map_err(|_| SpoolError::Closed)?;
        result.await.map_err(|_| SpoolError::Closed)?
    }
}

async fn write_in_groups(pool: SqlitePool, mut queue: mpsc::Receiver<Write>, state: Arc<State>) {
    let mut group = Vec::with_capacity(GROUP);
    while queue.recv_many(&mut group, GROUP).await > 0 {
        let written = write_group(&pool, &group, &state).await;
        state.failing.store(written.is_err(), Ordering::Relaxed);
        match written {
            Ok(sequences) => {
                for (write, sequence) in group.drain(..).zip(sequences) {
                    // The caller may have gone; what it asked for is done all the same.
                    drop(write.done.send(Ok(sequence)));
                }
            }
            Err(error) => {
                tracing::error!(%error, writes = group.len(), "spool cannot be written");
                let error = SpoolError::Write(error.to_string());
                for write in group.drain(..) {
                    drop(write.done.send(Err(error.clone())));
                }
            }
        }
        state.changed.notify_waiters();
    }
    pool.close().await;
}

async fn write_group(pool: &SqlitePool, group: &[Write], state: &State) -> Result<Vec<i64>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let (mut sequences, mut ended) = (Vec::with_capacity(group.len()), Vec::new());
    let mut added = 0;
    for write in group {
        let sequence = match &write.change {
            Change::Append {
                event,
                delivery,
                held: _,
                origin,
                if_last,
            } => {
                added += 1;
                let sequence = append(&mut transaction, event, *delivery).await?;
                if let Some(origin) = origin {
                    origin.note(&mut transaction, sequence).await?;
                }
                if let Some(if_last) = if_last {
                    if_last.note(&mut transaction).await?;
                }
                sequence
            }
            Change::Conversations(told) => {
                let records = told.write(&mut transaction).await?;
                added += records.len() as u64;
                ended.extend(records);
                0
            }
            Change::Rating(rated) => {
                let (sequence, is_more) = rated.write(&mut transaction).await?;
                added += u64::from(is_more);
                sequence
            }
            Change::Settle { sequence, delivery } => {
                sqlx::query("UPDATE record SET delivery = $1 WHERE sequence = $2")
                    .bind(*delivery as i32)
                    .bind(sequence)
                    .execute(&mut *transaction)
                    .await?;
                *sequence
            }
            Change::Probe => {
                sqlx::query("INSERT INTO probe (id, count) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET count = count + 1")
                    .execute(&mut *transaction)
                    .await?;
                0
            }
        };
        sequences.push(sequence);
    }
    // Held before it is visible, and settled before it is let go, so that the reporter cannot see it in between.
    hold(group, &sequences, &ended, state);
    transaction.commit().await?;
    let_go(group, sequences.iter().chain(&ended), state);
    state.depth.fetch_add(added, Ordering::Relaxed);
    Ok(sequences)
}

fn hold(group: &[Write], sequences: &[i64], ended: &[i64], state: &State) {
    let mut held = state.held.lock();
    let held = &mut held.sequences;
    for (write, sequence) in group.iter().zip(sequences) {
        match write.change {
            Change::Append { held: true, .. } => drop(held.insert(*sequence)),
            // Also after an append: a place that a failed transaction gave back may be given again.
            Change::Append { held: false, .. } | Change::Rating(_) => {
                held.remove(sequence);
            }
            Change::Conversations(_) | Change::Settle { .. } | Change::Probe => {}
        }
    }
    for sequence in ended {
        held.remove(sequence);
    }
}

fn let_go<'a>(group: &[Write], written: impl Iterator<Item = &'a i64>, state: &State) {
    let mut held = state.held.lock();
    held.newest = written.copied().fold(held.newest, i64::max);
    for write in group {
        if let Change::Settle { sequence, .. } = write.change {
            held.sequences.remove(&sequence);
        }
    }
}

async fn append(
    transaction: &mut Transaction<'_, Sqlite>,
    event: &[u8],
    delivery: Delivery,
) -> Result<i64, sqlx::Error> {
    let (sequence,): (i64,) =
        sqlx::query_as("INSERT INTO record (event, delivery) VALUES ($1, $2) RETURNING sequence")
            .bind(event)
            .bind(delivery as i32)
            .fetch_one(&mut **transaction)
            .await?;
    Ok(sequence)
}

async fn delete(transaction: &mut Transaction<'_, Sqlite>, sequences: &[i64]) -> Result<u64, sqlx::Error> {
    let mut removed = 0;
    for sequence in sequences {
        let done = sqlx::query("DELETE FROM record WHERE sequence = $1")
            .bind(sequence)
            .execute(&mut **transaction)
            .await?;
        removed += done.rows_affected();
        origin::forget(transaction, *sequence).await?;
    }
    ratings::forget_reported(transaction).await?;
    Ok(removed)
}

#[cfg(test)]
mod tests;
