//! What a client firm objects to.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::super::texts::texts;
use super::{View, layout};
use crate::store::Dispute;

pub(in crate::web) fn disputes_page(view: &View, zone: &TimeZone, disputes: &[Dispute]) -> Markup {
    let texts = texts(view.locale);
    let content = html! {
        div.page-head { h1 { (texts.tab_disputes) } }
        section.card {
            p.lead { (texts.disputes_lead) }
            @if disputes.is_empty() {
                p.notice { (texts.no_disputes) }
            } @else {
                (dispute_list(view, zone, disputes))
            }
        }
    };
    layout(view, texts.tab_disputes, &content)
}

pub(super) fn dispute_list(view: &View, zone: &TimeZone, disputes: &[Dispute]) -> Markup {
    let texts = texts(view.locale);
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
            } }
        }
    }
}
