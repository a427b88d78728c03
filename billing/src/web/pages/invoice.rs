//! One bill: who, when, each line with how it came about, and the chain it stands in.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::super::texts::{Texts, texts};
use super::disputes::dispute_list;
use super::{View, downloads, layout};
use crate::bill::document::{Document, DocumentLine};
use crate::bill::words::{line_title, plan_in_words, plan_of_line};
use crate::rating::period::zone_named;
use crate::rating::rate::{Line, Rule};
use crate::store::Dispute;

/// What the page of a bill shows.
pub(in crate::web) struct InvoicePage<'a> {
    pub(in crate::web) document: &'a Document,
    /// Those of this bill.
    pub(in crate::web) disputes: Vec<Dispute>,
    pub(in crate::web) may_dispute: bool,
}

/// `refused`: the words of a dispute that were not taken.
pub(in crate::web) fn invoice_page(view: &View, page: &InvoicePage<'_>, refused: Option<&str>) -> Markup {
    let texts = texts(view.locale);
    let document = page.document;
    let number = document.number.as_deref().unwrap_or_default();
    let content = html! {
        p.back { a href="/portal" { "← " (texts.back) } }
        article.card.bill {
            header.bill-head {
                div {
                    p.eyebrow { (texts.invoice) }
                    h1 { (number) }
                }
                p.sum { (document.amount_for_people(&document.total)) " " small { (document.currency) } }
            }
            p.actions { a.button href={ "/portal/invoices/" (number) ".pdf" } download { (texts.download_pdf) } }
            (facts(texts, document))
            h2 { (texts.lines) }
            (lines(view, document))
            @for note in &document.notes { p.notice { (note) } }
            h2 { (texts.downloads) }
            (downloads(view, &format!("number={number}")))
            h2.minor { (texts.digest) }
            p.digest { code { (document.digest.as_deref().unwrap_or_default()) } }
            @if let Some(previous) = document.previous_digest.as_deref().filter(|digest| !digest.is_empty()) {
                h2.minor { (texts.previous_digest) }
                p.digest { code { (previous) } }
            }
            p.hint { (texts.digest_note) }
        }
        @if !page.disputes.is_empty() {
            section.card aria-labelledby="disputes" {
                h2 #disputes { (texts.tab_disputes) }
                (dispute_list(view, &zone_named(&document.time_zone).unwrap_or(TimeZone::UTC), &page.disputes))
            }
        }
        @if page.may_dispute { (dispute_form(view, document, number, refused)) }
    };
    layout(view, &format!("{} {number}", texts.invoice), &content)
}

fn dispute_form(view: &View, document: &Document, number: &str, refused: Option<&str>) -> Markup {
    let texts = texts(view.locale);
    html! {
        section.card {
            details open[refused.is_some()] {
                summary { (texts.dispute_open) }
                form.stacked method="post" action={ "/portal/invoices/" (number) "/dispute" } {
                    @if refused.is_some() { p.alert role="alert" #wrong { (texts.dispute_wrong) } }
                    label for="line" { (texts.dispute_line) }
                    select #line name="line" {
                        option value="" { (texts.dispute_whole) }
                        @for DocumentLine { line, .. } in &document.lines {
                            option value=(line.name) { (line_title(line, view.locale)) (tier_of(texts, line)) }
                        }
                    }
                    label for="reason" { (texts.dispute_reason) }
                    textarea #reason name="reason" rows="4" maxlength="2000" required aria-invalid=(refused.is_some()) { (refused.unwrap_or_default()) }
                    button type="submit" { (texts.dispute_send) }
                }
            }
        }
    }
}

fn facts(texts: &Texts, document: &Document) -> Markup {
    let zone = zone_named(&document.time_zone).unwrap_or(TimeZone::UTC);
    let facts = [
        (texts.issuer, document.issuer.for_people()),
        (texts.billed_to, document.legal_name.clone()),
        (texts.tax_id, document.tax_id.clone()),
        (
            texts.period,
            format!("{} ({})", document.period, document.time_zone),
        ),
        (
            texts.issued,
            document
                .issued_at
                .map(|at| zone.to_datetime(at).date().to_string())
                .unwrap_or_default(),
        ),
        (
            texts.due,
            document.due_on.map(|date| date.to_string()).unwrap_or_default(),
        ),
    ];
    let plans = document
        .plans
        .iter()
        .map(|plan| (texts.plan, plan_in_words(document, plan)));
    let facts: Vec<_> = facts.into_iter().chain(plans).collect();
    html! {
        dl.facts {
            @for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
                div { dt { (name) } dd { (value) } }
            }
        }
    }
}

/// The lines with their sum; also shown for a draft.
pub(super) fn lines(view: &View, document: &Document) -> Markup {
    let texts = texts(view.locale);
    html! {
        ol.lines {
            @for (position, line) in document.lines.iter().enumerate() { (one_line(view, document, position, line)) }
        }
        p.total { span { (texts.total) } strong { (document.amount_for_people(&document.total)) " " (document.currency) } }
    }
}

fn one_line(
    view: &View,
    document: &Document,
    position: usize,
    DocumentLine {
        line, explanation, ..
    }: &DocumentLine,
) -> Markup {
    let texts = texts(view.locale);
    html! {
        li {
            div.line-head {
                h3 { (line_title(line, view.locale)) (tier_of(texts, line)) }
                span.money { (document.amount_for_people(&line.amount)) }
            }
            @if let Some(plan) = plan_of_line(document, line) { p.hint.plan { (texts.plan) ": " (plan) } }
            @if let Some(words) = document.explain(line, view.locale) {
                dl.why {
                    dt { (texts.counted) } dd { (words.quantity) }
                    dt { (texts.rule) } dd { (words.rule) }
                    dt { (texts.arithmetic) } dd.figures { (words.arithmetic) }
                }
            } @else {
                p { (explanation) }
            }
            @if is_of_interactions(line) {
                p.drill { a href={ "/portal/interactions?period=" (document.period) "&line=" (position) } { (texts.see_interactions) } }
            }
        }
    }
}

/// The line prices what is counted one by one, and not what only a plan knows.
fn is_of_interactions(line: &Line) -> bool {
    let counted = ["interactions", "unanswered"];
    match &line.rule {
        Rule::Charge { meter, .. } | Rule::Surcharge { meter, .. } => counted.contains(&meter.as_str()),
        _ => false,
    }
}

/// Which tier a line prices, if it is one of several.
pub(super) fn tier_of(texts: &Texts, line: &Line) -> Markup {
    html! {
        @if let Some(tier) = line.tier() { " " span.muted { (texts.tier) " " (tier.tier) } }
    }
}
