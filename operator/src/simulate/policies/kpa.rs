//! `kpa`: the Knative Pod Autoscaler on concurrency.
//!
//! Sources: the documentation of Knative, "Additional autoscaling configuration for Knative Pod Autoscaler"
//! (<https://knative.dev/docs/serving/autoscaling/kpa-specific/>) and "Configuring concurrency"
//! (<https://knative.dev/docs/serving/autoscaling/concurrency/>), and `Scale` of `knative/serving`,
//! `pkg/autoscaler/scaling/autoscaler.go`. The defaults: `stable-window: 60s`, `panic-window-percentage: 10`,
//! `panic-threshold-percentage: 200`, `container-concurrency-target-percentage: 70`, `max-scale-up-rate: 1000`,
//! `max-scale-down-rate: 2`, `scale-down-delay: 0s`; it decides every 2 s (`tick-interval`) and scrapes every second.
//!
//! Concurrency counts who waits too: the activator, in which they do, reports them. It starts in panic, as it does where it
//! finds more than one Pod. `enable-scale-to-zero` is not simulated: there is at least one worker.

use std::collections::VecDeque;

use super::{Autoscaler, Cadence, Removable, View, Wish, replica_set};
use crate::simulate::units::{SECOND, Time, ceil};

/// `tick-interval`.
const TICK_SECONDS: u64 = 2;
/// `stable-window`, which is also how many scrapes it holds.
const STABLE: usize = 60;
/// `panic-window-percentage`, of the stable window.
const PANIC: usize = STABLE / 10;
/// `panic-threshold-percentage`.
const PANIC_THRESHOLD: f64 = 2.0;
/// `max-scale-up-rate`.
const UP_RATE: f64 = 1_000.0;
/// `max-scale-down-rate`.
const DOWN_RATE: u32 = 2;

/// The autoscaler of one revision.
#[derive(Clone, Debug)]
pub(in crate::simulate) struct Kpa {
    target: f64,
    bounds: (u32, u32),
    /// Concurrency of the last seconds.
    scrapes: VecDeque<u32>,
    decider: Option<Decider>,
}

impl Kpa {
    /// Holds `target` conversations a worker, within `min-scale` (at least 1) and `max-scale`.
    pub(in crate::simulate) fn new(target: f64, (min, max): (u32, u32)) -> Self {
        Self {
            target,
            bounds: (min.max(1), max),
            scrapes: VecDeque::new(),
            decider: None,
        }
    }

    /// The mean of the last `count` scrapes, or of those that there are.
    fn mean(&self, count: usize) -> f64 {
        let last = self.scrapes.iter().rev().take(count);
        let count = last.len().max(1);
        last.map(|scrape| f64::from(*scrape)).sum::<f64>() / count as f64
    }
}

impl Autoscaler for Kpa {
    fn cadence(&self) -> Cadence {
        Cadence {
            every_seconds: TICK_SECONDS,
            on_change: None,
        }
    }

    fn first(&self, needed: u32) -> u32 {
        needed.max(self.bounds.0)
    }

    fn sample(&mut self, view: &View) {
        if self.scrapes.len() == STABLE {
            self.scrapes.pop_front();
        }
        self.scrapes.push_back(view.load());
    }

    fn decide(&mut self, view: &View) -> Wish {
        let (stable, panic) = (self.mean(STABLE), self.mean(PANIC));
        let target = self.target;
        let decider = self
            .decider
            .get_or_insert_with(|| Decider::new(view.now, view.ready));
        let scale = decider.scale(view.now, view.ready, (stable / target, panic / target));
        Wish::at_once(scale.clamp(self.bounds.0, self.bounds.1.max(self.bounds.0)))
    }

    fn victims(&self, now: Time, removable: Vec<Removable>, count: usize) -> Vec<u32> {
        replica_set::victims(now, removable, count)
    }
}

/// Stable or in panic.
#[derive(Clone, Copy, Debug, Default)]
struct Decider {
    /// When the threshold was passed last, while in panic.
    panic_since: Option<Time>,
    /// In panic never fewer than this.
    most: u32,
}

impl Decider {
    fn new(now: Time, ready: u32) -> Self {
        Self {
            panic_since: (ready > 1).then_some(now),
            most: ready,
        }
    }

    /// Pods for the mean concurrency of both windows, in multiples of the target.
    fn scale(&mut self, now: Time, ready: u32, (stable, panic): (f64, f64)) -> u32 {
        let ready = ready.max(1);
        let most = ceil(UP_RATE * f64::from(ready));
        let least = (ready / DOWN_RATE).min(most);
        let (stable, panic) = (ceil(stable), ceil(panic));
        let is_over = f64::from(panic) / f64::from(ready) >= PANIC_THRESHOLD;
        let is_past = |since: Time| since + STABLE as u64 * SECOND < now;
        if is_over {
            self.panic_since = Some(now);
        } else if self.panic_since.is_some_and(is_past) {
            *self = Self::default();
        }
        let wanted = stable.clamp(least, most);
        if self.panic_since.is_none() {
            return wanted;
        }
        self.most = self.most.max(wanted).max(panic.clamp(least, most));
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_requests_in_flight_with_a_target_of_ten_make_five_pods() {
        // The documentation's example of autoscaling.
        assert_eq!(Decider::default().scale(0, 1, (5.0, 1.0)), 5);
    }

    #[test]
    fn a_burst_of_twice_what_is_there_panics_and_panic_never_falls() {
        // Knative's own test of a slow increase: from 10 to 25 pods, and out of panic after the stable window.
        let mut decider = Decider::default();
        assert_eq!(decider.scale(0, 10, (11.0, 25.0)), 25);
        assert_eq!(decider.scale(30 * SECOND, 40, (30.0, 41.0)), 41);
        assert_eq!(decider.panic_since, Some(0));
        assert_eq!(
            decider.scale(40 * SECOND, 41, (20.0, 20.0)),
            41,
            "no fall in panic"
        );
        assert_eq!(decider.scale(62 * SECOND, 55, (50.0, 56.0)), 50);
        assert_eq!(decider.panic_since, None);
    }

    #[test]
    fn panic_goes_on_while_the_threshold_is_passed() {
        let mut decider = Decider::default();
        decider.scale(0, 10, (11.0, 25.0));
        assert_eq!(decider.scale(30 * SECOND, 40, (30.0, 80.0)), 80);
        assert_eq!(decider.panic_since, Some(30 * SECOND));
    }

    #[test]
    fn at_most_half_leaves_in_one_decision() {
        assert_eq!(Decider::default().scale(0, 10, (1.0, 1.0)), 5);
        assert_eq!(
            Decider::new(0, 10).most,
            10,
            "more than one pod: it starts in panic"
        );
        assert_eq!(Decider::new(0, 1).panic_since, None);
    }

    #[test]
    fn the_windows_are_means_of_the_last_sixty_and_six_seconds() {
        let mut kpa = Kpa::new(14.0, (1, 100));
        for second in 0..100 {
            kpa.sample(&View {
                active: if second < 94 { 10 } else { 70 },
                ..View::default()
            });
        }
        assert_eq!((kpa.mean(STABLE), kpa.mean(PANIC)), (16.0, 70.0));
    }
}
