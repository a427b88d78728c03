//! Service levels from the minutes that gateways reported.
//!
//! The period is cut into *slices*, counted from its first instant. A slice counts once it has ended, if service is
//! owed all the time and it is not wholly excluded; minutes that are excluded are as if they were not there. A slice of which no
//! minute was reported is bad; so is one of whose minutes a greater share than may be bad was unreachable, for then few
//! requests come, or none. *Availability* is the share of good slices of those that count.

use std::borrow::Cow;
use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::line::CreditCause;
use crate::rating::number::{Exact, Overflow};
use crate::rating::period::Bounds;
use crate::rating::plan::{Availability, Credits, NoData, ServiceLevel};

const MINUTE: i64 = 60;

/// What gateways reported for one minute, over all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MinuteCounts {
    /// Answered in time.
    pub good: u64,
    /// Our time-outs, errors, refusals.
    pub bad: u64,
    /// Answered within the response-time objective.
    pub fast: u64,
    /// Answered later.
    pub slow: u64,
    /// Customers could not reach the service through its public door, as the operator's probe found, twice running.
    pub unreachable: bool,
}

/// Time that does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exclusion {
    /// First instant.
    pub from: Timestamp,
    /// First instant after it.
    pub to: Timestamp,
    /// Why, for the client.
    pub reason: String,
    /// Who allowed it.
    pub approver: String,
}

/// What is known of a period's service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Reported minutes, by their first instant, in the order of time.
    pub minutes: Vec<(Timestamp, MinuteCounts)>,
    /// Time that does not count, in any order.
    pub exclusions: Vec<Exclusion>,
}

/// How the service was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceOutcome {
    /// Slices, if the plan has an objective for availability.
    pub slices: Option<Slices>,
    /// Fast answers, over the minutes that count.
    pub fast: u64,
    /// Slow answers.
    pub slow: u64,
    /// Good requests.
    pub good: u64,
    /// Bad requests.
    pub bad: u64,
    /// What was left out, with reason and approver.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclusions: Vec<Exclusion>,
}

/// The slices of a period.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slices {
    /// Good ones.
    pub good: u64,
    /// All that count.
    pub counted: u64,
    /// Left out: excluded, or without data where the plan says so.
    pub left_out: u64,
    /// The bad ones, neighbours of one cause together.
    pub bad: Vec<BadTime>,
    /// When those were that are left out, neighbours together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times_left_out: Vec<TimeLeftOut>,
}

/// Neighbouring slices that do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeLeftOut {
    /// First instant.
    pub from: Timestamp,
    /// First instant after it.
    pub to: Timestamp,
}

/// Neighbouring bad slices of one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BadTime {
    /// First instant.
    pub from: Timestamp,
    /// First instant after it.
    pub to: Timestamp,
    /// Why.
    pub cause: BadCause,
    /// Bad requests in it.
    pub bad_requests: u64,
    /// All requests in it.
    pub requests: u64,
}

/// Why a slice is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BadCause {
    /// Too many bad requests.
    BadRequests,
    /// No gateway reported any minute.
    NotReported,
    /// Too few requests, which the plan counts as bad.
    NoData,
    /// Customers could not reach the service.
    Unreachable,
}

/// How a slice counts.
enum Verdict {
    Good,
    Bad(BadCause),
    LeftOut,
}

/// Computes how the service was in `period`, as far as service is `owed` and it has passed by `as_of`.
pub(super) fn outcome(
    levels: &ServiceLevel,
    service: &Service,
    period: Bounds,
    owed: Bounds,
    as_of: Timestamp,
) -> Result<ServiceOutcome, Overflow> {
    let excluded = |minute: Timestamp| {
        let mut all = service.exclusions.iter();
        all.any(|exclusion| exclusion.from <= minute && minute < exclusion.to)
    };
    let ended = |minute: Timestamp| {
        owed.contain(minute) && minute.as_second().saturating_add(MINUTE) <= as_of.as_second()
    };
    let counts = |minute: Timestamp| period.contain(minute) && ended(minute) && !excluded(minute);
    // A month has tens of thousands of minutes, and mostly all of them count: then they are not copied.
    let minutes = if service.minutes.iter().all(|(minute, _)| counts(*minute)) {
        Cow::Borrowed(&service.minutes)
    } else {
        let counted = service.minutes.iter().filter(|(minute, _)| counts(*minute));
        Cow::Owned(counted.copied().collect())
    };
    let sum = |of: fn(&MinuteCounts) -> u64| {
        let mut each = minutes.iter().map(|(_, counts)| of(counts));
        each.try_fold(0_u64, u64::checked_add).ok_or(Overflow)
    };
    let slices = levels
        .availability
        .as_ref()
        .map(|availability| {
            Slicing {
                availability,
                minutes: &minutes,
                period,
                owed,
                as_of,
            }
            .slices(&excluded)
        })
        .transpose()?;
    let touched = service
        .exclusions
        .iter()
        .filter(|exclusion| exclusion.from < period.end && period.start < exclusion.to);
    Ok(ServiceOutcome {
        slices,
        fast: sum(|counts| counts.fast)?,
        slow: sum(|counts| counts.slow)?,
        good: sum(|counts| counts.good)?,
        bad: sum(|counts| counts.bad)?,
        exclusions: touched.cloned().collect(),
    })
}

struct Slicing<'a> {
    availability: &'a Availability,
    /// Those that count, in the order of time.
    minutes: &'a [(Timestamp, MinuteCounts)],
    period: Bounds,
    owed: Bounds,
    as_of: Timestamp,
}

impl Slicing<'_> {
    fn slices(&self, excluded: &dyn Fn(Timestamp) -> bool) -> Result<Slices, Overflow> {
        let mut slices = Slices::default();
        let length = SignedDuration::try_from(self.availability.slice).map_err(|_| Overflow)?;
        let mut rest = self.minutes;
        let mut from = self.period.start;
        while let Some(to) = from.checked_add(length).ok().filter(|to| self.has_ended(*to)) {
            // A slice has a few minutes: they are found sooner one by one than by halving what is left.
            let until = |end| rest.iter().take_while(move |(minute, _)| *minute < end).count();
            let (before, within) = (until(from), until(to));
            let mine = rest.get(before..within).unwrap_or_default();
            rest = rest.get(within..).unwrap_or_default();
            if self.owed.start <= from && to <= self.owed.end {
                self.take(Bounds { start: from, end: to }, mine, excluded, &mut slices)?;
            }
            from = to;
        }
        Ok(slices)
    }

    fn has_ended(&self, to: Timestamp) -> bool {
        to <= self.as_of && to <= self.period.end
    }

    fn take(
        &self,
        slice: Bounds,
        minutes: &[(Timestamp, MinuteCounts)],
        excluded: &dyn Fn(Timestamp) -> bool,
        slices: &mut Slices,
    ) -> Result<(), Overflow> {
        let mut bad = 0_u64;
        let mut requests = 0_u64;
        for (_, counts) in minutes {
            bad = bad.checked_add(counts.bad).ok_or(Overflow)?;
            let both = counts.good.checked_add(counts.bad).ok_or(Overflow)?;
            requests = requests.checked_add(both).ok_or(Overflow)?;
        }
        let unreachable = minutes.iter().filter(|(_, counts)| counts.unreachable).count();
        let verdict = if self.is_unreachable(slice, unreachable)? {
            Verdict::Bad(BadCause::Unreachable)
        } else {
            self.verdict(slice, minutes.is_empty(), bad, requests, excluded)?
        };
        match verdict {
            Verdict::LeftOut => {
                slices.left_out += 1;
                let Bounds { start: from, end: to } = slice;
                match slices.times_left_out.last_mut() {
                    Some(last) if last.to == from => last.to = to,
                    _ => slices.times_left_out.push(TimeLeftOut { from, to }),
                }
            }
            Verdict::Good => {
                slices.good += 1;
                slices.counted += 1;
            }
            Verdict::Bad(cause) => {
                slices.counted += 1;
                let time = BadTime {
                    from: slice.start,
                    to: slice.end,
                    cause,
                    bad_requests: bad,
                    requests,
                };
                push(&mut slices.bad, time);
            }
        }
        Ok(())
    }

    /// Of its minutes a greater share was unreachable than may be bad.
    fn is_unreachable(&self, slice: Bounds, unreachable: usize) -> Result<bool, Overflow> {
        if unreachable == 0 {
            return Ok(false);
        }
        let minutes = (slice.end.as_second() - slice.start.as_second()) / MINUTE;
        let minutes = Exact::from_count(u64::try_from(minutes).map_err(|_| Overflow)?);
        let unreachable = Exact::from_count(u64::try_from(unreachable).map_err(|_| Overflow)?);
        let bearable = minutes.times(self.availability.bad_share)?;
        Ok(unreachable.compare(bearable)?.is_gt())
    }

    fn verdict(
        &self,
        slice: Bounds,
        is_silent: bool,
        bad: u64,
        requests: u64,
        excluded: &dyn Fn(Timestamp) -> bool,
    ) -> Result<Verdict, Overflow> {
        let Availability {
            bad_share,
            minimum_requests,
            no_data,
            ..
        } = self.availability;
        if is_silent {
            let minutes = (slice.start.as_second()..slice.end.as_second()).step_by(60);
            let mut instants = minutes.filter_map(|second| Timestamp::from_second(second).ok());
            return Ok(if instants.all(excluded) {
                Verdict::LeftOut
            } else {
                Verdict::Bad(BadCause::NotReported)
            });
        }
        if requests == 0 || requests < *minimum_requests {
            return Ok(match no_data {
                NoData::Up => Verdict::Good,
                NoData::Down => Verdict::Bad(BadCause::NoData),
                NoData::Exclude => Verdict::LeftOut,
            });
        }
        if bad == 0 {
            return Ok(Verdict::Good);
        }
        let bearable = Exact::from_count(requests).times(*bad_share)?;
        Ok(match Exact::from_count(bad).compare(bearable)? {
            Ordering::Greater => Verdict::Bad(BadCause::BadRequests),
            Ordering::Less | Ordering::Equal => Verdict::Good,
        })
    }
}

/// Adds a bad slice, to the one before it if they adjoin.
fn push(times: &mut Vec<BadTime>, time: BadTime) {
    match times.last_mut() {
        Some(last) if last.to == time.from && last.cause == time.cause => {
            last.to = time.to;
            last.bad_requests = last.bad_requests.saturating_add(time.bad_requests);
            last.requests = last.requests.saturating_add(time.requests);
        }
        _ => times.push(time),
    }
}

/// A row that applies.
pub(super) struct Credit {
    pub(super) cause: CreditCause,
    pub(super) below: Exact,
    pub(super) percent: Exact,
}

/// Of all objectives that were missed, the one that credits most.
pub(super) fn best_credit(
    levels: &ServiceLevel,
    outcome: &ServiceOutcome,
) -> Result<Option<Credit>, Overflow> {
    let availability = match (&levels.availability, &outcome.slices) {
        (Some(availability), Some(slices)) => {
            let Slices { good, counted, .. } = *slices;
            let row = row_of(&availability.credits, good, counted)?;
            row.map(|row| (row, CreditCause::Availability { good, counted }))
        }
        _ => None,
    };
    let response_time = match &levels.response_time {
        Some(response_time) => {
            let counted = outcome.fast.checked_add(outcome.slow).ok_or(Overflow)?;
            let fast = outcome.fast;
            let row = row_of(&response_time.credits, fast, counted)?;
            row.map(|row| (row, CreditCause::ResponseTime { fast, counted }))
        }
        None => None,
    };
    let mut best: Option<Credit> = None;
    for ((below, percent), cause) in [availability, response_time].into_iter().flatten() {
        let is_more = match &best {
            Some(known) => percent.compare(known.percent)?.is_gt(),
            None => true,
        };
        if is_more {
            best = Some(Credit {
                cause,
                below,
                percent,
            });
        }
    }
    Ok(best)
}

/// The row with the lowest bound above 100 × good / counted, with its percentage as far as the cap lets it. Without
/// anything that counts there is none.
fn row_of(credits: &Credits, good: u64, counted: u64) -> Result<Option<(Exact, Exact)>, Overflow> {
    if counted == 0 {
        return Ok(None);
    }
    let hundredfold = Exact::from_count(good).times(Exact::new(100, 0))?;
    for row in &credits.rows {
        let bound = row.below.times(Exact::from_count(counted))?;
        if hundredfold.compare(bound)?.is_lt() {
            let is_capped = row.percent.compare(credits.cap_percent)?.is_gt();
            let percent = if is_capped {
                credits.cap_percent
            } else {
                row.percent
            };
            return Ok(Some((row.below, percent)));
        }
    }
    Ok(None)
}
