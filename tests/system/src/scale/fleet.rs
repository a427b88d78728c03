//! The pools as customers see them: how much load each has, and which of its workers has how much of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use springtide_runtime::tls::TlsMaterial;
use tokio::sync::{Notify, watch};

/// A client firm.
pub(super) struct Tenant {
    pub(super) name: String,
    pub(super) worker_tls: TlsMaterial,
    pub(super) gateway_tls: TlsMaterial,
    /// Where its workers are reached; all of them at one port, where the probe's conversation says which is meant.
    pub(super) port: u16,
    pub(super) pools: Vec<Arc<Pool>>,
    /// What waits at its gateway has changed.
    pub(super) waiting: Arc<Notify>,
}

/// A pool.
pub(super) struct Pool {
    pub(super) tenant: String,
    pub(super) name: String,
    capacity: u32,
    waiting: Arc<Notify>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    load: u32,
    counts: Counts,
    workers: BTreeMap<String, Place>,
}

/// What a gateway reports of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) waiting: u32,
    pub(super) active: u32,
    pub(super) arrived: u64,
    pub(super) ended: u64,
}

struct Place {
    /// Gateways may give it conversations.
    open: bool,
    load: watch::Sender<Load>,
}

/// What a worker has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) active: u32,
    pub(super) begun: u64,
    pub(super) ended: u64,
    /// It was told to leave.
    pub(super) draining: bool,
}

impl Pool {
    pub(super) fn new(tenant: &str, name: String, capacity: u32, waiting: Arc<Notify>) -> Self {
        Self {
            tenant: tenant.to_owned(),
            name,
            capacity,
            waiting,
            state: Mutex::default(),
        }
    }

    /// So many conversations at once from now on.
    pub(super) fn set_load(&self, load: u32) {
        self.change(|state| {
            let rise = load.saturating_sub(state.load);
            let fall = state.load.saturating_sub(load);
            state.counts.arrived += u64::from(rise);
            state.counts.ended += u64::from(fall);
            state.load = load;
        });
    }

    /// A worker is there; what it has from now on.
    pub(super) fn join(&self, uid: &str) -> watch::Receiver<Load> {
        let (sender, receiver) = watch::channel(Load::default());
        let place = Place {
            open: false,
            load: sender,
        };
        self.state.lock().workers.insert(uid.to_owned(), place);
        receiver
    }

    /// A worker answered its probe.
    pub(super) fn open(&self, uid: &str) {
        self.set_open(uid, true);
    }

    /// A worker was told to leave, or to stay after all.
    pub(super) fn cordon(&self, uid: &str, leaves: bool) {
        if let Some(place) = self.state.lock().workers.get(uid) {
            place.load.send_modify(|load| load.draining = leaves);
        }
        self.set_open(uid, !leaves);
    }

    /// A worker's Pod is gone.
    pub(super) fn leave(&self, uid: &str) {
        self.change(|state| drop(state.workers.remove(uid)));
    }

    /// Workers that take conversations.
    pub(super) fn answering(&self) -> usize {
        self.state
            .lock()
            .workers
            .values()
            .filter(|place| place.open)
            .count()
    }

    pub(super) fn counts(&self) -> Counts {
        self.state.lock().counts
    }

    fn set_open(&self, uid: &str, open: bool) {
        self.change(|state| {
            if let Some(place) = state.workers.get_mut(uid) {
                place.open = open;
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        let before = state.counts.waiting;
        state.spread(self.capacity);
        if state.counts.waiting != before {
            self.waiting.notify_waiters();
        }
    }
}

impl State {
    /// As gateways do it: the fullest worker with room gets the next conversation, and the emptiest ends first.
    fn spread(&mut self, capacity: u32) {
        for place in self.workers.values().filter(|place| !place.open) {
            place.set(0);
        }
        let mut active: u32 = self.open().map(Place::active).sum();
        while active > self.load {
            let Some(place) = self
                .open()
                .filter(|place| place.active() > 0)
                .min_by_key(|place| place.active())
            else {
                break;
            };
            let fewer = place.active().min(active - self.load);
            place.set(place.active() - fewer);
            active -= fewer;
        }
        while active < self.load {
            let room = |place: &&Place| place.active() < capacity;
            let Some(place) = self.open().filter(room).max_by_key(|place| place.active()) else {
                break;
            };
            let more = (capacity - place.active()).min(self.load - active);
            place.set(place.active() + more);
            active += more;
        }
        self.counts.active = active;
        self.counts.waiting = self.load - active;
    }

    fn open(&self) -> impl Iterator<Item = &Place> {
        self.workers.values().filter(|place| place.open)
    }
}

impl Place {
    fn active(&self) -> u32 {
        self.load.borrow().active
    }

    fn set(&self, active: u32) {
        self.load.send_if_modified(|load| {
            load.begun += u64::from(active.saturating_sub(load.active));
            load.ended += u64::from(load.active.saturating_sub(active));
            std::mem::replace(&mut load.active, active) != active
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        Pool::new("t", "p".to_owned(), 20, Arc::default())
    }

    #[test]
    fn conversations_fill_the_fullest_worker_and_wait_where_none_has_room() {
        let pool = pool();
        let (one, two) = (pool.join("1"), pool.join("2"));
        pool.open("1");
        pool.set_load(15);
        pool.open("2");
        pool.set_load(18);
        assert_eq!((one.borrow().active, two.borrow().active), (18, 0));
        pool.set_load(45);
        assert_eq!((one.borrow().active, two.borrow().active), (20, 20));
        let counts = pool.counts();
        assert_eq!((counts.waiting, counts.arrived, counts.ended), (5, 45, 0));
    }

    #[test]
    fn a_worker_that_leaves_gives_its_conversations_to_the_others() {
        let pool = pool();
        let (one, two) = (pool.join("1"), pool.join("2"));
        pool.open("1");
        pool.open("2");
        pool.set_load(23);
        let leaves = if one.borrow().active < two.borrow().active {
            "1"
        } else {
            "2"
        };
        pool.set_load(20);
        pool.cordon(leaves, true);
        let counts = pool.counts();
        assert_eq!((counts.active, counts.waiting, counts.ended), (20, 0, 3));
    }
}
