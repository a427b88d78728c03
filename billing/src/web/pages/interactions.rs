//! Interactions one by one: those behind a line of a bill, or all of a month. Masked.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::super::interactions::masked;
use super::super::texts::texts;
use super::invoice::tier_of;
use super::{View, layout};
use crate::bill::words::line_title;
use crate::rating::explain::meter_name;
use crate::rating::period::Period;
use crate::rating::rate::Line;
use crate::store::ExportedEvent;

/// What the page shows.
pub(in crate::web) struct InteractionsPage {
    /// Of the bill or note that was named, if one was.
    pub(in crate::web) number: Option<String>,
    pub(in crate::web) period: Period,
    pub(in crate::web) zone: TimeZone,
    /// The line that they are behind, and its place on the bill.
    pub(in crate::web) line: Option<(usize, Line)>,
    pub(in crate::web) events: Vec<ExportedEvent>,
    /// Where the next page begins.
    pub(in crate::web) next: Option<String>,
    pub(in crate::web) is_first: bool,
    /// Before when recorded ones are no longer kept, if any of them may have been among these.
    pub(in crate::web) dropped_before: Option<Timestamp>,
}

pub(in crate::web) fn interactions_page(view: &View, page: &InteractionsPage) -> Markup {
    let texts = texts(view.locale);
    let (of, back) = match &page.number {
        Some(number) => (format!("number={number}"), format!("/portal/invoices/{number}")),
        None => (
            format!("period={}", page.period),
            format!("/portal?period={}", page.period),
        ),
    };
    let address = match &page.line {
        Some((position, _)) => format!("/portal/interactions?{of}&line={position}"),
        None => format!("/portal/interactions?{of}"),
    };
    let content = html! {
        p.back { a href=(back) { "← " (page.number.as_deref().unwrap_or(texts.back)) } }
        div.page-head { h1 { (texts.interactions) " " span.muted { (page.period) } } }
        section.card {
            @if let Some((_, line)) = &page.line {
                h2 { (texts.interactions_of) " " (line_title(line, view.locale)) (tier_of(texts, line)) }
            }
            p.hint { (texts.masked_note) }
            @if let Some(before) = page.dropped_before {
                p.notice { (texts.events_dropped) " " (before.to_zoned(TimeZone::UTC).date()) " (UTC)" }
            }
            @if page.events.is_empty() {
                @if page.dropped_before.is_none() { p.notice { (texts.no_interactions) } }
            } @else {
                (table(view, page))
            }
            p.pager {
                @if !page.is_first { a href=(address) { (texts.first_page) } " " }
                @if let Some(next) = &page.next { a.next href={ (address) "&after=" (next) } rel="next" { (texts.more) " →" } }
            }
            p.hint { (texts.zone_note) " " (page.zone.iana_name().unwrap_or("UTC")) }
        }
    };
    layout(view, texts.interactions, &content)
}

fn table(view: &View, page: &InteractionsPage) -> Markup {
    let texts = texts(view.locale);
    html! {
        div.scroll tabindex="0" role="region" aria-label=(texts.interactions) {
            table {
                thead { tr {
                    th scope="col" { (texts.time) }
                    th scope="col" { (texts.conversation) }
                    th scope="col" { (texts.turn) }
                    th scope="col" { (texts.meter) }
                    th scope="col" { (texts.witnesses) }
                } }
                tbody {
                    @for event in &page.events { tr {
                        th scope="row" { (page.zone.to_datetime(event.time).strftime("%m-%d %H:%M:%S").to_string()) }
                        td { code { (masked(&event.conversation)) } }
                        td { code { (masked(&event.turn)) } }
                        td { (meter_name(&event.meter, view.locale)) }
                        td { (event.witnesses.join(", ")) }
                    } }
                }
            }
        }
    }
}
