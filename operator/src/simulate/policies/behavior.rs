//! What a HorizontalPodAutoscaler does with a recommendation: stabilisation and limits of speed, `spec.behavior`.
//!
//! Sources: the documentation, "Configurable scaling behavior" and "Default behavior"
//! (<https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/#default-behavior>), and
//! `normalizeDesiredReplicasWithBehaviors` of `kubernetes/kubernetes`, `pkg/controller/podautoscaler/horizontal.go`. The
//! defaults: `scaleUp.stabilizationWindowSeconds: 0`, `scaleUp.policies: [{type: Percent, value: 100, periodSeconds: 15},
//! {type: Pods, value: 4, periodSeconds: 15}]`, `scaleUp.selectPolicy: Max`, `scaleDown.stabilizationWindowSeconds: 300`,
//! `scaleDown.policies: [{type: Percent, value: 100, periodSeconds: 15}]`.

use std::collections::VecDeque;

use crate::simulate::units::{SECOND, Time};

/// `scaleDown.stabilizationWindowSeconds`: the highest recommendation of this span counts.
const DOWN_WINDOW: Time = 300 * SECOND;
/// `periodSeconds` of all policies.
const PERIOD: Time = 15 * SECOND;
/// `scaleUp.policies`, Percent: as many again.
const UP_FACTOR: u32 = 2;
/// `scaleUp.policies`, Pods.
const UP_PODS: u32 = 4;

/// The limits, and what they remember.
#[derive(Clone, Debug, Default)]
pub(super) struct Behavior {
    /// Recommendations before stabilisation.
    recommended: VecDeque<(Time, u32)>,
    /// Replicas added and taken within the period.
    changes: VecDeque<(Time, i64)>,
}

impl Behavior {
    /// The number of replicas that is set; `min` to `max`.
    pub(super) fn limit(&mut self, now: Time, current: u32, desired: u32, (min, max): (u32, u32)) -> u32 {
        let stable = self.stabilize(now, current, desired);
        let set = self.limit_speed(now, current, stable).clamp(min, max.max(min));
        let change = i64::from(set) - i64::from(current);
        if change != 0 {
            self.changes.push_back((now, change));
        }
        set
    }

    fn stabilize(&mut self, now: Time, current: u32, desired: u32) -> u32 {
        if self.recommended.is_empty() {
            // What it finds counts as recommended.
            self.recommended.push_back((now, current));
        }
        while self
            .recommended
            .front()
            .is_some_and(|(at, _)| *at + DOWN_WINDOW <= now)
        {
            self.recommended.pop_front();
        }
        let highest = self.recommended.iter().map(|(_, workers)| *workers).max();
        let highest = highest.map_or(desired, |highest| highest.max(desired));
        self.recommended.push_back((now, desired));
        current.clamp(desired, highest)
    }

    fn limit_speed(&mut self, now: Time, current: u32, stable: u32) -> u32 {
        while self.changes.front().is_some_and(|(at, _)| *at + PERIOD <= now) {
            self.changes.pop_front();
        }
        if stable <= current {
            // 100 % may leave within a period.
            return stable;
        }
        let within: i64 = self.changes.iter().map(|(_, change)| *change).sum();
        let before = u32::try_from(i64::from(current) - within).unwrap_or(0);
        let most = (before * UP_FACTOR).max(before + UP_PODS).max(current);
        stable.min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: (u32, u32) = (1, 10_000);

    #[test]
    fn by_default_four_pods_or_as_many_again_are_added_in_15_seconds_whichever_is_more() {
        let mut behavior = Behavior::default();
        assert_eq!(behavior.limit(0, 1, 100, FREE), 5);
        assert_eq!(behavior.limit(10 * SECOND, 5, 100, FREE), 5, "within the period");
        assert_eq!(behavior.limit(15 * SECOND, 5, 100, FREE), 10);
        assert_eq!(behavior.limit(30 * SECOND, 10, 100, FREE), 20);
        assert_eq!(behavior.limit(45 * SECOND, 20, 100, (1, 30)), 30);
    }

    #[test]
    fn by_default_nothing_leaves_before_the_highest_recommendation_of_300_seconds_allows_it() {
        let mut behavior = Behavior::default();
        assert_eq!(behavior.limit(0, 10, 10, FREE), 10);
        assert_eq!(behavior.limit(15 * SECOND, 10, 5, FREE), 10);
        assert_eq!(behavior.limit(30 * SECOND, 10, 2, FREE), 10);
        assert_eq!(behavior.limit(299 * SECOND, 10, 2, FREE), 10);
        assert_eq!(behavior.limit(300 * SECOND, 10, 2, FREE), 5);
        assert_eq!(behavior.limit(315 * SECOND, 5, 2, FREE), 2);
        assert_eq!(
            behavior.limit(900 * SECOND, 2, 0, FREE),
            1,
            "never below the minimum"
        );
    }
}
