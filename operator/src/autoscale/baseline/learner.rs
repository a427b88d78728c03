//! Watches a pool's load, and learns each slot that was complete.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Baseline, SLOT_SECONDS, slot_of};

/// A longer time without an observation is missing data.
const LONGEST_GAP: SignedDuration = SignedDuration::from_secs(30);

/// Learns a pool's baseline from its load.
#[derive(Clone, Debug, Default)]
pub struct BaselineLearner {
    learned: Arc<Baseline>,
    open: Option<OpenSlot>,
}

/// The slot that is going on.
#[derive(Clone, Copy, Debug)]
struct OpenSlot {
    begun: Timestamp,
    seen: Timestamp,
    highest: u32,
    complete: bool,
}

impl BaselineLearner {
    /// Goes on from what was learned before.
    pub fn resume(learned: Baseline) -> Self {
        Self {
            learned: Arc::new(learned),
            open: None,
        }
    }

    /// What was learned so far.
    pub fn learned(&self) -> Arc<Baseline> {
        self.learned.clone()
    }

    /// Takes note of the load now, in conversations, of a pool that lives in the time zone of that name. `None` if any of it is
    /// not known, or it is not what the pool usually has.
    pub fn observe(&mut self, now: Timestamp, zone: &str, load: Option<u32>) {
        if let Some(open) = &mut self.open
            && begin_of(open.seen) == begin_of(now)
        {
            open.see(now, load);
            return;
        }
        if let Some(ended) = self.open.take() {
            self.learn(ended, zone);
        }
        let begun = begin_of(now);
        let mut open = OpenSlot {
            begun,
            seen: begun,
            highest: 0,
            complete: true,
        };
        open.see(now, load);
        self.open = Some(open);
    }

    fn learn(&mut self, mut ended: OpenSlot, zone: &str) {
        let Ok(end) = ended.begun.checked_add(SignedDuration::from_secs(SLOT_SECONDS)) else {
            return;
        };
        ended.see(end, Some(ended.highest));
        if ended.complete {
            let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
            let slot = slot_of(ended.begun, &zone);
            Arc::make_mut(&mut self.learned).learn(slot, ended.highest);
        }
    }
}

impl OpenSlot {
    fn see(&mut self, now: Timestamp, load: Option<u32>) {
        let gap = now.duration_since(self.seen);
        self.complete &= !gap.is_negative() && gap <= LONGEST_GAP && load.is_some();
        self.highest = self.highest.max(load.unwrap_or(0));
        self.seen = now;
    }
}

/// When the slot of an instant began.
fn begin_of(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(SLOT_SECONDS)).unwrap_or(at)
}
