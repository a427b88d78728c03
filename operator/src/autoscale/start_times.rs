//! How long a worker takes from its creation until it answers.

use std::collections::VecDeque;
use std::time::Duration;

/// Taken before any start was measured.
pub const DEFAULT_START_TIME: Duration = Duration::from_secs(8);
/// Starts that take longer than so many times what the fastest tenth takes say more of the cluster than of the worker:
/// expecting more load for them would only add to it.
const SLOWED_DOWN: u32 = 4;
/// No growth is expected over a longer time.
const LONGEST_START_TIME: Duration = Duration::from_mins(10);
/// So many last starts count.
pub(super) const KEPT: usize = 64;

/// The last starts of a pool's workers.
#[derive(Clone, Debug, Default)]
pub struct StartTimes {
    measured: VecDeque<Duration>,
}

impl StartTimes {
    /// A worker took this long.
    pub fn push(&mut self, taken: Duration) {
        if self.measured.len() == KEPT {
            self.measured.pop_front();
        }
        self.measured.push_back(taken);
    }

    /// The last starts, oldest first.
    pub fn measured(&self) -> impl Iterator<Item = Duration> {
        self.measured.iter().copied()
    }

    /// 19 of 20 workers take at most this long, and it is not more than growth is expected over.
    pub fn p95(&self) -> Duration {
        let usual = self.percentile(10).saturating_mul(SLOWED_DOWN);
        self.percentile(95).min(usual).min(LONGEST_START_TIME)
    }

    /// 99 of 100 workers take at most this long, however long: what is planned days ahead must wait for the cluster too.
    pub fn p99(&self) -> Duration {
        self.percentile(99)
    }

    fn percentile(&self, percent: usize) -> Duration {
        let mut sorted: Vec<_> = self.measured.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100);
        rank.checked_sub(1)
            .and_then(|index| sorted.get(index))
            .copied()
            .unwrap_or(DEFAULT_START_TIME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_and_before_that_they_are_the_default() {
        let mut starts = StartTimes::default();
        assert_eq!(
            (starts.p95(), starts.p99()),
            (DEFAULT_START_TIME, DEFAULT_START_TIME)
        );
        for seconds in 1..=20 {
            starts.push(Duration::from_secs(seconds));
        }
        let seconds = Duration::from_secs;
        assert_eq!((starts.p95(), starts.p99()), (seconds(8), seconds(20)));
    }

    #[test]
    fn workers_that_are_slow_are_waited_for_and_no_growth_is_expected_over_a_cluster_that_slowed_down() {
        let (seconds, mut starts) = (Duration::from_secs, StartTimes::default());
        for _ in 0..60 {
            starts.push(seconds(90));
        }
        assert_eq!(starts.p95(), seconds(90), "this is how long they take");
        let mut starts = StartTimes::default();
        for taken in [2, 2, 3, 2, 60, 70, 80, 90] {
            starts.push(seconds(taken));
        }
        assert_eq!((starts.p95(), starts.p99()), (seconds(8), seconds(90)));
        starts.push(Duration::from_hours(4));
        assert_eq!(starts.p99(), Duration::from_hours(4));
    }
}
