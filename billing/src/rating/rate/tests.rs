use std::fmt::Write as _;

use proptest::prelude::*;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::json;

use super::*;

mod service;

fn november() -> Bounds {
    Bounds {
        start: "2026-10-31T16:00:00Z".parse().unwrap(),
        end: "2026-11-30T16:00:00Z".parse().unwrap(),
    }
}

fn used(at: &str, meter: &str, dimensions: &[(&str, &str)], quantity: &str) -> Usage {
    Usage {
        bucket_start: at.parse().unwrap(),
        meter: meter.to_owned(),
        dimensions: dimensions
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        quantity: Exact::parse(quantity).unwrap(),
    }
}

fn interactions(quantity: &str) -> Vec<Usage> {
    vec![used("2026-11-11T00:00:00Z", "interactions", &[], quantity)]
}

fn plan(currency: &str, charges: &serde_json::Value) -> RatePlan {
    RatePlan::from_json(&json!({"currency": currency, "timeZone": "Asia/Shanghai", "charges": charges}))
        .unwrap()
}

fn contract_plan() -> RatePlan {
    plan(
        "CNY",
        &json!([{"name": "answers", "meter": "interactions", "model": "Graduated", "included": "1000", "tiers": [
            {"upTo": "10000", "unitPrice": "0.10"}, {"upTo": "100000", "unitPrice": "0.08", "flatFee": "0"},
            {"unitPrice": "0.05"}]}]),
    )
}

/// A whole month under one plan.
fn whole(plan: &RatePlan, usage: &[Usage]) -> Result<Rated, RatingError> {
    rate(&Account::whole(plan, november(), usage))
}

fn facts(line: &Line) -> (Exact, Exact) {
    match &line.rule {
        Rule::Charge {
            counted, billable, ..
        } => (*counted, *billable),
        other => panic!("no charge: {other:?}"),
    }
}

fn amounts(rated: &Rated) -> Vec<&str> {
    rated.lines.iter().map(|line| line.amount.as_str()).collect()
}

#[test]
fn the_worked_example_of_the_contract_comes_out() {
    let rated = whole(&contract_plan(), &interactions("61500")).unwrap();
    assert_eq!(amounts(&rated), ["1000.00", "4040.00"]);
    assert_eq!(rated.lines[0].quantity.unwrap().to_string(), "10000");
    assert_eq!(rated.lines[1].quantity.unwrap().to_string(), "50500");
    assert_eq!(facts(&rated.lines[1]).1.to_string(), "60500");
    assert_eq!(rated.total, 504_000);
}

#[test]
fn a_tiers_bound_belongs_to_it_and_one_more_enters_the_next() {
    for (quantity, expected) in [
        ("0", vec!["0.00"]),
        ("1000", vec!["0.00"]),
        ("1001", vec!["0.10"]),
        ("11000", vec!["1000.00"]),
        ("11001", vec!["1000.00", "0.08"]),
        ("101000", vec!["1000.00", "7200.00"]),
        ("101001", vec!["1000.00", "7200.00", "0.05"]),
        ("11000.5", vec!["1000.00", "0.04"]),
    ] {
        let rated = whole(&contract_plan(), &interactions(quantity)).unwrap();
        assert_eq!(amounts(&rated), expected, "{quantity}");
    }
}

#[test]
fn a_flat_fee_is_in_the_line_of_its_tier_and_rounded_with_it() {
    let plan = plan(
        "CNY",
        &json!([{"name": "a", "meter": "interactions", "model": "Graduated", "tiers": [
            {"upTo": "1", "unitPrice": "0.004", "flatFee": "0.001"}, {"unitPrice": "0", "flatFee": "9.995"}]}]),
    );
    assert_eq!(amounts(&whole(&plan, &interactions("1")).unwrap()), ["0.01"]);
    assert_eq!(
        amounts(&whole(&plan, &interactions("2")).unwrap()),
        ["0.01", "10.00"]
    );
    assert_eq!(
        amounts(&whole(&plan, &[]).unwrap()),
        ["0.00"],
        "no fee without a part"
    );
}

#[test]
fn each_line_is_rounded_once_half_away_from_zero_to_its_currency() {
    for (currency, expected) in [("JPY", "3"), ("CNY", "2.50"), ("KWD", "2.500"), ("CLF", "2.5000")] {
        let plan = plan(
            currency,
            &json!([{"name": "a", "meter": "interactions", "model": "PerUnit", "unitPrice": "0.025"}]),
        );
        assert_eq!(
            amounts(&whole(&plan, &interactions("100")).unwrap()),
            [expected],
            "{currency}"
        );
    }
}

#[test]
fn usage_outside_the_period_or_of_other_dimensions_or_meters_is_left_out() {
    let plan = plan(
        "CNY",
        &json!([{"name": "a", "meter": "interactions", "model": "PerUnit", "unitPrice": "1",
                 "where": {"kind": ["answer", "list"], "channel": "web"}}]),
    );
    let web = |at: &str, kind: &str, quantity: &str| {
        used(
            at,
            "interactions",
            &[("channel", "web"), ("kind", kind)],
            quantity,
        )
    };
    let usage = [
        web("2026-10-31T15:45:00Z", "answer", "1"),
        web("2026-10-31T16:00:00Z", "answer", "10"),
        web("2026-11-30T15:45:00Z", "list", "100"),
        web("2026-11-30T16:00:00Z", "answer", "1000"),
        web("2026-11-11T00:00:00Z", "other", "10000"),
        used(
            "2026-11-11T00:00:00Z",
            "interactions",
            &[("kind", "answer")],
            "100000",
        ),
        used(
            "2026-11-11T00:00:00Z",
            "unanswered",
            &[("channel", "web"), ("kind", "answer")],
            "1000000",
        ),
    ];
    assert_eq!(
        facts(&whole(&plan, &usage).unwrap().lines[0]).0.to_string(),
        "110"
    );
}

#[test]
fn usage_below_zero_and_products_beyond_38_digits_make_no_bill() {
    let mut usage = interactions("1");
    usage[0].quantity = Exact::new(-1, 0);
    assert!(matches!(
        whole(&contract_plan(), &usage),
        Err(RatingError::NegativeUsage { .. })
    ));
    let dear = plan(
        "CNY",
        &json!([{"name": "a", "meter": "interactions", "model": "PerUnit", "unitPrice": "999999999999999999.999999999"}]),
    );
    let most = interactions("999999999999999999.999999999");
    assert!(matches!(whole(&dear, &most), Err(RatingError::Overflow { .. })));
}

#[test]
fn a_line_reads_back_from_its_json() {
    for quantity in ["0", "61500"] {
        for line in whole(&contract_plan(), &interactions(quantity)).unwrap().lines {
            let text = serde_json::to_string(&line).unwrap();
            assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line, "{text}");
        }
    }
}

/// Prices one unit after the other: slow, and with nothing of the arithmetic above.
fn naive(bounds: &[u32], prices: &[i64], fees: &[i64], included: u32, counted: u32) -> Vec<String> {
    let mut cost = vec![Decimal::ZERO; prices.len()];
    let mut entered = vec![false; prices.len()];
    for unit in 1..=counted.saturating_sub(included) {
        let tier = bounds
            .iter()
            .position(|bound| unit <= *bound)
            .unwrap_or(bounds.len());
        if !entered[tier] {
            cost[tier] += Decimal::new(fees[tier], 4);
        }
        entered[tier] = true;
        cost[tier] += Decimal::new(prices[tier], 4);
    }
    let mut lines: Vec<_> = cost
        .iter()
        .zip(entered)
        .filter(|(_, entered)| *entered)
        .map(|(cost, _)| {
            let mut text = String::new();
            let rounded = cost.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero);
            write!(text, "{rounded:.2}").unwrap();
            text
        })
        .collect();
    if lines.is_empty() {
        lines.push("0.00".to_owned());
    }
    lines
}

proptest! {
    #[test]
    fn graduated_prices_agree_with_counting_unit_by_unit(
        steps in prop::collection::vec(1_u32..60, 0..4),
        prices in prop::collection::vec(0_i64..20_000, 5),
        fees in prop::collection::vec(0_i64..20_000, 5),
        included in 0_u32..50,
        counted in 0_u32..300,
        cuts in prop::collection::vec(0_u32..300, 0..4),
    ) {
        let bounds: Vec<_> = steps.iter().scan(0, |top, step| { *top += step; Some(*top) }).collect();
        let decimal = |value: i64| Exact::new(value.into(), 4).to_string();
        let tiers: Vec<_> = (0..=bounds.len()).map(|tier| json!({
            "upTo": bounds.get(tier).map(ToString::to_string), "unitPrice": decimal(prices[tier]), "flatFee": decimal(fees[tier]),
        })).collect();
        let plan = plan("CNY", &json!([{"name": "a", "meter": "interactions", "model": "Graduated",
            "included": included.to_string(), "tiers": tiers}]));
        // The same usage, cut into buckets in any way.
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(counted)).chain([0, counted]).collect();
        cuts.sort_unstable();
        let usage: Vec<_> = cuts.windows(2)
            .flat_map(|pair| interactions(&(pair[1] - pair[0]).to_string())).collect();
        let rated = whole(&plan, &usage).unwrap();
        let expected = naive(&bounds, &prices, &fees, included, counted);
        prop_assert_eq!(amounts(&rated), expected.iter().map(String::as_str).collect::<Vec<_>>());
        let sum: Decimal = expected.iter().map(|amount| amount.parse::<Decimal>().unwrap()).sum();
        prop_assert_eq!(Decimal::from_i128_with_scale(rated.total, 2), sum);
    }
}

fn full_plan(changes: &[(&str, serde_json::Value)]) -> RatePlan {
    let mut plan = json!({
        "currency": "CNY", "timeZone": "Asia/Shanghai",
        "charges": [{"name": "answers", "meter": "interactions", "model": "Graduated", "included": "1000", "tiers": [
            {"upTo": "10000", "unitPrice": "0.10"}, {"upTo": "100000", "unitPrice": "0.08", "flatFee": "0"}, {"unitPrice": "0.05"}]}],
        "surcharges": [{"name": "evening peak", "charge": "answers", "unitPrice": "0.02", "windows": [
            {"days": ["Sat", "Sun"], "from": "20:00", "to": "24:00"}, {"calendar": "shopping"}]}],
        "calendars": {"shopping": ["2026-11-11", "2026-12-12"]},
        "modules": [{"name": "voice", "monthlyFee": "500.00"}],
        "minimumCommitment": "1000.00", "cap": "50000.00", "discount": {"percent": "0"},
        "tax": {"name": "VAT", "percent": "6", "inclusive": false},
        "sla": {"availability": {"objective": "99.9", "slice": "5m", "badShare": "0.05", "minimumRequests": 10, "noData": "Up",
            "credits": [{"below": "99.9", "percent": "10"}, {"below": "99", "percent": "25"}, {"below": "95", "percent": "100"}],
            "creditCap": "100"}}
    });
    for (field, value) in changes {
        plan[*field] = value.clone();
    }
    RatePlan::from_json(&plan).unwrap()
}

/// Every minute of November with ten good requests, but bad ones in the first slices.
fn minutes_with_bad_slices(bad_slices: i64) -> Service {
    let first = november().start.as_second();
    let minutes = (0..30 * 24 * 60).map(|minute| {
        let counts = if minute / 5 < bad_slices {
            MinuteCounts {
                good: 0,
                bad: 10,
                fast: 0,
                slow: 0,
                unreachable: false,
            }
        } else {
            MinuteCounts {
                good: 10,
                bad: 0,
                fast: 9,
                slow: 1,
                unreachable: false,
            }
        };
        (Timestamp::from_second(first + minute * 60).unwrap(), counts)
    });
    Service {
        minutes: minutes.collect(),
        exclusions: Vec::new(),
    }
}

fn with_service(plan: &RatePlan, usage: &[Usage], service: &Service) -> Rated {
    let account = Account {
        service: Some(service),
        ..Account::whole(plan, november(), usage)
    };
    rate(&account).unwrap()
}

fn kinds(rated: &Rated) -> Vec<(&'static str, &str)> {
    rated
        .lines
        .iter()
        .map(|line| (line.kind(), line.amount.as_str()))
        .collect()
}

#[test]
fn the_worked_bill_of_the_contract_comes_out_to_the_cent() {
    // 57,500 at other times, 4,000 on weekend evenings and the 11th; 99.87 %: 11 of 8,640 slices were bad.
    let usage = [
        used("2026-11-10T15:45:00Z", "interactions", &[], "57500"),
        used("2026-11-10T16:00:00Z", "interactions", &[], "1000"),
        used("2026-11-11T15:45:00Z", "interactions", &[], "1000"),
        used("2026-11-07T12:00:00Z", "interactions", &[], "1000"),
        used("2026-11-08T15:45:00Z", "interactions", &[], "1000"),
    ];
    let rated = with_service(&full_plan(&[]), &usage, &minutes_with_bad_slices(11));
    assert_eq!(
        kinds(&rated),
        [
            ("charge", "1000.00"),
            ("charge", "4040.00"),
            ("surcharge", "80.00"),
            ("module", "500.00"),
            ("credit", "-562.00"),
            ("tax", "303.48"),
        ]
    );
    assert_eq!(rated.total, 536_148);
    let slices = rated.service.unwrap().slices.unwrap();
    assert_eq!((slices.good, slices.counted, slices.bad.len()), (8_629, 8_640, 1));
}

#[test]
fn discount_comes_before_minimum_and_cap_and_tax_comes_last() {
    let plan = full_plan(&[
        ("discount", json!({"percent": "10"})),
        ("minimumCommitment", json!("600.00")),
        ("cap", json!("600.00")),
    ]);
    let rated = whole(&plan, &[]).unwrap();
    assert_eq!(
        kinds(&rated),
        [
            ("charge", "0.00"),
            ("surcharge", "0.00"),
            ("module", "500.00"),
            ("discount", "-50.00"),
            ("minimum", "150.00"),
            ("tax", "36.00"),
        ]
    );
    let rated = whole(&plan, &interactions("61500")).unwrap();
    assert_eq!(
        kinds(&rated)[4..],
        [("discount", "-677.00"), ("cap", "-5493.00"), ("tax", "36.00"),],
        "5,040 and 500 and 61,500 × 0.02 on the 11th, less 10 %, capped"
    );
    assert_eq!(rated.total, 63_600);
}

#[test]
fn an_inclusive_tax_is_shown_and_not_added() {
    let plan = full_plan(&[("tax", json!({"name": "VAT", "percent": "6", "inclusive": true}))]);
    let rated = whole(&plan, &[]).unwrap();
    let tax = rated.lines.last().unwrap();
    assert_eq!(
        (tax.amount.as_str(), tax.informational),
        ("56.60", true),
        "1,000 × 6 / 106"
    );
    assert_eq!(rated.total, 100_000);
}

#[test]
fn volume_prices_all_by_one_tier_and_packages_count_whole() {
    let volume = plan(
        "CNY",
        &json!([{"name": "a", "meter": "interactions", "model": "Volume", "included": "10", "tiers": [
        {"upTo": "100", "unitPrice": "0.10", "flatFee": "1"}, {"unitPrice": "0.05", "flatFee": "2"}]}]),
    );
    for (quantity, expected) in [
        ("10", "0.00"),
        ("11", "1.10"),
        ("110", "11.00"),
        ("111", "7.05"),
        ("110.5", "7.03"),
    ] {
        assert_eq!(
            amounts(&whole(&volume, &interactions(quantity)).unwrap()),
            [expected],
            "{quantity}"
        );
    }
    let packages = plan(
        "CNY",
        &json!([{"name": "a", "meter": "interactions", "model": "Package", "size": "100", "price": "8.00"}]),
    );
    for (quantity, expected) in [
        ("0", "0.00"),
        ("0.001", "8.00"),
        ("100", "8.00"),
        ("100.001", "16.00"),
        ("250", "24.00"),
    ] {
        assert_eq!(
            amounts(&whole(&packages, &interactions(quantity)).unwrap()),
            [expected],
            "{quantity}"
        );
    }
}

#[test]
fn a_surcharge_counts_local_hours_also_where_they_occur_twice_or_never() {
    // Each quarter of an hour has one interaction; the window is from 01:00 to 03:00.
    for (zone, month, nights, changed, quarters) in [
        // 25 October 2026: 02:00 to 03:00 occurs twice.
        ("Europe/Berlin", "2026-10", 30, 12, 30 * 8 + 12),
        // 29 March 2026: 02:00 to 03:00 does not occur.
        ("Europe/Berlin", "2026-03", 30, 4, 30 * 8 + 4),
        // 1 November 2026: 01:00 to 02:00 occurs twice.
        ("America/New_York", "2026-11", 29, 12, 29 * 8 + 12),
        // 5 April 2026: 01:30 to 02:00 occurs twice; half an hour.
        ("Australia/Lord_Howe", "2026-04", 29, 10, 29 * 8 + 10),
        // 4 October 2026: 02:00 to 02:30 does not occur.
        ("Australia/Lord_Howe", "2026-10", 30, 6, 30 * 8 + 6),
        ("Asia/Kathmandu", "2028-02", 29, 0, 29 * 8),
    ] {
        let plan = RatePlan::from_json(&json!({"currency": "CNY", "timeZone": zone,
            "charges": [{"name": "a", "meter": "m", "model": "PerUnit", "unitPrice": "0"}],
            "surcharges": [{"name": "night", "charge": "a", "unitPrice": "1", "windows": [
                {"from": "01:00", "to": "02:30"}, {"from": "01:30", "to": "03:00"}]}]}))
        .unwrap();
        let period = month
            .parse::<crate::rating::period::Period>()
            .unwrap()
            .bounds(&plan.zone)
            .unwrap();
        let mut usage = Vec::new();
        let mut at = period.start;
        while at < period.end {
            usage.push(used(&at.to_string(), "m", &[], "1"));
            at += jiff::SignedDuration::from_mins(15);
        }
        let rated = rate(&Account::whole(&plan, period, &usage)).unwrap();
        let counted = rated.lines[1].quantity.unwrap().to_string();
        assert_eq!(
            counted,
            quarters.to_string(),
            "{zone} {month}: {nights} nights and {changed} quarters"
        );
    }
}

#[test]
fn modules_are_prorated_by_the_seconds_for_which_they_were_taken() {
    let plan = full_plan(&[("minimumCommitment", json!(null)), ("tax", json!(null))]);
    let change = |at: &str, active| ModuleChange {
        at: at.parse().unwrap(),
        module: "voice".into(),
        active,
    };
    for (changes, expected) in [
        (vec![], "500.00"),
        (vec![change("2026-11-15T16:00:00Z", false)], "250.00"),
        (vec![change("2026-11-15T16:00:00Z", true)], "250.00"),
        (vec![change("2026-01-01T00:00:00Z", false)], "0.00"),
        (
            vec![
                change("2026-01-01T00:00:00Z", true),
                change("2027-01-01T00:00:00Z", false),
            ],
            "500.00",
        ),
        (
            vec![
                change("2026-01-01T00:00:00Z", false),
                change("2026-11-20T16:00:00Z", true),
                change("2026-11-25T16:00:00Z", false),
            ],
            "83.33",
        ),
    ] {
        let account = Account {
            module_changes: &changes,
            ..Account::whole(&plan, november(), &[])
        };
        let rated = rate(&account).unwrap();
        assert_eq!(kinds(&rated)[2], ("module", expected), "{changes:?}");
    }
}

#[test]
fn a_part_of_a_month_prorates_what_is_not_usage_and_starts_its_tiers_anew() {
    let (old, new) = (full_plan(&[]), full_plan(&[("minimumCommitment", json!("9000"))]));
    let middle: Timestamp = "2026-11-10T16:00:00Z".parse().unwrap();
    let (first, second) = (
        Bounds {
            end: middle,
            ..november()
        },
        Bounds {
            start: middle,
            ..november()
        },
    );
    let part = |plan, bounds| Part {
        plan,
        bounds,
        contract: Some(bounds),
    };
    let usage = [
        used("2026-11-02T00:00:00Z", "interactions", &[], "400"),
        used("2026-11-16T00:00:00Z", "interactions", &[], "20667"),
    ];
    let account = Account {
        parts: vec![part(&old, first), part(&new, second)],
        ..Account::whole(&old, november(), &usage)
    };
    let rated = rate(&account).unwrap();
    assert_eq!(
        kinds(&rated),
        [
            // 10 of 30 days: 333 included of 1,000, a third of the module and of the minimum.
            ("charge", "6.70"),
            ("surcharge", "0.00"),
            ("module", "166.67"),
            ("minimum", "159.96"),
            // 20 of 30 days: 667 included; the tiers start anew.
            ("charge", "1000.00"),
            ("charge", "800.00"),
            ("surcharge", "0.00"),
            ("module", "333.33"),
            ("minimum", "3866.67"),
            ("tax", "380.00"),
        ]
    );
    assert_eq!(rated.lines[0].part.as_ref().unwrap().seconds, 10 * 86_400);
    assert_eq!(rated.total, 671_333);
}
