//! Drafts that wait for approval.

use jiff::Timestamp;
use maud::{Markup, html};

use super::super::super::pages::invoice::lines;
use super::super::super::pages::{View, layout, months};
use super::super::super::visit::STRIKING;
use super::super::texts::{Texts, texts};
use super::{changes, moment};
use crate::bill::close::Refusal;
use crate::bill::correction::Difference;
use crate::bill::document::Document;
use crate::bill::review::Finding;
use crate::bill::words::{finding_in_words, plan_in_words};
use crate::metering::decide::LedgerId;
use crate::rating::period::Period;

/// A draft that waits.
pub(in crate::web::office) struct Waiting {
    pub(in crate::web::office) ledger: LedgerId,
    pub(in crate::web::office) digest: String,
    pub(in crate::web::office) actor: String,
    pub(in crate::web::office) at: Timestamp,
    pub(in crate::web::office) document: Document,
    pub(in crate::web::office) findings: Vec<Finding>,
}

/// What became of a draft that was chosen.
pub(in crate::web::office) enum Approved {
    Issued(Box<Document>),
    Refused(Refusal),
}

/// What the queue shows.
pub(in crate::web::office) struct QueuePage {
    pub(in crate::web::office) period: Period,
    pub(in crate::web::office) striking_only: bool,
    pub(in crate::web::office) page: u32,
    pub(in crate::web::office) has_more: bool,
    pub(in crate::web::office) waiting: u64,
    pub(in crate::web::office) striking: u64,
    pub(in crate::web::office) drafts: Vec<Waiting>,
    pub(in crate::web::office) may_act: bool,
    /// What became of those that were chosen, after they were.
    pub(in crate::web::office) approved: Option<Vec<Approved>>,
}

/// What the page of a draft shows.
pub(in crate::web::office) struct DraftPage {
    pub(in crate::web::office) period: Period,
    pub(in crate::web::office) waiting: Waiting,
    /// The number under which it was issued since.
    pub(in crate::web::office) issued: Option<String>,
    /// The bill of the month before.
    pub(in crate::web::office) before: Option<Document>,
    pub(in crate::web::office) differences: Vec<Difference>,
    pub(in crate::web::office) may_act: bool,
}

pub(in crate::web::office) fn queue_page(view: &View, page: &QueuePage) -> Markup {
    let texts = texts(view.locale);
    let plain = page.waiting.saturating_sub(page.striking);
    let content = html! {
        div.page-head {
            h1 { (texts.tab_reviews) }
            (months(view, "/office/reviews", page.period, false))
        }
        @if let Some(approved) = &page.approved { (outcome(texts, approved)) }
        section.card {
            p.lead { (texts.queue_lead) }
            p { strong { (page.waiting) } " " (texts.waiting) " · " strong { (page.striking) } " " (texts.striking) }
            @if page.drafts.is_empty() { p.notice { (texts.queue_empty) } } @else { (queue(view, page)) }
            (turn(texts, page))
        }
        @if page.may_act && plain > 0 {
            section.card {
                form.stacked.short method="post" action="/office/runs" {
                    input type="hidden" name="kind" value="approve";
                    input type="hidden" name="period" value=(page.period);
                    button type="submit" { (texts.approve_plain) " (" (plain) ")" }
                    p.hint { (texts.approve_note) }
                }
            }
        }
    };
    layout(view, texts.tab_reviews, &content)
}

fn outcome(texts: &Texts, approved: &[Approved]) -> Markup {
    html! {
        section.card role="status" {
            @if approved.is_empty() { p.alert { (texts.nothing_chosen) } }
            dl.why { @for done in approved { @match done {
                Approved::Issued(bill) => {
                    @let number = bill.number.as_deref().unwrap_or_default();
                    dt { (texts.approved) } dd { (bill.tenant) " " a href={ "/office/bills/" (number) } { (number) } }
                }
                Approved::Refused(refusal) => { dt { (texts.not_approved) } dd { (refusal.tenant) ": " (refusal.reason) } }
            } } }
        }
    }
}

fn queue(view: &View, page: &QueuePage) -> Markup {
    let texts = texts(view.locale);
    html! {
        form method="post" action="/office/reviews" {
            input type="hidden" name="period" value=(page.period);
            @if page.striking_only { input type="hidden" name="only" value=(STRIKING); }
            div.scroll tabindex="0" role="region" aria-label=(texts.tab_reviews) { table {
                thead { tr {
                    @if page.may_act { th scope="col" { (texts.choose) } }
                    th scope="col" { (texts.tenant) }
                    th.figures scope="col" { (texts.total) }
                    th scope="col" { (texts.findings) }
                } }
                tbody { @for draft in &page.drafts { tr {
                    @if page.may_act {
                        td { input.tick type="checkbox" name="draft" value=(chosen(draft)) aria-label={ (texts.choose) " " (draft.document.tenant) }; }
                    }
                    th scope="row" { a href=(address(page.period, draft)) { (draft.document.tenant) } }
                    td.figures { (draft.document.amount_for_people(&draft.document.total)) " " (draft.document.currency) }
                    td { (findings(view, &draft.findings)) }
                } } }
            } }
            @if page.may_act { button type="submit" { (texts.approve_chosen) } }
        }
    }
}

fn chosen(draft: &Waiting) -> String {
    format!("{}:{}", draft.ledger, draft.digest)
}

fn address(period: Period, draft: &Waiting) -> String {
    format!("/office/reviews/{}?period={period}", draft.ledger)
}

fn findings(view: &View, findings: &[Finding]) -> Markup {
    let words = findings
        .iter()
        .map(|finding| finding_in_words(finding, view.locale));
    let words: Vec<_> = words.collect();
    html! {
        @if words.is_empty() { span.muted { (texts(view.locale).none) } } @else { (words.join(" · ")) }
    }
}

/// What else there is to see of the queue.
fn turn(texts: &Texts, page: &QueuePage) -> Markup {
    let only = format!("&only={STRIKING}");
    let kept = if page.striking_only { only.as_str() } else { "" };
    html! {
        ul.downloads {
            @if page.striking_only {
                li { a href={ "/office/reviews?period=" (page.period) } { (texts.show_all) } }
            } @else if page.striking > 0 {
                li { a href={ "/office/reviews?period=" (page.period) (only) } { (texts.only_striking) } }
            }
            @if page.page > 0 { li { a href={ "/office/reviews?period=" (page.period) (kept) } { (texts.earlier) } } }
            @if page.has_more {
                li { a href={ "/office/reviews?period=" (page.period) (kept) "&page=" (page.page + 1) } { (texts.more) } }
            }
        }
    }
}

pub(in crate::web::office) fn draft_page(view: &View, page: &DraftPage) -> Markup {
    let texts = texts(view.locale);
    let Waiting { document, .. } = &page.waiting;
    let content = html! {
        p.back { a href={ "/office/reviews?period=" (page.period) } { "← " (texts.tab_reviews) } }
        article.card.bill {
            header.bill-head {
                div {
                    p.eyebrow { (texts.draft) " " (page.period) }
                    h1 { (document.tenant) }
                }
                p.sum { (document.amount_for_people(&document.total)) " " small { (document.currency) } }
            }
            (facts(view, page))
            @if let Some(number) = &page.issued {
                p.notice { (texts.approved) ": " a href={ "/office/bills/" (number) } { (number) } }
            } @else if page.may_act {
                form.stacked.short method="post" action="/office/reviews" {
                    input type="hidden" name="period" value=(page.period);
                    input type="hidden" name="draft" value=(chosen(&page.waiting));
                    button type="submit" { (texts.approve_this) }
                    p.hint { (texts.approve_note) }
                }
            }
            (lines(view, document))
            @for note in &document.notes { p.notice { (note) } }
        }
        @if page.before.is_some() {
            section.card aria-labelledby="compared" {
                h2 #compared { (texts.compared) }
                (changes(view, document, &page.differences))
            }
        }
    };
    layout(view, &document.tenant, &content)
}

fn facts(view: &View, page: &DraftPage) -> Markup {
    let texts = texts(view.locale);
    let Waiting {
        document,
        findings: found,
        actor,
        at,
        ..
    } = &page.waiting;
    html! {
        dl.facts {
            div { dt { (texts.findings) } dd { (findings(view, found)) } }
            @if let Some(before) = &page.before {
                div { dt { (texts.before) } dd {
                    (before.amount_for_people(&before.total)) " " (before.currency) " "
                    @let number = before.number.as_deref().unwrap_or_default();
                    a href={ "/office/bills/" (number) } { (number) }
                } }
            }
            @for plan in &document.plans { div { dt { (texts.plan) } dd { (plan_in_words(document, plan)) } } }
            div { dt { (texts.drawn_up) } dd { (moment(*at)) " UTC, " (texts.by) " " (actor) } }
        }
    }
}
