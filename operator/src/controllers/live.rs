//! What is true now of each pool, for people, for the demo and for promotions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use crate::api::PromotionStatus;
use crate::autoscale::{Baseline, Decision, Moment, Plan};
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
    /// Time until a new worker answers, which 99 of 100 keep.
    #[serde(skip)]
    pub start_time: Duration,
    /// What load it usually has at a time of the week.
    #[serde(skip)]
    pub baseline: Arc<Baseline>,
}

/// All pools now, and the promotions that hold.
#[derive(Clone, Debug, Default)]
pub struct LiveBoard(Arc<Mutex<Boards>>);

#[derive(Debug, Default)]
struct Boards {
    leading: bool,
    pools: BTreeMap<PoolKey, LivePool>,
    /// By pool, then by the promotion's name.
    plans: BTreeMap<PoolKey, BTreeMap<String, Plan>>,
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
