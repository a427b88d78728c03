//! What the bill of the month that runs will come to, if the rest of it is as usual.
//!
//! Each quarter of an hour that is still to come is taken to be what the same quarter of the same weekday was, on average
//! over the last weeks (four at most). Where there is not one whole week of usage yet, the rest of the month goes on at the
//! average of the month so far. A forecast knows nothing of promotions that are planned, of service credits that may come,
//! or of modules that may be taken. Pure but for [`forecast`].

use std::collections::{BTreeMap, HashMap};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::BillError;
use super::schedule::Schedule;
use crate::rating::number::{Exact, Overflow};
use crate::rating::period::{BUCKET_SECONDS, Bounds, Period};
use crate::rating::rate::{self, RatingError, Usage};
use crate::store::{Account, Store};

/// Weeks that are looked back at, at most.
const WEEKS: i64 = 4;
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Digits after the point of an average.
const DIGITS: u32 = 9;

/// What the rest of the month is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The same times of so many weeks before.
    Weeks(i64),
    /// The average of the month so far.
    MonthSoFar,
}

/// The rest of a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// What is still to come, from the quarter of an hour after the one that runs.
    pub usage: Vec<Usage>,
    /// What it is taken from.
    pub basis: Basis,
}

/// A forecast of a bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// A decimal with all the currency's digits.
    pub total: String,
    /// ISO code.
    pub currency: &'static str,
    /// What it rests on.
    pub basis: Basis,
    /// What is expected over the whole month, by meter.
    pub quantities: BTreeMap<String, Exact>,
    /// What is expected of a local day that is not over, by its first instant and meter.
    pub usage: Vec<Usage>,
}

type Kind<'a> = (&'a str, &'a BTreeMap<String, String>);

/// The rest of the month, of usage since `WEEKS` before `now`; `None` while nothing was used yet or the month is over.
pub fn expected(
    usage: &[Usage],
    month: Bounds,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<Option<Expected>, Overflow> {
    let Some(first) = usage.iter().map(|usage| usage.bucket_start).min() else {
        return Ok(None);
    };
    let Some(next) = next_quarter(now).filter(|next| month.contain(*next)) else {
        return Ok(None);
    };
    let rest = Bounds {
        start: next,
        end: month.end,
    };
    let weeks = now.duration_since(first).as_secs() / WEEK.as_secs();
    let (usage, basis) = if weeks >= 1 {
        let weeks = weeks.min(WEEKS);
        (
            as_the_weeks_before(usage, rest, zone, weeks, next)?,
            Basis::Weeks(weeks),
        )
    } else {
        (as_the_month_so_far(usage, month, rest, first)?, Basis::MonthSoFar)
    };
    Ok(Some(Expected { usage, basis }))
}

fn next_quarter(now: Timestamp) -> Option<Timestamp> {
    let second = now.as_second();
    Timestamp::from_second(second - second.rem_euclid(BUCKET_SECONDS) + BUCKET_SECONDS).ok()
}

fn quarters(of: Bounds) -> impl Iterator<Item = Timestamp> {
    let starts = (of.start.as_second()..of.end.as_second()).step_by(900);
    starts.filter_map(|second| Timestamp::from_second(second).ok())
}

fn as_the_weeks_before(
    usage: &[Usage],
    rest: Bounds,
    zone: &TimeZone,
    weeks: i64,
    known_until: Timestamp,
) -> Result<Vec<Usage>, Overflow> {
    let mut known: HashMap<Timestamp, Vec<&Usage>> = HashMap::new();
    for usage in usage {
        known.entry(usage.bucket_start).or_default().push(usage);
    }
    let mut expected = Vec::new();
    for at in quarters(rest) {
        let mut sums: BTreeMap<Kind<'_>, Exact> = BTreeMap::new();
        for before in times_before(at, zone, weeks, known_until) {
            for usage in known.get(&before).into_iter().flatten() {
                let sum = sums
                    .entry((&usage.meter, &usage.dimensions))
                    .or_insert(Exact::ZERO);
                *sum = sum.plus(usage.quantity)?;
            }
        }
        for (kind, sum) in sums {
            expected.extend(usage_of(kind, at, share(sum, 1, weeks)?));
        }
    }
    Ok(expected)
}

/// The same local time of so many weeks, the last of which are wholly known.
fn times_before(at: Timestamp, zone: &TimeZone, weeks: i64, known_until: Timestamp) -> Vec<Timestamp> {
    let local = zone.to_datetime(at);
    let before = (1_i64..).map_while(|week| {
        let local = local.checked_sub((7 * week).days()).ok()?;
        zone.to_ambiguous_timestamp(local).compatible().ok()
    });
    let known = before.skip_while(|before| *before >= known_until);
    known.take(usize::try_from(weeks).unwrap_or_default()).collect()
}

fn as_the_month_so_far(
    usage: &[Usage],
    month: Bounds,
    rest: Bounds,
    first: Timestamp,
) -> Result<Vec<Usage>, Overflow> {
    let mut sums: BTreeMap<Kind<'_>, Exact> = BTreeMap::new();
    for usage in usage.iter().filter(|usage| month.contain(usage.bucket_start)) {
        let sum = sums
            .entry((&usage.meter, &usage.dimensions))
            .or_insert(Exact::ZERO);
        *sum = sum.plus(usage.quantity)?;
    }
    let known = Bounds {
        start: first.max(month.start),
        end: rest.start,
    };
    let quarters_known = ((known.end.as_second() - known.start.as_second()) / BUCKET_SECONDS).max(1);
    let mut expected = Vec::new();
    for (kind, sum) in sums {
        let each = share(sum, 1, quarters_known)?;
        expected.extend(quarters(rest).filter_map(|at| usage_of(kind, at, each)));
    }
    Ok(expected)
}

fn share(sum: Exact, numerator: i64, denominator: i64) -> Result<Exact, Overflow> {
    let rounded = sum.ratio_rounded(numerator.into(), denominator.into(), DIGITS)?;
    Ok(Exact::new(rounded, DIGITS))
}

fn usage_of((meter, dimensions): Kind<'_>, at: Timestamp, quantity: Exact) -> Option<Usage> {
    (!quantity.is_zero() && !quantity.is_negative()).then(|| Usage {
        bucket_start: at,
        meter: meter.to_owned(),
        dimensions: dimensions.clone(),
        quantity,
    })
}

/// The forecast of the month that runs; `None` if there is none to make: another month, or no usage yet.
pub async fn forecast(
    store: &Store,
    account: &Account,
    schedule: &Schedule,
    period: Period,
    now: Timestamp,
) -> Result<Option<Forecast>, BillError> {
    let plans = schedule.plans(period)?;
    let (month, currency) = (plans.bounds, plans.last().plan.currency);
    if !month.contain(now) {
        return Ok(None);
    }
    let look_back = SignedDuration::from_hours(7 * 24 * (WEEKS + 4));
    let start = now
        .saturating_sub(look_back)
        .unwrap_or(month.start)
        .min(month.start);
    let all = store
        .usage(
            account.ledger,
            &Bounds {
                start,
                end: month.end,
            },
        )
        .await?;
    let mut usage: Vec<_> = all.into_iter().map(|landed| landed.usage).collect();
    let overflow = |source| RatingError::Overflow {
        item: "forecast".into(),
        source,
    };
    let Some(Expected { usage: rest, basis }) =
        expected(&usage, month, &schedule.zone_at(now), now).map_err(overflow)?
    else {
        return Ok(None);
    };
    // What is there of later quarters already, as from a clock that is ahead, is not counted twice.
    let from = rest.first().map_or(month.end, |usage| usage.bucket_start);
    usage.retain(|usage| month.contain(usage.bucket_start) && usage.bucket_start < from);
    usage.extend(rest.iter().cloned());
    let module_changes = if plans.has_modules() {
        store.module_changes(account.ledger, month.end, None).await?
    } else {
        Vec::new()
    };
    let rated = rate::rate(&rate::Account {
        period: month,
        parts: plans.parts().map(|part| part.rated(account)).collect(),
        usage: &usage,
        module_changes: &module_changes,
        service: None,
        owed: month,
        as_of: now,
    })?;
    let mut quantities: BTreeMap<String, Exact> = BTreeMap::new();
    for Usage { meter, quantity, .. } in &usage {
        let sum = quantities.entry(meter.clone()).or_insert(Exact::ZERO);
        *sum = sum.plus(*quantity).map_err(overflow)?;
    }
    Ok(Some(Forecast {
        total: currency.amount(rated.total).padded(currency.decimals()),
        currency: currency.code(),
        basis,
        quantities,
        usage: rest,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rating::period::zone_named;

    fn month(period: &str, zone: &TimeZone) -> Bounds {
        period.parse::<Period>().unwrap().bounds(zone).unwrap()
    }

    /// 10 answers in each quarter of an hour, 40 on Saturdays, from `from` to `to`.
    fn steady(from: &str, to: &str, zone: &TimeZone) -> Vec<Usage> {
        let bounds = Bounds {
            start: from.parse().unwrap(),
            end: to.parse().unwrap(),
        };
        let one = |at: Timestamp| Usage {
            bucket_start: at,
            meter: "interactions".into(),
            dimensions: BTreeMap::new(),
            quantity: Exact::new(if is_saturday(at, zone) { 40 } else { 10 }, 0),
        };
        quarters(bounds).map(one).collect()
    }

    fn is_saturday(at: Timestamp, zone: &TimeZone) -> bool {
        zone.to_datetime(at).date().weekday() == jiff::civil::Weekday::Saturday
    }

    fn sum(usage: &[Usage]) -> Exact {
        usage
            .iter()
            .fold(Exact::ZERO, |sum, usage| sum.plus(usage.quantity).unwrap())
    }

    #[test]
    fn a_month_that_goes_on_as_usual_comes_to_what_it_then_is() {
        for (zone, now) in [
            ("Asia/Shanghai", "2026-11-12T03:07:00Z"),
            // Summer time begins within the month: local times stay where they are.
            ("Europe/Berlin", "2026-03-12T03:07:00Z"),
        ] {
            let zone = zone_named(zone).unwrap();
            let now: Timestamp = now.parse().unwrap();
            let period = Period::containing(now, &zone).unwrap();
            let bounds = period.bounds(&zone).unwrap();
            let next = next_quarter(now).unwrap();
            let aligned = steady("2026-01-01T00:00:00Z", &next.to_string(), &zone);
            let rest = expected(&aligned, bounds, &zone, now).unwrap().unwrap();
            assert_eq!(rest.basis, Basis::Weeks(4));
            let truth = steady(&next.to_string(), &bounds.end.to_string(), &zone);
            assert_eq!(rest.usage, truth);
        }
    }

    #[test]
    fn an_average_of_weeks_is_exact_and_a_promotion_counts_for_its_share() {
        let zone = zone_named("Asia/Shanghai").unwrap();
        let bounds = month("2026-11", &zone);
        let now: Timestamp = "2026-11-29T15:50:00Z".parse().unwrap();
        let mut usage = steady("2026-10-01T00:00:00Z", "2026-11-29T16:00:00Z", &zone);
        // One of the four Mondays before had 41 more in its first quarter of an hour.
        let promoted: Timestamp = "2026-11-22T16:00:00Z".parse().unwrap();
        for usage in usage.iter_mut().filter(|usage| usage.bucket_start == promoted) {
            usage.quantity = Exact::new(51, 0);
        }
        let rest = expected(&usage, bounds, &zone, now).unwrap().unwrap();
        assert_eq!(rest.usage.len(), 96);
        assert_eq!(rest.usage[0].quantity, Exact::new(2025, 2));
        assert_eq!(sum(&rest.usage), Exact::new(97_025, 2));
    }

    #[test]
    fn without_a_whole_week_the_month_goes_on_at_its_average() {
        let zone = zone_named("Asia/Shanghai").unwrap();
        let bounds = month("2026-11", &zone);
        // Two of thirty days.
        let usage = steady("2026-10-31T16:00:00Z", "2026-11-02T16:00:00Z", &TimeZone::UTC);
        let now: Timestamp = "2026-11-02T15:50:00Z".parse().unwrap();
        let rest = expected(&usage, bounds, &zone, now).unwrap().unwrap();
        assert_eq!(rest.basis, Basis::MonthSoFar);
        let per_day = sum(&usage).ratio_rounded(1, 2, 0).unwrap();
        let difference = sum(&rest.usage).minus(Exact::new(per_day * 28, 0)).unwrap();
        assert!(difference.to_nanos().unwrap().abs() < 3_000, "{difference}");
    }

    #[test]
    fn there_is_no_forecast_of_nothing_and_none_of_a_month_that_is_over() {
        let zone = zone_named("Asia/Shanghai").unwrap();
        let bounds = month("2026-11", &zone);
        let now: Timestamp = "2026-11-12T00:00:00Z".parse().unwrap();
        assert_eq!(expected(&[], bounds, &zone, now).unwrap(), None);
        let usage = steady("2026-10-01T00:00:00Z", "2026-10-02T00:00:00Z", &zone);
        let after = bounds.end;
        assert_eq!(expected(&usage, bounds, &zone, after).unwrap(), None);
    }

    #[test]
    fn weeks_that_are_not_over_are_passed_over() {
        let zone = zone_named("Asia/Shanghai").unwrap();
        let bounds = month("2026-11", &zone);
        let now: Timestamp = "2026-11-02T00:10:00Z".parse().unwrap();
        let usage = steady("2026-10-20T00:00:00Z", "2026-11-02T00:15:00Z", &zone);
        let rest = expected(&usage, bounds, &zone, now).unwrap().unwrap();
        assert_eq!(rest.basis, Basis::Weeks(1));
        let last = rest.usage.last().unwrap();
        assert_eq!(last.bucket_start, "2026-11-30T15:45:00Z".parse().unwrap());
        assert_eq!(
            last.quantity,
            Exact::new(10, 0),
            "of a Monday of October, when there was usage"
        );
    }
}
