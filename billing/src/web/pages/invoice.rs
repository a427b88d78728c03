//! One bill: who, when, each line with how it came about, and the chain it stands in.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::super::texts::{Texts, texts};
use super::{View, layout};
use crate::bill::document::{Document, DocumentLine};
use crate::rating::period::zone_named;
use crate::rating::rate::Line;
use crate::store::Account;

pub(in crate::web) fn invoice_page(view: &View, account: &Account, document: &Document) -> Markup {
    let texts = texts(view.locale);
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
            (facts(texts, document))
            h2 { (texts.lines) }
            (lines(view, document))
            h2.minor { (texts.digest) }
            p.digest { code { (document.digest.as_deref().unwrap_or_default()) } }
            @if let Some(previous) = document.previous_digest.as_deref().filter(|digest| !digest.is_empty()) {
                h2.minor { (texts.previous_digest) }
                p.digest { code { (previous) } }
            }
            p.hint { (texts.digest_note) }
        }
    };
    layout(
        view,
        &format!("{} {number}", texts.invoice),
        Some(account.details.party.tenant.as_str()),
        &content,
    )
}

fn facts(texts: &Texts, document: &Document) -> Markup {
    let zone = zone_named(&document.time_zone).unwrap_or(TimeZone::UTC);
    let facts = [
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
        (texts.plan, document.plan.name.clone()),
    ];
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
            @for line in &document.lines { (one_line(view, document, line)) }
        }
        p.total { span { (texts.total) } strong { (document.amount_for_people(&document.total)) " " (document.currency) } }
    }
}

fn one_line(
    view: &View,
    document: &Document,
    DocumentLine {
        line, explanation, ..
    }: &DocumentLine,
) -> Markup {
    let texts = texts(view.locale);
    html! {
        li {
            div.line-head {
                h3 { (line.name) (tier_of(texts, line)) }
                span.money { (document.amount_for_people(&line.amount)) }
            }
            @if let Some(words) = document.explain(line, view.locale) {
                dl.why {
                    dt { (texts.counted) } dd { (words.quantity) }
                    dt { (texts.rule) } dd { (words.rule) }
                    dt { (texts.arithmetic) } dd.figures { (words.arithmetic) }
                }
            } @else {
                p { (explanation) }
            }
        }
    }
}

/// Which tier a line prices, if it is one of several.
pub(super) fn tier_of(texts: &Texts, line: &Line) -> Markup {
    html! {
        @if let Some(tier) = line.tier() { " " span.muted { (texts.tier) " " (tier.tier) } }
    }
}
