//! From the resource to what is known to make sense.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use springtide_proto::ids::{PoolId, TenantId};

use crate::api::{Boost, GoDuration, Promotion, PromotionSpec};
use crate::autoscale::{BoostSize, Occurrence, Recurrence, Schedule, ScheduleError, Terms, Timing};
use crate::fleet::PoolKey;

use super::PromotionError;

/// A promotion that can be planned.
#[derive(Clone, Debug)]
pub(crate) struct Valid {
    pub(crate) pools: Pools,
    pub(crate) terms: Terms,
}

/// Which pools it is for.
#[derive(Clone, Debug)]
pub(crate) enum Pools {
    /// These.
    Named(Vec<PoolKey>),
    /// All that have these labels.
    Labelled(BTreeMap<String, String>),
}

pub(crate) fn validate(promotion: &Promotion) -> Result<Valid, PromotionError> {
    // A field that is added must be looked at here.
    let PromotionSpec {
        pools: _,
        selector: _,
        window: _,
        recur: _,
        boost,
        ready_by,
        ramp,
        cool_down,
        ceiling,
    } = &promotion.spec;
    Ok(Valid {
        pools: pools(&promotion.spec)?,
        terms: Terms {
            schedule: schedule(&promotion.spec)?,
            size: size(boost)?,
            of: boost.of.into(),
            timing: Timing {
                ready_by: ready_by.0,
                ramp: ramp.0,
                hold: cool_down.hold.0,
                step: step(&cool_down.step_percent)?,
            },
            ceiling: *ceiling,
        },
    })
}

fn invalid(message: impl Into<String>) -> PromotionError {
    PromotionError::Invalid(message.into())
}

fn pools(spec: &PromotionSpec) -> Result<Pools, PromotionError> {
    match (&spec.pools, &spec.selector) {
        (Some(references), None) => {
            let keys = references.iter().map(|reference| {
                let tenant = TenantId::parse(reference.tenant.as_str())?;
                let pool = PoolId::parse(reference.pool.as_str())?;
                Ok(PoolKey { tenant, pool })
            });
            keys.collect::<Result<_, springtide_proto::error::ApiError>>()
                .map(Pools::Named)
                .map_err(|error| invalid(error.message))
        }
        (None, Some(selector)) if selector.match_labels.is_empty() => {
            Err(invalid("give at least one label in spec.selector.matchLabels"))
        }
        (None, Some(selector)) => Ok(Pools::Labelled(selector.match_labels.clone())),
        _ => Err(invalid("give exactly one of spec.pools and spec.selector")),
    }
}

fn schedule(spec: &PromotionSpec) -> Result<Schedule, PromotionError> {
    let named = |field: &'static str| move |error: ScheduleError| invalid(format!("{field}: {error}"));
    match (&spec.window, &spec.recur) {
        (Some(window), None) => Occurrence::of_window(&window.start, &window.end, &window.time_zone)
            .map(Schedule::Once)
            .map_err(named("spec.window")),
        (None, Some(recur)) => Recurrence::parse(&recur.cron, signed(recur.duration), &recur.time_zone)
            .map(|recurrence| Schedule::Recurring(Box::new(recurrence)))
            .map_err(named("spec.recur")),
        _ => Err(invalid("give exactly one of spec.window and spec.recur")),
    }
}

fn size(boost: &Boost) -> Result<BoostSize, PromotionError> {
    match (&boost.percent, boost.workers) {
        (Some(percent), None) => match percent.parse::<f64>() {
            Ok(percent) if percent >= 0.0 => Ok(BoostSize::Percent(percent)),
            _ => Err(invalid(format!(
                "spec.boost.percent is {percent:?}; give a decimal such as \"200\""
            ))),
        },
        (None, Some(workers)) => Ok(BoostSize::Workers(workers)),
        _ => Err(invalid(
            "give exactly one of spec.boost.percent and spec.boost.workers",
        )),
    }
}

fn step(percent: &str) -> Result<f64, PromotionError> {
    match percent.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent / 100.0),
        _ => Err(invalid(format!(
            "spec.coolDown.stepPercent is {percent:?}; give a decimal above 0 and at most 100, such as \"20\""
        ))),
    }
}

fn signed(duration: GoDuration) -> SignedDuration {
    SignedDuration::try_from(duration.0).unwrap_or(SignedDuration::MAX)
}
