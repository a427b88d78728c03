//! What is remembered of a pool between reconciles: only what guards against caches that lag behind, and windows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::autoscale::{Checkpoint, History, Learned, Moment, Observation};
use crate::controllers::checkpoint::Earlier;
use crate::controllers::pods::PodFacts;

use super::budget;
use super::dereference::Seen;
use super::look::Listed;
use super::moving::MovingMemory;
use super::validate::ValidPool;

/// A Pod that was created and is not seen for this long may not be coming.
const EXPECTED_FOR: Duration = Duration::from_secs(30);
/// Baselines of promotions look back this far.
pub(in crate::controllers) const PEAK_SPAN: Duration = Duration::from_hours(1);

/// Memory of one pool; a new leader starts with what an earlier one had learned.
#[derive(Debug, Default)]
pub struct PoolMemory {
    /// Of decisions.
    pub(super) history: History,
    /// Start times, load of the last hour, load by the slots of the week.
    pub(super) learned: Learned,
    /// UID of the pool.
    uid: Option<String>,
    /// It is known what an earlier leader had learned.
    is_known: bool,
    /// Names of Pods created and not seen yet.
    pub(super) expected: BTreeMap<String, Moment>,
    /// Whatever the watch has not shown yet is remembered: see [`super::look`].
    pub(super) is_current: bool,
    /// When Pods were created that have not answered yet, by name.
    pub(super) created: BTreeMap<String, Moment>,
    /// UIDs of Pods deleted and still seen.
    pub(super) deleted: BTreeSet<String>,
    /// Of workers on nodes that go.
    pub(super) moving: MovingMemory,
    /// The budget that was written.
    pub(super) budget: Option<budget::Written>,
    /// ConfigMaps that were missing when last looked for, and when that was.
    pub(super) knowledge: Option<(Moment, i64, Vec<String>)>,
    /// Generation for which the Service was applied.
    pub(super) service: Option<i64>,
    /// When the status was written last.
    pub(super) status_written: Option<Moment>,
}

impl PoolMemory {
    /// Takes over what an earlier leader had learned, once; forgets what was learned of another pool of the same name.
    pub(super) fn take_over(
        &mut self,
        uid: &str,
        earlier: impl FnOnce() -> Earlier,
        now: Moment,
        time: Timestamp,
    ) {
        if self.uid.as_deref() != Some(uid) {
            // Nothing of another pool that had the same name holds for this one.
            *self = Self {
                uid: Some(uid.to_owned()),
                ..Self::default()
            };
        }
        if self.is_known {
            return;
        }
        match earlier() {
            Earlier::NotRead => return,
            Earlier::Nothing => {}
            Earlier::Kept(kept) => self.learned.resume(*kept, now, time),
        }
        self.is_known = true;
    }

    /// What is kept for the next leader; `None` while it is not known what an earlier one had learned.
    pub(in crate::controllers) fn checkpoint(
        &self,
        uid: &str,
        now: Moment,
        time: Timestamp,
    ) -> Option<Checkpoint> {
        (self.is_known && self.uid.as_deref() == Some(uid)).then(|| self.learned.checkpoint(now, time))
    }

    /// Learns how long conversations last, and what load the pool usually has: not from what is not all there, and the load not
    /// from a time that is not like others.
    pub(super) fn learn(&mut self, valid: &ValidPool<'_>, seen: &Seen, observation: &Observation) {
        let usual = !valid.policy.suspended && !seen.plans.iter().any(|plan| plan.open);
        let load = observation.active.saturating_add(observation.waiting);
        let zone = seen
            .tenant
            .as_ref()
            .map_or("UTC", |tenant| tenant.spec.time_zone.as_str());
        let complete = observation.silent == 0 && seen.tenant.is_some();
        let endings = observation.rates.longest().endings;
        self.learned
            .hold
            .observe(seen.now, complete.then_some((observation.active, endings)));
        self.learned
            .baseline
            .observe(seen.time, zone, (usual && complete).then_some(load));
    }

    /// Forgets expectations that came true, by the Pods that are seen, and those that may not, which is a reason to look.
    pub(super) fn settle(&mut self, now: Moment, pods: &[Arc<PodFacts>]) {
        let uids: BTreeSet<_> = pods.iter().map(|pod| pod.uid.as_str()).collect();
        self.deleted.retain(|uid| uids.contains(uid.as_str()));
        self.moving.released.retain(|uid, _| uids.contains(uid.as_str()));
        // The name of a Pod that was deleted and is still seen may be another's.
        let there = pods.iter().filter(|pod| !self.deleted.contains(&pod.uid));
        let names: BTreeSet<_> = there.map(|pod| pod.name.as_str()).collect();
        self.expected.retain(|name, _| !names.contains(name.as_str()));
        let waited_for = self.expected.len();
        self.expected.retain(|_, since| *since + EXPECTED_FOR > now);
        self.is_current &= self.expected.len() == waited_for;
        let expected = &self.expected;
        self.created
            .retain(|name, _| names.contains(name.as_str()) || expected.contains_key(name));
    }

    /// Remembers what the API server has and was not seen, and what was seen and is gone; `true` if there is any.
    pub(super) fn catch_up(&mut self, seen: &[Arc<PodFacts>], listed: Vec<Listed>, now: Moment) -> bool {
        self.is_current = true;
        let there: BTreeSet<_> = listed.iter().map(|pod| pod.uid.clone()).collect();
        let known: BTreeSet<_> = seen.iter().map(|pod| pod.uid.as_str()).collect();
        let gone = seen.iter().filter(|pod| !there.contains(&pod.uid));
        let mut behind = false;
        for pod in gone {
            behind |= self.deleted.insert(pod.uid.clone());
        }
        for pod in listed {
            if !pod.terminating && !known.contains(pod.uid.as_str()) {
                behind |= self.expected.insert(pod.name, now).is_none();
            }
        }
        behind
    }
}
