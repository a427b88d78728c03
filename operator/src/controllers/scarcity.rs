//! Shares a cluster that cannot hold all the workers that are wanted.
//!
//! - *room*: what the cluster holds of workers. The installation may name a maximum, in workers; else it is the size of
//!   what nodes have, as soon as they take no more.
//! - *short*: more is wanted than there is room for beside what tenants keep. Every tenant then has a share, computed for all of
//!   them at once; otherwise only its own limit counts.
//! - *misfit*: a pool whose workers no node takes although there is room. It claims nothing: what others let go for it would
//!   lie idle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use springtide_proto::ids::{PoolId, TenantId};

use crate::api::{BotPool, Tenant};
use crate::autoscale::{Moment, TenantClaim, grants};
use crate::fleet::PoolKey;
use crate::names::{tenant_namespace, tenant_of_namespace};

use super::context::Context;
use super::pods::{PodOwner, Room};

/// Nodes that take workers again are believed after this, so that shares do not come and go with each Pod.
const SETTLED: Duration = Duration::from_secs(30);
/// So many workers beyond its share a tenant may have waiting for a node, so that a node autoscaler sees the need.
const PENDING: u32 = 10;

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
pub struct Scarcity {
    full_until: Option<Moment>,
    room: u64,
    /// Since when nodes have fewer workers than there was room for, although some wait.
    below_since: Option<Moment>,
    misfits: BTreeSet<PoolKey>,
    by_tenant: BTreeMap<TenantId, u32>,
}

/// What nodes hold, and which pools have workers that none of them takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    /// Size of the workers that nodes have.
    pub scheduled: u64,
    /// Their number by tenant.
    pub by_tenant: BTreeMap<TenantId, u32>,
    /// Such pools, and whether nodes have no worker of it at all.
    pub refused: BTreeMap<PoolKey, bool>,
}

impl Scarcity {
    /// Takes note of what nodes hold.
    pub fn observe(&mut self, nodes: &Nodes, now: Moment) {
        self.by_tenant.clone_from(&nodes.by_tenant);
        self.misfits
            .retain(|pool| nodes.refused.get(pool).is_some_and(|homeless| *homeless));
        let waits = nodes.refused.keys().any(|pool| !self.misfits.contains(pool));
        if waits {
            if !self.is_full(now) {
                (self.room, self.below_since) = (nodes.scheduled, None);
            }
            self.full_until = Some(now + SETTLED);
        }
        if nodes.scheduled >= self.room || !waits {
            self.room = self.room.max(nodes.scheduled);
            self.below_since = None;
        } else if *self.below_since.get_or_insert(now) + SETTLED <= now {
            self.room_was_not_taken(nodes);
        }
    }

    /// There was room for more, others wait, and for a while none of them took it.
    fn room_was_not_taken(&mut self, nodes: &Nodes) {
        let homeless = nodes.refused.iter().filter(|(_, homeless)| **homeless);
        let before = self.misfits.len();
        self.misfits.extend(homeless.map(|(pool, _)| pool.clone()));
        if self.misfits.len() == before {
            // All of them were taken before: nodes are gone.
            self.room = nodes.scheduled;
        }
        self.below_since = None;
    }

    /// Pools whose workers no node would take, whoever made room for them.
    pub fn misfits(&self) -> &BTreeSet<PoolKey> {
        &self.misfits
    }

    /// The share of each tenant, while the cluster is short; none while it is not. `most` is the installation's maximum.
    pub fn shares(
        &self,
        most: Option<u32>,
        claims: &BTreeMap<TenantId, TenantClaim>,
        now: Moment,
    ) -> BTreeMap<TenantId, u32> {
        let all: Vec<_> = claims.values().copied().collect();
        let by_size = self
            .is_full(now)
            .then(|| share_of_room(self.room, &all))
            .flatten();
        let counted = all
            .iter()
            .map(|claim| TenantClaim { size: 1, ..*claim })
            .collect::<Vec<_>>();
        let by_number = most.and_then(|most| share_of_room(most.into(), &counted));
        let is_maximum = by_number.is_some();
        let granted: Vec<u32> = match (by_size, by_number) {
            (None, None) => return BTreeMap::new(),
            (Some(granted), None) | (None, Some(granted)) => granted,
            (Some(one), Some(other)) => one
                .into_iter()
                .zip(other)
                .map(|(one, other)| one.min(other))
                .collect(),
        };
        // Who has less than its share has workers that wait for it, and nobody else's wait beside them: they would be taken
        // instead. A maximum is a maximum; nodes may become more.
        let served = claims
            .keys()
            .zip(&granted)
            .all(|(tenant, granted)| self.has(tenant) >= *granted);
        let pending = if served && !is_maximum { PENDING } else { 0 };
        claims
            .iter()
            .zip(granted)
            .map(|((tenant, claim), granted)| {
                let visible = claim.wanted.saturating_sub(granted).min(pending);
                (tenant.clone(), granted + visible)
            })
            .collect()
    }

    fn has(&self, tenant: &TenantId) -> u32 {
        self.by_tenant.get(tenant).copied().unwrap_or_default()
    }

    fn is_full(&self, now: Moment) -> bool {
        self.full_until.is_some_and(|until| until > now)
    }
}

/// What each claim gets of that room; `None` if there is enough for all.
fn share_of_room(room: u64, claims: &[TenantClaim]) -> Option<Vec<u32>> {
    let sizes = claims
        .iter()
        .map(|claim| u64::from(claim.most()) * u64::from(claim.size));
    (sizes.fold(0, u64::saturating_add) > room).then(|| grants(room, claims))
}

/// Computes and publishes all shares; pools of tenants whose share changed are decided anew.
pub fn share_out(context: &Context, scarcity: &mut Scarcity) {
    let now = context.fleet.now();
    let nodes = nodes(context);
    scarcity.observe(&nodes, now);
    let most = context.installation.max_workers;
    // Usually there is room, and then nothing need be summed up.
    let claims = if most.is_some() || scarcity.is_full(now) {
        claims(context, scarcity.misfits())
    } else {
        BTreeMap::new()
    };
    let changed = context.live.grant(scarcity.shares(most, &claims, now));
    if changed.is_empty() {
        return;
    }
    tracing::info!(
        tenants = changed.len(),
        scheduled = nodes.scheduled,
        refused_pools = nodes.refused.len(),
        "shares of the cluster changed"
    );
    for key in context.live.keys() {
        if changed.contains(&key.tenant) {
            context.fleet.request_decision(&key);
        }
    }
}

fn nodes(context: &Context) -> Nodes {
    let Room { scheduled, refused } = context.stores.pods.room();
    let sizes = context.live.worker_sizes();
    let mut nodes = Nodes::default();
    for (namespace, pool, count) in scheduled {
        let Some(key) = key_of(&namespace, &pool) else {
            continue;
        };
        let size = sizes.get(&key).copied().unwrap_or(1);
        nodes.scheduled += u64::from(count) * u64::from(size);
        *nodes.by_tenant.entry(key.tenant).or_default() += count;
    }
    nodes.refused = refused
        .into_iter()
        .filter_map(|refused| Some((key_of(&refused.namespace, &refused.pool)?, refused.homeless)))
        .collect();
    nodes
}

fn key_of(namespace: &str, pool: &str) -> Option<PoolKey> {
    Some(PoolKey {
        tenant: TenantId::parse(tenant_of_namespace(namespace)?).ok()?,
        pool: PoolId::parse(pool).ok()?,
    })
}

fn claims(context: &Context, misfits: &BTreeSet<PoolKey>) -> BTreeMap<TenantId, TenantClaim> {
    let sums = context.live.demand_by_tenant(misfits);
    let tenants = context.stores.tenants.state();
    let claim = |tenant: &Tenant| {
        let id = TenantId::parse(tenant.name_any()).ok()?;
        let demand = sums.get(&id).copied().unwrap_or_default();
        let undecided = undecided(context, &id);
        let capacity = &tenant.spec.capacity;
        let claim = TenantClaim {
            wanted: demand.wanted.saturating_add(undecided).min(capacity.limit),
            kept: demand.kept.saturating_add(undecided).min(capacity.limit),
            occupied: demand.occupied,
            guaranteed: capacity.guaranteed,
            weight: capacity.weight,
            size: demand.worker_size(),
        };
        Some((id, claim))
    };
    tenants.iter().filter_map(|tenant| claim(tenant)).collect()
}

/// What a tenant would have of the installation's maximum if it wanted all that its limit allows, and the others what they want
/// now; none where there is no maximum.
pub fn would_grant(context: &Context, tenant: &TenantId) -> Option<u32> {
    let most = context.installation.max_workers?;
    let mut all = claims(context, &BTreeSet::new());
    let limit = context
        .stores
        .tenants
        .get(&ObjectRef::new(tenant.as_str()))?
        .spec
        .capacity
        .limit;
    all.get_mut(tenant)?.wanted = limit;
    let own = all.keys().position(|key| key == tenant)?;
    let counted: Vec<_> = all
        .into_values()
        .map(|claim| TenantClaim { size: 1, ..claim })
        .collect();
    grants(most.into(), &counted).get(own).copied()
}

/// Workers of pools that this leader has not decided yet: what they want is not known, but it is not nothing.
fn undecided(context: &Context, tenant: &TenantId) -> u32 {
    let namespace = tenant_namespace(tenant.as_str());
    let workers = |pool: &Arc<BotPool>| {
        let pool = PoolId::parse(pool.name_any()).ok()?;
        let owner = PodOwner::Pool {
            namespace: namespace.clone(),
            pool: pool.to_string(),
        };
        let key = PoolKey {
            tenant: tenant.clone(),
            pool,
        };
        let is_decided = context.live.size(&key).is_some();
        (!is_decided).then(|| context.stores.pods.count(&owner))
    };
    let pools = context.stores.pools.of(&namespace);
    u32::try_from(pools.iter().filter_map(workers).sum::<usize>()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(of: &[(&str, u32, u32)]) -> BTreeMap<TenantId, TenantClaim> {
        of.iter()
            .map(|(name, wanted, guaranteed)| {
                let claim = TenantClaim {
                    wanted: *wanted,
                    kept: 0,
                    occupied: 0,
                    guaranteed: *guaranteed,
                    weight: 1,
                    size: 1,
                };
                (TenantId::parse(*name).unwrap(), claim)
            })
            .collect()
    }

    fn shares_of(shares: &BTreeMap<TenantId, u32>) -> Vec<u32> {
        shares.values().copied().collect()
    }

    /// Nodes with so many workers, and pools of which some wait: with others on nodes, or without.
    fn nodes(scheduled: u64, refused: &[(&str, bool)]) -> Nodes {
        let key = |tenant: &str| PoolKey {
            tenant: TenantId::parse(tenant).unwrap(),
            pool: PoolId::parse("web").unwrap(),
        };
        Nodes {
            scheduled,
            by_tenant: BTreeMap::new(),
            refused: refused
                .iter()
                .map(|(tenant, homeless)| (key(tenant), *homeless))
                .collect(),
        }
    }

    fn observed(nodes: &Nodes) -> Scarcity {
        let mut scarcity = Scarcity::default();
        scarcity.observe(nodes, Moment::ZERO);
        scarcity
    }

    #[test]
    fn while_nodes_take_all_workers_nobody_is_bounded() {
        let scarcity = observed(&nodes(50, &[]));
        assert!(
            scarcity
                .shares(None, &claims(&[("a", 500, 0)]), Moment::ZERO)
                .is_empty()
        );
    }

    #[test]
    fn nodes_that_are_full_are_shared_and_the_need_stays_visible() {
        let wanted = claims(&[("a", 40, 0), ("b", 30, 6)]);
        let shares = |a: u32, b: u32| {
            let held = [("a", a), ("b", b)].map(|(name, count)| (TenantId::parse(name).unwrap(), count));
            let nodes = Nodes {
                by_tenant: held.into(),
                ..nodes(20, &[("a", false)])
            };
            shares_of(&observed(&nodes).shares(None, &wanted, Moment::ZERO))
        };
        // 6 are guaranteed to b; the other 14 are shared equally. As long as b has less, a gives up what is not its own.
        assert_eq!(shares(20, 0), [7, 13]);
        // Then each may have 10 more waiting for a node.
        assert_eq!(shares(7, 13), [17, 23]);
    }

    #[test]
    fn what_one_keeps_for_later_is_no_reason_for_another_to_wait() {
        let mut wanted = claims(&[("a", 5, 0), ("b", 15, 15)]);
        wanted.values_mut().next().unwrap().kept = 15;
        let shares = Scarcity::default().shares(Some(20), &wanted, Moment::ZERO);
        assert_eq!(shares_of(&shares), [5, 15]);
        wanted.values_mut().last().unwrap().wanted = 5;
        assert!(
            Scarcity::default()
                .shares(Some(20), &wanted, Moment::ZERO)
                .is_empty(),
            "there is room for both"
        );
    }

    #[test]
    fn a_maximum_is_shared_without_any_that_wait() {
        let wanted = claims(&[("a", 40, 0), ("b", 30, 6)]);
        let shares = observed(&nodes(10, &[])).shares(Some(20), &wanted, Moment::ZERO);
        assert_eq!(shares_of(&shares), [7, 13]);
    }

    #[test]
    fn shares_end_when_nodes_have_taken_all_for_a_while() {
        let (mut scarcity, wanted) = (
            observed(&nodes(20, &[("a", false)])),
            claims(&[("a", 40, 0), ("b", 30, 0)]),
        );
        scarcity.observe(&nodes(20, &[]), SETTLED / 2);
        assert!(!scarcity.shares(None, &wanted, SETTLED / 2).is_empty());
        scarcity.observe(&nodes(20, &[]), SETTLED);
        assert!(scarcity.shares(None, &wanted, SETTLED).is_empty());
    }

    #[test]
    fn workers_that_fit_no_node_take_room_from_nobody_for_long() {
        let mut scarcity = observed(&nodes(40, &[("huge", true)]));
        let key = nodes(0, &[("huge", true)]).refused.into_keys().next().unwrap();
        // Others let idle workers go for it, and it takes none of their room.
        let second = |second: u64| Moment::from_secs(second);
        for after in 1..=29 {
            scarcity.observe(&nodes(30, &[("huge", true)]), second(after));
            assert_eq!(
                (scarcity.room, scarcity.misfits().len()),
                (40, 0),
                "what was let go is still room"
            );
        }
        scarcity.observe(&nodes(30, &[("huge", true)]), second(31));
        assert!(scarcity.misfits().contains(&key));
        scarcity.observe(&nodes(40, &[("huge", true)]), second(70));
        assert!(!scarcity.is_full(second(70)), "the others are bounded no more");
        scarcity.observe(&nodes(41, &[("huge", false)]), second(80));
        assert!(
            scarcity.misfits().is_empty() && scarcity.is_full(second(80)),
            "one of them was taken after all"
        );
    }

    #[test]
    fn nodes_that_are_lost_are_room_no_more() {
        let mut scarcity = observed(&nodes(40, &[("a", false)]));
        for second in [1, 29, 31] {
            scarcity.observe(
                &nodes(25, &[("a", false), ("b", false)]),
                Moment::from_secs(second),
            );
        }
        assert_eq!(scarcity.room, 25);
        assert!(scarcity.misfits().is_empty());
    }
}
