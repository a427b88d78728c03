//! The Pods of tenants: an index by owner, small enough to hold tens of thousands.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerStateWaiting, Pod};
use kube::runtime::watcher;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::names::{POOL_LABEL, TEMPLATE_LABEL, TENANT_LABEL};

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
    /// Seconds since 1970 of its creation.
    pub created: i64,
    /// It is ready.
    pub ready: bool,
    /// It ended and will not start again.
    pub ended: bool,
    /// It is being deleted.
    pub terminating: bool,
    /// A node has it.
    pub scheduled: bool,
    /// Why no node takes it.
    pub unschedulable: Option<String>,
    /// Why its container does not run: (reason, message).
    pub stuck: Option<(String, String)>,
    /// Digest of the template it was made from.
    pub template: String,
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

    /// Workers that nodes have, and workers that no node takes.
    pub fn room(&self) -> (u32, u32) {
        let pods = self.pods.read();
        let workers = pods
            .iter()
            .filter(|(owner, _)| matches!(owner, PodOwner::Pool { .. }))
            .flat_map(|(_, pods)| pods.values())
            .filter(|pod| !pod.ended && !pod.terminating);
        workers.fold((0, 0), |(scheduled, refused), pod| {
            (
                scheduled + u32::from(pod.scheduled),
                refused + u32::from(pod.unschedulable.is_some()),
            )
        })
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
        None => Some(PodOwner::Tenant(tenant.clone())),
    }
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
    let unschedulable = condition("PodScheduled").filter(|condition| condition.status == "False");
    let phase = status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default();
    PodFacts {
        name: pod.metadata.name.clone().unwrap_or_default(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        created: pod
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(0, |time| time.0.as_second()),
        ready: condition("Ready").is_some_and(|condition| condition.status == "True"),
        ended: matches!(phase, "Failed" | "Succeeded"),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        scheduled: pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()),
        unschedulable: unschedulable.map(|condition| condition.message.clone().unwrap_or_default()),
        stuck: waiting(pod).and_then(stuck),
        template: pod
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(TEMPLATE_LABEL))
            .cloned()
            .unwrap_or_default(),
    }
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
