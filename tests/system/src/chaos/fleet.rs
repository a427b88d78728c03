//! The workers of a run, and who starts and ends them. It plays the operator: it cordons with a deadline, tells gateways, and
//! ends a worker when nothing is active on it; a killed worker it finds out about after a while.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use springtide_runtime::spool::Spool;
use springtide_worker::conversations::Intake;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Size;
use crate::load::Client;
use crate::parts::{Gateway, Tenant, Worker};
use crate::turns::{worker_name, worker_number};

/// Name of the file with a line an action.
pub const FLEET: &str = "fleet.jsonl";
/// How often gateways are told, and silent conversations looked for, though nothing changed.
const TICK: Duration = Duration::from_millis(250);
/// For so long a wanted number of workers stays.
const WANTED_FOR: Duration = Duration::from_secs(3);
/// When it is found out that a worker was killed.
const FOUND_OUT_MS: std::ops::Range<u64> = 300..2_500;

/// What became of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It takes conversations.
    Started,
    /// It takes no more; `conversations` are active.
    Cordoned,
    /// It ended, and billing has its usage.
    Ended,
    /// It ended, and usage is left in its spool.
    EndedWithUsage,
    /// It was killed, with `conversations` active; it starts again with its disk.
    Killed,
    /// It was killed, with `conversations` active, and its disk is lost.
    KilledWithDisk,
}

/// A line of the file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct FleetEvent {
    /// Since the start, in seconds.
    pub at_s: f64,
    /// The worker.
    pub worker: u32,
    /// What became of it.
    pub action: Action,
    /// See [`Action`].
    pub conversations: u32,
}

/// See the module.
pub struct Fleet {
    tenant: Tenant,
    gateways: Vec<Gateway>,
    workers: Mutex<BTreeMap<u32, Arc<Worker>>>,
    capacity: u32,
    next: AtomicU32,
    started: Instant,
    log: Mutex<std::fs::File>,
}

impl Fleet {
    /// Gateways, and no worker yet.
    pub async fn start(
        tenant: Tenant,
        gateways: usize,
        capacity: u32,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let mut doors = Vec::new();
        for _ in 0..gateways {
            doors.push(tenant.gateway(&[]).await?);
        }
        Ok(Self {
            tenant,
            gateways: doors,
            workers: Mutex::default(),
            capacity,
            next: AtomicU32::new(0),
            started: Instant::now(),
            log: Mutex::new(std::fs::File::create(folder.join(FLEET))?),
        })
    }

    /// Clients of each gateway.
    pub fn doors(&self) -> anyhow::Result<Vec<Client>> {
        self.gateways
            .iter()
            .map(|gateway| Client::new(&gateway.url))
            .collect()
    }

    /// The gateways.
    pub fn gateways(&self) -> &[Gateway] {
        &self.gateways
    }

    /// Workers that gateways know.
    pub fn len(&self) -> usize {
        self.workers.lock().len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One that gateways know.
    pub fn workers(&self) -> Vec<Arc<Worker>> {
        self.workers.lock().values().cloned().collect()
    }

    /// Starts one more.
    pub async fn add(&self) -> anyhow::Result<()> {
        self.start_worker(self.next.fetch_add(1, Ordering::Relaxed)).await
    }

    async fn start_worker(&self, number: u32) -> anyhow::Result<()> {
        let worker = self.tenant.worker(&worker_name(number), self.capacity).await?;
        self.workers.lock().insert(number, Arc::new(worker));
        self.tell();
        self.note(number, Action::Started, 0)
    }

    /// The operator's word, and what gateways and workers do each second by themselves.
    pub fn tell(&self) {
        let workers = self.workers();
        let workers: Vec<_> = workers.iter().map(AsRef::as_ref).collect();
        for gateway in &self.gateways {
            gateway.know(&workers);
        }
    }

    fn park_silent(&self) {
        let (now, idle) = (Instant::now(), super::SETTINGS.idle_after);
        for gateway in &self.gateways {
            gateway.relay.sessions.park_silent(now, idle);
        }
        for worker in self.workers() {
            worker.answering.conversations.park_silent(now, idle);
        }
    }

    fn note(&self, worker: u32, action: Action, conversations: u32) -> anyhow::Result<()> {
        let event = FleetEvent {
            at_s: self.started.elapsed().as_secs_f64(),
            worker,
            action,
            conversations,
        };
        Ok(writeln!(self.log.lock(), "{}", serde_json::to_string(&event)?)?)
    }

    /// Scale-in begins: the worker takes nothing new, and gives up what is left after `deadline`.
    fn cordon(&self, worker: &Worker, deadline: Duration) -> anyhow::Result<()> {
        let active = worker.answering.conversations.active();
        worker.cordon(deadline);
        self.tell();
        self.note(number(worker)?, Action::Cordoned, active)
    }

    /// Scale-in ends: when nothing is active on it, the worker ends.
    async fn drained(&self, worker: Arc<Worker>) -> anyhow::Result<()> {
        let number = number(&worker)?;
        let mut load = worker.answering.conversations.load();
        load.wait_for(|load| load.active == 0).await?;
        let emptied = worker.stop().await?;
        self.workers.lock().remove(&number);
        self.tell();
        if !emptied {
            return self.note(number, Action::EndedWithUsage, 0);
        }
        std::fs::remove_dir_all(self.tenant.spool_of(&worker_name(number)))?;
        self.note(number, Action::Ended, 0)
    }

    /// SIGKILL.
    fn kill(&self, worker: &Worker, with_disk: bool) -> anyhow::Result<()> {
        let active = worker.answering.conversations.active();
        worker.kill();
        let action = if with_disk {
            Action::KilledWithDisk
        } else {
            Action::Killed
        };
        self.note(number(worker)?, action, active)
    }

    /// Gateways hear of it, and with its disk the worker starts again.
    async fn killed(&self, number: u32, found_out: Duration, with_disk: bool) -> anyhow::Result<()> {
        tokio::time::sleep(found_out).await;
        self.workers.lock().remove(&number);
        self.tell();
        if with_disk {
            Ok(std::fs::remove_dir_all(
                self.tenant.spool_of(&worker_name(number)),
            )?)
        } else {
            self.start_worker(number).await
        }
    }

    /// All usage goes to billing, then all workers end. What is left in spools.
    pub async fn end(&self, deadline: Duration) -> u64 {
        let mut left = 0;
        for gateway in &self.gateways {
            gateway.relay.end_all().await;
            if !gateway.flush(deadline).await {
                left += gateway.relay.spool.depth();
            }
        }
        let workers = std::mem::take(&mut *self.workers.lock());
        for worker in workers.values() {
            if !worker.stop().await.unwrap_or(false) {
                left += left_in(&worker.answering.spool).await;
            }
        }
        left
    }
}

/// Starts, drains and kills workers until `over`; then waits for those that are ending.
pub(super) async fn direct(fleet: Arc<Fleet>, size: Size, over: CancellationToken) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(!size.seed);
    let mut change = tokio::time::interval(Duration::from_millis(size.every));
    let mut tick = tokio::time::interval(TICK);
    let kill_every = if size.kill > 0.0 {
        size.kill
    } else {
        f64::from(u32::MAX)
    };
    let mut kill = tokio::time::interval(Duration::from_secs_f64(kill_every));
    let mut want = tokio::time::interval(WANTED_FOR);
    kill.tick().await;
    let (least, most) = (usize::try_from(size.least)?, usize::try_from(size.most)?);
    let (mut wanted, mut changes) = (most, JoinSet::new());
    loop {
        tokio::select! {
            () = over.cancelled() => break,
            _ = want.tick() => wanted = random.random_range(least..=most),
            _ = tick.tick() => {
                fleet.tell();
                fleet.park_silent();
            }
            _ = kill.tick() => {
                if let Some(victim) = open(&fleet).into_iter().choose(&mut random) {
                    let with_disk = random.random_bool(0.5);
                    let found_out = Duration::from_millis(random.random_range(FOUND_OUT_MS));
                    fleet.kill(&victim, with_disk)?;
                    let (all, number) = (fleet.clone(), number(&victim)?);
                    changes.spawn(async move { all.killed(number, found_out, with_disk).await });
                }
            }
            _ = change.tick() => {
                let (open, all) = (open(&fleet), fleet.clone());
                if open.len() <= wanted {
                    changes.spawn(async move { all.add().await });
                }
                if open.len() >= wanted
                    && let Some(victim) = victim(&open, &mut random)
                {
                    let deadline = Duration::from_millis(random.random_range(0..=size.deadline));
                    fleet.cordon(&victim, deadline)?;
                    let all = fleet.clone();
                    changes.spawn(async move { all.drained(victim).await });
                }
            }
            Some(changed) = changes.join_next() => changed??,
        }
    }
    while let Some(changed) = changes.join_next().await {
        changed??;
    }
    Ok(())
}

/// Read from the disk: what a killed worker had under way may still have gone when the next one had counted it, as this process
/// goes on.
async fn left_in(spool: &Spool) -> u64 {
    let records = spool.oldest(u32::MAX).await;
    records.map_or(1, |records| records.len() as u64)
}

fn number(worker: &Worker) -> anyhow::Result<u32> {
    worker_number(worker.uid.as_str()).context("not one of these workers")
}

fn open(fleet: &Fleet) -> Vec<Arc<Worker>> {
    let mut workers = fleet.workers();
    workers.retain(|worker| worker.runs() && worker.answering.conversations.intake() == Intake::Open);
    workers
}

/// As the operator chooses: the one with the fewest conversations, or any, where a new version is rolled out.
fn victim(open: &[Arc<Worker>], random: &mut StdRng) -> Option<Arc<Worker>> {
    if random.random_bool(0.5) {
        open.iter().choose(random).cloned()
    } else {
        open.iter()
            .min_by_key(|worker| worker.answering.conversations.active())
            .cloned()
    }
}
