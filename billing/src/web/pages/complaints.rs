//! Bursts of complaints of a month, with examples. Masked.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use springtide_proto::rated::{Comment, Rating};

use super::super::interactions::masked;
use super::super::texts::texts;
use super::{View, layout, months};
use crate::rating::number::Exact;
use crate::rating::period::Period;
use crate::satisfaction::burst::expected;
use crate::store::ToldBurst;

/// What the page shows.
pub(in crate::web) struct ComplaintsPage {
    pub(in crate::web) period: Period,
    pub(in crate::web) zone: TimeZone,
    pub(in crate::web) is_current: bool,
    /// The newest first, each with examples.
    pub(in crate::web) bursts: Vec<(ToldBurst, Vec<Rating>)>,
}

pub(in crate::web) fn complaints_page(view: &View, page: &ComplaintsPage) -> Markup {
    let texts = texts(view.locale);
    let content = html! {
        p.back { a href={ "/portal/service?period=" (page.period) } { "← " (texts.tab_service) } }
        div.page-head {
            h1 { (texts.complaints) }
            (months(view, "/portal/complaints", page.period, page.is_current))
        }
        p.hint { (texts.complaints_lead) }
        @if page.bursts.is_empty() {
            section.card { p.notice { (texts.no_complaints) } }
        }
        @for (told, examples) in &page.bursts { (one_burst(view, page, told, examples)) }
        p.hint { (texts.zone_note) " " (page.zone.iana_name().unwrap_or("UTC")) }
    };
    layout(view, texts.complaints, &content)
}

fn local(page: &ComplaintsPage, at: Timestamp) -> String {
    page.zone.to_datetime(at).strftime("%m-%d %H:%M").to_string()
}

fn one_burst(view: &View, page: &ComplaintsPage, told: &ToldBurst, examples: &[Rating]) -> Markup {
    let texts = texts(view.locale);
    let ToldBurst {
        topic,
        burst,
        ended_at,
        ..
    } = told;
    html! {
        section.card {
            h2 {
                (texts.topic) ": "
                @if topic.answer_id.is_empty() { (texts.no_topic) } @else { code { (topic.answer_id) } }
                " " span.muted { (if ended_at.is_some() { texts.is_over } else { texts.goes_on }) }
            }
            ul.meters {
                li { span.name { (texts.from) } strong { (local(page, burst.first_at)) } }
                li { span.name { (texts.to) } strong { (local(page, burst.last_at)) } }
                li { span.name { (texts.complaints_count) } strong { (Exact::from_count(burst.complaints).grouped(0)) } }
                li { span.name { (texts.expected_count) } strong { (expected(burst.before).padded(2)) } }
            }
            @if examples.is_empty() {
                p.muted { (texts.no_examples) }
            } @else {
                (table(view, page, examples))
            }
        }
    }
}

fn table(view: &View, page: &ComplaintsPage, examples: &[Rating]) -> Markup {
    let texts = texts(view.locale);
    html! {
        div.scroll tabindex="0" role="region" aria-label=(texts.complaints) { table {
            thead { tr {
                th scope="col" { (texts.time) } th.number scope="col" { (texts.score) }
                th scope="col" { (texts.comment) } th scope="col" { (texts.conversation) }
            } }
            tbody { @for rating in examples { tr {
                th scope="row" { (local(page, rating.rated_at)) }
                td.number { (rating.score) }
                td.wrap { (rating.comment.as_ref().map_or("–", Comment::as_str)) }
                td { code { (masked(rating.conversation.as_str())) } }
            } } }
        } }
    }
}
