//! Pages of the back office: from what was read to HTML. No database, no clock.

pub(super) mod bills;
pub(super) mod month;
pub(super) mod plans;
pub(super) mod reviews;

use jiff::Timestamp;
use maud::{Markup, html};

use super::super::pages::{View, layout};
use super::super::texts::texts as shared_texts;
use super::texts::texts;
use crate::bill::correction::Difference;
use crate::bill::document::Document;

pub(super) fn sign_in_page(view: &View, was_wrong: bool) -> Markup {
    let (shared, texts) = (shared_texts(view.locale), texts(view.locale));
    let content = html! {
        section.card.narrow {
            h1 { (shared.sign_in) }
            p.lead { (texts.sign_in_lead) }
            form.stacked method="post" action="/office/sign-in" {
                @if was_wrong { p.alert role="alert" #wrong { (texts.wrong_token) } }
                label for="token" { (shared.token) }
                input #token name="token" type="password" required autocomplete="off" spellcheck="false" maxlength="512"
                    aria-describedby=(if was_wrong { "wrong hint" } else { "hint" }) aria-invalid=(was_wrong);
                p.hint #hint { (texts.token_hint) }
                button type="submit" { (shared.sign_in) }
            }
        }
    };
    layout(view, shared.sign_in, &content)
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// What differs between two states of a bill, line by line.
fn changes(view: &View, document: &Document, differences: &[Difference]) -> Markup {
    let texts = texts(view.locale);
    html! {
        @if differences.is_empty() {
            p.notice { (texts.same_lines) }
        } @else {
            div.scroll tabindex="0" role="region" aria-label=(texts.line) { table {
                thead { tr {
                    th scope="col" { (texts.line) }
                    th.figures scope="col" { (texts.was) }
                    th.figures scope="col" { (texts.now) }
                } }
                tbody { @for change in differences { tr {
                    th scope="row" { (change.name) }
                    td.figures { (document.amount_for_people(&change.before)) }
                    td.figures { (if change.after == "-" { change.after.clone() } else { document.amount_for_people(&change.after) }) }
                } } }
            } }
        }
    }
}
