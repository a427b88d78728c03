//! From fake Pods to simulated workers and gateways: one is there while its Pod runs and is not being deleted.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use anyhow::bail;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio_util::task::AbortOnDropHandle;

use super::doors::Present;
use super::fleet::{Pool, Tenant};
use super::gateway::Gateway;
use super::link::Link;
use super::notes::Notes;
use super::worker::{HEARTBEAT, Worker};

const TENANT_LABEL: &str = "springtide.dev/tenant";
const POOL_LABEL: &str = "springtide.dev/pool";

/// The simulated parts, by their Pods' UIDs.
pub(super) struct Parts {
    tenants: BTreeMap<String, Arc<Tenant>>,
    /// One connection a pool, which its workers share.
    pools: BTreeMap<(String, String), (Arc<Pool>, Arc<Link>)>,
    capacity: u32,
    present: Present,
    notes: Notes,
    running: BTreeMap<String, Running>,
}

/// Ends with its last owner.
struct Running {
    pool: Option<Arc<Pool>>,
    _task: AbortOnDropHandle<()>,
}

impl Parts {
    pub(super) fn new(tenants: &[Arc<Tenant>], capacity: u32, present: Present, notes: Notes) -> Self {
        let pools = tenants
            .iter()
            .flat_map(|tenant| tenant.pools.iter().map(move |pool| (tenant, pool)));
        let count = pools.clone().count();
        let pools = pools.enumerate().map(|(place, (tenant, pool))| {
            // Pools that came into being at different times do not report at the same instant.
            let delay = HEARTBEAT.mul_f64(place as f64 / count as f64);
            let link = Arc::new(Link::new(tenant.worker_tls.clone(), delay));
            ((tenant.name.clone(), pool.name.clone()), (pool.clone(), link))
        });
        Self {
            pools: pools.collect(),
            tenants: tenants
                .iter()
                .map(|tenant| (tenant.name.clone(), tenant.clone()))
                .collect(),
            capacity,
            present,
            notes,
            running: BTreeMap::new(),
        }
    }

    /// Follows the Pods for ever.
    pub(super) async fn follow(mut self, client: Client) -> anyhow::Result<()> {
        let config = watcher::Config::default().labels(TENANT_LABEL);
        let mut events = std::pin::pin!(watcher(Api::<Pod>::all(client), config).default_backoff());
        let mut listed = HashSet::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(pod)) => {
                    listed.extend(pod.uid());
                    self.apply(&pod);
                }
                Ok(Event::InitDone) => {
                    let gone: Vec<_> = self
                        .running
                        .keys()
                        .filter(|uid| !listed.contains(*uid))
                        .cloned()
                        .collect();
                    for uid in &gone {
                        self.remove(uid);
                    }
                }
                Ok(Event::Apply(pod)) => self.apply(&pod),
                Ok(Event::Delete(pod)) => self.remove(&pod.uid().unwrap_or_default()),
                Err(error) => self.notes.phase("watch interrupted", &error.to_string()),
            }
        }
        bail!("the watch of pods ended")
    }

    fn apply(&mut self, pod: &Pod) {
        let uid = pod.uid().unwrap_or_default();
        let running = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
        if pod.metadata.deletion_timestamp.is_some() {
            self.remove(&uid);
        } else if running
            && !self.running.contains_key(&uid)
            && let Some(started) = self.start(pod, &uid)
        {
            self.running.insert(uid, started);
        }
    }

    fn start(&self, pod: &Pod, uid: &str) -> Option<Running> {
        let tenant = self.tenants.get(pod.labels().get(TENANT_LABEL)?)?;
        let (name, uid) = (pod.name_any(), uid.to_owned());
        let node = pod.spec.as_ref()?.node_name.clone()?;
        let Some(pool) = pod.labels().get(POOL_LABEL) else {
            let gateway = Gateway {
                tenant: tenant.clone(),
                pod: name,
                uid,
                node,
            };
            return Some(Running {
                pool: None,
                _task: AbortOnDropHandle::new(tokio::spawn(gateway.run())),
            });
        };
        let (pool, link) = self.pools.get(&(tenant.name.clone(), pool.clone()))?;
        self.present.add(&uid, pool);
        let load = pool.join(&uid);
        let worker = Worker {
            pool: pool.clone(),
            pod: name,
            uid,
            node,
            address: format!("127.0.0.1:{}", tenant.port),
            capacity: self.capacity,
            link: link.clone(),
            notes: self.notes.clone(),
        };
        Some(Running {
            pool: Some(pool.clone()),
            _task: AbortOnDropHandle::new(tokio::spawn(worker.run(load))),
        })
    }

    fn remove(&mut self, uid: &str) {
        if let Some(Running { pool: Some(pool), .. }) = self.running.remove(uid) {
            self.present.remove(uid);
            pool.leave(uid);
        }
    }
}
