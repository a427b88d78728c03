//! What load a pool usually has at a time of the week.
//!
//! - *slot*: 15 minutes of the week in the time zone of the pool's tenant, because customers live by their clocks. A pool of an
//!   unknown zone is learned in UTC. In a repeated hour its slots are learned twice; a skipped hour leaves its slots as they are.
//! - *learned*: of each week, the highest load of the slot (active and waiting); over weeks, the exponentially weighted mean.
//! - *error*: the mean absolute relative error of what had been predicted for the slot before it was learned.
//! - *trusted*: seen in at least two weeks, with an error of at most 30 percent.
//! - *complete*: observed from its beginning to its end without a gap and without missing data. No other slot is learned.

mod bytes;
mod learner;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use bytes::{DecodeError, MOST_BYTES};
pub use learner::BaselineLearner;

/// Slots of a week.
pub const SLOTS: usize = 7 * 24 * 4;
/// Seconds of a slot. All zones are whole quarters of an hour off UTC, so slots begin at the same instants everywhere.
const SLOT_SECONDS: i64 = 15 * 60;
/// Weeks after which a slot may be trusted.
const ENOUGH_WEEKS: u8 = 2;
/// The largest error of a slot that is trusted, in hundredths of a percent.
const LARGEST_ERROR: u16 = 30 * 100;
/// Weight of the newest week, once there are so many that it is not simply their mean.
const WEIGHT: f64 = 0.3;
/// A mean is kept in quarters of a conversation.
const MEAN_SCALE: f64 = 4.0;
const LARGEST_MEAN: u32 = (1 << 24) - 1;
/// An error is kept in hundredths of a percent.
const ERROR_SCALE: f64 = 10_000.0;

/// What was learned of a pool, slot by slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    /// None yet, or all slots of the week, from Monday 00:00.
    slots: Vec<Slot>,
}

/// What was learned of one slot, in the numbers in which it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot {
    mean: u32,
    error: u16,
    weeks: u8,
}

impl Slot {
    fn learn(&mut self, load: u32) {
        let (load, mean) = (f64::from(load), self.load());
        if self.weeks > 0 {
            let off = (load - mean).abs() / load.max(1.0);
            let error = f64::from(self.error) / ERROR_SCALE;
            let error = error + weight(self.weeks) * (off - error);
            self.error = whole(error * ERROR_SCALE, u32::from(u16::MAX))
                .try_into()
                .unwrap_or(u16::MAX);
        }
        let mean = mean + weight(self.weeks.saturating_add(1)) * (load - mean);
        self.mean = whole(mean * MEAN_SCALE, LARGEST_MEAN);
        self.weeks = self.weeks.saturating_add(1);
    }

    fn load(self) -> f64 {
        f64::from(self.mean) / MEAN_SCALE
    }

    fn is_trusted(self) -> bool {
        self.weeks >= ENOUGH_WEEKS && self.error <= LARGEST_ERROR
    }
}

impl Baseline {
    /// The load that is expected in the slot of `at`, in conversations, with the error of such expectations as a share; none
    /// if the slot is not trusted.
    pub fn expected(&self, at: Timestamp, zone: &TimeZone) -> Option<(f64, f64)> {
        let slot = self.slots.get(slot_of(at, zone))?;
        slot.is_trusted()
            .then(|| (slot.load(), f64::from(slot.error) / ERROR_SCALE))
    }

    /// The highest load that is expected from `start` to `end`, in conversations; none while fewer than half of the slots
    /// between are trusted, for the highest could be among the others.
    pub fn highest(&self, start: Timestamp, end: Timestamp, zone: &TimeZone) -> Option<f64> {
        let first = start.as_second().div_euclid(SLOT_SECONDS);
        // A week covers every slot.
        let covered = (first..).take(SLOTS).map_while(|quarter| {
            let begins = quarter.checked_mul(SLOT_SECONDS)?;
            (begins < end.as_second() || quarter == first).then(|| Timestamp::from_second(begins).ok())?
        });
        let (mut all, mut trusted, mut highest) = (0_u32, 0_u32, 0.0_f64);
        for at in covered {
            all += 1;
            if let Some((load, _)) = self.expected(at, zone) {
                trusted += 1;
                highest = highest.max(load);
            }
        }
        (trusted > 0 && trusted * 2 >= all).then_some(highest)
    }

    fn learn(&mut self, slot: usize, load: u32) {
        self.slots.resize(SLOTS, Slot::default());
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.learn(load);
        }
    }
}

/// Weight of the newest of so many observations.
fn weight(observations: u8) -> f64 {
    (1.0 / f64::from(observations.max(1))).max(WEIGHT)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and nothing here is negative"
)]
fn whole(value: f64, largest: u32) -> u32 {
    (value.round() as u32).min(largest)
}

/// The slot of an instant: how many slots of the week are before it.
fn slot_of(at: Timestamp, zone: &TimeZone) -> usize {
    let local = zone.to_datetime(at);
    let day = local.weekday().to_monday_zero_offset();
    let minutes = (i32::from(day) * 24 + i32::from(local.hour())) * 60 + i32::from(local.minute());
    usize::try_from(minutes / 15).unwrap_or(0)
}
