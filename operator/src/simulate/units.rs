//! Time and counts of a run.
//!
//! - *time*: nanoseconds since the run began ([`Time`]).

/// Nanoseconds since the run began, or a span of them.
pub(super) type Time = u64;

/// One second.
pub(super) const SECOND: Time = 1_000_000_000;
/// Later than any run.
pub(super) const NEVER: Time = Time::MAX;

/// As seconds.
pub(super) fn seconds(time: Time) -> f64 {
    time as f64 / SECOND as f64
}

/// From seconds, rounded; negative is 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and negative is 0"
)]
pub(super) fn from_seconds(seconds: f64) -> Time {
    (seconds * SECOND as f64).round() as Time
}

/// Rounded up; negative is 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and negative is 0"
)]
pub(super) fn ceil(value: f64) -> u32 {
    value.ceil() as u32
}

/// A count of things in memory.
pub(super) fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Such a count, as an index.
pub(super) fn to_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
