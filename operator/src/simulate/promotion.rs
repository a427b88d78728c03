//! Promotions in a run: planned by the operator's own code, and looked at as often as its controller looks.
//!
//! - *note*: what a promotion came to in one occurrence, for people.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use super::pool::Pool;
use crate::api::{Promotion, PromotionStatus};
use crate::autoscale::{
    Baseline, BaselineFrom, CreationPace, Moment, Phase, Plan, Planned, PoolNow, PoolShape, Remembered,
    RememberedPool, Sight, SightedPool, TenantRoom, Terms, WindowMaximum, planned,
};
use crate::cli::DEFAULT_CREATIONS_PER_SECOND;
use crate::controllers::promotion::remembered::{remembered, remembered_pool};
use crate::controllers::promotion::validate::{Pools, validate};

/// Baselines look back this far.
const PEAK_SPAN: Duration = Duration::from_hours(1);

/// Why a promotion cannot be simulated.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PromotionError {
    /// For others.
    #[error(
        "the promotion is not for pool {0:?}: spec.pools does not name it, or spec.selector does not match its labels"
    )]
    OtherPool(String),
    /// It does not make sense.
    #[error("{0}")]
    Invalid(String),
    /// The trace has no dates.
    #[error("a promotion needs a trace whose times are dates and times, not numbers")]
    NoInstants,
}

/// What the pool does now.
#[derive(Clone, Debug)]
pub(super) struct Live<'a> {
    pub(super) now: Moment,
    pub(super) time: Timestamp,
    pub(super) load: u32,
    pub(super) ready: u32,
    pub(super) starting: u32,
    /// Time until a new worker answers, which 99 of 100 keep.
    pub(super) start_time: Duration,
    /// How long a conversation lasts on average, where that was measured.
    pub(super) hold_time: Option<Duration>,
    pub(super) baseline: &'a Arc<Baseline>,
    pub(super) shape: PoolShape,
    pub(super) room: &'a TenantRoom,
}

/// What a promotion came to in one occurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) promotion: String,
    pub(crate) start: Timestamp,
    pub(crate) prewarm_at: Timestamp,
    pub(crate) ready_by: Timestamp,
    /// Load that percent counts from, and where that comes from.
    pub(crate) baseline: Option<(u32, BaselineFrom)>,
    pub(crate) wanted: u32,
    /// Of them, those that limits do not allow, and which limit that is.
    pub(crate) shortfall: u32,
    pub(crate) limited_by: Option<&'static str>,
    /// When all that are wanted first answered.
    pub(crate) answered_at: Option<Timestamp>,
}

/// All promotions of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Promotions {
    load: WindowMaximum,
    all: Vec<Known>,
    plans: Vec<Plan>,
    notes: Vec<Note>,
}

#[derive(Clone, Debug)]
struct Known {
    name: String,
    terms: Terms,
    remembered: Remembered,
    pool: Option<RememberedPool>,
    plan: Option<Plan>,
    /// By when it needs workers that do not exist yet, and how many.
    needed: Option<(Timestamp, u32)>,
    /// It is looked at again then.
    next_look: Timestamp,
}

impl Promotions {
    /// Adds one that is for this pool, with what was planned of it before the run.
    pub(super) fn add(
        &mut self,
        promotion: &Promotion,
        pool: &Pool,
        status: Option<&PromotionStatus>,
    ) -> Result<(), PromotionError> {
        let valid = validate(promotion).map_err(|error| PromotionError::Invalid(error.to_string()))?;
        if !is_for(&valid.pools, pool) {
            return Err(PromotionError::OtherPool(pool.name.clone()));
        }
        let tenant = pool.tenant.as_deref().unwrap_or_default();
        self.all.push(Known {
            name: promotion.name_any(),
            terms: valid.terms,
            remembered: status.map(remembered).unwrap_or_default(),
            pool: status.and_then(|status| remembered_pool(status, tenant, &pool.name)),
            plan: None,
            needed: None,
            next_look: Timestamp::MIN,
        });
        Ok(())
    }

    /// There was this load within the hour before the run.
    pub(super) fn loaded(&mut self, now: Moment, load: u32) {
        self.load.push(now, load, PEAK_SPAN);
    }

    /// Names of all.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|known| known.name.as_str())
    }

    /// What they came to, each occurrence once.
    pub(super) fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// What they ask for now.
    pub(super) fn plans(&mut self, live: &Live<'_>) -> &[Plan] {
        if self.all.is_empty() {
            return &[];
        }
        self.load.push(live.now, live.load, PEAK_SPAN);
        let due: Vec<_> = (0..self.all.len())
            .filter(|place| {
                self.all
                    .get(*place)
                    .is_some_and(|known| known.next_look <= live.time)
            })
            .collect();
        for place in &due {
            self.look(*place, live);
        }
        if !due.is_empty() {
            self.plans = self.all.iter().filter_map(|known| known.plan.clone()).collect();
        }
        &self.plans
    }

    fn look(&mut self, place: usize, live: &Live<'_>) {
        let others = self.all.iter().enumerate().filter(|(other, _)| *other != place);
        let others = others.filter_map(|(_, other)| other.needed).collect();
        let peak = self.load.maximum(live.now, PEAK_SPAN).unwrap_or(0);
        let Some(known) = self.all.get_mut(place) else {
            return;
        };
        let planned = planned(&known.terms, &sight(known, live, peak, others));
        let Some(planned) = planned.filter(|planned| planned.phase != Phase::Over) else {
            (known.plan, known.needed, known.next_look) = (None, None, Timestamp::MAX);
            return;
        };
        known.keep(&planned, live.time);
        note(&mut self.notes, &known.name, &planned, live.time);
    }
}

impl Known {
    fn keep(&mut self, planned: &Planned<()>, now: Timestamp) {
        let period = SignedDuration::try_from(planned.period()).unwrap_or(SignedDuration::MAX);
        let again = now.checked_add(period).unwrap_or(Timestamp::MAX);
        self.next_look = planned.next_change(now).map_or(again, |change| change.min(again));
        self.remembered = planned.remember();
        let ahead = planned.ahead().filter(|ahead| ahead.missing > 0);
        self.needed = ahead.map(|ahead| (ahead.span.0, ahead.missing));
        let wish = planned.wishes.first();
        self.plan = wish.and_then(|wish| planned.plan(&self.name, wish));
        self.pool = wish.map(crate::autoscale::Wish::remember);
    }
}

fn is_for(pools: &Pools, pool: &Pool) -> bool {
    match pools {
        Pools::Named(keys) => keys.iter().any(|key| {
            let tenant = pool.tenant.as_ref();
            key.pool.as_str() == pool.name && tenant.is_none_or(|tenant| tenant == key.tenant.as_str())
        }),
        Pools::Labelled(labels) => labels
            .iter()
            .all(|label| pool.labels.get(label.0) == Some(label.1)),
    }
}

/// As the operator's controller sees it: one pool, of a tenant that exists.
fn sight(known: &Known, live: &Live<'_>, peak: u32, others: Vec<(Timestamp, u32)>) -> Sight<()> {
    let pool = SightedPool {
        key: (),
        shape: Some(live.shape),
        live: Some(PoolNow {
            ready: live.ready,
            starting: live.starting,
            start_time: live.start_time,
            hold_time: live.hold_time,
            peak,
            baseline: live.baseline.clone(),
        }),
        settling: false,
        tenant: Some(0),
        remembered: known.pool,
    };
    Sight {
        now: live.time,
        remembered: known.remembered,
        pools: vec![pool],
        short_memory: false,
        creations_per_second: CreationPace::assured(DEFAULT_CREATIONS_PER_SECOND),
        others,
        tenants: vec![live.room.clone()],
    }
}

fn note(notes: &mut Vec<Note>, promotion: &str, planned: &Planned<()>, now: Timestamp) {
    let Some(wish) = planned.wishes.first().filter(|_| planned.phase.holds()) else {
        return;
    };
    let start = planned.course.occurrence.start;
    let known = notes
        .iter()
        .rposition(|note| note.start == start && note.promotion == promotion);
    let place = known.unwrap_or_else(|| {
        notes.push(Note {
            promotion: promotion.to_owned(),
            start,
            prewarm_at: planned.course.prewarm_at,
            ready_by: planned.course.ready_by,
            baseline: wish.baseline,
            wanted: wish.boosted.wanted,
            shortfall: wish.shortfall(),
            limited_by: wish.limited_by(),
            answered_at: None,
        });
        notes.len() - 1
    });
    if let Some(note) = notes.get_mut(place)
        && note.answered_at.is_none()
        && wish.unanswered() == 0
    {
        note.answered_at = Some(now);
    }
}

#[cfg(test)]
mod tests;
