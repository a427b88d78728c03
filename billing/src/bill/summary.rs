//! Usage of a period for people: sums by meter, and by local day or hour. Pure but for [`summed_by_time`].

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use springtide_proto::ended::METER_CONVERSATIONS;

use super::slots::Slots;
use crate::metering::decide::LedgerId;
use crate::rating::number::{Exact, Overflow};
use crate::rating::period::{Bounds, first_instant_of};
use crate::rating::rate::Usage;
use crate::store::{Landed, Store, StoreError};

/// One meter over the whole period.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MeterSum {
    /// What was counted.
    pub meter: String,
    /// All of it.
    pub quantity: Exact,
    /// What of it came after the period's bill was issued and waits for a correction; may be below zero.
    pub late: Exact,
    /// Of conversations: how many came to what; nothing of any other meter.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub outcomes: BTreeMap<String, Exact>,
}

/// A local day, or hour of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its first instant.
    pub start: Timestamp,
    /// Quantities by meter.
    pub quantities: BTreeMap<String, Exact>,
}

/// Sums by meter of all usage; of which `late` is what came after the period's bill was issued, if there is one.
pub fn by_meter(usage: &[Usage], late: &[Usage]) -> Result<Vec<MeterSum>, Overflow> {
    let mut sums: BTreeMap<&str, (Exact, Exact)> = BTreeMap::new();
    for used in usage {
        let (quantity, _) = sums.entry(&used.meter).or_insert((Exact::ZERO, Exact::ZERO));
        *quantity = quantity.plus(used.quantity)?;
    }
    for used in late {
        let (_, late) = sums.entry(&used.meter).or_insert((Exact::ZERO, Exact::ZERO));
        *late = late.plus(used.quantity)?;
    }
    let outcomes = outcomes_of(usage)?;
    let sum = |(meter, (quantity, late)): (&str, (Exact, Exact))| MeterSum {
        meter: meter.to_owned(),
        quantity,
        late,
        outcomes: if meter == METER_CONVERSATIONS {
            outcomes.clone()
        } else {
            BTreeMap::new()
        },
    };
    Ok(sums.into_iter().map(sum).collect())
}

/// What conversations came to.
fn outcomes_of(usage: &[Usage]) -> Result<BTreeMap<String, Exact>, Overflow> {
    let mut outcomes = BTreeMap::new();
    for used in usage.iter().filter(|used| used.meter == METER_CONVERSATIONS) {
        if let Some(outcome) = used.dimensions.get("outcome") {
            let sum = outcomes.entry(outcome.clone()).or_insert(Exact::ZERO);
            *sum = sum.plus(used.quantity)?;
        }
    }
    outcomes.retain(|_, sum| !sum.is_zero());
    Ok(outcomes)
}

/// When the local days of a period begin; the first with the period itself.
pub fn days_of(bounds: &Bounds, zone: &TimeZone) -> Vec<Timestamp> {
    let first = zone.to_datetime(bounds.start).date();
    let dates = std::iter::successors(Some(first), |date| date.checked_add(1.day()).ok());
    let starts = dates.map_while(|date| first_instant_of(date, zone).filter(|start| *start < bounds.end));
    starts.map(|start| start.max(bounds.start)).collect()
}

/// When the hours of a local day begin that lie in a period: 24, or one more or less where the clocks change.
pub fn hours_of(day: Date, bounds: &Bounds, zone: &TimeZone) -> Vec<Timestamp> {
    let next = day.checked_add(1.day()).ok();
    let ends = first_instant_of(day, zone).zip(next.and_then(|next| first_instant_of(next, zone)));
    let Some((start, end)) = ends else {
        return Vec::new();
    };
    let hours = std::iter::successors(Some(start), |hour| {
        hour.checked_add(SignedDuration::from_hours(1)).ok()
    });
    let within = hours.take_while(|hour| *hour < end);
    within.filter(|hour| bounds.contain(*hour)).collect()
}

/// Usage between these instants, which come in the order of time, and until `end`.
pub fn by_time<'a>(
    usage: impl IntoIterator<Item = &'a Usage>,
    starts: &[Timestamp],
    end: Timestamp,
) -> Result<Vec<Slot>, Overflow> {
    let mut slots: Vec<_> = starts
        .iter()
        .map(|start| Slot {
            start: *start,
            quantities: BTreeMap::new(),
        })
        .collect();
    for usage in usage.into_iter().filter(|usage| usage.bucket_start < end) {
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

/// Usage of a ledger between these instants and until `end`, added up there by what it was counted by; of the statements after
/// one and up to another.
pub async fn summed_by_time(
    store: &Store,
    ledger: LedgerId,
    (starts, end): (&[Timestamp], Timestamp),
    landed: Landed,
) -> Result<Vec<Usage>, StoreError> {
    store
        .summed_usage(ledger, &Slots::between(starts, end), landed)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rating::period::{Period, zone_named};

    fn used(at: &str, quantity: i128) -> Usage {
        Usage {
            bucket_start: at.parse().unwrap(),
            meter: "interactions".into(),
            dimensions: BTreeMap::new(),
            quantity: Exact::new(quantity, 0),
        }
    }

    #[test]
    fn days_are_local_and_their_sum_is_the_periods() {
        let zone = zone_named("Asia/Shanghai").unwrap();
        let bounds = "2026-11".parse::<Period>().unwrap().bounds(&zone).unwrap();
        let usage = [
            used("2026-10-31T16:00:00Z", 1),
            used("2026-11-10T15:45:00Z", 2),
            used("2026-11-10T16:00:00Z", 4),
        ];
        let days = by_time(&usage, &days_of(&bounds, &zone), bounds.end).unwrap();
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
        let hours = hours_of(jiff::civil::date(2026, 11, 11), &bounds, &zone);
        let hours = by_time(&usage, &hours, hours[23] + SignedDuration::from_hours(1)).unwrap();
        assert_eq!(hours.len(), 24);
        assert_eq!(hours[0].quantities["interactions"].to_string(), "4");
    }

    #[test]
    fn a_day_on_which_the_clock_changes_has_23_or_25_hours() {
        let zone = zone_named("Europe/Berlin").unwrap();
        for (month, day, hours) in [(3, 29, 23), (10, 25, 25), (10, 26, 24)] {
            let period: Period = format!("2026-{month:02}").parse().unwrap();
            let bounds = period.bounds(&zone).unwrap();
            let day = jiff::civil::date(2026, month, day);
            assert_eq!(hours_of(day, &bounds, &zone).len(), hours, "{day}");
            assert_eq!(
                hours_of(day, &period.next().unwrap().bounds(&zone).unwrap(), &zone),
                []
            );
        }
    }

    #[test]
    fn what_came_after_the_bill_is_said_beside_the_sum() {
        let late = used("2026-11-01T00:00:00Z", -1);
        let sums = by_meter(&[used("2026-11-01T00:00:00Z", 10), late.clone()], &[late]).unwrap();
        assert_eq!(
            (sums[0].quantity, sums[0].late),
            (Exact::new(9, 0), Exact::new(-1, 0))
        );
    }

    #[test]
    fn conversations_are_said_with_what_they_came_to_and_nothing_else_is() {
        let ended = |outcome: &str, quantity| Usage {
            meter: "conversations".into(),
            dimensions: BTreeMap::from([("outcome".into(), outcome.into())]),
            ..used("2026-11-01T00:00:00Z", quantity)
        };
        let usage = [
            ended("resolved", 3),
            ended("abandoned", 1),
            ended("abandoned", -1),
            ended("resolved", 1),
            used("2026-11-01T00:00:00Z", 9),
        ];
        let sums = by_meter(&usage, &[]).unwrap();
        let said = serde_json::to_value(&sums).unwrap();
        assert_eq!(
            said,
            serde_json::json!([
                {"meter": "conversations", "quantity": "4", "late": "0", "outcomes": {"resolved": "4"}},
                {"meter": "interactions", "quantity": "9", "late": "0"},
            ])
        );
    }
}
