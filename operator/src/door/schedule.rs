//! When each door is probed, and which minutes were bad. Pure: time is a parameter.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use jiff::Timestamp;

use crate::fleet::PoolKey;

/// Each door is probed once in so many seconds.
pub(super) const PERIOD_SECONDS: u64 = 15;
/// Failures running that make a minute bad.
const RUNNING: u32 = 2;
const MINUTE: i64 = 60;

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
    /// No answer, or an error of ours.
    Failed,
}

/// All doors, and how the last probes went.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    doors: BTreeMap<PoolKey, (Door, Health)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Health {
    /// A worker answered since it is watched: before, the pool may be starting for the first time.
    has_answered: bool,
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

    /// Those whose turn it is in this second: spread over the period by their names.
    pub(super) fn due(&self, second: u64) -> Vec<(PoolKey, Door)> {
        let is_due = |key: &PoolKey| phase(key) == second % PERIOD_SECONDS;
        let due = self.doors.iter().filter(|(key, _)| is_due(key));
        due.map(|(key, (door, _))| (key.clone(), door.clone())).collect()
    }

    /// How a probe went that was sent at `sent`. The minute that is bad by it, if it was not before.
    pub(super) fn note(&mut self, key: &PoolKey, sent: Timestamp, outcome: Outcome) -> Option<Timestamp> {
        let (_, health) = self.doors.get_mut(key)?;
        let is_failure = match outcome {
            Outcome::Answered => false,
            Outcome::Empty { should_answer } => should_answer && health.has_answered,
            Outcome::Failed => true,
        };
        health.has_answered |= outcome == Outcome::Answered;
        if !is_failure {
            health.running = 0;
            return None;
        }
        health.running = health.running.saturating_add(1);
        let minute = sent.as_second().div_euclid(MINUTE) * MINUTE;
        if health.running < RUNNING || health.bad >= Some(minute) {
            return None;
        }
        health.bad = Some(minute);
        Timestamp::from_second(minute).ok()
    }
}

fn phase(key: &PoolKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish() % PERIOD_SECONDS
}

#[cfg(test)]
mod tests {
    use springtide_proto::ids::{PoolId, TenantId};

    use super::*;

    fn key(tenant: &str) -> PoolKey {
        PoolKey {
            tenant: TenantId::parse(tenant).unwrap(),
            pool: PoolId::parse("web").unwrap(),
        }
    }

    fn door(uid: &str) -> Door {
        Door {
            tenant_uid: uid.to_owned(),
            channel: "web".to_owned(),
        }
    }

    fn schedule(tenants: &[String]) -> Schedule {
        let mut schedule = Schedule::default();
        let doors = tenants.iter().map(|tenant| (key(tenant), door(tenant)));
        schedule.keep(doors.collect());
        schedule
    }

    fn at(time: &str) -> Timestamp {
        format!("2026-11-11T{time}Z").parse().unwrap()
    }

    #[test]
    fn each_door_has_one_turn_a_period_and_turns_are_spread() {
        let tenants: Vec<_> = (0..300).map(|number| format!("tenant-{number}")).collect();
        let schedule = schedule(&tenants);
        let turns: Vec<_> = (100..100 + PERIOD_SECONDS)
            .map(|second| schedule.due(second).len())
            .collect();
        assert_eq!(turns.iter().sum::<usize>(), 300);
        assert!(turns.iter().all(|turn| (5..=40).contains(turn)), "{turns:?}");
    }

    #[test]
    fn a_minute_is_bad_once_when_its_door_failed_twice_running() {
        let mut schedule = schedule(&["acme".to_owned()]);
        let acme = key("acme");
        let mut note = |time: &str, answered: bool| {
            let outcome = if answered {
                Outcome::Answered
            } else {
                Outcome::Failed
            };
            let bad = schedule.note(&acme, at(time), outcome);
            bad.map(|minute| minute.strftime("%H:%M").to_string())
        };
        assert_eq!(note("10:00:05", false), None, "once is not twice");
        assert_eq!(note("10:00:20", true), None);
        assert_eq!(note("10:00:35", false), None, "not running");
        assert_eq!(note("10:01:05", false).as_deref(), Some("10:01"));
        assert_eq!(note("10:01:20", false), None, "bad already");
        assert_eq!(note("10:02:05", false).as_deref(), Some("10:02"));
        assert_eq!(note("10:02:20", true), None);
        assert_eq!(note("10:02:35", false), None);
    }

    #[test]
    fn an_empty_pool_fails_only_if_it_answered_before_and_should_never_be_empty() {
        let mut schedule = schedule(&["acme".to_owned()]);
        let acme = key("acme");
        let (starting, may_be_empty) = (
            Outcome::Empty { should_answer: true },
            Outcome::Empty { should_answer: false },
        );
        for (time, outcome, bad) in [
            ("10:00:00", starting, false),
            ("10:00:15", starting, false),
            ("10:00:30", Outcome::Answered, false),
            ("10:00:45", may_be_empty, false),
            ("10:01:00", may_be_empty, false),
            ("10:01:15", starting, false),
            ("10:01:30", starting, true),
        ] {
            assert_eq!(schedule.note(&acme, at(time), outcome).is_some(), bad, "{time}");
        }
    }

    #[test]
    fn a_new_tenant_of_an_old_name_begins_anew() {
        let mut schedule = schedule(&["acme".to_owned()]);
        schedule.note(&key("acme"), at("10:00:05"), Outcome::Failed);
        schedule.keep(BTreeMap::from([(key("acme"), door("another"))]));
        assert_eq!(schedule.note(&key("acme"), at("10:00:20"), Outcome::Failed), None);
        schedule.keep(BTreeMap::new());
        assert_eq!(
            schedule.note(&key("acme"), at("10:00:35"), Outcome::Failed),
            None,
            "it is gone"
        );
    }
}
