//! Where the time goes between a step in load and the Pod that is created for it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::report::{PodEvent, after};

use super::super::steps::Step;
use super::{Decided, Spread, pool_of, spread};

/// The way of those steps for which a Pod was created, in milliseconds: first the simulation's, then the operator's.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ways {
    /// From the step until a worker or gateway measured it for its report.
    pub step_to_report: Spread,
    /// From there until the operator's log says what was decided.
    pub report_to_decision: Spread,
    /// From there until the API server had the call that creates the Pod.
    pub decision_to_create: Spread,
}

/// The parts of the way of the same rises, where all of them are known.
pub(super) fn ways(
    pods: &[PodEvent],
    steps: &[Step],
    decisions: &[Decided],
    time: &std::ops::Range<Timestamp>,
) -> Ways {
    let mut first = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod.verb == "create") {
        if let Some(rise) = pod.rise.as_ref().filter(|rise| time.contains(&rise.at)) {
            first.entry(rise).or_insert(pod);
        }
    }
    let of = |pool: &str, at: Timestamp, all: &mut dyn Iterator<Item = (&str, Timestamp)>| {
        all.filter(|(name, then)| *name == pool && *then <= at)
            .last()
            .map(|(_, then)| then)
    };
    let (mut stepped, mut decided, mut created) = (Vec::new(), Vec::new(), Vec::new());
    for (rise, pod) in first {
        let pool = pool_of(pod);
        let mut all = steps.iter().map(|step| (step.pool.as_str(), step.at));
        stepped.extend(of(&pool, rise.at, &mut all).map(|at| after(at, rise.at)));
        let mut all = decisions.iter().map(|one| (one.pool.as_str(), one.at));
        if let Some(at) = of(&pool, pod.at, &mut all).filter(|at| *at >= rise.at) {
            decided.push(after(rise.at, at));
            created.push(after(at, pod.at));
        }
    }
    Ways {
        step_to_report: spread(stepped.into_iter()),
        report_to_decision: spread(decided.into_iter()),
        decision_to_create: spread(created.into_iter()),
    }
}

#[cfg(test)]
mod tests {
    use crate::report::Rise;

    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_762_000_000_000 + milliseconds).unwrap()
    }

    #[test]
    fn the_way_of_a_step_is_cut_where_it_was_reported_and_where_it_was_decided() {
        let pod = |name: &str, milliseconds| PodEvent {
            verb: "create".to_owned(),
            namespace: "tenant-t".to_owned(),
            name: name.to_owned(),
            uid: None,
            at: at(milliseconds),
            answered: at(milliseconds + 5),
            by_operator: true,
            rise: Some(Rise {
                tenant: "t".to_owned(),
                by: "p-0".to_owned(),
                at: at(1_000),
            }),
        };
        let step = |pool: &str, milliseconds| Step {
            at: at(milliseconds),
            late_ms: 0,
            pool: pool.to_owned(),
        };
        let decided = |pool: &str, milliseconds| Decided {
            at: at(milliseconds),
            pool: pool.to_owned(),
            to: 4,
        };
        let pods = [pod("p-3", 1_300), pod("p-4", 1_900)];
        let steps = [step("t/p", 500), step("t/other", 990), step("t/p", 1_100)];
        let decisions = [
            decided("t/p", 900),
            decided("t/p", 1_200),
            decided("t/other", 1_250),
        ];
        let ways = ways(&pods, &steps, &decisions, &(at(0)..at(2_000)));
        let parts = [
            ways.step_to_report,
            ways.report_to_decision,
            ways.decision_to_create,
        ];
        assert_eq!(
            parts.map(|part| (part.n, part.max)),
            [(1, Some(500)), (1, Some(200)), (1, Some(100))]
        );
    }
}
