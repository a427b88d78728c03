//! Which workers leave.
//!
//! Where fewer are needed, or a tenant gives back what is not its share, what a worker's end would cost decides: an outdated one
//! with conversations stays while a current one without any can leave. Where one was started to take an outdated one's place,
//! that is the one to leave, however busy: otherwise the new one, which has no conversations yet, would leave again and again.

use std::time::Duration;

/// A worker that could leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Name of its Pod.
    pub pod: String,
    /// No node has it yet.
    pub unscheduled: bool,
    /// Its active conversations.
    pub active: u32,
    /// Until the last of them is parked, if nobody says anything more.
    pub parked_in: Duration,
    /// Seconds since 1970 of its Pod's creation.
    pub created: i64,
    /// It runs what the pool no longer asks for.
    pub outdated: bool,
}

/// Why workers leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// Fewer are needed, or granted.
    Fewer,
    /// Another answers in the place of an outdated one.
    Replaced,
}

/// The `count` that leave: those that no node has yet, which are nothing but a wish; then, where they are replaced, outdated
/// ones; then those with the fewest conversations, then those that are without any the soonest, then outdated ones, then the
/// oldest. Whether a worker is ready says nothing of what its end would cost.
pub fn choose_victims(mut candidates: Vec<Candidate>, count: usize, why: Departure) -> Vec<Candidate> {
    candidates.sort_by(|one, other| {
        let key = |of: &Candidate| {
            let replaced = why == Departure::Replaced && of.outdated;
            let costs = (of.active, of.parked_in);
            (!of.unscheduled, !replaced, costs, !of.outdated, of.created)
        };
        key(one).cmp(&key(other)).then_with(|| one.pod.cmp(&other.pod))
    });
    candidates.truncate(count);
    candidates
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Name, active conversations, seconds until they are parked, creation, outdated.
    fn candidate((pod, active, parked_in, created, outdated): (&str, u32, u64, i64, bool)) -> Candidate {
        Candidate {
            pod: pod.to_owned(),
            unscheduled: false,
            active,
            parked_in: Duration::from_secs(parked_in),
            created,
            outdated,
        }
    }

    #[test]
    fn what_a_victim_costs_decides_before_its_age() {
        let cases = [
            (("busy", 9, 10, 1, false), ("less-busy", 8, 170, 9, false)),
            (("long", 3, 170, 1, false), ("short", 3, 10, 9, false)),
            (("new", 3, 10, 9, false), ("old", 3, 10, 1, false)),
            (("current", 3, 10, 1, false), ("outdated", 3, 10, 9, true)),
            (("b", 0, 0, 1, false), ("a", 0, 0, 1, false)),
        ];
        for (stays, leaves) in cases {
            for why in [Departure::Fewer, Departure::Replaced] {
                let chosen = choose_victims(vec![candidate(stays), candidate(leaves)], 1, why);
                assert_eq!(chosen, [candidate(leaves)], "and {} stays", stays.0);
            }
        }
    }

    #[test]
    fn a_busy_outdated_worker_leaves_before_an_idle_current_one_only_if_another_takes_its_place() {
        let (idle, outdated) = (
            candidate(("idle", 0, 0, 9, false)),
            candidate(("outdated", 5, 170, 1, true)),
        );
        let first = |why| choose_victims(vec![idle.clone(), outdated.clone()], 1, why);
        assert_eq!(first(Departure::Fewer), std::slice::from_ref(&idle));
        assert_eq!(first(Departure::Replaced), std::slice::from_ref(&outdated));
    }

    #[test]
    fn what_no_node_has_leaves_before_what_runs() {
        let (mut waits, runs) = (
            candidate(("new", 0, 0, 9, false)),
            candidate(("old", 0, 0, 1, true)),
        );
        waits.unscheduled = true;
        for why in [Departure::Fewer, Departure::Replaced] {
            let chosen = choose_victims(vec![runs.clone(), waits.clone()], 1, why);
            assert_eq!(chosen, [waits.clone()]);
        }
    }

    proptest! {
        #[test]
        fn no_worker_leaves_before_one_that_costs_less_and_the_order_they_come_in_says_nothing(
            facts in prop::collection::vec((0..4_u32, 0..4_u64, 0..4_i64, any::<bool>()), 0..12),
            count in 0..12_usize,
            replaced in any::<bool>(),
        ) {
            let all: Vec<_> = facts
                .into_iter()
                .enumerate()
                .map(|(place, (active, parked_in, created, outdated))| {
                    candidate((&format!("w-{place}"), active, parked_in, created, outdated))
                })
                .collect();
            let why = if replaced { Departure::Replaced } else { Departure::Fewer };
            let chosen = choose_victims(all.clone(), count, why);
            prop_assert_eq!(chosen.len(), count.min(all.len()));
            let stay = all.iter().filter(|one| !chosen.contains(one));
            for (stays, leaves) in stay.flat_map(|stays| chosen.iter().map(move |leaves| (stays, leaves))) {
                prop_assert!(!replaced || leaves.outdated || !stays.outdated);
                if !replaced || stays.outdated == leaves.outdated {
                    prop_assert!(leaves.active <= stays.active);
                    prop_assert!(leaves.active < stays.active || leaves.parked_in <= stays.parked_in);
                }
            }
            let mut turned = all;
            turned.reverse();
            prop_assert_eq!(choose_victims(turned, count, why), chosen);
        }
    }
}
