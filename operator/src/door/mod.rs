//! Probes of the tenants' public doors: a synthetic turn for each pool with a channel, every 15 seconds.
//!
//! A probe goes where customers go, through the gateways' Service, and is answered by a worker. It is synthetic: nothing of it is
//! billed, and it is no load. A minute in which a door failed twice running is bad, and reported to billing as such; of a minute in
//! which it answered nothing is said, for gateways report those. A door *fails* when nothing or an error of ours comes back within
//! the time-out; that there is no worker to answer only where the pool should never be empty, and has answered before.

mod schedule;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use kube::ResourceExt as _;
use parking_lot::Mutex;
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::ids::{PoolId, TenantId};
use springtide_proto::metering::{ReportMinutesRequest, ServiceMinute};
use springtide_proto::time::timestamp_to_wire;
use springtide_runtime::identity::{PeerIdentity, TenantRole};
use springtide_runtime::probe::{PROBE_HEADER, ProbeKey};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::api::Tenant;
use crate::controllers::context::Context;
use crate::fleet::PoolKey;
use crate::names::{GATEWAY, tenant_namespace};
use schedule::{Door, Outcome, Schedule};

/// Longest wait for a door: a customer would have had an answer or a place in the waiting room.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Doors that are probed at once.
const AT_ONCE: usize = 32;
/// Bad minutes that wait for billing, at most; the oldest go first.
const MOST_WAITING: usize = 10_000;
const TICK: Duration = Duration::from_secs(1);

/// A minute in which a door failed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BadMinute {
    key: PoolKey,
    tenant_uid: String,
    minute: Timestamp,
}

struct Prober {
    context: Arc<Context>,
    client: HyperClient<HttpConnector, Full<Bytes>>,
    schedule: Mutex<Schedule>,
    bad: Mutex<VecDeque<BadMinute>>,
    permits: Semaphore,
}

/// Probes for as long as the term lasts, unless the installation wants none.
pub(crate) async fn watch(context: &Arc<Context>, instance: &str, boot_id: &str) {
    if !context.installation.probe_doors {
        return std::future::pending().await;
    }
    let prober = Arc::new(Prober::new(context.clone()));
    tokio::join!(prober.probe(), prober.report(instance, boot_id));
}

impl Prober {
    fn new(context: Arc<Context>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(TIMEOUT));
        Self {
            context,
            // A new connection each time: an old one may lead past what a customer would meet.
            client: HyperClient::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build(connector),
            schedule: Mutex::default(),
            bad: Mutex::default(),
            permits: Semaphore::new(AT_ONCE),
        }
    }

    async fn probe(self: &Arc<Self>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut next = self.second();
        let probes = TaskTracker::new();
        loop {
            tick.tick().await;
            // A tick that is late leaves out no second; after a long stop each door has one turn.
            let now = self.second();
            // A clock that was set back begins anew.
            next = if next > now + 1 { now } else { next };
            next = next.max(now.saturating_sub(schedule::PERIOD_SECONDS - 1));
            let due: Vec<_> = {
                let mut schedule = self.schedule.lock();
                schedule.keep(self.doors());
                (next..=now).flat_map(|second| schedule.due(second)).collect()
            };
            next = next.max(now + 1);
            for (key, door) in due {
                let prober = self.clone();
                probes.spawn(async move { prober.probe_one(key, door).await });
            }
        }
    }

    fn second(&self) -> u64 {
        u64::try_from(self.context.clock.now().as_second()).unwrap_or_default()
    }

    /// Doors of the tenants that are there to stay: the first channel that leads to each pool.
    fn doors(&self) -> BTreeMap<PoolKey, Door> {
        let tenants = self.context.stores.tenants.state();
        let staying = tenants
            .iter()
            .filter(|tenant| tenant.metadata.deletion_timestamp.is_none());
        staying.flat_map(|tenant| doors_of(tenant)).collect()
    }

    async fn probe_one(&self, key: PoolKey, door: Door) {
        let Ok(_permit) = self.permits.acquire().await else {
            return;
        };
        let sent = self.context.clock.now();
        let answer = tokio::time::timeout(TIMEOUT, self.ask(&key, &door, sent)).await;
        let result = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        if let Err(error) = &result {
            tracing::info!(%key, error, "the public door does not answer");
        }
        let outcome = result.unwrap_or(Outcome::Failed);
        let bad = self.schedule.lock().note(&key, sent, outcome);
        if let Some(minute) = bad {
            let mut waiting = self.bad.lock();
            if waiting.len() == MOST_WAITING {
                waiting.pop_front();
            }
            waiting.push_back(BadMinute {
                key,
                tenant_uid: door.tenant_uid,
                minute,
            });
        }
    }

    async fn ask(&self, key: &PoolKey, door: &Door, now: Timestamp) -> Result<Outcome, String> {
        let path = format!("/v1/conversations/probe-{}/turns", key.pool);
        let host = format!("{GATEWAY}.{}.svc", tenant_namespace(key.tenant.as_str()));
        let body = serde_json::json!({"turn_id": "probe", "text": "你好", "channel": door.channel, "wait_seconds": 0});
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{host}{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(PROBE_HEADER, self.key(&key.tenant).sign(&path, now))
            .body(Full::from(body.to_string()))
            .map_err(|error| error.to_string())?;
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| error.to_string())?;
        match response.status() {
            StatusCode::OK => Ok(Outcome::Answered),
            StatusCode::ACCEPTED => Ok(Outcome::Empty {
                should_answer: self.context.live.pool(key).is_some_and(|live| live.floor > 0),
            }),
            other => Err(format!("answered {other}")),
        }
    }

    fn key(&self, tenant: &TenantId) -> ProbeKey {
        let gateway = PeerIdentity::tenant(tenant, TenantRole::Gateway);
        ProbeKey::new(&self.context.authority.probe_key(&gateway))
    }

    /// Takes bad minutes to billing, each until it is there.
    async fn report(&self, instance: &str, boot_id: &str) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            while let Some(next) = self.next_bad() {
                let request = request_of(&next, instance, boot_id);
                match self.context.billing.report_minutes(request).await {
                    Ok(()) => {}
                    Err(error) if is_refused(&error) => {
                        tracing::error!(key = %next.key, minute = %next.minute, %error, "billing refuses a bad minute");
                    }
                    Err(error) => {
                        tracing::warn!(%error, "bad minutes of public doors are not reported yet");
                        break;
                    }
                }
                drop(self.bad.lock().pop_front_if(|front| *front == next));
            }
        }
    }

    fn next_bad(&self) -> Option<BadMinute> {
        self.bad.lock().front().cloned()
    }
}

/// Asking again would be refused again.
fn is_refused(error: &ApiError) -> bool {
    matches!(
        error.reason,
        Reason::InvalidArgument | Reason::PermissionDenied | Reason::NotFound | Reason::FailedPrecondition
    )
}

fn doors_of(tenant: &Tenant) -> BTreeMap<PoolKey, Door> {
    let Ok(name) = TenantId::parse(tenant.name_any()) else {
        return BTreeMap::new();
    };
    let tenant_uid = tenant.uid().unwrap_or_default();
    let channels = tenant.spec.channels.iter().rev();
    let doors = channels.filter_map(|(channel, to)| {
        let key = PoolKey {
            tenant: name.clone(),
            pool: PoolId::parse(to.pool.clone()).ok()?,
        };
        let door = Door {
            tenant_uid: tenant_uid.clone(),
            channel: channel.clone(),
        };
        Some((key, door))
    });
    doors.collect()
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
