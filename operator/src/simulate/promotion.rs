//! Promotions in a run: as the operator's controller of promotions holds them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use super::pool::Pool;
use crate::api::Promotion;
use crate::autoscale::{
    Around, Course, Creations, Missing, Occurrence, Phase, Plan, Schedule, ServiceLevel, Staffing,
    WindowMaximum, lead,
};
use crate::controllers::promotion::validate::{Pools, Valid, validate};

/// Baselines look back this far.
const PEAK_SPAN: Duration = Duration::from_hours(1);

/// As many as an installation with the default pace assures, and nobody else needs any.
const UNHURRIED: Creations = Creations {
    per_second: 12.5,
    for_others: 0,
};

/// Why a promotion cannot be simulated.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PromotionError {
    /// For others.
    #[error("the promotion is not for pool {0:?}: spec.pools does not name it")]
    OtherPool(String),
    /// It does not make sense.
    #[error("{0}")]
    Invalid(String),
    /// The trace has no dates.
    #[error("a promotion needs a trace whose times are dates and times, not numbers")]
    NoInstants,
}

/// What the pool does now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Live {
    pub(super) now: Duration,
    pub(super) load: u32,
    pub(super) have: u32,
    pub(super) capacity: u32,
    pub(super) start_time: Duration,
    pub(super) level: ServiceLevel,
    /// How long a conversation lasts on average, where that was measured.
    pub(super) hold_time: Option<Duration>,
}

/// All promotions of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Promotions {
    origin: Timestamp,
    load: WindowMaximum,
    all: Vec<Known>,
}

#[derive(Clone, Debug)]
struct Known {
    name: String,
    valid: Valid,
    /// The occurrence whose pre-warming began, when that was, and the load that percent counts from.
    begun: Option<(Occurrence, Timestamp, u32)>,
}

impl Promotions {
    /// Adds one that is for this pool, in a run that begins at `origin`.
    pub(super) fn add(
        &mut self,
        promotion: &Promotion,
        pool: &Pool,
        origin: Option<Timestamp>,
    ) -> Result<(), PromotionError> {
        let valid = validate(promotion).map_err(|error| PromotionError::Invalid(error.to_string()))?;
        let is_ours = match &valid.pools {
            Pools::Named(keys) => keys.iter().any(|key| {
                let tenant = pool.tenant.as_ref();
                key.pool.as_str() == pool.name && tenant.is_none_or(|tenant| tenant == key.tenant.as_str())
            }),
            Pools::Labelled(labels) => labels
                .iter()
                .all(|label| pool.labels.get(label.0) == Some(label.1)),
        };
        if !is_ours {
            return Err(PromotionError::OtherPool(pool.name.clone()));
        }
        self.origin = origin.ok_or(PromotionError::NoInstants)?;
        self.all.push(Known {
            name: promotion.name_any(),
            valid,
            begun: None,
        });
        Ok(())
    }

    /// What they ask for now.
    pub(super) fn plans(&mut self, live: Live) -> Vec<Plan> {
        if self.all.is_empty() {
            return Vec::new();
        }
        self.load.push(live.now, live.load, PEAK_SPAN);
        let peak = self.load.maximum(live.now, PEAK_SPAN).unwrap_or(0);
        let since = SignedDuration::try_from(live.now).unwrap_or(SignedDuration::MAX);
        let now = self.origin.checked_add(since).unwrap_or(Timestamp::MAX);
        let plans = self.all.iter_mut().map(|known| known.plan(now, peak, live));
        plans.flatten().collect()
    }
}

impl Known {
    fn plan(&mut self, now: Timestamp, peak: u32, live: Live) -> Option<Plan> {
        // One that was held cools down after its end; then the next one counts.
        if let Some((occurrence, at, baseline)) = self.begun {
            let plan = self.held(now, baseline, live, occurrence, Some(at));
            if plan.is_some() {
                return plan;
            }
            self.begun = None;
        }
        let Around { running, next } = match &self.valid.schedule {
            Schedule::Once(once) if once.end <= now => return None,
            schedule => schedule.around(now),
        };
        let occurrence = running.or(next)?;
        let plan = self.held(now, peak, live, occurrence, None)?;
        self.begun = Some((occurrence, now, peak));
        Some(plan)
    }

    /// What is held for an occurrence, once its pre-warming has begun.
    fn held(
        &self,
        now: Timestamp,
        baseline: u32,
        live: Live,
        occurrence: Occurrence,
        begun: Option<Timestamp>,
    ) -> Option<Plan> {
        let staffing = Staffing::new(live.capacity, live.level, live.hold_time);
        let boosted = self.valid.size.over(baseline, &staffing);
        let missing = Missing {
            workers: boosted.wanted.saturating_sub(live.have),
            ready: live.have,
            start_time: live.start_time,
        };
        let course = Course::new(occurrence, &self.valid.timing, lead(&[missing], UNHURRIED), begun);
        let phase = course.phase(now);
        phase.holds().then(|| Plan {
            promotion: self.name.clone(),
            floor: course.floor(now, boosted),
            ceiling: self.valid.ceiling,
            keeps: course.keeps(now),
            open: phase == Phase::Open,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest;
    use super::*;

    const PROMOTION: &str = r#"
apiVersion: springtide.dev/v1alpha1
kind: Promotion
metadata: {name: double-11}
spec:
  pools: [{tenant: acme, pool: web}]
  window: {start: "2026-11-10T20:00", end: "2026-11-10T21:00", timeZone: UTC}
  boost: {percent: "200"}
  readyBy: 10m
"#;

    fn pool(name: &str) -> Pool {
        let text = format!(
            "{{apiVersion: springtide.dev/v1alpha1, kind: BotPool, metadata: {{name: {name}, namespace: tenant-acme}}, \
             spec: {{worker: {{image: w, conversations: 20}}, scaling: {{max: 9}}}}}}"
        );
        Pool::parse(&text).unwrap()
    }

    fn origin() -> Option<Timestamp> {
        "2026-11-10T18:00:00Z".parse().ok()
    }

    #[test]
    fn a_promotion_holds_three_times_the_load_of_the_hour_before_from_ready_by_to_the_end() {
        let mut promotions = Promotions::default();
        let promotion = manifest::read(PROMOTION).unwrap();
        promotions.add(&promotion, &pool("web"), origin()).unwrap();
        let mut floors = Vec::new();
        for minute in 0..200 {
            let plans = promotions.plans(Live {
                now: Duration::from_mins(minute),
                load: if minute == 80 { 100 } else { 40 },
                have: 5,
                capacity: 20,
                start_time: Duration::from_secs(8),
                level: ServiceLevel::default(),
                hold_time: None,
            });
            floors.extend(plans.iter().map(|plan| (minute, plan.floor)));
        }
        // Three times 100 conversations are 15 full workers, and 18 that keep the service level.
        let held: Vec<_> = floors
            .iter()
            .filter(|(_, floor)| *floor == 18)
            .map(|(minute, _)| *minute)
            .collect();
        assert_eq!(
            held,
            (110..=180).collect::<Vec<_>>(),
            "from ten minutes before to the end"
        );
        let (rising, falling) = (floors.iter().take(10), floors.iter().rev().take(4).rev());
        assert!(rising.map(|(_, floor)| floor).is_sorted());
        assert!(falling.map(|(_, floor)| floor).rev().is_sorted());
        assert_eq!(
            floors.len(),
            10 + 71 + 4,
            "the ramp, all of it, and four steps down"
        );
    }

    #[test]
    fn a_promotion_is_for_this_pool_and_for_a_trace_with_dates() {
        let promotion = manifest::read(PROMOTION).unwrap();
        let add = |pool: &Pool, origin| Promotions::default().add(&promotion, pool, origin);
        assert_eq!(
            add(&pool("other"), origin()),
            Err(PromotionError::OtherPool("other".to_owned()))
        );
        assert_eq!(add(&pool("web"), None), Err(PromotionError::NoInstants));
    }
}
