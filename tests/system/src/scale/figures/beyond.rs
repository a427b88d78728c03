//! Whether a worker was created that nobody had decided.

use std::collections::{BTreeSet, HashMap};

use crate::report::PodEvent;

use super::super::notes::Note;
use super::{Decided, pool_of};

/// Creations at which the pool had as many workers as it should have already: those that exist, are not being deleted, and
/// were not told to leave.
pub(super) fn beyond_desired(pods: &[PodEvent], decisions: &[Decided], notes: &[Note]) -> u64 {
    enum Event<'a> {
        Decided(&'a Decided),
        Told(&'a Note),
        Pod(&'a PodEvent),
    }
    let told = notes
        .iter()
        .filter(|note| matches!(note.what.as_str(), "cordon" | "uncordon"));
    let mut events: Vec<_> = decisions
        .iter()
        .map(|one| (one.at, Event::Decided(one)))
        .collect();
    events.extend(told.map(|note| (note.at, Event::Told(note))));
    events.extend(pods.iter().map(|pod| (pod.at, Event::Pod(pod))));
    events.sort_by_key(|(at, _)| *at);
    let mut desired: HashMap<&str, u32> = HashMap::new();
    let mut there: HashMap<String, BTreeSet<&str>> = HashMap::new();
    let mut leaving: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut beyond = 0;
    for (_, event) in &events {
        match event {
            Event::Decided(decision) => drop(desired.insert(&decision.pool, decision.to)),
            Event::Told(note) if note.what == "cordon" => drop(leaving.insert((&note.namespace, &note.of))),
            Event::Told(note) => drop(leaving.remove(&(note.namespace.as_str(), note.of.as_str()))),
            Event::Pod(pod) => {
                let pool = pool_of(pod);
                let of = there.entry(pool.clone()).or_default();
                if pod.verb == "delete" {
                    of.remove(pod.name.as_str());
                    leaving.remove(&(pod.namespace.as_str(), pod.name.as_str()));
                } else if pod.by_operator {
                    of.insert(&pod.name);
                    let stay = of
                        .iter()
                        .filter(|name| !leaving.contains(&(pod.namespace.as_str(), **name)));
                    let wanted = desired.get(pool.as_str()).copied().unwrap_or(0);
                    beyond += u64::from(stay.count() > usize::try_from(wanted).unwrap_or(usize::MAX));
                }
            }
        }
    }
    beyond
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(verb: &str, name: &str, second: u32) -> PodEvent {
        let at = format!("2026-11-10T10:00:{second:02}Z").parse().unwrap();
        PodEvent {
            verb: verb.to_owned(),
            namespace: "tenant-t".to_owned(),
            name: name.to_owned(),
            uid: None,
            at,
            answered: at,
            by_operator: true,
            rise: None,
        }
    }

    fn note(what: &str, name: &str, second: u32) -> Note {
        Note {
            at: pod("", "", second).at,
            what: what.to_owned(),
            namespace: "tenant-t".to_owned(),
            of: name.to_owned(),
        }
    }

    fn decided_at(second: u32, to: u32) -> Decided {
        Decided {
            at: pod("", "", second).at,
            pool: "t/p".to_owned(),
            to,
        }
    }

    #[test]
    fn a_creation_counts_as_too_much_only_when_enough_workers_stay() {
        let decisions = [decided_at(0, 1), decided_at(10, 2)];
        let created = [pod("create", "p-0", 1), pod("create", "p-1", 2)];
        assert_eq!(beyond_desired(&created, &decisions, &[]), 1);
        let told = [note("cordon", "p-0", 1)];
        assert_eq!(
            beyond_desired(
                &[pod("create", "p-0", 0), pod("create", "p-1", 2)],
                &decisions,
                &told
            ),
            0
        );
        let later = [
            pod("create", "p-0", 1),
            pod("create", "p-1", 11),
            pod("delete", "p-0", 12),
            pod("create", "p-2", 13),
        ];
        assert_eq!(beyond_desired(&later, &decisions, &[]), 0);
        let stays = [note("cordon", "p-0", 1), note("uncordon", "p-0", 11)];
        let too_many = [
            pod("create", "p-0", 0),
            pod("create", "p-1", 2),
            pod("create", "p-2", 12),
        ];
        assert_eq!(beyond_desired(&too_many, &decisions, &stays), 1);
    }
}
