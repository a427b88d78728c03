//! `keda`: KEDA with a trigger on the conversations that there are, active and waiting, through a HorizontalPodAutoscaler.
//!
//! Sources: the documentation of KEDA, "ScaledObject specification"
//! (<https://keda.sh/docs/latest/reference/scaledobject-spec/>) and "Scaling Deployments"
//! (<https://keda.sh/docs/latest/concepts/scaling-deployments/>), and `GetExternalPerPodMetricReplicas` of
//! `kubernetes/kubernetes`, `pkg/controller/podautoscaler/replica_calculator.go`. The defaults: `metricType: AverageValue`,
//! `useCachedMetrics: false`, and those of the HorizontalPodAutoscaler that KEDA makes (`hpa.rs`, `behavior.rs`).
//!
//! From one replica on it is the HorizontalPodAutoscaler that asks for the metric, at each of its syncs.
//! `pollingInterval: 30` and `cooldownPeriod: 300` are for zero replicas, which are not simulated: there is at least one.

use super::behavior::Behavior;
use super::hpa::{SYNC_SECONDS, is_close};
use super::{Autoscaler, Cadence, Removable, View, Wish, replica_set};
use crate::simulate::units::{Time, ceil};

/// The scaler of one Deployment.
#[derive(Clone, Debug)]
pub(in crate::simulate) struct Keda {
    target: f64,
    bounds: (u32, u32),
    behavior: Behavior,
}

impl Keda {
    /// Holds `target` conversations a worker, within `minReplicaCount` (at least 1) and `maxReplicaCount`.
    pub(in crate::simulate) fn new(target: f64, (min, max): (u32, u32)) -> Self {
        Self {
            target,
            bounds: (min.max(1), max),
            behavior: Behavior::default(),
        }
    }
}

impl Autoscaler for Keda {
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
        let desired = recommend(view.load(), view.have(), self.target);
        Wish::at_once(self.behavior.limit(view.now, view.have(), desired, self.bounds))
    }

    fn victims(&self, now: Time, removable: Vec<Removable>, count: usize) -> Vec<u32> {
        replica_set::victims(now, removable, count)
    }
}

/// Replicas for an external metric of which each Pod is to have `target`.
fn recommend(metric: u32, current: u32, target: f64) -> u32 {
    let metric = f64::from(metric);
    if is_close(metric / (target * f64::from(current))) {
        current
    } else {
        ceil(metric / target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_of_30_messages_with_a_target_of_10_makes_three_pods() {
        // The example of the documentation of the queue scalers.
        assert_eq!(recommend(30, 1, 10.0), 3);
        assert_eq!(recommend(32, 3, 10.0), 3, "within the tolerance");
        assert_eq!(recommend(34, 3, 10.0), 4);
        assert_eq!(recommend(0, 3, 10.0), 0);
    }
}
