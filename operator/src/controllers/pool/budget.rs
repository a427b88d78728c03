//! The disruption budget of a pool: no worker that serves is evicted; workers leave by being drained.
//!
//! The budget needs a number of Pods, for nobody knows a scale of workers' Pods. One that is too high evicts nothing either,
//! but is reported as Pods that are missing. So it is raised ahead, and lowered when it was too high for a while: a pool that
//! follows its load up and down writes it seldom.

use std::time::Duration;

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::autoscale::Moment;
use crate::names::SERVING_LABEL;

use super::template;
use super::validate::ValidPool;

/// A budget that was too high for this long is lowered.
const LOWER_AFTER: Duration = Duration::from_mins(5);
/// A new leader looks after the budgets that an earlier one left over this span, where no more workers serve than it found.
const TAKE_OVER: Duration = Duration::from_mins(5);

/// What was written, and what was there since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    workers: u32,
    peak: u32,
    since: Moment,
}

impl Written {
    pub(super) fn new(workers: u32, serving: u32, now: Moment) -> Self {
        Self {
            workers,
            peak: serving,
            since: now,
        }
    }
}

/// The number to write, if it has to change: a quarter more than there are when it rises, the most there were when it falls.
pub(super) fn due(written: Option<&mut Written>, serving: u32, now: Moment) -> Option<u32> {
    let Some(written) = written else {
        return (serving > 0).then_some(serving);
    };
    if serving > written.workers {
        return Some(serving + serving / 4 + 1);
    }
    written.peak = written.peak.max(serving);
    if written.since + LOWER_AFTER > now {
        return None;
    }
    let peak = written.peak;
    *written = Written::new(written.workers, serving, now);
    (peak < written.workers).then_some(peak)
}

/// When in a term a leader first looks after the budget of a pool that was there before.
pub(super) fn taken_over_after(uid: &str) -> Duration {
    let sum = uid
        .bytes()
        .fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    Duration::from_secs(sum % TAKE_OVER.as_secs())
}

/// The budget of so many workers.
pub(super) fn budget(valid: &ValidPool<'_>, workers: u32) -> PodDisruptionBudget {
    let mut selector = template::labels(valid);
    selector.insert(SERVING_LABEL.to_owned(), "true".to_owned());
    PodDisruptionBudget {
        metadata: template::owned(valid),
        spec: Some(PodDisruptionBudgetSpec {
            min_available: i32::try_from(workers).ok().map(IntOrString::Int),
            selector: Some(LabelSelector {
                match_labels: Some(selector),
                ..LabelSelector::default()
            }),
            // A worker that is not ready serves nobody.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Writes over a span in which so many workers serve at each second; the last number written.
    fn writes(serving: impl Iterator<Item = u32>) -> (usize, u32) {
        let (mut written, mut count) = (None, 0);
        for (now, serving) in (0..).map(|second| SECOND * second).zip(serving) {
            if let Some(workers) = due(written.as_mut(), serving, now) {
                written = Some(Written::new(workers, serving, now));
                count += 1;
            }
            let known = written.map_or(0, |written| written.workers);
            assert!(
                known >= serving,
                "{known} of {serving} at {now:?}: one could be evicted"
            );
        }
        (count, written.map_or(0, |written| written.workers))
    }

    #[test]
    fn a_pool_without_workers_has_no_budget_and_one_that_does_not_change_writes_once() {
        assert_eq!(writes([0; 900].into_iter()), (0, 0));
        assert_eq!(writes([3; 900].into_iter()), (1, 3));
    }

    #[test]
    fn a_pool_that_grows_is_always_covered_and_in_the_end_exactly() {
        let (count, last) = writes((1..=200).chain([200; 700]));
        assert_eq!(last, 200);
        assert!(count <= 20, "{count} writes for 200 steps");
    }

    #[test]
    fn a_pool_that_goes_up_and_down_with_its_load_hardly_writes() {
        let (count, last) = writes((0..3_600).map(|second| 10 + second / 7 % 2));
        assert_eq!((count, last), (3, 11));
    }

    #[test]
    fn a_pool_that_shrank_is_lowered_to_what_is_left() {
        assert_eq!(writes([9; 10].into_iter().chain([2; 600])), (2, 2));
    }
}
