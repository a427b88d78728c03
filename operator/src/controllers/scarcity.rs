//! Shares a cluster that cannot hold all the workers that are wanted.
//!
//! - *room*: workers that the cluster holds. The installation may name a maximum; else it is what nodes have, as soon as
//!   they take no more.
//! - *short*: more is wanted than there is room for. Every tenant then has a share, computed for all of them at once;
//!   otherwise only its own limit counts.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::ResourceExt as _;
use springtide_proto::ids::TenantId;

use crate::api::Tenant;
use crate::autoscale::{Moment, TenantClaim, grants};

use super::context::Context;
use super::live::Demand;

/// Nodes that take workers again are believed after this, so that shares do not come and go with each Pod.
const SETTLED: Duration = Duration::from_secs(30);
/// So many workers beyond its share a tenant may have waiting for a node, so that a node autoscaler sees the need.
const PENDING: u32 = 10;

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
pub struct Scarcity {
    full_until: Option<Moment>,
    room: u32,
}

/// What nodes hold, and how many workers none of them takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nodes {
    /// Workers that nodes have.
    pub scheduled: u32,
    /// Workers that no node takes.
    pub refused: u32,
}

impl Scarcity {
    /// The share of each tenant, while the cluster is short; none while it is not. `most` is the installation's maximum.
    pub fn shares(
        &mut self,
        nodes: Nodes,
        most: Option<u32>,
        claims: &BTreeMap<TenantId, TenantClaim>,
        now: Moment,
    ) -> BTreeMap<TenantId, u32> {
        let measured = self.measured(nodes, now);
        let room = match (measured, most) {
            (None, None) => return BTreeMap::new(),
            (Some(measured), Some(most)) => measured.min(most),
            (Some(room), None) | (None, Some(room)) => room,
        };
        let wanted = claims
            .values()
            .fold(0_u32, |sum, claim| sum.saturating_add(claim.wanted));
        if wanted <= room {
            return BTreeMap::new();
        }
        let all: Vec<_> = claims.values().copied().collect();
        let granted = grants(room, &all);
        // A maximum is a maximum; nodes may become more.
        let pending = if most.is_some_and(|most| most <= room) {
            0
        } else {
            PENDING
        };
        claims
            .iter()
            .zip(granted)
            .map(|((tenant, claim), granted)| {
                let visible = claim.wanted.saturating_sub(granted).min(pending);
                (tenant.clone(), granted + visible)
            })
            .collect()
    }

    fn is_full(&self, now: Moment) -> bool {
        self.full_until.is_some_and(|until| until > now)
    }

    /// What the cluster holds, once nodes took no more.
    fn measured(&mut self, nodes: Nodes, now: Moment) -> Option<u32> {
        if nodes.refused > 0 {
            self.full_until = Some(now + SETTLED);
            self.room = nodes.scheduled;
        }
        self.is_full(now).then(|| {
            self.room = self.room.max(nodes.scheduled);
            self.room
        })
    }
}

/// Computes and publishes all shares; pools of tenants whose share changed are decided anew.
pub fn share_out(context: &Context, scarcity: &mut Scarcity) {
    let (scheduled, refused) = context.stores.pods.room();
    let now = context.fleet.now();
    let most = context.installation.max_workers;
    // Usually there is room, and then nothing need be summed up.
    let claims = if refused > 0 || most.is_some() || scarcity.is_full(now) {
        claims(context)
    } else {
        BTreeMap::new()
    };
    let shares = scarcity.shares(Nodes { scheduled, refused }, most, &claims, now);
    let changed = context.live.grant(shares);
    if changed.is_empty() {
        return;
    }
    tracing::info!(
        tenants = changed.len(),
        scheduled,
        refused,
        "shares of the cluster changed"
    );
    for key in context.live.keys() {
        if changed.contains(&key.tenant) {
            context.fleet.request_decision(&key);
        }
    }
}

fn claims(context: &Context) -> BTreeMap<TenantId, TenantClaim> {
    let sums = context.live.demand_by_tenant();
    let tenants = context.stores.tenants.state();
    let claim = |tenant: &Tenant| {
        let id = TenantId::parse(tenant.name_any()).ok()?;
        let Demand { wanted, occupied } = sums.get(&id).copied().unwrap_or_default();
        let capacity = &tenant.spec.capacity;
        let claim = TenantClaim {
            wanted: wanted.min(capacity.limit),
            occupied,
            guaranteed: capacity.guaranteed,
            weight: capacity.weight,
        };
        Some((id, claim))
    };
    tenants.iter().filter_map(|tenant| claim(tenant)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(of: &[(&str, u32, u32)]) -> BTreeMap<TenantId, TenantClaim> {
        of.iter()
            .map(|(name, wanted, guaranteed)| {
                let claim = TenantClaim {
                    wanted: *wanted,
                    occupied: 0,
                    guaranteed: *guaranteed,
                    weight: 1,
                };
                (TenantId::parse(*name).unwrap(), claim)
            })
            .collect()
    }

    fn shares_of(shares: &BTreeMap<TenantId, u32>) -> Vec<u32> {
        shares.values().copied().collect()
    }

    fn nodes(scheduled: u32, refused: u32) -> Nodes {
        Nodes { scheduled, refused }
    }

    #[test]
    fn while_nodes_take_all_workers_nobody_is_bounded() {
        let mut scarcity = Scarcity::default();
        let shares = scarcity.shares(nodes(50, 0), None, &claims(&[("a", 500, 0)]), Moment::ZERO);
        assert!(shares.is_empty());
    }

    #[test]
    fn nodes_that_are_full_are_shared_and_the_need_stays_visible() {
        let mut scarcity = Scarcity::default();
        let wanted = claims(&[("a", 40, 0), ("b", 30, 6)]);
        let shares = scarcity.shares(nodes(20, 3), None, &wanted, Moment::ZERO);
        // 6 are guaranteed to b; the other 14 are shared equally; each may have 10 more waiting for a node.
        assert_eq!(shares_of(&shares), [17, 23]);
    }

    #[test]
    fn a_maximum_is_never_exceeded() {
        let mut scarcity = Scarcity::default();
        let wanted = claims(&[("a", 40, 0), ("b", 30, 6)]);
        let shares = scarcity.shares(nodes(10, 0), Some(20), &wanted, Moment::ZERO);
        assert_eq!(shares_of(&shares), [7, 13]);
    }

    #[test]
    fn shares_end_when_nodes_have_taken_all_for_a_while() {
        let (mut scarcity, wanted) = (Scarcity::default(), claims(&[("a", 40, 0), ("b", 30, 0)]));
        assert!(
            !scarcity
                .shares(nodes(20, 3), None, &wanted, Moment::ZERO)
                .is_empty()
        );
        let soon = SETTLED / 2;
        assert!(!scarcity.shares(nodes(20, 0), None, &wanted, soon).is_empty());
        assert!(scarcity.shares(nodes(20, 0), None, &wanted, SETTLED).is_empty());
    }
}
