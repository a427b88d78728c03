//! Promotions: what is wanted, from when until when.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// So many workers are expected to be created in a second.
const CREATIONS_PER_SECOND: u32 = 5;
/// Between a worker's first answer and the promotion's being called ready.
const VERIFICATION: Duration = Duration::from_secs(10);

/// A promotion that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its name.
    pub promotion: String,
    /// Never fewer workers.
    pub floor: u32,
    /// The maximum instead of the pool's own, if it names one.
    pub ceiling: Option<u32>,
}

/// A span of local wall-clock time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalWindow {
    /// From here, inclusive.
    pub start: Timestamp,
    /// To here, exclusive.
    pub end: Timestamp,
}

/// A window that does not stand for a span of time.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WindowError {
    /// No such zone.
    #[error("the time zone {0:?} is not known; use an IANA name such as Asia/Shanghai")]
    Zone(String),
    /// No such date or time.
    #[error("{0:?} is not a date and time such as 2026-11-10T20:00")]
    Time(String),
    /// It ends before it begins.
    #[error("the window ends before it begins; end must be later than start")]
    Reversed,
}

impl LocalWindow {
    /// Reads local times of `zone`. A time that a change of clocks skips is as much later as clocks are put forward; of
    /// a time that occurs twice, a start is the first and an end the second, so that nothing is left out.
    pub fn parse(start: &str, end: &str, zone: &str) -> Result<Self, WindowError> {
        let zone = TimeZone::get(zone).map_err(|_| WindowError::Zone(zone.to_owned()))?;
        let civil = |text: &str| {
            text.parse::<DateTime>()
                .map_err(|_| WindowError::Time(text.to_owned()))
        };
        let unrepresentable = |text: &str| WindowError::Time(text.to_owned());
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
            Err(WindowError::Reversed)
        }
    }
}

/// How much a promotion asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BoostSize {
    /// Percent more than the baseline.
    Percent(f64),
    /// That many workers.
    Workers(u32),
}

impl BoostSize {
    /// Workers wanted in a pool whose workers take `capacity` each, over a baseline in conversations.
    pub fn wanted(self, baseline: u32, capacity: u32) -> u32 {
        match self {
            Self::Workers(workers) => workers,
            Self::Percent(percent) => {
                let conversations = f64::from(baseline) * (1.0 + percent / 100.0);
                super::decide::workers_for(conversations, capacity)
            }
        }
    }
}

/// Where a promotion stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its time has not come.
    Waiting,
    /// Workers are being started for it.
    Prewarming,
    /// It is on.
    Open,
    /// It was.
    Over,
}

impl Phase {
    /// Where it stands now.
    pub fn at(now: Timestamp, prewarm_at: Timestamp, window: &LocalWindow) -> Self {
        if now >= window.end {
            Self::Over
        } else if now >= window.start {
            Self::Open
        } else if now >= prewarm_at {
            Self::Prewarming
        } else {
            Self::Waiting
        }
    }

    /// Capacity is held for it.
    pub fn holds(self) -> bool {
        matches!(self, Self::Prewarming | Self::Open)
    }

    /// Text of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Prewarming => "Prewarming",
            Self::Open => "Open",
            Self::Over => "Over",
        }
    }
}

/// How long before the start pre-warming must begin so that `missing` more workers, each taking `start_time`, all answer
/// `ready_by` before it.
pub fn prewarm_lead(ready_by: Duration, start_time: Duration, missing: u32) -> SignedDuration {
    let creations = Duration::from_secs(u64::from(missing.div_ceil(CREATIONS_PER_SECOND)));
    let lead = ready_by + creations + start_time * 2 + VERIFICATION;
    SignedDuration::try_from(lead).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_windows_are_exact_where_clocks_change() {
        let shanghai = LocalWindow::parse("2026-11-10T20:00", "2026-11-12T00:00", "Asia/Shanghai").unwrap();
        assert_eq!(shanghai.start.to_string(), "2026-11-10T12:00:00Z");
        assert_eq!(shanghai.end.to_string(), "2026-11-11T16:00:00Z");
        // Berlin, 25 October 2026: 02:00 to 03:00 occurs twice. 29 March: it does not occur.
        let twice = LocalWindow::parse("2026-10-25T02:30", "2026-10-25T02:30", "Europe/Berlin").unwrap();
        assert_eq!(
            twice.end.duration_since(twice.start),
            SignedDuration::from_hours(1)
        );
        let skipped = LocalWindow::parse("2026-03-29T02:30", "2026-03-29T04:00", "Europe/Berlin").unwrap();
        assert_eq!(skipped.start.to_string(), "2026-03-29T01:30:00Z");
        let reversed = LocalWindow::parse("2026-11-10T20:00", "2026-11-10T19:00", "Asia/Shanghai");
        assert_eq!(reversed, Err(WindowError::Reversed));
        assert!(matches!(
            LocalWindow::parse("2026-11-10T20:00", "x", "UTC"),
            Err(WindowError::Time(_))
        ));
        assert!(matches!(
            LocalWindow::parse("2026-11-10T20:00", "x", "Mars/Base"),
            Err(WindowError::Zone(_))
        ));
    }

    #[test]
    fn two_hundred_percent_more_is_three_times_as_much() {
        assert_eq!(BoostSize::Percent(200.0).wanted(100, 20), 15);
        assert_eq!(BoostSize::Percent(0.0).wanted(101, 20), 6);
        assert_eq!(BoostSize::Workers(60).wanted(1, 20), 60);
    }

    #[test]
    fn capacity_is_held_from_prewarming_to_the_end() {
        let window = LocalWindow::parse("2026-11-10T20:00", "2026-11-10T21:00", "UTC").unwrap();
        let prewarm = window.start - SignedDuration::from_mins(30);
        let at = |minutes: i64| {
            Phase::at(
                window.start + SignedDuration::from_mins(minutes),
                prewarm,
                &window,
            )
        };
        assert_eq!(at(-31), Phase::Waiting);
        assert_eq!(at(-30), Phase::Prewarming);
        assert_eq!(at(0), Phase::Open);
        assert_eq!(at(60), Phase::Over);
        assert!(at(-30).holds() && at(59).holds() && !at(60).holds() && !at(-31).holds());
    }
}
