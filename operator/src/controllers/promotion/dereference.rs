//! Reads which pools a promotion is for, and what is true of them now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::FutureExt as _;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use springtide_proto::ids::{PoolId, TenantId};

use crate::api::{BotPool, Promotion, PromotionStatus};
use crate::autoscale::{Beside, CreationPace, TenantRoom};
use crate::controllers::context::Context;
use crate::controllers::live::LivePool;
use crate::controllers::pool::PEAK_SPAN;
use crate::controllers::scarcity;
use crate::fleet::PoolKey;
use crate::names::{tenant_namespace, tenant_of_namespace};

use super::validate::{Pools, Valid};
use super::{MOST_POOLS, SETTLING};

/// All that a reconcile sees.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) now: Timestamp,
    /// The status that was written last.
    pub(super) known: PromotionStatus,
    pub(super) pools: Vec<SeenPool>,
    /// This leader has not watched for as long as baselines look back: what an earlier one saw of late counts too.
    pub(super) short_memory: bool,
    /// So many more match the selector than are taken.
    pub(super) too_many: usize,
    /// Creations a second that it can count on.
    pub(super) creations_per_second: f64,
    /// By when other promotions need workers that do not exist yet, and how many.
    pub(super) others: Vec<(Timestamp, u32)>,
    /// The tenants of these pools that exist.
    pub(super) tenants: BTreeMap<TenantId, TenantRoom>,
}

/// A pool that the promotion is for.
#[derive(Clone, Debug)]
pub(super) struct SeenPool {
    pub(super) key: PoolKey,
    /// Its object, if there is one.
    pub(super) object: Option<Arc<BotPool>>,
    /// What was decided for it last, if it was decided.
    pub(super) live: Option<LivePool>,
    /// It will be decided in a moment.
    pub(super) settling: bool,
}

/// `None` while a new leader does not know yet which pools there are.
pub(super) fn dereference(context: &Context, promotion: &Promotion, valid: &Valid) -> Option<Seen> {
    let listed = context.stores.pools.wait_until_ready().now_or_never();
    listed?.ok()?;
    let now = context.clock.now();
    let all = context.stores.pools.all();
    let (keys, too_many) = match &valid.pools {
        Pools::Named(keys) => (keys.clone(), 0),
        Pools::Labelled(labels) => labelled(&all, labels),
    };
    let objects = of_their_tenants(all, &keys);
    let age = context
        .fleet
        .with_book(|book| book.age(context.fleet.now()))
        .unwrap_or_default();
    let name = promotion.name_any();
    let others = context.live.ahead_of_others(&name);
    let mut tenants = tenants(context, &objects, &keys);
    for (other, ahead) in &others {
        for (key, wanted) in ahead.wanted.iter().filter(|(key, _)| !keys.contains(key)) {
            if let Some(tenant) = tenants.get_mut(&key.tenant) {
                tenant.beside.push(Beside {
                    span: ahead.span,
                    workers: wanted.saturating_sub(taken(context, key, &objects)),
                    first: *other < name,
                });
            }
        }
    }
    let pools = keys.into_iter().map(|key| {
        let (object, live) = (objects.get(&key).cloned(), context.live.pool(&key));
        let recent = object.as_ref().is_some_and(|object| is_recent(object, now));
        SeenPool {
            settling: object.is_some() && live.is_none() && (age < SETTLING || recent),
            key,
            object,
            live,
        }
    });
    Some(Seen {
        now,
        known: known(context, promotion),
        pools: pools.collect(),
        short_memory: age < PEAK_SPAN,
        too_many,
        creations_per_second: CreationPace::assured(context.installation.creations_per_second),
        others: others
            .iter()
            .map(|(_, ahead)| (ahead.span.0, ahead.missing))
            .collect(),
        tenants,
    })
}

/// What was written last: the cache may lag behind what this leader wrote.
pub(super) fn known(context: &Context, promotion: &Promotion) -> PromotionStatus {
    let uid = promotion.metadata.uid.clone().unwrap_or_default();
    let written = context.live.written(&uid, context.fleet.now());
    written.or_else(|| promotion.status.clone()).unwrap_or_default()
}

/// The pools of the same tenants.
fn of_their_tenants(all: Vec<Arc<BotPool>>, keys: &[PoolKey]) -> BTreeMap<PoolKey, Arc<BotPool>> {
    let namespaces: BTreeSet<_> = keys
        .iter()
        .map(|key| tenant_namespace(key.tenant.as_str()))
        .collect();
    all.into_iter()
        .filter(|pool| {
            let namespace = pool.metadata.namespace.as_ref();
            namespace.is_some_and(|namespace| namespaces.contains(namespace))
        })
        .filter_map(|pool| Some((key_of(&pool)?, pool)))
        .collect()
}

fn key_of(pool: &BotPool) -> Option<PoolKey> {
    let namespace = pool.namespace()?;
    let tenant = TenantId::parse(tenant_of_namespace(&namespace)?).ok()?;
    let pool = PoolId::parse(pool.name_any()).ok()?;
    Some(PoolKey { tenant, pool })
}

fn labelled(all: &[Arc<BotPool>], labels: &BTreeMap<String, String>) -> (Vec<PoolKey>, usize) {
    let has_all = |pool: &&Arc<BotPool>| {
        labels
            .iter()
            .all(|(name, value)| pool.labels().get(name) == Some(value))
    };
    let mut keys: Vec<_> = all
        .iter()
        .filter(has_all)
        .filter_map(|pool| key_of(pool))
        .collect();
    keys.sort_unstable();
    let too_many = keys.len().saturating_sub(MOST_POOLS);
    keys.truncate(MOST_POOLS);
    (keys, too_many)
}

fn is_recent(object: &BotPool, now: Timestamp) -> bool {
    let created = object.metadata.creation_timestamp.as_ref();
    let settling = SignedDuration::try_from(SETTLING).unwrap_or(SignedDuration::ZERO);
    created.is_some_and(|created| now.duration_since(created.0) < settling)
}

fn tenants(
    context: &Context,
    objects: &BTreeMap<PoolKey, Arc<BotPool>>,
    keys: &[PoolKey],
) -> BTreeMap<TenantId, TenantRoom> {
    let chosen: BTreeSet<_> = keys.iter().collect();
    let mut tenants = BTreeMap::new();
    for key in keys {
        if let Some(tenant) = context.stores.tenants.get(&ObjectRef::new(key.tenant.as_str())) {
            tenants.entry(key.tenant.clone()).or_insert_with(|| TenantRoom {
                zone: TimeZone::get(&tenant.spec.time_zone).unwrap_or(TimeZone::UTC),
                limit: tenant.spec.capacity.limit,
                granted: context
                    .live
                    .granted(&key.tenant)
                    .or_else(|| scarcity::would_grant(context, &key.tenant)),
                others: 0,
                beside: Vec::new(),
            });
        }
    }
    for key in objects.keys().filter(|key| !chosen.contains(key)) {
        if let Some(tenant) = tenants.get_mut(&key.tenant) {
            tenant.others = tenant.others.saturating_add(taken(context, key, objects));
        }
    }
    tenants
}

/// Workers that a pool has, or is due.
fn taken(context: &Context, key: &PoolKey, objects: &BTreeMap<PoolKey, Arc<BotPool>>) -> u32 {
    let active = objects.get(key).filter(|object| !object.spec.suspend);
    let min = active.map_or(0, |object| object.spec.scaling.min);
    context.live.desired(key).max(min)
}
