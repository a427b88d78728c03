//! One task writes all usage. Batches that come while a transaction is on its way to the disk are merged into the next
//! one, so that many small reports cost few syncs. What a caller hears is heard after the commit.

use std::sync::Arc;

use springtide_proto::error::{ApiError, Reason};
use springtide_runtime::clock::Clock;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::report::{Examined, Verdict};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// Batches that may wait; more wait in their callers.
const QUEUE: usize = 64;
/// Records after which no further batch is merged into a transaction.
const ENOUGH: usize = 20_000;

type Answer = Result<Vec<Verdict>, ApiError>;

struct Submission {
    records: Vec<Examined>,
    answer: oneshot::Sender<Answer>,
}

/// Where handlers put their batches. The task ends when all of these are gone.
#[derive(Clone, Debug)]
pub struct UsageWriter {
    submissions: mpsc::Sender<Submission>,
}

impl UsageWriter {
    /// Starts the task.
    pub fn start(store: Store, clock: Arc<dyn Clock>, metrics: Metrics) -> (Self, JoinHandle<()>) {
        let (submissions, waiting) = mpsc::channel(QUEUE);
        let writing = Writing {
            store,
            clock,
            metrics,
        };
        (Self { submissions }, tokio::spawn(writing.run(waiting)))
    }

    /// Makes a batch durable; a verdict for each record, in order. That the caller goes away stops nothing.
    pub async fn write(&self, records: Vec<Examined>) -> Answer {
        let (answer, result) = oneshot::channel();
        let ended = |()| ApiError::new(Reason::Unavailable, "billing is shutting down; try again");
        self.submissions
            .send(Submission { records, answer })
            .await
            .map_err(|_| ended(()))?;
        result.await.map_err(|_| ended(()))?
    }
}

struct Writing {
    store: Store,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl Writing {
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
    }

    async fn write_group(&self, mut group: Vec<Submission>) {
        if group.len() == 1 {
            for submission in group {
                self.write_alone(submission).await;
            }
            return;
        }
        let sizes: Vec<_> = group.iter().map(|submission| submission.records.len()).collect();
        let merged = group
            .iter()
            .flat_map(|submission| submission.records.iter().cloned())
            .collect();
        match self.ingest(merged).await {
            Ok(mut verdicts) => {
                for (submission, size) in group.into_iter().zip(sizes) {
                    let rest = verdicts.split_off(size.min(verdicts.len()));
                    // A caller that went away does not hear it; its batch is durable all the same.
                    drop(submission.answer.send(Ok(std::mem::replace(&mut verdicts, rest))));
                }
            }
            Err(error) if error.is_about_the_data() => {
                tracing::warn!(
                    batches = group.len(),
                    "a merged transaction failed, each batch is tried alone"
                );
                for submission in group.drain(..) {
                    self.write_alone(submission).await;
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

    async fn write_alone(&self, submission: Submission) {
        let Submission { records, answer } = submission;
        let result = self.ingest(records).await.map_err(ApiError::from);
        drop(answer.send(result));
    }

    async fn ingest(&self, records: Vec<Examined>) -> Result<Vec<Verdict>, StoreError> {
        let times: Vec<_> = records
            .iter()
            .map(|record| record.as_ref().ok().map(|report| report.event.time))
            .collect();
        let started = self.clock.now();
        let verdicts = self.store.ingest(records, started).await?;
        let now = self.clock.now();
        self.metrics.ingested(&verdicts, &times, started, now);
        Ok(verdicts)
    }
}
