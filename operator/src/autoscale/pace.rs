//! How fast workers are created over the whole cluster, so that a peak in every pool at once starves neither the API server
//! nor the nodes that start them: two token buckets.
//!
//! - *lane*: one for what load asks for, which is urgent, and one for the rest: minimums, promotions, numbers given by hand,
//!   rollouts. Each has its part of the pace for itself, so that neither starves the other.
//! - *surplus*: what a lane has saved up beyond half of what it can save; the other lane may use it. What flows into a full
//!   lane flows on into the other.
//! - *turn*: when who was put off looks again. Turns of a lane lie so far apart as creations do, and are given in the order in
//!   which they are asked for: however many pools are put off, few look at a time, and the first is the first.

use std::time::Duration;

use super::Moment;

/// The part of the pace that is kept for what is not urgent.
const REST: f64 = 0.25;
/// Who was put off looks again after no less.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// So many in a second, and so many at once that were saved up.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    per_second: f64,
    most: f64,
    tokens: f64,
    filled: Moment,
}

impl TokenBucket {
    /// A full one.
    pub fn new(per_second: f64, most: f64, now: Moment) -> Self {
        let most = most.max(1.0);
        Self {
            per_second,
            most,
            tokens: most,
            filled: now,
        }
    }

    /// Takes one, if there is one now.
    pub fn take(&mut self, now: Moment) -> bool {
        self.fill(now);
        let there = self.tokens >= 1.0;
        if there {
            self.tokens -= 1.0;
        }
        there
    }

    /// Adds what came since; what it cannot hold.
    fn fill(&mut self, now: Moment) -> f64 {
        let passed = now.saturating_sub(self.filled).as_secs_f64();
        self.filled = self.filled.max(now);
        self.add(passed * self.per_second)
    }

    fn add(&mut self, tokens: f64) -> f64 {
        let filled = self.tokens + tokens;
        self.tokens = filled.min(self.most);
        filled - self.tokens
    }

    fn surplus(&self) -> f64 {
        (self.tokens - self.most / 2.0).max(0.0).floor()
    }
}

/// Creations that are allowed over time.
#[derive(Clone, Debug)]
pub struct CreationPace {
    urgent: TokenBucket,
    rest: TokenBucket,
    /// The last turn that was given, of what is urgent and of the rest.
    turns: [Moment; 2],
}

impl CreationPace {
    /// Creations a second that promotions can count on, of `per_second` in all.
    pub fn assured(per_second: u32) -> f64 {
        f64::from(per_second.max(1)) * REST
    }

    /// `per_second` in the long run, `burst` at once; what is not urgent has a quarter of both for itself.
    pub fn new(per_second: u32, burst: u32, now: Moment) -> Self {
        let (per_second, burst) = (f64::from(per_second.max(1)), f64::from(burst.max(2)));
        Self {
            urgent: TokenBucket::new(per_second * (1.0 - REST), burst * (1.0 - REST), now),
            rest: TokenBucket::new(per_second * REST, burst * REST, now),
            turns: [now; 2],
        }
    }

    /// Takes tokens for as many of `wanted` creations as are allowed now, and says how many those are. One pool takes at most
    /// half of what is there, so that a large one leaves some to the others.
    pub fn take(&mut self, now: Moment, wanted: usize, urgent: bool) -> usize {
        self.fill(now);
        let (own, other) = self.lanes(urgent);
        let there = own.tokens.floor() + other.surplus();
        let half = (there / 2.0).ceil();
        let mut granted = 0;
        while granted < wanted && (granted as f64) < half {
            if own.tokens >= 1.0 {
                own.tokens -= 1.0;
            } else {
                other.tokens -= 1.0;
            }
            granted += 1;
        }
        granted
    }

    /// Gives who was put off a turn: the moment at which to look again.
    pub fn turn(&mut self, now: Moment, urgent: bool) -> Moment {
        let both = self.urgent.per_second + self.rest.per_second;
        let own = if urgent { &self.urgent } else { &self.rest };
        let missing = (1.0 - own.tokens).max(0.0);
        let earliest = now + Duration::from_secs_f64(missing / own.per_second).max(SHORTEST_WAIT);
        let last = &mut self.turns[usize::from(!urgent)];
        *last = if *last > now {
            earliest.max(*last + Duration::from_secs_f64(both.recip()))
        } else {
            earliest
        };
        *last
    }

    /// So much is saved up that those with earlier turns do not come for it: nobody needs to wait for a turn.
    pub fn has_plenty(&mut self, now: Moment, urgent: bool) -> bool {
        self.fill(now);
        let (own, _) = self.lanes(urgent);
        own.tokens >= own.most / 2.0
    }

    fn lanes(&mut self, urgent: bool) -> (&mut TokenBucket, &mut TokenBucket) {
        if urgent {
            (&mut self.urgent, &mut self.rest)
        } else {
            (&mut self.rest, &mut self.urgent)
        }
    }

    fn fill(&mut self, now: Moment) {
        let (from_urgent, from_rest) = (self.urgent.fill(now), self.rest.fill(now));
        self.rest.add(from_urgent);
        self.urgent.add(from_rest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes all there is, as several pools would.
    fn take_all(pace: &mut CreationPace, now: Moment, urgent: bool) -> usize {
        let taken = std::iter::from_fn(|| Some(pace.take(now, 100, urgent)));
        taken.take_while(|taken| *taken > 0).sum()
    }

    #[test]
    fn a_burst_is_allowed_at_once_and_then_so_many_a_second() {
        let seconds = Duration::from_secs;
        let mut pace = CreationPace::new(4, 16, seconds(100));
        assert_eq!(
            take_all(&mut pace, seconds(100), true),
            14,
            "12 of its own, 2 of the other's surplus"
        );
        assert_eq!(
            take_all(&mut pace, seconds(101), true),
            4,
            "and of its surplus again"
        );
        assert_eq!(
            take_all(&mut pace, seconds(900), true),
            14,
            "no more than the burst is saved up"
        );
    }

    #[test]
    fn neither_kind_starves_the_other() {
        let mut pace = CreationPace::new(4, 8, Duration::ZERO);
        let (mut urgent, mut rest) = (0, 0);
        for tenth in 0..1_000 {
            let now = Duration::from_millis(100) * tenth;
            urgent += take_all(&mut pace, now, true);
            rest += take_all(&mut pace, now, false);
        }
        assert!(urgent >= 295 && rest >= 95, "{urgent} {rest}");
    }

    #[test]
    fn one_pool_takes_half_of_what_is_there_and_who_is_put_off_waits_for_a_token_of_its_kind() {
        let mut pace = CreationPace::new(4, 16, Duration::ZERO);
        assert_eq!(pace.take(Duration::ZERO, 100, true), 7);
        assert_eq!(pace.take(Duration::ZERO, 2, true), 2, "another still finds some");
        let second = Duration::from_secs(1);
        assert_eq!(
            pace.clone().turn(second, true),
            second + SHORTEST_WAIT,
            "there are some left"
        );
        take_all(&mut pace, Duration::ZERO, true);
        assert_eq!(take_all(&mut pace, Duration::ZERO, false), 2);
        assert_eq!(pace.turn(Duration::ZERO, true), second / 3);
        assert_eq!(pace.turn(Duration::ZERO, false), second);
    }

    #[test]
    fn however_many_are_put_off_they_look_one_after_the_other_about_as_often_as_a_creation_is_allowed() {
        const POOLS: usize = 1_000;
        let mut pace = CreationPace::new(20, 20, Duration::ZERO);
        take_all(&mut pace, Duration::ZERO, true);
        let mut line: std::collections::BTreeSet<_> = (0..POOLS)
            .map(|pool| (pace.turn(Duration::ZERO, true), pool))
            .collect();
        let (mut looks, mut created) = (0, Vec::new());
        while let Some((now, pool)) = line.pop_first() {
            looks += 1;
            assert!(!pace.has_plenty(now, true), "while others take their turns");
            if pace.take(now, 1, true) == 1 {
                created.push(pool);
            } else {
                line.insert((pace.turn(now, true), pool));
            }
        }
        assert!(looks <= POOLS * 2, "{looks} looks");
        let last = pace.turns[0];
        assert!(
            pace.has_plenty(last + Duration::from_mins(1), true),
            "when nobody comes any more"
        );
        let mut places = created.iter().enumerate();
        assert!(
            places.all(|(place, pool)| place.abs_diff(*pool) < POOLS / 2),
            "about in order"
        );
    }

    proptest! {
        #[test]
        fn no_span_sees_more_than_its_rate_and_one_burst(asked in prop::collection::vec((0_u64..2_000, 0_usize..40, any::<bool>()), 1..60)) {
            let mut pace = CreationPace::new(7, 11, Duration::ZERO);
            let (mut now, mut granted) = (Duration::ZERO, 0);
            for (wait, wanted, urgent) in asked {
                now += Duration::from_millis(wait);
                granted += pace.take(now, wanted, urgent);
            }
            prop_assert!(granted as f64 <= 11.0 + 7.0 * now.as_secs_f64() + 1e-6);
        }
    }
}
