//! Usage of a period for people: sums by meter, and by local day or hour. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use crate::rating::number::{Exact, Overflow};
use crate::rating::period::{Bounds, first_instant_of};
use crate::store::StatementUsage;

/// One meter over the whole period.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MeterSum {
    /// What was counted.
    pub meter: String,
    /// All of it.
    pub quantity: Exact,
    /// What of it came after the period's bill was issued and waits for a correction; may be below zero.
    pub late: Exact,
}

/// A local day, or hour of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its first instant.
    pub start: Timestamp,
    /// Quantities by meter.
    pub quantities: BTreeMap<String, Exact>,
}

/// Sums by meter. `billed_up_to`: the statement that was closed with the period's bill, if there is one.
pub fn by_meter(usage: &[StatementUsage], billed_up_to: Option<i64>) -> Result<Vec<MeterSum>, Overflow> {
    let meters: BTreeSet<_> = usage.iter().map(|landed| landed.usage.meter.as_str()).collect();
    let sum = |meter: &str, wanted: &dyn Fn(&StatementUsage) -> bool| {
        let mine = usage
            .iter()
            .filter(|landed| landed.usage.meter == meter && wanted(landed));
        mine.into_iter()
            .try_fold(Exact::ZERO, |sum, landed| sum.plus(landed.usage.quantity))
    };
    meters
        .into_iter()
        .map(|meter| {
            let is_late =
                |landed: &StatementUsage| billed_up_to.is_some_and(|closed| landed.statement > closed);
            Ok(MeterSum {
                meter: meter.to_owned(),
                quantity: sum(meter, &|_| true)?,
                late: sum(meter, &is_late)?,
            })
        })
        .collect()
}

/// The local days of a period.
pub fn by_day(usage: &[StatementUsage], bounds: &Bounds, zone: &TimeZone) -> Result<Vec<Slot>, Overflow> {
    let mut starts = Vec::new();
    let mut date = zone.to_datetime(bounds.start).date();
    while let Some(start) = first_instant_of(date, zone).filter(|start| *start < bounds.end) {
        starts.push(start);
        let Ok(next) = date.checked_add(1.day()) else {
            break;
        };
        date = next;
    }
    filled(usage, &starts, bounds.end)
}

/// The hours of a local day: 24, or one more or less where the clocks change.
pub fn by_hour(usage: &[StatementUsage], day: Date, zone: &TimeZone) -> Result<Vec<Slot>, Overflow> {
    let bounds = first_instant_of(day, zone).zip(
        day.checked_add(1.day())
            .ok()
            .and_then(|next| first_instant_of(next, zone)),
    );
    let Some((start, end)) = bounds else {
        return Ok(Vec::new());
    };
    let hours = std::iter::successors(Some(start), |hour| {
        hour.checked_add(SignedDuration::from_hours(1)).ok()
    });
    let starts: Vec<_> = hours.take_while(|hour| *hour < end).collect();
    filled(usage, &starts, end)
}

fn filled(usage: &[StatementUsage], starts: &[Timestamp], end: Timestamp) -> Result<Vec<Slot>, Overflow> {
    let mut slots: Vec<_> = starts
        .iter()
        .map(|start| Slot {
            start: *start,
            quantities: BTreeMap::new(),
        })
        .collect();
    for StatementUsage { usage, .. } in usage.iter().filter(|landed| landed.usage.bucket_start < end) {
        let position = starts.partition_point(|start| *start <= usage.bucket_start);
        let Some(slot) = position
            .checked_sub(1)
            .and_then(|position| slots.get_mut(position))
        else {
            continue;
        };
        let sum = slot.quantities.entry(usage.meter.clone()).or_insert(Exact::ZERO);
        *sum = sum.plus(usage.quantity)?;
    }
    Ok(slots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rating::period::{Period, zone_named};
    use crate::rating::rate::Usage;

    fn used(at: &str, quantity: i128, statement: i64) -> StatementUsage {
        let usage = Usage {
            bucket_start: at.parse().unwrap(),
            meter: "interactions".into(),
            dimensions: BTreeMap::new(),
            quantity: Exact::new(quantity, 0),
        };
        StatementUsage { statement, usage }
    }

    #[test]
    fn days_are_local_and_their_sum_is_the_periods() {
        let zone = zone_named("Asia/Shanghai").unwrap();
        let bounds = "2026-11".parse::<Period>().unwrap().bounds(&zone).unwrap();
        let usage = [
            used("2026-10-31T16:00:00Z", 1, 1),
            used("2026-11-10T15:45:00Z", 2, 1),
            used("2026-11-10T16:00:00Z", 4, 2),
        ];
        let days = by_day(&usage, &bounds, &zone).unwrap();
        assert_eq!(days.len(), 30);
        let of = |day: usize| {
            days[day - 1]
                .quantities
                .get("interactions")
                .map(ToString::to_string)
        };
        assert_eq!(
            (of(1), of(10), of(11)),
            (Some("1".into()), Some("2".into()), Some("4".into()))
        );
        let hours = by_hour(&usage, jiff::civil::date(2026, 11, 11), &zone).unwrap();
        assert_eq!(hours.len(), 24);
        assert_eq!(hours[0].quantities["interactions"].to_string(), "4");
    }

    #[test]
    fn a_day_on_which_the_clock_changes_has_23_or_25_hours() {
        let zone = zone_named("Europe/Berlin").unwrap();
        assert_eq!(
            by_hour(&[], jiff::civil::date(2026, 3, 29), &zone).unwrap().len(),
            23
        );
        assert_eq!(
            by_hour(&[], jiff::civil::date(2026, 10, 25), &zone)
                .unwrap()
                .len(),
            25
        );
    }

    #[test]
    fn what_landed_after_the_bills_statement_is_late() {
        let usage = [
            used("2026-11-01T00:00:00Z", 10, 3),
            used("2026-11-01T00:00:00Z", -1, 4),
        ];
        let sums = by_meter(&usage, Some(3)).unwrap();
        assert_eq!(
            (sums[0].quantity, sums[0].late),
            (Exact::new(9, 0), Exact::new(-1, 0))
        );
        assert_eq!(by_meter(&usage, None).unwrap()[0].late, Exact::ZERO);
    }
}
