//! Workers on nodes that go: they move, each when another answers in its place.
//!
//! - *moving*: on a node that goes, and not told to leave yet. It serves on but counts no more: the pool grows elsewhere to
//!   what is desired, and as many as answer there let as many leave. They leave as in a scale-in, drained.
//! - *patience*: where no worker comes in their place for this long, they leave without; a drain of a node always ends.
//! - *released*: nothing protects the Pod any more; whoever drains the node evicts it. It is deleted only if nobody does:
//!   `kubectl drain` asks again for Pods by their names, and must find none of ours under a name that it was refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;

use crate::autoscale::{Decision, Departure, Moment, choose_victims};
use crate::controllers::apply::{WriteError, patch_if_same};
use crate::controllers::pods::PodFacts;
use crate::names::{DO_NOT_DISRUPT_ANNOTATION, SAFE_TO_EVICT_ANNOTATION, SERVING_LABEL};

use super::build::Deletion;
use super::dereference::Seen;
use super::memory::PoolMemory;
use super::template::FLUSH_SECONDS;
use super::validate::ValidPool;
use super::workers::{Worker, Workers};

/// So long a released Pod is left to be evicted: whoever drains a node asks again sooner.
const LINGER: Duration = Duration::from_secs(30);

/// What is remembered of workers that move.
#[derive(Debug, Default)]
pub(super) struct MovingMemory {
    /// UIDs of those that an Event was published about.
    told: BTreeSet<String>,
    /// When one began to move, or one left because another answered in its place, last.
    pub(super) progress: Moment,
    /// UIDs of Pods that were released and are still seen, and since when.
    pub(super) released: BTreeMap<String, Moment>,
}

/// What becomes of the workers that move.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// So many serve on.
    pub(super) stay: u32,
    /// These leave now.
    pub(super) leave: Vec<Worker>,
    /// What is to be said of it.
    pub(super) remarks: Vec<Remark>,
}

/// A Pod to be released, and what is said of it.
#[derive(Clone, Debug)]
pub(super) struct Release {
    pub(super) pod: Arc<PodFacts>,
    remark: Option<Remark>,
}

/// An Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remark {
    pub(super) alarming: bool,
    pub(super) reason: &'static str,
    pub(super) note: String,
}

impl Moves {
    /// Workers that move, whether or not they leave now.
    pub(super) fn count(&self) -> u32 {
        self.stay + to_u32(self.leave.len())
    }
}

pub(super) fn moves(
    valid: &ValidPool<'_>,
    seen: &Seen,
    workers: &Workers,
    (decision, digest): (&Decision, &str),
    memory: &mut PoolMemory,
) -> Moves {
    let moving = |of: &[Worker]| {
        of.iter()
            .filter(|worker| worker.moving)
            .cloned()
            .collect::<Vec<_>>()
    };
    // What does not answer yet starts elsewhere instead.
    let (mut leave, serving) = (moving(&workers.starting), moving(&workers.ready));
    let mut remarks = begin(leave.iter().chain(&serving), seen.now, &mut memory.moving);

    let elsewhere = workers
        .ready
        .iter()
        .filter(|worker| !worker.moving && worker.is_available());
    let needed = usize::try_from(decision.desired)
        .unwrap_or(usize::MAX)
        .saturating_sub(elsewhere.count());
    let replaced = serving.len().saturating_sub(needed);
    let patience = valid.pool.spec.drain.deadline.0.max(memory.learned.starts.p99());
    let count = if memory.moving.progress + patience <= seen.now {
        if replaced < serving.len() {
            remarks.push(not_replaced(&serving, serving.len() - replaced, patience));
        }
        serving.len()
    } else if needed > 0 && is_full(seen, decision) {
        // The limit leaves no room for another one until one leaves.
        replaced.max(1)
    } else {
        replaced
    };
    if replaced > 0 {
        memory.moving.progress = seen.now;
    }
    let candidates = serving.iter().map(|worker| worker.candidate(digest)).collect();
    let victims = choose_victims(candidates, count, Departure::Fewer);
    let (going, staying): (Vec<_>, Vec<_>) = serving
        .into_iter()
        .partition(|worker| victims.iter().any(|victim| victim.pod == worker.pod.name));
    leave.extend(going);
    Moves {
        stay: to_u32(staying.len()),
        leave,
        remarks,
    }
}

/// All that the tenant's limit leaves is there, and nothing is starting.
fn is_full(seen: &Seen, decision: &Decision) -> bool {
    decision.observation.have() >= seen.tenant_share && decision.observation.starting == 0
}

/// Takes note of workers that began to move; what is said of it.
fn begin<'a>(
    moving: impl Iterator<Item = &'a Worker>,
    now: Moment,
    memory: &mut MovingMemory,
) -> Vec<Remark> {
    let mut by_node: BTreeMap<&str, usize> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for worker in moving {
        if !memory.told.contains(&worker.pod.uid) {
            *by_node.entry(node(worker)).or_default() += 1;
        }
        known.insert(worker.pod.uid.clone());
    }
    memory.told = known;
    if !by_node.is_empty() {
        memory.progress = now;
    }
    let remark = |(node, count): (&str, usize)| Remark {
        alarming: false,
        reason: "NodeDraining",
        note: format!(
            "{} from {node}, which takes no more pods",
            verb(count, "moves", "move")
        ),
    };
    by_node.into_iter().map(remark).collect()
}

fn not_replaced(serving: &[Worker], count: usize, patience: Duration) -> Remark {
    let nodes: BTreeSet<_> = serving.iter().map(node).collect();
    Remark {
        alarming: true,
        reason: "NotReplaced",
        note: format!(
            "{} {} without another in its place: none answered within {} s; customers may have to wait",
            verb(count, "leaves", "leave"),
            nodes.into_iter().collect::<Vec<_>>().join(", "),
            patience.as_secs()
        ),
    }
}

fn node(worker: &Worker) -> &str {
    worker.pod.node.as_deref().unwrap_or_default()
}

fn verb(count: usize, one: &str, many: &str) -> String {
    if count == 1 {
        format!("1 worker {one}")
    } else {
        format!("{count} workers {many}")
    }
}

/// Of Pods that go, those on nodes that go are released first, and deleted when nobody evicted them.
pub(super) fn release_first(
    seen: &Seen,
    workers: &Workers,
    delete: Vec<Deletion>,
    memory: &MovingMemory,
) -> (Vec<Deletion>, Vec<Release>) {
    let on_it = |uid: &str| {
        let pod = seen.pods.iter().find(|pod| pod.uid == uid)?;
        seen.going.contains(pod.node.as_ref()?).then_some(pod)
    };
    let mut release: Vec<_> = held_by_records(seen, workers).collect();
    let mut now = Vec::new();
    for deletion in delete {
        match (on_it(&deletion.uid), memory.released.get(&deletion.uid)) {
            (Some(pod), None) => release.push(Release {
                pod: pod.clone(),
                remark: None,
            }),
            (Some(_), Some(since)) if *since + LINGER > seen.now => {}
            _ => now.push(deletion),
        }
    }
    release.retain(|release| !memory.released.contains_key(&release.pod.uid));
    (now, release)
}

/// Workers on nodes that go whose usage records billing does not take, though they have had the time to drain and flush.
/// Gateways have the same records.
fn held_by_records<'a>(seen: &'a Seen, workers: &'a Workers) -> impl Iterator<Item = Release> + 'a {
    let held = workers.draining.iter().filter(|worker| {
        let Some(view) = &worker.view else { return false };
        let overdue = view.cordon.is_some_and(|cordon| {
            cordon.since + cordon.deadline + Duration::from_secs(FLUSH_SECONDS) <= seen.now
        });
        worker.moving && overdue && view.spooled > 0
    });
    held.map(|worker| Release {
        pod: worker.pod.clone(),
        remark: Some(Remark {
            alarming: true,
            reason: "UsageHeld",
            note: format!(
                "worker {} on {} has {} usage records that billing has not taken; whoever drains the node may evict it now, \
                 for the gateways have the same records",
                worker.pod.name,
                node(worker),
                worker.view.as_ref().map_or(0, |view| view.spooled)
            ),
        }),
    })
}

/// Takes the protection of its pool's budget, and of node autoscalers, from a Pod; what is to be said of it.
pub(super) async fn release(pods: &Api<Pod>, release: &Release) -> Result<Option<Remark>, WriteError> {
    let patch = serde_json::json!({"metadata": {
        "labels": {SERVING_LABEL: null},
        "annotations": {SAFE_TO_EVICT_ANNOTATION: "true", DO_NOT_DISRUPT_ANNOTATION: null},
    }});
    let released = patch_if_same(pods, &release.pod.name, &release.pod.uid, patch).await?;
    Ok(release.remark.clone().filter(|_| released))
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
