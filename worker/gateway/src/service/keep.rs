//! Keeps minutes of service in the spool and takes them to billing.

use std::sync::Arc;
use std::time::Duration;

use springtide_proto::error::ApiError;
use springtide_proto::ids::{TenantId, TenantUid};
use springtide_proto::metering::metering_client::MeteringClient;
use springtide_proto::metering::record_result::Status;
use springtide_proto::metering::{RecordResult, ReportMinutesRequest, ReportMinutesResponse, ServiceMinute};
use springtide_proto::time::timestamp_to_wire;
use springtide_runtime::clock::Clock;
use springtide_runtime::pod::PodIdentity;
use springtide_runtime::spool::minutes::{MinuteCounts, SpooledMinute};
use springtide_runtime::spool::{Spool, SpoolError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::ServiceMinutes;

const TICK: Duration = Duration::from_secs(1);
const BATCH: u32 = 1_000;
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A look at the spool without being told of a closed minute, so that a missed notice costs little.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Clone)]
pub struct MinuteKeeper {
    /// What is counted.
    pub minutes: Arc<ServiceMinutes>,
    /// Where it is kept.
    pub spool: Spool,
    /// Where it goes.
    pub billing: Channel,
    /// Whose gateway.
    pub tenant: TenantId,
    /// Identity of that tenant.
    pub tenant_uid: TenantUid,
    /// Which pod.
    pub pod: PodIdentity,
    /// Tells the minute.
    pub clock: Arc<dyn Clock>,
    /// Told when a minute is closed.
    pub closed: Arc<Notify>,
}

#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("billing did not answer in time")]
    TimedOut,
    #[error("billing refused the minutes: {0}")]
    Refused(ApiError),
    #[error("billing answered {answered} of {sent} minutes")]
    Incomplete { sent: usize, answered: usize },
}

impl MinuteKeeper {
    /// Keeps and reports until `shutdown`; a flush before that is [`MinuteKeeper::flush`].
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::join!(self.keep(&shutdown), self.report(&shutdown));
    }

    /// Closes every minute and waits until billing has them, at most `deadline`; says whether it has. Turns must have ended.
    pub async fn flush(&self, deadline: Duration) -> bool {
        self.minutes.book(super::book::Book::close_all);
        let flushed = async {
            while !self.is_flushed().await {
                self.closed.notify_waiters();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(deadline, flushed).await.is_ok()
    }

    async fn is_flushed(&self) -> bool {
        let kept = self.keep_once().await.is_ok();
        let left = self.spool.closed_minutes(1).await;
        kept && left.is_ok_and(|left| left.is_empty())
    }

    async fn keep(&self, shutdown: &CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
            let now = self.clock.now();
            self.minutes.book(|book| {
                book.lived(now);
                book.close(now);
            });
            if let Err(error) = self.keep_once().await {
                tracing::warn!(%error, "minutes of service are not kept");
            }
        }
    }

    async fn keep_once(&self) -> Result<(), SpoolError> {
        let minutes = self.minutes.unkept();
        if minutes.is_empty() {
            return Ok(());
        }
        self.spool.keep_minutes(&minutes).await?;
        self.minutes.book(|book| book.kept(&minutes));
        if minutes.iter().any(|minute| minute.closed) {
            self.closed.notify_waiters();
        }
        Ok(())
    }

    async fn report(&self, shutdown: &CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            let wait = match self.report_once().await {
                Ok(0) => {
                    pause = FIRST_PAUSE;
                    tokio::select! {
                        () = shutdown.cancelled() => return,
                        () = self.closed.notified() => continue,
                        () = tokio::time::sleep(LOOK_AGAIN) => continue,
                    }
                }
                Ok(_) => {
                    pause = FIRST_PAUSE;
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, retry_ms = pause.as_millis(), "minutes of service not reported");
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

    /// One batch; how many minutes left the spool.
    async fn report_once(&self) -> Result<usize, ReportError> {
        let spooled = self.spool.closed_minutes(BATCH).await?;
        if spooled.is_empty() {
            return Ok(0);
        }
        let request = ReportMinutesRequest {
            tenant_uid: self.tenant_uid.to_string(),
            tenant: self.tenant.to_string(),
            reporter: self.pod.name.to_string(),
            minutes: spooled.iter().map(wire_minute).collect(),
        };
        let mut client = MeteringClient::new(self.billing.clone());
        let ReportMinutesResponse { results } =
            tokio::time::timeout(CALL_TIMEOUT, client.report_minutes(request))
                .await
                .map_err(|_| ReportError::TimedOut)?
                .map_err(|status| ReportError::Refused(ApiError::from_status(&status)))?
                .into_inner();
        if results.len() != spooled.len() {
            return Err(ReportError::Incomplete {
                sent: spooled.len(),
                answered: results.len(),
            });
        }
        for (result, minute) in results.iter().zip(&spooled) {
            note_refusal(result, minute);
        }
        self.spool.forget_minutes(&spooled).await?;
        Ok(spooled.len())
    }
}

fn note_refusal(result: &RecordResult, minute: &SpooledMinute) {
    if !matches!(result.status(), Status::Accepted | Status::Duplicate) {
        let RecordResult { reason, message, .. } = result;
        tracing::error!(minute = %minute.minute, pool = %minute.pool, reason, message, "billing refused a minute of service");
    }
}

fn wire_minute(minute: &SpooledMinute) -> ServiceMinute {
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
        closed: _,
    } = minute;
    ServiceMinute {
        pool: pool.to_string(),
        boot_id: boot_id.to_string(),
        minute: Some(timestamp_to_wire(*minute)),
        good: *good,
        bad: *bad,
        fast: *fast,
        slow: *slow,
    }
}

#[cfg(test)]
mod tests;
