//! What is simulated, whatever decides.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};

use super::trace::Trace;
use super::units::{Time, seconds};

/// Apart from the seed of arrivals, so that arrivals do not depend on what a policy creates.
const WORKERS_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// What is simulated.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    /// How many come, over time.
    pub(super) trace: Trace,
    /// Conversations per second of a value of 1 in the trace.
    pub(super) factor: f64,
    /// Mean length of a conversation, seconds.
    pub(super) hold_seconds: f64,
    /// Time from a worker's creation until it is ready.
    pub(super) starts: Starts,
    /// Conversations that one worker takes.
    pub(super) capacity: u32,
    /// Never fewer workers.
    pub(super) min: u32,
    /// Never more workers.
    pub(super) max: u32,
    /// Of all randomness: the same seed gives the same run.
    pub(super) seed: u64,
    /// What is there when the run begins; without it, the steady state of the first step.
    pub(super) begin: Option<Begin>,
}

/// What is there when a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begin {
    /// Conversations that hold a worker or wait for one.
    pub(super) load: u32,
    /// Workers that take conversations.
    pub(super) ready: u32,
    /// Workers that were just created.
    pub(super) starting: u32,
}

/// Time from a worker's creation until it is ready.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Starts {
    /// Always the same, nanoseconds.
    Constant(Time),
    /// One of these, each as likely, nanoseconds; at least one.
    Drawn(Vec<Time>),
}

impl Starts {
    /// The mean, seconds.
    pub(super) fn mean_seconds(&self) -> f64 {
        match self {
            Self::Constant(taken) => seconds(*taken),
            Self::Drawn(all) => {
                let sum: f64 = all.iter().map(|taken| seconds(*taken)).sum();
                sum / (all.len().max(1) as f64)
            }
        }
    }
}

/// Randomness of workers.
#[derive(Clone, Debug)]
pub(super) struct WorkerRandom {
    random: Xoshiro256PlusPlus,
}

impl WorkerRandom {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Xoshiro256PlusPlus::seed_from_u64(seed ^ WORKERS_SEED),
        }
    }

    /// Time until a worker that is created now is ready.
    pub(super) fn start(&mut self, starts: &Starts) -> Time {
        match starts {
            Starts::Constant(taken) => *taken,
            Starts::Drawn(all) => {
                let index = self.random.random_range(0..all.len().max(1));
                all.get(index).copied().unwrap_or(0)
            }
        }
    }

    /// Tells workers apart where nothing else does.
    pub(super) fn uid(&mut self) -> u64 {
        self.random.random()
    }
}
