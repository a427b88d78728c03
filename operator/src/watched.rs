//! What every replica watches, whether or not it leads. Whoever is elected decides from what it has already: a list of thousands
//! of pools and workers takes seconds, in which customers would wait.
//!
//! What was seen may be behind what the leader before wrote last. That does no harm: workers' names are deterministic and their
//! Pods are created, never applied, so that what was created once is not created again; deletions name the UID.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::runtime::controller::{Config, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, watcher};
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt as _, predicates};
use kube::{Api, Client, ResourceExt as _};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::task::AbortOnDropHandle;

use crate::api::{BotPool, Promotion, RatePlan, Tenant};
use crate::controllers::checkpoint::{self, ShownCheckpoints};
use crate::controllers::context::Stores;
use crate::controllers::nodes::NodeIndex;
use crate::controllers::pods::{Owned, PodIndex, PodOwner};
use crate::controllers::pool;
use crate::controllers::pools::{PoolNames, Pools};
use crate::names::{TENANT_LABEL, tenant_namespace};

/// Promotions and plans at once.
const CONCURRENCY: u16 = 32;
/// Tenants at once: each is some twenty writes, and after a change of leader all of them are looked at.
const TENANTS_AT_ONCE: u16 = 8;

/// All that is watched, for as long as it is kept.
pub struct Watched {
    /// What is there.
    pub stores: Stores,
    tenants: Changes<Tenant>,
    pools: Changes<BotPool>,
    promotions: Changes<Promotion>,
    plans: Changes<RatePlan>,
    triggers: Triggers,
    _watches: Vec<AbortOnDropHandle<()>>,
}

/// The controllers of one term.
pub struct Controllers {
    /// Of tenants.
    pub tenants: Controller<Tenant>,
    /// Pools that are to be reconciled.
    pub pools: BoxStream<'static, ObjectRef<BotPool>>,
    /// Of promotions.
    pub promotions: Controller<Promotion>,
    /// Of plans.
    pub plans: Controller<RatePlan>,
    /// Has a pool reconciled.
    pub pool_triggers: mpsc::UnboundedSender<ObjectRef<BotPool>>,
}

impl Watched {
    /// Begins to watch; `namespace` is the operator's own.
    pub fn start(client: &Client, namespace: &str) -> Self {
        let (names, triggers) = (PoolNames::default(), Triggers::default());
        let (seen_names, known_names, asked) = (names.clone(), names.clone(), triggers.clone());
        let (tenants, tenant_store, tenant_watch) = keep::<Tenant>(client, move |event| {
            if let watcher::Event::Apply(tenant) = event {
                asked.pools_of(&tenant.name_any(), &known_names);
            }
        });
        let (pools, pool_store, pool_watch) = keep::<BotPool>(client, move |event| seen_names.take(event));
        let (promotions, promotion_store, promotion_watch) = keep::<Promotion>(client, |_| {});
        let (plans, plan_store, plan_watch) = keep::<RatePlan>(client, |_| {});
        let stores = Stores {
            tenants: tenant_store,
            pools: Pools::new(pool_store, names.clone()),
            promotions: promotion_store,
            plans: plan_store,
            pods: PodIndex::default(),
            nodes: NodeIndex::default(),
            checkpoints: ShownCheckpoints::default(),
        };
        let pods = watch_pods(client.clone(), stores.pods.clone(), triggers.clone(), names);
        let nodes = watch_nodes(client.clone(), stores.clone(), triggers.clone());
        let (maps, shards) = checkpoint::watched(client.clone(), namespace);
        let checkpoints = watch_checkpoints(
            watcher(maps, shards).default_backoff(),
            stores.checkpoints.clone(),
        );
        Self {
            stores,
            tenants,
            pools,
            promotions,
            plans,
            triggers,
            // Each in a task of its own: a worker that comes or goes is several events, which hold up nothing else.
            _watches: vec![
                tenant_watch,
                pool_watch,
                promotion_watch,
                plan_watch,
                AbortOnDropHandle::new(tokio::spawn(pods)),
                AbortOnDropHandle::new(tokio::spawn(nodes)),
                AbortOnDropHandle::new(tokio::spawn(checkpoints)),
            ],
        }
    }

    /// Controllers of a term that begins: all that is there is reconciled, then what changes. Those of the term before get
    /// nothing any more.
    pub fn controllers(&self) -> Controllers {
        let (pool_triggers, pool_queue) = mpsc::unbounded_channel();
        let (tenant_triggers, tenant_queue) = mpsc::unbounded_channel();
        self.triggers.lead_to(pool_triggers.clone(), tenant_triggers);
        let stores = &self.stores;
        Controllers {
            tenants: self
                .tenants
                .controller(&stores.tenants, TENANTS_AT_ONCE)
                .reconcile_on(UnboundedReceiverStream::new(tenant_queue)),
            pools: stream::select(
                UnboundedReceiverStream::new(pool_queue),
                self.pools.objects(stores.pools.store()).filter_map(async |pool| {
                    // What interrupts the watch is said where it is kept.
                    pool.ok().map(|pool| ObjectRef::from_obj(&pool))
                }),
            )
            .boxed(),
            promotions: self.promotions.controller(&stores.promotions, CONCURRENCY),
            plans: self.plans.controller(&stores.plans, CONCURRENCY),
            pool_triggers,
        }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

/// Where changed objects of a kind go: to the controller of the term, if there is one.
struct Changes<K>(Arc<Mutex<Option<mpsc::UnboundedSender<K>>>>);

impl<K> Changes<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    fn controller(&self, store: &Store<K>, at_once: u16) -> Controller<K> {
        Controller::for_stream(self.objects(store), store.clone())
            .with_config(Config::default().concurrency(at_once))
    }

    /// What there is, and what changes.
    fn objects(
        &self,
        store: &Store<K>,
    ) -> impl Stream<Item = Result<K, watcher::Error>> + Send + 'static + use<K> {
        let (sender, changed) = mpsc::unbounded_channel();
        *self.0.lock() = Some(sender);
        // What changes meanwhile comes twice, which is no more than a second look.
        let known = stream::iter(store.state()).map(|object| K::clone(&object));
        let objects = known.chain(UnboundedReceiverStream::new(changed)).map(Ok);
        objects.predicate_filter(
            Predicate::combine(predicates::generation, predicates::finalizers),
            PredicateConfig::default(),
        )
    }

    fn tell(&self, object: K) {
        let mut term = self.0.lock();
        if term.as_ref().is_some_and(|term| term.send(object).is_err()) {
            // It ended.
            *term = None;
        }
    }
}

/// Watches all objects of a kind, which `see` is shown before the store has them.
fn keep<K>(
    client: &Client,
    see: impl FnMut(&watcher::Event<K>) + Send + 'static,
) -> (Changes<K>, Store<K>, AbortOnDropHandle<()>)
where
    K: kube::Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let slot = Arc::new(Mutex::new(None));
    let changes = Changes(slot.clone());
    let objects = watcher(Api::<K>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .modify(keep_authors_of_overrides)
        .inspect_ok(see)
        .reflect(writer)
        .applied_objects();
    let watch = async move {
        let mut objects = std::pin::pin!(objects);
        while let Some(object) = objects.next().await {
            match object {
                Ok(object) => changes.tell(object),
                Err(error) => tracing::warn!(kind = %K::kind(&()), %error, "watch interrupted"),
            }
        }
    };
    (Changes(slot), store, AbortOnDropHandle::new(tokio::spawn(watch)))
}

/// Of who wrote which field, only who wrote an override is asked for; the rest is most of an object's memory.
fn keep_authors_of_overrides<K: kube::Resource>(object: &mut K) {
    if let Some(entries) = object.meta_mut().managed_fields.as_mut() {
        entries.retain(pool::owns_replicas);
        for entry in entries {
            entry.fields_v1 = Some(pool::replicas_alone());
        }
    }
}

/// What else has pools and tenants reconciled, in the term that is now.
#[derive(Clone, Default)]
struct Triggers(Arc<Mutex<Option<Term>>>);

struct Term {
    pools: mpsc::UnboundedSender<ObjectRef<BotPool>>,
    tenants: mpsc::UnboundedSender<ObjectRef<Tenant>>,
}

impl Triggers {
    fn lead_to(
        &self,
        pools: mpsc::UnboundedSender<ObjectRef<BotPool>>,
        tenants: mpsc::UnboundedSender<ObjectRef<Tenant>>,
    ) {
        *self.0.lock() = Some(Term { pools, tenants });
    }

    /// A closed channel means that its term ended.
    fn pool(&self, pool: ObjectRef<BotPool>) {
        if let Some(term) = self.0.lock().as_ref() {
            drop(term.pools.send(pool));
        }
    }

    fn tenant(&self, tenant: &str) {
        if let Some(term) = self.0.lock().as_ref() {
            drop(term.tenants.send(ObjectRef::new(tenant)));
        }
    }

    /// What a tenant's pools may have, and whether its gateways should be heard, has changed.
    fn pools_of(&self, tenant: &str, names: &PoolNames) {
        let namespace = tenant_namespace(tenant);
        for pool in names.of(&namespace) {
            self.pool(ObjectRef::new(&pool).within(&namespace));
        }
    }
}

async fn watch_pods(client: Client, index: PodIndex, triggers: Triggers, names: PoolNames) {
    let config = watcher::Config::default().labels(TENANT_LABEL);
    let mut events = std::pin::pin!(watcher(Api::<Pod>::all(client), config).default_backoff());
    let mut fresh = Owned::new();
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(%error, "watch of pods interrupted");
                continue;
            }
        };
        for owner in index.take(event, &mut fresh) {
            match owner {
                PodOwner::Pool { namespace, pool } => triggers.pool(ObjectRef::new(&pool).within(&namespace)),
                PodOwner::Tenant(tenant) => {
                    triggers.pools_of(&tenant, &names);
                    triggers.tenant(&tenant);
                }
            }
        }
    }
}

/// Until it has listed all, they are read when a term begins; after that what it shows is taken, as old as an interruption makes it.
async fn watch_checkpoints(
    events: impl Stream<Item = Result<watcher::Event<ConfigMap>, watcher::Error>>,
    shown: ShownCheckpoints,
) {
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => shown.take(event),
            Err(error) => tracing::warn!(%error, "watch of checkpoints interrupted"),
        }
    }
}

/// No decision waits for the list of nodes: until it is there, none is known to go, and workers stay where they are.
async fn watch_nodes(client: Client, stores: Stores, triggers: Triggers) {
    let config = watcher::Config::default();
    let mut events = std::pin::pin!(watcher(Api::<Node>::all(client), config).default_backoff());
    let mut fresh = BTreeSet::new();
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(%error, "watch of nodes interrupted");
                continue;
            }
        };
        for node in stores.nodes.take(event, &mut fresh) {
            let going = stores.nodes.going().contains(&node);
            tracing::info!(node, going, "node");
            for owner in stores.pods.owners_on(&node) {
                if let PodOwner::Pool { namespace, pool } = owner {
                    triggers.pool(ObjectRef::new(&pool).within(&namespace));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use kube::runtime::controller::Action;
    use kube::runtime::reflector::store::Writer;
    use serde_json::json;

    use super::*;

    fn plan(name: &str, generation: i64) -> RatePlan {
        serde_json::from_value(json!({
            "apiVersion": "springtide.dev/v1alpha1", "kind": "RatePlan",
            "metadata": {"name": name, "uid": name, "generation": generation},
            "spec": {"currency": "CNY", "timeZone": "Asia/Shanghai", "charges": []},
        }))
        .unwrap()
    }

    fn seen(writer: &mut Writer<RatePlan>, changes: &Changes<RatePlan>, plan: RatePlan) {
        writer.apply_watcher_event(&watcher::Event::Apply(plan.clone()));
        changes.tell(plan);
    }

    /// A term that says which plans it reconciles, and at which generation.
    fn term(
        changes: &Changes<RatePlan>,
        store: &Store<RatePlan>,
    ) -> (AbortOnDropHandle<()>, mpsc::UnboundedReceiver<(String, i64)>) {
        let (said, reconciled) = mpsc::unbounded_channel();
        let reconcile = async |plan: Arc<RatePlan>, said: Arc<mpsc::UnboundedSender<(String, i64)>>| {
            drop(said.send((plan.name_any(), plan.metadata.generation.unwrap())));
            Ok::<_, Infallible>(Action::await_change())
        };
        let running = changes
            .controller(store, 1)
            .run(reconcile, |_, _, _| Action::await_change(), Arc::new(said))
            .for_each(|_| async {});
        (AbortOnDropHandle::new(tokio::spawn(running)), reconciled)
    }

    #[tokio::test]
    async fn a_term_looks_at_all_that_is_there_and_then_at_what_changes() {
        let (store, mut writer) = reflector::store();
        let changes = Changes(Arc::new(Mutex::new(None)));
        writer.apply_watcher_event(&watcher::Event::Init);
        writer.apply_watcher_event(&watcher::Event::InitDone);
        seen(&mut writer, &changes, plan("seen-by-a-follower", 1));

        let (first, mut reconciled) = term(&changes, &store);
        assert_eq!(
            reconciled.recv().await.unwrap(),
            ("seen-by-a-follower".to_owned(), 1)
        );
        seen(&mut writer, &changes, plan("later", 1));
        assert_eq!(reconciled.recv().await.unwrap(), ("later".to_owned(), 1));
        drop(first);
        seen(&mut writer, &changes, plan("later", 2));

        let (_second, mut reconciled) = term(&changes, &store);
        let mut both = [reconciled.recv().await.unwrap(), reconciled.recv().await.unwrap()];
        both.sort();
        assert_eq!(
            both,
            [("later".to_owned(), 2), ("seen-by-a-follower".to_owned(), 1)]
        );
        seen(&mut writer, &changes, plan("later", 3));
        assert_eq!(reconciled.recv().await.unwrap(), ("later".to_owned(), 3));
    }
}
