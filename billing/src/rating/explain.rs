//! A line in words: what was counted, by which rule, and the sum. Nothing is hidden in a line that its words do not say.

use std::fmt::Write as _;

use super::currency::Currency;
use super::number::Exact;
use super::plan::Filter;
use super::rate::{Line, LinePrice};
use crate::locale::Locale;

/// The three parts of an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What was counted, what of it is free, what is priced.
    pub quantity: String,
    /// The price that applies.
    pub rule: String,
    /// The sum, and how it was rounded if it was.
    pub arithmetic: String,
}

impl Explanation {
    /// As one text.
    pub fn sentence(&self, locale: Locale) -> String {
        let Self {
            quantity,
            rule,
            arithmetic,
        } = self;
        match locale {
            Locale::En => format!("{quantity}. {rule}. {arithmetic}."),
            Locale::ZhCn => format!("{quantity}。{rule}。{arithmetic}。"),
        }
    }
}

/// Explains `line` of a bill in `currency`.
pub fn explain(line: &Line, currency: Currency, locale: Locale) -> Explanation {
    Explanation {
        quantity: quantity_of(line, locale),
        rule: rule_of(&line.price, currency, locale),
        arithmetic: arithmetic_of(line, currency, locale),
    }
}

/// A meter's name in words.
pub fn meter_name(meter: &str, locale: Locale) -> String {
    match (meter, locale) {
        ("interactions", Locale::ZhCn) => "机器人应答".to_owned(),
        ("interactions", Locale::En) => "answered interactions".to_owned(),
        ("unanswered", Locale::ZhCn) => "未能解答".to_owned(),
        ("unanswered", Locale::En) => "unanswered interactions".to_owned(),
        (other, _) => other.to_owned(),
    }
}

fn quantity_of(line: &Line, locale: Locale) -> String {
    let (counted, included, billable) = (
        line.counted.grouped(0),
        line.included.grouped(0),
        line.billable.grouped(0),
    );
    let meter = meter_name(&line.meter, locale);
    let filter = filter_of(&line.filter, locale);
    match (locale, line.included.is_zero()) {
        (Locale::En, true) => format!("{counted} {meter}{filter} in the period"),
        (Locale::En, false) => format!(
            "{counted} {meter}{filter} in the period, less {included} included: {billable} to be priced"
        ),
        (Locale::ZhCn, true) => format!("本期{meter}{filter} {counted}"),
        (Locale::ZhCn, false) => {
            format!("本期{meter}{filter} {counted}，扣除已包含的 {included}，计费 {billable}")
        }
    }
}

fn filter_of(filter: &Filter, locale: Locale) -> String {
    let mut text = String::new();
    for (key, values) in &filter.0 {
        let values: Vec<_> = values.iter().map(String::as_str).collect();
        // Writing to a String cannot fail.
        let _ = match locale {
            Locale::En => write!(text, " with {key} {}", values.join(" or ")),
            Locale::ZhCn => write!(text, "（{key} 为 {}）", values.join("、")),
        };
    }
    text
}

fn rule_of(price: &LinePrice, currency: Currency, locale: Locale) -> String {
    let money = |amount: Exact| format!("{} {}", amount.grouped(currency.decimals()), currency.code());
    match (price, locale) {
        (LinePrice::Nothing, Locale::En) => "Nothing is left to be priced".to_owned(),
        (LinePrice::Nothing, Locale::ZhCn) => "没有需要计费的用量".to_owned(),
        (LinePrice::PerUnit { unit_price }, Locale::En) => format!("Each costs {}", money(*unit_price)),
        (LinePrice::PerUnit { unit_price }, Locale::ZhCn) => format!("单价 {}", money(*unit_price)),
        (
            LinePrice::Graduated {
                tier,
                above,
                up_to,
                unit_price,
                flat_fee,
            },
            Locale::En,
        ) => {
            let range = match up_to {
                Some(up_to) => format!("above {} up to {}", above.grouped(0), up_to.grouped(0)),
                None => format!("above {}", above.grouped(0)),
            };
            let fee = if flat_fee.is_zero() {
                String::new()
            } else {
                format!(", plus {} once", money(*flat_fee))
            };
            format!("Tier {tier}, {range}: each costs {}{fee}", money(*unit_price))
        }
        (
            LinePrice::Graduated {
                tier,
                above,
                up_to,
                unit_price,
                flat_fee,
            },
            Locale::ZhCn,
        ) => {
            let range = match up_to {
                Some(up_to) => format!("超过 {} 至 {}（含）", above.grouped(0), up_to.grouped(0)),
                None => format!("超过 {}", above.grouped(0)),
            };
            let fee = if flat_fee.is_zero() {
                String::new()
            } else {
                format!("，另加固定费用 {}", money(*flat_fee))
            };
            format!("第 {tier} 档，{range}：单价 {}{fee}", money(*unit_price))
        }
    }
}

fn arithmetic_of(line: &Line, currency: Currency, locale: Locale) -> String {
    let amount = Exact::parse(&line.amount).map_or_else(
        |_| line.amount.clone(),
        |amount| amount.grouped(currency.decimals()),
    );
    let (unit_price, flat_fee) = match &line.price {
        LinePrice::Nothing => return format!("0 = {amount} {}", currency.code()),
        LinePrice::PerUnit { unit_price } => (*unit_price, Exact::ZERO),
        LinePrice::Graduated {
            unit_price, flat_fee, ..
        } => (*unit_price, *flat_fee),
    };
    let fee = if flat_fee.is_zero() {
        String::new()
    } else {
        format!(" + {}", flat_fee.grouped(currency.decimals()))
    };
    let product = format!(
        "{} × {}{fee}",
        line.quantity.grouped(0),
        unit_price.grouped(currency.decimals())
    );
    let exact = line
        .quantity
        .times(unit_price)
        .and_then(|cost| cost.plus(flat_fee));
    let exact = exact.map_or_else(|_| amount.clone(), |exact| exact.grouped(currency.decimals()));
    if exact == amount {
        return format!("{product} = {amount} {}", currency.code());
    }
    match locale {
        Locale::En => format!("{product} = {exact}, rounded to {amount} {}", currency.code()),
        Locale::ZhCn => format!("{product} = {exact}，四舍五入为 {amount} {}", currency.code()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{period::Period, plan::RatePlan, rate::Usage, rate::rate};
    use super::*;
    use serde_json::json;

    fn sentences(charge: &serde_json::Value, quantity: &str, locale: Locale) -> Vec<String> {
        let plan =
            RatePlan::from_json(&json!({"currency": "CNY", "timeZone": "UTC", "charges": [charge]})).unwrap();
        let bounds = "2026-11".parse::<Period>().unwrap().bounds(&plan.zone).unwrap();
        let dimensions = [("kind".to_owned(), "answer".to_owned())].into();
        let quantity = Exact::parse(quantity).unwrap();
        let usage = [Usage {
            bucket_start: bounds.start,
            meter: "interactions".into(),
            dimensions,
            quantity,
        }];
        let lines = rate(&plan, &bounds, &usage).unwrap().lines;
        lines
            .iter()
            .map(|line| explain(line, plan.currency, locale).sentence(locale))
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
            ["本期机器人应答（kind 为 answer） 0。没有需要计费的用量。0 = 0.00 CNY。"]
        );
    }
}
