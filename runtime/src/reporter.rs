//! Takes usage records from a spool to billing, until each is acknowledged.
//!
//! While billing is away the spool grows and the reporter tries again with growing pauses; nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use springtide_proto::error::ApiError;
use springtide_proto::metering::metering_client::MeteringClient;
use springtide_proto::metering::record_result::Status;
use springtide_proto::metering::{Record, ReportRequest, ReportResponse, Witness};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::pod::PodIdentity;
use crate::spool::origin::Origin;
use crate::spool::{Spool, SpooledRecord};

const BATCH: u32 = 1_000;
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Records that come within this share a report, and so a transaction in billing.
const LINGER: Duration = Duration::from_millis(400);
/// A look at the spool without being told of a change, so that a missed notice costs little.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What became of the records that were reported.
#[derive(Debug, Default)]
pub struct ReportCounts {
    /// Durable in billing: new, known, or a variant.
    pub taken: AtomicU64,
    /// Refused by billing for good (conflict, rejected); billing keeps them for people to see.
    pub refused: AtomicU64,
}

/// Reports what is in `spool` until `shutdown`.
#[derive(Clone, Debug)]
pub struct Reporter {
    /// Where records come from.
    pub spool: Spool,
    /// Where they go.
    pub billing: Channel,
    /// As whom.
    pub witness: Witness,
    /// Which pod.
    pub pod: PodIdentity,
    /// Counts, for metrics.
    pub counts: Arc<ReportCounts>,
    /// Cancelled when the process ends: from then on nothing lingers.
    pub hurry: CancellationToken,
}

impl Reporter {
    /// Runs until `shutdown`; a flush before that is [`Reporter::flush`].
    pub async fn run(self, shutdown: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            let wait = match self.report_once().await {
                Ok(0) => {
                    pause = FIRST_PAUSE;
                    tokio::select! {
                        () = shutdown.cancelled() => return,
                        () = self.spool.changed() => {}
                        () = tokio::time::sleep(LOOK_AGAIN) => continue,
                    }
                    tokio::select! {
                        () = self.hurry.cancelled() => {}
                        () = tokio::time::sleep(LINGER) => {}
                    }
                    continue;
                }
                Ok(_) => {
                    pause = FIRST_PAUSE;
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, spooled = self.spool.depth(), retry_ms = pause.as_millis(), "usage not reported");
                    let longer = (pause * 2).min(LONGEST_PAUSE);
                    std::mem::replace(&mut pause, longer)
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Waits until the spool is empty, at most `deadline`; says whether it is. [`Reporter::run`] must be running.
    pub async fn flush(&self, deadline: Duration) -> bool {
        self.hurry.cancel();
        let empty = async {
            while self.spool.depth() > 0 {
                tokio::select! {
                    () = self.spool.changed() => {}
                    () = tokio::time::sleep(Duration::from_millis(50)) => {}
                }
            }
        };
        tokio::time::timeout(deadline, empty).await.is_ok()
    }

    /// One batch; how many records left the spool.
    async fn report_once(&self) -> Result<usize, ReportError> {
        let spooled = self.spool.oldest(BATCH).await?;
        if spooled.is_empty() {
            return Ok(0);
        }
        let sequences: Vec<_> = spooled.iter().map(|record| record.sequence).collect();
        let request = ReportRequest {
            records: spooled.into_iter().map(|record| self.record(record)).collect(),
        };
        let response = tokio::time::timeout(
            CALL_TIMEOUT,
            MeteringClient::new(self.billing.clone()).report(request),
        )
        .await
        .map_err(|_| ReportError::TimedOut)?
        .map_err(|status| ReportError::Refused(ApiError::from_status(&status)))?
        .into_inner();
        if response.results.len() != sequences.len() {
            return Err(ReportError::Incomplete {
                sent: sequences.len(),
                answered: response.results.len(),
            });
        }
        self.count(&response);
        let reported = sequences.len();
        self.spool.acknowledge(sequences).await?;
        Ok(reported)
    }

    fn record(&self, spooled: SpooledRecord) -> Record {
        let SpooledRecord {
            sequence: _,
            event,
            delivery,
            origin,
        } = spooled;
        let (witness, reporter, boot_id) = match origin {
            Some(Origin { reporter, boot_id }) => (Witness::Worker, reporter, boot_id),
            None => (
                self.witness,
                self.pod.name.to_string(),
                self.pod.boot_id.to_string(),
            ),
        };
        Record {
            usage_event: event.into(),
            witness: witness.into(),
            delivery: delivery.into(),
            reporter,
            boot_id,
        }
    }

    fn count(&self, response: &ReportResponse) {
        for result in &response.results {
            let counter = match result.status() {
                Status::Accepted | Status::Duplicate | Status::Variant => &self.counts.taken,
                Status::Conflict | Status::Rejected | Status::Unspecified => {
                    tracing::error!(
                        reason = result.reason,
                        message = result.message,
                        "billing refused a usage record"
                    );
                    &self.counts.refused
                }
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error(transparent)]
    Spool(#[from] crate::spool::SpoolError),
    #[error("billing did not answer in time")]
    TimedOut,
    #[error("billing refused the batch: {0}")]
    Refused(ApiError),
    #[error("billing answered {answered} of {sent} records")]
    Incomplete { sent: usize, answered: usize },
}
