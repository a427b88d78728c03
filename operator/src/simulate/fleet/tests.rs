use super::*;
use crate::simulate::units::SECOND;

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
