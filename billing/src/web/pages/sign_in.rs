//! The form that asks for the token.

use maud::{Markup, html};

use super::super::texts::texts;
use super::{View, layout};

pub(in crate::web) fn sign_in_page(view: &View, was_wrong: bool) -> Markup {
    let texts = texts(view.locale);
    let content = html! {
        section.card.narrow {
            h1 { (texts.sign_in) }
            p.lead { (texts.sign_in_lead) }
            form.stacked method="post" action="/sign-in" {
                @if was_wrong { p.alert role="alert" #wrong { (texts.wrong_token) } }
                label for="token" { (texts.token) }
                input #token name="token" type="password" required autocomplete="off" spellcheck="false" maxlength="512"
                    aria-describedby=(if was_wrong { "wrong hint" } else { "hint" }) aria-invalid=(was_wrong);
                p.hint #hint { (texts.token_hint) }
                button type="submit" { (texts.sign_in) }
            }
        }
    };
    layout(view, texts.sign_in, &content)
}
