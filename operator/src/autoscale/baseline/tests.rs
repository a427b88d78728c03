use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;

const SHANGHAI: &str = "Asia/Shanghai";

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

/// One slot from its beginning, an observation every two seconds; then the first of the slot after it.
fn watch_slot(learner: &mut BaselineLearner, begin: &str, zone: &str, load: impl Fn(i64) -> Option<u32>) {
    let begin = instant(begin);
    for second in (0..=SLOT_SECONDS).step_by(2) {
        let load = if second == SLOT_SECONDS {
            Some(0)
        } else {
            load(second)
        };
        learner.observe(begin + SignedDuration::from_secs(second), zone, load);
    }
}

fn learned(begins_and_loads: &[(&str, u32)], zone: &str) -> Baseline {
    let mut learner = BaselineLearner::default();
    for (begin, load) in begins_and_loads {
        watch_slot(&mut learner, begin, zone, |_| Some(*load));
    }
    (*learner.learned()).clone()
}

/// A slot in which the load was always the same.
fn steady(load: u32) -> SlotLoad {
    SlotLoad {
        highest: load,
        first: load,
    }
}

#[test]
fn the_usual_load_lies_between_what_slots_begin_with_and_none_is_said_where_one_is_missing() {
    let mut learner = BaselineLearner::default();
    for day in ["2026-11-06", "2026-11-13"] {
        let begin = instant(&format!("{day}T12:00:00Z"));
        for second in (0..=3 * SLOT_SECONDS).step_by(2) {
            let first = [20, 80, 50, 0][usize::try_from(second / SLOT_SECONDS).unwrap()];
            // It doubles at once, and that is no matter.
            let load = if second % SLOT_SECONDS < 2 {
                first
            } else {
                first * 2
            };
            learner.observe(begin + SignedDuration::from_secs(second), "UTC", Some(load));
        }
    }
    let baseline = learner.learned();
    let usual = |at: &str, minutes| {
        let found = baseline.usual(instant(at), Duration::from_mins(minutes), &TimeZone::UTC);
        found.map(|usual| (usual.now.round(), usual.highest.round(), usual.at_horizon.round()))
    };
    assert_eq!(
        usual("2026-11-20T12:00:00Z", 0),
        Some((20.0, 20.0, 20.0)),
        "a slot begins"
    );
    assert_eq!(
        usual("2026-11-20T12:05:00Z", 5),
        Some((40.0, 60.0, 60.0)),
        "on the way up"
    );
    assert_eq!(
        usual("2026-11-20T12:10:00Z", 10),
        Some((60.0, 80.0, 70.0)),
        "over the top"
    );
    assert_eq!(
        usual("2026-11-20T11:59:00Z", 0),
        None,
        "the slot before is not known"
    );
    assert_eq!(
        usual("2026-11-20T12:28:00Z", 5),
        None,
        "the slot after the next is not known"
    );
}

#[test]
fn a_slot_learns_the_highest_load_that_it_had() {
    let mut learner = BaselineLearner::default();
    for begin in ["2026-11-06T12:00:00Z", "2026-11-13T12:00:00Z"] {
        watch_slot(&mut learner, begin, SHANGHAI, |second| {
            Some(if second == 400 { 70 } else { 10 })
        });
    }
    let at = instant("2026-11-20T12:14:59Z");
    assert_eq!(learner.learned().expected(at, &zone(SHANGHAI)), Some((70.0, 0.0)));
    let next = instant("2026-11-20T12:15:00Z");
    assert_eq!(learner.learned().expected(next, &zone(SHANGHAI)), None);
}

#[test]
fn a_slot_is_trusted_after_two_weeks_whose_error_is_small() {
    let weeks = [
        "2026-11-06T12:00:00Z",
        "2026-11-13T12:00:00Z",
        "2026-11-20T12:00:00Z",
        "2026-11-27T12:00:00Z",
    ];
    let (at, shanghai) = (instant("2026-12-04T12:00:00Z"), zone(SHANGHAI));
    let expected = |loads: &[u32]| {
        let seen: Vec<_> = weeks.into_iter().zip(loads.iter().copied()).collect();
        learned(&seen, SHANGHAI).expected(at, &shanghai)
    };
    assert_eq!(expected(&[100]), None, "one week");
    assert_eq!(expected(&[100, 130]), Some((115.0, 0.2308)), "30 of 130 off");
    assert_eq!(expected(&[100, 200]), None, "half of it off");
    let (load, error) = expected(&[100, 200, 150, 150]).unwrap();
    assert!(
        (load - 150.0).abs() < 0.5 && error <= 0.3,
        "it found its load: {load}, {error}"
    );
    assert_eq!(
        expected(&[0, 0]),
        Some((0.0, 0.0)),
        "a pool that is idle then is known to be"
    );
}

#[test]
fn a_slot_with_missing_data_is_not_learned() {
    let (begin, again) = ("2026-11-06T12:00:00Z", "2026-11-13T12:00:00Z");
    let none = Baseline::default();
    let watched = |load: &dyn Fn(i64) -> Option<u32>| {
        let mut learner = BaselineLearner::default();
        watch_slot(&mut learner, begin, SHANGHAI, load);
        (*learner.learned()).clone()
    };
    assert_ne!(watched(&|_| Some(5)), none);
    assert_eq!(
        watched(&|second| (second != 500).then_some(5)),
        none,
        "one observation had missing data"
    );
    // A new leader begins within a slot, and an old one ends within another.
    let mut learner = BaselineLearner::default();
    for second in (60..1_000).step_by(2) {
        learner.observe(
            instant(begin) + SignedDuration::from_secs(second),
            SHANGHAI,
            Some(5),
        );
    }
    learner.observe(instant(again), SHANGHAI, Some(5));
    assert_eq!(*learner.learned(), none);
    let mut learner = BaselineLearner::default();
    for second in (0..900).filter(|second| !(300..340).contains(second)) {
        learner.observe(
            instant(begin) + SignedDuration::from_secs(second),
            SHANGHAI,
            Some(5),
        );
    }
    learner.observe(instant("2026-11-06T12:15:00Z"), SHANGHAI, Some(5));
    assert_eq!(*learner.learned(), none, "nothing was seen for 40 seconds");
}

#[test]
fn slots_are_those_of_the_tenants_clocks() {
    // 20:00 in Berlin, before and after clocks are put back.
    let seen = [("2026-10-16T18:00:00Z", 40), ("2026-10-23T18:00:00Z", 40)];
    let berlin = learned(&seen, "Europe/Berlin");
    let at = |text, name| berlin.expected(instant(text), &zone(name)).map(|(load, _)| load);
    assert_eq!(at("2026-10-30T19:00:00Z", "Europe/Berlin"), Some(40.0));
    assert_eq!(at("2026-10-30T18:00:00Z", "Europe/Berlin"), None);
    let unknown = learned(&seen, "Mars/Base");
    assert!(
        unknown
            .expected(instant("2026-10-30T18:00:00Z"), &TimeZone::UTC)
            .is_some()
    );
}

#[test]
fn the_highest_is_over_the_slots_of_the_window_half_of_which_are_trusted() {
    let mut seen = Vec::new();
    for day in ["2026-11-06", "2026-11-13"] {
        seen.extend(
            [("12:00", 40), ("12:15", 90), ("12:30", 60)].map(|(at, load)| (format!("{day}T{at}:00Z"), load)),
        );
    }
    let seen: Vec<_> = seen.iter().map(|(at, load)| (at.as_str(), *load)).collect();
    let (baseline, utc) = (learned(&seen, "UTC"), TimeZone::UTC);
    let highest = |start: &str, end: &str| baseline.highest(instant(start), instant(end), &utc);
    assert_eq!(
        highest("2026-11-20T12:00:00Z", "2026-11-20T12:45:00Z"),
        Some(90.0)
    );
    assert_eq!(
        highest("2026-11-20T12:30:00Z", "2026-11-20T12:31:00Z"),
        Some(60.0)
    );
    assert_eq!(
        highest("2026-11-20T12:14:00Z", "2026-11-20T12:15:00Z"),
        Some(40.0),
        "the end is exclusive"
    );
    assert_eq!(
        highest("2026-11-20T12:00:00Z", "2026-11-20T13:30:00Z"),
        Some(90.0),
        "3 of 6"
    );
    assert_eq!(
        highest("2026-11-20T12:00:00Z", "2026-11-20T13:31:00Z"),
        None,
        "3 of 7"
    );
    assert_eq!(
        highest("2026-11-20T12:00:00Z", "2026-12-20T12:00:00Z"),
        None,
        "3 of 672"
    );
    assert_eq!(
        Baseline::default().highest(instant(seen[0].0), instant(seen[1].0), &utc),
        None
    );
}

#[test]
fn bytes_that_are_no_baseline_are_refused() {
    assert_eq!(Baseline::decode(&[]), Err(DecodeError::CutOff));
    assert_eq!(Baseline::decode(&[9]), Err(DecodeError::Version(9)));
    assert_eq!(Baseline::decode(&[2]), Ok(Baseline::default()));
    let bytes = learned(&[("2026-11-06T12:00:00Z", 5)], "UTC").encode();
    assert_eq!(bytes.len(), 1 + 4 + 7);
    for cut in 2..bytes.len() {
        assert_eq!(Baseline::decode(&bytes[..cut]), Err(DecodeError::CutOff), "{cut}");
    }
    let twice = [bytes.clone(), bytes[1..].to_vec()].concat();
    assert!(matches!(Baseline::decode(&twice), Err(DecodeError::Slot(_))));
    let beyond = [
        &[2][..],
        &672_u16.to_be_bytes(),
        &1_u16.to_be_bytes(),
        &[0, 0, 1, 9, 0, 0, 1],
    ]
    .concat();
    assert_eq!(Baseline::decode(&beyond), Err(DecodeError::Slot(672)));
    let unlearned = [
        &[2][..],
        &0_u16.to_be_bytes(),
        &1_u16.to_be_bytes(),
        &[0, 0, 1, 9, 0, 0, 0],
    ]
    .concat();
    assert_eq!(Baseline::decode(&unlearned), Err(DecodeError::Slot(0)));
}

#[test]
fn a_whole_week_takes_the_most_bytes_and_they_are_less_than_five_kibibytes() {
    let mut whole = Baseline::default();
    for slot in 0..SLOTS {
        whole.learn(slot, steady(u32::MAX));
    }
    assert_eq!(whole.encode().len(), MOST_BYTES);
    const { assert!(MOST_BYTES <= 5_120) }
    let mut every_second = Baseline::default();
    for slot in (0..SLOTS).step_by(2) {
        every_second.learn(slot, steady(1));
    }
    assert!(every_second.encode().len() < MOST_BYTES);
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_and_never_exceeds_its_size(
        learned in proptest::collection::vec((0..SLOTS, 0_u32..20_000_000), 0..3_000),
    ) {
        let mut baseline = Baseline::default();
        for (slot, load) in learned {
            baseline.learn(slot, steady(load));
        }
        let bytes = baseline.encode();
        prop_assert!(bytes.len() <= MOST_BYTES, "{} bytes", bytes.len());
        prop_assert_eq!(Baseline::decode(&bytes), Ok(baseline));
    }

    #[test]
    fn no_bytes_make_decoding_panic_and_what_is_read_is_written_alike(bytes in proptest::collection::vec(0_u8..8, 0..200)) {
        if let Ok(baseline) = Baseline::decode(&bytes) {
            prop_assert_eq!(Baseline::decode(&baseline.encode()), Ok(baseline));
        }
    }

    #[test]
    fn a_mean_lies_between_the_least_and_the_most_that_was_seen(loads in proptest::collection::vec(0_u32..100_000, 1..60)) {
        let mut slot = Slot::default();
        for load in &loads {
            slot.learn(steady(*load));
        }
        let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
        prop_assert!(slot.highest() >= f64::from(*least) && slot.highest() <= f64::from(*most) && slot.first() <= slot.highest(), "{slot:?}");
    }
}
