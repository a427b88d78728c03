//! A month's service day by day, from the outcome on its bill. Pure but for [`service_month`].

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::BillError;
use super::contract::owed_to;
use super::document::{Document, State};
use super::plans::plans_of_bill;
use crate::rating::number::Exact;
use crate::rating::period::{Bounds, first_instant_of};
use crate::rating::rate::{BadTime, Exclusion, ServiceOutcome};
use crate::store::{Account, Store};

/// A month's service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceMonth {
    /// Percent of good slices that the plan promises.
    pub objective: Option<Exact>,
    /// Its days.
    pub days: Vec<ServiceDay>,
}

/// A local day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceDay {
    /// Which.
    pub date: Date,
    /// Slices of it that count, so far.
    pub counted: u64,
    /// Those of them that are bad.
    pub bad: u64,
    /// Bad times that touch it.
    pub bad_times: Vec<BadTime>,
    /// Exclusions that touch it.
    pub exclusions: Vec<Exclusion>,
}

/// The service of the month that a document bills; `None` where it says nothing of service.
pub async fn service_month(
    store: &Store,
    account: &Account,
    document: &Document,
    now: Timestamp,
) -> Result<Option<ServiceMonth>, BillError> {
    let Some(outcome) = &document.service else {
        return Ok(None);
    };
    let number = document.number.as_deref().unwrap_or("of the draft");
    let plans = plans_of_bill(store, document, number).await?;
    let (plan, month) = (&plans.last().plan, plans.bounds);
    let availability = plan.service_level.availability.as_ref();
    let slice = availability.and_then(|availability| SignedDuration::try_from(availability.slice).ok());
    let until = if document.state == State::Issued {
        month.end
    } else {
        now.min(month.end)
    };
    let days = plans.contract(account).map(|contract| {
        service_days(
            outcome,
            slice.unwrap_or_default(),
            month,
            contract.within(owed_to(account)),
            until,
            &plan.zone,
        )
    });
    Ok(Some(ServiceMonth {
        objective: availability.map(|availability| availability.objective),
        days: days.unwrap_or_default(),
    }))
}

/// The days of a month. `slice` is the length of the plan's slices; `contract` what counts of the month; `until` the instant
/// up to which the service was looked at. A slice belongs to the day in which it begins.
pub fn service_days(
    outcome: &ServiceOutcome,
    slice: SignedDuration,
    month: Bounds,
    contract: Bounds,
    until: Timestamp,
    zone: &TimeZone,
) -> Vec<ServiceDay> {
    let slices = outcome.slices.as_ref();
    let bad = slices.map(|slices| slices.bad.as_slice()).unwrap_or_default();
    let left_out = slices
        .map(|slices| slices.times_left_out.as_slice())
        .unwrap_or_default();
    let mut days = Vec::new();
    let mut date = zone.to_datetime(month.start).date();
    while let Some((start, end)) = bounds_of(date, zone).filter(|(start, _)| *start < month.end) {
        days.push(ServiceDay {
            date,
            counted: 0,
            bad: 0,
            bad_times: bad
                .iter()
                .filter(|time| time.from < end && start < time.to)
                .cloned()
                .collect(),
            exclusions: touching(&outcome.exclusions, start, end),
        });
        let Ok(next) = date.checked_add(1.day()) else {
            break;
        };
        date = next;
    }
    if outcome.slices.is_none() || slice.is_zero() || slice.is_negative() {
        return days;
    }
    let mut from = month.start;
    while let Some(to) = from
        .checked_add(slice)
        .ok()
        .filter(|to| *to <= until.min(month.end))
    {
        let is_left_out = left_out.iter().any(|time| time.from <= from && from < time.to);
        let counts = contract.start <= from && to <= contract.end && !is_left_out;
        let position = days.partition_point(|day| day.date <= zone.to_datetime(from).date());
        if let Some(day) = position
            .checked_sub(1)
            .and_then(|position| days.get_mut(position))
            .filter(|_| counts)
        {
            day.counted += 1;
            day.bad += u64::from(bad.iter().any(|time| time.from <= from && from < time.to));
        }
        from = to;
    }
    days
}

fn bounds_of(date: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
    let next = date.checked_add(1.day()).ok()?;
    first_instant_of(date, zone).zip(first_instant_of(next, zone))
}

fn touching(exclusions: &[Exclusion], start: Timestamp, end: Timestamp) -> Vec<Exclusion> {
    let touches = |exclusion: &&Exclusion| exclusion.from < end && start < exclusion.to;
    exclusions.iter().filter(touches).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdf::sample::document;

    #[test]
    fn the_days_add_up_to_the_slices_of_the_bill() {
        let document = document();
        let zone = crate::rating::period::zone_named(&document.time_zone).unwrap();
        let month = Bounds {
            start: document.period_start,
            end: document.period_end,
        };
        let service = document.service.as_ref().unwrap();
        let slice = SignedDuration::from_mins(5);
        let days = service_days(service, slice, month, month, month.end, &zone);
        let slices = service.slices.as_ref().unwrap();
        assert_eq!(days.len(), 31);
        assert_eq!(days.iter().map(|day| day.counted).sum::<u64>(), slices.counted);
        assert_eq!(
            days.iter().map(|day| day.counted - day.bad).sum::<u64>(),
            slices.good
        );
        assert_eq!(
            (days[0].bad, days[0].bad_times.len()),
            (60, 1),
            "five hours of the first"
        );
        assert_eq!(
            (days[10].counted, days[10].exclusions.len()),
            (288 - 24, 1),
            "two hours did not count"
        );
        let half = service_days(
            service,
            slice,
            month,
            month,
            "2026-10-10T16:00:00Z".parse().unwrap(),
            &zone,
        );
        assert_eq!(
            (half[9].counted, half[10].counted),
            (288, 0),
            "days to come are empty"
        );
    }
    #[test]
    fn a_day_without_data_counts_for_nothing_where_the_plan_leaves_such_times_out() {
        let zone = crate::rating::period::zone_named("Asia/Shanghai").unwrap();
        let month = "2026-10"
            .parse::<crate::rating::period::Period>()
            .unwrap()
            .bounds(&zone)
            .unwrap();
        let (from, to) = (
            "2026-10-01T16:00:00Z".parse().unwrap(),
            "2026-10-02T16:00:00Z".parse().unwrap(),
        );
        let outcome = ServiceOutcome {
            slices: Some(crate::rating::rate::Slices {
                times_left_out: vec![crate::rating::rate::TimeLeftOut { from, to }],
                ..Default::default()
            }),
            ..ServiceOutcome::default()
        };
        let slice = SignedDuration::from_mins(5);
        let days = service_days(&outcome, slice, month, month, month.end, &zone);
        let counted: Vec<_> = days.iter().take(3).map(|day| day.counted).collect();
        assert_eq!(counted, [288, 0, 288]);
    }
}
