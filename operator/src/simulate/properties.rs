//! What holds for every run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::demand::{Arrival, Demand};
use super::engine::{self, Tally};
use super::oracle;
use super::outcome::{self, PolicyName, Setup};
use super::policies::{Autoscaler, Constant, Hpa, Keda, Kpa, Springtide};
use super::pool::Pool;
use super::promotion::Promotions;
use super::rows::Row;
use super::scenario::{Scenario, Starts};
use super::testing;
use super::units::{SECOND, from_seconds};

const POOL: &str = "
apiVersion: springtide.dev/v1alpha1
kind: BotPool
metadata: {name: web}
spec: {worker: {image: w, conversations: 20}, scaling: {min: 1, max: 60, downWindow: 20s}}
";

fn pool(capacity: u32) -> Pool {
    Pool {
        capacity,
        ..Pool::parse(POOL).unwrap()
    }
}

fn scenarios() -> impl Strategy<Value = Scenario> {
    let steps = proptest::collection::vec((1_u32..60, 0.0..6.0), 1..6);
    let starts = prop_oneof![
        (0.0..20.0).prop_map(|taken| Starts::Constant(from_seconds(taken))),
        proptest::collection::vec(0_u64..20 * SECOND, 1..5).prop_map(Starts::Drawn),
    ];
    (steps, starts, 1_u32..25, 1.0..80.0, any::<u64>()).prop_map(
        |(steps, starts, capacity, hold_seconds, seed)| {
            let steps: Vec<_> = steps
                .into_iter()
                .map(|(length, value)| (f64::from(length) + 0.5, value))
                .collect();
            Scenario {
                starts,
                capacity,
                hold_seconds,
                seed,
                min: 1,
                max: 60,
                ..testing::scenario(&steps)
            }
        },
    )
}

fn policy(which: usize, capacity: u32) -> Box<dyn Autoscaler> {
    let target = f64::from(capacity) * 0.7;
    match which {
        0 => Box::new(Springtide::new(&pool(capacity), Promotions::default(), None)),
        1 => Box::new(Hpa::new(target, (1, 60))),
        2 => Box::new(Keda::new(target, (1, 60))),
        3 => Box::new(Kpa::new(target, (1, 60))),
        _ => Box::new(Constant::new(7)),
    }
}

fn run(scenario: &Scenario, which: usize) -> (Tally, Vec<Row>) {
    let mut rows = Vec::new();
    let mut policy = policy(which, scenario.capacity);
    let mut keep = |row: &Row| {
        rows.push(*row);
        Ok(())
    };
    let tally = engine::run(scenario, policy.as_mut(), &mut keep).unwrap();
    (tally, rows)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_conversation_is_lost_and_the_hours_are_those_of_the_timeline(
        scenario in scenarios(), which in 0_usize..5,
    ) {
        let (tally, rows) = run(&scenario, which);
        let there = u64::from(tally.active) + u64::from(tally.waiting);
        prop_assert_eq!(tally.first + tally.counts.arrived, tally.counts.ended + there);
        prop_assert_eq!(rows.iter().map(|row| u64::from(row.workers())).sum::<u64>(), tally.worker_seconds);
        prop_assert_eq!(rows.iter().map(|row| row.arrivals).sum::<u64>(), tally.counts.arrived);
        prop_assert_eq!(rows.iter().map(Row::workers).max(), Some(tally.peak_workers));
        prop_assert!(rows.iter().zip(0..).all(|(row, second)| row.second == second));
        for row in rows {
            let room = row.ready * scenario.capacity;
            prop_assert!(row.active <= room, "{:?}", row);
            prop_assert!(row.waiting == 0 || row.active == room, "who waits finds no room: {:?}", row);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_run(scenario in scenarios(), which in 0_usize..5) {
        prop_assert_eq!(run(&scenario, which), run(&scenario, which));
    }

    #[test]
    fn every_policy_faces_the_same_customers(scenario in scenarios(), which in 0_usize..5) {
        let (tally, rows) = run(&scenario, which);
        let mut facing = Vec::new();
        let oracle = oracle::run(&scenario, &mut |row| {
            facing.push(row.arrivals);
            Ok(())
        })
        .unwrap();
        prop_assert_eq!(tally.counts.arrived, oracle.tally.counts.arrived);
        prop_assert_eq!(tally.first, oracle.tally.first);
        prop_assert_eq!(rows.iter().map(|row| row.arrivals).collect::<Vec<_>>(), facing);
    }

    #[test]
    fn with_more_workers_that_stay_nobody_waits_longer(
        scenario in scenarios(), workers in 1_u32..12, more in 0_u32..4,
    ) {
        let with = |workers| engine::run(&scenario, &mut Constant::new(workers), &mut |_| Ok(())).unwrap();
        let (fewer, more) = (with(workers), with(workers + more));
        prop_assert!(more.longest_wait <= fewer.longest_wait);
        prop_assert!(more.waited_long <= fewer.waited_long);
        prop_assert!(more.counts.ended >= fewer.counts.ended);
        prop_assert_eq!((more.counts.created, more.counts.moved), (0, 0));
    }

    #[test]
    fn workers_that_stay_are_a_queue_with_as_many_servers_as_they_take(
        scenario in scenarios(), workers in 1_u32..12,
    ) {
        let tally = engine::run(&scenario, &mut Constant::new(workers), &mut |_| Ok(())).unwrap();
        // Each customer in turn is served by the server that is free first.
        let (demand, active) = Demand::new(&scenario);
        let first = active.into_iter().map(|hold| Arrival { at: 0, hold });
        let mut free: BinaryHeap<_> = (0..workers * scenario.capacity).map(|_| Reverse(0)).collect();
        let (mut longest, mut long) = (0, 0);
        for Arrival { at, hold } in first.chain(demand) {
            let Reverse(earliest) = free.pop().unwrap();
            let begins = at.max(earliest);
            free.push(Reverse(begins + hold));
            let waited = begins.min(scenario.trace.end) - at;
            longest = longest.max(waited);
            long += u64::from(waited > 5 * SECOND);
        }
        prop_assert_eq!((tally.longest_wait, tally.waited_long), (longest, long));
    }

    #[test]
    fn the_oracle_has_what_is_needed_each_second_and_pays_for_each_creation(scenario in scenarios()) {
        let mut rows = Vec::new();
        let run = oracle::run(&scenario, &mut |row| {
            rows.push(*row);
            Ok(())
        })
        .unwrap();
        prop_assert!(rows.iter().all(|row| row.ready == row.active.div_ceil(scenario.capacity)));
        let ready: u64 = rows.iter().map(|row| u64::from(row.ready)).sum();
        let taken = u64::from(super::units::ceil(scenario.starts.mean_seconds().round()));
        let paid = rows.windows(2).zip(1..).map(|(pair, second): (_, u64)| {
            u64::from(pair[1].ready.saturating_sub(pair[0].ready)) * taken.min(second)
        });
        prop_assert_eq!(run.tally.worker_seconds, ready + paid.sum::<u64>());
        let there = u64::from(run.tally.active);
        prop_assert_eq!(run.tally.first + run.tally.counts.arrived, run.tally.counts.ended + there);
    }
}

#[test]
fn a_start_counts_from_creation_and_nobody_waits_for_one_that_is_there() {
    // Nobody, then far more than the one worker that is there.
    let mut scenario = testing::scenario(&[(30.0, 0.0), (60.0, 2.0)]);
    scenario.min = 1;
    let (tally, rows) = run(&scenario, 0);
    assert!(rows[..30].iter().all(|row| (row.ready, row.starting) == (1, 0)));
    assert!(tally.counts.created > 0);
    let starting: u32 = rows.iter().map(|row| row.starting).sum();
    let unfinished = rows.last().unwrap().starting;
    let (created, starting) = (tally.counts.created, u64::from(starting));
    assert!(starting <= 8 * created && starting >= 8 * (created - u64::from(unfinished)) - created);
}

#[test]
fn of_all_policies_only_those_that_wait_to_see_let_customers_wait() {
    let steps = [(300.0, 1.0), (300.0, 8.0), (300.0, 2.0)];
    let setup = Setup {
        scenario: Scenario {
            min: 1,
            ..testing::scenario(&steps)
        },
        pool: pool(20),
        promotions: Promotions::default(),
        target_percent: 70.0,
        workers: None,
    };
    let oracle = outcome::run_oracle(&setup, &mut |_| Ok(())).unwrap();
    let run = |name| outcome::run(name, &setup, &oracle, &mut |_| Ok(())).unwrap();
    for name in PolicyName::ALL {
        let outcome = run(name);
        assert_eq!(outcome.policy, name.as_str());
        assert_eq!(outcome.conversations, oracle.tally.counts.arrived);
        let ratio = outcome.worker_hours / outcome.oracle_worker_hours;
        assert_eq!(outcome.ratio, Some(ratio));
        assert!(ratio >= 0.99, "{outcome:?}");
    }
    assert_eq!(run(PolicyName::Oracle).ratio, Some(1.0));
    let constant = run(PolicyName::Static);
    assert_eq!(constant.peak_workers, oracle.most_needed);
    assert_eq!((constant.creations, constant.deletions), (0, 0));
}
