//! What of a period an account's contract covers: from the beginning of the local date on which it was registered to the
//! end of the one on which it was closed. Usage counts whenever it happened; only fees without usage are prorated by it.
//! Service is *owed* from the instant of the registration to that of the closing: before and after there was nothing to report.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::rating::period::{Bounds, first_instant_of};
use crate::store::Account;

/// The part of `bounds` that the account's contract covers; `None`: nothing.
pub(super) fn contract_within(account: &Account, zone: &TimeZone, bounds: Bounds) -> Option<Bounds> {
    let start = first_instant_of(zone.to_datetime(account.registered_at).date(), zone);
    let end = account.closed_at.and_then(|closed| day_after(closed, zone));
    let covered = Bounds {
        start: start.unwrap_or(bounds.start).max(bounds.start),
        end: end.unwrap_or(bounds.end).min(bounds.end),
    };
    (covered.start < covered.end).then_some(covered)
}

/// When service is owed to an account.
pub(super) fn owed_to(account: &Account) -> Bounds {
    Bounds {
        start: account.registered_at,
        end: account.closed_at.unwrap_or(Timestamp::MAX),
    }
}

fn day_after(instant: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let next = zone.to_datetime(instant).date().checked_add(1.day()).ok()?;
    first_instant_of(next, zone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::locale::Locale;
    use crate::metering::report::Party;
    use crate::metering::retention::KeptDays;
    use crate::rating::period::{Period, zone_named};
    use crate::store::AccountDetails;

    fn account(registered: &str, closed: Option<&str>) -> Account {
        Account {
            ledger: 1,
            details: AccountDetails {
                party: Party {
                    tenant_uid: "u-1".parse().unwrap(),
                    tenant: "acme".parse().unwrap(),
                },
                display_name: String::new(),
                time_zone: "UTC".into(),
                rate_plan: "p".into(),
                legal_name: String::new(),
                tax_id: String::new(),
                billing_email: String::new(),
                payment_days: 30,
                portal_token: Digest::of(b"t"),
                locale: Locale::En,
                usage_kept: KeptDays::default(),
            },
            registered_at: registered.parse().unwrap(),
            closed_at: closed.map(|at| at.parse().unwrap()),
            entity: crate::store::LegalEntity::default(),
        }
    }

    #[test]
    fn first_and_last_dates_are_covered_whole_and_nothing_outside_the_contract() {
        let zone = zone_named("Asia/Shanghai").unwrap();
        let november = "2026-11".parse::<Period>().unwrap().bounds(&zone).unwrap();
        for (registered, closed, expected) in [
            ("2026-01-05T00:00:00Z", None, Some((november.start, november.end))),
            (
                "2026-11-10T17:30:00Z",
                None,
                Some(("2026-11-10T16:00:00Z".parse().unwrap(), november.end)),
            ),
            (
                "2026-01-05T00:00:00Z",
                Some("2026-11-20T15:59:59Z"),
                Some((november.start, "2026-11-20T16:00:00Z".parse().unwrap())),
            ),
            ("2026-12-05T00:00:00Z", None, None),
            ("2026-01-05T00:00:00Z", Some("2026-10-30T00:00:00Z"), None),
        ] {
            let covered = contract_within(&account(registered, closed), &zone, november);
            let covered = covered.map(|bounds| (bounds.start, bounds.end));
            assert_eq!(covered, expected, "{registered} {closed:?}");
        }
    }
}
