//! When each door is probed, and which minutes were bad. Pure: time is a parameter.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::ops::Range;

use jiff::{SignedDuration, Timestamp};

use super::silence::{Heard, is_own_trouble};
use crate::fleet::PoolKey;

/// Each door is probed once in so many seconds.
pub(super) const PERIOD_SECONDS: u64 = 15;
/// Failures running that make a minute bad.
const RUNNING: u32 = 2;
const MINUTE: i64 = 60;
#[expect(clippy::cast_possible_wrap, reason = "a small constant")]
pub(super) const PERIOD: SignedDuration = SignedDuration::from_secs(PERIOD_SECONDS as i64);

/// A pool's public door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Door {
    /// UID of the tenant.
    pub(super) tenant_uid: String,
    /// A channel that leads to the pool.
    pub(super) channel: String,
}

/// How a probe went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A worker answered.
    Answered,
    /// The gateway answered that there is no worker.
    Empty {
        /// The pool should never be empty.
        should_answer: bool,
    },
    /// An error of ours came back.
    Failed,
    /// Nothing came back in time.
    Silent,
}

/// What follows from how a probe went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing that is to be said.
    Nothing,
    /// This minute is bad, and was not before.
    BadMinute(Timestamp),
    /// Nothing about the door: the operator's own network is in trouble.
    OwnTrouble,
}

/// Which seconds had their turn.
#[derive(Debug, Default)]
pub(super) struct Turns {
    next: Option<u64>,
}

impl Turns {
    /// The seconds whose turn it is: all since the last call, but of a long time no more than each door has its turn in. A clock
    /// that was set back begins anew.
    pub(super) fn due(&mut self, now: u64) -> Range<u64> {
        let next = self.next.filter(|next| *next <= now + 1).unwrap_or(now);
        let first = next.max((now + 1).saturating_sub(PERIOD_SECONDS));
        self.next = Some(now + 1);
        first..now + 1
    }
}

/// All doors, and how the last probes went.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    doors: BTreeMap<PoolKey, (Door, Health)>,
    witness: Heard,
    is_in_trouble: bool,
}

#[derive(Clone, Debug, Default)]
struct Health {
    /// A worker answered since it is watched: before, the pool may be starting for the first time.
    has_answered: bool,
    /// A probe was sent of which it is not known yet how it went.
    is_on_its_way: bool,
    /// When the last one was sent of which that is known.
    probed: Option<Timestamp>,
    /// When something came back.
    heard: Heard,
    /// Failures since the last answer.
    running: u32,
    /// The last minute that was bad.
    bad: Option<i64>,
}

impl Schedule {
    /// These doors there are.
    pub(super) fn keep(&mut self, doors: BTreeMap<PoolKey, Door>) {
        let mut before = std::mem::take(&mut self.doors);
        self.doors = doors
            .into_iter()
            .map(|(key, door)| {
                let same = before
                    .remove(&key)
                    .filter(|(known, _)| known.tenant_uid == door.tenant_uid);
                let health = same.map(|(_, health)| health).unwrap_or_default();
                (key, (door, health))
            })
            .collect();
    }

    /// Those whose turn it is in this second, spread over the period by their names, and to which no probe is on its way.
    pub(super) fn due(&mut self, second: u64) -> Vec<(PoolKey, Door)> {
        let mut due = Vec::new();
        for (key, (door, health)) in &mut self.doors {
            if phase(key) == second % PERIOD_SECONDS && !health.is_on_its_way {
                health.is_on_its_way = true;
                due.push((key.clone(), door.clone()));
            }
        }
        due
    }

    /// Some probe is.
    #[cfg(test)]
    pub(super) fn is_on_its_way(&self) -> bool {
        self.doors.values().any(|(_, health)| health.is_on_its_way)
    }

    /// The witness was heard.
    pub(super) fn note_witness(&mut self, sent: Timestamp) {
        self.witness.note(sent);
    }

    /// The operator's own network is in trouble, as far as is known.
    pub(super) fn is_in_trouble(&self) -> bool {
        self.is_in_trouble
    }

    /// How a probe went that was sent at `sent`, and what follows. Of a silence it is said when all probes that were sent before
    /// it have been noted.
    pub(super) fn note(&mut self, key: &PoolKey, sent: Timestamp, outcome: Outcome) -> Finding {
        let Some((_, health)) = self.doors.get_mut(key) else {
            return Finding::Nothing;
        };
        health.is_on_its_way = false;
        let before = health.probed.replace(sent).unwrap_or(sent - PERIOD);
        if outcome == Outcome::Silent {
            let doors = self.doors.iter();
            let doors = doors.map(|(key, (_, health))| (&key.tenant, &health.heard));
            if is_own_trouble(before, sent, doors, &self.witness) {
                let mut doors = self.doors.values();
                self.is_in_trouble |= !doors.any(|(_, health)| health.heard.is_after(sent));
                return Finding::OwnTrouble;
            }
        } else {
            health.heard.note(sent);
            self.is_in_trouble = false;
        }
        let health = self.doors.get_mut(key).map(|(_, health)| health);
        let bad = health.and_then(|health| health.note(sent, outcome));
        bad.map_or(Finding::Nothing, Finding::BadMinute)
    }
}

impl Health {
    /// The minute that is bad by this, if it was not before.
    fn note(&mut self, sent: Timestamp, outcome: Outcome) -> Option<Timestamp> {
        let is_failure = match outcome {
            Outcome::Answered => false,
            Outcome::Empty { should_answer } => should_answer && self.has_answered,
            Outcome::Failed | Outcome::Silent => true,
        };
        self.has_answered |= outcome == Outcome::Answered;
        if !is_failure {
            self.running = 0;
            return None;
        }
        self.running = self.running.saturating_add(1);
        let minute = sent.as_second().div_euclid(MINUTE) * MINUTE;
        if self.running < RUNNING || self.bad == Some(minute) {
            return None;
        }
        self.bad = Some(minute);
        Timestamp::from_second(minute).ok()
    }
}

fn phase(key: &PoolKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish() % PERIOD_SECONDS
}

#[cfg(test)]
mod tests;
