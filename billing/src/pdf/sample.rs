//! A bill for tests: of all kinds of lines, with a service section.

use std::sync::Arc;

use jiff::Timestamp;

use crate::bill::document::Document;
use crate::bill::plans::{KnownPlan, PlanPart, PlansInPeriod};
use crate::digest::Digest;
use crate::locale::Locale;
use crate::metering::report::Party;
use crate::metering::retention::KeptDays;
use crate::rating::number::Exact;
use crate::rating::period::Period;
use crate::rating::plan::RatePlan;
use crate::rating::rate::{Account, Exclusion, MinuteCounts, Service, Usage, rate};
use crate::store::{AccountDetails, PlanVersion};

/// An issued bill with a Chinese legal name, all kinds of lines, and a service section.
pub(crate) fn document() -> Document {
    rated(&spec(), 61_500)
}

fn spec() -> serde_json::Value {
    serde_json::json!({
        "currency": "CNY", "timeZone": "Asia/Shanghai",
        "charges": [{"name": "answers", "meter": "interactions", "model": "Graduated", "included": "1000",
            "tiers": [{"upTo": "10000", "unitPrice": "0.10"}, {"unitPrice": "0.08"}]}],
        "surcharges": [{"name": "evening peak", "charge": "answers", "unitPrice": "0.02",
            "windows": [{"days": ["Sat", "Sun"], "from": "20:00", "to": "24:00"}]}],
        "modules": [{"name": "voice", "monthlyFee": "500.00"}],
        "tax": {"name": "VAT", "percent": "6"},
        "sla": {"availability": {"objective": "99.9", "slice": "5m", "credits": [{"below": "99.9", "percent": "10"}]}},
    })
}

/// The same month rated anew, with ten interactions less: what a correction is made of.
pub(crate) fn less_used() -> Document {
    rated(&spec(), 61_490)
}

fn rated(spec: &serde_json::Value, interactions: i128) -> Document {
    let plan = RatePlan::from_json(spec).unwrap();
    let period: Period = "2026-10".parse().unwrap();
    let bounds = period.bounds(&plan.zone).unwrap();
    let usage = [Usage {
        bucket_start: bounds.start,
        meter: "interactions".into(),
        dimensions: std::collections::BTreeMap::default(),
        quantity: Exact::new(interactions, 0),
    }];
    let minutes = (bounds.start.as_second()..bounds.end.as_second())
        .step_by(60)
        .enumerate();
    let service = Service {
        minutes: minutes
            .map(|(position, second)| {
                let bad = if position < 300 { 30 } else { 0 };
                (
                    Timestamp::from_second(second).unwrap(),
                    MinuteCounts {
                        good: 100,
                        bad,
                        fast: 100,
                        slow: bad,
                        unreachable: false,
                    },
                )
            })
            .collect(),
        exclusions: vec![Exclusion {
            from: "2026-10-10T18:00:00Z".parse().unwrap(),
            to: "2026-10-10T20:00:00Z".parse().unwrap(),
            reason: "机房维护".into(),
            approver: "王经理".into(),
        }],
    };
    let rated = rate(&Account {
        service: Some(&service),
        ..Account::whole(&plan, bounds, &usage)
    })
    .unwrap();
    let details = details();
    let version = PlanVersion {
        name: "standard-2026".into(),
        uid: "u".into(),
        generation: 3,
        spec: spec.to_string(),
        digest: Digest::of(b"d"),
    };
    let known = Arc::new(KnownPlan { version, plan });
    let plans = PlansInPeriod::of(vec![PlanPart { known, bounds }]).unwrap();
    let at = "2026-11-01T02:00:00Z".parse().unwrap();
    let mut document = Document::draft(&details, &plans, period, rated, 1).issued(
        "SPT-2026-000042".into(),
        at,
        Some(jiff::civil::date(2026, 12, 1)),
        "ab".repeat(32),
    );
    document.digest = Some(document.sealed().1);
    document
}

/// Who pays it.
pub(crate) fn details() -> AccountDetails {
    AccountDetails {
        party: Party {
            tenant_uid: "u-1".parse().unwrap(),
            tenant: "acme".parse().unwrap(),
        },
        display_name: "安可商城".into(),
        time_zone: "Asia/Shanghai".into(),
        rate_plan: "standard-2026".into(),
        legal_name: "安可商城有限公司".into(),
        tax_id: "91310000XXXXXXXXXX".into(),
        billing_email: "finance@acme.example".into(),
        payment_days: 30,
        portal_token: Digest::of(b"t"),
        locale: Locale::ZhCn,
        usage_kept: KeptDays::default(),
    }
}
