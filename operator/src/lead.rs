//! What the leading replica runs: watches, controllers, and the housekeeping of one term. All of it ends with the term.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, TryStreamExt as _, future::join};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, watcher};
use kube::runtime::{WatchStreamExt as _, predicates};
use kube::{Api, Client, ResourceExt as _};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use springtide_runtime::authority::Authority;
use springtide_runtime::clock::Clock;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::task::AbortOnDropHandle;

use crate::api::{BotPool, Promotion, RatePlan, Tenant};
use crate::autoscale::CreationPace;
use crate::controllers::billing::Billing;
use crate::controllers::checkpoint::{self, Checkpoints};
use crate::controllers::context::{Context, Installation, Random, Stores};
use crate::controllers::events::EventSink;
use crate::controllers::gone::forget_gone;
use crate::controllers::live::LiveBoard;
use crate::controllers::metrics::{Metrics, StreamLabels};
use crate::controllers::nodes::NodeIndex;
use crate::controllers::pods::{Owned, PodIndex, PodOwner};
use crate::controllers::pools::{PoolNames, Pools};
use crate::controllers::scarcity::{self, Scarcity};
use crate::controllers::{identities, pool, promotion, rateplan, tenant};
use crate::election::Standing;
use crate::fleet::{Fleet, PoolKey};
use crate::names::{TENANT_LABEL, tenant_namespace};

/// Reconciles of one kind at once.
const CONCURRENCY: u16 = 32;
/// Tenants at once: each is some twenty writes, and after a change of leader all of them are looked at.
const TENANTS_AT_ONCE: u16 = 8;
/// Workers and gateways that fell silent are looked for this often.
const SILENCE_PERIOD: Duration = Duration::from_millis(500);
/// Gateways are told of changed counts this often.
const COUNTS_PERIOD: Duration = Duration::from_secs(1);
/// What is gone is forgotten this often.
const GONE_PERIOD: Duration = Duration::from_secs(10);
/// Billing's certificate is looked at this often.
const IDENTITY_PERIOD: Duration = Duration::from_hours(1);

/// What a leader needs.
pub struct Leader {
    /// The API server, for calls that end.
    pub client: Client,
    /// The API server, for watches, on which nothing may come for minutes.
    pub watching: Client,
    /// Workers and gateways.
    pub fleet: Fleet,
    /// Accounts and plans.
    pub billing: Arc<dyn Billing>,
    /// Issues identities.
    pub authority: Arc<Authority>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Random,
    /// Name of this Pod, the reporter of Events.
    pub instance: String,
    /// What the installation chose.
    pub installation: Installation,
    /// What is true now.
    pub live: LiveBoard,
    /// Counts.
    pub metrics: Metrics,
}

/// Leads whenever elected, for as long as the term lasts.
pub async fn lead_when_elected(
    leader: Leader,
    mut standing: Standing,
    mut steps: mpsc::UnboundedReceiver<PoolKey>,
) {
    loop {
        let Ok(term) = standing.term.wait_for(Option::is_some).await.map(|term| *term) else {
            return;
        };
        let Some(term) = term else { continue };
        let writing = standing.writers.clone().lock_owned().await;
        leader.fleet.begin(term);
        leader.live.begin();
        leader.metrics.leading.set(1);
        tokio::select! {
            () = lead(&leader, &mut steps) => {}
            changed = standing.term.wait_for(|now| *now != Some(term)) => if changed.is_err() { return },
        }
        leader.metrics.leading.set(0);
        leader.fleet.end();
        leader.live.end();
        drop(writing);
    }
}

/// One term.
async fn lead(leader: &Leader, steps: &mut mpsc::UnboundedReceiver<PoolKey>) {
    let (client, watching) = (&leader.client, &leader.watching);
    let (pool_triggers, pool_queue) = mpsc::unbounded_channel();
    let (tenant_triggers, tenant_queue) = mpsc::unbounded_channel();
    let pool_names = PoolNames::default();
    let (names, triggers) = (pool_names.clone(), pool_triggers.clone());
    let (tenants, tenant_store) = controller::<Tenant>(Api::all(watching.clone()), move |event| {
        if let watcher::Event::Apply(tenant) = event {
            decide_pools(&tenant.name_any(), &names, &triggers);
        }
    });
    let (names, seen_names) = (pool_names.clone(), pool_names.clone());
    let (pools, pool_store) =
        controller::<BotPool>(Api::all(watching.clone()), move |event| seen_names.take(event));
    let (promotions, promotion_store) = controller::<Promotion>(Api::all(watching.clone()), |_| {});
    let (plans, plan_store) = controller::<RatePlan>(Api::all(watching.clone()), |_| {});
    let (events, publisher) = EventSink::new(client.clone(), leader.instance.clone());
    let publisher = spawned(publisher);
    let context = Arc::new(Context {
        client: client.clone(),
        stores: Stores {
            tenants: tenant_store,
            pools: Pools::new(pool_store, pool_names),
            promotions: promotion_store,
            plans: plan_store,
            pods: PodIndex::default(),
            nodes: NodeIndex::default(),
        },
        fleet: leader.fleet.clone(),
        billing: leader.billing.clone(),
        authority: leader.authority.clone(),
        clock: leader.clock.clone(),
        random: leader.random.clone(),
        installation: leader.installation.clone(),
        events,
        metrics: leader.metrics.clone(),
        live: leader.live.clone(),
        memories: Mutex::new(HashMap::new()),
        checkpoints: Checkpoints::default(),
        grants: Mutex::new(HashMap::new()),
        tenants_done: Mutex::default(),
        upkeep: Context::upkeep(leader.fleet.now()),
        pace: Mutex::new(CreationPace::new(
            leader.installation.creations_per_second,
            leader.installation.creations_burst,
            leader.fleet.now(),
        )),
        failures: Mutex::new(HashMap::new()),
    });
    // In a task of its own: each worker that comes or goes is several events, which hold up nothing else.
    let pods = spawned(watch_pods(
        watching.clone(),
        context.stores.pods.clone(),
        Triggers {
            pools: pool_triggers.clone(),
            tenants: tenant_triggers,
            names,
        },
    ));
    let promotions = promotions.run(promotion::reconcile, promotion::error_policy, context.clone());
    let plans = plans.run(rateplan::reconcile, rateplan::error_policy, context.clone());
    let tenants = tenants
        .with_config(kube::runtime::controller::Config::default().concurrency(TENANTS_AT_ONCE))
        .reconcile_on(UnboundedReceiverStream::new(tenant_queue))
        .run(tenant::reconcile, tenant::error_policy, context.clone());
    let nodes = watch_nodes(watching.clone(), &context.stores, &pool_triggers);
    let pools = run_pools(
        pools.reconcile_on(UnboundedReceiverStream::new(pool_queue)),
        context.clone(),
    );
    // In one task, and who waits for a store with them: of several tasks that do, a store wakes only one. Reconciles are tasks
    // of their own.
    let controllers = join(join(drain(tenants), drain(promotions)), join(drain(plans), pools));
    tokio::select! {
        _ = controllers => {}
        _ = pods => {}
        () = nodes => {}
        () = forward(steps, &pool_triggers) => {}
        () = housekeeping(leader, &context) => {}
        () = checkpoint::keep(&context) => {}
        _ = publisher => {}
    }
}

/// Ends with the term.
fn spawned(work: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(work))
}

/// A pool is decided only when all that it is decided from has been listed, and what was learned of it is known.
async fn run_pools(pools: Controller<BotPool>, context: Arc<Context>) {
    join(until_listed(&context), checkpoint::read_all(&context)).await;
    drain(pools.run(pool::reconcile, pool::error_policy, context)).await;
}

/// Of who wrote which field, only who wrote an override is asked for; the rest is most of an object's memory.
fn keep_authors_of_overrides<K: kube::Resource>(object: &mut K) {
    if let Some(entries) = object.meta_mut().managed_fields.as_mut() {
        entries.retain(pool::owns_replicas);
    }
}

/// A controller of all objects of a kind, which `see` is shown before the store has them.
fn controller<K>(
    api: Api<K>,
    see: impl FnMut(&watcher::Event<K>) + Send + 'static,
) -> (Controller<K>, Store<K>)
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let changes = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(keep_authors_of_overrides)
        .inspect_ok(see)
        .reflect(writer)
        .applied_objects()
        .predicate_filter(
            kube::runtime::Predicate::combine(predicates::generation, predicates::finalizers),
            kube::runtime::PredicateConfig::default(),
        );
    let config = kube::runtime::controller::Config::default().concurrency(CONCURRENCY);
    (
        Controller::for_stream(changes, reader.clone()).with_config(config),
        reader,
    )
}

async fn drain<K, E>(reconciled: impl Stream<Item = Result<(ObjectRef<K>, Action), E>>)
where
    K: reflector::Lookup,
    K::DynamicType: Clone + Eq + std::hash::Hash,
    E: std::fmt::Display,
{
    reconciled
        .for_each(|outcome| async move {
            // Failed reconciles were logged by their error policy; what is left is the plumbing's.
            if let Err(error) = outcome {
                tracing::debug!(%error, "controller");
            }
        })
        .await;
}

async fn until_listed(context: &Context) {
    context.stores.pods.until_complete().await;
    // A store whose writer is gone means that the term ends.
    drop(context.stores.tenants.wait_until_ready().await);
    drop(context.stores.promotions.wait_until_ready().await);
}

/// What Pods' events are told to.
struct Triggers {
    pools: mpsc::UnboundedSender<ObjectRef<BotPool>>,
    tenants: mpsc::UnboundedSender<ObjectRef<Tenant>>,
    names: PoolNames,
}

/// What a tenant's pools may have, and whether its gateways should be heard, has changed.
fn decide_pools(tenant: &str, names: &PoolNames, pools: &mpsc::UnboundedSender<ObjectRef<BotPool>>) {
    let namespace = tenant_namespace(tenant);
    for pool in names.of(&namespace) {
        // A closed channel means that the term ends.
        drop(pools.send(ObjectRef::new(&pool).within(&namespace)));
    }
}

async fn watch_pods(client: Client, index: PodIndex, triggers: Triggers) {
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
            // Closed channels mean that the term ends.
            match owner {
                PodOwner::Pool { namespace, pool } => {
                    drop(triggers.pools.send(ObjectRef::new(&pool).within(&namespace)));
                }
                PodOwner::Tenant(tenant) => {
                    decide_pools(&tenant, &triggers.names, &triggers.pools);
                    drop(triggers.tenants.send(ObjectRef::new(&tenant)));
                }
            }
        }
    }
}

/// No decision waits for the list of nodes: until it is there, none is known to go, and workers stay where they are.
async fn watch_nodes(client: Client, stores: &Stores, pools: &mpsc::UnboundedSender<ObjectRef<BotPool>>) {
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
                    drop(pools.send(ObjectRef::new(&pool).within(&namespace)));
                }
            }
        }
    }
}

async fn forward(
    steps: &mut mpsc::UnboundedReceiver<PoolKey>,
    pools: &mpsc::UnboundedSender<ObjectRef<BotPool>>,
) {
    while let Some(key) = steps.recv().await {
        let pool = ObjectRef::new(key.pool.as_str()).within(&tenant_namespace(key.tenant.as_str()));
        drop(pools.send(pool));
    }
}

async fn housekeeping(leader: &Leader, context: &Context) {
    let mut counts = tokio::time::interval(COUNTS_PERIOD);
    let mut certificates = tokio::time::interval(IDENTITY_PERIOD);
    let mut silence = tokio::time::interval(SILENCE_PERIOD);
    let mut gone = tokio::time::interval(GONE_PERIOD);
    let mut scarcity = Scarcity::default();
    loop {
        tokio::select! {
            _ = silence.tick() => {
                let now = leader.fleet.now();
                for key in leader.fleet.with_book(|book| book.fell_silent(now)).unwrap_or_default() {
                    leader.fleet.request_decision(&key);
                }
            }
            _ = counts.tick() => {
                scarcity::share_out(context, &mut scarcity);
                if let Some((workers, gateways)) = leader.fleet.with_book(|book| {
                    book.push_counts();
                    book.attached()
                }) {
                    let set = |peer, count: usize| {
                        let count = i64::try_from(count).unwrap_or(i64::MAX);
                        leader.metrics.streams.get_or_create(&StreamLabels { peer }).set(count);
                    };
                    set("worker", workers);
                    set("gateway", gateways);
                }
            }
            _ = gone.tick() => forget_gone(context),
            _ = certificates.tick() => {
                let namespace = &leader.installation.system_namespace;
                let now = leader.clock.now();
                if let Err(error) = identities::billing(&leader.client, namespace, &leader.authority, now).await {
                    tracing::warn!(%error, "billing's certificate not looked at");
                }
            }
        }
    }
}
