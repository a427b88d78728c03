//! The overview: money so far, usage, bills.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use springtide_proto::ended::METER_CONVERSATIONS;
use springtide_proto::rated::METER_RATINGS;

use super::super::chart::{Bar, PART_CLASSES, chart};
use super::super::texts::texts;
use super::invoice::{lines, tier_of};
use super::{View, downloads, layout, months};
use crate::bill::document::{Document, State};
use crate::bill::forecast::{Basis, Forecast};
use crate::bill::state::InvoiceState;
use crate::bill::summary::{MeterSum, Slot};
use crate::bill::words::{document_title, line_title, state_in_words};
use crate::export::rate_command;
use crate::rating::explain::{meter_name, value_name};
use crate::rating::number::Exact;
use crate::rating::period::Period;
use crate::store::Account;

/// What the overview shows.
pub(in crate::web) struct OverviewPage {
    pub(in crate::web) account: Account,
    pub(in crate::web) zone: TimeZone,
    pub(in crate::web) period: Period,
    /// The period runs now.
    pub(in crate::web) is_current: bool,
    /// Until when the service is looked at, where that is before the end of the period.
    pub(in crate::web) as_of: Option<Timestamp>,
    /// The bill; `Err` if there is none: `true` if there is a plan all the same.
    pub(in crate::web) document: Result<Document, bool>,
    pub(in crate::web) meters: Vec<MeterSum>,
    /// The day whose hours are shown; all days if none.
    pub(in crate::web) day: Option<Date>,
    pub(in crate::web) slots: Vec<Slot>,
    /// What is expected on top of them.
    pub(in crate::web) expected: Vec<Slot>,
    /// Of the month that runs.
    pub(in crate::web) forecast: Option<Forecast>,
    pub(in crate::web) bills: Vec<(Document, InvoiceState)>,
}

pub(in crate::web) fn overview_page(view: &View, page: &OverviewPage) -> Markup {
    let name = &page.account.details.display_name;
    let content = html! {
        div.page-head {
            h1 { (name) }
            (months(view, "/portal", page.period, page.is_current))
        }
        div.columns #live {
            div.stack {
                (money(view, page))
                (forecast(view, page))
            }
            div.stack {
                (usage(view, page))
                (bills(view, page))
                (exports(view, page))
            }
        }
    };
    layout(view, name, &content)
}

fn money(view: &View, page: &OverviewPage) -> Markup {
    let texts = texts(view.locale);
    html! {
        section.card.money-card aria-labelledby="money" {
            @match &page.document {
                Ok(document) => {
                    @let is_issued = document.state == State::Issued;
                    h2 #money { (if is_issued { texts.billed_amount } else { texts.money_so_far }) }
                    p.sum { (document.amount_for_people(&document.total)) " " small { (document.currency) } }
                    p.hint {
                        (if is_issued { texts.issued_note } else { texts.draft_note }) " "
                        @if let Some(number) = &document.number { a href={ "/portal/invoices/" (number) } { (number) } }
                    }
                    (line_sums(view, document))
                    details {
                        summary { (texts.lines) }
                        (lines(view, document))
                    }
                }
                Err(has_plan) => {
                    h2 #money { (texts.money_so_far) }
                    p.notice { (if *has_plan { texts.not_rated } else { texts.no_plan }) }
                }
            }
        }
    }
}

fn forecast(view: &View, page: &OverviewPage) -> Markup {
    let texts = texts(view.locale);
    html! {
        @if let (Some(forecast), Ok(document)) = (&page.forecast, &page.document) {
            section.card aria-labelledby="forecast" {
                h2 #forecast { (texts.forecast) }
                p.sum { (document.amount_for_people(&forecast.total)) " " small { (forecast.currency) } }
                ul.meters {
                    @for (meter, quantity) in &forecast.quantities {
                        li { span.name { (meter_name(meter, view.locale)) } strong { (whole(*quantity)) } }
                    }
                }
                p.hint {
                    (match forecast.basis { Basis::Weeks(_) => texts.forecast_weeks, Basis::MonthSoFar => texts.forecast_average })
                }
            }
        }
    }
}

/// A quantity that is only expected has no digits after the point.
fn whole(quantity: Exact) -> String {
    quantity
        .rounded(0)
        .map_or_else(|_| quantity.grouped(0), |whole| Exact::new(whole, 0).grouped(0))
}

fn exports(view: &View, page: &OverviewPage) -> Markup {
    let texts = texts(view.locale);
    html! {
        section.card aria-labelledby="downloads" {
            h2 #downloads { (texts.downloads) " " span.muted { (page.period) } }
            (downloads(view, &format!("period={}", page.period)))
            p.hint { (texts.reproduce) }
            pre.command { (rate_command(&page.account, page.period, &page.zone, page.as_of)) }
        }
    }
}

/// The lines in short: what is charged, and the sum.
fn line_sums(view: &View, document: &Document) -> Markup {
    let texts = texts(view.locale);
    html! {
        ul.sums {
            @for entry in &document.lines {
                @let line = &entry.line;
                li {
                    span {
                        (line_title(line, view.locale)) (tier_of(texts, line))
                        @if let Some(words) = document.explain(entry, view.locale) { span.under { (words.arithmetic) } }
                    }
                    span.money { (document.amount_for_people(&line.amount)) }
                }
            }
        }
    }
}

fn usage(view: &View, page: &OverviewPage) -> Markup {
    let texts = texts(view.locale);
    let scale = if page.day.is_some() {
        texts.by_hour
    } else {
        texts.by_day
    };
    html! {
        section.card aria-labelledby="usage" {
            div.card-head {
                h2 #usage {
                    (texts.usage) " " span.muted { @if let Some(day) = page.day { (day) ", " } (scale) }
                }
                @if page.day.is_some() { a href={ "/portal?period=" (page.period) "#usage" } { (texts.back_to_days) } }
            }
            @if page.meters.is_empty() {
                p.notice { (texts.no_usage) }
            } @else {
                (meters(view, page))
                (figure(view, page))
                p.hint {
                    (texts.zone_note) " " (page.zone.iana_name().unwrap_or("UTC")) ". "
                    @if view.is_live { (texts.live_note) " " }
                    a href={ "/portal/interactions?period=" (page.period) } { (texts.see_interactions) }
                }
            }
        }
    }
}

/// Meters that are no bar of their own: they are of what the others count.
const NO_BARS: [&str; 2] = [METER_CONVERSATIONS, METER_RATINGS];

/// Meters in the order of their bars: the first ones have a colour of their own. Conversations consist of what the others count,
/// and ratings are of conversations.
fn shown_meters(page: &OverviewPage) -> Vec<String> {
    let first = ["interactions", "unanswered"].map(str::to_owned);
    let last = NO_BARS.map(str::to_owned);
    let there: BTreeSet<_> = page.meters.iter().map(|sum| sum.meter.clone()).collect();
    let others = there
        .iter()
        .filter(|meter| !first.contains(*meter) && !last.contains(*meter));
    let order = first.iter().chain(others).chain(&last);
    order.filter(|meter| there.contains(*meter)).cloned().collect()
}

/// The class of a meter's part of the bars.
fn class_of(position: usize, meter: &str) -> Option<&'static str> {
    let class = PART_CLASSES.get(position).copied();
    class.filter(|_| !NO_BARS.contains(&meter))
}

fn meters(view: &View, page: &OverviewPage) -> Markup {
    let texts = texts(view.locale);
    html! {
        ul.meters {
            @for (position, meter) in shown_meters(page).iter().enumerate() {
                @for sum in page.meters.iter().filter(|sum| sum.meter == *meter) {
                    li {
                        span.name {
                            @if let Some(class) = class_of(position, meter) { span class={ "swatch " (class) } {} }
                            (meter_name(meter, view.locale))
                        }
                        strong { (sum.quantity.grouped(0)) }
                        @for (outcome, quantity) in &sum.outcomes {
                            span.muted { (value_name("outcome", outcome, view.locale)) " " (quantity.grouped(0)) }
                        }
                        @if !sum.late.is_zero() { span.late { (sum.late.grouped(0)) " " (texts.late) } }
                    }
                }
            }
            @if !page.expected.iter().all(|slot| slot.quantities.is_empty()) {
                li.legend { span.name { span.swatch.expected {} (texts.expected) } }
            }
        }
    }
}

fn figure(view: &View, page: &OverviewPage) -> Markup {
    let texts = texts(view.locale);
    let meters = shown_meters(page);
    let drawn = (0..)
        .zip(&meters)
        .filter(|(position, meter)| class_of(*position, meter).is_some());
    let drawn: Vec<_> = drawn.map(|(_, meter)| meter).collect();
    let quantity = |slot: &Slot, meter: &str| slot.quantities.get(meter).copied().unwrap_or(Exact::ZERO);
    let expected_of = |slot: &Slot| {
        let expected = page.expected.iter().find(|expected| expected.start == slot.start);
        let parts = drawn
            .iter()
            .map(|meter| expected.map_or(Exact::ZERO, |slot| quantity(slot, meter)));
        parts.fold(Exact::ZERO, |sum, part| sum.plus(part).unwrap_or(sum))
    };
    let bar = |slot: &Slot| {
        let expected = expected_of(slot);
        let label = slot_label(page, slot);
        let mut figures: Vec<_> = drawn
            .iter()
            .map(|meter| {
                format!(
                    "{} {}",
                    quantity(slot, meter).grouped(0),
                    meter_name(meter, view.locale)
                )
            })
            .collect();
        if !expected.is_zero() {
            figures.push(format!("{} {}", whole(expected), texts.expected));
        }
        let link = page
            .day
            .is_none()
            .then(|| format!("/portal?period={}&day={label}#usage", page.period));
        let parts = drawn.iter().map(|meter| quantity(slot, meter)).collect();
        Bar {
            label: format!("{label}: {}", figures.join(", ")),
            parts,
            expected,
            link,
        }
    };
    let bars: Vec<_> = page.slots.iter().map(bar).collect();
    let sum_of = |slot: &Slot| {
        drawn
            .iter()
            .try_fold(Exact::ZERO, |sum, meter| sum.plus(quantity(slot, meter)))
            .and_then(|sum| sum.plus(expected_of(slot)))
            .and_then(|sum| sum.rounded(0))
            .unwrap_or(0)
    };
    let most = page.slots.iter().map(sum_of).max().unwrap_or(0);
    let ends = [
        page.slots.first(),
        page.slots.get(page.slots.len() / 2),
        page.slots.last(),
    ];
    html! {
        figure {
            p.scale { (texts.most) " " (Exact::new(most, 0).grouped(0)) }
            (chart(&format!("{} {}", texts.usage, if page.day.is_some() { texts.by_hour } else { texts.by_day }), &bars))
            div.axis aria-hidden="true" {
                @for slot in ends.into_iter().flatten() { span { (short_label(page, slot)) } }
            }
        }
        details {
            summary { (texts.as_table) }
            div.scroll {
                table {
                    thead { tr {
                        th scope="col" { (texts.time) }
                        @for meter in &meters { th.number scope="col" { (meter_name(meter, view.locale)) } }
                    } }
                    tbody {
                        @for slot in page.slots.iter().filter(|slot| !slot.quantities.is_empty()) { tr {
                            th scope="row" { (slot_label(page, slot)) }
                            @for meter in &meters { td.number { (quantity(slot, meter).grouped(0)) } }
                        } }
                    }
                }
            }
        }
    }
}

/// "2026-11-11", or "14:00" of a day.
fn slot_label(page: &OverviewPage, slot: &Slot) -> String {
    let local = page.zone.to_datetime(slot.start);
    if page.day.is_some() {
        format!("{:02}:{:02}", local.hour(), local.minute())
    } else {
        local.date().to_string()
    }
}

fn short_label(page: &OverviewPage, slot: &Slot) -> String {
    let label = slot_label(page, slot);
    // Of a date the year is said above.
    if page.day.is_some() {
        label
    } else {
        label.chars().skip(5).collect()
    }
}

fn bills(view: &View, page: &OverviewPage) -> Markup {
    let texts = texts(view.locale);
    html! {
        section.card aria-labelledby="bills" {
            h2 #bills { (texts.bills) }
            @if page.bills.is_empty() {
                p.notice { (texts.no_bills) }
            } @else {
                div.scroll {
                    table {
                        thead { tr {
                            th scope="col" { (texts.period) }
                            th scope="col" { (texts.number) }
                            th.number scope="col" { (texts.amount) }
                        } }
                        tbody {
                            @for (bill, state) in &page.bills { tr {
                                th scope="row" { (bill.period) }
                                td {
                                    a href={ "/portal/invoices/" (bill.number.as_deref().unwrap_or_default()) } {
                                        (bill.number.as_deref().unwrap_or_default())
                                    }
                                    span.under { (document_title(bill, view.locale)) ", " (state_in_words(*state, view.locale)) }
                                    @if let Some(due) = bill.due_on { span.under { (texts.due) " " (due) } }
                                }
                                td.number { (bill.amount_for_people(&bill.total)) " " (bill.currency) }
                            } }
                        }
                    }
                }
            }
        }
    }
}
