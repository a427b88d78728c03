//! The clock as a parameter: what decides takes a [`Clock`], so that it can be tested and replayed.

use std::sync::Arc;

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
