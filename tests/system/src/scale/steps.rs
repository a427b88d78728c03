//! Stepping: the load of each pool changes every ten seconds, evenly spread over all pools. It rises in equal steps and then
//! falls back, so that a *round* is [`STEPS`] steps.
//!
//! A pool that *crosses* rises beyond what its workers hold, so each of its rounds needs one more worker and gives it back.
//! The others stay within what they have: they step all the same.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use springtide_runtime::clock::{Clock as _, SystemClock};
use tokio::time::Instant;

use super::fleet::Pool;

/// Between two steps of a pool.
const EVERY: Duration = Duration::from_secs(10);
/// Steps of a round: all but the last are rises.
const STEPS: u32 = 6;
/// Conversations of a worker.
pub(super) const CAPACITY: u32 = 20;
/// A step of a pool that crosses, and of one that does not.
const RISES: [u32; 2] = [4, 1];

/// How long a round takes.
pub(super) fn round() -> Duration {
    EVERY * STEPS
}

/// A step that was taken, a line of the file of steps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Step {
    /// When, just before the pool's workers were told.
    pub(super) at: Timestamp,
    /// So much after it was due: how late the simulation itself is.
    pub(super) late_ms: u64,
    /// Tenant and pool, as the operator's log names them.
    pub(super) pool: String,
}

/// The pools, in the order in which they step.
pub(super) struct Steps {
    pools: Vec<Arc<Pool>>,
    workers: u32,
    /// Of all pools, so many cross.
    crossing: usize,
}

impl Steps {
    /// `creations` is how many workers a second the crossing pools need.
    pub(super) fn new(pools: &[Arc<Pool>], workers: u32, creations: f64) -> Self {
        // Of the same tenant, no two after another.
        let from = pools.len() * 2 / 5 + 1;
        let stride = (from..from + pools.len()).find(|stride| coprime(*stride, pools.len()));
        let stride = stride.unwrap_or(1);
        let order = (0..pools.len()).map(|place| pools[place * stride % pools.len()].clone());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small count"
        )]
        let crossing = (creations * round().as_secs_f64()).round() as usize;
        Self {
            pools: order.collect(),
            workers,
            crossing: crossing.min(pools.len()),
        }
    }

    /// Of all pools, so many cross.
    pub(super) fn crossing(&self) -> usize {
        self.crossing
    }

    /// The load of the pool at `place` after its step number `step`.
    fn load(&self, place: usize, step: u32) -> u32 {
        // Low in what its last worker holds: workers that started slowly, as while all start at once, have a pool keep room for the
        // more that may come until another is there.
        let low = (self.workers - 1) * CAPACITY + 1;
        let crosses = self.crosses(place);
        let level = (step + u32::try_from(place).unwrap_or(0) / 7) % STEPS;
        low + level * RISES[usize::from(!crosses)]
    }

    /// Every so many-th pool.
    fn crosses(&self, place: usize) -> bool {
        place * self.crossing / self.pools.len() != (place + 1) * self.crossing / self.pools.len()
    }

    /// The load before the first step. It is there before the workers are, so that none of it counts as a rise.
    pub(super) fn begin(&self) {
        for (place, pool) in self.pools.iter().enumerate() {
            pool.set_load(self.load(place, 0));
        }
    }

    /// Steps for ever; each step is a line of `file`.
    pub(super) async fn run(self, file: &Path) -> anyhow::Result<()> {
        let made = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
        let mut file = BufWriter::new(made);
        let begun = Instant::now();
        let apart = EVERY.div_f64(self.pools.len() as f64);
        for step in 1.. {
            let first = begun + EVERY * (step - 1);
            for (place, pool) in self.pools.iter().enumerate() {
                let due = first + apart.mul_f64(place as f64);
                tokio::time::sleep_until(due).await;
                let taken = Step {
                    at: SystemClock.now(),
                    late_ms: u64::try_from(due.elapsed().as_millis())?,
                    pool: format!("{}/{}", pool.tenant, pool.name),
                };
                pool.set_load(self.load(place, step));
                writeln!(file, "{}", serde_json::to_string(&taken)?)?;
            }
            file.flush()?;
        }
        Ok(())
    }
}

fn coprime(mut a: usize, mut b: usize) -> bool {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crossing_pool_needs_one_more_worker_in_a_part_of_its_round_and_the_others_never() {
        let pools: Vec<_> = (0..50)
            .map(|n| Arc::new(Pool::new("t", n.to_string(), CAPACITY, Arc::default())))
            .collect();
        let steps = Steps::new(&pools, 3, 0.2);
        assert_eq!(steps.crossing(), 12);
        let needs = |place, step| steps.load(place, step).div_ceil(CAPACITY);
        let crossed = (0..50).filter(|place| (0..STEPS).any(|step| needs(*place, step) == 4));
        assert_eq!(crossed.count(), 12);
        for place in 0..50 {
            assert_eq!((0..STEPS).map(|step| needs(place, step)).min(), Some(3));
            let falls = (0..STEPS).filter(|step| steps.load(place, step + 1) < steps.load(place, *step));
            assert_eq!(falls.count(), 1);
        }
        let mut names: Vec<_> = steps.pools.iter().map(|pool| pool.name.clone()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 50, "each pool steps");
    }
}
