//! `hpa`: the HorizontalPodAutoscaler of Kubernetes, API `autoscaling/v2`, on a `Pods` metric: the conversations that each
//! worker holds.
//!
//! Sources: the documentation, "Algorithm details"
//! (<https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/#algorithm-details>), and
//! `calcPlainMetricReplicas` of `kubernetes/kubernetes`, `pkg/controller/podautoscaler/replica_calculator.go`. The defaults:
//! `--horizontal-pod-autoscaler-sync-period: 15s`, `--horizontal-pod-autoscaler-tolerance: 0.1`, and those of
//! `spec.behavior` (`behavior.rs`).
//!
//! A worker that starts is not ready and has no metric: it is set aside, and counts as one without load where the others
//! alone would have the number raised. Who waits holds no worker, and is not seen.

use super::behavior::Behavior;
use super::{Autoscaler, Cadence, Removable, View, Wish, replica_set};
use crate::simulate::units::{Time, ceil};

/// `--horizontal-pod-autoscaler-sync-period`.
pub(super) const SYNC_SECONDS: u64 = 15;
/// `--horizontal-pod-autoscaler-tolerance`.
pub(super) const TOLERANCE: f64 = 0.1;
/// Metrics are whole thousandths.
const MILLI: u64 = 1_000;

/// The autoscaler of one Deployment.
#[derive(Clone, Debug)]
pub(in crate::simulate) struct Hpa {
    target: f64,
    bounds: (u32, u32),
    behavior: Behavior,
}

impl Hpa {
    /// Holds `target` conversations a worker, within `minReplicas` (at least 1) and `maxReplicas`.
    pub(in crate::simulate) fn new(target: f64, (min, max): (u32, u32)) -> Self {
        Self {
            target,
            bounds: (min.max(1), max),
            behavior: Behavior::default(),
        }
    }
}

impl Autoscaler for Hpa {
    fn cadence(&self) -> Cadence {
        Cadence {
            every_seconds: SYNC_SECONDS,
            on_change: None,
        }
    }

    fn first(&self, needed: u32) -> u32 {
        needed.max(self.bounds.0)
    }

    fn decide(&mut self, view: &View) -> Wish {
        let desired = recommend(view.active, (view.ready, view.starting), self.target);
        Wish::at_once(self.behavior.limit(view.now, view.have(), desired, self.bounds))
    }

    fn victims(&self, now: Time, removable: Vec<Removable>, count: usize) -> Vec<u32> {
        replica_set::victims(now, removable, count)
    }
}

/// Replicas for a metric whose sum over the Pods that are ready is given.
fn recommend(sum: u32, (ready, starting): (u32, u32), target: f64) -> u32 {
    let current = ready + starting;
    let Some(usage) = usage_ratio(sum, ready, target) else {
        return current;
    };
    if starting == 0 || usage <= 1.0 {
        return if is_close(usage) {
            current
        } else {
            ceil(usage * f64::from(ready))
        };
    }
    let Some(dampened) = usage_ratio(sum, current, target) else {
        return current;
    };
    if is_close(dampened) || dampened < 1.0 {
        current
    } else {
        ceil(dampened * f64::from(current))
    }
}

fn usage_ratio(sum: u32, pods: u32, target: f64) -> Option<f64> {
    let mean = (u64::from(sum) * MILLI).checked_div(u64::from(pods))?;
    Some(mean as f64 / (target * MILLI as f64))
}

pub(super) fn is_close(ratio: f64) -> bool {
    (1.0 - ratio).abs() <= TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_target_doubles_and_half_of_it_halves() {
        // The documentation's example: 200m where 100m is desired, and 50m.
        assert_eq!(recommend(8, (4, 0), 1.0), 8);
        assert_eq!(recommend(2, (4, 0), 1.0), 2);
        assert_eq!(recommend(60, (5, 0), 10.0), 6);
    }

    #[test]
    fn within_the_tolerance_of_a_tenth_nothing_changes() {
        assert_eq!(recommend(109, (10, 0), 10.0), 10);
        assert_eq!(recommend(111, (10, 0), 10.0), 12);
        assert_eq!(recommend(90, (10, 0), 10.0), 10);
        assert_eq!(recommend(89, (10, 0), 10.0), 9);
    }

    #[test]
    fn pods_that_are_not_ready_dampen_a_rise_and_cannot_turn_it() {
        assert_eq!(recommend(100, (5, 0), 10.0), 10);
        assert_eq!(recommend(100, (5, 3), 10.0), 10, "100 on 8 is a quarter too much");
        assert_eq!(recommend(100, (5, 5), 10.0), 10);
        assert_eq!(
            recommend(100, (5, 9), 10.0),
            14,
            "it would turn into a fall: nothing changes"
        );
        assert_eq!(
            recommend(20, (5, 2), 10.0),
            2,
            "where it falls they are set aside"
        );
        assert_eq!(recommend(0, (0, 3), 10.0), 3, "no metrics");
    }
}
