//! How fast something is done over the whole cluster: a token bucket. A peak in every pool at once then starves neither the
//! API server nor the nodes that start workers.

use std::time::Duration;

use super::Moment;

/// What is allowed over time, as creations of workers.
#[derive(Clone, Debug)]
pub struct Pace {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled: Moment,
}

impl Pace {
    /// `per_second` in the long run, `burst` at once.
    pub fn new(per_second: u32, burst: u32, now: Moment) -> Self {
        let burst = f64::from(burst.max(1));
        Self {
            per_second: f64::from(per_second.max(1)),
            burst,
            tokens: burst,
            filled: now,
        }
    }

    /// Takes tokens for as many of `wanted` as are allowed now, and says how many those are. What is not urgent
    /// leaves half of the burst to what is.
    pub fn take(&mut self, now: Moment, wanted: usize, urgent: bool) -> usize {
        let passed = now.saturating_sub(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.filled = self.filled.max(now);
        let kept = if urgent { 0.0 } else { (self.burst / 2.0).floor() };
        let mut granted = 0;
        while granted < wanted && self.tokens >= 1.0 + kept {
            self.tokens -= 1.0;
            granted += 1;
        }
        granted
    }

    /// Until the next urgent one is allowed.
    pub fn until_next(&self) -> Duration {
        Duration::from_secs_f64((1.0 - self.tokens).max(0.0) / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_is_allowed_at_once_and_then_so_many_a_second() {
        let seconds = Duration::from_secs;
        let mut pace = Pace::new(2, 5, seconds(100));
        assert_eq!(pace.take(seconds(100), 8, true), 5);
        assert_eq!(pace.take(seconds(100), 8, true), 0);
        assert_eq!(pace.until_next(), Duration::from_millis(500));
        assert_eq!(pace.take(seconds(101), 8, true), 2);
        assert_eq!(
            pace.take(seconds(200), 8, true),
            5,
            "no more than the burst is saved up"
        );
    }

    #[test]
    fn what_is_not_urgent_leaves_room_for_what_is() {
        let mut pace = Pace::new(2, 6, Duration::ZERO);
        assert_eq!(pace.take(Duration::ZERO, 8, false), 3);
        assert_eq!(pace.take(Duration::ZERO, 8, false), 0);
        assert_eq!(pace.take(Duration::ZERO, 8, true), 3);
    }

    proptest! {
        #[test]
        fn no_span_sees_more_than_its_rate_and_one_burst(asked in prop::collection::vec((0_u64..2_000, 0_usize..40, any::<bool>()), 1..60)) {
            let mut pace = Pace::new(7, 11, Duration::ZERO);
            let (mut now, mut granted) = (Duration::ZERO, 0);
            for (wait, wanted, urgent) in asked {
                now += Duration::from_millis(wait);
                granted += pace.take(now, wanted, urgent);
            }
            prop_assert!(granted as f64 <= 11.0 + 7.0 * now.as_secs_f64() + 1e-6);
        }
    }
}
