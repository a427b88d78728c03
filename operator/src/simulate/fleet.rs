//! Workers and the conversations that they hold.
//!
//! - *ready*: takes conversations. *starting*: created, and not ready yet.
//! - A conversation is taken by the fullest ready worker that has room. Where none has, it waits; room that comes up is
//!   taken by the head of the queue.
//! - A worker that is removed is gone at once. Its conversations go on at the other ready workers with room, the fullest
//!   first; what finds none waits at the head of the queue, and goes on for what was left of it.

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
        let ready_at = now.saturating_add(taken);
        let worker = self.place(now, ready_at, uid);
        let uses = self.workers[to_usize(worker)].uses;
        self.starts.push(Reverse((ready_at, worker, uses)));
        self.starting += 1;
        self.counts.created += 1;
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

#[cfg(test)]
mod tests {
    use super::super::units::SECOND;
    use super::*;

    const LONG: Time = 1_000 * SECOND;

    /// Workers that take two each and hold as many as given.
    fn holding(loads: &[u32]) -> Fleet {
        let mut fleet = Fleet::new(2);
        for load in loads {
            fleet.place_ready(0);
            // The one that is new is not the fullest, but all others are full for now.
            for _ in 0..2 {
                fleet.place_active(if *load == 2 { LONG } else { SECOND });
            }
        }
        while fleet.next_event() < LONG {
            fleet.advance(fleet.next_event());
        }
        for (worker, load) in (0..).zip(loads) {
            if *load == 1 {
                fleet.begin(SECOND, worker, LONG, false);
            }
        }
        fleet
    }

    fn loads(fleet: &Fleet) -> Vec<u32> {
        fleet.removable().iter().map(|one| one.active).collect()
    }

    #[test]
    fn the_fullest_worker_with_room_takes_the_next() {
        let mut fleet = holding(&[0, 2, 1]);
        assert_eq!(loads(&fleet), [0, 2, 1]);
        fleet.arrive(SECOND, LONG);
        assert_eq!(loads(&fleet), [0, 2, 2]);
        fleet.arrive(SECOND, LONG);
        assert_eq!(loads(&fleet), [1, 2, 2]);
    }

    #[test]
    fn what_a_removed_worker_held_moves_and_none_of_it_to_another_that_is_removed() {
        let mut fleet = holding(&[1, 2, 1, 0]);
        fleet.remove(SECOND, &[0, 1]);
        assert_eq!(loads(&fleet), [2, 2], "the fullest first");
        assert_eq!((fleet.counts.moved, fleet.counts.busy_deleted), (3, 0));
        assert_eq!((fleet.counts.deleted, fleet.ready, fleet.waiting()), (2, 2, 0));
    }

    #[test]
    fn what_finds_no_room_waits_before_all_others_and_goes_on_for_the_rest_of_its_time() {
        let mut fleet = holding(&[2, 2]);
        fleet.arrive(5 * SECOND, 7 * SECOND);
        fleet.remove(10 * SECOND, &[1]);
        assert_eq!(
            (fleet.waiting(), fleet.counts.busy_deleted, fleet.counts.moved),
            (3, 1, 0)
        );
        fleet.create(10 * SECOND, 10 * SECOND, 0);
        assert_eq!(fleet.advance(20 * SECOND), Event::Ready(10 * SECOND));
        assert_eq!(
            (fleet.waiting(), fleet.active()),
            (1, 4),
            "the one that came later still waits"
        );
        assert_eq!(fleet.queue.longest, 10 * SECOND);
        assert_eq!(fleet.next_event(), LONG, "the first of the two that stayed");
        assert_eq!(fleet.advance(LONG), Event::Ended);
        let paused = 10 * SECOND;
        let mut ends = Vec::new();
        while fleet.active() > 0 {
            let now = fleet.next_event();
            if fleet.advance(now) == Event::Ended {
                ends.push(now);
            }
        }
        assert_eq!(ends, [LONG, LONG + 7 * SECOND, LONG + paused, LONG + paused]);
    }

    #[test]
    fn a_worker_that_is_removed_while_it_starts_is_never_ready() {
        let mut fleet = Fleet::new(2);
        fleet.create(0, 8 * SECOND, 0);
        fleet.remove(SECOND, &[0]);
        fleet.create(2 * SECOND, 8 * SECOND, 0);
        assert_eq!(fleet.removable().len(), 1, "in the same place");
        assert_eq!(fleet.advance(8 * SECOND), Event::Nothing);
        assert_eq!((fleet.ready, fleet.starting), (0, 1));
        assert_eq!(fleet.advance(10 * SECOND), Event::Ready(8 * SECOND));
    }
}
