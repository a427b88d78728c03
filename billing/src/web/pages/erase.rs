//! Erasing a customer: what there is, and what was done.

use maud::{Markup, html};

use super::super::texts::{Texts, texts};
use super::{View, layout};
use crate::store::Erased;

/// What the page shows.
pub(in crate::web) struct ErasePage {
    /// As it was typed.
    pub(in crate::web) text: String,
    /// `None`: it was not understood.
    pub(in crate::web) found: Option<Erased>,
    /// It was erased, and not only looked for.
    pub(in crate::web) is_done: bool,
}

pub(in crate::web) fn erase_page(view: &View, page: &ErasePage) -> Markup {
    let texts = texts(view.locale);
    let content = html! {
        div.page-head { h1 { (texts.erase) } }
        @match &page.found {
            None => (erase_form(texts, &page.text, true)),
            Some(found) => section.card role="status" {
                p { (if page.is_done { texts.erased } else { texts.erase_found }) }
                (figures(texts, found))
                @if !page.is_done {
                    form.stacked.short method="post" action="/portal/access/erase" {
                        input type="hidden" name="conversations" value=(page.text);
                        input type="hidden" name="confirm" value="yes";
                        button type="submit" { (texts.erase_confirm) }
                    }
                }
            }
        }
        p { a href="/portal/access" { (texts.tab_access) } }
    };
    layout(view, texts.erase, &content)
}

/// The form that looks for what there is.
pub(super) fn erase_form(texts: &Texts, text: &str, is_wrong: bool) -> Markup {
    html! {
        section.card aria-labelledby="erase" {
            h2 #erase { (texts.erase) }
            p.hint { (texts.erase_lead) }
            form.stacked.short method="post" action="/portal/access/erase" {
                @if is_wrong { p.alert role="alert" { (texts.erase_wrong) } }
                label for="conversations" { (texts.erase_conversations) }
                textarea #conversations name="conversations" rows="3" required autocomplete="off" { (text) }
                button.quiet type="submit" { (texts.erase_look) }
            }
        }
    }
}

fn figures(texts: &Texts, found: &Erased) -> Markup {
    let Erased {
        events,
        rivals,
        rejections,
        disputes,
        exclusions,
        messages,
        kept,
    } = found;
    html! {
        ul {
            li { (texts.interactions) ": " (events) }
            li { (texts.erase_others) ": " (rivals + rejections) }
            li { (texts.tab_disputes) ": " (disputes) }
            li { (texts.erase_exclusions) ": " (exclusions) }
            li { (texts.erase_messages) ": " (messages) }
        }
        @if !kept.is_empty() {
            p { (texts.erase_kept) }
            ul { @for text in kept { li { (text.of) ", " (text.place) } } }
        }
    }
}
