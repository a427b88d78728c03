//! Promotions in a run: as the operator's controller of promotions holds them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use super::pool::Pool;
use crate::api::Promotion;
use crate::autoscale::{BoostSize, LocalWindow, Phase, Plan, WindowMaximum, prewarm_lead};

/// Baselines look back this far.
const PEAK_SPAN: Duration = Duration::from_hours(1);

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
    window: LocalWindow,
    size: BoostSize,
    ready_by: Duration,
    ceiling: Option<u32>,
    /// When pre-warming began, and the load that percent counts from.
    begun: Option<(Timestamp, u32)>,
}

impl Promotions {
    /// Adds one that is for this pool, in a run that begins at `origin`.
    pub(super) fn add(
        &mut self,
        promotion: &Promotion,
        pool: &Pool,
        origin: Option<Timestamp>,
    ) -> Result<(), PromotionError> {
        let is_ours = |reference: &crate::api::PoolReference| {
            let tenant = pool.tenant.as_ref();
            reference.pool == pool.name && tenant.is_none_or(|tenant| *tenant == reference.tenant)
        };
        let spec = &promotion.spec;
        if !spec.pools.iter().any(is_ours) {
            return Err(PromotionError::OtherPool(pool.name.clone()));
        }
        self.origin = origin.ok_or(PromotionError::NoInstants)?;
        let window = LocalWindow::parse(&spec.window.start, &spec.window.end, &spec.window.time_zone)
            .map_err(|error| PromotionError::Invalid(format!("spec.window: {error}")))?;
        self.all.push(Known {
            name: promotion.name_any(),
            window,
            size: size(promotion)?,
            ready_by: spec.ready_by.0,
            ceiling: spec.ceiling,
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
        let baseline = self.begun.map_or(peak, |(_, baseline)| baseline);
        let wanted = self.size.wanted(baseline, live.capacity);
        let missing = wanted.saturating_sub(live.have);
        let lead = prewarm_lead(self.ready_by, live.start_time, missing);
        let planned = self.window.start.checked_sub(lead).unwrap_or(Timestamp::MIN);
        let prewarm_at = self.begun.map_or(planned, |(at, _)| at);
        let phase = Phase::at(now, prewarm_at, &self.window);
        if phase != Phase::Waiting {
            self.begun.get_or_insert((prewarm_at, baseline));
        }
        phase.holds().then(|| Plan {
            promotion: self.name.clone(),
            floor: wanted,
            ceiling: self.ceiling,
        })
    }
}

fn size(promotion: &Promotion) -> Result<BoostSize, PromotionError> {
    let boost = &promotion.spec.boost;
    match (&boost.percent, boost.workers) {
        (Some(percent), None) => percent
            .parse::<f64>()
            .ok()
            .filter(|percent| *percent >= 0.0 && percent.is_finite())
            .map(BoostSize::Percent)
            .ok_or_else(|| {
                let message = format!("spec.boost.percent is {percent:?}; give a decimal such as \"200\"");
                PromotionError::Invalid(message)
            }),
        (None, Some(workers)) => Ok(BoostSize::Workers(workers)),
        _ => Err(PromotionError::Invalid(
            "give exactly one of spec.boost.percent and spec.boost.workers".to_owned(),
        )),
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
    fn a_promotion_holds_three_times_the_load_of_the_hour_before_from_prewarming_to_the_end() {
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
            });
            floors.extend(plans.iter().map(|plan| (minute, plan.floor)));
        }
        // 15 workers instead of 5: two seconds of creation, two starts and ten seconds more than ten minutes before 20:00.
        let expected: Vec<_> = (110..180).map(|minute| (minute, 15)).collect();
        assert_eq!(floors, expected);
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
