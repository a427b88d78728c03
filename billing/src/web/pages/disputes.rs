//! What a client firm objects to.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::super::texts::{Texts, texts};
use super::{View, layout};
use crate::bill::state::{Outcome, outcome_of};
use crate::store::{Dispute, StatesByNumber};

/// Disputes, with the states of their bills.
pub(in crate::web) struct Disputes {
    pub(in crate::web) disputes: Vec<Dispute>,
    pub(in crate::web) states: StatesByNumber,
}

pub(in crate::web) fn disputes_page(view: &View, zone: &TimeZone, disputes: &Disputes) -> Markup {
    let texts = texts(view.locale);
    let content = html! {
        div.page-head { h1 { (texts.tab_disputes) } }
        section.card {
            p.lead { (texts.disputes_lead) }
            @if disputes.disputes.is_empty() {
                p.notice { (texts.no_disputes) }
            } @else {
                (dispute_list(view, zone, disputes))
            }
        }
    };
    layout(view, texts.tab_disputes, &content)
}

pub(super) fn dispute_list(view: &View, zone: &TimeZone, disputes: &Disputes) -> Markup {
    let texts = texts(view.locale);
    let Disputes { disputes, states } = disputes;
    let history = |dispute: &Dispute| states.get(&dispute.number).map_or(&[][..], Vec::as_slice);
    html! {
        ul.lines {
            @for dispute in disputes { li {
                div.line-head {
                    h3 {
                        a href={ "/portal/invoices/" (dispute.number) } { (dispute.number) } " "
                        span.muted { (if dispute.line.is_empty() { texts.dispute_whole } else { &dispute.line }) }
                    }
                    span.muted { (texts.dispute_opened) " " (zone.to_datetime(dispute.opened_at).strftime("%Y-%m-%d %H:%M").to_string()) }
                }
                p.said { (dispute.reason) }
                p.hint { (texts.dispute_by) " " (if dispute.opened_by.is_empty() { texts.account_token } else { &dispute.opened_by }) }
                (outcome(texts, zone, outcome_of(dispute.opened_at, history(dispute))))
            } }
        }
    }
}

/// What came of it, with the provider's words.
fn outcome(texts: &Texts, zone: &TimeZone, outcome: Outcome<'_>) -> Markup {
    let (said, ended) = match outcome {
        Outcome::Open => (texts.dispute_is_open, None),
        Outcome::Stands(ended) => (texts.dispute_stands, Some(ended)),
        Outcome::Paid(ended) => (texts.dispute_paid, Some(ended)),
        Outcome::TakenBack(ended) => (texts.dispute_taken_back, Some(ended)),
    };
    html! {
        p.outcome {
            strong { (said) }
            @if let Some(ended) = ended {
                " " span.muted { (zone.to_datetime(ended.at).date()) }
                @if !ended.note.is_empty() { " " (ended.note) }
            }
        }
    }
}
