//! Bad minutes on their way to billing. They wait in memory while it is away.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::metering::{ReportMinutesRequest, ServiceMinute};
use springtide_proto::time::timestamp_to_wire;

use crate::controllers::context::Context;
use crate::fleet::PoolKey;

/// Bad minutes that wait for billing, at most; the oldest go first.
const MOST_WAITING: usize = 10_000;
const TICK: Duration = Duration::from_secs(1);

/// A minute in which a door failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadMinute {
    pub(super) key: PoolKey,
    pub(super) tenant_uid: String,
    pub(super) minute: Timestamp,
}

/// Those that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting(pub(super) Mutex<VecDeque<BadMinute>>);

impl Waiting {
    pub(super) fn push(&self, bad: BadMinute) {
        let mut waiting = self.0.lock();
        if waiting.len() == MOST_WAITING {
            waiting.pop_front();
        }
        waiting.push_back(bad);
    }

    /// Takes them to billing, each until it is there.
    pub(super) async fn report(&self, context: &Context, instance: &str, boot_id: &str) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            while let Some(next) = self.next() {
                let request = request_of(&next, instance, boot_id);
                match context.billing.report_minutes(request).await {
                    Ok(()) => {}
                    Err(error) if is_refused(&error) => {
                        tracing::error!(key = %next.key, minute = %next.minute, %error, "billing refuses a bad minute");
                    }
                    Err(error) => {
                        tracing::warn!(%error, "bad minutes of public doors are not reported yet");
                        break;
                    }
                }
                drop(self.0.lock().pop_front_if(|front| *front == next));
            }
        }
    }

    fn next(&self) -> Option<BadMinute> {
        self.0.lock().front().cloned()
    }
}

/// Asking again would be refused again.
fn is_refused(error: &ApiError) -> bool {
    matches!(
        error.reason,
        Reason::InvalidArgument | Reason::PermissionDenied | Reason::NotFound | Reason::FailedPrecondition
    )
}

fn request_of(bad: &BadMinute, instance: &str, boot_id: &str) -> ReportMinutesRequest {
    ReportMinutesRequest {
        tenant_uid: bad.tenant_uid.clone(),
        tenant: bad.key.tenant.to_string(),
        reporter: instance.to_owned(),
        minutes: vec![ServiceMinute {
            pool: bad.key.pool.to_string(),
            boot_id: boot_id.to_owned(),
            minute: Some(timestamp_to_wire(bad.minute)),
            good: 0,
            bad: 1,
            fast: 0,
            slow: 0,
        }],
    }
}
