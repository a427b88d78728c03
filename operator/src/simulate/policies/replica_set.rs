//! Which Pods a Kubernetes ReplicaSet deletes when there are to be fewer: what a Deployment has, and so HPA, KEDA and
//! Knative.
//!
//! Sources: the documentation of ReplicaSets, "Scaling a ReplicaSet"
//! (<https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-a-replicaset>), and
//! `ActivePodsWithRanks` of `kubernetes/kubernetes`, `pkg/controller/controller_utils.go`, which it summarises. In order:
//! Pods that are pending or not ready; a lower `pod-deletion-cost` (nobody sets one here); more replicas on the same node
//! (nodes are not modelled: as if each had as many); the one that became ready, or was created, more recently, on a
//! logarithmic scale (`LogarithmicScaleDown`, on by default since 1.22, GA in 1.31); then by UID, which is random. How
//! many conversations a Pod holds is not looked at.

use crate::simulate::fleet::Removable;
use crate::simulate::units::{SECOND, Time};

/// The `count` that are deleted.
pub(super) fn victims(now: Time, mut removable: Vec<Removable>, count: usize) -> Vec<u32> {
    removable.sort_by_key(|one| {
        let since = if one.starting { one.created } else { one.ready_at };
        (!one.starting, rank(now, since), one.uid)
    });
    removable.iter().take(count).map(|one| one.worker).collect()
}

/// The age on a logarithmic scale of base 2; the API server keeps times in whole seconds.
fn rank(now: Time, since: Time) -> Option<u32> {
    now.checked_sub(since - since % SECOND)?.checked_ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_not_ready_go_first_then_the_newest_on_a_logarithmic_scale() {
        let now = 100_000 * SECOND;
        let worker = |number: u32, starting, age: u64, uid| Removable {
            worker: number,
            starting,
            active: number,
            created: now - (age + 8) * SECOND,
            ready_at: now - age * SECOND,
            uid,
        };
        let all = vec![
            worker(0, false, 50_000, 1),
            worker(1, false, 300, 2),
            worker(2, false, 310, 1),
            worker(3, false, 20, 9),
            worker(4, true, 0, 9),
        ];
        // 300 and 310 seconds are in one bucket, and the lower UID goes.
        assert_eq!(victims(now, all.clone(), 5), [4, 3, 2, 1, 0]);
        assert_eq!(victims(now, all, 2), [4, 3]);
    }
}
