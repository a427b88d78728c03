//! How long a worker takes from its creation until it answers.

use std::collections::VecDeque;
use std::time::Duration;

/// Taken before any start was measured.
pub const DEFAULT_START_TIME: Duration = Duration::from_secs(8);
/// A start that takes longer says more of the cluster than of the worker: expecting more load for it would only add to it.
const LONGEST_START_TIME: Duration = Duration::from_secs(30);
/// So many last starts count.
const KEPT: usize = 64;

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
        self.measured.push_back(taken.min(LONGEST_START_TIME));
    }

    /// 19 of 20 workers take at most this long.
    pub fn p95(&self) -> Duration {
        let mut sorted: Vec<_> = self.measured.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (sorted.len() * 95).div_ceil(100);
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
    fn the_p95_is_measured_and_before_that_it_is_the_default() {
        let mut starts = StartTimes::default();
        assert_eq!(starts.p95(), DEFAULT_START_TIME);
        for seconds in 1..=20 {
            starts.push(Duration::from_secs(seconds));
        }
        assert_eq!(starts.p95(), Duration::from_secs(19));
    }
}
