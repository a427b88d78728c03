//! What is remembered of a pool between reconciles: only what guards against caches that lag behind, and windows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::autoscale::{Checkpoint, History, Learned, Moment, Observation};
use crate::controllers::apply::WriteError;
use crate::controllers::checkpoint::Earlier;
use crate::controllers::pods::{PodFacts, version_of};

use super::budget;
use super::changes::Changing;
use super::dereference::Seen;
use super::look::Look;
use super::moving::MovingMemory;
use super::update_status::Telling;
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
    /// Pods created and not seen yet, by name.
    pub(super) expected: BTreeMap<String, Expected>,
    /// Whatever the watch has not shown yet is remembered: see [`super::look`].
    pub(super) is_current: bool,
    /// What the API server had when it was asked last.
    looked: Option<Looked>,
    /// Names of Pods that were going then: they are not free yet, and the watch may not show them.
    pub(super) going: BTreeSet<String>,
    /// When the pace of creations has its turn for the pool, and whether for what is urgent.
    pub(super) turn: Option<(Moment, bool)>,
    /// When Pods were created that have not answered yet, by name.
    pub(super) created: BTreeMap<String, Moment>,
    /// UIDs of Pods deleted and still seen.
    pub(super) deleted: BTreeSet<String>,
    /// Of workers on nodes that go.
    pub(super) moving: MovingMemory,
    /// The budget that was written.
    pub(super) budget: Option<budget::Written>,
    /// So many served when this leader first looked: a budget that an earlier one wrote is for these.
    pub(super) served: Option<u32>,
    /// ConfigMaps that were missing when last looked for, and when that was.
    pub(super) knowledge: Option<(Moment, i64, Vec<String>)>,
    /// Generation for which the Service was applied.
    pub(super) service: Option<i64>,
    /// When the status was written last.
    pub(super) status_written: Option<Moment>,
    /// A status that waits to be written or is being written.
    pub(super) telling: Option<Telling>,
    /// Other changes that are being made.
    pub(super) changing: Option<Changing>,
    /// Why the last ones could not be made, until it is told.
    pub(super) change_failed: Option<WriteError>,
}

/// A Pod that is there and that the watch has not shown.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// Since when.
    pub(super) since: Moment,
    /// Which Pod of that name; `None` if another leader's had the name: a look says whose it is.
    pub(super) which: Option<Which>,
}

/// One Pod of those that have a name one after the other.
#[derive(Clone, Debug)]
pub(super) struct Which {
    uid: String,
    /// Version of the API server's store in which it was there.
    version: Option<u64>,
}

impl Which {
    pub(super) fn of(metadata: &ObjectMeta) -> Option<Self> {
        Some(Self {
            uid: metadata.uid.clone()?,
            version: version_of(metadata.resource_version.as_deref()),
        })
    }

    /// The watch shows it, or has come to one that had the name after it. A watch that is behind may yet show one that had it
    /// before.
    fn is_shown_by(&self, pod: &PodFacts) -> bool {
        let later = pod
            .version
            .zip(self.version)
            .is_none_or(|(seen, own)| seen >= own);
        pod.uid == self.uid || later
    }
}

#[derive(Debug)]
struct Looked {
    version: u64,
    uids: BTreeSet<String>,
}

impl PoolMemory {
    /// Nothing is under way beside decisions.
    #[cfg(test)]
    pub(in crate::controllers) fn is_quiet(&self) -> bool {
        let tells = self
            .telling
            .as_ref()
            .is_some_and(|telling| !telling.is_finished());
        let changes = self
            .changing
            .as_ref()
            .is_some_and(|changing| !changing.is_finished());
        !tells && !changes
    }

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
        let names: BTreeMap<_, _> = there.map(|pod| (pod.name.as_str(), pod)).collect();
        self.expected.retain(|name, expected| {
            let shown = names.get(name.as_str());
            !shown.is_some_and(|pod| expected.which.as_ref().is_none_or(|which| which.is_shown_by(pod)))
        });
        let waited_for = self.expected.len();
        self.expected
            .retain(|_, expected| expected.since + EXPECTED_FOR > now);
        self.is_current &= self.expected.len() == waited_for;
        let expected = &self.expected;
        self.created
            .retain(|name, _| names.contains_key(name.as_str()) || expected.contains_key(name));
    }

    /// Remembers what the API server has and was not seen, and what was seen and is gone; `true` if there is any.
    pub(super) fn catch_up(&mut self, seen: &[Arc<PodFacts>], look: Look, now: Moment) -> bool {
        self.is_current = true;
        let Look {
            version,
            pods: listed,
        } = look;
        let there: BTreeSet<_> = listed.iter().map(|pod| pod.uid.clone()).collect();
        let known: BTreeSet<_> = seen.iter().map(|pod| pod.uid.as_str()).collect();
        let gone = seen.iter().filter(|pod| !there.contains(&pod.uid));
        let mut behind = false;
        for pod in gone {
            behind |= self.deleted.insert(pod.uid.clone());
        }
        // Of a name that was taken it is known now by whom.
        let (going, staying): (Vec<_>, Vec<_>) = listed.into_iter().partition(|pod| pod.terminating);
        let names: BTreeSet<_> = staying.iter().map(|pod| pod.name.as_str()).collect();
        self.expected
            .retain(|name, expected| expected.which.is_some() || names.contains(name.as_str()));
        let going: BTreeSet<_> = going.into_iter().map(|pod| pod.name).collect();
        let shown: BTreeSet<_> = seen.iter().map(|pod| pod.name.as_str()).collect();
        behind |= going
            .iter()
            .any(|name| !shown.contains(name.as_str()) && !self.going.contains(name));
        self.going = going;
        for pod in staying {
            if !known.contains(pod.uid.as_str()) {
                let expected = Expected {
                    since: now,
                    which: Some(Which {
                        uid: pod.uid,
                        version: pod.version,
                    }),
                };
                behind |= self.expected.insert(pod.name, expected).is_none();
            }
        }
        self.looked = version.map(|version| Looked { version, uids: there });
        behind
    }

    /// A name was taken, and it is not known by whom.
    pub(super) fn is_puzzled(&self) -> bool {
        self.expected.values().any(|expected| expected.which.is_none())
    }

    /// The Pod had gone before the API server was asked last.
    pub(super) fn is_past(&self, pod: &PodFacts) -> bool {
        self.looked.as_ref().is_some_and(|looked| {
            pod.version.is_some_and(|version| version < looked.version) && !looked.uids.contains(&pod.uid)
        })
    }
}
