//! When a promotion is: a window of local time, or the starts that a cron expression gives.
//!
//! - *occurrence*: one span of time, from its start (inclusive) to its end (exclusive).
//! - *running*: it has begun and has not ended. Where occurrences overlap, the one that began first is running until its end.
//! - *skipped*, *repeated*: local times that do not exist, or exist twice, because clocks are put forward or back.
//!
//! Local times are turned into instants here and nowhere else. A skipped one is as much later as clocks are put forward; a
//! repeated one is the first for a start and the second for an end. So each local time of a start occurs exactly once, which
//! cron expressions are given by being evaluated in local time alone, without a zone.

#[cfg(test)]
mod tests;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// No change of clocks skips or repeats more than this.
const LARGEST_CHANGE: SignedDuration = SignedDuration::from_hours(24);

/// One span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// From here, inclusive.
    pub start: Timestamp,
    /// To here, exclusive.
    pub end: Timestamp,
}

/// When a promotion is.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// Once.
    Once(Occurrence),
    /// Again and again.
    Recurring(Box<Recurrence>),
}

/// The starts by a cron expression, each as long as the other.
#[derive(Clone, Debug)]
pub struct Recurrence {
    cron: Cron,
    duration: SignedDuration,
    zone: TimeZone,
}

/// What is, and what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around {
    /// The one that is running.
    pub running: Option<Occurrence>,
    /// The one that starts after that, or after now if none is running.
    pub next: Option<Occurrence>,
}

/// A time that does not stand for an occurrence.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScheduleError {
    /// No such zone.
    #[error("the time zone {0:?} is not known; use an IANA name such as Asia/Shanghai")]
    Zone(String),
    /// No such date or time.
    #[error("{0:?} is not a date and time such as 2026-11-10T20:00")]
    Time(String),
    /// It ends before it begins.
    #[error("the window ends before it begins; end must be later than start")]
    Reversed,
    /// No such cron expression.
    #[error("{text:?} is not a cron expression such as \"0 20 * * FRI\": {because}")]
    Cron {
        /// What was given.
        text: String,
        /// What the parser says.
        because: String,
    },
    /// It lasts too short or too long.
    #[error("an occurrence must last from 1m to 744h, which is 31 days")]
    Duration,
}

impl Occurrence {
    /// A window of local times of `zone`.
    pub fn of_window(start: &str, end: &str, zone: &str) -> Result<Self, ScheduleError> {
        let zone = zone_of(zone)?;
        let civil = |text: &str| {
            text.parse::<DateTime>()
                .map_err(|_| ScheduleError::Time(text.to_owned()))
        };
        let unrepresentable = |text: &str| ScheduleError::Time(text.to_owned());
        let first = zone
            .to_ambiguous_zoned(civil(start)?)
            .compatible()
            .map_err(|_| unrepresentable(start))?;
        let last = zone
            .to_ambiguous_zoned(civil(end)?)
            .later()
            .map_err(|_| unrepresentable(end))?;
        let (start, end) = (first.timestamp(), last.timestamp());
        if start < end {
            Ok(Self { start, end })
        } else {
            Err(ScheduleError::Reversed)
        }
    }
}

impl Schedule {
    /// What is, and what comes, at `now`.
    pub fn around(&self, now: Timestamp) -> Around {
        match self {
            Self::Once(once) => Around {
                running: Some(*once).filter(|once| once.start <= now && now < once.end),
                next: Some(*once).filter(|once| now < once.start),
            },
            Self::Recurring(recurrence) => recurrence.around(now),
        }
    }

    /// The occurrence that starts, or started, at `start`, as it is planned now.
    pub fn starting_at(&self, start: Timestamp) -> Option<Occurrence> {
        match self {
            Self::Once(once) => Some(*once).filter(|once| once.start == start),
            Self::Recurring(recurrence) => recurrence.lasting(start),
        }
    }
}

impl Recurrence {
    /// From five fields: minute, hour, day of month, month, day of week.
    pub fn parse(cron: &str, duration: SignedDuration, zone: &str) -> Result<Self, ScheduleError> {
        if duration < SignedDuration::from_mins(1) || duration > SignedDuration::from_hours(31 * 24) {
            return Err(ScheduleError::Duration);
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let parsed = parser.parse(cron).map_err(|error| ScheduleError::Cron {
            text: cron.to_owned(),
            because: error.to_string(),
        })?;
        Ok(Self {
            cron: parsed,
            duration,
            zone: zone_of(zone)?,
        })
    }

    fn around(&self, now: Timestamp) -> Around {
        // Of those that have not ended, the one that began first; what begins meanwhile waits for its end.
        let unended = now
            .checked_sub(self.duration)
            .ok()
            .and_then(|ended| self.first_start_after(ended));
        match unended {
            Some(start) if start <= now => Around {
                running: self.lasting(start),
                next: self
                    .first_start_after(start)
                    .and_then(|start| self.lasting(start)),
            },
            later => Around {
                running: None,
                next: later.and_then(|start| self.lasting(start)),
            },
        }
    }

    fn lasting(&self, start: Timestamp) -> Option<Occurrence> {
        let end = start.checked_add(self.duration).ok()?;
        Some(Occurrence { start, end })
    }

    /// The first instant after `after` that is a start.
    fn first_start_after(&self, after: Timestamp) -> Option<Timestamp> {
        let mut local = self.earliest_local_after(after)?;
        let mut found: Option<(Timestamp, DateTime)> = None;
        loop {
            local = self.next_local(local)?;
            // The start that was found had been skipped: only what comes before its place in the new time can precede it.
            if let Some((instant, until)) = found
                && local > until
            {
                return Some(instant);
            }
            let zoned = self.zone.to_ambiguous_zoned(local).compatible().ok()?;
            let (instant, exists) = (zoned.timestamp(), zoned.datetime() == local);
            let first = found.is_none_or(|(earlier, _)| instant < earlier);
            if instant > after && first {
                if exists {
                    return Some(instant);
                }
                found = Some((instant, zoned.datetime()));
            }
        }
    }

    /// A local time before every one that stands for an instant later than `after`: after a change of clocks, skipped times
    /// are still to come that the clock has passed.
    fn earliest_local_after(&self, after: Timestamp) -> Option<DateTime> {
        let before_change = after.checked_sub(LARGEST_CHANGE).ok()?;
        let shown_with_offset_at = |instant| self.zone.to_offset(instant).to_datetime(after);
        let local = shown_with_offset_at(after).min(shown_with_offset_at(before_change));
        local.with().subsec_nanosecond(0).build().ok()
    }

    /// The next local time that the expression names, as if there were no zones.
    fn next_local(&self, after: DateTime) -> Option<DateTime> {
        let after = after.to_zoned(TimeZone::UTC).ok()?;
        self.cron
            .find_next_occurrence(&after, false)
            .ok()
            .map(|next| next.datetime())
    }
}

fn zone_of(name: &str) -> Result<TimeZone, ScheduleError> {
    TimeZone::get(name).map_err(|_| ScheduleError::Zone(name.to_owned()))
}
