//! Round values along the axes of a chart.

use jiff::Timestamp;
use jiff::tz::TimeZone;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// At most so many along time.
const MOST_TIMES: u64 = 12;
/// About so many along values.
const VALUES: f64 = 6.0;

const SPANS: [u64; 18] = [
    1,
    10,
    30,
    MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    28 * DAY,
    91 * DAY,
    364 * DAY,
];

/// A place on an axis, and what stands there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) label: String,
}

/// Along values from 0 to `most`.
pub(super) fn value_ticks(most: f64) -> Vec<Tick> {
    let raw = most / VALUES;
    let power = 10_f64.powf(raw.log10().floor()).max(1.0);
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let step = steps.into_iter().find(|step| *step >= raw).unwrap_or(raw);
    let values = (0..).map(|index| f64::from(index) * step);
    let ticks = values.take_while(|value| *value <= most).map(|value| Tick {
        at: value,
        label: format!("{value}"),
    });
    ticks.collect()
}

/// Along seconds since `origin`; without one, hours and days are counted.
pub(super) fn time_ticks(seconds: u64, origin: Option<Timestamp>) -> Vec<Tick> {
    let fits = |span: &u64| seconds / span <= MOST_TIMES;
    let span = SPANS.into_iter().find(fits).unwrap_or(seconds.max(1));
    let begin = origin.map_or(0, |origin| {
        u64::try_from(
            origin
                .as_second()
                .rem_euclid(i64::try_from(span).unwrap_or(i64::MAX)),
        )
        .unwrap_or(0)
    });
    let first = (span - begin) % span;
    let places = (0..).map(|index| first + index * span);
    let ticks = places.take_while(|at| *at <= seconds).map(|at| Tick {
        at: at as f64,
        label: label(at, span, origin),
    });
    ticks.collect()
}

fn label(at: u64, span: u64, origin: Option<Timestamp>) -> String {
    let Some(origin) = origin else {
        return counted(at, span);
    };
    let since = jiff::SignedDuration::from_secs(i64::try_from(at).unwrap_or(i64::MAX));
    let instant = origin.checked_add(since).unwrap_or(Timestamp::MAX);
    let local = instant.to_zoned(TimeZone::UTC);
    let format = if span >= DAY {
        "%Y-%m-%d"
    } else if span >= MINUTE {
        "%m-%d %H:%M"
    } else {
        "%H:%M:%S"
    };
    local.strftime(format).to_string()
}

fn counted(at: u64, span: u64) -> String {
    if span >= DAY {
        format!("{} d", at / DAY)
    } else if span >= HOUR {
        format!("{} h", at / HOUR)
    } else if span >= MINUTE {
        format!("{} min", at / MINUTE)
    } else {
        format!("{at} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn ticks_stand_at_round_values_and_times() {
        assert_eq!(
            labels(&value_ticks(250.0)),
            ["0", "50", "100", "150", "200", "250"]
        );
        assert_eq!(labels(&value_ticks(1.0)), ["0", "1"]);
        assert_eq!(labels(&time_ticks(7_200, None)).len(), 13);
        assert_eq!(labels(&time_ticks(3 * DAY, None))[..3], ["0 h", "6 h", "12 h"]);
        let origin = "2026-11-10T22:30:00Z".parse().unwrap();
        let ticks = time_ticks(5 * HOUR, Some(origin));
        assert_eq!(ticks[1].label, "11-10 23:00");
        let ticks = time_ticks(14 * DAY, Some(origin));
        assert_eq!((ticks[0].at, ticks[0].label.as_str()), (5_400.0, "2026-11-11"));
    }
}
