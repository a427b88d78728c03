//! What a promotion asks for now.

use std::time::Duration;

use jiff::Timestamp;
use springtide_proto::ids::{PoolId, TenantId};

use crate::api::{Boost, PoolReference, Promotion, PromotionPoolStatus};
use crate::autoscale::{BoostSize, DEFAULT_START_TIME, LocalWindow, Phase, Plan, prewarm_lead};
use crate::controllers::live::LivePool;
use crate::fleet::PoolKey;

use super::PromotionError;

/// What is asked for now.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) window: LocalWindow,
    pub(super) prewarm_at: Timestamp,
    pub(super) ready_by: Timestamp,
    pub(super) phase: Phase,
    pub(super) next_change: Option<Timestamp>,
    pub(super) wishes: Vec<Wish>,
}

/// What is asked of one pool.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) key: PoolKey,
    /// Load that percent counts from.
    pub(super) baseline: Option<u32>,
    pub(super) wanted: u32,
    pub(super) ready: u32,
    pub(super) have: u32,
    /// The most that pool and tenant allow while the promotion holds; none if there is no such pool.
    pub(super) allowed: Option<u32>,
    start_time: Duration,
}

impl Wish {
    /// For the pool's decision.
    pub(super) fn plan(&self, promotion: &str, ceiling: Option<u32>) -> Plan {
        Plan {
            promotion: promotion.to_owned(),
            floor: self.wanted,
            ceiling,
        }
    }

    /// Workers that do not answer yet.
    pub(super) fn missing(&self) -> u32 {
        self.wanted.saturating_sub(self.ready)
    }
}

pub(super) fn build(
    promotion: &Promotion,
    now: Timestamp,
    live: impl Fn(&PoolKey) -> Option<LivePool>,
) -> Result<Prepared, PromotionError> {
    let spec = &promotion.spec;
    let invalid = |error: String| PromotionError::Invalid(error);
    let window = LocalWindow::parse(&spec.window.start, &spec.window.end, &spec.window.time_zone)
        .map_err(|error| invalid(format!("spec.window: {error}")))?;
    let size = size(&spec.boost)?;
    let status = promotion.status.clone().unwrap_or_default();
    let fixed = status
        .prewarm_at
        .as_ref()
        .map(|time| time.0)
        .filter(|at| *at <= now && status.phase != "Waiting");
    let wishes = spec.pools.iter().map(|reference| {
        let known = fixed.and_then(|_| status.pools.iter().find(|pool| is_same(pool, reference)));
        wish(
            reference,
            size,
            known.and_then(|pool| pool.baseline),
            spec.ceiling,
            &live,
        )
    });
    let wishes: Vec<_> = wishes.collect::<Result<_, _>>()?;

    let missing = wishes
        .iter()
        .map(|wish| wish.wanted.saturating_sub(wish.have))
        .sum();
    let slowest = wishes
        .iter()
        .map(|wish| wish.start_time)
        .max()
        .unwrap_or(DEFAULT_START_TIME);
    let lead = prewarm_lead(spec.ready_by.0, slowest, missing);
    let prewarm_at = fixed.unwrap_or_else(|| window.start.checked_sub(lead).unwrap_or(Timestamp::MIN));
    let ready_by = jiff::SignedDuration::try_from(spec.ready_by.0)
        .ok()
        .and_then(|before| window.start.checked_sub(before).ok())
        .unwrap_or(window.start);
    let phase = Phase::at(now, prewarm_at, &window);
    let changes = [prewarm_at, ready_by, window.start, window.end];
    let next_change = changes.into_iter().filter(|at| *at > now).min();
    Ok(Prepared {
        window,
        prewarm_at,
        ready_by,
        phase,
        next_change,
        wishes,
    })
}

fn size(boost: &Boost) -> Result<BoostSize, PromotionError> {
    match (&boost.percent, boost.workers) {
        (Some(percent), None) => match percent.parse::<f64>() {
            Ok(percent) if percent >= 0.0 => Ok(BoostSize::Percent(percent)),
            _ => Err(PromotionError::Invalid(format!(
                "spec.boost.percent is {percent:?}; give a decimal such as \"200\""
            ))),
        },
        (None, Some(workers)) => Ok(BoostSize::Workers(workers)),
        _ => Err(PromotionError::Invalid(
            "give exactly one of spec.boost.percent and spec.boost.workers".to_owned(),
        )),
    }
}

fn is_same(pool: &PromotionPoolStatus, reference: &PoolReference) -> bool {
    pool.tenant == reference.tenant && pool.pool == reference.pool
}

fn wish(
    reference: &PoolReference,
    size: BoostSize,
    fixed: Option<u32>,
    ceiling: Option<u32>,
    live: &impl Fn(&PoolKey) -> Option<LivePool>,
) -> Result<Wish, PromotionError> {
    let invalid = |error: springtide_proto::error::ApiError| PromotionError::Invalid(error.message);
    let tenant = TenantId::parse(reference.tenant.as_str()).map_err(invalid)?;
    let pool = PoolId::parse(reference.pool.as_str()).map_err(invalid)?;
    let key = PoolKey { tenant, pool };
    let found = live(&key);
    let baseline = fixed.or(found.as_ref().map(|live| live.peak));
    let wanted = found
        .as_ref()
        .map_or(0, |live| size.wanted(baseline.unwrap_or(0), live.capacity));
    // A ceiling of the promotion replaces the pool's own; the tenant's limit stays.
    let allowed = found.as_ref().map(|live| {
        let own = live.decision.ceiling.max(ceiling.unwrap_or(0));
        own.min(live.tenant_share)
    });
    Ok(Wish {
        baseline: matches!(size, BoostSize::Percent(_))
            .then_some(baseline)
            .flatten(),
        wanted,
        ready: found.as_ref().map_or(0, |live| live.ready),
        have: found.as_ref().map_or(0, |live| live.ready + live.starting),
        allowed,
        start_time: found.map_or(DEFAULT_START_TIME, |live| live.start_time),
        key,
    })
}
