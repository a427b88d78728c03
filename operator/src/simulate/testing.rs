//! Fixtures of tests.

use super::scenario::{Scenario, Starts};
use super::trace::{Step, Trace};
use super::units::{SECOND, from_seconds};

/// Steps of so many seconds and so many conversations per second; workers take 20 and start in 8 s.
pub(super) fn scenario(steps: &[(f64, f64)]) -> Scenario {
    let mut end = 0.0;
    let steps = steps.iter().map(|(length, value)| {
        let start = from_seconds(end);
        end += length;
        Step { start, value: *value }
    });
    Scenario {
        trace: Trace {
            steps: steps.collect(),
            end: from_seconds(end),
            origin: None,
        },
        factor: 1.0,
        hold_seconds: 60.0,
        starts: Starts::Constant(8 * SECOND),
        capacity: 20,
        min: 0,
        max: 1_000,
        seed: 1,
        begin: None,
    }
}
