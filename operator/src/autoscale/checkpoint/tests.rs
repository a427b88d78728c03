use proptest::prelude::*;

use super::*;

const SPREAD: Duration = Duration::from_hours(100);

fn noon() -> Timestamp {
    "2026-11-10T12:00:00Z".parse().unwrap()
}

/// A week of slots, each learned.
fn full_baseline() -> Baseline {
    let mut bytes = vec![2, 0, 0];
    bytes.extend(u16::try_from(super::super::SLOTS).unwrap().to_be_bytes());
    for slot in 0..super::super::SLOTS {
        bytes.extend([0, u8::try_from(slot % 251).unwrap(), 7, 200, 1, 2, 9]);
    }
    Baseline::decode(&bytes).unwrap()
}

fn learned() -> impl Strategy<Value = Learned> {
    let starts = prop::collection::vec(0_u64..20_000_000, 0..100);
    let loads = prop::collection::vec((0_u64..200, any::<u32>()), 0..200);
    let hold = prop::option::of((0_u64..100_000, 0.0..100_000.0));
    (starts, loads, any::<bool>(), hold).prop_map(|(starts, loads, full, hold)| {
        let mut learned = Learned::default();
        if let Some((seconds, ended)) = hold {
            learned.hold = HoldTime::of(Duration::from_secs(seconds), ended);
        }
        for taken in starts {
            learned.starts.push(Duration::from_millis(taken));
        }
        let mut at = SPREAD.saturating_sub(Duration::from_hours(2));
        for (seconds, load) in loads {
            at += Duration::from_secs(seconds);
            learned.load.push(at, load, SPAN);
        }
        if full {
            learned.baseline = BaselineLearner::resume(full_baseline());
        }
        learned
    })
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded_again_and_never_takes_more_than_it_may(learned in learned()) {
        let kept = learned.checkpoint(SPREAD, noon());
        let bytes = kept.encode();
        prop_assert!(bytes.len() <= MOST_CHECKPOINT_BYTES);
        prop_assert_eq!(Checkpoint::decode(&bytes).unwrap(), kept);
    }

    #[test]
    fn what_is_taken_over_is_kept_as_it_was(learned in learned()) {
        let kept = learned.checkpoint(SPREAD, noon());
        let mut next = Learned::default();
        // Another process, whose moments are others.
        next.resume(kept.clone(), SPAN, noon());
        let again = next.checkpoint(SPAN, noon());
        prop_assert_eq!(&again.starts, &kept.starts);
        prop_assert_eq!(&again.baseline, &kept.baseline);
        prop_assert_eq!(again.hold, kept.hold);
        // Those within the hour, as the new leader sees it.
        let within = kept.peaks.iter().filter(|(minute, _)| age_of(*minute, noon()).unwrap() <= SPAN);
        prop_assert!(again.peaks.iter().map(|(_, load)| *load).eq(within.map(|(_, load)| *load)));
    }

    #[test]
    fn any_bytes_are_a_checkpoint_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        for head in [&[][..], &[VERSION], &[VERSION, 0], &[VERSION, 0, 2], &[VERSION_WITH_HOLD_TIME]] {
            let bytes = [head, bytes.as_slice()].concat();
            if let Ok(kept) = Checkpoint::decode(&bytes) {
                prop_assert_eq!(Checkpoint::decode(&kept.encode()), Ok(kept));
            }
        }
    }

    #[test]
    fn bytes_that_were_bent_or_cut_off_never_panic(learned in learned(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = learned.checkpoint(SPREAD, noon()).encode();
        let at = at.index(bytes.len());
        drop(Checkpoint::decode(&bytes[..at]));
        bytes[at] = byte;
        if let Ok(kept) = Checkpoint::decode(&bytes) {
            Learned::default().resume(kept, SPAN, noon());
        }
    }
}

#[test]
fn five_thousand_pools_fit_into_the_shards() {
    let mut learned = Learned {
        baseline: BaselineLearner::resume(full_baseline()),
        hold: HoldTime::of(Duration::from_mins(3), 9_000.0),
        ..Learned::default()
    };
    for second in 0..3_600_u32 {
        learned
            .load
            .push(Duration::from_secs(second.into()), 10_000 - second, SPAN);
        learned.starts.push(Duration::from_secs(second.into()));
    }
    let bytes = learned.checkpoint(Duration::from_secs(3_599), noon()).encode();
    assert!(
        (4_400..=MOST_CHECKPOINT_BYTES).contains(&bytes.len()),
        "{}",
        bytes.len()
    );
    const { assert!(MOST_CHECKPOINT_BYTES < 5_200) };
}

#[test]
fn a_peak_is_not_forgotten_before_its_hour_is_over_and_at_most_a_minute_later() {
    let mut learned = Learned::default();
    learned.load.push(SPAN, 90, SPAN);
    learned.load.push(SPAN + Duration::from_mins(10), 20, SPAN);
    let kept = learned.checkpoint(SPAN + Duration::from_secs(630), noon());
    let seen_at = noon() - SignedDuration::from_secs(630);
    let peak = |after: u64| {
        let mut next = Learned::default();
        let now = SPAN + Duration::from_secs(3);
        let time = seen_at + SignedDuration::from_secs(i64::try_from(after).unwrap());
        next.resume(kept.clone(), now, time);
        next.load.maximum(now, SPAN)
    };
    assert_eq!((peak(700), peak(3_600)), (Some(90), Some(90)));
    assert_eq!(peak(3_661), Some(20));
    assert_eq!(peak(4_261), None);
}

#[test]
fn what_was_seen_since_stays() {
    let mut old = Learned::default();
    old.starts.push(Duration::from_secs(20));
    old.load.push(SPAN, 5, SPAN);
    let mut new = Learned::default();
    new.starts.push(Duration::from_secs(30));
    new.load.push(SPAN, 9, SPAN);
    new.resume(old.checkpoint(SPAN, noon()), SPAN, noon());
    let starts: Vec<_> = new.starts.measured().collect();
    assert_eq!(starts, [Duration::from_secs(20), Duration::from_secs(30)]);
    assert_eq!(new.load.maximum(SPAN, SPAN), Some(9));
}

#[test]
fn a_version_that_is_not_known_and_a_foreign_baseline_are_refused() {
    assert_eq!(Checkpoint::decode(&[]), Err(CheckpointError::CutOff));
    assert_eq!(
        Checkpoint::decode(&[3, 0, 0, 1]),
        Err(CheckpointError::Version(3))
    );
    assert_eq!(
        Checkpoint::decode(&[VERSION, 0, 0, 9]),
        Err(CheckpointError::Baseline(baseline::DecodeError::Version(9)))
    );
    assert!(
        Checkpoint::decode(&Checkpoint::default().encode())
            .unwrap()
            .is_empty()
    );
}

#[test]
fn what_was_kept_before_hold_times_were_measured_is_taken_over() {
    let mut before = Learned::default();
    before.starts.push(Duration::from_secs(20));
    before.load.push(SPAN, 5, SPAN);
    let bytes = before.checkpoint(SPAN, noon()).encode();
    assert_eq!(bytes[0], VERSION);
    let mut next = Learned {
        hold: HoldTime::of(Duration::from_secs(90), 200.0),
        ..Learned::default()
    };
    next.resume(Checkpoint::decode(&bytes).unwrap(), SPAN, noon());
    assert_eq!(next.starts.measured().count(), 1);
    assert_eq!(next.hold.measured(), Some(Duration::from_secs(90)));
}

#[test]
fn a_new_leader_counts_by_the_hold_time_that_the_one_before_measured() {
    let old = Learned {
        hold: HoldTime::of(Duration::from_secs(90), 200.0),
        ..Learned::default()
    };
    let kept = Checkpoint::decode(&old.checkpoint(SPAN, noon()).encode()).unwrap();
    let mut new = Learned {
        hold: HoldTime::of(Duration::from_mins(1), 40.0),
        ..Learned::default()
    };
    new.resume(kept, SPAN, noon());
    assert_eq!(new.hold.measured(), Some(Duration::from_secs(85)));
}
