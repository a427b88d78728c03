//! Active conversations, and which of them ends next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::units::{NEVER, Time, to_u32, to_usize};

/// A conversation that holds a worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conversation {
    pub(super) worker: u32,
    /// Where it is among those of its worker.
    pub(super) position: u32,
    pub(super) ends_at: Time,
    /// It waited long before.
    pub(super) counted: bool,
    /// How often this place was used: tells an end that is no longer due from one that is.
    uses: u32,
}

/// When, which place, and its number of uses then.
type End = Reverse<(Time, u32, u32)>;

/// All that are active, each in a place that is used again.
#[derive(Clone, Debug, Default)]
pub(super) struct Conversations {
    places: Vec<Conversation>,
    free: Vec<u32>,
    ends: BinaryHeap<End>,
}

impl Conversations {
    pub(super) fn active(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn get(&mut self, place: u32) -> &mut Conversation {
        &mut self.places[to_usize(place)]
    }

    /// One begins; gives its place.
    pub(super) fn begin(&mut self, worker: u32, position: u32, ends_at: Time, counted: bool) -> u32 {
        let begun = Conversation {
            worker,
            position,
            ends_at,
            counted,
            uses: 0,
        };
        let place = if let Some(place) = self.free.pop() {
            let uses = self.places[to_usize(place)].uses;
            self.places[to_usize(place)] = Conversation { uses, ..begun };
            place
        } else {
            self.places.push(begun);
            to_u32(self.places.len() - 1)
        };
        let uses = self.places[to_usize(place)].uses;
        self.ends.push(Reverse((ends_at, place, uses)));
        place
    }

    /// One has no worker any more.
    pub(super) fn leave(&mut self, place: u32) {
        let conversation = self.get(place);
        conversation.uses = conversation.uses.wrapping_add(1);
        self.free.push(place);
    }

    /// When the next ends, or one that left would have ended.
    pub(super) fn next_end(&self) -> Time {
        self.ends.peek().map_or(NEVER, |Reverse((at, _, _))| *at)
    }

    /// The next that ends; none if it left before.
    pub(super) fn take_end(&mut self) -> Option<u32> {
        let Reverse((_, place, uses)) = self.ends.pop()?;
        (self.get(place).uses == uses).then_some(place)
    }
}
