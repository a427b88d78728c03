//! Which single events need not be kept any longer: pure.
//!
//! Events are kept by the month (of UTC) in which they were *recorded*. A tenant's *limit* is the month before which its events
//! may go: all of the month is older than its contract keeps them, and no disputed bill may be made of any of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::metering::decide::LedgerId;
use crate::metering::examine::FUTURE_TOLERANCE;

/// For how many days a tenant's events are kept; for ever, if its contract says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptDays(Option<u32>);

impl KeptDays {
    /// A month's bill, its corrections and its disputes need its events.
    pub const LEAST: u32 = 35;
    /// Ten years.
    pub const MOST: u32 = 3_650;

    /// 0: for ever. `None` if that is too few or too many.
    pub fn new(days: u32) -> Option<Self> {
        match days {
            0 => Some(Self::default()),
            Self::LEAST..=Self::MOST => Some(Self(Some(days))),
            _ => None,
        }
    }

    /// How many; 0: for ever.
    pub fn get(self) -> u32 {
        self.0.unwrap_or_default()
    }
}

/// What says how long a tenant's events are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionRule {
    /// By its contract.
    pub kept: KeptDays,
    /// Where the first period begins whose bill is disputed.
    pub disputed_from: Option<Timestamp>,
    /// What was recorded before is gone already.
    pub dropped_before: Timestamp,
}

/// First day of a month of UTC.
pub fn month_of(instant: Timestamp) -> Date {
    instant.to_zoned(TimeZone::UTC).date().first_of_month()
}

impl RetentionRule {
    /// The month before which its events may go.
    pub fn limit(&self, now: Timestamp) -> Date {
        let KeptDays(Some(days)) = self.kept else {
            return Date::MIN;
        };
        let age = SignedDuration::from_hours(i64::from(days) * 24);
        let by_age = month_of(now.saturating_sub(age).unwrap_or(Timestamp::MIN));
        let disputed = self.disputed_from.map(|from| {
            // They are recorded at most so long before they happen.
            month_of(from.saturating_sub(FUTURE_TOLERANCE).unwrap_or(from))
        });
        disputed.map_or(by_age, |disputed| disputed.min(by_age))
    }
}

/// What is to be dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DropPlan {
    /// Each ledger's limit.
    limits: BTreeMap<LedgerId, Date>,
    /// Those of which something may be there that need not.
    pub due: BTreeMap<LedgerId, Date>,
}

impl DropPlan {
    /// By all ledgers' rules.
    pub fn new(rules: &[(LedgerId, RetentionRule)], now: Timestamp) -> Self {
        let limits: BTreeMap<_, _> = rules
            .iter()
            .map(|(ledger, rule)| (*ledger, rule.limit(now)))
            .collect();
        let due = rules
            .iter()
            .map(|(ledger, rule)| (*ledger, rule.limit(now), rule.dropped_before))
            .filter(|(_, limit, dropped_before)| month_of(*dropped_before) < *limit)
            .map(|(ledger, limit, _)| (ledger, limit))
            .collect();
        Self { limits, due }
    }

    /// Whose events of a month may go, and whether any of them is not known to be gone.
    pub fn of_month(&self, month: Date) -> (BTreeSet<LedgerId>, bool) {
        let may_go = self.limits.iter().filter(|(_, limit)| **limit > month);
        let is_due = self.due.values().any(|limit| *limit > month);
        (may_go.map(|(ledger, _)| *ledger).collect(), is_due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn a_month_may_go_when_its_last_instant_is_as_old_as_the_contract_says() {
        let rule = RetentionRule {
            kept: KeptDays::new(35).unwrap(),
            ..RetentionRule::default()
        };
        for (now, limit) in [
            ("2026-12-05T23:59:59Z", "2026-10-01"),
            ("2026-12-06T00:00:00Z", "2026-11-01"),
            ("2026-12-31T00:00:00Z", "2026-11-01"),
        ] {
            assert_eq!(rule.limit(at(now)), day(limit), "{now}");
        }
        let for_ever = RetentionRule::default().limit(at("2026-11-11T00:00:00Z"));
        assert_eq!(for_ever, Date::MIN, "what says nothing");
    }

    #[test]
    fn what_a_disputed_bill_may_be_made_of_stays_however_old_it_is() {
        let rule = RetentionRule {
            kept: KeptDays::new(35).unwrap(),
            disputed_from: Some(at("2026-03-01T00:30:00Z")),
            ..RetentionRule::default()
        };
        let limit = rule.limit(at("2026-12-31T00:00:00Z"));
        assert_eq!(limit, day("2026-02-01"), "clocks may be an hour off");
    }

    #[test]
    fn days_that_are_too_few_for_a_months_bill_are_none() {
        assert_eq!(KeptDays::new(34), None);
        assert_eq!(KeptDays::new(3_651), None);
        assert_eq!(KeptDays::new(0), Some(KeptDays::default()), "for ever");
    }

    #[test]
    fn a_month_goes_for_those_that_allow_it_and_again_only_for_who_is_new_to_it() {
        let now = at("2026-11-11T00:00:00Z");
        let rule = |days, dropped: &str| RetentionRule {
            kept: KeptDays::new(days).unwrap(),
            dropped_before: at(dropped),
            disputed_from: None,
        };
        let never = "1970-01-01T00:00:00Z";
        let plan = DropPlan::new(
            &[
                (1, rule(35, never)),
                (2, rule(730, never)),
                (3, rule(100, "2026-08-01T00:00:00Z")),
            ],
            now,
        );
        assert_eq!(
            plan.due,
            BTreeMap::from([(1, day("2026-10-01")), (2, day("2024-11-01"))])
        );
        assert_eq!(plan.of_month(day("2026-09-01")), (BTreeSet::from([1]), true));
        assert_eq!(plan.of_month(day("2026-07-01")), (BTreeSet::from([1, 3]), true));
        assert_eq!(
            plan.of_month(day("2024-10-01")),
            (BTreeSet::from([1, 2, 3]), true)
        );
        assert_eq!(plan.of_month(day("2026-10-01")), (BTreeSet::new(), false));
    }
}
