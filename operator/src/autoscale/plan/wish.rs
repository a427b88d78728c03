//! What a promotion asks of one pool, and what limits allow of it.
//!
//! - *sight*: all that a plan is made from. *remembered*: what was planned last, which outlives who planned it.
//! - *wish*: what is asked of one pool. *allowed*: what of it the pool's maximum and its tenant's limit let it have.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::baseline::Baseline;
use super::super::occurrence::{Occurrence, Schedule};
use super::super::share::{Claim, Share, share};
use super::super::staff::ServiceLevel;
use super::super::start_times::DEFAULT_START_TIME;
use super::{BoostSize, Boosted, Missing, Phase, Staffing, Timing};

/// A measured hold time counts in steps of so many seconds, so that what is wanted is not another number at each look.
const HOLD_STEP: u64 = 10;

/// What a promotion asks for.
#[derive(Clone, Debug)]
pub struct Terms {
    /// When it is.
    pub schedule: Schedule,
    /// How much it asks for.
    pub size: BoostSize,
    /// What a percentage counts from.
    pub of: BoostBase,
    /// When its capacity comes and goes.
    pub timing: Timing,
    /// The maximum of each pool instead of its own, if that is lower.
    pub ceiling: Option<u32>,
}

/// What a percentage counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoostBase {
    /// The highest load of the last hour.
    CurrentLoad,
    /// What was learned of the same slots of the week; until it is trusted, the highest load of the last hour.
    SameSlotBaseline,
}

/// What a percentage was counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaselineFrom {
    /// The same slots of past weeks.
    SameSlotBaseline,
    /// The highest load of the last hour, because the same slots are not trusted.
    LastHour,
    /// The highest load of the last hour, as was asked for.
    CurrentLoad,
}

impl BaselineFrom {
    /// Text of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SameSlotBaseline => "SameSlotBaseline",
            Self::LastHour => "LastHour",
            Self::CurrentLoad => "CurrentLoad",
        }
    }
}

/// All that a plan is made from; pools are told apart by `K`.
#[derive(Clone, Debug)]
pub struct Sight<K> {
    /// The time.
    pub now: Timestamp,
    /// What was planned last.
    pub remembered: Remembered,
    /// The pools that it is for.
    pub pools: Vec<SightedPool<K>>,
    /// Loads are not known for as long as baselines look back: what is remembered of late counts too.
    pub short_memory: bool,
    /// Creations a second that it can count on.
    pub creations_per_second: f64,
    /// By when other promotions need workers that do not exist yet, and how many.
    pub others: Vec<(Timestamp, u32)>,
    /// The tenants of these pools that exist.
    pub tenants: Vec<TenantRoom>,
}

/// What was planned last, as far as it must outlive who planned it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Start of the occurrence.
    pub start: Option<Timestamp>,
    /// Where it stood.
    pub phase: Option<Phase>,
    /// When pre-warming began, or was to begin.
    pub prewarm_at: Option<Timestamp>,
}

/// What was planned last of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RememberedPool {
    /// What percent counts from.
    pub baseline: Option<(u32, BaselineFrom)>,
    /// By which hold time workers were counted.
    pub hold_seconds: Option<u32>,
    /// Workers that were held.
    pub floor: u32,
    /// Workers that answered.
    pub ready: u32,
    /// By when all were to answer.
    pub expected_at: Option<Timestamp>,
}

/// A pool that the promotion is for.
#[derive(Clone, Debug)]
pub struct SightedPool<K> {
    /// Which.
    pub key: K,
    /// What its owner asked for; none if there is no such pool.
    pub shape: Option<PoolShape>,
    /// What was decided for it last, if it was decided.
    pub live: Option<PoolNow>,
    /// It will be decided in a moment.
    pub settling: bool,
    /// Its tenant's place among those that exist.
    pub tenant: Option<usize>,
    /// What was planned of it last.
    pub remembered: Option<RememberedPool>,
}

/// What the owner of a pool asked for, as far as promotions count by it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolShape {
    /// Conversations that one worker takes; at least 1.
    pub capacity: u32,
    /// How long conversations may wait.
    pub level: ServiceLevel,
    /// Never fewer workers.
    pub min: u32,
    /// Never more workers.
    pub max: u32,
    /// The pool is to be empty.
    pub suspended: bool,
    /// A person's override lets it have no more.
    pub held_to: Option<HeldTo>,
}

/// An override that is an upper bound, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldTo {
    /// Workers.
    pub workers: u32,
    /// When it lapses.
    pub until: Timestamp,
}

/// What is true of a pool now.
#[derive(Clone, Debug)]
pub struct PoolNow {
    /// Workers that take conversations.
    pub ready: u32,
    /// Workers that do not yet.
    pub starting: u32,
    /// Time until a new worker answers, which 99 of 100 keep.
    pub start_time: Duration,
    /// How long a conversation lasts on average, where that was measured.
    pub hold_time: Option<Duration>,
    /// The highest load of the last hour.
    pub peak: u32,
    /// What load it usually has at a time of the week.
    pub baseline: Arc<Baseline>,
}

/// What room a tenant has.
#[derive(Clone, Debug)]
pub struct TenantRoom {
    /// By whose clocks it lives.
    pub zone: TimeZone,
    /// Workers at once over all its pools.
    pub limit: u32,
    /// Its share, while the cluster is short.
    pub granted: Option<u32>,
    /// Workers that its pools beside these have, or are due.
    pub others: u32,
    /// What other promotions want of it.
    pub beside: Vec<Beside>,
}

/// What another promotion wants of a tenant, beyond what pools have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beside {
    /// By when, and until when.
    pub span: (Timestamp, Timestamp),
    /// Workers.
    pub workers: u32,
    /// It is served first where both want theirs by the same time.
    pub first: bool,
}

impl TenantRoom {
    /// Workers at once that limit and share allow.
    pub fn most(&self) -> u32 {
        self.granted.map_or(self.limit, |granted| granted.min(self.limit))
    }

    /// Workers that others have, or will be given before those that are wanted for this span.
    fn taken(&self, (from, until): (Timestamp, Timestamp)) -> u32 {
        let earlier = self.beside.iter().filter(|beside| {
            let (by, end) = beside.span;
            let overlap = by < until && from < end;
            overlap && (by < from || by == from && beside.first)
        });
        earlier.fold(self.others, |sum, beside| sum.saturating_add(beside.workers))
    }

    /// Which of them it is.
    fn bound(&self) -> Bound {
        match self.granted {
            Some(granted) if granted < self.limit => Bound::FairShare(granted),
            _ => Bound::TenantLimit(self.limit),
        }
    }
}

/// What is asked of one pool.
#[derive(Clone, Debug)]
pub struct Wish<K> {
    /// Which.
    pub key: K,
    /// Load that percent counts from, and where it comes from.
    pub baseline: Option<(u32, BaselineFrom)>,
    /// How long a conversation lasts on average, in seconds, where that was measured and counts.
    pub hold_seconds: Option<u32>,
    /// Workers wanted.
    pub boosted: Boosted,
    /// Workers held now.
    pub floor: u32,
    /// Workers that answer.
    pub ready: u32,
    have: u32,
    start_time: Duration,
    /// The most that pool and tenant allow while the promotion holds.
    pub allowed: u32,
    /// What allows no more.
    pub bound: Bound,
    /// By when all that are wanted answer, while some do not.
    pub expected_at: Option<Timestamp>,
    /// The pool exists and was decided.
    pub decided: bool,
    /// It will be in a moment.
    pub settling: bool,
}

/// What allows a pool no more workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// There is no such pool.
    NoPool,
    /// There is no such tenant.
    NoTenant,
    /// The pool is to be empty.
    Suspended,
    /// The pool's maximum, or the promotion's.
    Maximum(u32),
    /// A person's override that lapses only after all should answer.
    Override(HeldTo),
    /// The tenant's limit, with what its other pools have.
    TenantLimit(u32),
    /// The cluster is short: the tenant's share of it, with what its other pools have.
    FairShare(u32),
}

impl<K> Wish<K> {
    /// Workers that limits do not allow.
    pub fn shortfall(&self) -> u32 {
        self.boosted.wanted.saturating_sub(self.allowed)
    }

    /// What allows fewer than are wanted.
    pub fn limited_by(&self) -> Option<&'static str> {
        let bound = match self.bound {
            Bound::NoPool => return Some("NoPool"),
            Bound::NoTenant => "NoTenant",
            Bound::Suspended => "Suspended",
            Bound::Maximum(_) => "Maximum",
            Bound::Override(_) => "Override",
            Bound::TenantLimit(_) => "TenantLimit",
            Bound::FairShare(_) => "FairShare",
        };
        (self.shortfall() > 0).then_some(bound)
    }

    /// Workers that do not answer yet.
    pub fn unanswered(&self) -> u32 {
        self.boosted.wanted.saturating_sub(self.ready)
    }

    /// Workers that are still to be made.
    pub fn missing(&self) -> Missing {
        Missing {
            workers: self.boosted.wanted.min(self.allowed).saturating_sub(self.have),
            ready: self.ready,
            start_time: self.start_time,
        }
    }

    /// What must be remembered of it.
    pub fn remember(&self) -> RememberedPool {
        RememberedPool {
            baseline: self.baseline,
            hold_seconds: self.hold_seconds,
            floor: self.floor,
            ready: self.ready,
            expected_at: self.expected_at,
        }
    }
}

impl Remembered {
    /// Workers are held for the occurrence that is remembered.
    pub fn was_held(&self) -> bool {
        self.phase.is_some_and(Phase::holds)
    }

    /// It speaks of this occurrence.
    pub fn knows(&self, occurrence: Occurrence) -> bool {
        self.start == Some(occurrence.start)
    }
}

/// What is wanted in a pool for an occurrence; its baseline and hold time are fixed once pre-warming has `begun`.
pub(super) fn draft<K: Clone>(
    terms: &Terms,
    sight: &Sight<K>,
    pool: &SightedPool<K>,
    occurrence: Occurrence,
    begun: bool,
) -> Wish<K> {
    let (baseline, hold_seconds) = match terms.size {
        BoostSize::Workers(_) => (None, None),
        BoostSize::Percent(_) => (
            baseline(terms, sight, pool, occurrence, begun),
            hold_seconds(pool, begun),
        ),
    };
    let boosted = pool.shape.as_ref().map_or_else(Boosted::default, |shape| {
        let measured = hold_seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let staffing = Staffing::new(shape.capacity, shape.level, measured);
        terms.size.over(baseline.map_or(0, |(load, _)| load), &staffing)
    });
    let ready = match &pool.live {
        Some(live) => live.ready,
        None => pool.remembered.map_or(0, |known| known.ready),
    };
    let live = pool.live.as_ref();
    Wish {
        key: pool.key.clone(),
        baseline,
        hold_seconds,
        boosted,
        floor: 0,
        ready,
        have: live.map_or(ready, |live| live.ready + live.starting),
        start_time: live.map_or(DEFAULT_START_TIME, |live| live.start_time),
        allowed: 0,
        bound: Bound::NoPool,
        expected_at: None,
        decided: pool.live.is_some(),
        settling: pool.settling,
    }
}

/// As is remembered once pre-warming has begun, and while a new leader has not measured enough.
fn hold_seconds<K>(pool: &SightedPool<K>, begun: bool) -> Option<u32> {
    let known = pool.remembered;
    if let Some(known) = known.filter(|_| begun) {
        return known.hold_seconds;
    }
    let measured = pool.live.as_ref().and_then(|live| live.hold_time);
    let steps = measured.map(|hold| hold.as_secs().div_ceil(HOLD_STEP));
    let rounded = steps.and_then(|steps| u32::try_from(steps * HOLD_STEP).ok());
    rounded.or_else(|| known?.hold_seconds)
}

fn baseline<K>(
    terms: &Terms,
    sight: &Sight<K>,
    pool: &SightedPool<K>,
    occurrence: Occurrence,
    begun: bool,
) -> Option<(u32, BaselineFrom)> {
    let known = pool.remembered.and_then(|known| known.baseline);
    if begun && known.is_some() {
        return known;
    }
    let Some(live) = &pool.live else { return known };
    let from = match terms.of {
        BoostBase::CurrentLoad => BaselineFrom::CurrentLoad,
        BoostBase::SameSlotBaseline => {
            let tenant = pool.tenant.and_then(|place| sight.tenants.get(place));
            let Occurrence { start, end } = occurrence;
            let learned = tenant.and_then(|tenant| live.baseline.highest(start, end, &tenant.zone));
            if let Some(load) = learned {
                return Some((conversations(load), BaselineFrom::SameSlotBaseline));
            }
            BaselineFrom::LastHour
        }
    };
    // An occurrence that follows another at once would count from the load that the other brought.
    if sight.remembered.was_held() && known.is_some() {
        return known;
    }
    let remembered =
        known.filter(|(_, known)| sight.short_memory && *known != BaselineFrom::SameSlotBaseline);
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

/// What limits allow of each for an occurrence. A promotion's ceiling raises a pool's maximum; the pools of one tenant share what
/// its limit leaves as they will when they are decided, promotions that need theirs earlier first.
pub(super) fn allow<K>(terms: &Terms, sight: &Sight<K>, occurrence: Occurrence, wishes: &mut [Wish<K>]) {
    let span = terms.timing.held(occurrence);
    let mut claims: Vec<Vec<(usize, Claim)>> = vec![Vec::new(); sight.tenants.len()];
    for (place, (wish, pool)) in wishes.iter_mut().zip(&sight.pools).enumerate() {
        wish.allowed = 0;
        let Some(shape) = &pool.shape else {
            wish.bound = Bound::NoPool;
            continue;
        };
        let Some(claims) = pool.tenant.and_then(|tenant| claims.get_mut(tenant)) else {
            wish.bound = Bound::NoTenant;
            continue;
        };
        if shape.suspended {
            wish.bound = Bound::Suspended;
            continue;
        }
        let maximum = shape.max.max(terms.ceiling.unwrap_or(0));
        let held_to = shape
            .held_to
            .filter(|held| held.until > span.0 && held.workers < maximum);
        (wish.allowed, wish.bound) = match held_to {
            Some(held) => (held.workers, Bound::Override(held)),
            None => (maximum, Bound::Maximum(maximum)),
        };
        let maximum = wish.allowed;
        let claim = Claim {
            wanted: wish.boosted.wanted.min(maximum),
            min: shape.min.min(maximum),
            ..Claim::default()
        };
        claims.push((place, claim));
    }
    for (tenant, claims) in sight.tenants.iter().zip(claims) {
        let left = tenant.most().saturating_sub(tenant.taken(span));
        let (places, claims): (Vec<_>, Vec<_>) = claims.into_iter().unzip();
        for (own, place) in places.into_iter().enumerate() {
            let Share { most, .. } = share(left, &claims, own);
            if let Some(wish) = wishes.get_mut(place)
                && most < wish.allowed
            {
                (wish.allowed, wish.bound) = (most, tenant.bound());
            }
        }
    }
}
