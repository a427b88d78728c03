//! What is remembered of a pool between reconciles: only what guards against caches that lag behind, and windows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::autoscale::{Checkpoint, History, Learned, Moment, Observation};
use crate::controllers::checkpoint::Earlier;

use super::budget;
use super::dereference::Seen;
use super::moving::MovingMemory;
use super::validate::ValidPool;

/// A Pod that was created and is not seen for this long is not coming.
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

    /// Learns what load the pool usually has: not from what is not all there, nor from a time that is not like others.
    pub(super) fn learn(&mut self, valid: &ValidPool<'_>, seen: &Seen, observation: &Observation) {
        let usual = !valid.policy.suspended && !seen.plans.iter().any(|plan| plan.open);
        let load = observation.active.saturating_add(observation.waiting);
        let zone = seen
            .tenant
            .as_ref()
            .map_or("UTC", |tenant| tenant.spec.time_zone.as_str());
        let complete = observation.silent == 0 && seen.tenant.is_some();
        self.learned
            .baseline
            .observe(seen.time, zone, (usual && complete).then_some(load));
    }

    /// Forgets expectations that came true, and those that will not.
    pub(super) fn settle(&mut self, now: Moment, names: &BTreeSet<&str>, uids: &BTreeSet<&str>) {
        self.expected
            .retain(|name, since| !names.contains(name.as_str()) && *since + EXPECTED_FOR > now);
        self.deleted.retain(|uid| uids.contains(uid.as_str()));
        self.moving.released.retain(|uid, _| uids.contains(uid.as_str()));
        let expected = &self.expected;
        self.created
            .retain(|name, _| names.contains(name.as_str()) || expected.contains_key(name));
    }
}
