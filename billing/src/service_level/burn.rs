//! How fast a tenant loses the service that its plan promises. Pure.
//!
//! The *budget* is the share of turns that may be bad: 0.1 % for an objective of 99.9. The *burn rate* of a span is its share of
//! bad turns over the budget: at 1 the budget lasts exactly as long as the objective is counted. An alert is raised while both a
//! long and a short window burn faster than their threshold: the long one says that it matters, the short one that it goes on
//! (the pairs are those of Google's SRE workbook). A tenant is *silent* when its gateways reported before, and now nobody does.

use jiff::{SignedDuration, Timestamp};

use crate::rating::number::Exact;
use crate::rating::rate::MinuteCounts;

/// Parts of the whole that a budget is counted in.
const MILLION: u128 = 1_000_000;
/// Minutes without a report after which a tenant is silent.
const SILENT_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// The name of that alert.
pub const SILENT: &str = "silent";
/// What the longest window needs.
pub const LOOK_BACK: SignedDuration = SignedDuration::from_hours(72);

/// A minute: its beginning, and what was reported of it.
pub type Minute = (Timestamp, MinuteCounts);

/// A long window, and the short one that goes with it.
#[derive(Debug, PartialEq, Eq)]
pub struct BurnWindow {
    /// The long one, as people say it: also the alert's name.
    pub long: &'static str,
    /// The short one.
    pub short: &'static str,
    /// Tenths of the burn rate beyond which both raise the alert.
    pub threshold_tenths: u32,
    long_minutes: i64,
    short_minutes: i64,
}

/// All that are watched.
pub const WINDOWS: [BurnWindow; 4] = [
    window("1h", 60, "5m", 5, 144),
    window("6h", 360, "30m", 30, 60),
    window("1d", 1_440, "2h", 120, 30),
    window("3d", 4_320, "6h", 360, 10),
];

const fn window(
    long: &'static str,
    long_minutes: i64,
    short: &'static str,
    short_minutes: i64,
    threshold_tenths: u32,
) -> BurnWindow {
    BurnWindow {
        long,
        short,
        threshold_tenths,
        long_minutes,
        short_minutes,
    }
}

/// What a plan promises of availability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objective {
    /// Percent, as the plan writes it.
    pub percent: String,
    /// Millionths of all turns that may be bad.
    budget: u128,
    /// With fewer turns in its long window no alert is raised.
    minimum_requests: u128,
}

/// Turns of a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Bad ones.
    pub bad: u128,
    /// Good and bad ones.
    pub total: u128,
}

/// How a pair of windows stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burn {
    /// Which pair.
    pub window: &'static BurnWindow,
    /// The long window's turns.
    pub long: Share,
    /// The short one's.
    pub short: Share,
    /// Both burn too fast.
    pub is_raised: bool,
}

impl Objective {
    /// Of a plan's JSON; `None` where it promises no availability.
    pub fn of_plan(spec: &str) -> Option<Self> {
        let spec: serde_json::Value = serde_json::from_str(spec).ok()?;
        let availability = spec.pointer("/sla/availability")?;
        let percent = availability.get("objective")?.as_str()?;
        let minimum_requests = availability
            .get("minimumRequests")
            .and_then(serde_json::Value::as_u64);
        Some(Self {
            budget: budget_of(percent)?,
            percent: percent.to_owned(),
            minimum_requests: minimum_requests.unwrap_or_default().into(),
        })
    }

    /// The burn rate of a share, for people; 0 without turns.
    pub fn rate(&self, share: Share) -> f64 {
        let Share { bad, total } = share;
        if bad == 0 {
            return 0.0;
        }
        (bad * MILLION) as f64 / (total * self.budget) as f64
    }

    /// The share burns faster than so many tenths; exact.
    fn exceeds(&self, share: Share, tenths: u32) -> bool {
        share.bad * MILLION * 10 > u128::from(tenths) * self.budget * share.total
    }
}

/// Millionths that may be bad, of a percentage from 0 to 100.
fn budget_of(percent: &str) -> Option<u128> {
    Exact::parse(percent).ok()?;
    let (whole, fraction) = percent.split_once('.').unwrap_or((percent, ""));
    let millionths: u128 = format!("{whole}{fraction:0<4.4}").parse().ok()?;
    MILLION.checked_sub(millionths)
}

/// How each pair of windows stands that ends at `end`, by the minutes before it.
pub fn burns(minutes: &[Minute], end: Timestamp, objective: &Objective) -> [Burn; WINDOWS.len()] {
    let share = |length: i64| {
        let from = end
            .saturating_sub(SignedDuration::from_mins(length))
            .unwrap_or(Timestamp::MIN);
        let within = minutes
            .iter()
            .filter(|(minute, ..)| from <= *minute && *minute < end);
        within.fold(Share::default(), |sum, (_, counts)| Share {
            bad: sum.bad + u128::from(counts.bad),
            total: sum.total + u128::from(counts.good) + u128::from(counts.bad),
        })
    };
    WINDOWS.each_ref().map(|window| {
        let (long, short) = (share(window.long_minutes), share(window.short_minutes));
        let exceed = |share| objective.exceeds(share, window.threshold_tenths);
        Burn {
            window,
            long,
            short,
            is_raised: long.total >= objective.minimum_requests && exceed(long) && exceed(short),
        }
    })
}

/// Gateways reported before, and nothing of the last minutes before `end`.
pub fn is_silent(minutes: &[Minute], end: Timestamp) -> bool {
    let since = end.saturating_sub(SILENT_AFTER).unwrap_or(Timestamp::MIN);
    minutes.last().is_some_and(|(last, ..)| *last < since)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(objective: &str) -> Objective {
        let spec = format!(
            r#"{{"sla": {{"availability": {{"objective": "{objective}", "minimumRequests": 10}}}}}}"#
        );
        Objective::of_plan(&spec).unwrap()
    }

    fn end() -> Timestamp {
        "2026-11-11T00:00:00Z".parse().unwrap()
    }

    /// Minutes before the end, `from` to `to` of them ago, each with that.
    fn minutes(from: i64, to: i64, good: u64, bad: u64) -> Vec<Minute> {
        let back = (to + 1..=from).rev();
        let counts = MinuteCounts {
            good,
            bad,
            fast: good,
            ..MinuteCounts::default()
        };
        back.map(|ago| (end() - SignedDuration::from_mins(ago), counts))
            .collect()
    }

    fn raised(minutes: &[Minute], objective: &Objective) -> Vec<&'static str> {
        let burns = burns(minutes, end(), objective);
        burns
            .iter()
            .filter(|burn| burn.is_raised)
            .map(|burn| burn.window.long)
            .collect()
    }

    #[test]
    fn a_pair_is_raised_only_beyond_its_threshold_and_only_when_both_windows_are() {
        let objective = plan("99.9");
        // 14.4 times 0.1 % is 144 of 10,000.
        let at = [minutes(4_320, 60, 10_000, 0), minutes(60, 0, 9_856, 144)].concat();
        assert_eq!(raised(&at, &objective), [""; 0]);
        let beyond = [minutes(4_320, 60, 10_000, 0), minutes(60, 0, 9_855, 145)].concat();
        assert_eq!(raised(&beyond, &objective), ["1h"]);
        let over = [minutes(60, 5, 9_000, 1_000), minutes(5, 0, 10_000, 0)].concat();
        assert!(
            !raised(&over, &objective).contains(&"1h"),
            "the short window says that it is over"
        );
        let brief = [minutes(60, 5, 10_000, 0), minutes(5, 0, 9_855, 145)].concat();
        assert!(
            !raised(&brief, &objective).contains(&"1h"),
            "the long window says that it matters little"
        );
    }

    #[test]
    fn slow_burns_raise_the_longer_pairs_alone() {
        let objective = plan("99.9");
        assert_eq!(raised(&minutes(4_320, 0, 99_890, 110), &objective), ["3d"]);
        assert_eq!(raised(&minutes(4_320, 0, 99_690, 310), &objective), ["1d", "3d"]);
        assert_eq!(
            raised(&minutes(4_320, 0, 99_390, 610), &objective),
            ["6h", "1d", "3d"]
        );
        assert_eq!(raised(&minutes(4_320, 0, 99_900, 100), &objective), [""; 0]);
    }

    #[test]
    fn few_turns_and_none_raise_nothing_and_an_objective_of_all_is_burnt_by_one() {
        let few = minutes(9, 0, 0, 1);
        assert_eq!(raised(&few, &plan("99.9")), [""; 0]);
        assert_eq!(raised(&minutes(60, 0, 0, 0), &plan("99.9")), [""; 0]);
        let one = [minutes(4_320, 1, 1_000, 0), minutes(1, 0, 999, 1)].concat();
        assert_eq!(raised(&one, &plan("100")), ["1h", "6h", "1d", "3d"]);
    }

    #[test]
    fn rates_for_people_are_shares_over_the_budget() {
        let objective = plan("99.95");
        let rate = objective.rate(Share { bad: 1, total: 1_000 });
        assert!((rate - 2.0).abs() < 1e-9, "{rate}");
        assert!(objective.rate(Share::default()) < 1e-9);
    }

    #[test]
    fn a_plan_without_a_promise_or_with_nonsense_has_no_objective() {
        for spec in [
            "{}",
            r#"{"sla": {"responseTime": {}}}"#,
            r#"{"sla": {"availability": {"objective": "101"}}}"#,
            r#"{"sla": {"availability": {"objective": "-1"}}}"#,
            r#"{"sla": {"availability": {"objective": 99.9}}}"#,
        ] {
            assert_eq!(Objective::of_plan(spec), None, "{spec}");
        }
    }

    #[test]
    fn a_tenant_is_silent_when_it_was_heard_before_and_is_no_more() {
        assert!(!is_silent(&[], end()), "never heard");
        assert!(is_silent(&minutes(60, 5, 1, 0), end()));
        assert!(!is_silent(&minutes(60, 4, 1, 0), end()));
    }
}
