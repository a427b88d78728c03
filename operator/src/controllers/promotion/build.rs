//! What a promotion asks for now.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::api::PromotionPoolStatus;
use crate::autoscale::{
    Around, Course, Creations, Occurrence, Phase, Plan, Schedule, VERIFICATION, lead, lead_of,
};
use crate::controllers::conditions::whole_seconds;
use crate::fleet::PoolKey;

use super::PromotionError;
use super::announce::{self, Milestone};
use super::dereference::Seen;
use super::validate::Valid;
use super::wish::{Wish, draft};

/// A time at which all are expected to answer is written anew only if it moves by more than this.
const STEADY: SignedDuration = SignedDuration::from_secs(15);

/// What is asked for now.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The moments of the occurrence that is on, being pre-warmed or cooling down, or else of the next.
    pub(super) course: Course,
    pub(super) phase: Phase,
    pub(super) wishes: Vec<Wish>,
    /// So many more pools match the selector than are taken.
    pub(super) too_many: usize,
    /// To be said now, and remembered in status with what was said before.
    pub(super) due: Vec<Milestone>,
    pub(super) announced: Vec<String>,
    pub(super) next_change: Option<Timestamp>,
    keeps: bool,
    ceiling: Option<u32>,
}

impl Prepared {
    /// For the pools' decisions.
    pub(super) fn plan(&self, promotion: &str, wish: &Wish) -> Option<Plan> {
        self.phase.holds().then(|| Plan {
            promotion: promotion.to_owned(),
            floor: wish.floor,
            ceiling: self.ceiling,
            keeps: self.keeps,
            open: self.phase == Phase::Open,
        })
    }

    /// By when workers are needed that do not exist yet, and how many those are.
    pub(super) fn needed(&self) -> Option<(Timestamp, u32)> {
        let ahead = matches!(self.phase, Phase::Waiting | Phase::Prewarming | Phase::Open);
        let missing = self.wishes.iter().map(|wish| wish.missing().workers);
        let missing = missing.fold(0, u32::saturating_add);
        (ahead && missing > 0).then_some((self.course.ready_by, missing))
    }

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
    let (focus, next) = focus(valid, seen)?;
    let Assessed {
        course,
        phase,
        mut wishes,
    } = focus;
    // The next occurrence may have to be pre-warmed while one is still on.
    let prewarmed = next.as_ref().filter(|next| next.phase == Phase::Prewarming);
    if let Some(next) = prewarmed {
        for (wish, next) in wishes.iter_mut().zip(&next.wishes) {
            wish.floor = wish.floor.max(next.floor);
        }
    }
    let announced = if is_known(seen, course.occurrence) {
        seen.known.announced.clone()
    } else {
        Vec::new()
    };
    let due = announce::due(now, course.occurrence, &announced);
    let Course {
        occurrence,
        prewarm_at,
        full_at,
        ready_by,
        falls_at,
        over_at,
        ..
    } = course;
    let changes = [
        prewarm_at,
        full_at,
        ready_by,
        occurrence.start,
        occurrence.end,
        falls_at,
        over_at,
    ]
    .into_iter()
    .chain(next.as_ref().map(|next| next.course.prewarm_at))
    .chain(announce::next(now, occurrence));
    Ok(Prepared {
        course,
        phase,
        wishes,
        too_many: seen.too_many,
        announced: announced
            .into_iter()
            .chain(due.iter().map(|milestone| milestone.as_str().to_owned()))
            .collect(),
        due,
        next_change: changes.filter(|at| *at > now).min(),
        keeps: course.keeps(now) || prewarmed.is_some(),
        ceiling: valid.ceiling,
    })
}

/// One occurrence, as it would be served now.
#[derive(Debug)]
struct Assessed {
    course: Course,
    phase: Phase,
    wishes: Vec<Wish>,
}

/// The occurrence that matters most now, and the one after it.
fn focus(valid: &Valid, seen: &Seen) -> Result<(Assessed, Option<Assessed>), PromotionError> {
    let Around { running, next } = valid.schedule.around(seen.now);
    let next = next.map(|next| assess(valid, seen, next));
    if let Some(running) = running {
        return Ok((assess(valid, seen, running), next));
    }
    match (next, last(valid, seen)) {
        (Some(next), _) if next.phase == Phase::Prewarming => Ok((next, None)),
        (next, Some(last)) if last.phase == Phase::CoolingDown => Ok((last, next)),
        (Some(next), _) => Ok((next, None)),
        (None, Some(last)) => Ok((last, None)),
        (None, None) => Err(PromotionError::Invalid(
            "spec.recur: no date is ever named by this cron expression".to_owned(),
        )),
    }
}

/// The occurrence that ended last, if anything remembers it.
fn last(valid: &Valid, seen: &Seen) -> Option<Assessed> {
    let remembered = seen.known.start.as_ref().map(|start| start.0);
    let ended = match &valid.schedule {
        Schedule::Once(once) => Some(*once),
        Schedule::Recurring(_) => remembered.and_then(|start| valid.schedule.starting_at(start)),
    };
    ended
        .filter(|ended| ended.end <= seen.now)
        .map(|ended| assess(valid, seen, ended))
}

/// Workers are, or were, held for this occurrence.
fn is_begun(seen: &Seen, occurrence: Occurrence) -> bool {
    is_known(seen, occurrence) && was_held(seen)
}

/// Status speaks of this occurrence.
fn is_known(seen: &Seen, occurrence: Occurrence) -> bool {
    seen.known
        .start
        .as_ref()
        .is_some_and(|start| start.0 == occurrence.start)
}

/// Workers are held for the occurrence of which status speaks.
pub(super) fn was_held(seen: &Seen) -> bool {
    let held = [Phase::Prewarming, Phase::Open, Phase::CoolingDown];
    held.iter().any(|phase| phase.as_str() == seen.known.phase)
}

pub(super) fn known_pool<'a>(seen: &'a Seen, key: &PoolKey) -> Option<&'a PromotionPoolStatus> {
    let same =
        |pool: &&PromotionPoolStatus| pool.tenant == key.tenant.as_str() && pool.pool == key.pool.as_str();
    seen.known.pools.iter().find(same)
}

fn assess(valid: &Valid, seen: &Seen, occurrence: Occurrence) -> Assessed {
    let begun = is_begun(seen, occurrence);
    let began = seen.known.prewarm_at.as_ref().map(|at| at.0).filter(|_| begun);
    let mut wishes: Vec<_> = seen
        .pools
        .iter()
        .map(|pool| draft(valid, seen, pool, occurrence, begun))
        .collect();
    super::wish::allow(valid, seen, &mut wishes);
    let missing: Vec<_> = wishes.iter().map(Wish::missing).collect();
    let creations = creations(valid, seen, occurrence);
    let course = Course::new(occurrence, &valid.timing, lead(&missing, creations), began);
    let phase = match course.phase(seen.now) {
        // What was never held does not cool down.
        Phase::CoolingDown if !begun => Phase::Over,
        phase => phase,
    };
    for (wish, own) in wishes.iter_mut().zip(&missing) {
        wish.floor = floor(seen, &course, phase, wish);
        wish.expected_at = match phase {
            Phase::Waiting | Phase::Prewarming | Phase::Open => {
                expected_at(seen, &course, wish, lead_of(*own, &missing, creations))
            }
            Phase::CoolingDown | Phase::Over => None,
        };
    }
    Assessed {
        course,
        phase,
        wishes,
    }
}

/// How fast workers come for it, beside other promotions that need theirs no later.
fn creations(valid: &Valid, seen: &Seen, occurrence: Occurrence) -> Creations {
    let ready_by = valid.timing.ready_by(occurrence);
    let others = seen.others.iter().filter(|(by, _)| *by <= ready_by);
    Creations {
        per_second: seen.creations_per_second,
        for_others: others.fold(0, |sum: u32, (_, missing)| sum.saturating_add(*missing)),
    }
}

/// Workers held now. While it is being pre-warmed that never falls: not when starts turn out faster, not with a new leader.
fn floor(seen: &Seen, course: &Course, phase: Phase, wish: &Wish) -> u32 {
    if !phase.holds() {
        return 0;
    }
    let planned = course.floor(seen.now, wish.boosted);
    let held = known_pool(seen, &wish.key)
        .filter(|_| phase == Phase::Prewarming && was_held(seen))
        .map_or(0, |known| known.floor.min(wish.boosted.wanted));
    planned.max(held)
}

/// By when all answer: as planned, or as soon as can be.
fn expected_at(seen: &Seen, course: &Course, wish: &Wish, lead: Duration) -> Option<Timestamp> {
    if wish.ready >= wish.boosted.wanted || wish.shortfall() > 0 {
        return None;
    }
    let lead = SignedDuration::try_from(lead).unwrap_or(SignedDuration::MAX);
    let soonest = seen.now.checked_add(lead).unwrap_or(Timestamp::MAX);
    if soonest <= course.ready_by {
        return Some(course.ready_by);
    }
    let known = known_pool(seen, &wish.key).and_then(|known| known.expected_at.as_ref());
    let steady = known
        .map(|known| known.0)
        .filter(|known| *known > seen.now && soonest.duration_since(*known).abs() <= STEADY);
    Some(steady.unwrap_or_else(|| whole_seconds(soonest)))
}
