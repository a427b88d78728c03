//! A pool as all who want something of it share it.

use std::collections::HashSet;

use parking_lot::Mutex;
use springtide_proto::ids::{ConversationId, PodUid};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::pool::{Assignment, Pool};

/// One pool and the notice that something about it changed.
#[derive(Debug)]
pub struct SharedPool {
    pool: Mutex<Pool>,
    changed: watch::Sender<u64>,
}

impl SharedPool {
    /// See [`Pool::new`].
    pub fn new(most_waiting: usize) -> Self {
        Self {
            pool: Mutex::new(Pool::new(most_waiting)),
            changed: watch::channel(0).0,
        }
    }

    /// Looks or changes, then tells all who wait.
    pub fn change<T>(&self, change: impl FnOnce(&mut Pool) -> T) -> T {
        let changed = change(&mut self.pool.lock());
        self.changed.send_modify(|version| *version += 1);
        changed
    }

    /// Only looks.
    pub fn look<T>(&self, look: impl FnOnce(&Pool) -> T) -> T {
        look(&self.pool.lock())
    }

    /// Changes of it.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Assigns; tells the others only when somebody left the waiting room, so that those who wait do not wake each other.
    pub(crate) fn change_quietly(
        &self,
        conversation: &ConversationId,
        refused: &HashSet<PodUid>,
        now: Instant,
    ) -> Assignment {
        let mut pool = self.pool.lock();
        let before = pool.waiting(now).0;
        let assignment = pool.assign(conversation, refused, now);
        let changed = pool.waiting(now).0 != before;
        drop(pool);
        if changed {
            self.changed.send_modify(|version| *version += 1);
        }
        assignment
    }
}
