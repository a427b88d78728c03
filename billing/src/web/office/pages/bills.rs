//! A bill with what may become of it, and the disputes that wait.

use maud::{Markup, html};

use super::super::super::pages::invoice::lines;
use super::super::super::pages::{View, layout};
use super::super::texts::{Texts, texts};
use super::moment;
use crate::bill::document::Document;
use crate::bill::state::{InvoiceState, TaxStanding};
use crate::bill::words::{document_title, state_in_words, tax_in_words, tax_paper};
use crate::store::{Dispute, OpenDispute, StateRecord};

/// What the page shows.
pub(in crate::web::office) struct BillPage {
    pub(in crate::web::office) document: Document,
    pub(in crate::web::office) history: Vec<StateRecord>,
    pub(in crate::web::office) disputes: Vec<Dispute>,
    pub(in crate::web::office) tax: Option<TaxStanding>,
    pub(in crate::web::office) may_act: bool,
    pub(in crate::web::office) wrong: Option<Wrong>,
}

/// Why an answer was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web::office) enum Wrong {
    /// It lacks words.
    Reason,
    /// The bill is in another state.
    State,
}

pub(in crate::web::office) fn disputes_page(view: &View, open: &[OpenDispute]) -> Markup {
    let texts = texts(view.locale);
    let content = html! {
        div.page-head { h1 { (texts.tab_disputes) } }
        section.card {
            p.lead { (texts.disputes_lead) }
            p.hint { (texts.utc) }
            @if open.is_empty() { p.notice { (texts.no_disputes) } }
            ul.lines { @for OpenDispute { tenant, dispute } in open { (one_dispute(texts, Some(tenant), dispute)) } }
        }
    };
    layout(view, texts.tab_disputes, &content)
}

fn one_dispute(texts: &Texts, tenant: Option<&str>, dispute: &Dispute) -> Markup {
    let line = if dispute.line.is_empty() {
        texts.whole_bill
    } else {
        &dispute.line
    };
    let by = if dispute.opened_by.is_empty() {
        texts.account_token
    } else {
        &dispute.opened_by
    };
    html! {
        li {
            div.line-head {
                h3 {
                    @if let Some(tenant) = tenant { (tenant) " " a href={ "/office/bills/" (dispute.number) } { (dispute.number) } " " }
                    span.muted { (line) }
                }
                span.muted { (moment(dispute.opened_at)) }
            }
            p.said { (dispute.reason) }
            p.hint { (texts.by) " " (by) }
        }
    }
}

pub(in crate::web::office) fn bill_page(view: &View, page: &BillPage) -> Markup {
    let texts = texts(view.locale);
    let document = &page.document;
    let number = document.number.as_deref().unwrap_or_default();
    let state = page.history.last().map(|record| record.state);
    let content = html! {
        article.card.bill {
            header.bill-head {
                div {
                    p.eyebrow { (document_title(document, view.locale)) " · " (document.tenant) " · " (document.period) }
                    h1 { (number) }
                }
                p.sum { (document.amount_for_people(&document.total)) " " small { (document.currency) } }
            }
            dl.facts {
                @if let Some(state) = state { div { dt { (texts.state) } dd { (state_in_words(state, view.locale)) } } }
                @if let Some(corrects) = &document.corrects {
                    div { dt { (texts.bill) } dd { a href={ "/office/bills/" (corrects) } { (corrects) } } }
                }
                @if let Some(tax) = &page.tax { div { dt { (tax_paper(view.locale)) } dd { (tax_in_words(tax, view.locale)) } } }
            }
            (lines(view, document))
        }
        @if !page.disputes.is_empty() {
            section.card aria-labelledby="disputes" {
                h2 #disputes { (texts.tab_disputes) }
                ul.lines { @for dispute in &page.disputes { (one_dispute(texts, None, dispute)) } }
            }
        }
        (history(view, &page.history))
        @if page.may_act && let Some(state) = state { (answers(texts, page, number, state)) }
    };
    layout(view, number, &content)
}

fn history(view: &View, history: &[StateRecord]) -> Markup {
    let texts = texts(view.locale);
    html! {
        section.card aria-labelledby="history" {
            h2 #history { (texts.history) }
            p.hint { (texts.utc) }
            div.scroll tabindex="0" role="region" aria-label=(texts.history) { table {
                thead { tr {
                    th scope="col" { (texts.time) }
                    th scope="col" { (texts.state) }
                    th scope="col" { (texts.who) }
                    th scope="col" { (texts.words) }
                } }
                tbody { @for record in history { tr {
                    th scope="row" { (moment(record.at)) }
                    td { (state_in_words(record.state, view.locale)) }
                    td { (record.actor) }
                    td { (record.note) }
                } } }
            } }
        }
    }
}

/// What can be done of a bill in a state.
fn answers(texts: &Texts, page: &BillPage, number: &str, state: InvoiceState) -> Markup {
    let is_disputed = state == InvoiceState::Disputed;
    let is_note = page.document.corrects.is_some();
    let acts = [
        (is_disputed, "resolve", texts.resolve, texts.resolve_hint),
        (
            is_disputed || state == InvoiceState::Issued,
            "pay",
            texts.pay,
            texts.pay_hint,
        ),
        (
            state != InvoiceState::Credited && !is_note,
            "credit",
            texts.credit,
            texts.credit_hint,
        ),
    ];
    let possible: Vec<_> = acts.into_iter().filter(|(is_legal, ..)| *is_legal).collect();
    html! {
        @if !possible.is_empty() || page.wrong.is_some() {
            section.card aria-labelledby="answer" {
                h2 #answer { (texts.answer) }
                @match page.wrong {
                    Some(Wrong::Reason) => { p.alert role="alert" { (texts.reason_wrong) } }
                    Some(Wrong::State) => { p.alert role="alert" { (texts.act_refused) } }
                    None => {}
                }
                form.stacked method="post" {
                    label for="reason" { (texts.answer_reason) }
                    textarea #reason name="reason" rows="3" maxlength="500" required {}
                    @for (_, act, words, hint) in possible {
                        div {
                            button type="submit" formaction={ "/office/bills/" (number) "/" (act) } { (words) }
                            p.hint { (hint) }
                        }
                    }
                }
            }
        }
    }
}
