//! Customers who wait, first come first served; they never give up.

use std::collections::VecDeque;

use super::units::{SECOND, Time};

/// A wait that is longer than this is long.
const LONG: Time = 5 * SECOND;

/// A conversation that has no worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Since when it waits.
    pub(super) since: Time,
    /// For so long it will hold a worker.
    pub(super) hold: Time,
    /// It is counted among the long waits already: it waited before, and its worker left.
    pub(super) counted: bool,
}

/// Those who wait, and how long they did.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    /// Conversations that waited long, each once.
    pub(super) long: u64,
    /// The longest wait.
    pub(super) longest: Time,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn join(&mut self, waiting: Waiting) {
        self.waiting.push_back(waiting);
    }

    /// Conversations whose worker left stand before all others, in this order.
    pub(super) fn return_to_head(&mut self, displaced: Vec<Waiting>) {
        for waiting in displaced.into_iter().rev() {
            self.waiting.push_front(waiting);
        }
    }

    /// The head is taken by a worker.
    pub(super) fn take(&mut self, now: Time) -> Option<Waiting> {
        let mut waiting = self.waiting.pop_front()?;
        self.note(&mut waiting, now);
        Some(waiting)
    }

    /// The run is over: those who still wait have waited until now.
    pub(super) fn close(&mut self, now: Time) {
        let mut rest = std::mem::take(&mut self.waiting);
        for waiting in &mut rest {
            self.note(waiting, now);
        }
        self.waiting = rest;
    }

    fn note(&mut self, waiting: &mut Waiting, now: Time) {
        let waited = now.saturating_sub(waiting.since);
        self.longest = self.longest.max(waited);
        if waited > LONG && !waiting.counted {
            waiting.counted = true;
            self.long += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_counts_once_however_often_it_waits() {
        let mut queue = Queue::default();
        queue.join(Waiting {
            since: 0,
            hold: SECOND,
            counted: false,
        });
        let first = queue.take(LONG + 1).unwrap();
        assert!(first.counted);
        let second = Waiting {
            since: 10 * SECOND,
            ..first
        };
        queue.join(Waiting {
            since: 11 * SECOND,
            hold: 1,
            counted: false,
        });
        queue.return_to_head(vec![second]);
        assert_eq!(
            queue.take(30 * SECOND),
            Some(second),
            "before those who came later"
        );
        queue.close(16 * SECOND);
        assert_eq!(
            (queue.long, queue.longest, queue.len()),
            (1, 20 * SECOND, 1),
            "five seconds are not long"
        );
    }
}
