use std::fmt::Write as _;

use proptest::prelude::*;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::json;

use super::*;

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

fn amounts(rated: &Rated) -> Vec<&str> {
    rated.lines.iter().map(|line| line.amount.as_str()).collect()
}

#[test]
fn the_worked_example_of_the_contract_comes_out() {
    let rated = rate(&contract_plan(), &november(), &interactions("61500")).unwrap();
    assert_eq!(amounts(&rated), ["1000.00", "4040.00"]);
    assert_eq!(rated.lines[0].quantity.to_string(), "10000");
    assert_eq!(rated.lines[1].quantity.to_string(), "50500");
    assert_eq!(rated.lines[1].billable.to_string(), "60500");
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
        let rated = rate(&contract_plan(), &november(), &interactions(quantity)).unwrap();
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
    assert_eq!(
        amounts(&rate(&plan, &november(), &interactions("1")).unwrap()),
        ["0.01"]
    );
    assert_eq!(
        amounts(&rate(&plan, &november(), &interactions("2")).unwrap()),
        ["0.01", "10.00"]
    );
    assert_eq!(
        amounts(&rate(&plan, &november(), &[]).unwrap()),
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
            amounts(&rate(&plan, &november(), &interactions("100")).unwrap()),
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
        rate(&plan, &november(), &usage).unwrap().lines[0]
            .counted
            .to_string(),
        "110"
    );
}

#[test]
fn usage_below_zero_and_products_beyond_38_digits_make_no_bill() {
    let mut usage = interactions("1");
    usage[0].quantity = Exact::new(-1, 0);
    assert!(matches!(
        rate(&contract_plan(), &november(), &usage),
        Err(RatingError::NegativeUsage { .. })
    ));
    let dear = plan(
        "CNY",
        &json!([{"name": "a", "meter": "interactions", "model": "PerUnit", "unitPrice": "999999999999999999.999999999"}]),
    );
    let most = interactions("999999999999999999.999999999");
    assert!(matches!(
        rate(&dear, &november(), &most),
        Err(RatingError::Overflow { .. })
    ));
}

#[test]
fn a_line_reads_back_from_its_json() {
    for quantity in ["0", "61500"] {
        for line in rate(&contract_plan(), &november(), &interactions(quantity))
            .unwrap()
            .lines
        {
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
        let rated = rate(&plan, &november(), &usage).unwrap();
        let expected = naive(&bounds, &prices, &fees, included, counted);
        prop_assert_eq!(amounts(&rated), expected.iter().map(String::as_str).collect::<Vec<_>>());
        let sum: Decimal = expected.iter().map(|amount| amount.parse::<Decimal>().unwrap()).sum();
        prop_assert_eq!(Decimal::from_i128_with_scale(rated.total, 2), sum);
    }
}
