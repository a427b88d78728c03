//! The Pods of tenants: an index by owner, small enough to hold tens of thousands.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerStateWaiting, Pod};
use kube::runtime::watcher;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::names::{
    CAPACITY_VARIABLE, GATEWAY_APPLICATION, NAME_LABEL, POOL_LABEL, SERVING_LABEL, TEMPLATE_LABEL,
    TENANT_LABEL, tenant_namespace,
};

/// Whose Pod it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PodOwner {
    /// A worker.
    Pool {
        /// Namespace of the BotPool.
        namespace: String,
        /// Its name.
        pool: String,
    },
    /// A gateway.
    Tenant(String),
}

/// What is kept of a Pod.
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that do not depend on each other"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Version of the API server's store in which it was so, by which what is past is told from what is new.
    pub version: Option<u64>,
    /// Seconds since 1970 of its creation.
    pub created: i64,
    /// It is ready.
    pub ready: bool,
    /// It ended and will not start again.
    pub ended: bool,
    /// It is being deleted.
    pub terminating: bool,
    /// The node that has it.
    pub node: Option<String>,
    /// Its pool's disruption budget protects it.
    pub serving: bool,
    /// Why no node takes it.
    pub unschedulable: Option<String>,
    /// Why its container does not run: (reason, message).
    pub stuck: Option<(String, String)>,
    /// Digest of the template it was made from.
    pub template: String,
    /// Conversations at once that a worker was given.
    pub capacity: Option<u32>,
}

/// What nodes have, and what none of them takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Workers that nodes have, by namespace and name of the BotPool.
    pub scheduled: Vec<(String, String, u32)>,
    /// Pools with workers that no node takes.
    pub refused: Vec<Refused>,
}

/// A pool with workers that no node takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Namespace of the BotPool.
    pub namespace: String,
    /// Its name.
    pub pool: String,
    /// No node has any worker of it.
    pub homeless: bool,
}

/// All Pods of tenants.
#[derive(Clone)]
pub struct PodIndex {
    pods: Arc<RwLock<Owned>>,
    complete: Arc<watch::Sender<bool>>,
}

/// By owner, then by name.
pub type Owned = HashMap<PodOwner, BTreeMap<String, Arc<PodFacts>>>;

impl Default for PodIndex {
    fn default() -> Self {
        Self {
            pods: Arc::default(),
            complete: Arc::new(watch::channel(false).0),
        }
    }
}

impl PodIndex {
    /// The Pods of an owner, by name.
    pub fn of(&self, owner: &PodOwner) -> Vec<Arc<PodFacts>> {
        self.pods
            .read()
            .get(owner)
            .into_iter()
            .flat_map(|pods| pods.values().cloned())
            .collect()
    }

    /// How many Pods of an owner are not being deleted.
    pub fn count(&self, owner: &PodOwner) -> usize {
        self.pods.read().get(owner).map_or(0, |pods| {
            pods.values().filter(|pod| !pod.terminating && !pod.ended).count()
        })
    }

    /// Pods of workers, whatever they do.
    pub fn workers(&self) -> usize {
        let pods = self.pods.read();
        let pools = pods
            .iter()
            .filter(|(owner, _)| matches!(owner, PodOwner::Pool { .. }));
        pools.map(|(_, pods)| pods.len()).sum()
    }

    /// Workers that nodes have, and pools with workers that no node takes.
    pub fn room(&self) -> Room {
        let pods = self.pods.read();
        let mut room = Room::default();
        for (owner, pods) in pods.iter() {
            let PodOwner::Pool { namespace, pool } = owner else {
                continue;
            };
            let workers = || pods.values().filter(|pod| !pod.ended && !pod.terminating);
            let scheduled = workers().filter(|pod| pod.node.is_some()).count();
            let refused = workers().filter(|pod| pod.unschedulable.is_some()).count();
            let count = u32::try_from(scheduled).unwrap_or(u32::MAX);
            if count > 0 {
                room.scheduled.push((namespace.clone(), pool.clone(), count));
            }
            if refused > 0 {
                room.refused.push(Refused {
                    namespace: namespace.clone(),
                    pool: pool.clone(),
                    homeless: scheduled == 0,
                });
            }
        }
        room
    }

    /// Owners of Pods on that node. Looks through all Pods: for what happens seldom.
    pub fn owners_on(&self, node: &str) -> Vec<PodOwner> {
        let pods = self.pods.read();
        let on_it = |pods: &BTreeMap<String, Arc<PodFacts>>| {
            pods.values().any(|pod| pod.node.as_deref() == Some(node))
        };
        let owners = pods.iter().filter(|(_, pods)| on_it(pods));
        owners.map(|(owner, _)| owner.clone()).collect()
    }

    /// Returns when the first list is complete.
    pub async fn until_complete(&self) {
        // The sender lives as long as we do.
        drop(self.complete.subscribe().wait_for(|complete| *complete).await);
    }

    /// Takes an event of the watch into account; the owners it touches. `fresh` collects a list under way.
    pub fn take(&self, event: watcher::Event<Pod>, fresh: &mut Owned) -> Vec<PodOwner> {
        match event {
            watcher::Event::Init => {
                fresh.clear();
                Vec::new()
            }
            watcher::Event::InitApply(pod) => {
                take_in(fresh, &pod);
                Vec::new()
            }
            watcher::Event::InitDone => self.replace(std::mem::take(fresh)),
            watcher::Event::Apply(pod) => self.insert(&pod).into_iter().collect(),
            watcher::Event::Delete(pod) => {
                let Some(owner) = owner_of(&pod) else {
                    return Vec::new();
                };
                if let Some(pods) = self.pods.write().get_mut(&owner) {
                    pods.remove(pod.metadata.name.as_deref().unwrap_or_default());
                }
                vec![owner]
            }
        }
    }

    fn replace(&self, owned: Owned) -> Vec<PodOwner> {
        let before = std::mem::replace(&mut *self.pods.write(), owned);
        self.complete.send_replace(true);
        let mut touched: Vec<_> = before
            .into_keys()
            .chain(self.pods.read().keys().cloned())
            .collect();
        touched.sort();
        touched.dedup();
        touched
    }

    /// Takes a Pod in; its owner.
    pub fn insert(&self, pod: &Pod) -> Option<PodOwner> {
        take_in(&mut self.pods.write(), pod)
    }
}

fn take_in(owned: &mut Owned, pod: &Pod) -> Option<PodOwner> {
    let owner = owner_of(pod)?;
    let facts = facts_of(pod);
    let pods = owned.entry(owner.clone()).or_default();
    pods.insert(facts.name.clone(), Arc::new(facts));
    Some(owner)
}

fn owner_of(pod: &Pod) -> Option<PodOwner> {
    let labels = pod.metadata.labels.as_ref()?;
    let tenant = labels.get(TENANT_LABEL)?;
    match labels.get(POOL_LABEL) {
        Some(pool) => Some(PodOwner::Pool {
            namespace: pod.metadata.namespace.clone()?,
            pool: pool.clone(),
        }),
        None if is_gateway(pod, tenant) => Some(PodOwner::Tenant(tenant.clone())),
        // Some other Pod of the tenant's: none of ours.
        None => None,
    }
}

fn is_gateway(pod: &Pod, tenant: &str) -> bool {
    let name = pod
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(NAME_LABEL));
    name.is_some_and(|name| name == GATEWAY_APPLICATION)
        && pod.metadata.namespace.as_deref() == Some(tenant_namespace(tenant).as_str())
}

fn facts_of(pod: &Pod) -> PodFacts {
    let status = pod.status.as_ref();
    let condition = |type_: &str| {
        status.and_then(|status| {
            status
                .conditions
                .as_ref()?
                .iter()
                .find(|condition| condition.type_ == type_)
        })
    };
    let label = |name: &str| pod.metadata.labels.as_ref()?.get(name).cloned();
    let unschedulable = condition("PodScheduled").filter(|condition| condition.status == "False");
    let phase = status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default();
    PodFacts {
        name: pod.metadata.name.clone().unwrap_or_default(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        version: version_of(pod.metadata.resource_version.as_deref()),
        created: pod
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(0, |time| time.0.as_second()),
        ready: condition("Ready").is_some_and(|condition| condition.status == "True"),
        ended: matches!(phase, "Failed" | "Succeeded"),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        serving: label(SERVING_LABEL).is_some(),
        unschedulable: unschedulable.map(|condition| condition.message.clone().unwrap_or_default()),
        stuck: waiting(pod).and_then(stuck),
        template: label(TEMPLATE_LABEL).unwrap_or_default(),
        capacity: capacity(pod),
    }
}

/// Versions are numbers that grow: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
pub fn version_of(resource_version: Option<&str>) -> Option<u64> {
    resource_version?.parse().ok()
}

fn capacity(pod: &Pod) -> Option<u32> {
    let containers = &pod.spec.as_ref()?.containers;
    let mut environment = containers
        .iter()
        .flat_map(|container| container.env.iter().flatten());
    let given = environment.find(|variable| variable.name == CAPACITY_VARIABLE)?;
    given.value.as_ref()?.parse().ok()
}

fn waiting(pod: &Pod) -> Option<&ContainerStateWaiting> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    containers
        .iter()
        .find_map(|container| container.state.as_ref()?.waiting.as_ref())
}

/// Waiting that does not end by itself.
fn stuck(waiting: &ContainerStateWaiting) -> Option<(String, String)> {
    let reason = waiting
        .reason
        .clone()
        .filter(|reason| !matches!(reason.as_str(), "ContainerCreating" | "PodInitializing"))?;
    Some((reason, waiting.message.clone().unwrap_or_default()))
}
