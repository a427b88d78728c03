//! Sorts the Pods of a pool by what their workers do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::autoscale::{Candidate, Moment};
use crate::controllers::live::SilentPeer;
use crate::controllers::pods::PodFacts;
use crate::fleet::WorkerView;

use super::dereference::Seen;
use super::memory::PoolMemory;

/// What a worker refuses for less may pass: a disk that is full, knowledge that is being replaced.
const REFUSING: Duration = Duration::from_secs(10);

/// The Pods of a pool. Each is in one list, but those that are leaving already are in none.
#[derive(Debug, Default)]
pub(super) struct Workers {
    /// Take conversations, or are not heard though their Pod is ready.
    pub(super) ready: Vec<Worker>,
    /// Do not yet.
    pub(super) starting: Vec<Worker>,
    /// Took conversations, and refuse them for so long that another is needed.
    pub(super) refusing: Vec<Worker>,
    /// Of an older template, and nobody has heard of them: nothing is lost with them.
    pub(super) superseded: Vec<Worker>,
    /// Were told to leave, or say that they do.
    pub(super) draining: Vec<Worker>,
    /// Ended, and will not start again.
    pub(super) ended: Vec<Arc<PodFacts>>,
    /// Should be heard and are not.
    pub(super) silent: Vec<SilentPeer>,
}

/// A Pod, and what is known of the worker in it.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub(super) pod: Arc<PodFacts>,
    pub(super) view: Option<WorkerView>,
    /// Its node goes.
    pub(super) moving: bool,
}

impl Worker {
    pub(super) fn active(&self) -> u32 {
        self.view.as_ref().map_or(0, |view| view.active)
    }

    pub(super) fn is_available(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.available)
    }

    /// It was heard, and is not any more.
    pub(super) fn is_lost(&self) -> bool {
        self.view
            .as_ref()
            .is_some_and(|view| view.silent && view.answered.is_some())
    }

    /// As one that could leave, of a pool whose workers should run what has that digest.
    pub(super) fn candidate(&self, digest: &str) -> Candidate {
        Candidate {
            pod: self.pod.name.clone(),
            unscheduled: self.pod.unschedulable.is_some(),
            active: self.active(),
            parked_in: self.view.as_ref().map_or(Duration::ZERO, |view| view.parked_in),
            created: self.pod.created,
            outdated: self.pod.template != digest,
        }
    }
}

/// Of a pool whose workers should run what has that digest.
pub(super) fn sort(seen: &Seen, digest: &str, memory: &PoolMemory) -> Workers {
    let (view, going) = (&seen.view, &seen.going);
    let mut sorted = Workers::default();
    for pod in seen
        .pods
        .iter()
        .filter(|pod| !pod.terminating && !memory.deleted.contains(&pod.uid))
    {
        let worker = Worker {
            pod: pod.clone(),
            view: view.worker(&pod.uid).cloned(),
            moving: pod.node.as_ref().is_some_and(|node| going.contains(node)),
        };
        let leaving = worker
            .view
            .as_ref()
            .is_some_and(|view| view.cordon.is_some() || view.draining);
        let leaving = leaving || memory.moving.released.contains_key(&pod.uid);
        if pod.ended {
            sorted.ended.push(pod.clone());
        } else if leaving {
            sorted.draining.push(worker);
        } else {
            place(&mut sorted, worker, digest, seen.now);
        }
    }
    sorted
}

fn place(sorted: &mut Workers, worker: Worker, digest: &str, now: Moment) {
    let Some(view) = &worker.view else {
        // Not heard since this leader leads: a Pod that is ready has a worker that should be.
        if worker.pod.ready {
            sorted.silent.push(silent(&worker));
            sorted.ready.push(worker);
        } else if worker.pod.template == digest {
            sorted.starting.push(worker);
        } else {
            sorted.superseded.push(worker);
        }
        return;
    };
    if view.available {
        sorted.ready.push(worker);
    } else if worker.is_lost() {
        sorted.silent.push(silent(&worker));
        // Where the Pod is not ready either, the worker is lost, and another is started in its place.
        if worker.pod.ready {
            sorted.ready.push(worker);
        }
    } else if view.refusing.is_some_and(|since| since + REFUSING <= now) {
        sorted.refusing.push(worker);
    } else {
        sorted.starting.push(worker);
    }
}

fn silent(worker: &Worker) -> SilentPeer {
    SilentPeer {
        pod: worker.pod.name.clone(),
        age: worker.view.as_ref().and_then(|view| view.age),
    }
}

/// The lowest `count` ordinals for new workers whose names nobody has.
pub(super) fn free_ordinals(
    pool: &str,
    pods: &[Arc<PodFacts>],
    memory: &PoolMemory,
    count: usize,
) -> Vec<u32> {
    let names = pods
        .iter()
        .map(|pod| pod.name.as_str())
        .chain(memory.expected.keys().chain(&memory.going).map(String::as_str));
    let taken: BTreeSet<u32> = names
        .filter_map(|name| crate::names::worker_ordinal(pool, name))
        .collect();
    (0..)
        .filter(|ordinal| !taken.contains(ordinal))
        .take(count)
        .collect()
}
