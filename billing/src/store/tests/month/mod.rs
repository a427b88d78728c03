//! Months in which everything goes wrong that can: each from a number, so that one that fails is run again by it.
//!
//! Spools of workers and gateways send their records in any order until they are acknowledged, to a server that is killed,
//! over a network that loses, repeats and delays, into a database whose transactions fail, wait and overtake each other,
//! while statements are closed. `SPRINGTIDE_SIMULATED_MONTHS` says how many months, `SPRINGTIDE_SIMULATED_MONTH` which one.

mod memory;
mod naive;
mod population;

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use crate::metering::report::Verdict;
use crate::store::StoreError;
use crate::store::ingest::{Batch, take};
use memory::{ForBatch, Memory, step_aside};
use naive::{Naive, Totals};
use population::{ENDING, INTERACTIONS, OTHERS, Population};

const MONTHS: u64 = 2_000;
/// Polls after which a month is held to stand still.
const STEPS: u64 = 200_000;

type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// A month that is going on.
struct Month<'a> {
    population: &'a Population,
    memory: Memory,
    acknowledged: std::cell::RefCell<BTreeSet<usize>>,
    /// Batches that the network sends once more.
    echoes: std::cell::RefCell<Vec<Vec<usize>>>,
    spools_left: std::cell::Cell<usize>,
}

/// What there is to report, by spool.
type Spools = Vec<Vec<usize>>;

impl Month<'_> {
    /// One request, of a server that may be killed meanwhile.
    async fn call(&self, messages: &[usize]) -> Result<Vec<Verdict>, StoreError> {
        let records: Vec<_> = messages
            .iter()
            .map(|message| self.population.examined(*message))
            .collect();
        let doubt = self.memory.with(|state| state.doubt.clone());
        let database = ForBatch {
            doubt: self.memory.mishap(2).then_some(doubt),
            memory: self.memory.clone(),
            messages: messages.to_vec(),
        };
        let batch = Batch {
            records: &records,
            reporters: &self.population.reporters,
            now: self.population.now,
            is_kept: true,
        };
        let start = self.memory.with(|state| state.starts);
        let mut taking = pin!(take(&database, &batch));
        poll_fn(|context| {
            if self.memory.with(|state| state.starts) != start {
                return Poll::Ready(Err(StoreError::Database(sqlx::Error::WorkerCrashed)));
            }
            taking.as_mut().poll(context)
        })
        .await
    }

    /// Sends until all is acknowledged, or its disk is lost.
    async fn spool(&self, mut left: Vec<usize>) {
        while !left.is_empty() && !self.memory.mishap(200) {
            let size = 1 + self.memory.draw(8);
            let pick = |_| left[self.memory.draw(u32::try_from(left.len()).unwrap()) as usize];
            let batch: Vec<_> = (0..size).map(pick).collect();
            self.memory.pause().await;
            if self.memory.mishap(12) {
                continue;
            }
            let answer = self.call(&batch).await;
            if self.memory.mishap(8) {
                self.echoes.borrow_mut().push(batch.clone());
            }
            if answer.is_ok() && !self.memory.mishap(12) {
                self.acknowledged.borrow_mut().extend(&batch);
                left.retain(|message| !batch.contains(message));
            }
        }
        self.spools_left.set(self.spools_left.get() - 1);
    }

    /// Sends again what was sent, also long after it was acknowledged.
    async fn echo(&self) {
        while self.spools_left.get() > 0 || !self.echoes.borrow().is_empty() {
            step_aside().await;
            let echoes = self.echoes.borrow().len();
            if echoes > 0 && (self.memory.mishap(10) || self.spools_left.get() == 0) {
                let position = self.memory.draw(u32::try_from(echoes).unwrap()) as usize;
                let batch = self.echoes.borrow_mut().swap_remove(position);
                // Nobody waits for the answer.
                drop(self.call(&batch).await);
            }
        }
    }

    /// Closes statements, kills the server, and offers rejected records again, whenever it likes.
    async fn operate(&self) {
        while self.spools_left.get() > 0 {
            step_aside().await;
            match self.memory.draw(120) {
                0 => self.memory.with(|state| state.starts += 1),
                1 | 2 => self.close_one().await,
                3 => {
                    let rejected = self.rejected();
                    if !rejected.is_empty() {
                        drop(self.call(&rejected).await);
                    }
                }
                _ => {}
            }
        }
    }

    async fn close_one(&self) {
        let number = self.memory.draw(2) as usize;
        let party = &self.population.report(Population::worker(number, 0, 0)).party;
        let ledger = self.memory.ledger(party);
        self.memory.close(ledger).await;
    }

    fn rejected(&self) -> Vec<usize> {
        let hashes = self.memory.with(|state| state.rejected.clone());
        hashes
            .into_iter()
            .map(|hash| self.population.of_hash(hash))
            .collect()
    }

    /// Sums by tenant, whatever the statement.
    fn totals(&self) -> Totals {
        let parties: BTreeMap<_, _> = (0..2)
            .map(|number| {
                self.population
                    .report(Population::worker(number, 0, 0))
                    .party
                    .clone()
            })
            .map(|party| (self.memory.ledger(&party), party))
            .collect();
        let mut totals = Totals::new();
        self.memory.with(|state| {
            for ((ledger, _, bucket), nanos) in &state.buckets {
                *totals
                    .entry((parties[ledger].clone(), bucket.clone()))
                    .or_default() += nanos;
            }
        });
        totals.retain(|_, nanos| *nanos != 0);
        totals
    }

    fn check(&self) {
        let commits = self.memory.with(|state| state.commits.clone());
        let committed: BTreeSet<_> = commits.iter().flatten().copied().collect();
        let acknowledged = self.acknowledged.borrow();
        assert!(
            acknowledged.is_subset(&committed),
            "what is acknowledged is durable"
        );
        let naive = Naive::of(self.population, &commits);
        assert_eq!(
            self.totals(),
            naive.totals(),
            "each is billed once, or not at all, as its witnesses say"
        );
        self.memory.with(|state| {
            assert_eq!(
                state.keys.len(),
                naive.identities(),
                "one event for each identity"
            );
            let mut events = BTreeMap::new();
            for stored in state
                .keys
                .values()
                .filter(|stored| stored.marks.standing.is_billable())
            {
                let (bucket, nanos) = self.population.read_back(&stored.payload);
                let sum: &mut i128 = events.entry((stored.ledger, bucket)).or_default();
                *sum += nanos;
            }
            let mut buckets: BTreeMap<_, i128> = BTreeMap::new();
            for ((ledger, _, bucket), nanos) in &state.buckets {
                *buckets.entry((*ledger, bucket)).or_default() += nanos;
            }
            buckets.retain(|_, nanos| *nanos != 0);
            assert_eq!(events, buckets, "events are buckets");
            for closed in &state.closed {
                let is_its =
                    |ledger: i64, statement: i64| ledger == closed.ledger && statement <= closed.statement;
                let now = state
                    .buckets
                    .iter()
                    .filter(|((ledger, statement, _), _)| is_its(*ledger, *statement));
                assert!(
                    now.eq(&closed.buckets),
                    "nothing lands in a statement that is closed"
                );
            }
        });
    }
}

/// Polls the tasks, each time another as the seed says, until all are done.
fn run(memory: &Memory, mut tasks: Vec<Task<'_>>) {
    let mut context = Context::from_waker(Waker::noop());
    let mut steps = 0;
    while !tasks.is_empty() {
        steps += 1;
        assert!(steps < STEPS, "the month stands still");
        let position = memory.draw(u32::try_from(tasks.len()).unwrap()) as usize;
        if tasks[position].as_mut().poll(&mut context).is_ready() {
            drop(tasks.swap_remove(position));
        }
    }
}

/// What is reported in a month: who says what of which interaction.
fn spools_of(memory: &Memory, is_order_free: bool) -> Spools {
    let mut spools = vec![Vec::new(); 5];
    let draw = |limit| memory.draw(limit) as usize;
    for interaction in (0..INTERACTIONS).filter(|_| memory.draw(2) == 0) {
        let second = if is_order_free { draw(2) } else { draw(3) };
        if draw(10) > 0 {
            spools[0].push(Population::worker(interaction, 0, 0));
        }
        if draw(7) == 0 {
            spools[1].push(Population::worker(interaction, second, 1));
        }
        if draw(10) > 0 {
            let word = [2, 2, 2, 2, 1, 0][draw(6)];
            spools[2].push(Population::gateway(interaction, 0, 0, word));
            if draw(8) == 0 {
                spools[2].push(Population::gateway(interaction, 0, 0, 1 + draw(2)));
            }
        }
        if draw(5) == 0 {
            spools[3].push(Population::gateway(interaction, second, 1, draw(3)));
        }
    }
    for other in (0..OTHERS).filter(|_| memory.draw(3) == 0) {
        for (form, times) in [(0, 1), (1, 4), (2, 2), (3, 4)] {
            if draw(times) == 0 && !(is_order_free && form == 1) {
                spools[4].push(Population::other(other, form));
            }
        }
    }
    for conversation in (0..ENDING).filter(|_| memory.draw(2) == 0) {
        // Witnesses know different parts of it, some nothing, and some say twice that it ended.
        for (ender, spool) in [(0, 0), (1, 2), (1, 2), (2, 3)] {
            if draw(4) > 0 {
                spools[spool].push(Population::ended(conversation, draw(3), ender));
            }
        }
    }
    spools
}

/// One month from beginning to end; the transactions that were overtaken.
fn simulate(population: &Population, seed: u64) -> u64 {
    // Where all that is reported counts the same whichever came first, the order may not show.
    let is_order_free = seed.is_multiple_of(4);
    let memory = Memory::new(seed);
    let spools = spools_of(&memory, is_order_free);
    let month = Rc::new(new_month(population, memory.clone(), spools.len()));
    let mut tasks: Vec<Task<'_>> = Vec::new();
    for left in spools.clone() {
        let month = month.clone();
        tasks.push(Box::pin(async move { month.spool(left).await }));
    }
    for _ in 0..2 {
        let month = month.clone();
        tasks.push(Box::pin(async move { month.echo().await }));
    }
    let operating = month.clone();
    tasks.push(Box::pin(async move { operating.operate().await }));
    run(&memory, tasks);
    settle(&month);
    month.check();
    let is_all_there = spools
        .iter()
        .flatten()
        .all(|message| month.acknowledged.borrow().contains(message));
    if is_order_free && is_all_there {
        let plain = Memory::new(seed);
        plain.with(|state| state.is_faulty = false);
        let plainly = Rc::new(new_month(population, plain.clone(), 1));
        let mut all: Vec<_> = spools.into_iter().flatten().collect();
        all.reverse();
        let sending = plainly.clone();
        run(
            &plain,
            vec![Box::pin(async move { drop(sending.call(&all).await.unwrap()) })],
        );
        settle(&plainly);
        plainly.check();
        assert_eq!(
            month.totals(),
            plainly.totals(),
            "the bill is the same whatever the order"
        );
    }
    memory.with(|state| state.overtaken)
}

fn new_month(population: &Population, memory: Memory, spools: usize) -> Month<'_> {
    Month {
        population,
        memory,
        acknowledged: std::cell::RefCell::default(),
        echoes: std::cell::RefCell::default(),
        spools_left: std::cell::Cell::new(spools),
    }
}

/// Offers what was rejected again, when all has arrived.
fn settle(month: &Rc<Month<'_>>) {
    month.memory.with(|state| state.is_faulty = false);
    let rejected = month.rejected();
    if !rejected.is_empty() {
        let replaying = month.clone();
        let replay = async move { drop(replaying.call(&rejected).await.unwrap()) };
        run(&month.memory, vec![Box::pin(replay)]);
    }
}

fn number_in(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn in_a_month_of_faults_each_interaction_is_billed_once_or_not_at_all_and_statements_add_up() {
    if let Some(seed) = number_in("SPRINGTIDE_SIMULATED_MONTH") {
        simulate(&Population::new(), seed);
        return;
    }
    let months = number_in("SPRINGTIDE_SIMULATED_MONTHS").unwrap_or(MONTHS);
    let threads = std::thread::available_parallelism().unwrap().get();
    let (next, overtaken) = (AtomicU64::new(0), AtomicU64::new(0));
    let started = Instant::now();
    let work = || {
        let population = Population::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= months {
                return;
            }
            let simulated = std::panic::AssertUnwindSafe(|| simulate(&population, seed));
            match std::panic::catch_unwind(simulated) {
                Ok(times) => drop(overtaken.fetch_add(times, Ordering::Relaxed)),
                Err(panic) => {
                    eprintln!("month {seed} failed; SPRINGTIDE_SIMULATED_MONTH={seed} runs it again");
                    std::panic::resume_unwind(panic);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let overtaken = overtaken.into_inner();
    eprintln!(
        "{months} months in {:?}; {overtaken} transactions were overtaken",
        started.elapsed()
    );
    assert!(overtaken > 0, "transactions must meet");
}
