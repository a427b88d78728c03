use serde_json::json;

use super::super::{
    period::Period,
    plan::RatePlan,
    rate::{Account, Usage, rate},
};
use super::*;

fn sentences(charge: &serde_json::Value, quantity: &str, locale: Locale) -> Vec<String> {
    sentences_of(
        &json!({"currency": "CNY", "timeZone": "UTC", "charges": [charge]}),
        quantity,
        locale,
    )
}

fn sentences_of(plan: &serde_json::Value, quantity: &str, locale: Locale) -> Vec<String> {
    let plan = RatePlan::from_json(plan).unwrap();
    let bounds = "2026-11".parse::<Period>().unwrap().bounds(&plan.zone).unwrap();
    let dimensions = [("kind".to_owned(), "answer".to_owned())].into();
    let usage = [Usage {
        bucket_start: bounds.start,
        meter: "interactions".into(),
        dimensions,
        quantity: Exact::parse(quantity).unwrap(),
    }];
    let style = Style {
        currency: plan.currency,
        zone: plan.zone.clone(),
        locale,
    };
    rate(&Account::whole(&plan, bounds, &usage))
        .unwrap()
        .lines
        .iter()
        .map(|line| explain(line, &style).sentence(locale))
        .collect()
}

#[test]
fn a_graduated_line_says_what_was_counted_by_which_rule_and_the_sum() {
    let charge = json!({"name": "answers", "meter": "interactions", "model": "Graduated", "included": "1000",
        "tiers": [{"upTo": "10000", "unitPrice": "0.10"}, {"unitPrice": "0.08", "flatFee": "5"}]});
    assert_eq!(
        sentences(&charge, "61500", Locale::En),
        [
            "61,500 answered interactions in the period, less 1,000 included: 60,500 to be priced. \
             Tier 1, above 0 up to 10,000: each costs 0.10 CNY. 10,000 × 0.10 = 1,000.00 CNY.",
            "61,500 answered interactions in the period, less 1,000 included: 60,500 to be priced. \
             Tier 2, above 10,000: each costs 0.08 CNY, plus 5.00 CNY once. 50,500 × 0.08 + 5.00 = 4,045.00 CNY.",
        ]
    );
    assert_eq!(
        sentences(&charge, "61500", Locale::ZhCn)[0],
        "本期机器人应答 61,500，扣除已包含的 1,000，计费 60,500。第 1 档，超过 0 至 10,000（含）：单价 0.10 CNY。10,000 × 0.10 = 1,000.00 CNY。"
    );
}

#[test]
fn rounding_a_filter_and_an_empty_line_are_said() {
    let charge = json!({"name": "a", "meter": "interactions", "model": "PerUnit", "unitPrice": "0.0005", "where": {"kind": "answer"}});
    assert_eq!(
        sentences(&charge, "3", Locale::En),
        [
            "3 answered interactions with kind answer in the period. Each costs 0.0005 CNY. 3 × 0.0005 = 0.0015, rounded to 0.00 CNY."
        ]
    );
    assert_eq!(
        sentences(&charge, "0", Locale::ZhCn),
        ["本期机器人应答（kind 为 answer） 0。没有需要计费的用量。0 × 0.0005 = 0.00 CNY。"]
    );
}

#[test]
fn what_conversations_came_to_is_said_in_both_languages() {
    let charge = json!({"name": "a", "meter": "conversations", "model": "PerUnit", "unitPrice": "0.5",
        "where": {"outcome": ["resolved", "abandoned"]}});
    assert_eq!(
        sentences(&charge, "0", Locale::En),
        [
            "0 conversations with outcome abandoned or resolved in the period. Nothing is left to be priced. 0 × 0.50 = 0.00 CNY."
        ]
    );
    assert_eq!(
        sentences(&charge, "0", Locale::ZhCn),
        ["本期会话（结果 为 未解决、已解决） 0。没有需要计费的用量。0 × 0.50 = 0.00 CNY。"]
    );
}

#[test]
fn every_kind_of_line_is_explained_in_both_languages() {
    let plan = json!({"currency": "CNY", "timeZone": "UTC",
        "charges": [{"name": "packs", "meter": "interactions", "model": "Package", "size": "100", "price": "8.00"}],
        "surcharges": [{"name": "peak", "charge": "packs", "unitPrice": "0.02", "windows": [
            {"days": ["Sat", "Sun"], "from": "00:00", "to": "12:00"}, {"calendar": "shopping"}]}],
        "calendars": {"shopping": ["2026-11-11"]},
        "modules": [{"name": "voice", "monthlyFee": "500"}],
        "discount": {"percent": "10"}, "minimumCommitment": "1000", "cap": "1000",
        "tax": {"name": "VAT", "percent": "6", "inclusive": true}});
    assert_eq!(
        sentences_of(&plan, "250", Locale::En),
        [
            "250 answered interactions in the period. A package of 100 costs 8.00 CNY; one that is begun counts whole. 3 × 8.00 = 24.00 CNY.",
            "250 of 250 answered interactions fall within the times of the surcharge. Each of them costs 0.02 CNY more: \
             Sat, Sun 00:00 to 12:00; days of the calendar \"shopping\". 250 × 0.02 = 5.00 CNY.",
            "Taken for the whole month. 500.00 CNY a month. 500.00 = 500.00 CNY.",
            "The lines before come to 529.00 CNY. A discount of 10 %. 529.00 × 10% → −52.90 CNY.",
            "The fees come to 476.10 CNY. At least 1,000.00 CNY are committed. 1,000.00 − 476.10 = 523.90 CNY.",
            "Fees less credit come to 1,000.00 CNY. 6 % are contained in it and not added. 1,000.00 × 6 / (100 + 6) → 56.60 CNY.",
        ]
    );
    assert_eq!(
        sentences_of(&plan, "250", Locale::ZhCn)[1],
        "机器人应答 250 中有 250 落在加价时段内。每次加价 0.02 CNY：周六、周日 00:00 至 12:00；日历“shopping”所列日期。250 × 0.02 = 5.00 CNY。"
    );
}

#[test]
fn a_percentage_below_a_bound_never_reads_as_the_bound() {
    assert_eq!(percentage(999_999_999, 1_000_000_000).as_deref(), Some("99.9999"));
    assert_eq!(percentage(3, 3).as_deref(), Some("100.0000"));
    assert_eq!(percentage(0, 0), None);
}
