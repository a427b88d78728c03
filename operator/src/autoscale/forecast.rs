//! What the load is expected to gain until a worker that is asked for now answers.
//!
//! - *horizon*: the time until then, which 99 of 100 workers keep, at most [`LONGEST_HORIZON`].
//! - *trend*: what conversations come and go by now goes on, for at most as long as such rates look back.
//! - *usual*: the load gains what it gains at this time of the week ([`Usual`]), counted only while it is not far below what
//!   it usually is: a day that is unlike others says nothing of its next minutes.
//! - *error*: the mean absolute difference between what was forecast and what came, over about the last hour.
//! - *trusted*: compared often enough, with an error no larger than that of expecting the load to stay as it is: a mean
//!   absolute scaled error of at most 1 (R. J. Hyndman, A. B. Koehler, "Another look at measures of forecast accuracy", 2006).
//!
//! One that is not trusted asks for nothing, and is shown with its error.
//!
//! A trusted forecast asks for what would be needed if the load gained that, with the margin of [growth](super::growth).
//! It does not staff by Erlang C: a forecast begins at the load that is seen, and margins of both kinds add up.

use std::time::Duration;

use super::{Moment, Rates};

/// Nothing is forecast further ahead.
const LONGEST_HORIZON: Duration = Duration::from_mins(10);
/// A trend is expected to go on for so long: the longest span of [`Rates`].
const LONGEST_TREND: Duration = Duration::from_mins(1);
/// Comparisons after which a forecast may be trusted.
const ENOUGH: u32 = 8;
/// Comparisons count for about so long.
const MEMORY: Duration = Duration::from_hours(1);
/// A load is not far below the usual one while it lacks at most this share of it, and so many deviations of a Poisson count.
const LACKING: f64 = 0.3;
const DEVIATIONS: f64 = 3.0;

/// What a pool usually has from now until the horizon, in conversations.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usual {
    /// Now.
    pub now: f64,
    /// The most until the horizon.
    pub highest: f64,
    /// At the horizon.
    pub at_horizon: f64,
}

/// A forecast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// What the load gains, in conversations.
    pub gain: f64,
    /// How far such forecasts were off, as a share of the load.
    pub error: f64,
}

/// Forecasts of one pool, and how good they were.
#[derive(Clone, Debug, Default)]
pub(super) struct Forecasts {
    pending: Option<Pending>,
    trend: Accuracy,
    usual: Accuracy,
}

/// What was expected at one moment of another.
#[derive(Clone, Copy, Debug)]
struct Pending {
    made: Moment,
    ahead: Duration,
    unchanged: f64,
    trend: f64,
    usual: Option<f64>,
}

/// Sums of absolute errors, of which older ones count less.
#[derive(Clone, Copy, Debug, Default)]
struct Accuracy {
    error: f64,
    unchanged_error: f64,
    load: f64,
    compared: u32,
}

/// How far ahead is forecast, where 99 of 100 workers answer within `start_time`.
pub fn horizon(start_time: Duration) -> Duration {
    start_time.min(LONGEST_HORIZON)
}

impl Forecasts {
    /// The larger of those that are trusted, of a load that is `load` now.
    pub(super) fn trusted(
        &self,
        load: f64,
        rates: Rates,
        usual: Option<Usual>,
        horizon: Duration,
    ) -> Option<Forecast> {
        self.largest(load, rates, usual, horizon, Accuracy::is_trusted)
    }

    /// The larger of those that were compared and are not trusted.
    pub(super) fn untrusted(
        &self,
        load: f64,
        rates: Rates,
        usual: Option<Usual>,
        horizon: Duration,
    ) -> Option<Forecast> {
        self.largest(load, rates, usual, horizon, |accuracy| {
            accuracy.compared > 0 && !accuracy.is_trusted()
        })
    }

    fn largest(
        &self,
        load: f64,
        rates: Rates,
        usual: Option<Usual>,
        horizon: Duration,
        counts: impl Fn(&Accuracy) -> bool,
    ) -> Option<Forecast> {
        let of = |accuracy: &Accuracy, gain: f64| {
            counts(accuracy).then(|| Forecast {
                gain: gain.max(0.0),
                error: accuracy.share(),
            })
        };
        // No more than a doubling is believed of what only began.
        let trend = of(&self.trend, trend(rates, horizon).min(load));
        let usual = usual.and_then(|usual| of(&self.usual, usual.gain(load)));
        let both = [trend, usual].into_iter().flatten();
        both.max_by(|one, other| one.gain.total_cmp(&other.gain))
    }

    /// Compares what had been forecast for now, and forecasts anew.
    pub(super) fn observe(
        &mut self,
        now: Moment,
        load: f64,
        rates: Rates,
        usual: Option<Usual>,
        horizon: Duration,
    ) {
        if let Some(pending) = self.pending {
            if now < pending.made + pending.ahead {
                return;
            }
            self.compare(&pending, now, load);
        }
        self.pending = Some(Pending {
            made: now,
            ahead: horizon,
            unchanged: load,
            trend: (load + trend(rates, horizon)).max(0.0),
            usual: usual.map(|usual| (load + usual.at_horizon - usual.now).max(0.0)),
        });
    }

    /// What was forecast cannot be compared: data was missing.
    pub(super) fn interrupt(&mut self) {
        self.pending = None;
    }

    fn compare(&mut self, pending: &Pending, now: Moment, load: f64) {
        let ahead = pending.ahead;
        if now > pending.made + ahead * 2 {
            // Nobody looked when it was due.
            return;
        }
        let kept = (-ahead.as_secs_f64() / MEMORY.as_secs_f64()).exp();
        let unchanged = (load - pending.unchanged).abs();
        self.trend
            .add(kept, (load - pending.trend).abs(), unchanged, load);
        if let Some(usual) = pending.usual {
            self.usual.add(kept, (load - usual).abs(), unchanged, load);
        }
    }
}

impl Usual {
    /// What a load of now gains by it: nothing where it is far below the usual one.
    fn gain(self, load: f64) -> f64 {
        let least = self.now * (1.0 - LACKING) - DEVIATIONS * self.now.sqrt();
        if load >= least {
            self.highest - self.now
        } else {
            0.0
        }
    }
}

impl Accuracy {
    fn add(&mut self, kept: f64, error: f64, unchanged_error: f64, load: f64) {
        self.error = self.error * kept + error;
        self.unchanged_error = self.unchanged_error * kept + unchanged_error;
        self.load = self.load * kept + load;
        self.compared = self.compared.saturating_add(1);
    }

    fn is_trusted(&self) -> bool {
        self.compared >= ENOUGH && self.error <= self.unchanged_error
    }

    fn share(&self) -> f64 {
        if self.load > 0.0 {
            self.error / self.load
        } else {
            0.0
        }
    }
}

fn trend(rates: Rates, horizon: Duration) -> f64 {
    rates.current().net() * horizon.min(LONGEST_TREND).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AHEAD: Duration = Duration::from_mins(1);

    /// Forecasts that were made and compared each minute of a load, by what is usual at that minute.
    fn after(minutes: u32, load: impl Fn(f64) -> f64, usual: impl Fn(f64) -> f64) -> (Forecasts, f64) {
        let mut forecasts = Forecasts::default();
        for minute in 0..=minutes {
            let at = f64::from(minute);
            let rates = Rates::steady((load(at) - load(at - 1.0)).max(0.0) / 60.0, 0.0);
            let now = AHEAD * minute;
            forecasts.observe(now, load(at), rates, Some(usual_at(&usual, at)), AHEAD);
        }
        (forecasts, f64::from(minutes))
    }

    fn usual_at(usual: &impl Fn(f64) -> f64, minute: f64) -> Usual {
        let (now, then) = (usual(minute), usual(minute + 1.0));
        Usual {
            now,
            highest: now.max(then),
            at_horizon: then,
        }
    }

    fn ramp(minute: f64) -> f64 {
        100.0 + 10.0 * minute
    }

    #[test]
    fn what_is_usual_is_trusted_once_it_was_right_and_says_how_far_off_it_was() {
        let (early, _) = after(7, ramp, ramp);
        let rates = Rates::default();
        assert_eq!(
            early.trusted(170.0, rates, Some(usual_at(&ramp, 7.0)), AHEAD),
            None
        );
        let (forecasts, minute) = after(8, ramp, ramp);
        let forecast = forecasts.trusted(ramp(minute), rates, Some(usual_at(&ramp, minute)), AHEAD);
        assert_eq!(
            forecast,
            Some(Forecast {
                gain: 10.0,
                error: 0.0
            })
        );
    }

    #[test]
    fn a_load_that_stays_although_it_usually_rises_is_not_forecast_to_rise() {
        let (forecasts, minute) = after(30, |_| 100.0, ramp);
        let usual = Some(usual_at(&ramp, minute));
        let forecast = forecasts.trusted(100.0, Rates::default(), usual, AHEAD);
        assert!(
            forecast.is_none_or(|forecast| forecast.gain == 0.0),
            "{forecast:?}"
        );
    }

    #[test]
    fn a_day_far_below_the_usual_gains_nothing_and_one_above_it_gains_as_usual() {
        let (forecasts, _) = after(20, ramp, ramp);
        let usual = Usual {
            now: 400.0,
            highest: 500.0,
            at_horizon: 500.0,
        };
        let gain = |load| {
            forecasts
                .trusted(load, Rates::default(), Some(usual), AHEAD)
                .unwrap()
                .gain
        };
        assert_eq!((gain(219.0), gain(221.0), gain(900.0)), (0.0, 100.0, 100.0));
    }

    #[test]
    fn a_trend_is_expected_to_go_on_for_a_minute_and_no_longer() {
        let (forecasts, _) = after(20, ramp, |_| 0.0);
        let rates = Rates::steady(2.0, 1.0);
        let gain = |ahead| forecasts.trusted(300.0, rates, None, ahead).unwrap().gain;
        assert!((gain(Duration::from_secs(20)) - 20.0).abs() < 1e-9);
        assert!((gain(Duration::from_mins(5)) - 60.0).abs() < 1e-9);
    }

    #[test]
    fn what_nobody_could_compare_is_not_counted() {
        let mut forecasts = Forecasts::default();
        for minute in 0..40 {
            let load = ramp(f64::from(minute));
            forecasts.observe(AHEAD * minute, load, Rates::default(), None, AHEAD);
            forecasts.interrupt();
        }
        assert_eq!(forecasts.trend.compared, 0);
        for visit in 0..40_u32 {
            // Looked at too rarely: each forecast was due long ago.
            forecasts.observe(AHEAD * 5 * visit, 10.0, Rates::default(), None, AHEAD);
        }
        assert_eq!(forecasts.trend.compared, 0);
    }
}
