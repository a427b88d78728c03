use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn times(seconds: impl IntoIterator<Item = i64>) -> Vec<Timestamp> {
    seconds.into_iter().map(at).collect()
}

fn all(times: &[Timestamp]) -> Vec<Burst> {
    let found = find(times, Timestamp::MIN, None);
    assert_eq!(found.goes_on, None);
    found.new
}

/// P(X ≥ n), summed from the other end.
fn tail(n: u64, mean: f64) -> f64 {
    let mut term = (-mean).exp();
    let mut below = 0.0;
    for number in 0..n {
        below += term;
        term *= mean / (number + 1) as f64;
    }
    1.0 - below
}

#[test]
fn five_complaints_in_a_quarter_of_an_hour_are_a_burst_where_there_were_hardly_any() {
    assert_eq!(all(&times([0, 100, 200, 300])), []);
    let burst = Burst {
        first_at: at(0),
        last_at: at(400),
        complaints: 5,
        before: 0,
    };
    assert_eq!(all(&times([0, 100, 200, 300, 400])), [burst]);
    assert_eq!(
        all(&times([0, 300, 600, 800, 900])),
        [],
        "the window is half open: of sixteen minutes they are four"
    );
    assert_eq!(all(&times([0; 5])).len(), 1, "at one instant, too");
}

#[test]
fn what_is_usual_for_a_topic_is_no_burst_of_it() {
    // One a minute for eight days: fifteen a window.
    let usual: Vec<_> = (0..8 * 1_440).map(|minute| minute * 60).collect();
    let since = at(7 * 86_400 + 3_600);
    assert_eq!(find(&times(usual.clone()), since, None), Found::default());
    // Thirty-five more of it within a minute are one.
    let mut more = usual;
    more.extend((0..35).map(|second| 8 * 86_400 - 100 + second));
    more.sort_unstable();
    assert_eq!(find(&times(more), since, None).new.len(), 1);
}

#[test]
fn the_bound_is_one_in_ten_thousand() {
    // By tables of the distribution: P(X ≥ 5) is 0.66e-5 for 1/4; P(X ≥ 6) 5.9e-4 and P(X ≥ 7) 8.3e-5 for 1.
    assert!(is_striking(5, 0) && is_striking(5, 168));
    assert!(!is_striking(4, 0));
    assert!(!is_striking(6, 672) && is_striking(7, 672));
    assert_eq!(
        (
            expected(0).to_string(),
            expected(672).to_string(),
            expected(1_000).to_string()
        ),
        ("0.25".into(), "1".into(), "1.49".into())
    );
    // Very many, as in an attack: at once, and no number is none.
    assert!(is_striking(u64::MAX, 0) && is_striking(1_000_000, 672 * 900_000));
    assert!(!is_striking(1_000_000, 672 * 1_000_000));
}

#[test]
fn a_burst_goes_on_until_a_quarter_of_an_hour_brings_none_and_another_may_follow() {
    let first: Vec<i64> = (0..10).map(|n| n * 60).collect();
    let second: Vec<i64> = (0..10).map(|n| 7_200 + n * 60).collect();
    let both = times(first.iter().chain(&second).copied());
    let bursts = all(&both);
    assert_eq!(
        bursts
            .iter()
            .map(|burst| (burst.first_at, burst.complaints))
            .collect::<Vec<_>>(),
        [(at(0), 10), (at(7_200), 10)]
    );
    assert_eq!(bursts[1].before, 10);
    let known = Some(bursts[0]);
    assert_eq!(
        find(&both, at(0), known).new,
        bursts[1..],
        "what was told is not found again"
    );
    assert!(!is_over(at(540), at(540 + 900)) && is_over(at(540), at(540 + 901)));
}

proptest! {
    #[test]
    fn the_tail_is_that_of_the_distribution(count in 1_u64..120, mean in 0.25_f64..60.0) {
        let exact = tail(count, mean);
        // Beside the bound, and where the sum from the other end has digits left.
        prop_assume!((exact - RARE).abs() > RARE * 1e-6);
        prop_assert_eq!(is_rare(count, mean), exact < RARE, "{} {} {}", count, mean, exact);
    }

    #[test]
    fn more_complaints_are_never_less_striking_and_more_before_never_more(
        complaints in 0_u64..200, before in 0_u64..50_000, more in 0_u64..50
    ) {
        if is_striking(complaints, before) {
            prop_assert!(is_striking(complaints + more, before));
            prop_assert!(complaints >= FEWEST);
        } else {
            prop_assert!(!is_striking(complaints, before + more * 100));
        }
    }

    #[test]
    fn each_burst_is_found_once_however_often_it_is_looked_for_as_complaints_come(
        gaps in prop::collection::vec(prop_oneof![5 => 1_i64..200, 1 => 200_i64..3_000], 1..120)
    ) {
        let mut second = 0;
        let seconds: BTreeSet<_> = gaps.iter().map(|gap| { second += gap; second }).collect();
        let times = times(seconds);
        let at_once = all(&times);
        let mut told: Vec<Burst> = Vec::new();
        for end in 1..=times.len() {
            // As a look does that goes back a little.
            let since = times[end.saturating_sub(3)];
            let found = find(&times[..end], since, told.last().copied());
            if let Some(burst) = found.goes_on {
                *told.last_mut().unwrap() = burst;
            }
            told.extend(found.new);
        }
        prop_assert_eq!(&told, &at_once);
        for pair in at_once.windows(2) {
            prop_assert!(is_over(pair[0].last_at, pair[1].last_at));
        }
    }
}
