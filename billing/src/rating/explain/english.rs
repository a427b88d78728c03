//! Lines in English.

use std::fmt::Write as _;

use super::{Explanation, Style, dimension_name, meter_name, percentage, value_name};
use crate::locale::Locale;
use crate::rating::number::Exact;
use crate::rating::plan::{Filter, Window};
use crate::rating::rate::{CreditCause, Line, LinePrice, Rule, TierPrice};

const LOCALE: Locale = Locale::En;

pub(super) fn explain(line: &Line, style: &Style) -> Explanation {
    let mut quantity = quantity_of(line, style);
    if let Some(part) = &line.part {
        let (first, last) = style.dates(part);
        let (seconds, of_seconds) = (part.seconds, part.of_seconds);
        // Writing to a String cannot fail.
        let _ = write!(
            quantity,
            ", for {first} to {last} ({seconds} of {of_seconds} seconds of the month)"
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
                "{} {}{} in the period",
                counted.grouped(0),
                meter_name(meter, LOCALE),
                filter_of(filter)
            );
            if included.is_zero() {
                what
            } else {
                let (included, billable) = (included.grouped(0), billable.grouped(0));
                format!("{what}, less {included} included: {billable} to be priced")
            }
        }
        Rule::Surcharge {
            meter,
            filter,
            counted,
            ..
        } => format!(
            "{} of {} {}{} fall within the times of the surcharge",
            line.quantity.unwrap_or(Exact::ZERO).grouped(0),
            counted.grouped(0),
            meter_name(meter, LOCALE),
            filter_of(filter)
        ),
        Rule::Module {
            seconds, of_seconds, ..
        } if seconds == of_seconds => "Taken for the whole month".to_owned(),
        Rule::Module {
            seconds, of_seconds, ..
        } => format!("Taken for {seconds} of {of_seconds} seconds of the month"),
        Rule::Discount { of, .. } => format!("The lines before come to {}", style.amount(of)),
        Rule::Minimum { fees, .. } | Rule::Cap { fees, .. } => {
            format!("The fees come to {}", style.amount(fees))
        }
        Rule::Credit { cause, .. } => cause_of(cause),
        Rule::Tax { of, .. } => format!("Fees less credit come to {}", style.amount(of)),
    }
}

fn cause_of(cause: &CreditCause) -> String {
    match cause {
        CreditCause::Availability { good, counted } => {
            let percent = percentage(*good, *counted).unwrap_or_default();
            format!("{good} of {counted} slices of time were good: availability {percent} %")
        }
        CreditCause::ResponseTime { fast, counted } => {
            let percent = percentage(*fast, *counted).unwrap_or_default();
            format!("{fast} of {counted} answers came in time: {percent} %")
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
        let _ = write!(text, " with {key} {}", values.join(" or "));
    }
    text
}

fn rule_of(line: &Line, style: &Style) -> String {
    let unit_price = || style.money(line.unit_price.unwrap_or(Exact::ZERO));
    match &line.rule {
        Rule::Charge { billable, .. } if billable.is_zero() => "Nothing is left to be priced".to_owned(),
        Rule::Charge { price, .. } => match price {
            LinePrice::PerUnit => format!("Each costs {}", unit_price()),
            LinePrice::Package { size } => format!(
                "A package of {} costs {}; one that is begun counts whole",
                size.grouped(0),
                unit_price()
            ),
            LinePrice::Graduated(tier) => {
                format!(
                    "{}: each costs {}{}",
                    tier_of(tier),
                    unit_price(),
                    fee_of(tier, style)
                )
            }
            LinePrice::Volume(tier) => format!(
                "{}, prices all of it: each costs {}{}",
                tier_of(tier),
                unit_price(),
                fee_of(tier, style)
            ),
        },
        Rule::Surcharge { windows, .. } => {
            let times: Vec<_> = windows.iter().map(window_of).collect();
            format!("Each of them costs {} more: {}", unit_price(), times.join("; "))
        }
        Rule::Module { monthly_fee, .. } => format!("{} a month", style.money(*monthly_fee)),
        Rule::Discount { percent, .. } => format!("A discount of {percent} %"),
        Rule::Minimum { commitment, .. } => format!("At least {} are committed", style.amount(commitment)),
        Rule::Cap { cap, .. } => format!("At most {} are billed", style.amount(cap)),
        Rule::Credit { below, percent, .. } => {
            format!("Below {below} % the credit is {percent} % of the fees")
        }
        Rule::Tax {
            percent,
            inclusive: false,
            ..
        } => format!("{percent} % are added"),
        Rule::Tax {
            percent,
            inclusive: true,
            ..
        } => format!("{percent} % are contained in it and not added"),
    }
}

fn tier_of(tier: &TierPrice) -> String {
    let (number, above) = (tier.tier, tier.above.grouped(0));
    match tier.up_to {
        Some(up_to) => format!("Tier {number}, above {above} up to {}", up_to.grouped(0)),
        None => format!("Tier {number}, above {above}"),
    }
}

fn fee_of(tier: &TierPrice, style: &Style) -> String {
    if tier.flat_fee.is_zero() {
        return String::new();
    }
    format!(", plus {} once", style.money(tier.flat_fee))
}

fn window_of(window: &Window) -> String {
    let mut parts = Vec::new();
    if !window.days.is_empty() {
        let days: Vec<_> = window.days.iter().map(|day| format!("{day:?}")).collect();
        parts.push(days.join(", "));
    }
    if !window.dates.is_empty() {
        let dates: Vec<_> = window.dates.iter().map(ToString::to_string).collect();
        parts.push(dates.join(", "));
    }
    if let Some(calendar) = &window.calendar {
        parts.push(format!("days of the calendar {calendar:?}"));
    }
    if !window.is_all_day() {
        parts.push(format!(
            "{} to {}",
            String::from(window.from),
            String::from(window.to)
        ));
    }
    parts.join(" ")
}
