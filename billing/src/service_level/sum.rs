//! Minutes of all pools and gateways together.

use jiff::Timestamp;

use super::burn::Minute;
use super::hour::{Counts, for_each_minute};
use crate::rating::period::Bounds;
use crate::rating::rate::MinuteCounts;

const MINUTE: i64 = 60;

/// A stored hour.
#[derive(Clone, Copy, Debug)]
pub struct StoredHour<'a> {
    /// The second at which it begins.
    pub start_second: i64,
    /// Of the operator's probe.
    pub is_probe: bool,
    /// What was reported, as it is stored.
    pub minutes: &'a [u8],
}

/// Minutes that were reported within the bounds, in order; what was reported of each is summed.
///
/// A probe's bad minute adds to what gateways reported, and makes it unreachable; where none did, it makes no minute reported, so
/// that a silence is not taken for a quiet minute with one bad request.
///
/// `None` if something is stored that is no hour.
pub fn minutes_within<'a>(
    hours: impl IntoIterator<Item = StoredHour<'a>>,
    bounds: &Bounds,
) -> Option<Vec<Minute>> {
    let first = bounds.start.as_second().div_euclid(MINUTE);
    let number = usize::try_from(bounds.end.as_second().div_euclid(MINUTE) - first + 1).unwrap_or_default();
    let mut reported: Vec<Option<Counts>> = vec![None; number];
    let mut failed_at_the_door = vec![0_u64; number];
    for StoredHour {
        start_second,
        is_probe,
        minutes,
    } in hours
    {
        let offset = start_second.div_euclid(MINUTE) - first;
        for_each_minute(minutes, |place, counts| {
            let Ok(index) = usize::try_from(offset + i64::try_from(place).unwrap_or_default()) else {
                return;
            };
            if is_probe {
                if let Some(failed) = failed_at_the_door.get_mut(index) {
                    *failed = failed.saturating_add(counts.bad);
                }
            } else if let Some(sum) = reported.get_mut(index) {
                add(sum.get_or_insert_default(), counts);
            }
        })?;
    }
    let minutes = reported
        .into_iter()
        .zip(failed_at_the_door)
        .zip(first..)
        .filter_map(|((sum, failed), minute)| {
            let sum = sum?;
            let minute = Timestamp::from_second(minute * MINUTE).ok()?;
            let counts = MinuteCounts {
                good: sum.good,
                bad: sum.bad.saturating_add(failed),
                fast: sum.fast,
                slow: sum.slow,
                unreachable: failed > 0,
            };
            bounds.contain(minute).then_some((minute, counts))
        });
    Some(minutes.collect())
}

fn add(sum: &mut Counts, counts: Counts) {
    let Counts {
        good,
        bad,
        fast,
        slow,
    } = counts;
    sum.good = sum.good.saturating_add(good);
    sum.bad = sum.bad.saturating_add(bad);
    sum.fast = sum.fast.saturating_add(fast);
    sum.slow = sum.slow.saturating_add(slow);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service_level::hour::Hour;

    type OwnedHour = (i64, bool, Vec<u8>);

    fn within(hours: &[OwnedHour], start: &str, end: &str) -> Vec<Minute> {
        let bounds = Bounds {
            start: start.parse().unwrap(),
            end: end.parse().unwrap(),
        };
        let hours = hours.iter().map(|(start_second, is_probe, minutes)| StoredHour {
            start_second: *start_second,
            is_probe: *is_probe,
            minutes,
        });
        minutes_within(hours, &bounds).unwrap()
    }

    fn hour(start: &str, is_probe: bool, minutes: &[(usize, Counts)]) -> OwnedHour {
        let mut hour = Hour::default();
        for (minute, counts) in minutes {
            hour.offer(*minute, *counts);
        }
        let start = start.parse::<Timestamp>().unwrap();
        (start.as_second(), is_probe, hour.to_bytes())
    }

    fn good(good: u64) -> Counts {
        Counts {
            good,
            fast: good,
            ..Counts::default()
        }
    }

    #[test]
    fn pools_and_gateways_are_summed_and_only_reported_minutes_within_the_bounds_come_out() {
        let hours = [
            hour(
                "2026-11-11T00:00:00Z",
                false,
                &[(14, good(7)), (15, good(1)), (17, good(0))],
            ),
            hour(
                "2026-11-11T00:00:00Z",
                false,
                &[(
                    15,
                    Counts {
                        good: 2,
                        bad: 3,
                        fast: 1,
                        slow: 1,
                    },
                )],
            ),
            hour("2026-11-11T01:00:00Z", false, &[(0, good(5)), (1, good(9))]),
        ];
        let minutes = within(&hours, "2026-11-11T00:15:00Z", "2026-11-11T01:01:00Z");
        let at = |time: &str| time.parse::<Timestamp>().unwrap();
        let expected = [
            (at("2026-11-11T00:15:00Z"), (3, 3, 2, 1)),
            (at("2026-11-11T00:17:00Z"), (0, 0, 0, 0)),
            (at("2026-11-11T01:00:00Z"), (5, 0, 5, 0)),
        ]
        .map(|(minute, (good, bad, fast, slow))| {
            let counts = MinuteCounts {
                good,
                bad,
                fast,
                slow,
                unreachable: false,
            };
            (minute, counts)
        });
        assert_eq!(minutes, expected);
    }

    #[test]
    fn a_probe_makes_a_reported_minute_worse_and_a_silent_one_no_less_silent() {
        let failed = Counts {
            bad: 1,
            ..Counts::default()
        };
        let hours = [
            hour("2026-11-11T00:00:00Z", false, &[(1, good(4))]),
            hour("2026-11-11T00:00:00Z", true, &[(1, failed), (2, failed)]),
        ];
        let minutes = within(&hours, "2026-11-11T00:00:00Z", "2026-11-11T01:00:00Z");
        let counts = MinuteCounts {
            good: 4,
            bad: 1,
            fast: 4,
            slow: 0,
            unreachable: true,
        };
        assert_eq!(minutes, [("2026-11-11T00:01:00Z".parse().unwrap(), counts)]);
    }
}
