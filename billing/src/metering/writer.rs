//! A few threads write all usage. Small batches have one of their own, which merges those that come while a transaction is
//! on its way to the disk into the next one: many small reports cost few syncs, and wait for no large batch. Large batches
//! go by tenant, so that the two witnesses of an event do not meet in two transactions. What a caller hears is heard after
//! the commit.
//!
//! Each thread has its runtime and its connection for itself: between two round trips of a small transaction there is no
//! turn of a runtime that works on thousands of records.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::io;
use std::sync::Arc;

use springtide_proto::error::{ApiError, Reason};
use springtide_runtime::clock::Clock;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::report::{Examined, Verdict};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// Batches that may wait for a thread; more wait in their callers.
const QUEUE: usize = 64;
/// Records up to which a batch is small.
const SMALL: usize = 500;
/// Records after which no further batch is merged into a transaction.
const ENOUGH: usize = 10_000;

type Answer = Result<Vec<Verdict>, ApiError>;

struct Submission {
    records: Vec<Examined>,
    answer: oneshot::Sender<Answer>,
}

/// Where handlers put their batches. The threads end when all of these are gone.
#[derive(Clone, Debug)]
pub struct UsageWriter {
    small: mpsc::Sender<Submission>,
    large: Vec<mpsc::Sender<Submission>>,
}

impl UsageWriter {
    /// Starts the threads; what is returned beside it ends with them.
    pub fn start(
        store: Store,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let writers = store.writers();
        let writing = Writing {
            store,
            clock,
            metrics,
        };
        let mut ends = Vec::new();
        let mut start = |name: &str| {
            let (submissions, end) = writing.clone().on_its_own_thread(name)?;
            ends.push(end);
            io::Result::Ok(submissions)
        };
        let small = start("small-usage")?;
        let large = (0..writers)
            .map(|_| start("large-usage"))
            .collect::<io::Result<_>>()?;
        let all = tokio::spawn(async move {
            for end in ends {
                // It says nothing: it ends.
                drop(end.await);
            }
        });
        Ok((Self { small, large }, all))
    }

    /// Batches of so many records are merged.
    pub const fn is_small(records: usize) -> bool {
        records <= SMALL
    }

    /// Makes a batch durable; a verdict for each record, in order. That the caller goes away stops nothing.
    pub async fn write(&self, records: Vec<Examined>) -> Answer {
        let (answer, result) = oneshot::channel();
        let ended = |()| ApiError::new(Reason::Unavailable, "billing is shutting down; try again");
        self.thread_for(&records)
            .send(Submission { records, answer })
            .await
            .map_err(|_| ended(()))?;
        result.await.map_err(|_| ended(()))?
    }

    fn thread_for(&self, records: &[Examined]) -> &mpsc::Sender<Submission> {
        if Self::is_small(records.len()) {
            return &self.small;
        }
        let tenant = records.iter().find_map(|record| record.as_ref().ok());
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let number = hasher.hash_one(tenant.map(|report| &report.party)) % self.large.len().max(1) as u64;
        let position = usize::try_from(number).unwrap_or_default();
        self.large.get(position).unwrap_or(&self.small)
    }
}

#[derive(Clone)]
struct Writing {
    store: Store,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl Writing {
    /// Starts a thread that writes; the second ends with it.
    fn on_its_own_thread(
        mut self,
        name: &str,
    ) -> io::Result<(mpsc::Sender<Submission>, oneshot::Receiver<()>)> {
        let (submissions, waiting) = mpsc::channel(QUEUE);
        let (ended, end) = oneshot::channel::<()>();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(async {
                self.store = self.store.for_a_writer();
                self.run(waiting).await;
            });
            drop(ended);
        })?;
        Ok((submissions, end))
    }

    async fn run(self, mut waiting: mpsc::Receiver<Submission>) {
        while let Some(first) = waiting.recv().await {
            let mut size = first.records.len();
            let mut group = vec![first];
            while size < ENOUGH {
                let Ok(next) = waiting.try_recv() else { break };
                size += next.records.len();
                group.push(next);
            }
            self.write_group(group).await;
        }
        self.store.close_writer().await;
    }

    async fn write_group(&self, mut group: Vec<Submission>) {
        let mut records = Vec::new();
        let mut callers = Vec::with_capacity(group.len());
        for submission in &mut group {
            callers.push(submission.records.len());
            records.append(&mut submission.records);
        }
        let outcome = self.ingest(&records).await;
        match outcome {
            Ok(mut verdicts) => {
                for (submission, size) in group.into_iter().zip(callers) {
                    let rest = verdicts.split_off(size.min(verdicts.len()));
                    // A caller that went away does not hear it; its batch is durable all the same.
                    drop(submission.answer.send(Ok(std::mem::replace(&mut verdicts, rest))));
                }
            }
            Err(error) if error.is_about_the_data() && group.len() > 1 => {
                tracing::warn!(
                    batches = group.len(),
                    "a merged transaction failed, each batch is tried alone"
                );
                for (submission, size) in group.into_iter().zip(callers) {
                    let rest = records.split_off(size.min(records.len()));
                    let own = std::mem::replace(&mut records, rest);
                    drop(
                        submission
                            .answer
                            .send(self.ingest(&own).await.map_err(ApiError::from)),
                    );
                }
            }
            Err(error) => {
                let error = ApiError::from(error);
                for submission in group {
                    drop(submission.answer.send(Err(error.clone())));
                }
            }
        }
    }

    async fn ingest(&self, records: &[Examined]) -> Result<Vec<Verdict>, StoreError> {
        let started = self.clock.now();
        let verdicts = self.store.ingest(records, started).await?;
        self.metrics
            .ingested(&verdicts, records, started, self.clock.now());
        Ok(verdicts)
    }
}
