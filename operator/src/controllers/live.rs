//! What is true now of each pool, for people, for the demo and for promotions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

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

/// All pools now, and the promotions that hold.
#[derive(Clone, Debug, Default)]
pub struct LiveBoard(Arc<Mutex<Boards>>);

#[derive(Debug, Default)]
struct Boards {
    leading: bool,
    pools: BTreeMap<PoolKey, LivePool>,
    plans: BTreeMap<(PoolKey, String), Plan>,
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
