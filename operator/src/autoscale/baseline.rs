//! What load a pool usually has at a time of the week.
//!
//! - *slot*: 15 minutes of the week in the time zone of the pool's tenant, because customers live by their clocks. A pool of an
//!   unknown zone is learned in UTC. In a repeated hour its slots are learned twice; a skipped hour leaves its slots as they are.
//! - *learned*: of each week, the highest load of the slot (active and waiting) and the load with which it began; over weeks, the
//!   exponentially weighted mean of each.
//! - *error*: the mean absolute relative error of what had been predicted for the slot before it was learned.
//! - *trusted*: seen in at least two weeks, with an error of at most 30 percent.
//! - *usual*: the load at an instant, on the line from what the slot begins with to what the next one begins with. Shops open and
//!   close on the quarter of an hour: a line from before it would rise too early.
//! - *complete*: observed from its beginning to its end without a gap and without missing data. No other slot is learned.

mod bytes;
mod learner;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::Usual;

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
/// A load is kept in quarters of a conversation.
const LOAD_SCALE: f64 = 4.0;
const LARGEST_LOAD: u32 = (1 << 24) - 1;
/// An error is kept in hundredths of a percent.
const ERROR_SCALE: f64 = 10_000.0;
/// What a slot begins with is kept as a share of the highest, in parts of this.
const SHARE_SCALE: f64 = 255.0;

/// What was learned of a pool, slot by slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    /// None yet, or all slots of the week, from Monday 00:00.
    slots: Vec<Slot>,
}

/// What was learned of one slot, in the numbers in which it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot {
    highest: u32,
    /// What it begins with, as a share of the highest.
    share: u8,
    error: u16,
    weeks: u8,
}

/// The load of one slot of one week, in conversations.
#[derive(Clone, Copy, Debug, PartialEq)]
struct SlotLoad {
    highest: u32,
    first: u32,
}

impl Slot {
    fn learn(&mut self, load: SlotLoad) {
        let (seen, highest, first) = (f64::from(load.highest), self.highest(), self.first());
        if self.weeks > 0 {
            let off = (seen - highest).abs() / seen.max(1.0);
            let error = f64::from(self.error) / ERROR_SCALE;
            let error = error + weight(self.weeks) * (off - error);
            self.error = whole(error * ERROR_SCALE, u32::from(u16::MAX))
                .try_into()
                .unwrap_or(u16::MAX);
        }
        let newest = weight(self.weeks.saturating_add(1));
        let (highest, first) = (
            highest + newest * (seen - highest),
            first + newest * (f64::from(load.first) - first),
        );
        self.highest = whole(highest * LOAD_SCALE, LARGEST_LOAD);
        let share = if highest > 0.0 { first / highest } else { 0.0 };
        self.share = u8::try_from(whole(share * SHARE_SCALE, u32::from(u8::MAX))).unwrap_or(u8::MAX);
        self.weeks = self.weeks.saturating_add(1);
    }

    fn highest(self) -> f64 {
        f64::from(self.highest) / LOAD_SCALE
    }

    fn first(self) -> f64 {
        self.highest() * f64::from(self.share) / SHARE_SCALE
    }

    fn is_trusted(self) -> bool {
        self.weeks >= ENOUGH_WEEKS && self.error <= LARGEST_ERROR
    }
}

impl Baseline {
    /// The highest load that is expected in the slot of `at`, in conversations, with the error of such expectations as a share; none
    /// if the slot is not trusted.
    pub fn expected(&self, at: Timestamp, zone: &TimeZone) -> Option<(f64, f64)> {
        let slot = self.slots.get(slot_of(at, zone))?;
        slot.is_trusted()
            .then(|| (slot.highest(), f64::from(slot.error) / ERROR_SCALE))
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

    /// What load is usual from `at` until the horizon; none unless all slots that it lies on are trusted.
    pub fn usual(&self, at: Timestamp, horizon: Duration, zone: &TimeZone) -> Option<Usual> {
        let end = at.checked_add(SignedDuration::try_from(horizon).ok()?).ok()?;
        let (now, at_horizon) = (self.usual_at(at, zone)?, self.usual_at(end, zone)?);
        let mut highest = now.max(at_horizon);
        // Within a slot the load lies on a line, so no other instant is higher than both ends.
        let mut begin = begin_of(at) + SLOT_SECONDS;
        while begin < end.as_second() {
            highest = highest.max(self.begins_with(begin, zone)?);
            begin += SLOT_SECONDS;
        }
        Some(Usual {
            now,
            highest,
            at_horizon,
        })
    }

    fn usual_at(&self, at: Timestamp, zone: &TimeZone) -> Option<f64> {
        let begin = begin_of(at);
        let one = self.begins_with(begin, zone)?;
        let next = self.begins_with(begin + SLOT_SECONDS, zone)?;
        let passed = (at.as_second() - begin) as f64 / SLOT_SECONDS as f64;
        Some(one + (next - one) * passed)
    }

    fn begins_with(&self, second: i64, zone: &TimeZone) -> Option<f64> {
        let slot = self
            .slots
            .get(slot_of(Timestamp::from_second(second).ok()?, zone))?;
        slot.is_trusted().then(|| slot.first())
    }

    fn learn(&mut self, slot: usize, load: SlotLoad) {
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

/// The second at which the slot of an instant began.
fn begin_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(SLOT_SECONDS) * SLOT_SECONDS
}

/// The slot of an instant: how many slots of the week are before it.
fn slot_of(at: Timestamp, zone: &TimeZone) -> usize {
    let local = zone.to_datetime(at);
    let day = local.weekday().to_monday_zero_offset();
    let minutes = (i32::from(day) * 24 + i32::from(local.hour())) * 60 + i32::from(local.minute());
    usize::try_from(minutes / 15).unwrap_or(0)
}
