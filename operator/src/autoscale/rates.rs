//! Rates from counters that only grow.

use std::collections::VecDeque;
use std::time::Duration;

use super::Moment;

/// Rates are means over this span.
const SPAN: Duration = Duration::from_secs(10);
/// Over less than this, no rate is believed.
const SHORTEST: Duration = Duration::from_millis(900);

/// Conversations per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// That come.
    pub arrivals: f64,
    /// That end.
    pub endings: f64,
}

impl Rates {
    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            arrivals: self.arrivals + other.arrivals,
            endings: self.endings + other.endings,
        }
    }
}

/// The counters of one gateway over the last seconds.
#[derive(Clone, Debug, Default)]
pub struct CounterWindow {
    samples: VecDeque<(Moment, u64, u64)>,
}

impl CounterWindow {
    /// Takes note of both counters; where one went back, everything before is forgotten.
    pub fn push(&mut self, now: Moment, arrived: u64, ended: u64) {
        if self
            .samples
            .back()
            .is_some_and(|(_, before, gone)| arrived < *before || ended < *gone)
        {
            self.samples.clear();
        }
        self.samples.push_back((now, arrived, ended));
        while self.samples.len() > 2 && self.samples.get(1).is_some_and(|(at, _, _)| *at + SPAN <= now) {
            self.samples.pop_front();
        }
    }

    /// The rates up to now.
    pub fn rates(&self, now: Moment) -> Rates {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else {
            return Rates::default();
        };
        let span = now.saturating_sub(first.0);
        if span < SHORTEST {
            return Rates::default();
        }
        let per_second = |before: u64, after: u64| (after - before) as f64 / span.as_secs_f64();
        Rates {
            arrivals: per_second(first.1, last.1),
            endings: per_second(first.2, last.2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_mean_of_the_last_seconds_and_a_restart_is_no_negative_rate() {
        let mut window = CounterWindow::default();
        for second in 0..=30 {
            window.push(Duration::from_secs(second), second * 4, second);
        }
        let now = Duration::from_secs(30);
        assert_eq!(
            window.rates(now),
            Rates {
                arrivals: 4.0,
                endings: 1.0
            }
        );
        window.push(now, 0, 0);
        assert_eq!(window.rates(now), Rates::default());
    }
}
