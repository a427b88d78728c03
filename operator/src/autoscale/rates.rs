//! Rates from counters that only grow.
//!
//! - *flow*: conversations that come and that end, per second.
//! - *span*: how far back a flow looks. Short spans see a change at once, long ones see through the noise.

use std::collections::VecDeque;
use std::time::Duration;

use super::Moment;

/// Spans of the flows, shortest first.
const SPANS: [Duration; 3] = [
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_mins(1),
];
/// Over less than this, no rate is believed.
const SHORTEST: Duration = Duration::from_millis(900);
/// A shorter span is believed over a longer one where they differ by more than so many standard deviations of a Poisson count.
const SIGNIFICANT: f64 = 4.0;

/// Conversations per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flow {
    /// That come.
    pub arrivals: f64,
    /// That end.
    pub endings: f64,
}

impl Flow {
    /// What the load gains per second.
    pub fn net(self) -> f64 {
        self.arrivals - self.endings
    }
}

/// The flow over each span.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates([Flow; SPANS.len()]);

impl Rates {
    /// The same flow over every span.
    pub fn steady(arrivals: f64, endings: f64) -> Self {
        Self([Flow { arrivals, endings }; SPANS.len()])
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let mut sum = self;
        for (flow, more) in sum.0.iter_mut().zip(other.0) {
            flow.arrivals += more.arrivals;
            flow.endings += more.endings;
        }
        sum
    }

    /// The flow over the longest span, which misses nothing that looks a second apart add up.
    pub fn longest(&self) -> Flow {
        let [.., longest] = self.0;
        longest
    }

    /// The flow to go by now: that of the longest span, unless a shorter one differs by more than chance explains.
    pub fn current(&self) -> Flow {
        let mut spans = self.0.into_iter().zip(SPANS).rev();
        let Some((mut current, _)) = spans.next() else {
            return Flow::default();
        };
        for (flow, span) in spans {
            let deviation = ((flow.arrivals + flow.endings) / span.as_secs_f64()).sqrt();
            if (flow.net() - current.net()).abs() > SIGNIFICANT * deviation {
                current = flow;
            }
        }
        current
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
        let [.., longest] = SPANS;
        while self.samples.len() > 2 && self.samples.get(1).is_some_and(|(at, _, _)| *at + longest <= now) {
            self.samples.pop_front();
        }
    }

    /// The rates up to now.
    pub fn rates(&self, now: Moment) -> Rates {
        Rates(SPANS.map(|span| self.flow(now, span)))
    }

    fn flow(&self, now: Moment, span: Duration) -> Flow {
        // The newest sample that is at least as old as the span, or the oldest there is.
        let older = self.samples.partition_point(|(at, _, _)| *at + span <= now);
        let first = self.samples.get(older.saturating_sub(1));
        let (Some(first), Some(last)) = (first, self.samples.back()) else {
            return Flow::default();
        };
        let covered = now.saturating_sub(first.0);
        if covered < SHORTEST {
            return Flow::default();
        }
        let per_second = |before: u64, after: u64| (after - before) as f64 / covered.as_secs_f64();
        Flow {
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
        for second in 0..=90 {
            window.push(Duration::from_secs(second), second * 4, second);
        }
        let now = Duration::from_secs(90);
        assert_eq!(window.rates(now), Rates::steady(4.0, 1.0));
        window.push(now, 0, 0);
        assert_eq!(window.rates(now), Rates::default());
    }

    #[test]
    fn a_change_that_chance_does_not_explain_is_gone_by_at_once_and_noise_is_not() {
        let mut window = CounterWindow::default();
        for second in 0..=60 {
            window.push(Duration::from_secs(second), second * 4, second * 4);
        }
        // Twice as many come from now on.
        for second in 61..=65 {
            window.push(Duration::from_secs(second), 240 + (second - 60) * 12, second * 4);
        }
        let current = window.rates(Duration::from_secs(65)).current();
        assert_eq!((current.arrivals, current.endings), (12.0, 4.0));

        let noisy = Rates([
            Flow {
                arrivals: 5.0,
                endings: 3.5,
            },
            Flow {
                arrivals: 4.4,
                endings: 4.0,
            },
            Flow {
                arrivals: 4.0,
                endings: 4.0,
            },
        ]);
        assert!(noisy.current().net().abs() < 1e-9);
    }
}
