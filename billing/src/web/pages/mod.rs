//! Pages: from what was read to HTML. No database, no clock.

pub(super) mod invoice;
pub(super) mod overview;
pub(super) mod sign_in;

use maud::{DOCTYPE, Markup, html};

use super::texts::texts;
use crate::locale::Locale;

/// Who looks, in which language, and at which address.
pub(in crate::web) struct View {
    pub(in crate::web) locale: Locale,
    /// The page's address, with what it shows; "" is the address it was asked by.
    pub(in crate::web) address: String,
}

/// The frame of every page. `who`: who is signed in.
fn layout(view: &View, title: &str, who: Option<&str>, content: &Markup) -> Markup {
    let texts = texts(view.locale);
    html! {
        (DOCTYPE)
        html lang=(view.locale.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/assets/style.css";
                title { (title) " · " (texts.product) }
            }
            body {
                a.skip href="#content" { (title) }
                header.top {
                    a.brand href="/portal" { (wave()) span { (texts.product) } }
                    div.tools {
                        (languages(view))
                        @if let Some(who) = who {
                            span.who { (who) }
                            form method="post" action="/sign-out" { button.quiet type="submit" { (texts.sign_out) } }
                        }
                    }
                }
                main #content { (content) }
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
            p { a href="/portal" { (texts.back) } }
        }
    };
    layout(view, words, None, &content)
}
