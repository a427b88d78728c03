//! What is true now of each pool, for people, for the demo and for promotions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use springtide_proto::ids::TenantId;

use crate::autoscale::{Decision, Plan};
use crate::fleet::PoolKey;

/// One pool now.
#[derive(Clone, Debug, Serialize)]
pub struct LivePool {
    /// Whose.
    pub tenant: String,
    /// Which.
    pub pool: String,
    /// Active conversations.
    pub active: u32,
    /// Conversations in waiting rooms.
    pub waiting: u32,
    /// Workers that have not answered yet.
    pub starting: u32,
    /// Workers that take conversations.
    pub ready: u32,
    /// Workers that are leaving.
    pub draining: u32,
    /// Workers that there should be.
    pub desired: u32,
    /// The lowest allowed.
    pub floor: u32,
    /// The highest allowed.
    pub ceiling: u32,
    /// Turns answered since this leader watches.
    pub turns_answered_total: u64,
    /// The term or bound that decided.
    pub binding: &'static str,
    /// Workers that would be wanted if other tenants wanted nothing.
    pub demand: u32,
    /// Workers that have conversations.
    pub occupied: u32,
    /// The decision in full.
    #[serde(skip)]
    pub decision: Decision,
    /// The highest load of the last hour, in conversations.
    #[serde(skip)]
    pub peak: u32,
    /// Conversations that one worker takes.
    #[serde(skip)]
    pub capacity: u32,
    /// The most that the tenant's limit leaves.
    #[serde(skip)]
    pub tenant_share: u32,
    /// Time until a new worker answers.
    #[serde(skip)]
    pub start_time: Duration,
}

/// What pools want.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Workers that would be wanted if other tenants wanted nothing.
    pub wanted: u32,
    /// Workers that have conversations.
    pub occupied: u32,
}

/// All pools now, and the promotions that hold.
#[derive(Clone, Debug, Default)]
pub struct LiveBoard(Arc<Mutex<Boards>>);

#[derive(Debug, Default)]
struct Boards {
    leading: bool,
    pools: BTreeMap<PoolKey, LivePool>,
    plans: BTreeMap<(PoolKey, String), Plan>,
    grants: BTreeMap<TenantId, u32>,
}

impl LiveBoard {
    /// Takes note of a pool.
    pub fn put(&self, key: &PoolKey, live: LivePool) {
        self.0.lock().pools.insert(key.clone(), live);
    }

    /// Forgets a pool.
    pub fn forget(&self, key: &PoolKey) {
        self.0.lock().pools.remove(key);
    }

    /// A pool.
    pub fn pool(&self, key: &PoolKey) -> Option<LivePool> {
        self.0.lock().pools.get(key).cloned()
    }

    /// Names of all pools.
    pub fn keys(&self) -> Vec<PoolKey> {
        self.0.lock().pools.keys().cloned().collect()
    }

    /// What the pools of each tenant want together.
    pub fn demand_by_tenant(&self) -> BTreeMap<TenantId, Demand> {
        let boards = self.0.lock();
        let mut sums: BTreeMap<TenantId, Demand> = BTreeMap::new();
        for (key, live) in &boards.pools {
            let sum = sums.entry(key.tenant.clone()).or_default();
            sum.wanted = sum.wanted.saturating_add(live.demand);
            sum.occupied = sum.occupied.saturating_add(live.occupied);
        }
        sums
    }

    /// All pools; none at all while we do not lead.
    pub fn pools(&self) -> Option<Vec<LivePool>> {
        let boards = self.0.lock();
        boards.leading.then(|| boards.pools.values().cloned().collect())
    }

    /// Forgets everything; from now on we lead.
    pub fn begin(&self) {
        *self.0.lock() = Boards {
            leading: true,
            ..Boards::default()
        };
    }

    /// What was decided for a pool last.
    pub fn desired(&self, key: &PoolKey) -> u32 {
        self.0.lock().pools.get(key).map_or(0, |live| live.desired)
    }

    /// A promotion holds for a pool (or does so no more); `true` if that is news.
    pub fn hold(&self, key: &PoolKey, promotion: &str, plan: Option<Plan>) -> bool {
        let mut boards = self.0.lock();
        let entry = (key.clone(), promotion.to_owned());
        match plan {
            Some(plan) => boards.plans.insert(entry, plan.clone()).as_ref() != Some(&plan),
            None => boards.plans.remove(&entry).is_some(),
        }
    }

    /// The cluster is short: each of these tenants has at most that many workers. Those whose share changed.
    pub fn grant(&self, grants: BTreeMap<TenantId, u32>) -> Vec<TenantId> {
        let mut boards = self.0.lock();
        let before = std::mem::replace(&mut boards.grants, grants);
        let tenants: BTreeSet<_> = before.keys().chain(boards.grants.keys()).cloned().collect();
        tenants
            .into_iter()
            .filter(|tenant| before.get(tenant) != boards.grants.get(tenant))
            .collect()
    }

    /// The tenant's share, while the cluster is short.
    pub fn granted(&self, tenant: &TenantId) -> Option<u32> {
        self.0.lock().grants.get(tenant).copied()
    }

    /// Promotions that hold for a pool.
    pub fn plans(&self, key: &PoolKey) -> Vec<Plan> {
        let boards = self.0.lock();
        boards
            .plans
            .iter()
            .filter(|((pool, _), _)| pool == key)
            .map(|(_, plan)| plan.clone())
            .collect()
    }

    /// Forgets everything: we do not lead any more.
    pub fn end(&self) {
        *self.0.lock() = Boards::default();
    }
}
