//! What a decision remembers of earlier ones.

use std::collections::VecDeque;
use std::time::Duration;

use super::forecast::{Forecast, Forecasts};
use super::{Moment, Observation};

/// The span over which the speed of scaling in is bounded.
const RATE_SPAN: Duration = Duration::from_mins(1);

/// The maximum of what was seen within a span of time.
#[derive(Clone, Debug, Default)]
pub struct WindowMaximum {
    /// Falling values, oldest first: a value is gone as soon as a later one is at least as large.
    samples: VecDeque<(Moment, u32)>,
}

impl WindowMaximum {
    /// Takes note of `value`, and forgets what is older than `span`.
    pub fn push(&mut self, now: Moment, value: u32, span: Duration) {
        while self.samples.back().is_some_and(|(_, last)| *last <= value) {
            self.samples.pop_back();
        }
        self.samples.push_back((now, value));
        while self.samples.front().is_some_and(|(at, _)| *at + span < now) {
            self.samples.pop_front();
        }
    }

    /// The maximum within `span`.
    pub fn maximum(&self, now: Moment, span: Duration) -> Option<u32> {
        self.samples
            .iter()
            .find(|(at, _)| *at + span >= now)
            .map(|(_, value)| *value)
    }

    /// What is remembered, oldest first: values fall.
    pub fn samples(&self) -> impl Iterator<Item = (Moment, u32)> {
        self.samples.iter().copied()
    }
}

/// Memory of one pool's decisions; a new leader starts with an empty one.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What the load itself needed.
    needed: WindowMaximum,
    /// What was wanted, with the margin for growth.
    wanted: WindowMaximum,
    decided: WindowMaximum,
    complete_since: Option<Moment>,
    last: Option<u32>,
    forecasts: Forecasts,
}

impl History {
    /// Takes note of what the load itself needs and of what is wanted, and whether the data was complete. Each is remembered
    /// for its span.
    pub(super) fn observe(
        &mut self,
        now: Moment,
        (needed, needed_span): (u32, Duration),
        (wanted, wanted_span): (u32, Duration),
        complete: bool,
    ) {
        self.needed.push(now, needed, needed_span);
        self.wanted.push(now, wanted, wanted_span);
        if complete {
            self.complete_since.get_or_insert(now);
        } else {
            self.complete_since = None;
        }
    }

    /// What the load is expected to gain, by forecasts that are trusted; and by others, which are only shown. Compares then what
    /// was expected of earlier observations.
    pub(super) fn forecast(
        &mut self,
        now: Moment,
        load: f64,
        observation: &Observation,
    ) -> (Option<Forecast>, Option<Forecast>) {
        let Observation {
            rates,
            usual,
            horizon,
            silent,
            ..
        } = *observation;
        // Trust is that of before: what is seen now must not lower what is asked for it.
        let trusted = self.forecasts.trusted(load, rates, usual, horizon);
        let untrusted = self.forecasts.untrusted(load, rates, usual, horizon);
        if silent == 0 {
            self.forecasts.observe(now, load, rates, usual, horizon);
        } else {
            self.forecasts.interrupt();
        }
        (trusted, untrusted)
    }

    /// Takes note of the decision.
    pub(super) fn decided(&mut self, now: Moment, desired: u32) {
        self.decided.push(now, desired, RATE_SPAN);
        self.last = Some(desired);
    }

    /// The most that the load itself needed within `span`.
    pub(super) fn needed_within(&self, now: Moment, span: Duration) -> u32 {
        self.needed.maximum(now, span).unwrap_or(0)
    }

    /// The most that was wanted within `span`.
    pub(super) fn wanted_within(&self, now: Moment, span: Duration) -> u32 {
        self.wanted.maximum(now, span).unwrap_or(0)
    }

    /// Data was complete for `span`.
    pub(super) fn is_warm(&self, now: Moment, span: Duration) -> bool {
        self.complete_since.is_some_and(|since| since + span <= now)
    }

    /// The smallest size that `percent` per minute allows now; one may always leave.
    pub(super) fn lowest_by_rate(&self, now: Moment, percent: u32) -> u32 {
        let recent = self.decided.maximum(now, RATE_SPAN);
        let most = recent.or(self.last).unwrap_or(0);
        let share = u64::from(most) * u64::from(percent.min(100)) / 100;
        let leaving = u32::try_from(share).unwrap_or(u32::MAX).max(1);
        most.saturating_sub(leaving)
    }

    /// A new leader takes over at this size.
    pub fn resume(&mut self, desired: u32) {
        self.last.get_or_insert(desired);
    }

    /// The last decision.
    pub fn last(&self) -> Option<u32> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maximum_forgets_what_is_older_than_the_span_and_nothing_else() {
        let seconds = Duration::from_secs;
        let mut window = WindowMaximum::default();
        for (at, value) in [(0, 3), (10, 9), (20, 4), (30, 5)] {
            window.push(seconds(at), value, seconds(60));
        }
        assert_eq!(window.maximum(seconds(70), seconds(60)), Some(9));
        assert_eq!(window.maximum(seconds(71), seconds(60)), Some(5));
        assert_eq!(window.maximum(seconds(91), seconds(60)), None);
    }
}
