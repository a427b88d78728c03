//! Pages: from what was read to HTML. No database, no clock.

pub(super) mod access;
pub(super) mod budget;
pub(super) mod complaints;
pub(super) mod disputes;
pub(super) mod erase;
pub(super) mod interactions;
pub(super) mod invoice;
pub(super) mod overview;
mod satisfaction;
pub(super) mod savings;
pub(super) mod service;
pub(super) mod sign_in;

use maud::{DOCTYPE, Markup, html};

use super::office::texts::texts as office_texts;
use super::texts::texts;
use crate::locale::Locale;
use crate::rating::period::Period;

/// Who looks, in which language, and at which address.
pub(in crate::web) struct View {
    pub(in crate::web) side: Side,
    pub(in crate::web) locale: Locale,
    /// The page's address, with what it shows; "" is the address it was asked by.
    pub(in crate::web) address: String,
    /// Who is signed in.
    pub(in crate::web) who: Option<String>,
    /// Which of the menu's pages it is.
    pub(in crate::web) tab: Option<Tab>,
    /// May see what only administrators see.
    pub(in crate::web) is_admin: bool,
    /// Has a part that refreshes.
    pub(in crate::web) is_live: bool,
}

/// Whose pages they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Side {
    /// A client firm's.
    Firm,
    /// The provider's own people's.
    Office,
}

impl Side {
    /// Whose page is at an address.
    pub(in crate::web) fn of(path: &str) -> Self {
        if path.starts_with("/office") {
            Self::Office
        } else {
            Self::Firm
        }
    }

    fn home(self) -> &'static str {
        match self {
            Self::Firm => "/portal",
            Self::Office => "/office",
        }
    }

    fn sign_out(self) -> &'static str {
        match self {
            Self::Firm => "/sign-out",
            Self::Office => "/office/sign-out",
        }
    }

    fn product(self, locale: Locale) -> &'static str {
        match self {
            Self::Firm => texts(locale).product,
            Self::Office => office_texts(locale).product,
        }
    }

    /// The menu.
    fn tabs(self) -> &'static [Tab] {
        match self {
            Self::Firm => &[
                Tab::Overview,
                Tab::Service,
                Tab::Savings,
                Tab::Budget,
                Tab::Disputes,
                Tab::Access,
            ],
            Self::Office => &[
                Tab::OfficeMonth,
                Tab::OfficeReviews,
                Tab::OfficeDisputes,
                Tab::OfficePlans,
                Tab::OfficeAudit,
            ],
        }
    }
}

/// A page of the menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Tab {
    Overview,
    Service,
    Savings,
    Budget,
    Disputes,
    Access,
    OfficeMonth,
    OfficeReviews,
    OfficeDisputes,
    OfficePlans,
    OfficeAudit,
}

impl Tab {
    fn link(self, locale: Locale) -> (&'static str, &'static str) {
        let (firm, office) = (texts(locale), office_texts(locale));
        match self {
            Self::Overview => ("/portal", firm.tab_overview),
            Self::Service => ("/portal/service", firm.tab_service),
            Self::Savings => ("/portal/savings", firm.tab_savings),
            Self::Budget => ("/portal/budget", firm.tab_budget),
            Self::Disputes => ("/portal/disputes", firm.tab_disputes),
            Self::Access => ("/portal/access", firm.tab_access),
            Self::OfficeMonth => ("/office", office.tab_month),
            Self::OfficeReviews => ("/office/reviews", office.tab_reviews),
            Self::OfficeDisputes => ("/office/disputes", office.tab_disputes),
            Self::OfficePlans => ("/office/plans", office.tab_plans),
            Self::OfficeAudit => ("/office/audit", office.tab_audit),
        }
    }
}

/// The frame of every page.
pub(in crate::web) fn layout(view: &View, title: &str, content: &Markup) -> Markup {
    let texts = texts(view.locale);
    let (side, product) = (view.side, view.side.product(view.locale));
    html! {
        (DOCTYPE)
        html lang=(view.locale.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/assets/style.css";
                @if view.is_live { script src="/assets/live.js" defer {} }
                title { (title) " · " (product) }
            }
            body {
                a.skip href="#content" { (texts.skip) }
                header.top {
                    a.brand href=(side.home()) { (wave()) span { (product) } }
                    div.tools {
                        (languages(view))
                        @if let Some(who) = &view.who {
                            span.who { (who) }
                            form method="post" action=(side.sign_out()) { button.quiet type="submit" { (texts.sign_out) } }
                        }
                    }
                }
                @if view.who.is_some() { (menu(view)) }
                main #content { (content) }
            }
        }
    }
}

fn menu(view: &View) -> Markup {
    let texts = texts(view.locale);
    html! {
        nav.menu aria-label=(texts.menu) {
            ul {
                @for tab in view.side.tabs().iter().filter(|tab| view.is_admin || **tab != Tab::Access) {
                    @let (address, name) = tab.link(view.locale);
                    li { a href=(address) aria-current=[(view.tab == Some(*tab)).then_some("page")] { (name) } }
                }
            }
        }
    }
}

/// Month before, month, month after; none after the one that runs.
pub(in crate::web) fn months(view: &View, path: &str, period: Period, is_current: bool) -> Markup {
    let texts = texts(view.locale);
    html! {
        nav.months aria-label=(texts.period) {
            @if let Ok(previous) = period.previous() {
                a href={ (path) "?period=" (previous) } aria-label=(texts.previous) { "‹" }
            }
            strong { (period) }
            @if let Ok(next) = period.next() && !is_current {
                a href={ (path) "?period=" (next) } aria-label=(texts.next) { "›" }
            }
        }
    }
}

/// What can be taken away of a month.
/// `of`: what the files are of, as `period=2026-11` or `number=SPT-2026-000001`.
fn downloads(view: &View, of: &str) -> Markup {
    let texts = texts(view.locale);
    let files = [
        ("usage.csv", texts.download_usage),
        ("minutes.csv", texts.download_minutes),
        ("exclusions.csv", texts.download_exclusions),
        ("interactions.jsonl", texts.download_interactions),
        ("focus.csv", texts.download_focus),
        ("plan.json", texts.download_plan),
        ("bill.json", texts.download_bill),
    ];
    html! {
        ul.downloads {
            @for (file, name) in files {
                li { a href={ "/portal/exports/" (file) "?" (of) } download { (name) } }
            }
        }
    }
}

fn wave() -> Markup {
    html! {
        svg.mark viewBox="0 0 32 32" aria-hidden="true" {
            path d="M2 20c4 0 4-6 9-6s5 6 9 6 4-6 10-6v14H2z" {}
            path.crest d="M2 13c4 0 4-6 9-6s5 6 9 6 4-6 10-6" {}
        }
    }
}

fn languages(view: &View) -> Markup {
    html! {
        nav.languages aria-label="Language / 语言" {
            @for (locale, name) in [(Locale::ZhCn, "中文"), (Locale::En, "English")] {
                @if locale == view.locale {
                    span aria-current="true" lang=(locale.tag()) { (name) }
                } @else {
                    a href={ (view.address) (if view.address.contains('?') { "&" } else { "?" }) "lang=" (locale.tag()) } lang=(locale.tag()) hreflang=(locale.tag()) { (name) }
                }
            }
        }
    }
}

/// A page that says one thing.
pub(in crate::web) fn message_page(view: &View, words: &str) -> Markup {
    let texts = texts(view.locale);
    let content = html! {
        section.card.narrow {
            h1 { (words) }
            p { a href=(view.side.home()) { (texts.back) } }
        }
    };
    layout(view, words, &content)
}
