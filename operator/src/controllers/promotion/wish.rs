//! What a promotion asks of one pool, and what limits allow of it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use springtide_proto::ids::TenantId;

use crate::api::{BaselineFrom, BoostBase};
use crate::autoscale::{BoostSize, Boosted, DEFAULT_START_TIME, Missing, Occurrence, Staffing};
use crate::fleet::PoolKey;

use super::build::{known_pool, was_held};
use super::dereference::{Seen, SeenPool};
use super::validate::Valid;

/// A measured hold time counts in steps of so many seconds, so that what is wanted is not another number at each look.
const HOLD_STEP: u64 = 10;

/// What is asked of one pool.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) key: PoolKey,
    /// Load that percent counts from, and where it comes from.
    pub(super) baseline: Option<(u32, BaselineFrom)>,
    /// How long a conversation lasts on average, in seconds, where that was measured and counts.
    pub(super) hold_seconds: Option<u32>,
    pub(super) boosted: Boosted,
    /// Workers held now.
    pub(super) floor: u32,
    pub(super) ready: u32,
    have: u32,
    start_time: Duration,
    /// The most that pool and tenant allow while the promotion holds.
    pub(super) allowed: u32,
    /// What allows no more.
    pub(super) bound: Bound,
    /// By when all that are wanted answer, while some do not.
    pub(super) expected_at: Option<Timestamp>,
    /// The pool exists and was decided.
    pub(super) decided: bool,
    /// It will be in a moment.
    pub(super) settling: bool,
}

/// What allows a pool no more workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// There is no such pool.
    NoPool,
    /// There is no such tenant.
    NoTenant,
    /// The pool is to be empty.
    Suspended,
    /// The pool's maximum, or the promotion's.
    Maximum(u32),
    /// The tenant's limit, with what its other pools have.
    TenantLimit(u32),
    /// The cluster is short: the tenant's share of it, with what its other pools have.
    FairShare(u32),
}

impl Wish {
    /// Workers that limits do not allow.
    pub(super) fn shortfall(&self) -> u32 {
        self.boosted.wanted.saturating_sub(self.allowed)
    }

    /// What allows fewer than are wanted.
    pub(super) fn limited_by(&self) -> Option<&'static str> {
        let bound = match self.bound {
            Bound::NoPool => return Some("NoPool"),
            Bound::NoTenant => "NoTenant",
            Bound::Suspended => "Suspended",
            Bound::Maximum(_) => "Maximum",
            Bound::TenantLimit(_) => "TenantLimit",
            Bound::FairShare(_) => "FairShare",
        };
        (self.shortfall() > 0).then_some(bound)
    }

    /// Workers that do not answer yet.
    pub(super) fn unanswered(&self) -> u32 {
        self.boosted.wanted.saturating_sub(self.ready)
    }

    /// Workers that are still to be made.
    pub(super) fn missing(&self) -> Missing {
        Missing {
            workers: self.boosted.wanted.min(self.allowed).saturating_sub(self.have),
            ready: self.ready,
            start_time: self.start_time,
        }
    }
}

/// What is wanted in a pool for an occurrence; its baseline and hold time are fixed once pre-warming has `begun`.
pub(super) fn draft(
    valid: &Valid,
    seen: &Seen,
    pool: &SeenPool,
    occurrence: Occurrence,
    begun: bool,
) -> Wish {
    let baseline = match valid.size {
        BoostSize::Workers(_) => None,
        BoostSize::Percent(_) => baseline(valid, seen, pool, occurrence, begun),
    };
    let hold_seconds = match valid.size {
        BoostSize::Workers(_) => None,
        BoostSize::Percent(_) => hold_seconds(seen, pool, begun),
    };
    let boosted = pool.object.as_ref().map_or_else(Boosted::default, |object| {
        let level = object.policy().map(|policy| policy.service_level);
        let measured = hold_seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let staffing = Staffing::new(
            object.spec.worker.conversations.max(1),
            level.unwrap_or_default(),
            measured,
        );
        valid.size.over(baseline.map_or(0, |(load, _)| load), &staffing)
    });
    let known = known_pool(seen, &pool.key);
    let ready = match &pool.live {
        Some(live) => live.ready,
        None => known.map_or(0, |known| known.ready),
    };
    Wish {
        key: pool.key.clone(),
        baseline,
        hold_seconds,
        boosted,
        floor: 0,
        ready,
        have: pool
            .live
            .as_ref()
            .map_or(ready, |live| live.ready + live.starting),
        start_time: pool
            .live
            .as_ref()
            .map_or(DEFAULT_START_TIME, |live| live.start_time),
        allowed: 0,
        bound: Bound::NoPool,
        expected_at: None,
        decided: pool.live.is_some(),
        settling: pool.settling,
    }
}

/// As status has it once pre-warming has begun, and while a new leader has not measured enough.
fn hold_seconds(seen: &Seen, pool: &SeenPool, begun: bool) -> Option<u32> {
    let known = known_pool(seen, &pool.key);
    if let Some(known) = known.filter(|_| begun) {
        return known.hold_seconds;
    }
    let measured = pool.live.as_ref().and_then(|live| live.hold_time);
    let steps = measured.map(|hold| hold.as_secs().div_ceil(HOLD_STEP));
    let rounded = steps.and_then(|steps| u32::try_from(steps * HOLD_STEP).ok());
    rounded.or_else(|| known?.hold_seconds)
}

fn baseline(
    valid: &Valid,
    seen: &Seen,
    pool: &SeenPool,
    occurrence: Occurrence,
    begun: bool,
) -> Option<(u32, BaselineFrom)> {
    let known = known_pool(seen, &pool.key).and_then(|known| Some((known.baseline?, known.baseline_from?)));
    if begun && known.is_some() {
        return known;
    }
    let Some(live) = &pool.live else { return known };
    let from = match valid.of {
        BoostBase::CurrentLoad => BaselineFrom::CurrentLoad,
        BoostBase::SameSlotBaseline => {
            let zone = seen.tenants.get(&pool.key.tenant).map(|tenant| &tenant.zone);
            let learned = zone.and_then(|zone| live.baseline.highest(occurrence.start, occurrence.end, zone));
            if let Some(load) = learned {
                return Some((conversations(load), BaselineFrom::SameSlotBaseline));
            }
            BaselineFrom::LastHour
        }
    };
    // An occurrence that follows another at once would count from the load that the other brought.
    if was_held(seen) && known.is_some() {
        return known;
    }
    let remembered = known.filter(|(_, known)| seen.short_memory && *known != BaselineFrom::SameSlotBaseline);
    Some((live.peak.max(remembered.map_or(0, |(load, _)| load)), from))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and a load is not negative"
)]
fn conversations(load: f64) -> u32 {
    load.ceil() as u32
}

/// What limits allow of each. A promotion's ceiling raises a pool's maximum; the pools of one tenant share what its limit leaves.
pub(super) fn allow(valid: &Valid, seen: &Seen, wishes: &mut [Wish]) {
    let mut left: BTreeMap<&TenantId, u32> = seen
        .tenants
        .iter()
        .map(|(name, tenant)| (name, tenant.most().saturating_sub(tenant.others)))
        .collect();
    for (wish, pool) in wishes.iter_mut().zip(&seen.pools) {
        let Some(object) = &pool.object else {
            (wish.allowed, wish.bound) = (0, Bound::NoPool);
            continue;
        };
        let Some((tenant, left)) = seen
            .tenants
            .get(&wish.key.tenant)
            .zip(left.get_mut(&wish.key.tenant))
        else {
            (wish.allowed, wish.bound) = (0, Bound::NoTenant);
            continue;
        };
        if object.spec.suspend {
            (wish.allowed, wish.bound) = (0, Bound::Suspended);
            continue;
        }
        let maximum = object.spec.scaling.max.max(valid.ceiling.unwrap_or(0));
        (wish.allowed, wish.bound) = if *left < maximum {
            (*left, tenant.bound())
        } else {
            (maximum, Bound::Maximum(maximum))
        };
        let taken = wish.boosted.wanted.max(object.spec.scaling.min).min(wish.allowed);
        *left = left.saturating_sub(taken);
    }
}
