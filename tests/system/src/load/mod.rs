//! The load generator: customers who send each message until it is answered, and the ledger of what they got.
//!
//! A *burst* is a number of conversations that begin at one instant and stay: a step of load that needs a new worker.

mod client;
mod customer;
pub mod ledger;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

pub use client::{Client, Reply, Sent};
pub use customer::{Asked, Customer, send_until_answered, worker_of};
use ledger::Ledger;

use crate::data::Question;

/// One tenant's load.
#[derive(Clone, Debug)]
pub struct TenantLoad {
    /// Name of the tenant.
    pub tenant: String,
    /// "http://HOST:PORT" of its gateways.
    pub gateway: String,
    /// What is asked, in turn.
    pub questions: Vec<Question>,
    /// When conversations begin.
    pub arrivals: Vec<Duration>,
    /// Turns of each.
    pub turns: u32,
    /// Pause between an answer and the next message.
    pub think: (Duration, Duration),
    /// Bursts, in the order in which they begin.
    pub bursts: Vec<PlannedBurst>,
    /// Pause between an answer and the next message in a burst's conversation.
    pub burst_think: (Duration, Duration),
}

/// Conversations that begin at one instant, and stay.
#[derive(Clone, Copy, Debug)]
pub struct PlannedBurst {
    /// When they begin.
    pub at: Duration,
    /// When they end.
    pub until: Duration,
    /// How many.
    pub conversations: u32,
}

/// What is going on, for the live view and for faults that want load.
#[derive(Debug, Default)]
pub struct LoadCounts {
    /// Conversations begun.
    pub begun: AtomicU64,
    /// Conversations finished.
    pub finished: AtomicU64,
    /// Turns sent for the first time.
    pub sent: AtomicU64,
    /// Turns answered.
    pub answered: AtomicU64,
    /// Turns that wait for a worker, by the gateway's word.
    pub waiting: AtomicU64,
    /// Turns given up.
    pub lost: AtomicU64,
}

impl LoadCounts {
    /// Conversations that are open.
    pub fn open(&self) -> u64 {
        self.begun
            .load(Ordering::Relaxed)
            .saturating_sub(self.finished.load(Ordering::Relaxed))
    }
}

/// A running load.
pub struct Load {
    /// Counts of each tenant, in the order given.
    pub counts: Vec<Arc<LoadCounts>>,
    /// When it began.
    pub started: Instant,
    tracker: TaskTracker,
}

impl Load {
    /// Begins; turns and bursts are written to `ledger` as they happen.
    pub fn start(tenants: Vec<TenantLoad>, seed: u64, ledger: &Ledger) -> anyhow::Result<Self> {
        let (tracker, started) = (TaskTracker::new(), Instant::now());
        let mut counts = Vec::new();
        for (place, tenant) in (0_u64..).zip(tenants) {
            let tenant_counts = Arc::new(LoadCounts::default());
            counts.push(tenant_counts.clone());
            let shared = Arc::new(Shared {
                client: Client::new(&tenant.gateway)?,
                counts: tenant_counts,
                ledger: ledger.clone(),
                tenant,
            });
            let random = StdRng::seed_from_u64(seed.wrapping_add(place));
            tracker.spawn(begin_conversations(
                shared.clone(),
                started,
                random,
                tracker.clone(),
            ));
            tracker.spawn(begin_bursts(
                shared,
                started,
                StdRng::seed_from_u64(!seed.wrapping_add(place)),
                tracker.clone(),
            ));
        }
        Ok(Self {
            counts,
            started,
            tracker,
        })
    }

    /// Conversations that are open now, of all tenants.
    pub fn open(&self) -> u64 {
        self.counts.iter().map(|counts| counts.open()).sum()
    }

    /// Waits until every conversation has ended.
    pub async fn finish(self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

struct Shared {
    tenant: TenantLoad,
    client: Client,
    counts: Arc<LoadCounts>,
    ledger: Ledger,
}

fn customer(shared: &Arc<Shared>, conversation: String, random: &mut StdRng) -> Customer {
    Customer {
        tenant: shared.tenant.tenant.clone(),
        conversation,
        client: shared.client.clone(),
        counts: shared.counts.clone(),
        ledger: shared.ledger.clone(),
        random: StdRng::seed_from_u64(random.random()),
    }
}

/// The next `count` questions: each is asked as often as the others.
fn questions(asked: &mut usize, all: &[Question], count: u32) -> Vec<Question> {
    (0..count)
        .filter_map(|_| {
            *asked += 1;
            all.get((*asked - 1) % all.len()).cloned()
        })
        .collect()
}

async fn begin_conversations(
    shared: Arc<Shared>,
    started: Instant,
    mut random: StdRng,
    tracker: TaskTracker,
) {
    let mut asked = 0;
    for (number, at) in shared.tenant.arrivals.iter().enumerate() {
        tokio::time::sleep_until(started + *at).await;
        let customer = customer(
            &shared,
            format!("{}-{number}-{:08x}", shared.tenant.tenant, random.random::<u32>()),
            &mut random,
        );
        let questions = questions(&mut asked, &shared.tenant.questions, shared.tenant.turns);
        let think = shared.tenant.think;
        tracker.spawn(customer.ask_each(questions, think));
    }
}

async fn begin_bursts(shared: Arc<Shared>, started: Instant, mut random: StdRng, tracker: TaskTracker) {
    let mut asked = shared.tenant.questions.len() / 2;
    for (number, planned) in shared.tenant.bursts.iter().enumerate() {
        tokio::time::sleep_until(started + planned.at).await;
        let conversations = planned.conversations;
        for place in 0..conversations {
            let name = format!(
                "{}-burst-{number}-{place}-{:08x}",
                shared.tenant.tenant,
                random.random::<u32>()
            );
            let customer = customer(&shared, name, &mut random);
            let questions = questions(&mut asked, &shared.tenant.questions, 200);
            let (think, until) = (shared.tenant.burst_think, started + planned.until);
            tracker.spawn(customer.ask_until(questions, think, until));
        }
    }
}
