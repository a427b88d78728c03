//! Reads what a pool refers to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};
use springtide_proto::ids::PoolId;

use crate::api::{BotPool, Tenant};
use crate::autoscale::{Claim, Moment, Plan, Share, share};
use crate::controllers::context::Context;
use crate::controllers::live::{SilentPeer, Size};
use crate::controllers::pods::{PodFacts, PodOwner};
use crate::fleet::{KnownPod, PoolKey, PoolView};
use crate::names::tenant_namespace;

use super::PoolError;
use super::findings::{KNOWLEDGE_FOUND, KNOWLEDGE_READY};
use super::memory::PoolMemory;

/// Knowledge that was found is looked for again after this, as upkeep; that which was missing, at each reconcile.
const KNOWLEDGE_PERIOD: Duration = Duration::from_secs(30);
/// A new leader waits this long for workers that should be heard, before it tells gateways of those that are.
const GRACE: Duration = Duration::from_secs(10);

/// All that a reconcile sees.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) now: Moment,
    pub(super) time: Timestamp,
    pub(super) tenant: Option<Arc<Tenant>>,
    pub(super) pods: Vec<Arc<PodFacts>>,
    /// Nodes that go.
    pub(super) going: Arc<BTreeSet<String>>,
    pub(super) view: PoolView,
    /// Gateways that should be heard and are not.
    pub(super) silent_gateways: Vec<SilentPeer>,
    pub(super) missing_knowledge: Vec<String>,
    pub(super) plans: Vec<Plan>,
    pub(super) tenant_share: u32,
    /// The most that the pool may keep without wanting it now.
    pub(super) kept_share: u32,
    /// The tenant's share of a cluster that is short is less than its limit.
    pub(super) scarce: bool,
}

/// Reads only what is in memory: the tenant's other pools wait for it.
pub(super) fn dereference(
    context: &Context,
    pool: &BotPool,
    key: &PoolKey,
    missing_knowledge: Vec<String>,
) -> Seen {
    let namespace = tenant_namespace(key.tenant.as_str());
    let tenant = context.stores.tenants.get(&ObjectRef::new(key.tenant.as_str()));
    if let Some(uid) = tenant.as_ref().and_then(|tenant| tenant.uid()) {
        context.fleet.know_tenant(&key.tenant, &uid);
    }
    let owner = PodOwner::Pool {
        namespace: namespace.clone(),
        pool: key.pool.to_string(),
    };
    let pods = context.stores.pods.of(&owner);
    let gateways = context.stores.pods.of(&PodOwner::Tenant(key.tenant.to_string()));
    let now = context.fleet.now();
    let conversations = pool.spec.worker.conversations;
    let view = in_step_with_pods(context, key, (&pods, conversations), &gateways, now);
    let granted = context.live.granted(&key.tenant);
    let limit = tenant.as_ref().map_or(0, |tenant| tenant.spec.capacity.limit);
    let share = tenant_share(context, key, granted.map_or(limit, |granted| granted.min(limit)));
    Seen {
        now,
        time: context.clock.now(),
        tenant_share: share.most,
        kept_share: share.kept,
        scarce: granted.is_some_and(|granted| granted < limit),
        tenant,
        pods,
        going: context.stores.nodes.going(),
        silent_gateways: silent(&gateways, &view),
        view,
        missing_knowledge,
        plans: plans(context, key),
    }
}

/// Gateways that should be heard and are not.
fn silent(gateways: &[Arc<PodFacts>], view: &PoolView) -> Vec<SilentPeer> {
    let serving = gateways.iter().filter(|pod| pod.ready && !pod.terminating);
    let silent = serving.filter_map(|pod| {
        let gateway = view.gateway(&pod.uid);
        gateway.is_none_or(|gateway| gateway.silent).then(|| SilentPeer {
            pod: pod.name.clone(),
            age: gateway.and_then(|gateway| gateway.age),
        })
    });
    silent.collect()
}

/// Tells the book which Pods there are, of a pool that gives each of its workers so many conversations at once; then reads it.
fn in_step_with_pods(
    context: &Context,
    key: &PoolKey,
    (pods, conversations): (&[Arc<PodFacts>], u32),
    gateways: &[Arc<PodFacts>],
    now: Moment,
) -> PoolView {
    let workers: BTreeMap<_, _> = pods
        .iter()
        .map(|pod| {
            let known = KnownPod {
                terminating: pod.terminating || pod.ended,
                capacity: pod.capacity,
            };
            (pod.uid.clone(), known)
        })
        .collect();
    let gateways: BTreeSet<_> = gateways.iter().map(|pod| pod.uid.clone()).collect();
    let view = context.fleet.with_book(|book| {
        let before = book.view(key, now);
        let late = book.age(now) > GRACE;
        let answered = |pod: &PodFacts| {
            before
                .worker(&pod.uid)
                .is_some_and(|worker| worker.answered.is_some())
        };
        // Who has not answered by then is not waited for: gateways must hear of the others.
        let complete = late
            || pods
                .iter()
                .all(|pod| !pod.ready || pod.terminating || answered(pod));
        book.sync_workers(key, &workers, conversations, complete);
        book.sync_gateways(&key.tenant, &gateways);
        let view = book.view(key, now);
        book.decided(key);
        view
    });
    view.unwrap_or_default()
}

/// ConfigMaps that the pool names and that do not exist.
pub(super) async fn missing_knowledge(
    context: &Context,
    pool: &BotPool,
    key: &PoolKey,
    memory: &mut PoolMemory,
) -> Result<Vec<String>, PoolError> {
    let (namespace, now) = (tenant_namespace(key.tenant.as_str()), context.fleet.now());
    let generation = pool.metadata.generation.unwrap_or_default();
    let found = match &memory.knowledge {
        Some((at, of, missing)) => {
            (missing.is_empty() && *of == generation).then_some(*at + KNOWLEDGE_PERIOD)
        }
        // An earlier leader found it: that is believed until there is time to look.
        None => was_found(pool, generation).then_some(now),
    };
    if found.is_some_and(|again| again > now || !context.may_keep_up()) {
        return Ok(Vec::new());
    }
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &namespace);
    let looked = pool.spec.knowledge.config_maps.iter().map(async |name| {
        let _permit = context.calls.to_create().await;
        let found = maps.get_metadata_opt(name).await;
        found.map(|found| found.is_none().then(|| name.clone()))
    });
    let found = try_join_all(looked)
        .await
        .map_err(|source| PoolError::Read(Box::new(source)))?;
    let missing: Vec<_> = found.into_iter().flatten().collect();
    memory.knowledge = Some((now, generation, missing.clone()));
    Ok(missing)
}

fn was_found(pool: &BotPool, generation: i64) -> bool {
    let conditions = pool.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|known| {
        known.type_ == KNOWLEDGE_READY
            && known.reason == KNOWLEDGE_FOUND
            && known.observed_generation == Some(generation)
    })
}

/// Promotions that hold and still exist.
fn plans(context: &Context, key: &PoolKey) -> Vec<Plan> {
    let exists = |plan: &Plan| {
        context
            .stores
            .promotions
            .get(&ObjectRef::new(&plan.promotion))
            .is_some()
    };
    context.live.plans(key).into_iter().filter(exists).collect()
}

fn tenant_share(context: &Context, key: &PoolKey, limit: u32) -> Share {
    let namespace = tenant_namespace(key.tenant.as_str());
    let all = context.stores.pools.of(&namespace);
    let own = all.iter().position(|pool| pool.name_any() == key.pool.as_str());
    let mut claims: Vec<_> = all.iter().map(|pool| claim(context, key, pool)).collect();
    let own = own.unwrap_or_else(|| {
        claims.push(Claim::default());
        claims.len() - 1
    });
    share(limit, &claims, own)
}

fn claim(context: &Context, key: &PoolKey, pool: &BotPool) -> Claim {
    let owner = PodOwner::Pool {
        namespace: tenant_namespace(key.tenant.as_str()),
        pool: pool.name_any(),
    };
    let pods = u32::try_from(context.stores.pods.count(&owner)).unwrap_or(u32::MAX);
    let id = PoolId::parse(pool.name_any()).ok();
    let live = id.and_then(|pool| {
        context.live.size(&PoolKey {
            tenant: key.tenant.clone(),
            pool,
        })
    });
    // What a pool wants that was not decided yet is not known: it keeps what it has.
    let known = live.unwrap_or(Size {
        held: pods,
        wanted: pods,
        occupied: 0,
    });
    Claim {
        held: pods.max(known.held),
        wanted: known.wanted,
        occupied: known.occupied,
        min: if pool.spec.suspend {
            0
        } else {
            pool.spec.scaling.min
        },
    }
}
