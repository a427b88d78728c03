//! What is true now of each pool, for people, for the demo and for promotions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use springtide_proto::ids::TenantId;

use crate::api::PromotionStatus;
use crate::autoscale::{Ahead, Baseline, Binding, Decision, Moment, Plan};
use crate::fleet::PoolKey;

/// A cache shows what was written within this.
const CACHE_LAG: Duration = Duration::from_secs(10);

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
    /// How much of a node one worker takes, as others compare it.
    #[serde(skip)]
    pub worker_size: u32,
    /// Workers that exist or are being created, those included that are leaving.
    #[serde(skip)]
    pub held: u32,
    /// The decision in full.
    #[serde(skip)]
    pub decision: Decision,
    /// Workers and gateways that should be heard and are not.
    #[serde(skip)]
    pub silent: Vec<SilentPeer>,
    /// The highest load of the last hour, in conversations.
    #[serde(skip)]
    pub peak: u32,
    /// Conversations that one worker takes.
    #[serde(skip)]
    pub capacity: u32,
    /// The most that the tenant's limit leaves, or its share of a cluster that is short.
    #[serde(skip)]
    pub tenant_share: u32,
    /// It is a share of a cluster that is short.
    #[serde(skip)]
    pub scarce: bool,
    /// Time until a new worker answers, which 99 of 100 keep.
    #[serde(skip)]
    pub start_time: Duration,
    /// Half of the workers that do not answer yet have been starting for longer.
    #[serde(skip)]
    pub starting_for: Duration,
    /// How long a conversation lasts on average, where that was measured.
    #[serde(skip)]
    pub hold_time: Option<Duration>,
    /// What load it usually has at a time of the week.
    #[serde(skip)]
    pub baseline: Arc<Baseline>,
}

impl LivePool {
    /// Workers that are wanted, whatever other tenants want: what there should be, while it is not known what load there is.
    fn wanted(&self) -> u32 {
        match self.decision.binding {
            Binding::MissingData | Binding::ColdWindow => self.demand.max(self.desired),
            _ => self.demand,
        }
    }
}

/// A worker or gateway that should be heard and is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilentPeer {
    /// Its Pod.
    pub pod: String,
    /// How long ago its last report that can be true came; none if it has not sent one to this leader.
    pub age: Option<Duration>,
}

/// How large a pool is, in workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// That it has or should have, whichever is more.
    pub held: u32,
    /// That it wants, whatever other pools want.
    pub wanted: u32,
    /// That have conversations.
    pub occupied: u32,
}

/// What pools want.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Workers that would be wanted if other tenants wanted nothing.
    pub wanted: u32,
    /// Workers that there should be, where nobody else has a use for their room.
    pub kept: u32,
    /// Workers that have conversations.
    pub occupied: u32,
    /// Of all workers that are wanted or have conversations together.
    pub size: u64,
}

impl Demand {
    /// Of one worker, on the average of the pools; at least 1.
    pub fn worker_size(&self) -> u32 {
        let workers = u64::from(self.wanted.max(self.occupied));
        let each = self.size.checked_div(workers).unwrap_or(1);
        u32::try_from(each.max(1)).unwrap_or(u32::MAX)
    }
}

/// All pools now, and the promotions that hold.
#[derive(Clone, Debug, Default)]
pub struct LiveBoard(Arc<Mutex<Boards>>);

#[derive(Debug, Default)]
struct Boards {
    leading: bool,
    pools: BTreeMap<PoolKey, LivePool>,
    grants: BTreeMap<TenantId, u32>,
    /// By pool, then by the promotion's name.
    plans: BTreeMap<PoolKey, BTreeMap<String, Plan>>,
    /// What promotions are going to have, by their names.
    ahead: BTreeMap<String, Ahead<PoolKey>>,
    /// By the promotion's UID.
    written: BTreeMap<String, (Moment, PromotionStatus)>,
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

    /// What the pools of each tenant want together, but for those that are left out.
    pub fn demand_by_tenant(&self, left_out: &BTreeSet<PoolKey>) -> BTreeMap<TenantId, Demand> {
        let boards = self.0.lock();
        let mut sums: BTreeMap<TenantId, Demand> = BTreeMap::new();
        for (key, live) in boards.pools.iter().filter(|(key, _)| !left_out.contains(key)) {
            let sum = sums.entry(key.tenant.clone()).or_default();
            sum.wanted = sum.wanted.saturating_add(live.wanted());
            sum.kept = sum.kept.saturating_add(live.desired);
            sum.occupied = sum.occupied.saturating_add(live.occupied);
            let workers = u64::from(live.wanted().max(live.occupied));
            sum.size = sum
                .size
                .saturating_add(workers.saturating_mul(live.worker_size.into()));
        }
        sums
    }

    /// How much of a node one worker of each pool takes.
    pub fn worker_sizes(&self) -> BTreeMap<PoolKey, u32> {
        let boards = self.0.lock();
        let sizes = boards.pools.iter();
        sizes.map(|(key, live)| (key.clone(), live.worker_size)).collect()
    }

    /// How many workers may still be created where there may be `most` in all, and Pods of `seen` workers are seen; a new leader
    /// has not decided all pools yet.
    pub fn room(&self, most: u32, seen: usize) -> u32 {
        let boards = self.0.lock();
        let held = boards
            .pools
            .values()
            .fold(0_u32, |sum, live| sum.saturating_add(live.held));
        most.saturating_sub(held.max(u32::try_from(seen).unwrap_or(u32::MAX)))
    }

    /// So many more workers of a pool are being created.
    pub fn hold(&self, key: &PoolKey, more: usize) {
        if let Some(live) = self.0.lock().pools.get_mut(key) {
            live.held = live.held.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        }
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

    /// How large a pool is, when it was decided.
    pub fn size(&self, key: &PoolKey) -> Option<Size> {
        let boards = self.0.lock();
        let live = boards.pools.get(key)?;
        Some(Size {
            held: live.desired.max(live.held),
            wanted: live.wanted(),
            occupied: live.occupied,
        })
    }

    /// Pools of a tenant that are larger than they want to be.
    pub fn with_more_than_wanted(&self, tenant: &TenantId) -> Vec<PoolKey> {
        let boards = self.0.lock();
        let of_tenant = boards.pools.iter().filter(|(key, _)| key.tenant == *tenant);
        let larger = of_tenant.filter(|(_, live)| live.desired > live.wanted());
        larger.map(|(key, _)| key.clone()).collect()
    }

    /// What was decided for a pool last.
    pub fn desired(&self, key: &PoolKey) -> u32 {
        self.0.lock().pools.get(key).map_or(0, |live| live.desired)
    }

    /// What a promotion asks of pools now, and of no other pool any more. The pools for which that is news.
    pub fn ask(&self, promotion: &str, plans: BTreeMap<PoolKey, Plan>) -> Vec<PoolKey> {
        let mut boards = self.0.lock();
        let mut news = Vec::new();
        for (key, asked) in &mut boards.plans {
            if !plans.contains_key(key) && asked.remove(promotion).is_some() {
                news.push(key.clone());
            }
        }
        for (key, plan) in plans {
            let asked = boards.plans.entry(key.clone()).or_default();
            if asked.insert(promotion.to_owned(), plan.clone()).as_ref() != Some(&plan) {
                news.push(key);
            }
        }
        boards.plans.retain(|_, asked| !asked.is_empty());
        news
    }

    /// What a promotion is going to have.
    pub fn plans_ahead(&self, promotion: &str, ahead: Option<Ahead<PoolKey>>) {
        let mut boards = self.0.lock();
        match ahead {
            Some(ahead) => boards.ahead.insert(promotion.to_owned(), ahead),
            None => boards.ahead.remove(promotion),
        };
    }

    /// What all promotions but this one are going to have, by their names.
    pub fn ahead_of_others(&self, promotion: &str) -> Vec<(String, Ahead<PoolKey>)> {
        let boards = self.0.lock();
        let others = boards.ahead.iter().filter(|(name, _)| *name != promotion);
        others
            .map(|(name, ahead)| (name.clone(), ahead.clone()))
            .collect()
    }

    /// Forgets promotions that do not exist.
    pub fn keep_promotions(&self, exists: impl Fn(&str) -> bool) {
        let mut boards = self.0.lock();
        for asked in boards.plans.values_mut() {
            asked.retain(|promotion, _| exists(promotion));
        }
        boards.plans.retain(|_, asked| !asked.is_empty());
        boards.ahead.retain(|promotion, _| exists(promotion));
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

    /// What promotions ask of a pool.
    pub fn plans(&self, key: &PoolKey) -> Vec<Plan> {
        let boards = self.0.lock();
        boards
            .plans
            .get(key)
            .map_or_else(Vec::new, |asked| asked.values().cloned().collect())
    }

    /// The status of the promotion of that UID was written.
    pub fn wrote(&self, uid: &str, status: PromotionStatus, now: Moment) {
        let mut boards = self.0.lock();
        boards.written.retain(|_, (at, _)| *at + CACHE_LAG > now);
        boards.written.insert(uid.to_owned(), (now, status));
    }

    /// The status that was written of late, which a cache may not show yet.
    pub fn written(&self, uid: &str, now: Moment) -> Option<PromotionStatus> {
        let boards = self.0.lock();
        let (at, status) = boards.written.get(uid)?;
        (*at + CACHE_LAG > now).then(|| status.clone())
    }

    /// Forgets everything: we do not lead any more.
    pub fn end(&self) {
        *self.0.lock() = Boards::default();
    }
}
