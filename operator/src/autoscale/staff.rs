//! How many workers an expected load needs: the Erlang C formula of contact centres.
//!
//! - *offered load*: conversations that would be active at once if nobody ever waited, in erlang.
//! - *service level*: of all conversations, this share is taken within this wait.
//!
//! Source: A. K. Erlang, "Solution of some problems in the theory of probabilities of significance in automatic telephone
//! exchanges" (1917); the recursion is the one of Erlang B, numerically stable for any number of slots.

use std::time::Duration;

use super::decide::workers_for;

/// More than any pool can have; what is beyond counts as this.
const MOST_LOAD: f64 = 10_000_000.0;

/// Of conversations taken within a wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServiceLevel {
    /// Share of conversations, above 0 and below 1.
    pub share: f64,
    /// Within this wait.
    pub within: Duration,
}

impl Default for ServiceLevel {
    /// 99.9 % within 5 seconds.
    fn default() -> Self {
        Self {
            share: 0.999,
            within: Duration::from_secs(5),
        }
    }
}

/// The smallest number of workers of `capacity` slots each that keeps the service level for an offered load of `load`
/// conversations which last `hold` on average; 0 for no load.
///
/// The probability of a wait longer than `within` is `C(n, a) · exp(-(n - a) · within / hold)` with `n` slots, the offered
/// load `a` and Erlang's `C`.
pub fn staff(load: f64, capacity: u32, level: ServiceLevel, hold: Duration) -> u32 {
    if load.is_nan() || load <= 0.0 {
        return 0;
    }
    let load = load.min(MOST_LOAD);
    let slots_per_worker = f64::from(capacity.max(1));
    let patience = level.within.as_secs_f64() / hold.as_secs_f64().max(f64::MIN_POSITIVE);
    let (mut slots, mut blocked) = (0.0_f64, 1.0_f64);
    let mut workers = workers_for(load, capacity).max(1);
    loop {
        let all = f64::from(workers) * slots_per_worker;
        while slots < all {
            slots += 1.0;
            blocked = load * blocked / (slots + load * blocked);
        }
        let spare = all - load;
        let waits = all * blocked / (all - load * (1.0 - blocked));
        if spare > 0.0 && waits * (-spare * patience).exp() <= 1.0 - level.share {
            return workers;
        }
        let Some(more) = workers.checked_add(1) else {
            return workers;
        };
        workers = more;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTES: Duration = Duration::from_mins(3);

    fn level(share: f64, seconds: u64) -> ServiceLevel {
        ServiceLevel {
            share,
            within: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn the_textbook_example_of_a_contact_centre_comes_out() {
        // 100 calls of 180 s in 30 minutes are 10 erlang. Within 20 s, 13 agents take 79.6 % of them, 14 take 88.8 %,
        // 15 take 94.1 % and 16 take 97.1 %.
        assert_eq!(staff(10.0, 1, level(0.8, 20), MINUTES), 14);
        assert_eq!(staff(10.0, 1, level(0.95, 20), MINUTES), 16);
    }

    #[test]
    fn no_load_needs_no_worker_and_nonsense_none_either() {
        assert_eq!(staff(0.0, 20, ServiceLevel::default(), MINUTES), 0);
        assert_eq!(staff(-1.0, 20, ServiceLevel::default(), MINUTES), 0);
        assert_eq!(staff(f64::NAN, 20, ServiceLevel::default(), MINUTES), 0);
    }

    proptest! {
        #[test]
        fn more_load_never_needs_fewer_and_all_of_it_has_room(load in 0.0..20_000.0_f64, more in 0.0..500.0_f64, capacity in 1_u32..100) {
            let level = ServiceLevel::default();
            let needed = staff(load, capacity, level, MINUTES);
            prop_assert!(f64::from(needed) * f64::from(capacity) >= load);
            prop_assert!(staff(load + more, capacity, level, MINUTES) >= needed);
        }
    }
}
