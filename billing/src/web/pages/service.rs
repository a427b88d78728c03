//! The service level of a month: its availability, a calendar whose days lead to what was bad, and what customers thought of it.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::super::texts::texts;
use super::satisfaction::satisfaction_card;
use super::{View, layout, months};
use crate::bill::calendar::{ServiceDay, ServiceMonth};
use crate::bill::words::{cause_in_words, percentage};
use crate::locale::Locale;
use crate::rating::number::Exact;
use crate::rating::period::Period;
use crate::rating::rate::{BadTime, Exclusion, ServiceOutcome};
use crate::satisfaction::sums::Satisfaction;

/// What the page shows.
pub(in crate::web) struct ServicePage {
    pub(in crate::web) period: Period,
    pub(in crate::web) zone: TimeZone,
    pub(in crate::web) is_current: bool,
    pub(in crate::web) outcome: Option<ServiceOutcome>,
    pub(in crate::web) month: Option<ServiceMonth>,
    /// The day whose bad times are shown; all if none.
    pub(in crate::web) day: Option<Date>,
    pub(in crate::web) today: Date,
    /// How customers rated it.
    pub(in crate::web) satisfaction: Satisfaction,
}

pub(in crate::web) fn service_page(view: &View, page: &ServicePage) -> Markup {
    let texts = texts(view.locale);
    let content = html! {
        div.page-head {
            h1 { (texts.tab_service) }
            (months(view, "/portal/service", page.period, page.is_current))
        }
        @match (&page.outcome, &page.month) {
            (Some(outcome), Some(month)) => {
                (figures(view, outcome, month))
                (calendar(view, page, month))
                (details(view, page, outcome, month))
            }
            _ => { section.card { p.notice { (texts.no_service) } } }
        }
        (satisfaction_card(view, page.period, &page.satisfaction))
    };
    layout(view, texts.tab_service, &content)
}

fn figures(view: &View, outcome: &ServiceOutcome, month: &ServiceMonth) -> Markup {
    let texts = texts(view.locale);
    let dash = || "–".to_owned();
    html! {
        section.card aria-labelledby="figures" {
            h2 #figures { (texts.availability) }
            @if let Some(slices) = &outcome.slices {
                p.sum { (percentage(slices.good, slices.counted).unwrap_or_else(dash)) " " small { "%" } }
                p.hint { (grouped(slices.good)) " " (texts.of_slices) " " (grouped(slices.counted)) " " (texts.slices) }
            }
            ul.meters {
                @if let Some(objective) = month.objective {
                    li { span.name { (texts.objective) } strong { (objective) " %" } }
                }
                li { span.name { (texts.requests) } strong { (grouped(outcome.good.saturating_add(outcome.bad))) } }
                li { span.name { (texts.bad_requests) } strong { (grouped(outcome.bad)) } }
                @if let Some(fast) = percentage(outcome.fast, outcome.fast.saturating_add(outcome.slow)) {
                    li { span.name { (texts.fast_answers) } strong { (fast) " %" } }
                }
            }
        }
    }
}

fn grouped(count: u64) -> String {
    Exact::from_count(count).grouped(0)
}

fn calendar(view: &View, page: &ServicePage, month: &ServiceMonth) -> Markup {
    let texts = texts(view.locale);
    let blanks = month
        .days
        .first()
        .map_or(0, |day| day.date.weekday().to_monday_zero_offset());
    let cells: Vec<Option<&ServiceDay>> = (0..blanks)
        .map(|_| None)
        .chain(month.days.iter().map(Some))
        .collect();
    let days: [&str; 7] = match view.locale {
        Locale::En => ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
        Locale::ZhCn => ["一", "二", "三", "四", "五", "六", "日"],
    };
    html! {
        section.card aria-labelledby="calendar" {
            h2 #calendar { (texts.calendar) }
            table.calendar {
                thead { tr { @for day in days { th scope="col" { (day) } } } }
                tbody {
                    @for week in cells.chunks(7) { tr {
                        @for cell in week {
                            @match cell {
                                Some(day) => (one_day(view, page, day, month.objective)),
                                None => { td.blank {} }
                            }
                        }
                    } }
                }
            }
            ul.key {
                li { span.swatch.good {} (texts.day_good) }
                li { span.swatch.bad {} (texts.day_bad) }
                li { span.swatch.none {} (texts.day_none) }
            }
        }
    }
}

/// How a day stands to the objective.
fn class_of(day: &ServiceDay, objective: Option<Exact>) -> &'static str {
    let promised = objective.unwrap_or(Exact::from_count(100));
    let good = Exact::from_count(day.counted - day.bad.min(day.counted));
    let is_met = good
        .times(Exact::from_count(100))
        .and_then(|good| good.compare(promised.times(Exact::from_count(day.counted))?));
    match is_met {
        _ if day.counted == 0 => "none",
        Ok(std::cmp::Ordering::Less) => "bad",
        _ => "good",
    }
}

fn one_day(view: &View, page: &ServicePage, day: &ServiceDay, objective: Option<Exact>) -> Markup {
    let texts = texts(view.locale);
    let class = class_of(day, objective);
    let words = match class {
        "good" => texts.day_good,
        "bad" => texts.day_bad,
        _ => texts.day_none,
    };
    let availability = percentage(day.counted - day.bad.min(day.counted), day.counted);
    let figure = availability.map_or_else(String::new, |percent| format!("{}%", short(&percent)));
    let leads = !day.bad_times.is_empty() || !day.exclusions.is_empty();
    let number = html! { span.day { (day.date.day()) } span.figure { (figure) } span.unseen { " " (words) } };
    html! {
        td class=(class) aria-current=[(day.date == page.today).then_some("date")] {
            @if leads {
                a href={ "/portal/service?period=" (page.period) "&day=" (day.date) "#bad" } { (number) }
            } @else {
                (number)
            }
        }
    }
}

/// "100" for "100.000", "99.65" for "99.652": as much as fits.
fn short(percent: &str) -> String {
    let cut: String = percent.chars().take(5).collect();
    if percent.starts_with("100") {
        "100".to_owned()
    } else {
        cut
    }
}

fn details(view: &View, page: &ServicePage, outcome: &ServiceOutcome, month: &ServiceMonth) -> Markup {
    let texts = texts(view.locale);
    let day = page
        .day
        .and_then(|day| month.days.iter().find(|known| known.date == day));
    let all_bad = || {
        outcome
            .slices
            .as_ref()
            .map(|slices| slices.bad.clone())
            .unwrap_or_default()
    };
    let (bad, exclusions) = match day {
        Some(day) => (day.bad_times.clone(), day.exclusions.clone()),
        None => (all_bad(), outcome.exclusions.clone()),
    };
    html! {
        section.card aria-labelledby="bad" {
            div.card-head {
                h2 #bad { (texts.bad_times) " " @if let Some(day) = day { span.muted { (day.date) } } }
                @if day.is_some() { a href={ "/portal/service?period=" (page.period) "#bad" } { (texts.all_days) } }
            }
            (bad_times(view, page, &bad))
            h2.apart { (texts.exclusions) }
            (excluded(view, page, &exclusions))
            p.hint { (texts.zone_note) " " (page.zone.iana_name().unwrap_or("UTC")) }
        }
    }
}

fn local(page: &ServicePage, at: Timestamp) -> String {
    page.zone.to_datetime(at).strftime("%m-%d %H:%M").to_string()
}

fn bad_times(view: &View, page: &ServicePage, bad: &[BadTime]) -> Markup {
    let texts = texts(view.locale);
    html! {
        @if bad.is_empty() { p.notice { (texts.no_bad_times) } } @else {
            div.scroll tabindex="0" role="region" aria-label=(texts.bad_times) { table {
                thead { tr {
                    th scope="col" { (texts.from) } th scope="col" { (texts.to) }
                    th scope="col" { (texts.cause) } th.number scope="col" { (texts.bad_requests) }
                } }
                tbody { @for time in bad { tr {
                    th scope="row" { (local(page, time.from)) }
                    td { (local(page, time.to)) }
                    td.wrap { (cause_in_words(time.cause, view.locale)) }
                    td.number { (grouped(time.bad_requests)) " / " (grouped(time.requests)) }
                } } }
            } }
        }
    }
}

fn excluded(view: &View, page: &ServicePage, exclusions: &[Exclusion]) -> Markup {
    let texts = texts(view.locale);
    html! {
        @if exclusions.is_empty() { p.muted { (texts.no_exclusions) } } @else {
            div.scroll tabindex="0" role="region" aria-label=(texts.exclusions) { table {
                thead { tr {
                    th scope="col" { (texts.from) } th scope="col" { (texts.to) }
                    th scope="col" { (texts.reason) } th scope="col" { (texts.approver) }
                } }
                tbody { @for exclusion in exclusions { tr {
                    th scope="row" { (local(page, exclusion.from)) }
                    td { (local(page, exclusion.to)) }
                    td.wrap { (exclusion.reason) }
                    td { (exclusion.approver) }
                } } }
            } }
        }
    }
}
