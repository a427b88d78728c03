//! What a promotion would do to a pool that was seen.
//!
//! - *seen*: the pool as the operator's leader sees it now, with what it learned of it.
//! - *expected*: the load at a time: what the pool learned of that time of the week, and else as it is now.
//! - *limits*: the maximum of the pool or promotion, and what the tenant's limit leaves to the pool.
//!
//! The same run is done three times: without the promotion, with it, and with it but without limits. A run goes on from the pool
//! as it was seen, if pre-warming is near; else it begins an hour before pre-warming, with as many workers as the load needs that
//! is expected then. Other promotions that are for the pool count in each, and so does what somebody gave by `kubectl scale`,
//! until it lapses.

#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::engine::{self, Tally};
use super::manifest::{Documents, ManifestError};
use super::policies::{Resumed, Springtide};
use super::pool::Pool;
use super::promotion::{Note, PromotionError, Promotions};
use super::scenario::{Begin, Scenario, Starts};
use super::trace::{Step, Trace};
use super::units::{SECOND, ceil, from_seconds};
use crate::api::{BotPool, Promotion};
use crate::autoscale::{Baseline, Course, DEFAULT_HOLD_TIME, Flow, Override, Schedule};
use crate::controllers::promotion::validate::validate;

/// Pre-warming that begins later is not near: the run begins so long before it that percentages count from its own load.
const NEAR: SignedDuration = SignedDuration::from_hours(6);
const BEFORE: SignedDuration = SignedDuration::from_hours(1);
/// Pre-warming is expected to begin at most this long before all have to answer, if the ramp is no longer.
const LEAD: Duration = Duration::from_mins(10);
/// So long after everything was let go, or less.
const AFTER: SignedDuration = SignedDuration::from_mins(15);
/// What is expected changes with each slot of the week.
const SLOT: SignedDuration = SignedDuration::from_mins(15);
const HOUR: f64 = 3_600.0;
/// More at once are a mistake.
const MOST_CONVERSATIONS: f64 = 2_000_000.0;
const UNLIMITED: u32 = 10_000;

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum WhatIfError {
    /// Not a promotion, or not a pool.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A promotion that cannot be simulated.
    #[error(transparent)]
    Promotion(#[from] PromotionError),
    /// It is over.
    #[error("the promotion is over: it has no window from now on")]
    Over,
    /// A load that nobody has.
    #[error("{0:.0} conversations at once are more than can be simulated")]
    Load(f64),
    /// Cannot be: rows are kept in memory.
    #[error("the run was broken off")]
    Rows(#[source] io::Error),
}

/// A pool as it is seen, and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct SeenPool {
    /// Conversations that are there.
    pub(crate) load: u32,
    /// Conversations that come and go, per second.
    pub(crate) flow: Flow,
    /// Workers that take conversations.
    pub(crate) ready: u32,
    /// Workers that do not yet.
    pub(crate) starting: u32,
    /// Workers that were decided last.
    pub(crate) desired: u32,
    /// Time until a new worker answers: what 95 and what 99 of 100 keep.
    pub(crate) start_times: (Duration, Duration),
    /// How long a conversation lasts on average, where that was measured.
    pub(crate) hold: Option<Duration>,
    /// The highest load of the last hour.
    pub(crate) peak: u32,
    /// The most that the tenant's limit leaves to the pool.
    pub(crate) tenant_share: u32,
    /// By whose clocks its customers live, an IANA name.
    pub(crate) zone: String,
    /// What load is usual at a time of the week, as far as that was learned.
    pub(crate) baseline: Baseline,
    /// What somebody gave by `kubectl scale`.
    pub(crate) manual: Option<Override>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WhatIf {
    /// When the runs begin.
    pub(crate) origin: Timestamp,
    /// They go on from the pool as it was seen.
    pub(crate) is_live: bool,
    /// The moments of the window, as far as they are known before.
    pub(crate) course: Course,
    /// With the promotion.
    pub(crate) with: Run,
    /// Without it.
    pub(crate) without: Run,
    /// What the promotion came to; none if it does not hold within the run.
    pub(crate) note: Option<Note>,
    /// Other promotions that count.
    pub(crate) others: Vec<String>,
    /// The least and the most load that is expected, in conversations.
    pub(crate) expected: (f64, f64),
    /// It follows what the pool learned, all the time or some of it.
    pub(crate) is_learned: bool,
    /// The most with it if nothing limited it.
    pub(crate) wanted: u32,
    /// The maximum of the pool or the promotion.
    pub(crate) maximum: u32,
    /// Which may be less.
    pub(crate) tenant_share: u32,
}

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    /// Workers that are there, second by second.
    pub(crate) workers: Vec<u32>,
    pub(crate) peak: u32,
    pub(crate) worker_hours: f64,
    /// Conversations that waited for longer than five seconds.
    pub(crate) waited: u64,
}

/// Reads a promotion, YAML or JSON; other resources may stand beside it.
pub(crate) fn read_promotion(text: &str) -> Result<Promotion, ManifestError> {
    Documents::parse(text)?.one()
}

/// What the promotion would do to the pool in its next window, or in the one that is open, until so many hours after its start;
/// beside `others`, of which those count that are for the pool.
pub(crate) fn what_if(
    pool: &BotPool,
    promotion: &Promotion,
    others: &[Promotion],
    seen: &SeenPool,
    now: Timestamp,
    hours: u32,
) -> Result<WhatIf, WhatIfError> {
    let pool = Pool {
        tenant_share: seen.tenant_share,
        zone: seen.zone.clone(),
        ..Pool::of(pool)?
    };
    let course = course(promotion, now)?;
    let near = now.checked_add(NEAR).unwrap_or(Timestamp::MAX);
    let is_live = course.prewarm_at <= near;
    let before = course.prewarm_at.checked_sub(BEFORE).unwrap_or(Timestamp::MIN);
    let origin = if is_live { now } else { before };
    let expected = Expected::new(seen, origin, length(&course, origin, hours));
    if expected.highest() > MOST_CONVERSATIONS {
        return Err(WhatIfError::Load(expected.highest()));
    }
    let resumed = resumed(seen, &expected, is_live);
    let scenario = scenario(&pool, seen, &expected, is_live);
    let (without, names) = beside(others, promotion, &pool);
    let mut with = without.clone();
    with.add(promotion, &pool, promotion.status.as_ref())?;
    let run = |pool: &Pool, promotions: &Promotions| {
        let policy = Springtide::new(pool, promotions.clone(), Some(origin));
        run(&scenario, policy.resume(&resumed))
    };
    let mut unlimited = pool.clone();
    (unlimited.policy.max, unlimited.tenant_share) = (UNLIMITED, u32::MAX);
    let (held, notes) = run(&pool, &with)?;
    let name = promotion.metadata.name.as_deref();
    Ok(WhatIf {
        origin,
        is_live,
        course,
        with: held,
        without: run(&pool, &without)?.0,
        note: notes
            .into_iter()
            .find(|note| Some(note.promotion.as_str()) == name),
        others: names,
        expected: (expected.lowest(), expected.highest()),
        is_learned: expected.is_learned,
        wanted: run(&unlimited, &with)?.0.peak,
        maximum: promotion.spec.ceiling.unwrap_or(0).max(pool.policy.max),
        tenant_share: seen.tenant_share,
    })
}

fn course(promotion: &Promotion, now: Timestamp) -> Result<Course, WhatIfError> {
    let terms = validate(promotion)
        .map_err(|error| PromotionError::Invalid(error.to_string()))?
        .terms;
    let around = match &terms.schedule {
        Schedule::Once(once) if once.end <= now => return Err(WhatIfError::Over),
        schedule => schedule.around(now),
    };
    let occurrence = around.running.or(around.next).ok_or(WhatIfError::Over)?;
    Ok(Course::new(occurrence, &terms.timing, LEAD, None))
}

/// The other promotions that are for the pool, with what was planned of them, and their names.
fn beside(others: &[Promotion], promotion: &Promotion, pool: &Pool) -> (Promotions, Vec<String>) {
    let mut beside = Promotions::default();
    let others = others
        .iter()
        .filter(|other| other.metadata.name != promotion.metadata.name);
    for other in others {
        // One that is for other pools, or that nobody understands, holds nothing here.
        let _ = beside.add(other, pool, other.status.as_ref());
    }
    let names = beside.names().map(str::to_owned).collect();
    (beside, names)
}

fn length(course: &Course, origin: Timestamp, hours: u32) -> SignedDuration {
    let start = course
        .occurrence
        .start
        .duration_since(origin)
        .max(SignedDuration::ZERO);
    let over = course.over_at.duration_since(origin).saturating_add(AFTER);
    start
        .saturating_add(SignedDuration::from_hours(i64::from(hours)))
        .min(over)
}

/// The load that is expected, slot by slot.
struct Expected {
    origin: Timestamp,
    length: SignedDuration,
    /// From so many seconds after the origin on, so many conversations.
    slots: Vec<(f64, f64)>,
    is_learned: bool,
}

impl Expected {
    fn new(seen: &SeenPool, origin: Timestamp, length: SignedDuration) -> Self {
        let zone = TimeZone::get(&seen.zone).unwrap_or(TimeZone::UTC);
        let (mut slots, mut is_learned) = (Vec::new(), false);
        let mut since = SignedDuration::ZERO;
        while since < length {
            let at = origin.checked_add(since).unwrap_or(Timestamp::MAX);
            let learned = seen.baseline.usual(at, Duration::ZERO, &zone);
            is_learned |= learned.is_some();
            let load = learned.map_or(f64::from(seen.load), |usual| usual.now);
            slots.push((since.as_secs_f64(), load));
            since = since.saturating_add(SLOT);
        }
        Self {
            origin,
            length,
            slots,
            is_learned,
        }
    }

    fn first(&self) -> f64 {
        self.slots.first().map_or(0.0, |(_, load)| *load)
    }

    fn highest(&self) -> f64 {
        self.slots.iter().map(|(_, load)| *load).fold(0.0, f64::max)
    }

    fn lowest(&self) -> f64 {
        self.slots
            .iter()
            .map(|(_, load)| *load)
            .fold(self.first(), f64::min)
    }

    /// Conversations per second that keep it up.
    fn trace(&self, hold_seconds: f64) -> Trace {
        let steps = self.slots.iter().map(|(since, load)| Step {
            start: from_seconds(*since),
            value: load / hold_seconds,
        });
        Trace {
            steps: steps.collect(),
            end: from_seconds(self.length.as_secs_f64()).max(SECOND),
            origin: Some(self.origin),
        }
    }
}

fn hold_seconds(seen: &SeenPool) -> f64 {
    seen.hold.unwrap_or(DEFAULT_HOLD_TIME).as_secs_f64()
}

fn resumed(seen: &SeenPool, expected: &Expected, is_live: bool) -> Resumed {
    let steady = expected.first() / hold_seconds(seen);
    Resumed {
        flow: if is_live {
            seen.flow
        } else {
            Flow {
                arrivals: steady,
                endings: steady,
            }
        },
        start_times: seen.start_times,
        hold: seen.hold,
        desired: seen.desired,
        peak: if is_live {
            seen.peak
        } else {
            ceil(expected.first())
        },
        baseline: seen.baseline.clone(),
        manual: seen.manual,
    }
}

fn scenario(pool: &Pool, seen: &SeenPool, expected: &Expected, is_live: bool) -> Scenario {
    let hold_seconds = hold_seconds(seen);
    let begin = if is_live {
        Begin {
            load: seen.load,
            ready: seen.ready,
            starting: seen.starting,
        }
    } else {
        let load = ceil(expected.first());
        Begin {
            load,
            ready: load.div_ceil(pool.capacity).max(pool.policy.min),
            starting: 0,
        }
    };
    let (p95, _) = seen.start_times;
    Scenario {
        trace: expected.trace(hold_seconds),
        factor: 1.0,
        hold_seconds,
        starts: Starts::Constant(from_seconds(p95.as_secs_f64())),
        capacity: pool.capacity,
        min: pool.policy.min,
        max: pool.policy.max,
        seed: 1,
        begin: Some(begin),
    }
}

fn run(scenario: &Scenario, mut policy: Springtide) -> Result<(Run, Vec<Note>), WhatIfError> {
    let mut workers = Vec::new();
    let Tally {
        worker_seconds,
        peak_workers,
        waited_long,
        ..
    } = engine::run(scenario, &mut policy, &mut |row| {
        workers.push(row.workers());
        Ok(())
    })
    .map_err(WhatIfError::Rows)?;
    let run = Run {
        workers,
        peak: peak_workers,
        worker_hours: worker_seconds as f64 / HOUR,
        waited: waited_long,
    };
    Ok((run, policy.notes().to_vec()))
}
