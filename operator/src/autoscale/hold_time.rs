//! How long a conversation lasts on average, measured by Little's law.
//!
//! - *hold time*: from a conversation's first turn until it is closed or parked. Over a time in which nobody waits for long it is what
//!   all active conversations last together in that time, over how many of them end in it (J. D. C. Little, "A proof for the
//!   queuing formula L = λW", 1961). By endings and not by arrivals, as those do not run ahead of a load that grows.
//! - *trusted*: enough conversations ended within about the last hour. A time in which data was missing is left out.

use std::time::Duration;

use super::Moment;

/// What ended counts for about so long.
const MEMORY: Duration = Duration::from_hours(1);
/// Endings after which a mean is believed: it is off by about a tenth then.
const ENOUGH: f64 = 100.0;
/// Nothing is said of a time between two looks that is longer.
const LONGEST_GAP: Duration = Duration::from_secs(30);
/// No mean is believed beyond these.
const BELIEVED: (Duration, Duration) = (Duration::from_secs(10), Duration::from_hours(2));

/// The hold time of one pool's conversations; sums of which older parts count less.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HoldTime {
    /// What active conversations lasted, seconds.
    lasted: f64,
    /// So many ended.
    ended: f64,
    seen: Option<Moment>,
}

impl HoldTime {
    /// As it was measured before, by so many endings.
    pub fn of(mean: Duration, ended: f64) -> Self {
        Self {
            lasted: mean.as_secs_f64() * ended,
            ended,
            seen: None,
        }
    }

    /// Takes note of how many are active and how many end in a second; of nothing where data is missing.
    pub fn observe(&mut self, now: Moment, seen: Option<(u32, f64)>) {
        let before = std::mem::replace(&mut self.seen, seen.map(|_| now));
        let (Some(before), Some((active, endings))) = (before, seen) else {
            return;
        };
        let passed = now.saturating_sub(before);
        if passed > LONGEST_GAP || !endings.is_finite() {
            return;
        }
        let kept = (-passed.as_secs_f64() / MEMORY.as_secs_f64()).exp();
        self.lasted = self.lasted * kept + f64::from(active) * passed.as_secs_f64();
        self.ended = self.ended * kept + endings.max(0.0) * passed.as_secs_f64();
    }

    /// The mean, if it is trusted.
    pub fn measured(&self) -> Option<Duration> {
        (self.ended >= ENOUGH).then(|| self.mean())
    }

    /// The mean, by however few endings; and how many those are.
    pub(super) fn known(&self) -> (Duration, f64) {
        (self.mean(), self.ended)
    }

    /// What both measured.
    pub(super) fn add(&mut self, other: Self) {
        self.lasted += other.lasted;
        self.ended += other.ended;
        self.seen = self.seen.max(other.seen);
    }

    fn mean(&self) -> Duration {
        let (shortest, longest) = BELIEVED;
        Duration::try_from_secs_f64(self.lasted / self.ended)
            .unwrap_or(longest)
            .clamp(shortest, longest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn looked(seconds: u64, mut seen: impl FnMut(u64) -> Option<(u32, f64)>) -> HoldTime {
        let mut hold = HoldTime::default();
        for second in 0..=seconds {
            hold.observe(Duration::from_secs(second), seen(second));
        }
        hold
    }

    fn is_about(hold: HoldTime, seconds: f64) -> bool {
        let measured = hold.measured().map(|mean| mean.as_secs_f64());
        measured.is_some_and(|mean| (mean / seconds - 1.0).abs() < 0.01)
    }

    #[test]
    fn it_is_load_over_endings_and_a_change_of_it_is_seen_within_hours() {
        assert!(is_about(looked(600, |_| Some((100, 1.0))), 100.0));
        let shorter = looked(6 * 3_600, |second| {
            Some((if second < 3_600 { 240 } else { 60 }, 1.0))
        });
        assert!(is_about(shorter, 61.0), "{:?}", shorter.measured());
    }

    #[test]
    fn a_load_that_grows_does_not_look_longer_than_it_is() {
        // Of each second's load a hundredth ends, however much more arrives.
        let ramp = looked(3_600, |second| {
            let active = u32::try_from(50 + second).unwrap();
            Some((active, f64::from(active) / 100.0))
        });
        assert!(is_about(ramp, 100.0));
    }

    #[test]
    fn a_time_without_data_says_nothing() {
        let away = |second: u64| (!(300..900).contains(&second)).then_some((100, 1.0));
        assert!(is_about(looked(1_200, away), 100.0));
        // No look at all, while all that was there is gone and another load came.
        let mut hold = looked(300, |_| Some((100, 1.0)));
        hold.observe(Duration::from_mins(15), Some((9_000, 0.0)));
        assert!(is_about(hold, 100.0));
    }

    proptest! {
        #[test]
        fn whatever_is_seen_it_is_bounded_and_by_few_endings_it_is_not_known(
            looks in prop::collection::vec((0_u64..60, prop::option::of((any::<u32>(), -5.0..1e6_f64))), 0..100),
        ) {
            let (mut hold, mut at, mut most) = (HoldTime::default(), 0, 0.0);
            for (later, seen) in looks {
                at += later;
                most += later as f64 * seen.map_or(0.0, |(_, endings)| endings.max(0.0));
                hold.observe(Duration::from_secs(at), seen);
                let measured = hold.measured();
                prop_assert!(measured.is_none_or(|mean| mean >= BELIEVED.0 && mean <= BELIEVED.1));
                prop_assert!(measured.is_none() || most >= ENOUGH);
            }
        }
    }
}
