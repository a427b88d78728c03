//! A line in words: what was counted, by which rule, and the sum. Nothing is hidden in a line that its words do not say.

mod chinese;
mod english;

use jiff::tz::TimeZone;

use super::currency::Currency;
use super::number::{Exact, Overflow};
use super::rate::{Line, Rule, ServiceOutcome};
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

/// In what a bill is written.
#[derive(Clone, Debug)]
pub struct Style {
    /// Of its amounts.
    pub currency: Currency,
    /// Of its dates.
    pub zone: TimeZone,
    /// Of its words.
    pub locale: Locale,
}

/// Explains a line of a bill.
pub fn explain(line: &Line, style: &Style) -> Explanation {
    match style.locale {
        Locale::En => english::explain(line, style),
        Locale::ZhCn => chinese::explain(line, style),
    }
}

/// What a bill says of the service besides its credit line; nothing where no minutes were reported.
pub fn service_sentence(outcome: &ServiceOutcome, locale: Locale) -> Option<String> {
    let slices = outcome.slices.as_ref()?;
    let percent = percentage(slices.good, slices.counted);
    Some(match (percent, locale) {
        (None, Locale::En) => {
            "No slice of time counts for the service level in this period: there is no credit.".to_owned()
        }
        (None, Locale::ZhCn) => "本期没有可计入服务水平的时段，不予抵扣。".to_owned(),
        (Some(percent), Locale::En) => format!(
            "Availability {percent} %: {} of {} slices of time were good, {} were left out.",
            slices.good, slices.counted, slices.left_out
        ),
        (Some(percent), Locale::ZhCn) => format!(
            "可用率 {percent}%：{} 个时段中 {} 个正常，{} 个不计入。",
            slices.counted, slices.good, slices.left_out
        ),
    })
}

/// A meter's name in words.
pub fn meter_name(meter: &str, locale: Locale) -> String {
    let (english, chinese) = match meter {
        "interactions" => ("answered interactions", "机器人应答"),
        "unanswered" => ("unanswered interactions", "未能解答"),
        "conversations" => ("conversations", "会话"),
        "handoffs" => ("hand-offs to a person", "转人工"),
        "ratings" => ("ratings by customers", "客户评价"),
        other => return other.to_owned(),
    };
    match locale {
        Locale::En => english.to_owned(),
        Locale::ZhCn => chinese.to_owned(),
    }
}

/// A dimension that a plan narrows by, in words.
fn dimension_name(key: &str, locale: Locale) -> &str {
    match (key, locale) {
        ("outcome", Locale::ZhCn) => "结果",
        _ => key,
    }
}

/// A value of a dimension in words: what a conversation came to; any other is as it is.
pub fn value_name<'a>(key: &str, value: &'a str, locale: Locale) -> &'a str {
    match (key, value, locale) {
        ("outcome", "resolved", Locale::ZhCn) => "已解决",
        ("outcome", "abandoned", Locale::ZhCn) => "未解决",
        _ => value,
    }
}

/// 100 × good / counted with four decimals, rounded down, so that what is below a bound never reads as the bound.
fn percentage(good: u64, counted: u64) -> Option<String> {
    let scaled = u128::from(good) * 1_000_000;
    let floored = scaled.checked_div(u128::from(counted))?;
    Some(format!("{}.{:04}", floored / 10_000, floored % 10_000))
}

impl Style {
    /// "1,000.00".
    fn digits(&self, amount: Exact) -> String {
        amount.grouped(self.currency.decimals())
    }

    /// "1,000.00 CNY".
    fn money(&self, amount: Exact) -> String {
        format!("{} {}", self.digits(amount), self.currency.code())
    }

    /// An amount of the document, "-5.00", as "-5.00 CNY".
    fn amount(&self, amount: &str) -> String {
        format!("{} {}", self.plain(amount), self.currency.code())
    }

    /// An amount of the document without its currency.
    fn plain(&self, amount: &str) -> String {
        let (sign, digits) = amount.strip_prefix('-').map_or(("", amount), |rest| ("−", rest));
        let written = Exact::parse(digits).map_or_else(|_| digits.to_owned(), |exact| self.digits(exact));
        format!("{sign}{written}")
    }

    /// "a × b = 0.50 CNY", with the exact result if the line was rounded.
    fn equation(&self, left: &str, exact: Result<Exact, Overflow>, line: &Line) -> String {
        let amount = self.plain(&line.amount);
        let exact = exact.map_or_else(|_| amount.clone(), |exact| self.digits(exact));
        let code = self.currency.code();
        if exact == amount {
            return format!("{left} = {amount} {code}");
        }
        match self.locale {
            Locale::En => format!("{left} = {exact}, rounded to {amount} {code}"),
            Locale::ZhCn => format!("{left} = {exact}，四舍五入为 {amount} {code}"),
        }
    }

    /// The sum behind a line; the same in every language.
    fn arithmetic(&self, line: &Line) -> String {
        let code = self.currency.code();
        let amount = self.plain(&line.amount);
        let share = |of: &str, percent: &Exact| format!("{} × {percent}% → {amount} {code}", self.plain(of));
        match &line.rule {
            Rule::Charge { .. } | Rule::Surcharge { .. } => self.priced(line),
            Rule::Module {
                monthly_fee,
                seconds,
                of_seconds,
            } if seconds == of_seconds => self.equation(&self.digits(*monthly_fee), Ok(*monthly_fee), line),
            Rule::Module {
                monthly_fee,
                seconds,
                of_seconds,
            } => format!(
                "{} × {seconds} / {of_seconds} → {amount} {code}",
                self.digits(*monthly_fee)
            ),
            Rule::Discount { percent, of }
            | Rule::Credit { percent, of, .. }
            | Rule::Tax {
                percent,
                inclusive: false,
                of,
            } => share(of, percent),
            Rule::Minimum {
                commitment: bound,
                fees,
            }
            | Rule::Cap { cap: bound, fees } => {
                format!("{} − {} = {amount} {code}", self.plain(bound), self.plain(fees))
            }
            Rule::Tax {
                percent,
                inclusive: true,
                of,
            } => format!(
                "{} × {percent} / (100 + {percent}) → {amount} {code}",
                self.plain(of)
            ),
        }
    }

    fn priced(&self, line: &Line) -> String {
        let quantity = line.quantity.unwrap_or(Exact::ZERO);
        let unit_price = line.unit_price.unwrap_or(Exact::ZERO);
        let flat_fee = line
            .tier()
            .map(|tier| tier.flat_fee)
            .filter(|fee| !fee.is_zero() && !quantity.is_zero());
        let mut left = format!("{} × {}", quantity.grouped(0), self.digits(unit_price));
        let mut exact = quantity.times(unit_price);
        if let Some(fee) = flat_fee {
            left = format!("{left} + {}", self.digits(fee));
            exact = exact.and_then(|cost| cost.plus(fee));
        }
        self.equation(&left, exact, line)
    }

    /// First and last local date of a part of a month.
    fn dates(&self, part: &super::rate::PartOfMonth) -> (String, String) {
        let last = part.end.saturating_sub(jiff::SignedDuration::from_nanos(1));
        let date = |at| self.zone.to_datetime(at).date().to_string();
        (date(part.start), date(last.unwrap_or(part.end)))
    }
}

#[cfg(test)]
mod tests;
