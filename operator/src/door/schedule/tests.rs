use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;
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

fn named(number: usize) -> Vec<String> {
    (0..number).map(|number| format!("tenant-{number}")).collect()
}

fn at(time: &str) -> Timestamp {
    format!("2026-11-11T{time}Z").parse().unwrap()
}

/// The door's minute is bad.
fn is_bad(finding: Finding) -> bool {
    matches!(finding, Finding::BadMinute(_))
}

#[test]
fn each_door_has_one_turn_a_period_and_turns_are_spread() {
    let mut schedule = schedule(&named(300));
    let turns: Vec<_> = (100..100 + PERIOD_SECONDS)
        .map(|second| schedule.due(second).len())
        .collect();
    assert_eq!(turns.iter().sum::<usize>(), 300);
    assert!(turns.iter().all(|turn| (5..=40).contains(turn)), "{turns:?}");
}

#[test]
fn a_door_has_no_other_turn_while_a_probe_is_on_its_way() {
    let mut schedule = schedule(&named(1));
    let round = |schedule: &mut Schedule| {
        (0..PERIOD_SECONDS)
            .flat_map(|second| schedule.due(second))
            .count()
    };
    assert_eq!((round(&mut schedule), round(&mut schedule)), (1, 0));
    schedule.note(&key("tenant-0"), at("10:00:00"), Outcome::Answered);
    assert_eq!(round(&mut schedule), 1);
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
        match schedule.note(&acme, at(time), outcome) {
            Finding::BadMinute(minute) => Some(minute.strftime("%H:%M").to_string()),
            _ => None,
        }
    };
    assert_eq!(note("10:00:05", false), None, "once is not twice");
    assert_eq!(note("10:00:20", true), None);
    assert_eq!(note("10:00:35", false), None, "not running");
    assert_eq!(note("10:01:05", false).as_deref(), Some("10:01"));
    assert_eq!(note("10:01:20", false), None, "bad already");
    assert_eq!(note("10:02:05", false).as_deref(), Some("10:02"));
    assert_eq!(note("10:02:20", true), None);
    assert_eq!(note("10:02:35", false), None);
    assert_eq!(
        note("09:00:05", false).as_deref(),
        Some("09:00"),
        "the clock was set back"
    );
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
        assert_eq!(is_bad(schedule.note(&acme, at(time), outcome)), bad, "{time}");
    }
}

#[test]
fn a_new_tenant_of_an_old_name_begins_anew() {
    let mut schedule = schedule(&["acme".to_owned()]);
    schedule.note(&key("acme"), at("10:00:05"), Outcome::Failed);
    schedule.keep(BTreeMap::from([(key("acme"), door("another"))]));
    let finding = schedule.note(&key("acme"), at("10:00:20"), Outcome::Failed);
    assert_eq!(finding, Finding::Nothing);
    schedule.keep(BTreeMap::new());
    let finding = schedule.note(&key("acme"), at("10:00:35"), Outcome::Failed);
    assert_eq!(finding, Finding::Nothing, "it is gone");
}

#[test]
fn the_operators_trouble_is_over_when_a_door_is_heard_and_a_silence_from_before_is_no_new_one() {
    let mut schedule = schedule(&["one".to_owned(), "two".to_owned()]);
    let (one, two) = (key("one"), key("two"));
    schedule.note(&one, at("10:00:00"), Outcome::Answered);
    schedule.note(&two, at("10:00:05"), Outcome::Answered);
    schedule.note(&one, at("10:00:15"), Outcome::Silent);
    assert!(!schedule.is_in_trouble(), "the other had been heard since");
    assert_eq!(
        schedule.note(&two, at("10:00:20"), Outcome::Silent),
        Finding::OwnTrouble
    );
    assert!(schedule.is_in_trouble());
    schedule.note(&two, at("10:00:35"), Outcome::Failed);
    assert!(!schedule.is_in_trouble(), "an error came back");
    assert_eq!(
        schedule.note(&one, at("10:00:30"), Outcome::Silent),
        Finding::OwnTrouble
    );
    assert!(!schedule.is_in_trouble());
}

/// What happens in ten minutes that are tried.
#[derive(Clone, Debug)]
struct Course {
    tenants: usize,
    /// From this second on that tenant really is away.
    away: Option<(usize, u64)>,
    /// The operator reaches no door in these seconds.
    outage: Range<u64>,
    /// Nor the witness.
    is_total: bool,
}

const BEGIN: u64 = 1_800_000_000;
const LENGTH: u64 = 600;
/// From a probe that nothing comes of until that is noted.
const SETTLED: u64 = 6;

/// Which minutes of which tenant were found bad.
fn bad_minutes(course: &Course) -> BTreeSet<(String, i64)> {
    let (mut schedule, mut turns) = (schedule(&named(course.tenants)), Turns::default());
    let (mut late, mut bad) = (VecDeque::<(u64, PoolKey)>::new(), BTreeSet::new());
    let time = |second: u64| Timestamp::from_second((BEGIN + second).cast_signed()).unwrap();
    let mut note = |schedule: &mut Schedule, key: &PoolKey, second, outcome| {
        if let Finding::BadMinute(minute) = schedule.note(key, time(second), outcome) {
            let minute = (minute.as_second() - BEGIN.cast_signed()) / 60;
            bad.insert((key.tenant.to_string(), minute));
        }
    };
    for now in 0..LENGTH {
        for second in turns.due(now) {
            let is_out = course.outage.contains(&second);
            if second % PERIOD_SECONDS == 0 && !(is_out && course.is_total) {
                schedule.note_witness(time(second));
            }
            for (key, _) in schedule.due(second) {
                let is_away = course.away.is_some_and(|(number, since)| {
                    key.tenant.as_str() == format!("tenant-{number}") && second >= since
                });
                if is_away || is_out {
                    late.push_back((second, key));
                } else {
                    note(&mut schedule, &key, second, Outcome::Answered);
                }
            }
        }
        while let Some((second, key)) = late.pop_front_if(|(second, _)| *second + SETTLED <= now) {
            note(&mut schedule, &key, second, Outcome::Silent);
        }
    }
    bad
}

proptest! {
    #[test]
    fn a_tick_that_is_late_leaves_out_no_second_and_each_has_one_turn(gaps in proptest::collection::vec(0..PERIOD_SECONDS, 1..50)) {
        let mut turns = Turns::default();
        let (mut now, mut seen) = (BEGIN, Vec::new());
        let seen_from = BEGIN + gaps[0];
        for gap in gaps {
            now += gap;
            seen.extend(turns.due(now));
        }
        prop_assert_eq!(seen, (seen_from..=now).collect::<Vec<_>>());
    }

    #[test]
    fn however_the_clock_goes_turns_neither_stall_nor_flood(times in proptest::collection::vec(0_u64..100_000, 1..50)) {
        let mut turns = Turns::default();
        let mut before = None;
        for now in times {
            let due: Vec<_> = turns.due(now).collect();
            prop_assert!(due.len() as u64 <= PERIOD_SECONDS);
            // At the same second again there is nothing to do; at any other, this second's doors have their turn.
            prop_assert_eq!(due.last().copied(), (before != Some(now)).then_some(now));
            if before.is_some_and(|before| now > before + PERIOD_SECONDS) {
                prop_assert_eq!(due.len() as u64, PERIOD_SECONDS, "after a long stop each door has one turn");
            }
            before = Some(now);
        }
    }

    // From the beginning of a term on, or once each door has had its turn.
    #[test]
    fn an_outage_of_the_operators_own_makes_no_tenants_minute_bad(
        tenants in 2_usize..12, begin in prop_oneof![Just(0), 2 * PERIOD_SECONDS..LENGTH], length in 0..LENGTH, is_total: bool,
    ) {
        let course = Course { tenants, away: None, outage: begin..begin + length, is_total };
        prop_assert_eq!(bad_minutes(&course), BTreeSet::new());
    }

    #[test]
    fn an_outage_that_hides_the_witness_too_makes_no_minute_of_a_single_tenant_bad(begin in 0..LENGTH, length in 0..LENGTH) {
        let course = Course { tenants: 1, away: None, outage: begin..begin + length, is_total: true };
        prop_assert_eq!(bad_minutes(&course), BTreeSet::new());
    }

    #[test]
    fn a_tenant_that_is_away_has_bad_minutes_be_it_alone_or_among_others(tenants in 1_usize..12, since in 30_u64..300) {
        let course = Course { tenants, away: Some((0, since)), outage: 0..0, is_total: false };
        let bad = bad_minutes(&course);
        prop_assert!(bad.iter().all(|(tenant, _)| tenant == "tenant-0"), "{:?}", bad);
        // Two periods later at the latest it is known, and then each minute is bad; of the last it is not known yet.
        let first = (since + 2 * PERIOD_SECONDS).div_ceil(60).cast_signed();
        for minute in first..(LENGTH / 60).cast_signed() - 1 {
            prop_assert!(bad.contains(&("tenant-0".to_owned(), minute)), "{} of {:?}", minute, bad);
        }
    }
}
