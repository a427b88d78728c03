//! Lines in simplified Chinese.

use std::fmt::Write as _;

use super::{Explanation, Style, dimension_name, meter_name, percentage, value_name};
use crate::locale::Locale;
use crate::rating::number::Exact;
use crate::rating::plan::{Day, Filter, Window};
use crate::rating::rate::{CreditCause, Line, LinePrice, Rule, TierPrice};

const LOCALE: Locale = Locale::ZhCn;

pub(super) fn explain(line: &Line, style: &Style) -> Explanation {
    let mut quantity = quantity_of(line, style);
    if let Some(part) = &line.part {
        let (first, last) = style.dates(part);
        let (seconds, of_seconds) = (part.seconds, part.of_seconds);
        // Writing to a String cannot fail.
        let _ = write!(
            quantity,
            "（{first} 至 {last}，当月 {of_seconds} 秒中的 {seconds} 秒）"
        );
    }
    Explanation {
        quantity,
        rule: rule_of(line, style),
        arithmetic: style.arithmetic(line),
    }
}

fn quantity_of(line: &Line, style: &Style) -> String {
    match &line.rule {
        Rule::Charge {
            meter,
            filter,
            counted,
            included,
            billable,
            price: _,
        } => {
            let what = format!(
                "本期{}{} {}",
                meter_name(meter, LOCALE),
                filter_of(filter),
                counted.grouped(0)
            );
            if included.is_zero() {
                what
            } else {
                let (included, billable) = (included.grouped(0), billable.grouped(0));
                format!("{what}，扣除已包含的 {included}，计费 {billable}")
            }
        }
        Rule::Surcharge {
            meter,
            filter,
            counted,
            ..
        } => format!(
            "{}{} {} 中有 {} 落在加价时段内",
            meter_name(meter, LOCALE),
            filter_of(filter),
            counted.grouped(0),
            line.quantity.unwrap_or(Exact::ZERO).grouped(0)
        ),
        Rule::Module {
            seconds, of_seconds, ..
        } if seconds == of_seconds => "整月启用".to_owned(),
        Rule::Module {
            seconds, of_seconds, ..
        } => format!("当月 {of_seconds} 秒中启用 {seconds} 秒"),
        Rule::Discount { of, .. } => format!("以上各项合计 {}", style.amount(of)),
        Rule::Minimum { fees, .. } | Rule::Cap { fees, .. } => format!("费用合计 {}", style.amount(fees)),
        Rule::Credit { cause, .. } => cause_of(cause),
        Rule::Tax { of, .. } => format!("费用减抵扣后为 {}", style.amount(of)),
    }
}

fn cause_of(cause: &CreditCause) -> String {
    match cause {
        CreditCause::Availability { good, counted } => {
            let percent = percentage(*good, *counted).unwrap_or_default();
            format!("{counted} 个时段中 {good} 个正常，可用率 {percent}%")
        }
        CreditCause::ResponseTime { fast, counted } => {
            let percent = percentage(*fast, *counted).unwrap_or_default();
            format!("{counted} 次应答中 {fast} 次及时，占 {percent}%")
        }
    }
}

fn filter_of(filter: &Filter) -> String {
    let mut text = String::new();
    for (key, values) in &filter.0 {
        let values: Vec<_> = values
            .iter()
            .map(|value| value_name(key, value, LOCALE))
            .collect();
        let key = dimension_name(key, LOCALE);
        // Writing to a String cannot fail.
        let _ = write!(text, "（{key} 为 {}）", values.join("、"));
    }
    text
}

fn rule_of(line: &Line, style: &Style) -> String {
    let unit_price = || style.money(line.unit_price.unwrap_or(Exact::ZERO));
    match &line.rule {
        Rule::Charge { billable, .. } if billable.is_zero() => "没有需要计费的用量".to_owned(),
        Rule::Charge { price, .. } => match price {
            LinePrice::PerUnit => format!("单价 {}", unit_price()),
            LinePrice::Package { size } => format!(
                "每 {} 为一包，每包 {}，不足一包按一包计",
                size.grouped(0),
                unit_price()
            ),
            LinePrice::Graduated(tier) => {
                format!("{}：单价 {}{}", tier_of(tier), unit_price(), fee_of(tier, style))
            }
            LinePrice::Volume(tier) => format!(
                "{}，全部按此档计：单价 {}{}",
                tier_of(tier),
                unit_price(),
                fee_of(tier, style)
            ),
        },
        Rule::Surcharge { windows, .. } => {
            let times: Vec<_> = windows.iter().map(window_of).collect();
            format!("每次加价 {}：{}", unit_price(), times.join("；"))
        }
        Rule::Module { monthly_fee, .. } => format!("每月 {}", style.money(*monthly_fee)),
        Rule::Discount { percent, .. } => format!("折扣 {percent}%"),
        Rule::Minimum { commitment, .. } => format!("承诺最低消费 {}", style.amount(commitment)),
        Rule::Cap { cap, .. } => format!("费用上限 {}", style.amount(cap)),
        Rule::Credit { below, percent, .. } => format!("低于 {below}% 时抵扣费用的 {percent}%"),
        Rule::Tax {
            percent,
            inclusive: false,
            ..
        } => format!("另加 {percent}%"),
        Rule::Tax {
            percent,
            inclusive: true,
            ..
        } => format!("其中已含 {percent}%，不另加"),
    }
}

fn tier_of(tier: &TierPrice) -> String {
    let (number, above) = (tier.tier, tier.above.grouped(0));
    match tier.up_to {
        Some(up_to) => format!("第 {number} 档，超过 {above} 至 {}（含）", up_to.grouped(0)),
        None => format!("第 {number} 档，超过 {above}"),
    }
}

fn fee_of(tier: &TierPrice, style: &Style) -> String {
    if tier.flat_fee.is_zero() {
        return String::new();
    }
    format!("，另加固定费用 {}", style.money(tier.flat_fee))
}

fn window_of(window: &Window) -> String {
    let mut parts = Vec::new();
    if !window.days.is_empty() {
        let days: Vec<_> = window.days.iter().copied().map(day_of).collect();
        parts.push(days.join("、"));
    }
    if !window.dates.is_empty() {
        let dates: Vec<_> = window.dates.iter().map(ToString::to_string).collect();
        parts.push(dates.join("、"));
    }
    if let Some(calendar) = &window.calendar {
        parts.push(format!("日历“{calendar}”所列日期"));
    }
    if !window.is_all_day() {
        parts.push(format!(
            "{} 至 {}",
            String::from(window.from),
            String::from(window.to)
        ));
    }
    parts.join(" ")
}

fn day_of(day: Day) -> &'static str {
    match day {
        Day::Mon => "周一",
        Day::Tue => "周二",
        Day::Wed => "周三",
        Day::Thu => "周四",
        Day::Fri => "周五",
        Day::Sat => "周六",
        Day::Sun => "周日",
    }
}
