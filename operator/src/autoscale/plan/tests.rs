use proptest::prelude::*;

use super::*;
use crate::autoscale::{Bounds, History, Observation, Policy, StartTimes, decide};

const OPEN: &str = "2026-11-10T12:00:00Z";

const FIVE_A_SECOND: Creations = Creations {
    per_second: 5.0,
    for_others: 0,
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn mins(mins: i64) -> SignedDuration {
    SignedDuration::from_mins(mins)
}

fn window() -> Occurrence {
    let start: Timestamp = OPEN.parse().unwrap();
    Occurrence {
        start,
        end: start + SignedDuration::from_hours(4),
    }
}

fn timing() -> Timing {
    Timing {
        ready_by: Duration::from_mins(30),
        ramp: Duration::from_mins(10),
        hold: Duration::ZERO,
        step: 0.2,
    }
}

fn staffing() -> Staffing {
    Staffing {
        capacity: 20,
        level: ServiceLevel::default(),
        hold: DEFAULT_HOLD_TIME,
    }
}

fn missing(workers: u32, ready: u32, start_time: u64) -> Missing {
    Missing {
        workers,
        ready,
        start_time: seconds(start_time),
    }
}

fn all(wanted: u32) -> Boosted {
    Boosted { wanted, usual: 0 }
}

#[test]
fn two_hundred_percent_more_is_staffed_for_three_times_the_load() {
    let over = |size: BoostSize, baseline| size.over(baseline, &staffing());
    let tripled = staff(300.0, 20, ServiceLevel::default(), DEFAULT_HOLD_TIME);
    assert_eq!(
        over(BoostSize::Percent(200.0), 100),
        Boosted {
            wanted: tripled,
            usual: 7
        }
    );
    assert!(tripled >= 15, "room for all of it: {tripled}");
    assert_eq!(over(BoostSize::Percent(0.0), 0), all(0));
    assert_eq!(over(BoostSize::Workers(60), 1), all(60));
}

#[test]
fn the_lead_is_creations_at_their_pace_then_a_start_then_a_look() {
    for (pools, expected) in [
        (vec![], 10),
        (vec![missing(0, 4, 8)], 8 + 10),
        (vec![missing(5, 1, 8)], 1 + 8 + 10),
        (vec![missing(16, 1, 8)], 4 + 8 + 10),
        // Only sixteen start at once, and after them as many as answer: 16, 17, 34, 33.
        (vec![missing(100, 1, 60)], 20 + 4 * 60 + 10),
        // All pools share the pace of creation; the slowest of them is waited for.
        (vec![missing(16, 1, 8), missing(14, 30, 20)], 6 + 20 + 10),
        (
            vec![missing(u32::MAX, u32::MAX, 1), missing(u32::MAX, 9, 0)],
            u64::from(u32::MAX.div_ceil(5)) + 1 + 10,
        ),
    ] {
        assert_eq!(lead(&pools, FIVE_A_SECOND), seconds(expected), "{pools:?}");
    }
}

#[test]
fn prewarming_begins_a_ramp_before_ready_by_or_a_lead_if_that_is_longer() {
    let begins = |lead| {
        window()
            .start
            .duration_since(Course::new(window(), &timing(), lead, None).prewarm_at)
    };
    assert_eq!(begins(seconds(20)), mins(40));
    assert_eq!(begins(Duration::from_mins(10)), mins(40));
    assert_eq!(begins(Duration::from_mins(25)), mins(55));
}

#[test]
fn when_starts_become_slower_prewarming_begins_earlier() {
    let mut starts = StartTimes::default();
    let mut begins = Vec::new();
    for slow in [8, 8, 240, 900] {
        starts.push(seconds(slow));
        let lead = lead(
            &[Missing {
                workers: 12,
                ready: 3,
                start_time: starts.p99(),
            }],
            FIVE_A_SECOND,
        );
        begins.push(Course::new(window(), &timing(), lead, None).prewarm_at);
    }
    assert!(
        begins[0] == begins[1] && begins[2] == begins[1],
        "within the ramp nothing changes"
    );
    assert_eq!(
        begins[3],
        window().start - mins(30) - SignedDuration::from_secs(3 + 900 + 10)
    );
}

#[test]
fn the_floor_rises_linearly_until_the_last_can_still_answer_in_time() {
    let course = Course::new(window(), &timing(), Duration::from_mins(2), None);
    let floor = |minutes| course.floor(window().start - mins(minutes), all(16));
    assert_eq!(
        [41, 40, 39, 38, 36, 33, 32, 30, 0, -1, -239].map(floor),
        [0, 0, 2, 4, 8, 14, 16, 16, 16, 16, 16]
    );
    // Who comes late in the ramp finds the floor where it would be; after the ramp, all of it.
    assert_eq!(course.floor(window().start - mins(5), all(16)), 16);
}

#[test]
fn a_lead_longer_than_the_ramp_asks_for_all_at_once() {
    let course = Course::new(window(), &timing(), Duration::from_mins(25), None);
    assert_eq!(course.floor(course.prewarm_at, all(16)), 16);
    let none = Timing {
        ramp: Duration::ZERO,
        ..timing()
    };
    let course = Course::new(window(), &none, seconds(20), None);
    assert_eq!(course.floor(course.prewarm_at, all(16)), 16);
}

#[test]
fn what_has_begun_stays_begun_and_rises_faster_when_starts_become_slower() {
    let begun = window().start - mins(40);
    let (fast, slow) = (seconds(60), Duration::from_mins(7));
    let [fast, slow] = [fast, slow].map(|lead| Course::new(window(), &timing(), lead, Some(begun)));
    assert_eq!((fast.prewarm_at, slow.prewarm_at), (begun, begun));
    let at = window().start - mins(38);
    assert!(slow.floor(at, all(30)) > fast.floor(at, all(30)));
    let too_slow = Course::new(window(), &timing(), Duration::from_mins(50), Some(begun));
    assert_eq!((too_slow.prewarm_at, too_slow.floor(at, all(30))), (begun, 30));
}

#[test]
fn after_the_end_it_is_held_and_then_falls_by_a_share_of_the_boost_each_minute() {
    let timing = Timing {
        hold: Duration::from_mins(15),
        ..timing()
    };
    let course = Course::new(window(), &timing, seconds(20), None);
    let at = |minutes: i64| {
        let now = window().end + mins(minutes);
        (
            course.phase(now),
            course.floor(now, Boosted { wanted: 15, usual: 5 }),
            course.keeps(now),
        )
    };
    assert_eq!(at(0), (Phase::CoolingDown, 15, true));
    assert_eq!(at(14), (Phase::CoolingDown, 15, true));
    assert_eq!(at(15), (Phase::CoolingDown, 15, false));
    assert_eq!([16, 17, 18, 19].map(|minutes| at(minutes).1), [13, 11, 9, 7]);
    assert_eq!(at(20), (Phase::Over, 0, false));
    let at_once = Timing {
        hold: Duration::ZERO,
        step: 1.0,
        ..timing
    };
    let course = Course::new(window(), &at_once, seconds(20), None);
    assert_eq!(course.over_at, window().end + mins(1));
}

#[test]
fn overlapping_promotions_compose_by_the_maximum() {
    let plan = |promotion: &str, floor, ceiling| Plan {
        promotion: promotion.to_owned(),
        floor,
        ceiling,
        ..Plan::default()
    };
    let plans = [
        plan("evening", 8, Some(40)),
        plan("double-11", 30, Some(35)),
        plan("quiet", 2, None),
    ];
    let decision = decided(&plans, 100);
    assert_eq!((decision.plan, decision.ceiling, decision.desired), (30, 40, 30));
}

#[test]
fn nothing_leaves_while_a_promotion_keeps_and_what_cools_down_may_fall() {
    let leaves = |keeps| {
        let mut history = History::default();
        let plan = Plan {
            promotion: "p".to_owned(),
            floor: 2,
            keeps,
            ..Plan::default()
        };
        let mut desired = 0;
        for second in 0..600 {
            let bounds = Bounds {
                manual: None,
                plans: std::slice::from_ref(&plan),
                tenant_share: 100,
                kept_share: u32::MAX,
                scarce: false,
            };
            let seen = Observation {
                ready: if second == 0 { 9 } else { desired },
                ..Observation::default()
            };
            desired = decide(&policy(), &seen, &bounds, &mut history, seconds(second)).desired;
        }
        desired
    };
    assert_eq!((leaves(true), leaves(false)), (9, 2));
}

fn policy() -> Policy {
    Policy {
        service_level: ServiceLevel::default(),
        capacity: 20,
        min: 1,
        max: 10,
        headroom_workers: 0,
        headroom_percent: 0.0,
        down_window: Duration::from_mins(1),
        max_down_percent_per_minute: 50,
        suspended: false,
    }
}

fn decided(plans: &[Plan], tenant_share: u32) -> crate::autoscale::Decision {
    let bounds = Bounds {
        manual: None,
        plans,
        tenant_share,
        kept_share: u32::MAX,
        scarce: false,
    };
    decide(
        &policy(),
        &Observation::default(),
        &bounds,
        &mut History::default(),
        seconds(0),
    )
}

fn timings() -> impl Strategy<Value = Timing> {
    (0_u64..7_200, 0_u64..7_200, 0_u64..3_600, 0.01..1.0_f64).prop_map(|(ready_by, ramp, hold, step)| {
        Timing {
            ready_by: seconds(ready_by),
            ramp: seconds(ramp),
            hold: seconds(hold),
            step,
        }
    })
}

proptest! {
    #[test]
    fn the_floor_never_falls_before_the_end_and_at_the_start_all_that_is_wanted_is_held(
        timing in timings(), lead in 0_u64..7_200, wanted in 0_u32..5_000, usual in 0_u32..5_000, step in 1_i64..120,
    ) {
        let boosted = Boosted { wanted, usual };
        let course = Course::new(window(), &timing, seconds(lead), None);
        let (mut now, mut before) = (course.prewarm_at - SignedDuration::from_secs(1), 0);
        while now < window().end {
            let floor = course.floor(now, boosted);
            prop_assert!(floor >= before && floor <= wanted, "{now}: {before} to {floor}");
            before = floor;
            now += SignedDuration::from_secs(step);
        }
        prop_assert_eq!(course.floor(window().start, boosted), wanted);
        prop_assert_eq!(course.floor(course.full_at, boosted), wanted);
        // From asking for the last of them, a whole lead is left until all must answer.
        let left = course.ready_by.duration_since(course.full_at);
        prop_assert!(left >= SignedDuration::from_secs(i64::try_from(lead).unwrap()), "{left}");
    }

    #[test]
    fn cooling_down_never_rises_and_ends(timing in timings(), wanted in 0_u32..5_000, usual in 0_u32..5_000) {
        let boosted = Boosted { wanted, usual };
        let course = Course::new(window(), &timing, seconds(20), None);
        let (mut now, mut before) = (window().end, wanted);
        while now < course.over_at {
            let floor = course.floor(now, boosted);
            prop_assert!(floor <= before && floor >= usual.min(wanted));
            let (most, fell) = (f64::from(wanted - usual.min(wanted)) * timing.step + 1.0, before - floor);
            prop_assert!(f64::from(fell) <= most + 1e-3, "{fell} within a minute");
            before = floor;
            now += mins(1);
        }
        prop_assert_eq!(course.floor(course.over_at, boosted), 0);
    }

    #[test]
    fn more_missing_or_slower_starts_never_begin_later(
        timing in timings(), workers in 0_u32..2_000, ready in 0_u32..100, start in 0_u64..600, more in 0_u32..100, slower in 0_u64..100,
    ) {
        let begins = |workers, start| {
            Course::new(window(), &timing, lead(&[missing(workers, ready, start)], FIVE_A_SECOND), None).prewarm_at
        };
        prop_assert!(begins(workers + more, start + slower) <= begins(workers, start));
    }

    #[test]
    fn no_promotion_exceeds_the_ceiling_or_what_the_tenant_has_left(
        plans in proptest::collection::vec((0_u32..200, proptest::option::of(1_u32..100), any::<bool>()), 0..4), tenant_share in 0_u32..150,
    ) {
        let plans: Vec<_> = plans
            .into_iter()
            .map(|(floor, ceiling, keeps)| Plan { promotion: "p".to_owned(), floor, ceiling, keeps, open: keeps })
            .collect();
        let ceiling = plans.iter().filter_map(|plan| plan.ceiling).max().unwrap_or(0).max(policy().max);
        let floor = plans.iter().map(|plan| plan.floor).max().unwrap_or(0).max(policy().min);
        let decision = decided(&plans, tenant_share);
        prop_assert!(decision.desired <= ceiling.min(tenant_share));
        prop_assert!(decision.desired >= floor.min(ceiling).min(tenant_share));
    }
}
