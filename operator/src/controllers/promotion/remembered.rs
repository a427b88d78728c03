//! What status remembers of a promotion, as plans understand it.

use crate::api::PromotionStatus;
use crate::autoscale::{Phase, Remembered, RememberedPool};

/// What was planned last.
pub(crate) fn remembered(status: &PromotionStatus) -> Remembered {
    Remembered {
        start: status.start.as_ref().map(|at| at.0),
        phase: Phase::parse(&status.phase),
        prewarm_at: status.prewarm_at.as_ref().map(|at| at.0),
    }
}

/// What was planned last of one pool.
pub(crate) fn remembered_pool(status: &PromotionStatus, tenant: &str, pool: &str) -> Option<RememberedPool> {
    let known = status
        .pools
        .iter()
        .find(|known| known.tenant == tenant && known.pool == pool)?;
    let baseline = known.baseline.zip(known.baseline_from);
    Some(RememberedPool {
        baseline: baseline.map(|(load, from)| (load, from.into())),
        hold_seconds: known.hold_seconds,
        floor: known.floor,
        ready: known.ready,
        expected_at: known.expected_at.as_ref().map(|at| at.0),
    })
}
