//! Bad minutes on their way to billing. While it is away they wait in memory, and are *kept* in a ConfigMap for the next leader.
//!
//! A minute is reported as of the leader that found it, whoever reports it: billing takes it once.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ObjectMeta;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::metering::{ReportMinutesRequest, ServiceMinute};
use springtide_proto::time::timestamp_to_wire;
use tokio::time::Instant;

use crate::controllers::apply::apply_namespaced;
use crate::controllers::context::Context;
use crate::fleet::PoolKey;
use crate::names::{BAD_MINUTES, FIELD_MANAGER, NAME_LABEL};

/// Bad minutes that wait for billing, at most; the oldest go first.
const MOST_WAITING: usize = 10_000;
/// Of these, so many are kept, the newest: some 400 KiB.
const MOST_KEPT: usize = 2_000;
const TICK: Duration = Duration::from_secs(1);
/// The ConfigMap is written at most once within this.
const KEEP_PERIOD: Duration = Duration::from_secs(10);
/// A request to the API server takes at most this.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Where in the ConfigMap they are.
const FIELD: &str = "minutes";

/// A minute in which a door failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BadMinute {
    tenant_uid: String,
    tenant: String,
    pool: String,
    minute: Timestamp,
    /// The leader that found it, and this start of it.
    reporter: String,
    boot_id: String,
}

/// Those that wait.
#[derive(Debug)]
pub(super) struct Waiting {
    queue: Mutex<VecDeque<BadMinute>>,
    reporter: String,
    boot_id: String,
}

impl Waiting {
    /// Found by this leader.
    pub(super) fn new(reporter: &str, boot_id: &str) -> Self {
        Self {
            queue: Mutex::default(),
            reporter: reporter.to_owned(),
            boot_id: boot_id.to_owned(),
        }
    }

    pub(super) fn push(&self, key: &PoolKey, tenant_uid: String, minute: Timestamp) {
        let mut queue = self.queue.lock();
        while queue.len() >= MOST_WAITING {
            queue.pop_front();
        }
        queue.push_back(BadMinute {
            tenant_uid,
            tenant: key.tenant.to_string(),
            pool: key.pool.to_string(),
            minute,
            reporter: self.reporter.clone(),
            boot_id: self.boot_id.clone(),
        });
    }

    /// Takes them to billing, each until it is there, for as long as the term lasts.
    pub(super) async fn report(&self, context: &Context) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // What the ConfigMap has: not known before it was read, and not written before that.
        let (mut kept, mut written) = (None, None::<Instant>);
        loop {
            tick.tick().await;
            if kept.is_none() {
                kept = self.take_over(context).await;
            }
            self.report_all(context).await;
            let is_due = written.is_none_or(|written| written.elapsed() >= KEEP_PERIOD);
            if let Some(known) = kept.as_ref().filter(|_| is_due) {
                let to_keep = self.to_keep();
                if to_keep != *known {
                    written = Some(Instant::now());
                    if keep(context, &to_keep).await {
                        kept = Some(to_keep);
                    }
                }
            }
        }
    }

    async fn report_all(&self, context: &Context) {
        while let Some(next) = self.next() {
            match context.billing.report_minutes(request_of(&next)).await {
                Ok(()) => {}
                Err(error) if is_refused(&error) => {
                    let BadMinute {
                        tenant, pool, minute, ..
                    } = &next;
                    tracing::error!(tenant, pool, %minute, %error, "billing refuses a bad minute");
                }
                Err(error) => {
                    tracing::warn!(%error, "bad minutes of public doors are not reported yet");
                    return;
                }
            }
            drop(self.queue.lock().pop_front_if(|front| *front == next));
        }
    }

    fn next(&self) -> Option<BadMinute> {
        self.queue.lock().front().cloned()
    }

    /// What an earlier leader left waits before all else. `None`: it could not be read.
    async fn take_over(&self, context: &Context) -> Option<Vec<BadMinute>> {
        let namespace = &context.installation.system_namespace;
        let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), namespace);
        let map = match tokio::time::timeout(TIMEOUT, maps.get_opt(BAD_MINUTES)).await {
            Ok(Ok(map)) => map.unwrap_or_default(),
            Ok(Err(error)) => {
                tracing::warn!(%error, "bad minutes that an earlier leader left are not read yet");
                return None;
            }
            Err(_) => return None,
        };
        let text = map.data.unwrap_or_default().remove(FIELD).unwrap_or_default();
        let left: Vec<BadMinute> = if text.is_empty() {
            Vec::new()
        } else {
            serde_json::from_str(&text).unwrap_or_else(|error| {
                tracing::error!(%error, "bad minutes that an earlier leader left are not understood");
                Vec::new()
            })
        };
        let mut queue = self.queue.lock();
        for bad in left.iter().rev() {
            queue.push_front(bad.clone());
        }
        Some(left)
    }

    fn to_keep(&self) -> Vec<BadMinute> {
        let queue = self.queue.lock();
        let beyond = queue.len().saturating_sub(MOST_KEPT);
        queue.iter().skip(beyond).cloned().collect()
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.queue.lock().len()
    }
}

/// Whether it is done.
async fn keep(context: &Context, minutes: &[BadMinute]) -> bool {
    let Ok(text) = serde_json::to_string(minutes) else {
        return false;
    };
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(BAD_MINUTES.to_owned()),
            namespace: Some(context.installation.system_namespace.clone()),
            labels: Some(BTreeMap::from([(
                NAME_LABEL.to_owned(),
                FIELD_MANAGER.to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(FIELD.to_owned(), text)])),
        ..ConfigMap::default()
    };
    match tokio::time::timeout(TIMEOUT, apply_namespaced(&context.client, &map)).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => {
            tracing::warn!(%error, "bad minutes that wait are not kept for the next leader");
            false
        }
        Err(_) => false,
    }
}

/// Asking again would be refused again.
fn is_refused(error: &ApiError) -> bool {
    matches!(
        error.reason,
        Reason::InvalidArgument | Reason::PermissionDenied | Reason::NotFound | Reason::FailedPrecondition
    )
}

fn request_of(bad: &BadMinute) -> ReportMinutesRequest {
    let BadMinute {
        tenant_uid,
        tenant,
        pool,
        minute,
        reporter,
        boot_id,
    } = bad.clone();
    ReportMinutesRequest {
        tenant_uid,
        tenant,
        reporter,
        minutes: vec![ServiceMinute {
            pool,
            boot_id,
            minute: Some(timestamp_to_wire(minute)),
            good: 0,
            bad: 1,
            fast: 0,
            slow: 0,
        }],
    }
}
