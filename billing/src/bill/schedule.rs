//! Which plan prices which time of an account. Pure but for [`schedule_of`] and [`schedules`].
//!
//! An *assignment* names a plan and the local date from which on it counts: a change of plan counts from the local midnight
//! after it, in the zone of the plan that it is to. A *stretch* is the time of one assignment: it begins at that midnight and
//! goes on until the next stretch; the first one has always been. So every instant lies in exactly one stretch.
//!
//! A month begins at midnight of its first date in the zone of the stretch in which that date lies, and ends where the next
//! month begins: months adjoin also where their zones differ. A month that was billed keeps the bounds of its bill, and its
//! neighbours adjoin those. The *parts* of a month are what stretches cover of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::BillError;
use super::plans::{KnownPlan, PlanPart, PlansInPeriod};
use crate::metering::decide::LedgerId;
use crate::rating::period::{Bounds, Period, PeriodError, first_instant_of, zone_named};
use crate::store::{Account, PlanAssignment, Store, StoreError};

/// An account's stretches and billed months.
#[derive(Clone, Debug)]
pub struct Schedule {
    tenant: String,
    stretches: Vec<Stretch>,
    billed: BTreeMap<Period, Bounds>,
}

#[derive(Clone, Debug)]
struct Stretch {
    name: String,
    from: Date,
    /// `None`: not known to billing.
    plan: Option<Arc<KnownPlan>>,
    zone: TimeZone,
    start: Timestamp,
}

/// What is known of plans, by name.
pub type KnownPlans = BTreeMap<String, Option<Arc<KnownPlan>>>;

/// Which assignments count, in the order of their dates, each to another plan than the one before it.
pub fn standing(recorded: &[PlanAssignment]) -> Vec<&PlanAssignment> {
    let mut standing: Vec<&PlanAssignment> = Vec::new();
    for assignment in recorded {
        while standing.last().is_some_and(|last| last.from >= assignment.from) {
            standing.pop();
        }
        if standing.last().is_none_or(|last| last.plan != assignment.plan) {
            standing.push(assignment);
        }
    }
    standing
}

/// From which date on a change counts that is made now, to a plan of `zone`. Nothing can be rated by plans that billing does
/// not know: what is assigned instead counts from where they did.
pub fn first_date_of_change(
    recorded: &[PlanAssignment],
    is_known: impl Fn(&str) -> bool,
    zone: &TimeZone,
    now: Timestamp,
) -> Date {
    let today = zone.to_datetime(now).date();
    let standing = standing(recorded);
    if standing.is_empty() {
        return today;
    }
    let tomorrow = today.checked_add(1.day()).unwrap_or(today);
    let unknown = standing.iter().rev().take_while(|last| !is_known(&last.plan));
    unknown.fold(tomorrow, |first, last| first.min(last.from))
}

/// The plans with which one that begins on `from` would share a month, and so a bill.
pub fn others_of_month(recorded: &[PlanAssignment], from: Date) -> Vec<&str> {
    let standing = standing(recorded);
    let before: Vec<_> = standing
        .into_iter()
        .take_while(|assignment| assignment.from < from)
        .collect();
    let ends = before.iter().skip(1).map(|next| next.from).chain([from]);
    let within = before
        .iter()
        .zip(ends)
        .filter(|(_, end)| *end > from.first_of_month());
    within.map(|(assignment, _)| assignment.plan.as_str()).collect()
}

impl Schedule {
    /// Of an account with these assignments, whose months in `billed` have bills.
    pub fn new(
        account: &Account,
        recorded: &[PlanAssignment],
        plans: &KnownPlans,
        billed: BTreeMap<Period, Bounds>,
    ) -> Self {
        let mut stretches: Vec<Stretch> = Vec::new();
        for assignment in standing(recorded) {
            let plan = plans.get(&assignment.plan).cloned().flatten();
            let zone = match &plan {
                Some(known) => known.plan.zone.clone(),
                None => zone_named(&account.details.time_zone).unwrap_or(TimeZone::UTC),
            };
            let start = stretches.last().map_or(Timestamp::MIN, |before| {
                // Dates begin up to a day and a few hours apart from zone to zone.
                let midnight = first_instant_of(assignment.from, &zone);
                midnight.unwrap_or(before.start).max(before.start)
            });
            stretches.push(Stretch {
                name: assignment.plan.clone(),
                from: assignment.from,
                plan,
                zone,
                start,
            });
        }
        Self {
            tenant: account.details.party.tenant.to_string(),
            stretches,
            billed,
        }
    }

    /// The plan that prices what happens at an instant.
    pub fn plan_at(&self, instant: Timestamp) -> Result<&Arc<KnownPlan>, BillError> {
        let stretch = self.stretch_at(instant);
        let plan = stretch.and_then(|stretch| stretch.plan.as_ref());
        plan.ok_or_else(|| self.unknown(stretch))
    }

    /// The zone of that plan; where there is none, the account's own.
    pub fn zone_at(&self, instant: Timestamp) -> TimeZone {
        self.stretch_at(instant)
            .map_or(TimeZone::UTC, |stretch| stretch.zone.clone())
    }

    /// The zone in which a month ends: for people who look at all of it.
    pub fn zone_of(&self, period: Period) -> Result<TimeZone, PeriodError> {
        let end = self.bounds(period)?.end;
        Ok(self.zone_at(end.saturating_sub(SignedDuration::from_nanos(1)).unwrap_or(end)))
    }

    /// The month in which an instant lies.
    pub fn containing(&self, instant: Timestamp) -> Result<Period, PeriodError> {
        let period = Period::containing(instant, &self.zone_at(instant))?;
        let bounds = self.bounds(period)?;
        if instant < bounds.start {
            period.previous()
        } else if instant >= bounds.end {
            period.next()
        } else {
            Ok(period)
        }
    }

    /// A month has its bill.
    pub fn is_billed(&self, period: Period) -> bool {
        self.billed.contains_key(&period)
    }

    /// A month's instants.
    pub fn bounds(&self, period: Period) -> Result<Bounds, PeriodError> {
        if let Some(bounds) = self.billed.get(&period) {
            return Ok(*bounds);
        }
        let next = period.next()?;
        let before = period.previous().ok().and_then(|before| self.billed.get(&before));
        let start = before.map_or_else(|| self.beginning_of(period), |before| Ok(before.end))?;
        let after = self.billed.get(&next);
        let end = after.map_or_else(|| self.beginning_of(next), |after| Ok(after.start))?;
        Ok(Bounds { start, end })
    }

    fn beginning_of(&self, period: Period) -> Result<Timestamp, PeriodError> {
        let date = period.first_date()?;
        let place = self.stretches.partition_point(|stretch| stretch.from <= date);
        let stretch = self.stretches.get(place.saturating_sub(1));
        period.first_instant(stretch.map_or(&TimeZone::UTC, |stretch| &stretch.zone))
    }

    /// A month's parts, in the order of time; an error if a plan of it is not known.
    pub fn parts(&self, period: Period) -> Result<Vec<PlanPart>, BillError> {
        let bounds = self.bounds(period)?;
        let mut parts = Vec::new();
        for (place, stretch) in self.stretches.iter().enumerate() {
            let next = self.stretches.get(place + 1).map(|next| next.start);
            let within = Bounds {
                start: stretch.start.max(bounds.start),
                end: next.unwrap_or(Timestamp::MAX).min(bounds.end),
            };
            if within.start < within.end {
                parts.push(PlanPart {
                    known: stretch.plan.clone().ok_or_else(|| self.unknown(Some(stretch)))?,
                    bounds: within,
                });
            }
        }
        Ok(parts)
    }

    /// The month with its parts, ready to be billed.
    pub fn plans(&self, period: Period) -> Result<PlansInPeriod, BillError> {
        PlansInPeriod::of(self.parts(period)?).ok_or_else(|| self.unknown(None))
    }

    fn stretch_at(&self, instant: Timestamp) -> Option<&Stretch> {
        let place = self.stretches.partition_point(|stretch| stretch.start <= instant);
        self.stretches.get(place.checked_sub(1)?)
    }

    fn unknown(&self, stretch: Option<&Stretch>) -> BillError {
        BillError::NoPlan {
            plan: stretch.map(|stretch| stretch.name.clone()).unwrap_or_default(),
            tenant: self.tenant.clone(),
        }
    }
}

/// The schedule of one account.
pub async fn schedule_of(store: &Store, account: &Account) -> Result<Schedule, BillError> {
    let planned = async {
        let recorded = store.assignments(account.ledger).await?;
        let mut plans = KnownPlans::new();
        add_plans(store, &recorded, &mut plans).await?;
        Ok((recorded, plans))
    };
    let billed = async { Ok::<_, BillError>(store.billed_bounds(account.ledger).await?) };
    let ((recorded, plans), billed) = tokio::try_join!(planned, billed)?;
    Ok(Schedule::new(account, &recorded, &plans, periods_of(billed)?))
}

/// The schedules of all these accounts, as far as the month and its neighbours need them. The error is of one account.
pub async fn schedules(
    store: &Store,
    accounts: &[Account],
    period: Period,
) -> Result<BTreeMap<LedgerId, Result<Schedule, BillError>>, BillError> {
    let mut recorded = store.all_assignments().await?;
    let mut billed = BTreeMap::new();
    for near in [period.previous(), Ok(period), period.next()]
        .into_iter()
        .flatten()
    {
        for (ledger, bounds) in store.bounds_billed_in(&near.to_string()).await? {
            billed
                .entry(ledger)
                .or_insert_with(BTreeMap::new)
                .insert(near, bounds);
        }
    }
    let mut plans = KnownPlans::new();
    let mut schedules = BTreeMap::new();
    for account in accounts {
        let recorded = recorded.remove(&account.ledger).unwrap_or_default();
        let schedule = match add_plans(store, &recorded, &mut plans).await {
            Ok(()) => {
                let billed = billed.remove(&account.ledger).unwrap_or_default();
                Ok(Schedule::new(account, &recorded, &plans, billed))
            }
            Err(error @ BillError::Store(_)) => return Err(error),
            Err(error) => Err(error),
        };
        schedules.insert(account.ledger, schedule);
    }
    Ok(schedules)
}

async fn add_plans(
    store: &Store,
    recorded: &[PlanAssignment],
    plans: &mut KnownPlans,
) -> Result<(), BillError> {
    for assignment in standing(recorded) {
        if !plans.contains_key(&assignment.plan) {
            let known = match store.newest_plan(&assignment.plan).await? {
                Some(version) => Some(Arc::new(KnownPlan::of(version)?)),
                None => None,
            };
            plans.insert(assignment.plan.clone(), known);
        }
    }
    Ok(())
}

fn periods_of(billed: Vec<(String, Bounds)>) -> Result<BTreeMap<Period, Bounds>, BillError> {
    let read = |(period, bounds): (String, Bounds)| {
        let period = period.parse().map_err(|_| StoreError::unreadable("bill"))?;
        Ok((period, bounds))
    };
    billed.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests;
