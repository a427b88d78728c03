//! Who comes, and for how long: the same for every policy with the same seed.
//!
//! Conversations come as a Poisson process within each step of the trace; each holds its worker for a time that is
//! exponential, and drawn when it comes, so that two policies face the same customers. The run begins in the steady state
//! of the first step, in which a Poisson number of conversations are active, or with a load that was seen; each has an
//! exponential time left.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};

use super::scenario::Scenario;
use super::units::{SECOND, Time, from_seconds, seconds};

/// A conversation that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) at: Time,
    /// For so long it holds a worker.
    pub(super) hold: Time,
}

/// All that come, in order.
#[derive(Clone, Debug)]
pub(super) struct Demand<'a> {
    scenario: &'a Scenario,
    random: Xoshiro256PlusPlus,
    /// The step in which the last one came.
    step: usize,
    /// Seconds since its start.
    offset: f64,
}

impl<'a> Demand<'a> {
    /// Also gives what is left of each conversation that is active at the beginning.
    pub(super) fn new(scenario: &'a Scenario) -> (Self, Vec<Time>) {
        let mut demand = Self {
            scenario,
            random: Xoshiro256PlusPlus::seed_from_u64(scenario.seed),
            step: 0,
            offset: 0.0,
        };
        let active = match scenario.begin {
            Some(begin) => (0..begin.load).map(|_| demand.hold()).collect(),
            None => demand.steady(),
        };
        (demand, active)
    }

    fn steady(&mut self) -> Vec<Time> {
        let mean = self.rate(0) * self.scenario.hold_seconds;
        let mut active = Vec::new();
        let mut sum = self.exponential();
        while sum < mean {
            active.push(self.hold());
            sum += self.exponential();
        }
        active
    }

    /// Exponential with mean 1.
    fn exponential(&mut self) -> f64 {
        -(-self.random.random::<f64>()).ln_1p()
    }

    fn hold(&mut self) -> Time {
        let hold = self.exponential() * self.scenario.hold_seconds;
        from_seconds(hold)
    }

    /// Conversations per second.
    fn rate(&self, step: usize) -> f64 {
        let value = self.scenario.trace.steps.get(step).map_or(0.0, |step| step.value);
        value * self.scenario.factor
    }
}

impl Iterator for Demand<'_> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        // What is left of a unit exponential is used up at the rate of each step that time passes through.
        let mut left = self.exponential();
        loop {
            let start = self.scenario.trace.steps.get(self.step)?.start;
            let next = self.scenario.trace.steps.get(self.step + 1);
            let end = next.map_or(self.scenario.trace.end, |next| next.start);
            let (rate, length) = (self.rate(self.step), seconds(end - start));
            let within = (length - self.offset) * rate;
            if left < within {
                self.offset += left / rate;
                let at = (start + from_seconds(self.offset)).min(end.saturating_sub(1));
                return Some(Arrival {
                    at,
                    hold: self.hold(),
                });
            }
            left -= within;
            self.step += 1;
            self.offset = 0.0;
        }
    }
}

/// Whole seconds that begin before the end of the trace.
pub(super) fn whole_seconds(scenario: &Scenario) -> u64 {
    scenario.trace.end.div_ceil(SECOND)
}

#[cfg(test)]
mod tests {
    use super::super::testing::scenario;
    use super::*;

    #[test]
    fn arrivals_follow_the_rate_of_each_step_and_stay_within_the_trace() {
        let mut scenario = scenario(&[(600.0, 0.0), (600.0, 5.0), (600.0, 1.0)]);
        scenario.factor = 2.0;
        let (demand, active) = Demand::new(&scenario);
        assert!(active.is_empty(), "nobody at the beginning of a step of nobody");
        let all: Vec<_> = demand.collect();
        assert!(all.windows(2).all(|pair| pair[0].at <= pair[1].at));
        let within = |from: u64, to: u64| {
            let seconds = |second| second * SECOND;
            all.iter()
                .filter(|arrival| arrival.at >= seconds(from) && arrival.at < seconds(to))
                .count()
        };
        assert_eq!(within(0, 600), 0);
        assert!(
            (5_700..6_300).contains(&within(600, 1_200)),
            "6000 and 3.9 times the root"
        );
        assert!((1_060..1_340).contains(&within(1_200, 1_800)), "1200 likewise");
        assert_eq!(within(0, 1_800), all.len());
        let mean = all.iter().map(|arrival| seconds(arrival.hold)).sum::<f64>() / (all.len() as f64);
        assert!((mean / scenario.hold_seconds - 1.0).abs() < 0.05, "{mean}");
    }

    #[test]
    fn the_run_begins_in_the_steady_state_of_the_first_step() {
        let mut scenario = scenario(&[(600.0, 50.0)]);
        scenario.hold_seconds = 180.0;
        let (_, active) = Demand::new(&scenario);
        assert!((8_620..9_380).contains(&active.len()), "{}", active.len());
    }
}
