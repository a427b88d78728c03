//! What a promotion asks for now, from what is seen.

use std::ops::Deref;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::api::BotPool;
use crate::autoscale::{self, Planned, PoolNow, PoolShape, Sight, SightedPool, VERIFICATION};
use crate::controllers::live::LivePool;
use crate::controllers::pool::held_to;
use crate::fleet::PoolKey;

use super::PromotionError;
use super::announce::{self, Milestone};
use super::dereference::{Seen, SeenPool};
use super::remembered::{remembered, remembered_pool};
use super::validate::Valid;

/// What starts that do not end count at most: a node that is waited for is there by then, or nobody knows when.
const LONGEST_START: Duration = Duration::from_mins(30);

/// What is asked of one pool.
pub(super) type Wish = autoscale::Wish<PoolKey>;

/// What is asked for now, and what is to be said of it.
#[derive(Debug)]
pub(super) struct Prepared {
    planned: Planned<PoolKey>,
    /// So many more pools match the selector than are taken.
    pub(super) too_many: usize,
    /// To be said now, and remembered in status with what was said before.
    pub(super) due: Vec<Milestone>,
    pub(super) announced: Vec<String>,
    pub(super) next_change: Option<Timestamp>,
}

impl Deref for Prepared {
    type Target = Planned<PoolKey>;

    fn deref(&self) -> &Self::Target {
        &self.planned
    }
}

impl Prepared {
    /// Pools that will be decided in a moment: what is found until then is not worth writing.
    pub(super) fn is_settling(&self) -> bool {
        self.wishes.iter().any(|wish| wish.settling)
    }

    /// Some will answer later than they should.
    pub(super) fn is_late(&self, expected_at: Timestamp) -> bool {
        let tolerance = SignedDuration::try_from(VERIFICATION).unwrap_or(SignedDuration::ZERO);
        expected_at.duration_since(self.course.ready_by) > tolerance
    }
}

pub(super) fn build(valid: &Valid, seen: &Seen) -> Result<Prepared, PromotionError> {
    let now = seen.now;
    let sight = sight(seen);
    let planned = autoscale::planned(&valid.terms, &sight).ok_or_else(|| {
        PromotionError::Invalid("spec.recur: no date is ever named by this cron expression".to_owned())
    })?;
    let occurrence = planned.course.occurrence;
    let announced = if sight.remembered.knows(occurrence) {
        seen.known.announced.clone()
    } else {
        Vec::new()
    };
    let due = announce::due(now, occurrence, &announced);
    let next_said = announce::next(now, occurrence);
    let changes = planned.next_change(now).into_iter().chain(next_said);
    Ok(Prepared {
        next_change: changes.filter(|at| *at > now).min(),
        planned,
        too_many: seen.too_many,
        announced: announced
            .into_iter()
            .chain(due.iter().map(|milestone| milestone.as_str().to_owned()))
            .collect(),
        due,
    })
}

/// What was seen, as plans understand it.
fn sight(seen: &Seen) -> Sight<PoolKey> {
    let pools = seen.pools.iter().map(|pool| sighted(seen, pool));
    Sight {
        now: seen.now,
        remembered: remembered(&seen.known),
        pools: pools.collect(),
        short_memory: seen.short_memory,
        creations_per_second: seen.creations_per_second,
        others: seen.others.clone(),
        tenants: seen.tenants.values().cloned().collect(),
    }
}

fn sighted(seen: &Seen, pool: &SeenPool) -> SightedPool<PoolKey> {
    let SeenPool {
        key,
        object,
        live,
        settling,
    } = pool;
    SightedPool {
        key: key.clone(),
        shape: object.as_deref().map(|object| shape(object, seen.now)),
        live: live.as_ref().map(pool_now),
        settling: *settling,
        tenant: seen.tenants.keys().position(|tenant| *tenant == key.tenant),
        remembered: remembered_pool(&seen.known, key.tenant.as_str(), key.pool.as_str()),
    }
}

fn shape(object: &BotPool, now: Timestamp) -> PoolShape {
    let level = object.policy().map(|policy| policy.service_level);
    PoolShape {
        capacity: object.spec.worker.conversations.max(1),
        level: level.unwrap_or_default(),
        min: object.spec.scaling.min,
        max: object.spec.scaling.max,
        suspended: object.spec.suspend,
        held_to: held_to(object, now),
    }
}

fn pool_now(live: &LivePool) -> PoolNow {
    PoolNow {
        ready: live.ready,
        starting: live.starting,
        // A start that does not end is not measured, but it takes at least as long as it has.
        start_time: live.start_time.max(live.starting_for.min(LONGEST_START)),
        hold_time: live.hold_time,
        peak: live.peak,
        baseline: live.baseline.clone(),
    }
}
