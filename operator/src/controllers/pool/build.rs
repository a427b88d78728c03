//! From what is seen to what is to be done.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::tz::TimeZone;
use k8s_openapi::api::core::v1::{Pod, PodSpec, Service};

use crate::autoscale::{Bounds, Decision, Departure, Observation, choose_victims, decide, horizon};
use crate::controllers::live::LivePool;
use crate::controllers::pods::PodFacts;

use super::dereference::Seen;
use super::memory::{PEAK_SPAN, PoolMemory};
use super::moving::{self, Moves, Release, Remark};
use super::size::worker_size;
use super::template;
use super::validate::ValidPool;
use super::workers::{Worker, Workers, free_ordinals, sort};

/// So many workers start at once, or as many as answer already if that is more: a pool at most doubles in one start time,
/// and starts never starve the workers that answer.
const MOST_STARTING: u32 = crate::autoscale::STARTING_AT_ONCE;
/// So many Pods that no node takes stay pending, so that a node autoscaler sees the need.
const MOST_UNSCHEDULABLE: usize = 10;

/// What is to be done.
#[derive(Debug)]
pub(super) struct Prepared<'a> {
    pub(super) valid: &'a ValidPool<'a>,
    pub(super) workers: Workers,
    pub(super) decision: Decision,
    pub(super) live: LivePool,
    pub(super) create: Vec<Pod>,
    pub(super) uncordon: Vec<String>,
    pub(super) cordon: Vec<String>,
    pub(super) delete: Vec<Deletion>,
    pub(super) release: Vec<Release>,
    pub(super) remarks: Vec<Remark>,
    /// Pods that the budget protects, with those that are created now.
    pub(super) serving: u32,
    pub(super) service: Service,
    pub(super) drain_deadline: Duration,
    pub(super) manual_lapsed: bool,
    /// Fewer are desired than before.
    fewer: bool,
}

/// A Pod that goes, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deletion {
    pub(super) name: String,
    pub(super) uid: String,
    /// Said in an Event, where it is more than the end of a drain.
    pub(super) remark: Option<String>,
    /// It counts until it is gone: nothing was told to leave before.
    pub(super) counts: bool,
}

impl Deletion {
    fn of(pod: &PodFacts, remark: Option<String>) -> Self {
        Self {
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            remark,
            counts: false,
        }
    }
}

pub(super) fn build<'a>(valid: &'a ValidPool<'a>, seen: &Seen, memory: &mut PoolMemory) -> Prepared<'a> {
    memory.settle(seen.now, &seen.pods);
    measure_starts(seen, memory);
    let (spec, digest) = template::template(valid);
    let workers = sort(seen, &digest, memory);
    let observation = observe(seen, &workers, memory);
    memory
        .learned
        .load
        .push(seen.now, observation.active + observation.waiting, PEAK_SPAN);
    memory.learn(valid, seen, &observation);
    let holding = valid.manual.as_ref().filter(|manual| !manual.lapsed);
    let bounds = Bounds {
        manual: holding.map(|manual| manual.manual),
        plans: &seen.plans,
        tenant_share: seen.tenant_share,
        kept_share: seen.kept_share,
        scarce: seen.scarce,
    };
    resume(valid, &observation, memory);
    let stood = memory.history.last();
    let decision = decide(
        &valid.policy,
        &observation,
        &bounds,
        &mut memory.history,
        seen.now,
    );

    let moves = moving::moves(valid, seen, &workers, (&decision, &digest), memory);
    let mut prepared = Prepared {
        valid,
        live: live(valid, seen, &workers, &decision, memory),
        create: Vec::new(),
        uncordon: Vec::new(),
        cordon: adopted(&workers),
        delete: finished(seen, &workers),
        release: Vec::new(),
        remarks: Vec::new(),
        serving: 0,
        service: template::service(valid),
        drain_deadline: valid.pool.spec.drain.deadline.0,
        manual_lapsed: valid.manual.as_ref().is_some_and(|manual| manual.lapsed),
        fewer: stood.is_some_and(|stood| stood > decision.desired),
        workers,
        decision,
    };
    resize(&mut prepared, moves, seen, memory, (&spec, &digest));
    let delete = std::mem::take(&mut prepared.delete);
    (prepared.delete, prepared.release) =
        moving::release_first(seen, &prepared.workers, delete, &memory.moving);
    let protected = seen.pods.iter().filter(|pod| pod.serving && !pod.terminating);
    prepared.serving = to_u32(protected.count() + memory.expected.len() + prepared.create.len());
    prepared
}

/// To what is desired, on nodes that stay.
fn resize(
    prepared: &mut Prepared<'_>,
    moves: Moves,
    seen: &Seen,
    memory: &PoolMemory,
    (spec, digest): (&PodSpec, &str),
) {
    let observation = &prepared.decision.observation;
    let have = observation.have().saturating_sub(moves.count());
    let target = with_surge(
        (&prepared.decision, have),
        &prepared.workers,
        digest,
        seen.tenant_share,
    );
    if target > have {
        // What moves keeps its place within the tenant's limit until it leaves.
        let room = match moves.stay {
            0 => u32::MAX,
            stay => seen.tenant_share.saturating_sub(have.saturating_add(stay)),
        };
        let missing = to_usize((target - have).min(room));
        grow(prepared, seen, memory, (spec, digest), missing);
    } else if observation.silent == 0 || prepared.valid.policy.suspended {
        let why = departure(prepared, have, seen.tenant_share);
        shrink(prepared, digest, to_usize(have - target), why);
    }
    prepared.remarks = moves.remarks;
    let mut leave = moves.leave;
    leave.append(&mut prepared.workers.superseded.clone());
    // One that refuses stays until another answers in its place: what it has, it may still serve.
    let answering = prepared
        .workers
        .ready
        .iter()
        .filter(|worker| worker.is_available());
    if answering.count() >= to_usize(prepared.decision.desired) {
        leave.append(&mut prepared.workers.refusing.clone());
    }
    for worker in leave {
        dismiss(prepared, &worker);
    }
}

/// A new leader takes over what was decided, as far as it is there: a worker that takes another's place is beyond it.
fn resume(valid: &ValidPool<'_>, observation: &Observation, memory: &mut PoolMemory) {
    let decided = valid
        .pool
        .status
        .as_ref()
        .map(|status| status.desired)
        .filter(|desired| *desired > 0);
    memory
        .history
        .resume(decided.map_or(observation.have(), |desired| desired.min(observation.have())));
}

fn measure_starts(seen: &Seen, memory: &mut PoolMemory) {
    for worker in &seen.view.workers {
        let (Some(answered), name) = (worker.answered, worker.pod.as_str()) else {
            continue;
        };
        if let Some(created) = memory.created.remove(name) {
            memory.learned.starts.push(answered.saturating_sub(created));
        }
    }
}

fn observe(seen: &Seen, workers: &Workers, memory: &PoolMemory) -> Observation {
    let horizon = horizon(memory.learned.starts.p99());
    let zone = seen
        .tenant
        .as_ref()
        .and_then(|tenant| TimeZone::get(&tenant.spec.time_zone).ok());
    let heard = seen.view.workers.iter().filter(|worker| !worker.silent);
    Observation {
        active: heard.fold(0, |sum: u32, worker| sum.saturating_add(worker.active)),
        waiting: seen.view.waiting,
        rates: seen.view.rates,
        start_time: memory.learned.starts.p95(),
        horizon,
        usual: zone.and_then(|zone| memory.learned.baseline.usual(seen.time, horizon, &zone)),
        ready: to_u32(workers.ready.len()),
        starting: to_u32(workers.starting.len() + memory.expected.len()),
        silent: to_u32(workers.silent.len() + seen.silent_gateways.len()),
        lost: to_u32(workers.ready.iter().filter(|worker| worker.is_lost()).count()),
    }
}

/// One more than desired while outdated workers are replaced one by one, each only when the one in its place answers.
fn with_surge((decision, have): (&Decision, u32), workers: &Workers, digest: &str, tenant_share: u32) -> u32 {
    let desired = decision.desired;
    let outdated = |worker: &&Worker| worker.pod.template != digest && !worker.moving;
    let any = workers
        .ready
        .iter()
        .chain(&workers.starting)
        .any(|worker| outdated(&worker));
    let drained_slowly = to_u32(workers.draining.len()) > desired / 2;
    let unclear = decision.observation.silent > 0;
    if !any || unclear || desired == 0 || desired >= tenant_share || drained_slowly || have > desired + 1 {
        return desired;
    }
    let current_starts = workers.starting.iter().any(|worker| !outdated(&worker))
        || decision.observation.starting > to_u32(workers.starting.len());
    if have <= desired || current_starts {
        desired + 1
    } else {
        desired
    }
}

/// Workers that leave without this leader's word (an earlier one told them to, or they end by themselves) have it, too.
fn adopted(workers: &Workers) -> Vec<String> {
    let told_by_another = |view: &crate::fleet::WorkerView| view.cordon.is_none() && !view.silent;
    let adopted = workers
        .draining
        .iter()
        .filter(|worker| worker.view.as_ref().is_some_and(told_by_another));
    adopted.map(|worker| worker.pod.uid.clone()).collect()
}

fn finished(seen: &Seen, workers: &Workers) -> Vec<Deletion> {
    let ended = workers.ended.iter().map(|pod| {
        let remark = format!("Pod {} ended and is replaced", pod.name);
        Deletion::of(pod, Some(remark))
    });
    let drained = workers.draining.iter().filter_map(|worker| {
        let Some(view) = &worker.view else {
            return Some(Deletion::of(&worker.pod, None));
        };
        let cordon = view.cordon?;
        let overdue = cordon.since + cordon.deadline <= seen.now;
        let remark = if view.silent {
            overdue.then(|| {
                Some(format!(
                    "worker {} was not heard until its drain deadline and is deleted",
                    view.pod
                ))
            })
        } else if view.spooled > 0 {
            None
        } else {
            ((cordon.settled && view.active == 0) || overdue).then_some(None)
        };
        remark.map(|remark| Deletion::of(&worker.pod, remark))
    });
    ended.chain(drained).collect()
}

fn grow(
    prepared: &mut Prepared<'_>,
    seen: &Seen,
    memory: &PoolMemory,
    (spec, digest): (&PodSpec, &str),
    missing: usize,
) {
    // A worker that was told to leave and has not gone is the fastest to have again: the fullest first.
    let going: BTreeSet<_> = prepared
        .delete
        .iter()
        .map(|deletion| deletion.uid.clone())
        .collect();
    let mut staying: Vec<_> = prepared
        .workers
        .draining
        .iter()
        .filter(|worker| can_stay(worker, digest, &going, seen))
        .filter(|worker| !memory.moving.released.contains_key(&worker.pod.uid))
        .collect();
    staying.sort_by_key(|worker| std::cmp::Reverse(worker.active()));
    prepared.uncordon = staying
        .into_iter()
        .take(missing)
        .map(|worker| worker.pod.uid.clone())
        .collect();
    prepared.cordon.retain(|uid| !prepared.uncordon.contains(uid));
    if !seen.missing_knowledge.is_empty() || !prepared.valid.provisioned {
        return;
    }
    let unschedulable = seen
        .pods
        .iter()
        .filter(|pod| pod.unschedulable.is_some() && !pod.terminating && pod.template == digest)
        .count();
    let most = if unschedulable > 0 {
        MOST_UNSCHEDULABLE.saturating_sub(unschedulable)
    } else {
        usize::MAX
    };
    let starting = prepared.decision.observation.starting;
    let startable = MOST_STARTING.max(prepared.live.ready).saturating_sub(starting);
    let count = (missing - prepared.uncordon.len())
        .min(most)
        .min(to_usize(startable));
    let ordinals = free_ordinals(prepared.valid.key.pool.as_str(), &seen.pods, memory, count);
    let rise = seen
        .view
        .rise
        .as_ref()
        .filter(|_| prepared.decision.is_for_load());
    let creation = template::creation(prepared.decision.binding, rise);
    prepared.create = ordinals
        .into_iter()
        .map(|ordinal| template::pod(prepared.valid, (spec, digest), ordinal, creation.clone()))
        .collect();
}

fn can_stay(worker: &Worker, digest: &str, going: &BTreeSet<String>, seen: &Seen) -> bool {
    let Some(view) = worker.view.as_ref().filter(|view| !view.silent) else {
        return false;
    };
    let in_time = view
        .cordon
        .is_some_and(|cordon| cordon.since + cordon.deadline > seen.now);
    let can = in_time && !view.ending && !worker.moving;
    can && worker.pod.template == digest && !going.contains(&worker.pod.uid)
}

/// One more than has been desired, within the tenant's limit, is what [`with_surge`] started so that an outdated one can leave.
fn departure(prepared: &Prepared<'_>, have: u32, tenant_share: u32) -> Departure {
    let desired = prepared.decision.desired;
    if !prepared.fewer && desired > 0 && have == desired + 1 && desired < tenant_share {
        Departure::Replaced
    } else {
        Departure::Fewer
    }
}

fn shrink(prepared: &mut Prepared<'_>, digest: &str, excess: usize, why: Departure) {
    let counted = prepared.workers.ready.iter().chain(&prepared.workers.starting);
    let counted: Vec<_> = counted.filter(|worker| !worker.moving).cloned().collect();
    let heard = |worker: &&Worker| {
        worker
            .view
            .as_ref()
            .is_none_or(|view| !view.silent || !view.reported)
    };
    let candidates = counted
        .iter()
        .filter(heard)
        .map(|worker| worker.candidate(digest));
    for victim in choose_victims(candidates.collect(), excess, why) {
        if let Some(worker) = counted.iter().find(|worker| worker.pod.name == victim.pod) {
            dismiss(prepared, worker);
        }
    }
}

fn dismiss(prepared: &mut Prepared<'_>, worker: &Worker) {
    match worker.view {
        Some(_) => prepared.cordon.push(worker.pod.uid.clone()),
        // Never attached, so no gateway was told of it.
        None => prepared.delete.push(Deletion {
            counts: true,
            ..Deletion::of(&worker.pod, None)
        }),
    }
}

fn live(
    valid: &ValidPool<'_>,
    seen: &Seen,
    workers: &Workers,
    decision: &Decision,
    memory: &PoolMemory,
) -> LivePool {
    let available = workers
        .ready
        .iter()
        .filter(|worker| worker.view.as_ref().is_some_and(|view| view.available));
    LivePool {
        tenant: valid.key.tenant.to_string(),
        pool: valid.key.pool.to_string(),
        active: decision.observation.active,
        waiting: decision.observation.waiting,
        starting: decision.observation.starting,
        ready: to_u32(available.count()),
        draining: to_u32(workers.draining.len()),
        desired: decision.desired,
        floor: decision.floor,
        ceiling: decision.ceiling,
        turns_answered_total: seen.view.turns_answered,
        binding: decision.binding.as_str(),
        demand: decision.demand,
        occupied: to_u32(
            seen.view
                .workers
                .iter()
                .filter(|worker| worker.active > 0)
                .count(),
        ),
        decision: decision.clone(),
        silent: workers
            .silent
            .iter()
            .chain(&seen.silent_gateways)
            .cloned()
            .collect(),
        peak: memory.learned.load.maximum(seen.now, PEAK_SPAN).unwrap_or(0),
        capacity: valid.policy.capacity,
        worker_size: worker_size(&valid.pool.spec.worker.resources.requests),
        held: to_u32(
            seen.pods
                .iter()
                .filter(|pod| !pod.terminating && !pod.ended)
                .count()
                + memory.expected.len(),
        ),
        tenant_share: seen.tenant_share,
        scarce: seen.scarce,
        start_time: memory.learned.starts.p99(),
        starting_for: starting_for(seen, workers),
        hold_time: memory.learned.hold.measured(),
        baseline: memory.learned.baseline.learned(),
    }
}

/// Half of the workers that do not answer yet have been starting for longer.
fn starting_for(seen: &Seen, workers: &Workers) -> Duration {
    let mut ages: Vec<_> = workers
        .starting
        .iter()
        .map(|worker| seen.time.as_second().saturating_sub(worker.pod.created))
        .collect();
    ages.sort_unstable();
    let median = ages.get(ages.len().saturating_sub(1) / 2).copied().unwrap_or(0);
    Duration::from_secs(u64::try_from(median).unwrap_or(0))
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn to_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
