//! Promotions: how many workers are wanted, and how many are held at each moment.
//!
//! - *wanted*: workers that are to answer when the window opens. *baseline*: the load that a percentage counts from.
//! - *lead*: from asking for the workers that are missing until all of them answer and were looked at.
//! - *course*: the moments of one occurrence, in their order: waiting, then
//!   *pre-warming* (the floor rises linearly until *full*, one lead before *ready-by*, so that by then all answer),
//!   *open*, *cooling down* (held, then falling step by step), over.
//! - *boost*: of what is wanted, what the baseline alone would not need.
//! - *keeps*: while a promotion does, no worker leaves its pools.
//! - *planned*: what a promotion asks for now, of all that is seen. The operator and the simulation plan by the same code.

mod planned;
#[cfg(test)]
mod tests;
mod wish;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::occurrence::Occurrence;
use super::staff::{ServiceLevel, staff};

pub use self::planned::{Ahead, Planned, planned};
pub use self::wish::{
    BaselineFrom, Beside, BoostBase, Bound, HeldTo, PoolNow, PoolShape, Remembered, RememberedPool, Sight,
    SightedPool, TenantRoom, Terms, Wish,
};

/// So many workers of a pool start at once, or as many as answer already if that is more.
pub const STARTING_AT_ONCE: u32 = 16;
/// Between a worker's first answer and the promotion's being called ready.
pub const VERIFICATION: Duration = Duration::from_secs(10);
/// How long a conversation lasts on average, as long as nobody measured it.
pub const DEFAULT_HOLD_TIME: Duration = Duration::from_mins(3);
/// Where rounding alone decides, it is not a worker more.
const ROUNDING: f64 = 1e-6;

/// A promotion that asks for something now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Its name.
    pub promotion: String,
    /// Never fewer workers.
    pub floor: u32,
    /// The maximum instead of the pool's own, if it names one.
    pub ceiling: Option<u32>,
    /// Nothing leaves.
    pub keeps: bool,
    /// Its window is open: the load is not what it usually is at this time.
    pub open: bool,
}

/// How much a promotion asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BoostSize {
    /// Percent more than the baseline.
    Percent(f64),
    /// That many workers.
    Workers(u32),
}

/// How the workers of a pool serve an expected load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Staffing {
    /// Conversations that one worker takes.
    pub capacity: u32,
    /// What customers are promised.
    pub level: ServiceLevel,
    /// How long a conversation lasts on average.
    pub hold: Duration,
}

/// What a boost comes to in a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boosted {
    /// Workers wanted.
    pub wanted: u32,
    /// Of them, what the baseline alone needs; the rest is the boost.
    pub usual: u32,
}

impl Staffing {
    /// With the hold time that was measured, or else the one that is assumed.
    pub fn new(capacity: u32, level: ServiceLevel, measured: Option<Duration>) -> Self {
        Self {
            capacity,
            level,
            hold: measured.unwrap_or(DEFAULT_HOLD_TIME),
        }
    }
}

impl BoostSize {
    /// Workers wanted over a baseline in conversations.
    pub fn over(self, baseline: u32, staffing: &Staffing) -> Boosted {
        let needed = |load| staff(load, staffing.capacity, staffing.level, staffing.hold);
        match self {
            Self::Workers(wanted) => Boosted { wanted, usual: 0 },
            Self::Percent(percent) => Boosted {
                wanted: needed(f64::from(baseline) * (1.0 + percent / 100.0)),
                usual: needed(f64::from(baseline)),
            },
        }
    }
}

/// When a promotion's capacity comes and goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// All of it answers this long before the start.
    pub ready_by: Duration,
    /// The floor rises over this time.
    pub ramp: Duration,
    /// All of it is held for this long after the end.
    pub hold: Duration,
    /// Then it falls by this share of the boost each minute; above 0, at most 1.
    pub step: f64,
}

impl Timing {
    /// By when all that are wanted for an occurrence answer.
    pub fn ready_by(&self, occurrence: Occurrence) -> Timestamp {
        before(occurrence.start, self.ready_by)
    }

    /// By when and until when all that are wanted for an occurrence are held.
    pub(super) fn held(&self, occurrence: Occurrence) -> (Timestamp, Timestamp) {
        (self.ready_by(occurrence), after(occurrence.end, self.hold))
    }
}

/// Workers of a pool that are still to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Wanted, and not even starting.
    pub workers: u32,
    /// Workers that answer already.
    pub ready: u32,
    /// Time until a new worker answers.
    pub start_time: Duration,
}

/// How fast workers can be created for a promotion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Creations {
    /// In a second, over all pools; above 0.
    pub per_second: f64,
    /// Workers that other promotions still need by the same time.
    pub for_others: u32,
}

impl Creations {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and nothing here is negative"
    )]
    fn time(self, pools: &[Missing]) -> Duration {
        let missing = pools
            .iter()
            .fold(self.for_others, |sum, pool| sum.saturating_add(pool.workers));
        Duration::from_secs((f64::from(missing) / self.per_second).ceil() as u64)
    }
}

/// How long it takes until all that are missing in the pools of a promotion answer, from now.
pub fn lead(pools: &[Missing], creations: Creations) -> Duration {
    let slowest = pools.iter().map(|pool| pool.starts()).max().unwrap_or_default();
    creations.time(pools) + slowest + VERIFICATION
}

/// How long it takes until all that are missing in one of the pools answer, from now: the others take their part of the pace.
pub fn lead_of(pool: Missing, pools: &[Missing], creations: Creations) -> Duration {
    creations.time(pools) + pool.starts() + VERIFICATION
}

impl Missing {
    /// One start after the other, as many at once as may start beside those that answer.
    fn starts(self) -> Duration {
        let (mut left, mut ready, mut taken) = (self.workers, self.ready, self.start_time);
        while left > ready.max(STARTING_AT_ONCE) {
            let at_once = ready.max(STARTING_AT_ONCE);
            left -= at_once;
            ready = ready.saturating_add(at_once);
            taken = taken.saturating_add(self.start_time);
        }
        taken
    }
}

/// Where a promotion stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its time has not come.
    Waiting,
    /// Workers are being started for it.
    Prewarming,
    /// It is on.
    Open,
    /// It was, and is let go step by step.
    CoolingDown,
    /// It was.
    Over,
}

impl Phase {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [
        Self::Waiting,
        Self::Prewarming,
        Self::Open,
        Self::CoolingDown,
        Self::Over,
    ];

    /// The one of that text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text)
    }

    /// Text of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Prewarming => "Prewarming",
            Self::Open => "Open",
            Self::CoolingDown => "CoolingDown",
            Self::Over => "Over",
        }
    }

    /// Workers are held for it.
    pub fn holds(self) -> bool {
        matches!(self, Self::Prewarming | Self::Open | Self::CoolingDown)
    }
}

/// The moments of one occurrence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Course {
    /// Its window.
    pub occurrence: Occurrence,
    /// Pre-warming begins.
    pub prewarm_at: Timestamp,
    /// The floor has risen to all that are wanted.
    pub full_at: Timestamp,
    /// All of it answers.
    pub ready_by: Timestamp,
    /// It begins to fall.
    pub falls_at: Timestamp,
    /// Nothing of it is left.
    pub over_at: Timestamp,
    step: f64,
}

impl Course {
    /// Of an occurrence whose workers need `lead` from now. `begun` is when pre-warming began, if it did: that stays, however
    /// starts change, and what changes then is how fast the floor rises.
    pub fn new(occurrence: Occurrence, timing: &Timing, lead: Duration, begun: Option<Timestamp>) -> Self {
        let (ready_by, falls_at) = timing.held(occurrence);
        let prewarm_at = begun.unwrap_or_else(|| before(ready_by, timing.ramp.max(lead)));
        // A falling floor stands a minute at each step, the first of which is all of it.
        let minutes = Duration::from_secs_f64((1.0 / timing.step - ROUNDING).ceil().clamp(1.0, 1e7) * 60.0);
        Self {
            occurrence,
            prewarm_at,
            full_at: before(ready_by, lead).max(prewarm_at),
            ready_by,
            falls_at,
            over_at: after(falls_at, minutes),
            step: timing.step,
        }
    }

    /// Where it stands.
    pub fn phase(&self, now: Timestamp) -> Phase {
        if now >= self.over_at {
            Phase::Over
        } else if now >= self.occurrence.end {
            Phase::CoolingDown
        } else if now >= self.occurrence.start {
            Phase::Open
        } else if now >= self.prewarm_at {
            Phase::Prewarming
        } else {
            Phase::Waiting
        }
    }

    /// Workers that are held.
    pub fn floor(&self, now: Timestamp, boosted: Boosted) -> u32 {
        let Boosted { wanted, usual } = boosted;
        match self.phase(now) {
            Phase::Waiting | Phase::Over => 0,
            Phase::Prewarming => part(self.risen(now), wanted),
            Phase::Open => wanted,
            Phase::CoolingDown => {
                let minutes = now.duration_since(self.falls_at).as_secs().div_euclid(60).max(0);
                let left = 1.0 - self.step * (minutes as f64);
                let usual = usual.min(wanted);
                usual.saturating_add(part(left, wanted - usual))
            }
        }
    }

    /// Nothing leaves its pools.
    pub fn keeps(&self, now: Timestamp) -> bool {
        self.prewarm_at <= now && now < self.falls_at
    }

    /// The share of the rise that lies behind.
    fn risen(&self, now: Timestamp) -> f64 {
        let rise = self.full_at.duration_since(self.prewarm_at).as_secs_f64();
        let since = now.duration_since(self.prewarm_at).as_secs_f64();
        if since >= rise { 1.0 } else { since / rise }
    }
}

/// That share of so many workers, rounded up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and nothing here is negative"
)]
fn part(share: f64, workers: u32) -> u32 {
    let whole = (f64::from(workers) * share - ROUNDING).ceil().max(0.0);
    (whole as u32).min(workers)
}

fn before(at: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    at.checked_sub(span).unwrap_or(Timestamp::MIN)
}

fn after(at: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}
