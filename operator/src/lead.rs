//! What the leading replica runs: watches, controllers, and the housekeeping of one term. All of it ends with the term.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, future::join};
use kube::Client;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::{self, ObjectRef};
use parking_lot::Mutex;
use springtide_runtime::authority::Authority;
use springtide_runtime::clock::Clock;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::api::BotPool;
use crate::autoscale::CreationPace;
use crate::controllers::billing::Billing;
use crate::controllers::checkpoint::{self, Checkpoints};
use crate::controllers::context::{Context, Installation, Random};
use crate::controllers::events::EventSink;
use crate::controllers::gone::forget_gone;
use crate::controllers::live::LiveBoard;
use crate::controllers::metrics::{Metrics, StreamLabels};
use crate::controllers::scarcity::{self, Scarcity};
use crate::controllers::{identities, pool, promotion, rateplan, tenant};
use crate::door;
use crate::election::Standing;
use crate::fleet::{Fleet, PoolKey};
use crate::names::tenant_namespace;
use crate::watched::{Controllers, Watched};

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
    /// What is watched.
    pub watched: Watched,
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
    /// This start of it.
    pub boot_id: String,
    /// What the installation chose.
    pub installation: Installation,
    /// What is true now.
    pub live: LiveBoard,
    /// Counts.
    pub metrics: Metrics,
}

/// Leads whenever elected, for as long as the term lasts, until `shutdown`.
pub async fn lead_when_elected(
    leader: Leader,
    mut standing: Standing,
    mut steps: mpsc::UnboundedReceiver<PoolKey>,
    shutdown: &CancellationToken,
) {
    while !shutdown.is_cancelled() {
        let term = tokio::select! {
            elected = standing.term.wait_for(Option::is_some) => match elected {
                Ok(term) => *term,
                Err(_) => return,
            },
            () = shutdown.cancelled() => return,
        };
        let Some(term) = term else { continue };
        let writing = standing.writers.clone().lock_owned().await;
        leader.fleet.begin(term);
        leader.live.begin();
        leader.metrics.leading.set(1);
        let (context, publisher) = begin(&leader);
        tokio::select! {
            () = lead(&leader, &context, publisher, &mut steps) => {}
            changed = standing.term.wait_for(|now| *now != Some(term)) => if changed.is_err() { return },
            () = shutdown.cancelled() => {}
        }
        // A term that was lost is another's: nothing is written any more.
        if shutdown.is_cancelled() {
            checkpoint::keep_last(&context).await;
        }
        leader.metrics.leading.set(0);
        leader.metrics.probes_in_trouble.set(0);
        leader.fleet.end();
        leader.live.end();
        drop(writing);
    }
}

/// What one term works with, and what publishes its Events.
fn begin(leader: &Leader) -> (Arc<Context>, impl Future<Output = ()> + Send + 'static + use<>) {
    let (events, publisher) = EventSink::new(leader.client.clone(), leader.instance.clone());
    let context = Arc::new(Context {
        client: leader.client.clone(),
        stores: leader.watched.stores.clone(),
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
    (context, publisher)
}

/// One term.
async fn lead(
    leader: &Leader,
    context: &Arc<Context>,
    publisher: impl Future<Output = ()> + Send + 'static,
    steps: &mut mpsc::UnboundedReceiver<PoolKey>,
) {
    let Controllers {
        tenants,
        pools,
        promotions,
        plans,
        pool_triggers,
    } = leader.watched.controllers();
    let publisher = spawned(publisher);
    let promotions = promotions.run(promotion::reconcile, promotion::error_policy, context.clone());
    let plans = plans.run(rateplan::reconcile, rateplan::error_policy, context.clone());
    let tenants = tenants.run(tenant::reconcile, tenant::error_policy, context.clone());
    let pools = run_pools(pools, context.clone());
    // In one task, and who waits for a store with them: of several tasks that do, a store wakes only one. Reconciles are tasks
    // of their own.
    let controllers = join(join(drain(tenants), drain(promotions)), join(drain(plans), pools));
    tokio::select! {
        _ = controllers => {}
        () = forward(steps, &pool_triggers) => {}
        () = housekeeping(leader, context) => {}
        // Beside the housekeeping, which may wait for the API server.
        () = leader.fleet.watch_silence() => {}
        () = checkpoint::keep(context) => {}
        () = door::watch(context, &leader.instance, &leader.boot_id) => {}
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
    let mut gone = tokio::time::interval(GONE_PERIOD);
    let mut scarcity = Scarcity::default();
    loop {
        tokio::select! {
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
