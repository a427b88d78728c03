//! Manual overrides: what `kubectl scale` means.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Kind of an override.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverrideMode {
    /// Nothing goes below it.
    Floor,
    /// Exactly that many.
    Pin,
    /// Nothing goes above it.
    Ceiling,
}

/// A number that a person gave, and until when it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// Kind.
    pub mode: OverrideMode,
    /// The number.
    pub workers: u32,
    /// When it was given.
    pub set_at: Timestamp,
    /// When it lapses.
    pub lapses_at: Timestamp,
}

impl Override {
    /// The override that `workers` (0: none) given at `set_at` stands for.
    pub fn new(mode: OverrideMode, workers: u32, set_at: Timestamp, ttl: Duration) -> Option<Self> {
        let ttl = SignedDuration::try_from(ttl).ok()?;
        let lapses_at = set_at.checked_add(ttl).unwrap_or(Timestamp::MAX);
        (workers > 0).then_some(Self {
            mode,
            workers,
            set_at,
            lapses_at,
        })
    }

    /// It is over.
    pub fn has_lapsed(&self, now: Timestamp) -> bool {
        now >= self.lapses_at
    }

    /// Applies it to the bounds of a pool: (floor, ceiling).
    pub(super) fn apply(self, floor: u32, ceiling: u32) -> (u32, u32) {
        match self.mode {
            OverrideMode::Floor => (floor.max(self.workers), ceiling),
            OverrideMode::Pin => (self.workers, ceiling.min(self.workers)),
            OverrideMode::Ceiling => (floor, ceiling.min(self.workers)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(mode: OverrideMode) -> Override {
        Override::new(mode, 5, Timestamp::UNIX_EPOCH, Duration::from_mins(1)).unwrap()
    }

    #[test]
    fn a_floor_raises_a_ceiling_lowers_and_a_pin_does_both() {
        assert_eq!(given(OverrideMode::Floor).apply(2, 10), (5, 10));
        assert_eq!(given(OverrideMode::Floor).apply(7, 10), (7, 10));
        assert_eq!(given(OverrideMode::Ceiling).apply(2, 10), (2, 5));
        assert_eq!(given(OverrideMode::Ceiling).apply(2, 3), (2, 3));
        assert_eq!(given(OverrideMode::Pin).apply(7, 10), (5, 5));
        assert_eq!(
            given(OverrideMode::Pin).apply(7, 3),
            (5, 3),
            "a pin does not lift a limit"
        );
    }

    #[test]
    fn zero_is_no_override_and_one_lapses_at_the_end_of_its_time() {
        assert_eq!(
            Override::new(
                OverrideMode::Pin,
                0,
                Timestamp::UNIX_EPOCH,
                Duration::from_mins(1)
            ),
            None
        );
        let floor = given(OverrideMode::Floor);
        assert!(!floor.has_lapsed(Timestamp::from_second(59).unwrap()));
        assert!(floor.has_lapsed(Timestamp::from_second(60).unwrap()));
    }
}
