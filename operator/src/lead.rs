//! What the leading replica runs: watches, controllers, and the housekeeping of one term. All of it ends with the term.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, future::join};
use kube::Client;
use kube::runtime::controller::Action;
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
use crate::controllers::context::{Beside, Calls, Context, Installation, Random};
use crate::controllers::events::EventSink;
use crate::controllers::gone::forget_gone;
use crate::controllers::live::LiveBoard;
use crate::controllers::metrics::{Metrics, StreamLabels};
use crate::controllers::scarcity::{self, Scarcity};
use crate::controllers::{identities, pool, promotion, rateplan, tenant};
use crate::dispatch::dispatch;
use crate::door;
use crate::election::{LeaderHint, Standing};
use crate::fleet::{Fleet, PoolKey};
use crate::names::tenant_namespace;
use crate::watched::{Controllers, Watched};

/// After this, another may lead.
const INTERRUPTED_FOR: Duration = Duration::from_secs(2);
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
///
/// A term whose lease could not be renewed in time is *interrupted*: nothing is decided or written. Where the next term is ours
/// and the one right after it, nobody led in between; so what is known holds, streams stay, and it goes on where it was. An API
/// server that does not answer for some seconds is no reason for thousands of workers to attach anew.
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
        let Some(mut term) = term else { continue };
        let writing = standing.writers.clone().lock_owned().await;
        leader.fleet.begin(term);
        leader.live.begin();
        let (context, publisher) = begin(&leader);
        let mut publisher = spawned(publisher);
        loop {
            leader.metrics.leading.set(1);
            tokio::select! {
                () = lead(&leader, &context, &mut publisher, &mut steps) => {}
                changed = standing.term.wait_for(|now| *now != Some(term)) => if changed.is_err() { return },
                () = shutdown.cancelled() => {}
            }
            leader.metrics.leading.set(0);
            let next = tokio::select! {
                next = next_term(&mut standing, term) => next,
                () = shutdown.cancelled() => None,
            };
            let Some(next) = next else { break };
            tracing::info!(term = next, "going on where the term before was interrupted");
            term = next;
            leader.fleet.resume(term);
        }
        // A term that was lost is another's: nothing is written any more.
        if shutdown.is_cancelled() {
            checkpoint::keep_last(&context).await;
        }
        leader.metrics.probes_in_trouble.set(0);
        leader.fleet.end();
        leader.live.end();
        drop(writing);
    }
}

/// Our term right after `term`, if nobody led in between; `None` once another leads or may.
async fn next_term(standing: &mut Standing, term: u64) -> Option<u64> {
    let own = standing.address.clone();
    let is_anothers = |hint: &LeaderHint| !hint.address.is_empty() && hint.address != own;
    tokio::select! {
        _ = standing.term.wait_for(Option::is_some) => {}
        _ = standing.leader.wait_for(is_anothers) => {}
        () = tokio::time::sleep(INTERRUPTED_FOR) => {}
    }
    let elected = *standing.term.borrow();
    elected.filter(|elected| *elected == term + 1)
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
        calls: Calls::default(),
        beside: Beside::default(),
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
    publisher: &mut AbortOnDropHandle<()>,
    steps: &mut mpsc::UnboundedReceiver<PoolKey>,
) {
    let _beside = context.beside.until_dropped();
    let Controllers {
        tenants,
        pools,
        promotions,
        plans,
        pool_triggers,
    } = leader.watched.controllers();
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
async fn run_pools(pools: BoxStream<'static, ObjectRef<BotPool>>, context: Arc<Context>) {
    join(until_listed(&context), checkpoint::read_all(&context)).await;
    dispatch(pools, |pool| pool::run(pool, context.clone())).await;
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
    drop(context.stores.pools.wait_until_ready().await);
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

#[cfg(test)]
mod tests {
    use tokio::sync::watch;
    use tokio::time::Instant;

    use super::*;

    struct Votes {
        term: watch::Sender<Option<u64>>,
        leader: watch::Sender<LeaderHint>,
        standing: Standing,
    }

    /// Term 7 was lost: whose lease it is is not known.
    fn interrupted() -> Votes {
        let (term, term_receiver) = watch::channel(None);
        let (leader, leader_receiver) = watch::channel(LeaderHint::default());
        let standing = Standing {
            term: term_receiver,
            leader: leader_receiver,
            address: "10.0.0.1:7444".to_owned(),
            writers: Arc::default(),
        };
        Votes {
            term,
            leader,
            standing,
        }
    }

    fn hint(address: &str) -> LeaderHint {
        LeaderHint {
            address: address.to_owned(),
            transitions: 8,
            changes: 0,
        }
    }

    #[tokio::test]
    async fn a_term_goes_on_only_if_nobody_led_in_between() {
        for (elected, goes_on) in [(8, Some(8)), (9, None)] {
            let mut votes = interrupted();
            // Our own lease, as it is read before it is taken again.
            votes.leader.send_replace(hint("10.0.0.1:7444"));
            let later = async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                votes.term.send_replace(Some(elected));
            };
            let (next, ()) = join(next_term(&mut votes.standing, 7), later).await;
            assert_eq!(next, goes_on);
        }
    }

    #[tokio::test]
    async fn streams_are_held_no_longer_than_until_another_leads_or_may() {
        let mut votes = interrupted();
        let began = Instant::now();
        assert_eq!(next_term(&mut votes.standing, 7).await, None);
        assert!(began.elapsed() >= INTERRUPTED_FOR);
        votes.leader.send_replace(hint("10.0.0.2:7444"));
        let began = Instant::now();
        assert_eq!(next_term(&mut votes.standing, 7).await, None);
        assert!(began.elapsed() < INTERRUPTED_FOR);
    }
}
