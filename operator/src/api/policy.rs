//! What a pool's owner asked for, as the decision understands it.

use crate::autoscale::{Policy, ServiceLevel};

use super::BotPool;

impl BotPool {
    /// What its owner asked for; an error says what to change.
    pub fn policy(&self) -> Result<Policy, String> {
        let scaling = &self.spec.scaling;
        let share = decimal(&scaling.service_level.share).filter(|share| *share > 0.0 && *share < 1.0);
        let percent = decimal(&scaling.headroom.percent).filter(|percent| *percent >= 0.0);
        Ok(Policy {
            capacity: self.spec.worker.conversations.max(1),
            min: scaling.min,
            max: scaling.max,
            headroom_workers: scaling.headroom.workers,
            headroom_percent: percent.ok_or_else(|| {
                format!(
                    "scaling.headroom.percent is {:?}; give a decimal such as \"10\"",
                    scaling.headroom.percent
                )
            })?,
            service_level: ServiceLevel {
                share: share.ok_or_else(|| {
                    format!(
                        "scaling.serviceLevel.share is {:?}; give a decimal above 0 and below 1 such as \"0.999\"",
                        scaling.service_level.share
                    )
                })?,
                within: scaling.service_level.within.0,
            },
            down_window: scaling.down_window.0,
            max_down_percent_per_minute: scaling.max_down_percent_per_minute,
            suspended: self.spec.suspend,
        })
    }
}

fn decimal(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}
