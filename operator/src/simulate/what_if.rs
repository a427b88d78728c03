//! What a promotion would do to a pool whose load stays as it is.
//!
//! - *steady*: a load that stays the same, as many conversations beginning as end.
//! - *limits*: the maximum of the pool or promotion, and what the tenant's limit leaves to the pool.
//!
//! The same run is done three times: without the promotion, with it, and with it but without limits. A run begins an hour
//! before pre-warming may begin, because percentages count from the highest load of an hour.

use std::io;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::engine::{self, Tally};
use super::manifest::{self, ManifestError};
use super::policies::Springtide;
use super::pool::Pool;
use super::promotion::{PromotionError, Promotions};
use super::scenario::{Scenario, Starts};
use super::trace::{Step, Trace};
use super::units::{SECOND, from_seconds};
use crate::api::{BotPool, Promotion};
use crate::autoscale::{Course, Schedule};
use crate::controllers::promotion::validate::validate;

/// Percentages count from the highest load of so long.
const BEFORE: SignedDuration = SignedDuration::from_hours(1);
/// Pre-warming is expected to begin at most this long before all have to answer, if the ramp is no longer.
const LEAD: Duration = Duration::from_mins(10);
/// So long after everything was let go, or less.
const AFTER: SignedDuration = SignedDuration::from_mins(15);
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

/// A load that stays the same, and the pool's surroundings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Steady {
    /// Conversations at once.
    pub(crate) load: f64,
    /// Mean length of a conversation.
    pub(crate) hold_seconds: f64,
    /// Time until a new worker answers.
    pub(crate) start_seconds: f64,
    /// The most that the tenant's limit leaves to the pool.
    pub(crate) tenant_share: u32,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WhatIf {
    /// When the runs begin.
    pub(crate) origin: Timestamp,
    /// The moments of the window, as far as they are known before.
    pub(crate) course: Course,
    /// With the promotion.
    pub(crate) with: Run,
    /// Without it.
    pub(crate) without: Run,
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

/// Reads a promotion, YAML or JSON.
pub(crate) fn read_promotion(text: &str) -> Result<Promotion, ManifestError> {
    manifest::read(text)
}

/// What the promotion would do to the pool in its next window, or in the one that is open, until so many hours after its start.
pub(crate) fn what_if(
    pool: &BotPool,
    promotion: &Promotion,
    steady: &Steady,
    now: Timestamp,
    hours: u32,
) -> Result<WhatIf, WhatIfError> {
    if steady.load > MOST_CONVERSATIONS {
        return Err(WhatIfError::Load(steady.load));
    }
    let pool = Pool {
        tenant_share: steady.tenant_share,
        ..Pool::of(pool)?
    };
    let course = course(promotion, now)?;
    let origin = course.prewarm_at.checked_sub(BEFORE).unwrap_or(Timestamp::MIN);
    let length = length(&course, origin, hours);
    let mut promotions = Promotions::default();
    promotions.add(promotion, &pool, Some(origin))?;
    let maximum = promotion.spec.ceiling.unwrap_or(0).max(pool.policy.max);
    let mut unlimited = pool.clone();
    (unlimited.policy.max, unlimited.tenant_share) = (UNLIMITED, u32::MAX);
    let scenario = scenario(&pool, steady, origin, length);
    let wanted = run(&scenario, &unlimited, promotions.clone())?.peak;
    Ok(WhatIf {
        origin,
        course,
        without: run(&scenario, &pool, Promotions::default())?,
        with: run(&scenario, &pool, promotions)?,
        wanted,
        maximum,
        tenant_share: steady.tenant_share,
    })
}

fn course(promotion: &Promotion, now: Timestamp) -> Result<Course, WhatIfError> {
    let valid = validate(promotion).map_err(|error| PromotionError::Invalid(error.to_string()))?;
    let around = match &valid.schedule {
        Schedule::Once(once) if once.end <= now => return Err(WhatIfError::Over),
        schedule => schedule.around(now),
    };
    let occurrence = around.running.or(around.next).ok_or(WhatIfError::Over)?;
    Ok(Course::new(occurrence, &valid.timing, LEAD, None))
}

fn length(course: &Course, origin: Timestamp, hours: u32) -> SignedDuration {
    let start = course.occurrence.start.duration_since(origin);
    let over = course.over_at.duration_since(origin).saturating_add(AFTER);
    start
        .saturating_add(SignedDuration::from_hours(i64::from(hours)))
        .min(over)
}

fn scenario(pool: &Pool, steady: &Steady, origin: Timestamp, length: SignedDuration) -> Scenario {
    let value = steady.load / steady.hold_seconds;
    Scenario {
        trace: Trace {
            steps: vec![Step { start: 0, value }],
            end: from_seconds(length.as_secs_f64()).max(SECOND),
            origin: Some(origin),
        },
        factor: 1.0,
        hold_seconds: steady.hold_seconds,
        starts: Starts::Constant(from_seconds(steady.start_seconds)),
        capacity: pool.capacity,
        min: pool.policy.min,
        max: pool.policy.max,
        seed: 1,
    }
}

fn run(scenario: &Scenario, pool: &Pool, promotions: Promotions) -> Result<Run, WhatIfError> {
    let mut workers = Vec::new();
    let mut policy = Springtide::new(pool, promotions, scenario.trace.origin);
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
    Ok(Run {
        workers,
        peak: peak_workers,
        worker_hours: worker_seconds as f64 / HOUR,
        waited: waited_long,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pool(max: u32) -> BotPool {
        serde_json::from_value(json!({
            "apiVersion": "springtide.dev/v1alpha1", "kind": "BotPool",
            "metadata": {"name": "web", "namespace": "tenant-acme"},
            "spec": {"worker": {"image": "w", "conversations": 20}, "scaling": {"max": max}}
        }))
        .unwrap()
    }

    fn promotion() -> Promotion {
        read_promotion(
            "{apiVersion: springtide.dev/v1alpha1, kind: Promotion, metadata: {name: flash}, spec: {pools: [{tenant: acme, \
             pool: web}], window: {start: '2026-11-10T20:00', end: '2026-11-10T21:00', timeZone: UTC}, \
             boost: {workers: 30}}}",
        )
        .unwrap()
    }

    fn asked(max: u32, tenant_share: u32) -> WhatIf {
        let steady = Steady {
            load: 100.0,
            hold_seconds: 180.0,
            start_seconds: 8.0,
            tenant_share,
        };
        let now = "2026-11-10T12:00:00Z".parse().unwrap();
        what_if(&pool(max), &promotion(), &steady, now, 4).unwrap()
    }

    #[test]
    fn the_promotion_holds_its_workers_and_costs_their_hours() {
        let free = asked(100, u32::MAX);
        assert_eq!((free.with.peak, free.wanted), (30, 30));
        assert!(free.without.peak < 12, "{}", free.without.peak);
        assert!(free.with.worker_hours > free.without.worker_hours + 30.0);
        assert_eq!(free.with.waited, 0);
        let at = |text: &str| {
            let since = text.parse::<Timestamp>().unwrap().duration_since(free.origin);
            free.with.workers[usize::try_from(since.as_secs()).unwrap()]
        };
        assert_eq!(at("2026-11-10T19:30:00Z"), 30, "half an hour before the start");
        assert_eq!(at("2026-11-10T20:59:59Z"), 30);
        assert!(at("2026-11-10T21:10:00Z") < 12, "it is let go");
    }

    #[test]
    fn limits_cut_what_is_held_and_not_what_is_wanted() {
        let (by_maximum, by_tenant) = (asked(20, u32::MAX), asked(100, 15));
        assert_eq!((by_maximum.with.peak, by_maximum.wanted), (20, 30));
        assert_eq!((by_tenant.with.peak, by_tenant.wanted), (15, 30));
    }

    #[test]
    fn a_window_that_lies_behind_is_no_question() {
        let steady = Steady {
            load: 0.0,
            hold_seconds: 180.0,
            start_seconds: 8.0,
            tenant_share: 9,
        };
        let late = "2026-11-10T21:00:00Z".parse().unwrap();
        let asked = what_if(&pool(9), &promotion(), &steady, late, 4);
        assert!(matches!(asked, Err(WhatIfError::Over)));
    }
}
