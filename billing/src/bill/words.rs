//! Words of a bill that the portal and the PDF have in common.

use super::document::{Document, DocumentLine, PlanReference, Sort};
use super::review::Finding;
use super::state::{InvoiceState, TaxStanding, TaxState};
use crate::locale::Locale;
use crate::rating::rate::{BadCause, CreditCause, Line, Rule};
use crate::store::KIND_CREDIT;

/// What a document is called: a note is no second invoice.
pub fn document_title(document: &Document, locale: Locale) -> &'static str {
    match (document.sort(), locale) {
        (Sort::Invoice, Locale::En) => "Invoice",
        (Sort::Invoice, Locale::ZhCn) => "账单",
        (Sort::CreditNote, Locale::En) => "Credit note",
        (Sort::CreditNote, Locale::ZhCn) => "贷项通知单",
        (Sort::DebitNote, Locale::En) => "Debit note",
        (Sort::DebitNote, Locale::ZhCn) => "借项通知单",
    }
}

/// Why there is a note: the words of who issued it, or what corrections are for. `None` of what is no note.
pub fn reason_in_words(document: &Document, locale: Locale) -> Option<String> {
    document.corrects.as_ref()?;
    if let Some(reason) = document.reason.as_ref().filter(|reason| !reason.is_empty()) {
        return Some(reason.clone());
    }
    let said = match (document.kind == KIND_CREDIT, locale) {
        (true, Locale::En) => "The whole bill is taken back, with the notes on it.",
        (true, Locale::ZhCn) => "整张账单及其通知单全部冲销。",
        (false, Locale::En) => "What came or changed after the bill was issued.",
        (false, Locale::ZhCn) => "账单出具后到达或变更的内容。",
    };
    Some(said.to_owned())
}

/// Of a line of a note, from what to what it goes, for people: what was billed, what it is now, the difference.
pub fn change_of_line(document: &Document, entry: &DocumentLine) -> Option<[String; 3]> {
    let correction = entry.correction.as_ref()?;
    let now = correction.corrected.as_deref().unwrap_or("0");
    Some(
        [correction.billed.as_str(), now, entry.line.amount.as_str()]
            .map(|amount| document.amount_for_people(amount)),
    )
}

/// The same as a sentence.
pub fn change_in_words([billed, now, difference]: &[String; 3], currency: &str, locale: Locale) -> String {
    match locale {
        Locale::En => format!("Billed {billed}, now {now} {currency}: a difference of {difference}."),
        Locale::ZhCn => format!("原计 {billed}，现计 {now} {currency}，差额 {difference}。"),
    }
}

/// In which state a bill is.
pub fn state_in_words(state: InvoiceState, locale: Locale) -> &'static str {
    match (state, locale) {
        (InvoiceState::Draft, Locale::En) => "draft",
        (InvoiceState::Draft, Locale::ZhCn) => "草稿",
        (InvoiceState::Review, Locale::En) => "in review",
        (InvoiceState::Review, Locale::ZhCn) => "审核中",
        (InvoiceState::Issued, Locale::En) => "issued",
        (InvoiceState::Issued, Locale::ZhCn) => "已出具",
        (InvoiceState::Paid, Locale::En) => "paid",
        (InvoiceState::Paid, Locale::ZhCn) => "已支付",
        (InvoiceState::Disputed, Locale::En) => "disputed",
        (InvoiceState::Disputed, Locale::ZhCn) => "有异议",
        (InvoiceState::Credited, Locale::En) => "taken back by a credit note",
        (InvoiceState::Credited, Locale::ZhCn) => "已由贷项通知单冲销",
    }
}

/// What is striking about a draft.
pub fn finding_in_words(finding: &Finding, locale: Locale) -> String {
    match (finding, locale) {
        (_, Locale::En) => finding.to_string(),
        (Finding::FirstBill, Locale::ZhCn) => "首张账单".to_owned(),
        (Finding::Changed { before, after }, Locale::ZhCn) => format!("{after}，上月 {before}"),
        (Finding::OtherCurrency, Locale::ZhCn) => "币种与上月不同".to_owned(),
        (Finding::NoUsage, Locale::ZhCn) => "没有用量".to_owned(),
        (Finding::UnreportedMinutes { minutes }, Locale::ZhCn) => format!("{minutes} 分钟未上报"),
    }
}

/// What the tax office calls its own paper.
pub fn tax_paper(locale: Locale) -> &'static str {
    match locale {
        Locale::En => "Tax invoice (fapiao)",
        Locale::ZhCn => "发票",
    }
}

/// What the tax office knows of a bill: "25310000, registered".
pub fn tax_in_words(tax: &TaxStanding, locale: Locale) -> String {
    let TaxStanding {
        state,
        tax_number,
        red_letter,
    } = tax;
    let said = match (state, locale) {
        (TaxState::Requested, Locale::En) => "requested".to_owned(),
        (TaxState::Requested, Locale::ZhCn) => "已申请".to_owned(),
        (TaxState::Registered, Locale::En) => "registered".to_owned(),
        (TaxState::Registered, Locale::ZhCn) => "已开具".to_owned(),
        (TaxState::Reversed, Locale::En) => format!("reversed by red letter {red_letter}"),
        (TaxState::Reversed, Locale::ZhCn) => format!("已由红字发票 {red_letter} 冲销"),
    };
    match (tax_number.as_str(), locale) {
        ("", _) => said,
        (number, Locale::En) => format!("{number}, {said}"),
        (number, Locale::ZhCn) => format!("{number}，{said}"),
    }
}

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
        (BadCause::Unreachable, Locale::En) => "customers could not reach the service",
        (BadCause::Unreachable, Locale::ZhCn) => "客户无法访问服务",
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
