//! Words of a bill that the portal and the PDF have in common.

use super::document::{Document, PlanReference};
use crate::locale::Locale;
use crate::rating::rate::{BadCause, CreditCause, Line, Rule};

/// What a line is called: as the plan calls it, or by its rule.
pub fn line_title(line: &Line, locale: Locale) -> String {
    let (english, chinese) = match &line.rule {
        Rule::Tax { inclusive: true, .. } => {
            return match locale {
                Locale::En => format!("{} (included)", line.name),
                Locale::ZhCn => format!("{}（价内）", line.name),
            };
        }
        Rule::Charge { .. } | Rule::Surcharge { .. } | Rule::Module { .. } | Rule::Tax { .. } => {
            return line.name.clone();
        }
        Rule::Discount { .. } => ("Discount", "折扣"),
        Rule::Minimum { .. } => ("Minimum commitment", "最低消费补足"),
        Rule::Cap { .. } => ("Cap", "封顶减免"),
        Rule::Credit {
            cause: CreditCause::Availability { .. },
            ..
        } => ("Service credit: availability", "服务抵扣：可用率"),
        Rule::Credit {
            cause: CreditCause::ResponseTime { .. },
            ..
        } => ("Service credit: response time", "服务抵扣：响应时间"),
    };
    match locale {
        Locale::En => english.to_owned(),
        Locale::ZhCn => chinese.to_owned(),
    }
}

/// "standard-2026 (3)"; of several with the dates that it prices, and its zone where that is not the bill's.
pub fn plan_in_words(document: &Document, plan: &PlanReference) -> String {
    let version = format!("{} ({})", plan.name, plan.generation);
    let (false, Some((first, last))) = (document.plans.len() == 1, plan.dates()) else {
        return version;
    };
    let zone = if plan.time_zone == document.time_zone {
        String::new()
    } else {
        format!(", {}", plan.time_zone)
    };
    format!("{version}, {first} – {last}{zone}")
}

/// By which plan a line is priced, if it is one of several.
pub fn plan_of_line(document: &Document, line: &Line) -> Option<String> {
    let plan = document.plan_behind(line)?;
    (document.plans.len() > 1 && line.part.is_some()).then(|| plan_in_words(document, plan))
}

/// Why a time counts as bad.
pub fn cause_in_words(cause: BadCause, locale: Locale) -> &'static str {
    match (cause, locale) {
        (BadCause::BadRequests, Locale::En) => "too many requests failed or took too long",
        (BadCause::BadRequests, Locale::ZhCn) => "失败或超时的请求过多",
        (BadCause::NotReported, Locale::En) => "no report from the service: it counts as down",
        (BadCause::NotReported, Locale::ZhCn) => "服务没有任何上报，按不可用计",
        (BadCause::NoData, Locale::En) => "too few requests: the plan counts it as bad",
        (BadCause::NoData, Locale::ZhCn) => "请求过少，按方案计为不可用",
    }
}

/// 100 × good / counted, three decimals, rounded down: what is below a bound never reads as the bound. `None`: none counts.
pub fn percentage(good: u64, counted: u64) -> Option<String> {
    let scaled = u128::from(good) * 100_000;
    let floored = scaled.checked_div(u128::from(counted))?;
    Some(format!("{}.{:03}", floored / 1000, floored % 1000))
}

#[cfg(test)]
mod tests {
    use super::percentage;

    #[test]
    fn a_percentage_never_reads_as_the_bound_that_it_misses() {
        assert_eq!(percentage(999_999, 1_000_000).as_deref(), Some("99.999"));
        assert_eq!(percentage(9_999_999, 10_000_000).as_deref(), Some("99.999"));
        assert_eq!(percentage(5, 5).as_deref(), Some("100.000"));
        assert_eq!(percentage(0, 0), None);
    }
}
