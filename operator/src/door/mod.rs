//! Probes of the tenants' public doors: a synthetic turn for each pool with a channel, every 15 seconds.
//!
//! A probe goes where customers go, through the gateways' Service, and is answered by a worker. It is synthetic: nothing of it is
//! billed, and it is no load. A minute in which a door failed twice running is bad, and reported to billing as such; of a minute in
//! which it answered nothing is said, for gateways report those. A door *fails* when nothing or an error of ours comes back within
//! the time-out; that there is no worker to answer only where the pool should never be empty, and has answered before.
//!
//! When nothing comes back from any door, it is the operator's own network that is in trouble, and no tenant's minute is bad by
//! that. How that is told from doors that are away: [`silence`].

mod report;
mod schedule;
mod silence;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
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
use springtide_proto::ids::{PoolId, TenantId};
use springtide_runtime::identity::{PeerIdentity, TenantRole};
use springtide_runtime::probe::{PROBE_HEADER, ProbeKey};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::api::Tenant;
use crate::controllers::context::Context;
use crate::controllers::metrics::ProbeLabels;
use crate::fleet::PoolKey;
use crate::names::{GATEWAY, tenant_namespace};
use report::Waiting;
use schedule::{Door, Finding, Outcome, PERIOD_SECONDS, Schedule, Turns};

/// Longest wait for a door: a customer would have had an answer or a place in the waiting room.
const TIMEOUT: Duration = Duration::from_secs(5);
/// From sending a probe until all that were sent before it are noted.
const SETTLED: Duration = Duration::from_secs(6);
/// Doors that are probed at once.
const AT_ONCE: usize = 32;
const TICK: Duration = Duration::from_secs(1);
/// The witness: it is there in every cluster, and the way to it is like that to a door.
const WITNESS: &str = "kubernetes.default.svc:443";

struct Prober {
    context: Arc<Context>,
    client: HyperClient<HttpConnector, Full<Bytes>>,
    schedule: Mutex<Schedule>,
    bad: Waiting,
    permits: Semaphore,
}

/// Probes for as long as the term lasts, unless the installation wants none.
pub(crate) async fn watch(context: &Arc<Context>, instance: &str, boot_id: &str) {
    if !context.installation.probe_doors {
        return std::future::pending().await;
    }
    context.metrics.probes_in_trouble.set(0);
    let prober = Arc::new(Prober::new(context.clone(), instance, boot_id));
    tokio::join!(prober.probe(), prober.bad.report(context));
}

impl Prober {
    fn new(context: Arc<Context>, instance: &str, boot_id: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(TIMEOUT));
        Self {
            context,
            // A new connection each time: an old one may lead past what a customer would meet.
            client: HyperClient::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build(connector),
            schedule: Mutex::default(),
            bad: Waiting::new(instance, boot_id),
            permits: Semaphore::new(AT_ONCE),
        }
    }

    async fn probe(self: &Arc<Self>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut turns = Turns::default();
        // Those that are on their way end with this, and it with the term.
        let mut probes = JoinSet::new();
        loop {
            tick.tick().await;
            while probes.try_join_next().is_some() {}
            let seconds = turns.due(self.second());
            let due: Vec<_> = {
                let mut schedule = self.schedule.lock();
                schedule.keep(self.doors());
                seconds.clone().flat_map(|second| schedule.due(second)).collect()
            };
            for (key, door) in due {
                let prober = self.clone();
                probes.spawn(async move { prober.probe_one(key, door).await });
            }
            if seconds.into_iter().any(|second| second % PERIOD_SECONDS == 0) {
                let prober = self.clone();
                probes.spawn(async move { prober.ask_witness().await });
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
        let Ok(permit) = self.permits.acquire().await else {
            return;
        };
        let sent = self.context.clock.now();
        let settled = tokio::time::sleep(SETTLED);
        let answer = tokio::time::timeout(TIMEOUT, self.ask(&key, &door, sent)).await;
        drop(permit);
        let outcome = match answer.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::debug!(%key, error, "nothing came back from the public door");
                Outcome::Silent
            }
        };
        if outcome == Outcome::Silent {
            settled.await;
        }
        self.note(&key, door, sent, outcome);
    }

    fn note(&self, key: &PoolKey, door: Door, sent: Timestamp, outcome: Outcome) {
        let (finding, was_in_trouble, is_in_trouble) = {
            let mut schedule = self.schedule.lock();
            let before = schedule.is_in_trouble();
            (
                schedule.note(key, sent, outcome),
                before,
                schedule.is_in_trouble(),
            )
        };
        let metrics = &self.context.metrics;
        let outcome = label_of(outcome, finding);
        metrics.probes.get_or_create(&ProbeLabels { outcome }).inc();
        match (was_in_trouble, is_in_trouble) {
            (false, true) => tracing::warn!(
                "no public door is reached, by the operator's own network as it seems; nothing is said of tenants until one is"
            ),
            (true, false) => tracing::info!("public doors are reached again"),
            _ => {}
        }
        metrics.probes_in_trouble.set(is_in_trouble.into());
        if !matches!(outcome, "answered" | "empty" | "own_trouble") {
            tracing::info!(%key, outcome, "the public door does not answer");
        }
        if let Finding::BadMinute(minute) = finding {
            self.bad.push(key, door.tenant_uid, minute);
        }
    }

    async fn ask_witness(&self) {
        let sent = self.context.clock.now();
        let connected = tokio::time::timeout(TIMEOUT, TcpStream::connect(WITNESS)).await;
        if let Ok(Ok(_)) = connected {
            self.schedule.lock().note_witness(sent);
        }
    }

    /// How it went; an error if nothing came back.
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
            other => {
                tracing::debug!(%key, status = %other, "an error came back from the public door");
                Ok(Outcome::Failed)
            }
        }
    }

    fn key(&self, tenant: &TenantId) -> ProbeKey {
        let gateway = PeerIdentity::tenant(tenant, TenantRole::Gateway);
        ProbeKey::new(&self.context.authority.probe_key(&gateway))
    }
}

fn label_of(outcome: Outcome, finding: Finding) -> &'static str {
    match (outcome, finding) {
        (_, Finding::OwnTrouble) => "own_trouble",
        (Outcome::Answered, _) => "answered",
        (Outcome::Empty { .. }, _) => "empty",
        (Outcome::Failed, _) => "failed",
        (Outcome::Silent, _) => "silent",
    }
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
