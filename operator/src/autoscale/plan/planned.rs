//! What a promotion asks for now: the occurrence that matters, and what is asked of each pool for it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::super::occurrence::{Around, Occurrence, Schedule};
use super::wish::{self, Remembered, Sight, Terms, Wish};
use super::{Course, Creations, Phase, Plan, lead, lead_of};

/// While it holds, it is planned anew this often; before, at least twice a minute.
const HOLDING: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(30);
/// A time at which all are expected to answer is another only if it moves by more than this.
const STEADY: SignedDuration = SignedDuration::from_secs(15);

/// What is asked for now.
#[derive(Clone, Debug)]
pub struct Planned<K> {
    /// The moments of the occurrence that is on, being pre-warmed or cooling down, or else of the next.
    pub course: Course,
    /// Where it stands.
    pub phase: Phase,
    /// What is asked of each pool, in the order in which they were seen.
    pub wishes: Vec<Wish<K>>,
    /// When pre-warming of the occurrence after it begins, if there is one.
    pub next_prewarm_at: Option<Timestamp>,
    keeps: bool,
    ceiling: Option<u32>,
}

impl<K> Planned<K> {
    /// For the pools' decisions.
    pub fn plan(&self, promotion: &str, wish: &Wish<K>) -> Option<Plan> {
        self.phase.holds().then(|| Plan {
            promotion: promotion.to_owned(),
            floor: wish.floor,
            ceiling: self.ceiling,
            keeps: self.keeps,
            open: self.phase == Phase::Open,
        })
    }

    /// What others must leave to it, while it is not over.
    pub fn ahead(&self) -> Option<Ahead<K>>
    where
        K: Clone,
    {
        let ahead = matches!(self.phase, Phase::Waiting | Phase::Prewarming | Phase::Open);
        let missing = self.wishes.iter().map(|wish| wish.missing().workers);
        let wanted = self.wishes.iter();
        let wanted = wanted.map(|wish| (wish.key.clone(), wish.boosted.wanted.min(wish.allowed)));
        ahead.then(|| Ahead {
            span: (self.course.ready_by, self.course.falls_at),
            missing: missing.fold(0, u32::saturating_add),
            wanted: wanted.collect(),
        })
    }

    /// It is planned anew at least this often.
    pub fn period(&self) -> Duration {
        if self.phase.holds() { HOLDING } else { IDLE }
    }

    /// When time alone next changes what is asked for.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let Course {
            occurrence,
            prewarm_at,
            full_at,
            ready_by,
            falls_at,
            over_at,
            ..
        } = self.course;
        [
            prewarm_at,
            full_at,
            ready_by,
            occurrence.start,
            occurrence.end,
            falls_at,
            over_at,
        ]
        .into_iter()
        .chain(self.next_prewarm_at)
        .filter(|at| *at > now)
        .min()
    }

    /// What must be remembered of it; of each pool, [`Wish::remember`].
    pub fn remember(&self) -> Remembered {
        Remembered {
            start: Some(self.course.occurrence.start),
            phase: Some(self.phase),
            prewarm_at: Some(self.course.prewarm_at),
        }
    }
}

/// What a promotion is going to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ahead<K> {
    /// By when, and until when.
    pub span: (Timestamp, Timestamp),
    /// Workers that do not exist yet, over all its pools.
    pub missing: u32,
    /// Workers of each pool, as far as limits allow.
    pub wanted: Vec<(K, u32)>,
}

/// Plans a promotion by what is seen now; none if it never is.
pub fn planned<K: Clone>(terms: &Terms, sight: &Sight<K>) -> Option<Planned<K>> {
    let (focus, next) = focus(terms, sight)?;
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
    Some(Planned {
        keeps: course.keeps(sight.now) || prewarmed.is_some(),
        course,
        phase,
        wishes,
        next_prewarm_at: next.as_ref().map(|next| next.course.prewarm_at),
        ceiling: terms.ceiling,
    })
}

/// One occurrence, as it would be served now.
struct Assessed<K> {
    course: Course,
    phase: Phase,
    wishes: Vec<Wish<K>>,
}

/// The occurrence that matters most now, and the one after it.
fn focus<K: Clone>(terms: &Terms, sight: &Sight<K>) -> Option<(Assessed<K>, Option<Assessed<K>>)> {
    let Around { running, next } = terms.schedule.around(sight.now);
    let next = next.map(|next| assess(terms, sight, next));
    if let Some(running) = running {
        return Some((assess(terms, sight, running), next));
    }
    match (next, last(terms, sight)) {
        (Some(next), _) if next.phase == Phase::Prewarming => Some((next, None)),
        (next, Some(last)) if last.phase == Phase::CoolingDown => Some((last, next)),
        (Some(next), _) => Some((next, None)),
        (None, last) => Some((last?, None)),
    }
}

/// The occurrence that ended last, if anything remembers it.
fn last<K: Clone>(terms: &Terms, sight: &Sight<K>) -> Option<Assessed<K>> {
    let ended = match &terms.schedule {
        Schedule::Once(once) => Some(*once),
        Schedule::Recurring(_) => {
            let start = sight.remembered.start;
            start.and_then(|start| terms.schedule.starting_at(start))
        }
    };
    ended
        .filter(|ended| ended.end <= sight.now)
        .map(|ended| assess(terms, sight, ended))
}

fn assess<K: Clone>(terms: &Terms, sight: &Sight<K>, occurrence: Occurrence) -> Assessed<K> {
    let remembered = &sight.remembered;
    // Workers are, or were, held for this occurrence.
    let begun = remembered.knows(occurrence) && remembered.was_held();
    let began = remembered.prewarm_at.filter(|_| begun);
    let pools = sight.pools.iter();
    let mut wishes: Vec<_> = pools
        .map(|pool| wish::draft(terms, sight, pool, occurrence, begun))
        .collect();
    wish::allow(terms, sight, occurrence, &mut wishes);
    let missing: Vec<_> = wishes.iter().map(Wish::missing).collect();
    let creations = creations(terms, sight, occurrence);
    let course = Course::new(occurrence, &terms.timing, lead(&missing, creations), began);
    let phase = match course.phase(sight.now) {
        // What was never held does not cool down.
        Phase::CoolingDown if !begun => Phase::Over,
        phase => phase,
    };
    for (place, (wish, own)) in wishes.iter_mut().zip(&missing).enumerate() {
        wish.floor = floor(sight, place, &course, phase, wish);
        wish.expected_at = match phase {
            Phase::Waiting | Phase::Prewarming | Phase::Open => {
                let lead = lead_of(*own, &missing, creations);
                expected_at(sight, place, &course, wish, lead)
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
fn creations<K>(terms: &Terms, sight: &Sight<K>, occurrence: Occurrence) -> Creations {
    let ready_by = terms.timing.ready_by(occurrence);
    let others = sight.others.iter().filter(|(by, _)| *by <= ready_by);
    Creations {
        per_second: sight.creations_per_second,
        for_others: others.fold(0, |sum: u32, (_, missing)| sum.saturating_add(*missing)),
    }
}

/// Workers held now. While it is being pre-warmed that never falls: not when starts turn out faster, not with a new leader.
fn floor<K>(sight: &Sight<K>, place: usize, course: &Course, phase: Phase, wish: &Wish<K>) -> u32 {
    if !phase.holds() {
        return 0;
    }
    let planned = course.floor(sight.now, wish.boosted);
    let known = sight.pools.get(place).and_then(|pool| pool.remembered);
    let held = known
        .filter(|_| phase == Phase::Prewarming && sight.remembered.was_held())
        .map_or(0, |known| known.floor.min(wish.boosted.wanted));
    planned.max(held)
}

/// By when all answer: as planned, or as soon as can be.
fn expected_at<K>(
    sight: &Sight<K>,
    place: usize,
    course: &Course,
    wish: &Wish<K>,
    lead: Duration,
) -> Option<Timestamp> {
    if wish.ready >= wish.boosted.wanted || wish.shortfall() > 0 {
        return None;
    }
    let lead = SignedDuration::try_from(lead).unwrap_or(SignedDuration::MAX);
    let soonest = sight.now.checked_add(lead).unwrap_or(Timestamp::MAX);
    if soonest <= course.ready_by {
        return Some(course.ready_by);
    }
    let known = sight.pools.get(place).and_then(|pool| pool.remembered);
    let steady = known
        .and_then(|known| known.expected_at)
        .filter(|known| *known > sight.now && soonest.duration_since(*known).abs() <= STEADY);
    Some(steady.unwrap_or_else(|| whole_seconds(soonest)))
}

fn whole_seconds(instant: Timestamp) -> Timestamp {
    Timestamp::from_second(instant.as_second()).unwrap_or(instant)
}
