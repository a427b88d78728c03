//! The time column: instants, local times without a zone, or numbers.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::Problem;

/// A time as it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Moment {
    /// Seconds, or steps.
    Number(f64),
    /// Without a zone: taken as UTC.
    Local(Timestamp),
    /// RFC 3339.
    Instant(Timestamp),
}

impl Moment {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        if let Ok(number) = text.parse::<f64>() {
            return if number.is_finite() {
                Ok(Self::Number(number))
            } else {
                Err(Problem::NotFinite(text.to_owned()))
            };
        }
        if let Ok(instant) = text.parse::<Timestamp>() {
            return Ok(Self::Instant(instant));
        }
        let local = text.parse::<DateTime>().ok();
        local
            .and_then(|local| local.to_zoned(TimeZone::UTC).ok())
            .map(|zoned| Self::Local(zoned.timestamp()))
            .ok_or_else(|| Problem::NotATime(text.to_owned()))
    }

    pub(super) fn instant(self) -> Option<Timestamp> {
        match self {
            Self::Number(_) => None,
            Self::Local(instant) | Self::Instant(instant) => Some(instant),
        }
    }

    /// Seconds since `first`; a number counts `step` seconds.
    pub(super) fn seconds_since(self, first: Self, step: f64) -> Result<f64, Problem> {
        match (first, self) {
            (Self::Number(first), Self::Number(this)) => Ok((this - first) * step),
            (Self::Local(first), Self::Local(this)) | (Self::Instant(first), Self::Instant(this)) => {
                Ok(this.duration_since(first).as_secs_f64())
            }
            _ => Err(Problem::MixedTimes),
        }
    }
}
