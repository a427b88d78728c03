//! Watches a pool's load, and learns each slot that was complete.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Baseline, SLOT_SECONDS, SlotLoad, Usual, begin_of, slot_of};

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
    /// What was seen first.
    first: Option<u32>,
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

    /// What load is usual from `at` until the horizon, as [`Baseline::usual`].
    pub fn usual(&self, at: Timestamp, horizon: Duration, zone: &TimeZone) -> Option<Usual> {
        self.learned.usual(at, horizon, zone)
    }

    /// Takes note of the load now, in conversations, of a pool that lives in the time zone of that name. `None` if any of it is
    /// not known, or it is not what the pool usually has.
    pub fn observe(&mut self, now: Timestamp, zone: &str, load: Option<u32>) {
        if let Some(open) = &mut self.open
            && open.begun.as_second() == begin_of(now)
        {
            open.see(now, load);
            return;
        }
        if let Some(ended) = self.open.take() {
            self.learn(ended, zone);
        }
        let begun = Timestamp::from_second(begin_of(now)).unwrap_or(now);
        let mut open = OpenSlot {
            begun,
            seen: begun,
            first: load,
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
        ended.see(end, ended.first);
        if ended.complete {
            let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
            let load = SlotLoad {
                highest: ended.highest,
                first: ended.first.unwrap_or(0),
            };
            Arc::make_mut(&mut self.learned).learn(slot_of(ended.begun, &zone), load);
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
