//! All that the leader knows of the fleet.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures::channel::mpsc;
use springtide_proto::epoch::Epoch;
use springtide_proto::fleet::{Endpoint, GatewayCommand, WorkerCommand};
use springtide_proto::ids::{PodUid, PoolId, TenantId};

use crate::autoscale::{Moment, Rates};

use super::gateway::Gateway;
use super::nonsense::{Nonsense, as_given, in_order};
use super::view::{CordonView, GatewayView, LoadRise};
use super::worker::{Attachment, Worker};
use super::{GatewayFacts, GatewayReport, PoolKey, PoolView, WorkerFacts, WorkerReport, WorkerView};

/// All that the leader knows of the fleet; see the module's words.
#[derive(Debug)]
pub struct Book {
    term: u64,
    begun: Moment,
    attachments: Attachment,
    pools: BTreeMap<PoolKey, Pool>,
    /// By tenant, since all that is asked of them is about the pools of one.
    gateways: HashMap<TenantId, BTreeMap<PodUid, Gateway>>,
}

#[derive(Debug, Default)]
struct Pool {
    workers: BTreeMap<PodUid, Worker>,
    turns_answered: u64,
    rise: Option<LoadRise>,
    /// When the first step since the last decision was heard.
    stepped: Option<Moment>,
    /// Counts changed since the gateways were last told.
    counts_changed: bool,
    /// All workers that should be heard were: what gateways are told is no less than what they know already.
    complete: bool,
    /// It needs more workers, and its tenant has all that its contract gives it.
    at_contract_limit: bool,
    /// The most conversations at once that a worker of it was given, where that is known.
    most_given: Option<u32>,
}

/// What the cluster says of a worker's Pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownPod {
    /// It is being deleted, or has ended.
    pub terminating: bool,
    /// Conversations at once that it was given, where that is known.
    pub capacity: Option<u32>,
}

/// What a worker's report leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Consequences {
    /// The pool is to be decided anew.
    pub(super) step: bool,
    /// The worker is to be probed.
    pub(super) probe: bool,
}

impl Book {
    /// An empty one, for a new term that begins now.
    pub fn new(term: u64, now: Moment) -> Self {
        Self {
            term,
            begun: now,
            attachments: 0,
            pools: BTreeMap::new(),
            gateways: HashMap::new(),
        }
    }

    /// Goes on in another term: what is known holds, and what is commanded from now on is of that one.
    pub(super) fn resume(&mut self, term: u64) {
        self.term = term;
        let workers = self.pools.values_mut().flat_map(|pool| pool.workers.values_mut());
        for worker in workers {
            worker.resume(term);
        }
        for gateway in self.gateways.values_mut().flat_map(BTreeMap::values_mut) {
            gateway.resume(term);
        }
    }

    /// How long the term has lasted, with those of ours before it that it went on from.
    pub fn age(&self, now: Moment) -> Duration {
        now.saturating_sub(self.begun)
    }

    pub(super) fn attach_worker(
        &mut self,
        facts: WorkerFacts,
        sender: mpsc::Sender<WorkerCommand>,
        now: Moment,
    ) -> Result<Attachment, Nonsense> {
        self.attachments += 1;
        let (attachment, term) = (self.attachments, self.term);
        let pool = self.pools.entry(facts.key.clone()).or_default();
        let known = pool.workers.get(&facts.pod_uid);
        let given = known.and_then(|worker| worker.given).or(pool.most_given);
        as_given(facts.capacity, given)?;
        let worker = pool
            .workers
            .entry(facts.pod_uid.clone())
            .or_insert_with(|| Worker::new(facts.clone(), term, now));
        worker.attach(facts, attachment, sender, now);
        Ok(attachment)
    }

    /// Takes note of a report; of none that was seen already, or is older than one seen.
    pub(super) fn report(
        &mut self,
        facts: &WorkerFacts,
        attachment: Attachment,
        report: WorkerReport,
        now: Moment,
    ) -> Result<Consequences, Nonsense> {
        let Some((pool, worker)) = attached(&mut self.pools, facts, attachment) else {
            return Ok(Consequences::default());
        };
        let known = worker.report.clone().unwrap_or_default();
        in_order(report.sequence, known.sequence, now.saturating_sub(worker.heard))?;
        worker.heard = now;
        let report = worker.without_what_crossed(report, now);
        let heard_again = std::mem::take(&mut worker.told_silent);
        if let Some(cordon) = &mut worker.cordon {
            cordon.settled = cordon.acknowledged;
        }
        let answered = report.turns_answered.saturating_sub(known.turns_answered);
        *pool.turns_answered = pool.turns_answered.saturating_add(answered);
        let doors = (known.accepting, known.draining) != (report.accepting, report.draining);
        // While it drains, every report may be the one after which it can go.
        let step = doors
            || known.active != report.active
            || known.sequence == 0
            || worker.cordon.is_some()
            || heard_again;
        // It has answered customers, so no probe could prove more: a new leader takes over what works.
        if report.turns_answered > 0 {
            worker.answered.get_or_insert(now);
        }
        let probe =
            report.accepting && worker.answered.is_none() && !std::mem::replace(&mut worker.probing, true);
        if report.active > known.active {
            pool.rise.get_or_insert_with(|| LoadRise {
                heard: now,
                measured: report.measured,
                by: facts.pod.clone(),
            });
        }
        if report.active != known.active {
            pool.stepped.get_or_insert(now);
            *pool.counts_changed = true;
        }
        let refuses =
            worker.answered.is_some() && worker.cordon.is_none() && !report.accepting && !report.draining;
        worker.refusing = refuses.then(|| worker.refusing.unwrap_or(now));
        worker.report = Some(report);
        if doors {
            self.push(&facts.key);
        }
        Ok(Consequences { step, probe })
    }

    /// The cordon that was sent last was acknowledged.
    pub(super) fn cordon_acknowledged(
        &mut self,
        facts: &WorkerFacts,
        attachment: Attachment,
        epoch: Epoch,
    ) -> Result<(), Nonsense> {
        attached(&mut self.pools, facts, attachment).map_or(Ok(()), |(_, worker)| worker.acknowledged(epoch))
    }

    /// The worker's synthetic conversation was answered, or the probe ended without.
    pub(super) fn probed(&mut self, facts: &WorkerFacts, answered: bool, now: Moment) {
        let Some(pool) = self.pools.get_mut(&facts.key) else {
            return;
        };
        let Some(worker) = pool
            .workers
            .get_mut(&facts.pod_uid)
            .filter(|worker| worker.facts.boot_id == facts.boot_id)
        else {
            return;
        };
        worker.probing = false;
        if answered {
            worker.answered.get_or_insert(now);
            self.push(&facts.key);
        }
    }

    /// The stream ended.
    pub(super) fn detach_worker(&mut self, facts: &WorkerFacts, attachment: Attachment) {
        if let Some((_, worker)) = attached(&mut self.pools, facts, attachment) {
            worker.attachment = None;
            self.push(&facts.key);
        }
    }

    pub(super) fn attach_gateway(
        &mut self,
        facts: GatewayFacts,
        sender: mpsc::Sender<GatewayCommand>,
        now: Moment,
    ) -> Attachment {
        self.attachments += 1;
        let (attachment, term) = (self.attachments, self.term);
        let (uid, tenant, pools) = (facts.pod_uid.clone(), facts.tenant.clone(), facts.pools.clone());
        let gateways = self.gateways.entry(tenant.clone()).or_default();
        let gateway = gateways
            .entry(uid.clone())
            .or_insert_with(|| Gateway::new(facts.clone(), term));
        gateway.attach(facts, attachment, sender, now);
        for pool in pools {
            let key = PoolKey {
                tenant: tenant.clone(),
                pool: pool.clone(),
            };
            let endpoints = self.endpoints(&key);
            let (complete, at_contract_limit) = self
                .pools
                .get(&key)
                .map_or((false, false), |pool| (pool.complete, pool.at_contract_limit));
            let gateway = self.gateways.get_mut(&tenant).and_then(|of| of.get_mut(&uid));
            if let Some(gateway) = gateway.filter(|_| complete) {
                gateway.send_endpoints(&pool, endpoints, at_contract_limit);
            }
        }
        attachment
    }

    /// Takes note of a gateway's report; `true` if it is a step.
    pub(super) fn gateway_report(
        &mut self,
        facts: &GatewayFacts,
        attachment: Attachment,
        report: GatewayReport,
        now: Moment,
    ) -> Result<bool, Nonsense> {
        let Some(gateway) = self.gateway(facts, attachment) else {
            return Ok(false);
        };
        let key = PoolKey {
            tenant: facts.tenant.clone(),
            pool: report.pool.clone(),
        };
        let waiting = gateway.report(report, now)?;
        if waiting.changed {
            let pool = self.pools.entry(key).or_default();
            pool.stepped.get_or_insert(now);
            pool.rise = pool.rise.take().or(waiting.rise);
        }
        Ok(waiting.changed || waiting.heard_again)
    }

    /// The stream ended.
    pub(super) fn detach_gateway(&mut self, facts: &GatewayFacts, attachment: Attachment) {
        if let Some(gateway) = self.gateway(facts, attachment) {
            gateway.attachment = None;
        }
    }

    /// Tells a worker to leave, and the gateways to give it nothing more; `false` if it is not attached.
    pub fn cordon(&mut self, key: &PoolKey, uid: &str, deadline: Duration, now: Moment) -> bool {
        let told = self.worker(key, uid).is_some_and(|worker| {
            worker.cordon(deadline, now);
            worker.attachment.is_some()
        });
        self.push(key);
        told
    }

    /// Tells a worker to stay after all.
    pub fn uncordon(&mut self, key: &PoolKey, uid: &str, now: Moment) {
        if let Some(worker) = self.worker(key, uid) {
            worker.uncordon(now);
        }
    }

    /// Which Pods of the pool exist, by UID: workers of no Pod are forgotten. One that attached with more `conversations` at once
    /// than it was given (a Pod that says nothing of it, what its pool gives) is not believed any more. Gateways are told nothing
    /// until the book was `complete` once, so that a new leader takes no worker from them.
    pub fn sync_workers(
        &mut self,
        key: &PoolKey,
        pods: &BTreeMap<String, KnownPod>,
        conversations: u32,
        complete: bool,
    ) {
        let pool = self.pools.entry(key.clone()).or_default();
        let mut changed = complete && !pool.complete;
        pool.complete |= complete;
        let given = pods.values().filter_map(|pod| pod.capacity);
        let most = given.fold(conversations, u32::max);
        pool.most_given = Some(most);
        pool.workers.retain(|uid, worker| {
            let pod = pods.get(uid.as_str());
            let known = pod.is_some() || worker.attachment.is_some();
            let terminating = pod.map_or(worker.terminating, |pod| pod.terminating);
            changed |= !known || std::mem::replace(&mut worker.terminating, terminating) != terminating;
            worker.given = pod.map_or(worker.given, |pod| pod.capacity);
            if as_given(worker.facts.capacity, worker.given.or(Some(most))).is_err() {
                changed |= worker.attachment.take().is_some();
            }
            known
        });
        if changed {
            self.push(key);
        }
    }

    /// Forgets a pool that is gone, unless workers are still attached.
    pub fn forget(&mut self, key: &PoolKey) {
        let attached = |pool: &Pool| pool.workers.values().any(|worker| worker.attachment.is_some());
        if self.pools.get(key).is_some_and(|pool| !attached(pool)) {
            self.pools.remove(key);
        }
    }

    /// Which gateway Pods of the tenant exist: others are forgotten unless they are attached.
    pub fn sync_gateways(&mut self, tenant: &TenantId, pods: &BTreeSet<String>) {
        if let Some(gateways) = self.gateways.get_mut(tenant) {
            gateways.retain(|uid, gateway| gateway.attachment.is_some() || pods.contains(uid.as_str()));
        }
    }

    /// Tells gateways what changed only in counts since they were last told.
    pub fn push_counts(&mut self) {
        let changed: Vec<_> = self
            .pools
            .iter()
            .filter(|(_, pool)| pool.counts_changed)
            .map(|(key, _)| key.clone())
            .collect();
        for key in changed {
            self.push(&key);
        }
    }

    /// Pools of which a worker or gateway fell silent since this was asked last.
    pub fn fell_silent(&mut self, now: Moment) -> BTreeSet<PoolKey> {
        let mut pools = BTreeSet::new();
        for (key, pool) in &mut self.pools {
            for worker in pool.workers.values_mut() {
                if worker.is_silent(now) && !std::mem::replace(&mut worker.told_silent, true) {
                    pools.insert(key.clone());
                }
            }
        }
        for gateway in self.gateways.values_mut().flat_map(BTreeMap::values_mut) {
            let silent = gateway.fell_silent(now).into_iter();
            pools.extend(silent.map(|pool| PoolKey {
                tenant: gateway.facts.tenant.clone(),
                pool,
            }));
        }
        pools
    }

    /// Streams that are held: of workers, of gateways.
    pub fn attached(&self) -> (usize, usize) {
        let workers = self
            .pools
            .values()
            .flat_map(|pool| pool.workers.values())
            .filter(|worker| worker.attachment.is_some());
        (
            workers.count(),
            self.gateways
                .values()
                .flat_map(BTreeMap::values)
                .filter(|gateway| gateway.attachment.is_some())
                .count(),
        )
    }

    /// The pool as it is seen now.
    pub fn view(&self, key: &PoolKey, now: Moment) -> PoolView {
        let mut view = PoolView::default();
        let gateways = self
            .gateways
            .get(&key.tenant)
            .into_iter()
            .flat_map(BTreeMap::values);
        for gateway in gateways {
            let seen = gateway_view(gateway, &key.pool, now);
            if let Some(pool) = gateway.pools.get(&key.pool).filter(|_| !seen.silent) {
                view.waiting = view.waiting.saturating_add(pool.waiting);
                view.rates = Rates::plus(view.rates, pool.counters.rates(now));
            }
            view.gateways.push(seen);
        }
        if let Some(pool) = self.pools.get(key) {
            view.workers = pool
                .workers
                .values()
                .map(|worker| worker_view(worker, now))
                .collect();
            view.turns_answered = pool.turns_answered;
            view.rise.clone_from(&pool.rise);
            view.stepped = pool.stepped;
        }
        view
    }

    /// The pool was decided: its next rise in load is a new one.
    pub fn decided(&mut self, key: &PoolKey) {
        if let Some(pool) = self.pools.get_mut(key) {
            pool.rise = None;
            pool.stepped = None;
        }
    }

    /// The gateway, if that is its stream.
    fn gateway(&mut self, facts: &GatewayFacts, attachment: Attachment) -> Option<&mut Gateway> {
        let gateway = self.gateways.get_mut(&facts.tenant)?.get_mut(&facts.pod_uid)?;
        let current = gateway
            .attachment
            .as_ref()
            .is_some_and(|(known, _)| *known == attachment);
        current.then_some(gateway)
    }

    fn worker(&mut self, key: &PoolKey, uid: &str) -> Option<&mut Worker> {
        self.pools
            .get_mut(key)?
            .workers
            .values_mut()
            .find(|worker| worker.facts.pod_uid.as_str() == uid)
    }

    /// The pool needs more workers and gets none, because its tenant has all that its contract gives it: gateways then count
    /// who finds no room as refused beyond the contract.
    pub fn at_contract_limit(&mut self, key: &PoolKey, is_there: bool) {
        let Some(pool) = self.pools.get_mut(key) else {
            return;
        };
        if std::mem::replace(&mut pool.at_contract_limit, is_there) != is_there {
            self.push(key);
        }
    }

    fn push(&mut self, key: &PoolKey) {
        let endpoints = self.endpoints(key);
        let Some(pool) = self.pools.get_mut(key).filter(|pool| pool.complete) else {
            return;
        };
        pool.counts_changed = false;
        let at_contract_limit = pool.at_contract_limit;
        let told = self
            .gateways
            .get_mut(&key.tenant)
            .into_iter()
            .flat_map(BTreeMap::values_mut);
        for gateway in told.filter(|gateway| gateway.facts.pools.contains(&key.pool)) {
            gateway.send_endpoints(&key.pool, endpoints.clone(), at_contract_limit);
        }
    }

    fn endpoints(&self, key: &PoolKey) -> Vec<Endpoint> {
        let pool = self.pools.get(key);
        let most = pool.and_then(|pool| pool.most_given);
        let workers = pool.into_iter().flat_map(|pool| pool.workers.values());
        // A worker whose stream is lost still serves, and gateways see for themselves when it does not.
        let known = workers.filter(|worker| worker.answered.is_some());
        known
            .map(|worker| Endpoint {
                pod: worker.facts.pod.as_str().to_owned(),
                pod_uid: worker.facts.pod_uid.as_str().to_owned(),
                address: worker.facts.address.to_string(),
                node: worker.facts.node.clone(),
                capacity: worker
                    .given
                    .or(most)
                    .map_or(worker.facts.capacity, |given| worker.facts.capacity.min(given)),
                active: worker.report.as_ref().map_or(0, |report| report.active),
                accepting: worker.is_available(),
            })
            .collect()
    }
}

/// A pool without its workers, beside one of them.
struct PoolParts<'a> {
    turns_answered: &'a mut u64,
    rise: &'a mut Option<LoadRise>,
    stepped: &'a mut Option<Moment>,
    counts_changed: &'a mut bool,
}

fn attached<'a>(
    pools: &'a mut BTreeMap<PoolKey, Pool>,
    facts: &WorkerFacts,
    attachment: Attachment,
) -> Option<(PoolParts<'a>, &'a mut Worker)> {
    let Pool {
        workers,
        turns_answered,
        rise,
        stepped,
        counts_changed,
        complete: _,
        at_contract_limit: _,
        most_given: _,
    } = pools.get_mut(&facts.key)?;
    let worker = workers.get_mut(&facts.pod_uid)?;
    let current = worker
        .attachment
        .as_ref()
        .is_some_and(|(known, _)| *known == attachment);
    current.then_some((
        PoolParts {
            turns_answered,
            rise,
            stepped,
            counts_changed,
        },
        worker,
    ))
}

fn gateway_view(gateway: &Gateway, pool: &PoolId, now: Moment) -> GatewayView {
    let said = gateway.pools.get(pool);
    GatewayView {
        pod_uid: gateway.facts.pod_uid.clone(),
        silent: gateway.is_silent(pool, now),
        waiting: said.map_or(0, |said| said.waiting),
        age: said.and_then(|said| said.age(now)),
    }
}

fn worker_view(worker: &Worker, now: Moment) -> WorkerView {
    let report = worker.report.clone().unwrap_or_default();
    WorkerView {
        pod: worker.facts.pod.clone(),
        pod_uid: worker.facts.pod_uid.clone(),
        active: report.active,
        reported: worker.report.is_some(),
        available: worker.is_available() && !worker.is_silent(now),
        silent: worker.is_silent(now),
        age: worker.report.as_ref().map(|_| now.saturating_sub(worker.heard)),
        draining: report.draining,
        ending: report.ending,
        parked_in: report.parked_in,
        spooled: report.spooled,
        not_accepting_because: report.not_accepting_because,
        answered: worker.answered,
        refusing: worker.refusing,
        cordon: worker.cordon.map(|cordon| CordonView {
            since: cordon.since,
            deadline: cordon.deadline,
            settled: cordon.settled,
        }),
    }
}

#[cfg(test)]
mod tests;
