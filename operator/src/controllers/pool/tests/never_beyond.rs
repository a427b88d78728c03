//! However late watches are and whoever leads, no worker is created beyond what was decided.
//!
//! - *log*: all that happened to the pool's Pods, in its order. What a replica sees of it is a beginning.
//! - *told*: a worker that was told to leave. It remembers that, whoever leads.
//!
//! What a leader sent and the API server takes only after the next one has looked is left out: leases are there for that.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use super::*;
use crate::controllers::pods::{Owned, PodIndex};
use crate::controllers::testing::FakeApi;

const ALL_PODS: &str = "/api/v1/namespaces/tenant-acme/pods/";

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// The pool is decided, with that many as its minimum.
    Decide(u32),
    /// The watch of the leader shows so much more.
    Show(usize),
    /// The watch of the replica that does not lead does.
    ShowOther(usize),
    /// A Pod becomes ready, and the worker in it attaches and answers.
    Answer(Index),
    /// All workers that are ready attach to the leader.
    Attach,
    /// Workers that were told to leave have reported their usage.
    Flush,
    /// Somebody deletes a Pod, which is gone at once, or after its grace period.
    Delete(Index, bool),
    /// Somebody makes a Pod of that name, which is none of the pool's.
    Occupy(u32),
    /// Time passes.
    Wait(u64),
    /// The other replica leads, and remembers nothing.
    Fail,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..=8_u32).prop_map(Step::Decide),
        4 => (1..6_usize).prop_map(Step::Show),
        2 => (1..6_usize).prop_map(Step::ShowOther),
        3 => any::<Index>().prop_map(Step::Answer),
        1 => Just(Step::Attach),
        2 => Just(Step::Flush),
        1 => (any::<Index>(), any::<bool>()).prop_map(|(which, at_once)| Step::Delete(which, at_once)),
        1 => (0..8_u32).prop_map(Step::Occupy),
        1 => (1..40_u64).prop_map(Step::Wait),
        2 => Just(Step::Fail),
    ]
}

/// A replica's cache.
#[derive(Default)]
struct Replica {
    pods: PodIndex,
    /// So much of the log it has seen.
    seen: usize,
}

impl Replica {
    fn show(&mut self, log: &[watcher::Event<Pod>], more: usize) {
        for event in log.iter().skip(self.seen).take(more) {
            self.pods.take(event.clone(), &mut Owned::new());
            self.seen += 1;
        }
    }
}

struct World {
    api: FakeApi,
    /// The pool's Pods as they are, by path.
    there: BTreeMap<String, Value>,
    log: Vec<watcher::Event<Pod>>,
    leads: Replica,
    other: Replica,
    leader: Scenario,
    /// Workers that are attached to the leader, by UID.
    workers: BTreeMap<String, TestWorker>,
    told: BTreeSet<String>,
    flushed: bool,
}

fn leader(api: &FakeApi, replica: &Replica) -> Scenario {
    let cached = Cached {
        tenants: vec![acme()],
        ..Cached::default()
    };
    let mut leader = Scenario::on(api, cached);
    let context = Arc::get_mut(&mut leader.context).unwrap();
    context.stores.pods = replica.pods.clone();
    leader
}

fn uid(pod: &Value) -> String {
    pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

fn is_ending(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
}

impl World {
    fn new() -> Self {
        let (api, leads) = (FakeApi::default(), Replica::default());
        Self {
            leader: leader(&api, &leads),
            api,
            there: BTreeMap::new(),
            log: Vec::new(),
            leads,
            other: Replica::default(),
            workers: BTreeMap::new(),
            told: BTreeSet::new(),
            flushed: false,
        }
    }

    async fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Decide(least) => return self.decide(*least).await,
            Step::Show(more) => self.leads.show(&self.log, *more),
            Step::ShowOther(more) => self.other.show(&self.log, *more),
            Step::Answer(which) => self.answer(*which),
            Step::Attach => self.attach(),
            Step::Flush => self.flushed = true,
            Step::Delete(which, at_once) => self.delete(*which, *at_once),
            Step::Occupy(ordinal) => self.occupy(*ordinal),
            Step::Wait(seconds) => self.leader.context.fleet.skip(Duration::from_secs(*seconds)),
            Step::Fail => {
                std::mem::swap(&mut self.leads, &mut self.other);
                self.leader = leader(&self.api, &self.leads);
                self.workers.clear();
            }
        }
        self.take_note();
        Ok(())
    }

    /// What happened to Pods since the last look.
    fn take_note(&mut self) {
        let mut now = self.api.all(ALL_PODS);
        now.retain(|_, pod| pod["metadata"]["labels"]["springtide.dev/pool"] == "web");
        let parsed = |pod: &Value| serde_json::from_value::<Pod>(pod.clone()).unwrap();
        for (path, pod) in &self.there {
            if now.get(path).is_none_or(|known| uid(known) != uid(pod)) {
                self.log.push(watcher::Event::Delete(parsed(pod)));
            }
        }
        for (path, pod) in &now {
            if self.there.get(path) != Some(pod) {
                self.log.push(watcher::Event::Apply(parsed(pod)));
            }
        }
        self.there = now;
    }

    /// UIDs of the pool's Pods that are not ending.
    fn standing(&self) -> BTreeSet<String> {
        let standing = self.there.values().filter(|pod| !is_ending(pod));
        standing.map(uid).collect()
    }

    async fn decide(&mut self, least: u32) -> Result<(), TestCaseError> {
        self.report();
        let (before, told) = (self.standing(), self.told.clone());
        let mut pool = web(at_once(least));
        self.leader.know(&pool);
        pool.status = serde_json::from_value(self.api.get(POOL).unwrap()["status"].clone()).unwrap();
        reconcile(Arc::new(pool), self.leader.context.clone())
            .await
            .unwrap();
        self.obey();
        self.take_note();
        let after = self.standing();
        let created = after.difference(&before).count();
        // Whoever was called back in the same breath stays.
        let leaving = |uid: &&String| told.contains(*uid) && self.told.contains(*uid);
        let stay = before.iter().filter(|uid| !leaving(uid)).count();
        let decided = self.leader.context.live.pool(&key()).unwrap().desired;
        prop_assert!(
            created == 0 || stay + created <= usize::try_from(decided).unwrap(),
            "{stay} were there, {created} were created, and {decided} were decided"
        );
        Ok(())
    }

    /// Everybody attached is heard.
    fn report(&mut self) {
        for (uid, worker) in &mut self.workers {
            let told = self.told.contains(uid);
            worker.report(
                &self.leader.context.fleet,
                0,
                u64::from(told && !self.flushed),
                !told,
            );
        }
        self.flushed = false;
    }

    /// Everybody attached does as it was told.
    fn obey(&mut self) {
        let fleet = &self.leader.context.fleet;
        let view = fleet.with_book(|book| book.view(&key(), fleet.now())).unwrap();
        for (uid, worker) in &mut self.workers {
            if let Some(epoch) = worker.cordoned() {
                worker.acknowledge(fleet, epoch);
            }
            let leaves = |view: &crate::fleet::WorkerView| view.cordon.is_some() || view.draining;
            if view.worker(uid).is_some_and(leaves) {
                self.told.insert(uid.clone());
            } else {
                self.told.remove(uid);
            }
        }
    }

    fn answer(&mut self, which: Index) {
        let mut standing: Vec<_> = self.there.iter().filter(|(_, pod)| !is_ending(pod)).collect();
        standing.retain(|(_, pod)| pod["status"].is_null());
        if standing.is_empty() {
            return;
        }
        let (path, pod) = which.get(&standing);
        let mut pod = (*pod).clone();
        pod["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        self.api.put(path, pod);
        self.take_note();
        self.attach();
    }

    fn attach(&mut self) {
        let fleet = &self.leader.context.fleet;
        let ready = self
            .there
            .values()
            .filter(|pod| !pod["status"].is_null() && !is_ending(pod));
        for pod in ready {
            let (uid, name) = (uid(pod), pod["metadata"]["name"].as_str().unwrap());
            let told = self.told.contains(&uid);
            self.workers.entry(uid).or_insert_with_key(|uid| {
                let mut worker = TestWorker::attach(fleet, &key(), name, uid);
                worker.report(fleet, 0, u64::from(told), !told);
                worker
            });
        }
    }

    fn delete(&mut self, which: Index, at_once: bool) {
        let paths: Vec<_> = self.there.keys().cloned().collect();
        if paths.is_empty() {
            return;
        }
        let path = which.get(&paths);
        let mut pod = self.there[path].clone();
        if let Some(worker) = self.workers.remove(&uid(&pod)) {
            worker.detach(&self.leader.context.fleet);
        }
        if at_once {
            self.api.remove(path);
        } else {
            pod["metadata"]["deletionTimestamp"] = crate::controllers::testing::NOW.into();
            self.api.put(path, pod);
        }
    }

    fn occupy(&self, ordinal: u32) {
        let path = format!("{ALL_PODS}web-{ordinal}");
        if self.api.get(&path).is_none() {
            self.api.put(&path, json!({"metadata": {}}));
        }
    }
}

#[test]
fn no_worker_is_created_beyond_what_was_decided_however_late_watches_are_and_whoever_leads() {
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(256)
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let happens = prop::collection::vec(step(), 1..40);
    let shown = TestRunner::new_with_rng(config, rng).run(&happens, |steps| {
        runtime.block_on(async {
            let mut world = World::new();
            for step in &steps {
                world.take(step).await?;
            }
            Ok(())
        })
    });
    shown.unwrap();
}
