//! One bill: who, when, each line with how it came about, and the chain it stands in.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::super::texts::{Texts, texts};
use super::disputes::{Disputes, dispute_list};
use super::{Side, View, downloads, layout};
use crate::bill::document::{Document, DocumentLine};
use crate::bill::state::{InvoiceState, TaxStanding};
use crate::bill::words::{
    change_of_line, document_title, line_title, plan_in_words, plan_of_line, reason_in_words, state_in_words,
    tax_in_words, tax_paper,
};
use crate::rating::period::zone_named;
use crate::rating::rate::{Line, Rule};

/// What the page of a bill shows.
pub(in crate::web) struct InvoicePage<'a> {
    pub(in crate::web) document: &'a Document,
    pub(in crate::web) state: InvoiceState,
    pub(in crate::web) tax: Option<TaxStanding>,
    /// Numbers of the notes on it.
    pub(in crate::web) notes: Vec<String>,
    /// Those of this bill.
    pub(in crate::web) disputes: Disputes,
    pub(in crate::web) may_dispute: bool,
}

/// `refused`: the words of a dispute that were not taken.
pub(in crate::web) fn invoice_page(view: &View, page: &InvoicePage<'_>, refused: Option<&str>) -> Markup {
    let texts = texts(view.locale);
    let document = page.document;
    let number = document.number.as_deref().unwrap_or_default();
    let title = document_title(document, view.locale);
    let content = html! {
        p.back { a href="/portal" { "← " (texts.back) } }
        article.card.bill {
            header.bill-head {
                div {
                    p.eyebrow { (title) }
                    h1 { (number) }
                }
                p.sum { (document.amount_for_people(&document.total)) " " small { (document.currency) } }
            }
            p.actions { a.button href={ "/portal/invoices/" (number) ".pdf" } download { (texts.download_pdf) } }
            (facts(view, page))
            @if document.is_in_favour() { p.notice { (texts.in_favour) } }
            h2 { (if document.corrects.is_some() { texts.change } else { texts.lines }) }
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
        @if !page.disputes.disputes.is_empty() {
            section.card aria-labelledby="disputes" {
                h2 #disputes { (texts.tab_disputes) }
                (dispute_list(view, &zone_named(&document.time_zone).unwrap_or(TimeZone::UTC), &page.disputes))
            }
        }
        @if page.may_dispute { (dispute_form(view, document, number, refused)) }
    };
    layout(view, &format!("{title} {number}"), &content)
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

/// Who, of what, when, and what became of it.
fn facts(view: &View, page: &InvoicePage<'_>) -> Markup {
    let texts = texts(view.locale);
    let document = page.document;
    let zone = zone_named(&document.time_zone).unwrap_or(TimeZone::UTC);
    let tax = page.tax.as_ref();
    let facts = [
        (texts.state, state_in_words(page.state, view.locale).to_owned()),
        (
            texts.reason,
            reason_in_words(document, view.locale).unwrap_or_default(),
        ),
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
        (
            tax_paper(view.locale),
            tax.map(|tax| tax_in_words(tax, view.locale)).unwrap_or_default(),
        ),
    ];
    let plans = document
        .plans
        .iter()
        .map(|plan| (texts.plan, plan_in_words(document, plan)));
    let facts: Vec<_> = facts.into_iter().chain(plans).collect();
    html! {
        dl.facts {
            @if let Some(corrects) = &document.corrects {
                div { dt { (texts.corrects) } dd { (link_to(corrects)) } }
            }
            @if !page.notes.is_empty() {
                div { dt { (texts.notes) } dd { @for note in &page.notes { (link_to(note)) " " } } }
            }
            @for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
                div { dt { (name) } dd { (value) } }
            }
        }
    }
}

fn link_to(number: &str) -> Markup {
    html! { a href={ "/portal/invoices/" (number) } { (number) } }
}

/// The lines with their sum; also shown for a draft.
pub(in crate::web) fn lines(view: &View, document: &Document) -> Markup {
    let texts = texts(view.locale);
    html! {
        ol.lines {
            @for (position, line) in document.lines.iter().enumerate() { (one_line(view, document, position, line)) }
        }
        p.total { span { (texts.total) } strong { (document.amount_for_people(&document.total)) " " (document.currency) } }
    }
}

/// Where the interactions behind a line are: of a note by its own number, as its lines are not those of the month's bill.
fn behind(document: &Document, position: usize) -> String {
    match (&document.corrects, &document.number) {
        (Some(_), Some(number)) => format!("/portal/interactions?number={number}&line={position}"),
        _ => format!("/portal/interactions?period={}&line={position}", document.period),
    }
}

fn one_line(view: &View, document: &Document, position: usize, entry: &DocumentLine) -> Markup {
    let texts = texts(view.locale);
    let DocumentLine {
        line, explanation, ..
    } = entry;
    let change = change_of_line(document, entry);
    html! {
        li {
            div.line-head {
                h3 { (line_title(line, view.locale)) (tier_of(texts, line)) }
                span.money { (document.amount_for_people(&line.amount)) }
            }
            @if let Some(plan) = plan_of_line(document, line) { p.hint.plan { (texts.plan) ": " (plan) } }
            @if let Some([billed, now, difference]) = &change {
                dl.why.change {
                    dt { (texts.was_billed) } dd.figures { (billed) }
                    dt { (texts.is_now) } dd.figures { (now) }
                    dt { (texts.difference) } dd.figures { (difference) }
                }
            }
            @if let Some(words) = document.explain(entry, view.locale) {
                @if change.is_some() { p.hint { (texts.why_now) } }
                dl.why {
                    dt { (texts.counted) } dd { (words.quantity) }
                    dt { (texts.rule) } dd { (words.rule) }
                    dt { (texts.arithmetic) } dd.figures { (words.arithmetic) }
                }
            } @else if change.is_none() {
                p { (explanation) }
            }
            @if view.side == Side::Firm && is_of_interactions(line) && entry.is_there() {
                p.drill { a href=(behind(document, position)) { (texts.see_interactions) } }
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
