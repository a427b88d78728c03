//! Workers and the conversations that they hold.
//!
//! - *ready*: takes conversations. *starting*: created, and not ready yet.
//! - A conversation is taken by the fullest ready worker that has room. Where none has, it waits; room that comes up is
//!   taken by the head of the queue.
//! - A worker that is removed is gone at once. Its conversations go on at the other ready workers with room, the fullest
//!   first; what finds none waits at the head of the queue, and goes on for what was left of it.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::conversations::Conversations;
use super::queue::{Queue, Waiting};
use super::rooms::Rooms;
use super::units::{NEVER, Time, to_u32, to_usize};

#[derive(Clone, Debug)]
struct Worker {
    state: State,
    created: Time,
    ready_at: Time,
    uid: u64,
    /// How often this place was used.
    uses: u32,
    /// Places of its conversations.
    held: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Ready,
    Gone,
}

/// A worker that could be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Removable {
    pub(super) worker: u32,
    pub(super) starting: bool,
    pub(super) active: u32,
    pub(super) created: Time,
    /// When it became ready, or will.
    pub(super) ready_at: Time,
    /// At random.
    pub(super) uid: u64,
}

/// What was counted since the run began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) arrived: u64,
    pub(super) ended: u64,
    pub(super) created: u64,
    pub(super) deleted: u64,
    pub(super) moved: u64,
    pub(super) busy_deleted: u64,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// What was due is no longer.
    Nothing,
    /// A conversation ended.
    Ended,
    /// A worker became ready, after so long.
    Ready(Time),
}

/// Workers, conversations and the queue.
#[derive(Clone, Debug)]
pub(super) struct Fleet {
    workers: Vec<Worker>,
    free: Vec<u32>,
    starts: BinaryHeap<Reverse<(Time, u32, u32)>>,
    conversations: Conversations,
    rooms: Rooms,
    pub(super) queue: Queue,
    pub(super) ready: u32,
    pub(super) starting: u32,
    pub(super) counts: Counts,
}

impl Fleet {
    pub(super) fn new(capacity: u32) -> Self {
        Self {
            workers: Vec::new(),
            free: Vec::new(),
            starts: BinaryHeap::new(),
            conversations: Conversations::default(),
            rooms: Rooms::new(capacity),
            queue: Queue::default(),
            ready: 0,
            starting: 0,
            counts: Counts::default(),
        }
    }

    pub(super) fn active(&self) -> u32 {
        to_u32(self.conversations.active())
    }

    pub(super) fn waiting(&self) -> u32 {
        to_u32(self.queue.len())
    }

    /// A worker that is ready from the beginning; it is not counted as created.
    pub(super) fn place_ready(&mut self, uid: u64) {
        let worker = self.place(0, 0, uid);
        self.workers[to_usize(worker)].state = State::Ready;
        self.ready += 1;
        self.rooms.insert(worker, 0);
    }

    /// A conversation that is active from the beginning, or waits; it is not counted as arrived.
    pub(super) fn place_active(&mut self, hold: Time) {
        self.accept(Waiting {
            since: 0,
            hold,
            counted: false,
        });
    }

    pub(super) fn arrive(&mut self, now: Time, hold: Time) {
        self.counts.arrived += 1;
        self.accept(Waiting {
            since: now,
            hold,
            counted: false,
        });
    }

    pub(super) fn create(&mut self, now: Time, taken: Time, uid: u64) {
        self.place_starting(now, taken, uid);
        self.counts.created += 1;
    }

    /// A worker that is not ready yet; it is not counted as created.
    pub(super) fn place_starting(&mut self, now: Time, taken: Time, uid: u64) {
        let ready_at = now.saturating_add(taken);
        let worker = self.place(now, ready_at, uid);
        let uses = self.workers[to_usize(worker)].uses;
        self.starts.push(Reverse((ready_at, worker, uses)));
        self.starting += 1;
    }

    /// When something is due.
    pub(super) fn next_event(&self) -> Time {
        self.next_start().min(self.conversations.next_end())
    }

    /// Does what is due at this time, and is due next.
    pub(super) fn advance(&mut self, now: Time) -> Event {
        if self.next_start() < self.conversations.next_end() {
            self.become_ready(now)
        } else {
            self.end(now)
        }
    }

    /// All that could be removed.
    pub(super) fn removable(&self) -> Vec<Removable> {
        let there = (0..).zip(&self.workers);
        let there = there.filter(|(_, worker)| worker.state != State::Gone);
        there
            .map(|(number, worker)| Removable {
                worker: number,
                starting: worker.state == State::Starting,
                active: to_u32(worker.held.len()),
                created: worker.created,
                ready_at: worker.ready_at,
                uid: worker.uid,
            })
            .collect()
    }

    /// Removes workers, each named once.
    pub(super) fn remove(&mut self, now: Time, victims: &[u32]) {
        // None of them takes what another held.
        for victim in victims {
            self.take_out(*victim);
        }
        let mut displaced = Vec::new();
        for victim in victims {
            let before = displaced.len();
            for place in std::mem::take(&mut self.workers[to_usize(*victim)].held) {
                self.relocate(now, place, &mut displaced);
            }
            self.counts.deleted += 1;
            self.counts.busy_deleted += u64::from(displaced.len() > before);
            self.free.push(*victim);
        }
        self.queue.return_to_head(displaced);
    }

    fn next_start(&self) -> Time {
        self.starts.peek().map_or(NEVER, |Reverse((at, _, _))| *at)
    }

    fn place(&mut self, created: Time, ready_at: Time, uid: u64) -> u32 {
        let fresh = Worker {
            state: State::Starting,
            created,
            ready_at,
            uid,
            uses: 0,
            held: Vec::new(),
        };
        let Some(number) = self.free.pop() else {
            self.workers.push(fresh);
            return to_u32(self.workers.len() - 1);
        };
        let place = &mut self.workers[to_usize(number)];
        *place = Worker {
            uses: place.uses.wrapping_add(1),
            held: std::mem::take(&mut place.held),
            ..fresh
        };
        number
    }

    fn become_ready(&mut self, now: Time) -> Event {
        let Some(Reverse((_, number, uses))) = self.starts.pop() else {
            return Event::Nothing;
        };
        let worker = &mut self.workers[to_usize(number)];
        if worker.uses != uses || worker.state != State::Starting {
            return Event::Nothing;
        }
        worker.state = State::Ready;
        let taken = now.saturating_sub(worker.created);
        self.starting -= 1;
        self.ready += 1;
        self.rooms.insert(number, 0);
        self.serve_queue(now);
        Event::Ready(taken)
    }

    fn end(&mut self, now: Time) -> Event {
        let Some(place) = self.conversations.take_end() else {
            return Event::Nothing;
        };
        let ended = *self.conversations.get(place);
        let held = &mut self.workers[to_usize(ended.worker)].held;
        let load = to_u32(held.len());
        held.swap_remove(to_usize(ended.position));
        if let Some(moved) = held.get(to_usize(ended.position)) {
            self.conversations.get(*moved).position = ended.position;
        }
        self.conversations.leave(place);
        self.rooms.remove(ended.worker, load);
        self.rooms.insert(ended.worker, load - 1);
        self.counts.ended += 1;
        self.serve_queue(now);
        Event::Ended
    }

    /// Takes it, or lets it wait.
    fn accept(&mut self, waiting: Waiting) {
        if self.queue.is_empty()
            && let Some(worker) = self.rooms.fullest()
        {
            self.begin(waiting.since, worker, waiting.hold, waiting.counted);
        } else {
            self.queue.join(waiting);
        }
    }

    fn serve_queue(&mut self, now: Time) {
        while !self.queue.is_empty()
            && let Some(worker) = self.rooms.fullest()
            && let Some(waiting) = self.queue.take(now)
        {
            self.begin(now, worker, waiting.hold, waiting.counted);
        }
    }

    fn begin(&mut self, now: Time, worker: u32, hold: Time, counted: bool) {
        let position = to_u32(self.workers[to_usize(worker)].held.len());
        let ends_at = now.saturating_add(hold);
        let place = self.conversations.begin(worker, position, ends_at, counted);
        self.hold(worker, place);
    }

    /// The worker has one more.
    fn hold(&mut self, worker: u32, place: u32) {
        let held = &mut self.workers[to_usize(worker)].held;
        let load = to_u32(held.len());
        held.push(place);
        self.rooms.remove(worker, load);
        self.rooms.insert(worker, load + 1);
    }

    fn take_out(&mut self, victim: u32) {
        let worker = &mut self.workers[to_usize(victim)];
        match worker.state {
            State::Starting => self.starting -= 1,
            State::Ready => {
                self.rooms.remove(victim, to_u32(worker.held.len()));
                self.ready -= 1;
            }
            State::Gone => {}
        }
        worker.state = State::Gone;
    }

    /// A conversation of a worker that is gone goes on elsewhere, or waits.
    fn relocate(&mut self, now: Time, place: u32, displaced: &mut Vec<Waiting>) {
        if let Some(worker) = self.rooms.fullest() {
            let position = to_u32(self.workers[to_usize(worker)].held.len());
            let conversation = self.conversations.get(place);
            (conversation.worker, conversation.position) = (worker, position);
            self.hold(worker, place);
            self.counts.moved += 1;
        } else {
            let conversation = *self.conversations.get(place);
            self.conversations.leave(place);
            displaced.push(Waiting {
                since: now,
                hold: conversation.ends_at.saturating_sub(now),
                counted: conversation.counted,
            });
        }
    }
}
