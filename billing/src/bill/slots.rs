//! Quarters of an hour that a plan prices alike. Pure.
//!
//! Rating asks of the time of usage only which part of the period and which surcharges it falls in. Quarters of an hour for
//! which both are the same are one *class*: their usage may be added up before it is rated, so that a month of a tenant is
//! a handful of sums instead of thousands of buckets. Neighbours of one class are a *run*.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::rating::period::{BUCKET_SECONDS, Bounds};
use crate::rating::plan::RatePlan;

/// Seconds of a quarter of an hour, to count with.
const QUARTER: usize = 900;

/// The classes of a period's quarters of an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    first_second: i64,
    end_second: i64,
    classes: Vec<i32>,
    /// The first quarter of an hour of each class.
    firsts: Vec<Timestamp>,
}

/// Neighbouring quarters of an hour of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// When the first begins.
    pub first_second: i64,
    /// When the last ends.
    pub end_second: i64,
    /// Theirs.
    pub class: i32,
}

impl Slots {
    /// The classes of `period`, whose parts are priced by these plans.
    pub fn of(period: Bounds, parts: &[(&RatePlan, Bounds)]) -> Self {
        let start = period.start.as_second();
        let first_second = start - start.rem_euclid(BUCKET_SECONDS);
        let end_second = period.end.as_second();
        let mut known = BTreeMap::new();
        let (mut classes, mut firsts) = (Vec::new(), Vec::new());
        let mut second = first_second;
        while second < end_second {
            // Within the period, which is within what instants reach.
            let at = Timestamp::from_second(second).unwrap_or(period.start);
            let priced: Vec<_> = parts
                .iter()
                .map(|(plan, bounds)| bounds.contain(at).then(|| surcharges_at(plan, at)))
                .collect();
            let class = *known.entry(priced).or_insert_with(|| {
                firsts.push(at);
                firsts.len() - 1
            });
            classes.push(i32::try_from(class).unwrap_or(i32::MAX));
            second += BUCKET_SECONDS;
        }
        Self {
            first_second,
            end_second,
            classes,
            firsts,
        }
    }

    /// Each from one of these instants, which come in the order of time, to the next is a class; the last goes on until `end`.
    pub fn between(starts: &[Timestamp], end: Timestamp) -> Self {
        let first = starts.first().copied().unwrap_or(end);
        let start = first.as_second();
        let first_second = start - start.rem_euclid(BUCKET_SECONDS);
        let end_second = end.as_second();
        let seconds = (first_second..end_second).step_by(QUARTER);
        let class_of = |second: i64| {
            let class = starts
                .partition_point(|start| start.as_second() <= second)
                .saturating_sub(1);
            i32::try_from(class).unwrap_or(i32::MAX)
        };
        Self {
            first_second,
            end_second,
            classes: seconds.map(class_of).collect(),
            firsts: starts.to_vec(),
        }
    }

    /// Seconds of the first quarter of an hour, and of the end.
    pub fn range(&self) -> (i64, i64) {
        (self.first_second, self.end_second)
    }

    /// All of them, in order.
    pub fn runs(&self) -> Vec<Run> {
        let mut first_second = self.first_second;
        let alike = self.classes.chunk_by(|one, next| one == next);
        let runs = alike.map(|alike| {
            // Quarters of an hour of one month.
            let length = i64::try_from(alike.len())
                .unwrap_or(i64::MAX)
                .saturating_mul(BUCKET_SECONDS);
            let run = Run {
                first_second,
                end_second: first_second.saturating_add(length),
                class: alike.first().copied().unwrap_or_default(),
            };
            first_second = run.end_second;
            run
        });
        runs.collect()
    }

    /// The class of the quarter of an hour that begins with `second`.
    pub fn class_at(&self, second: i64) -> Option<i32> {
        let position = usize::try_from((second - self.first_second).div_euclid(BUCKET_SECONDS)).ok()?;
        self.classes.get(position).copied()
    }

    /// When usage of a class counts as used.
    pub fn first_of(&self, class: i32) -> Option<Timestamp> {
        self.firsts.get(usize::try_from(class).ok()?).copied()
    }
}

fn surcharges_at(plan: &RatePlan, at: Timestamp) -> Vec<bool> {
    let local = plan.zone.to_datetime(at);
    plan.surcharges
        .iter()
        .map(|surcharge| surcharge.applies(local))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::rating::number::Exact;
    use crate::rating::period::Period;
    use crate::rating::rate::{Account, Usage, rate};

    const PLAN: &str = r#"{"currency":"EUR","timeZone":"Europe/Berlin",
        "charges":[{"name":"answers","meter":"interactions","model":"PerUnit","unitPrice":"0.10"},
            {"name":"resolved","meter":"interactions","where":{"outcome":"resolved"},"model":"PerUnit","unitPrice":"0.01"}],
        "surcharges":[{"name":"evening","charge":"answers","unitPrice":"0.02","windows":[{"from":"20:00","to":"24:00"}]},
            {"name":"night","charge":"resolved","unitPrice":"0.03","windows":[{"days":["Sun"],"from":"01:00","to":"04:00"}]}]}"#;

    fn added_up(usage: &[Usage], slots: &Slots) -> Vec<Usage> {
        let mut sums = BTreeMap::new();
        for used in usage {
            let Some(class) = slots.class_at(used.bucket_start.as_second()) else {
                continue;
            };
            let sum = sums
                .entry((used.meter.clone(), used.dimensions.clone(), class))
                .or_insert(Exact::ZERO);
            *sum = sum.plus(used.quantity).unwrap();
        }
        sums.into_iter()
            .map(|((meter, dimensions, class), quantity)| Usage {
                bucket_start: slots.first_of(class).unwrap(),
                meter,
                dimensions,
                quantity,
            })
            .collect()
    }

    proptest! {
        #[test]
        fn usage_that_was_added_up_is_rated_as_usage_by_quarters_of_an_hour(
            slots_used in proptest::collection::vec((0_i64..2_980, 1_i128..50, any::<bool>()), 0..200)
        ) {
            // Clocks change within October; some usage lies outside.
            let plan = RatePlan::parse(PLAN).unwrap();
            let bounds = "2026-10".parse::<Period>().unwrap().bounds(&plan.zone).unwrap();
            let usage: Vec<_> = slots_used
                .into_iter()
                .map(|(slot, quantity, resolved)| Usage {
                    bucket_start: Timestamp::from_second(bounds.start.as_second() + (slot - 2) * BUCKET_SECONDS).unwrap(),
                    meter: "interactions".into(),
                    dimensions: BTreeMap::from([("outcome".into(), if resolved { "resolved" } else { "open" }.into())]),
                    quantity: Exact::new(quantity, 0),
                })
                .collect();
            let slots = Slots::of(bounds, &[(&plan, bounds)]);
            let whole = rate(&Account::whole(&plan, bounds, &usage)).unwrap();
            let summed = rate(&Account::whole(&plan, bounds, &added_up(&usage, &slots))).unwrap();
            prop_assert_eq!(whole, summed);
        }
    }

    #[test]
    fn a_plan_without_surcharges_has_one_class() {
        let plan = RatePlan::parse(r#"{"currency":"CNY","timeZone":"Asia/Shanghai","charges":[]}"#).unwrap();
        let bounds = "2026-11".parse::<Period>().unwrap().bounds(&plan.zone).unwrap();
        let slots = Slots::of(bounds, &[(&plan, bounds)]);
        assert_eq!((slots.firsts.len(), slots.classes.len()), (1, 30 * 96));
        assert_eq!(slots.runs().len(), 1);
    }

    #[test]
    fn runs_adjoin_and_say_of_each_quarter_of_an_hour_its_class() {
        let plan = RatePlan::parse(PLAN).unwrap();
        let bounds = "2026-10".parse::<Period>().unwrap().bounds(&plan.zone).unwrap();
        let slots = Slots::of(bounds, &[(&plan, bounds)]);
        let runs = slots.runs();
        // Each evening and the time before it, and two more for each Sunday's night.
        assert_eq!(runs.len(), 2 * 31 + 2 * 4);
        let mut second = slots.range().0;
        for run in &runs {
            assert_eq!(run.first_second, second);
            while second < run.end_second {
                assert_eq!(slots.class_at(second), Some(run.class));
                second += BUCKET_SECONDS;
            }
        }
        assert_eq!(second, slots.range().1);
    }
}
