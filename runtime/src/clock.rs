//! The clock as a parameter: what decides takes a [`Clock`], so that it can be tested and replayed.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;

/// Tells the time (UTC).
pub trait Clock: Send + Sync + 'static {
    /// The instant now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that stands still until it is set: for tests.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Timestamp>>);

impl ManualClock {
    /// Stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(start)))
    }
    /// Moves it.
    pub fn set(&self, to: Timestamp) {
        *self.0.lock() = to;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

/// A new identity for this start of the process.
#[expect(clippy::disallowed_methods, reason = "identities are made here, at the edge")]
pub fn new_boot_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// A flag's seconds, as "1" or "0.8": a thousandth to a minute.
pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|seconds| (Duration::from_millis(1)..=Duration::from_mins(1)).contains(seconds))
        .ok_or_else(|| "seconds from 0.001 to 60 are needed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_of_a_flag_may_be_a_fraction_and_nonsense_is_refused() {
        assert_eq!(parse_seconds("0.8"), Ok(Duration::from_millis(800)));
        assert_eq!(parse_seconds("60"), Ok(Duration::from_mins(1)));
        for wrong in ["", "0", "-1", "61", "NaN", "inf", "1s"] {
            assert!(parse_seconds(wrong).is_err(), "{wrong}");
        }
    }
}
