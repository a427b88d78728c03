//! The form that asks for the token, the way to a firm's own provider, and what came of that.

use maud::{Markup, html};

use super::super::texts::{Texts, texts};
use super::{View, layout};

/// What is known of who wants to sign in.
#[derive(Default)]
pub(in crate::web) struct SignInPage<'a> {
    /// The token was none.
    pub(in crate::web) was_wrong: bool,
    /// Some firm signs in at a provider of its own.
    pub(in crate::web) has_providers: bool,
    /// The firm that was named; empty if none was.
    pub(in crate::web) firm: &'a str,
    /// That firm's providers, as entry and label. Empty for a firm that has none and for one that nobody knows.
    pub(in crate::web) providers: Vec<(&'a str, &'a str)>,
}

pub(in crate::web) fn sign_in_page(view: &View, page: &SignInPage) -> Markup {
    let texts = texts(view.locale);
    let content = html! {
        section.card.narrow {
            h1 { (texts.sign_in) }
            p.lead { (texts.sign_in_lead) }
            @if page.providers.is_empty() {
                (token_form(texts, page.was_wrong))
                @if page.has_providers { (firm_form(texts, page.firm)) }
            } @else {
                @for (name, label) in &page.providers {
                    p { a.button href={ "/sign-in/openid-connect/" (name) } { (texts.sign_in_with) " " (label) } }
                }
                h2 { (texts.or_token) }
                (token_form(texts, page.was_wrong))
            }
        }
    };
    layout(view, texts.sign_in, &content)
}

fn token_form(texts: &Texts, was_wrong: bool) -> Markup {
    html! {
        form.stacked method="post" action="/sign-in" {
            @if was_wrong { p.alert role="alert" #wrong { (texts.wrong_token) } }
            label for="token" { (texts.token) }
            input #token name="token" type="password" required autocomplete="off" spellcheck="false" maxlength="512"
                aria-describedby=(if was_wrong { "wrong hint" } else { "hint" }) aria-invalid=(was_wrong);
            p.hint #hint { (texts.token_hint) }
            button type="submit" { (texts.sign_in) }
        }
    }
}

fn firm_form(texts: &Texts, firm: &str) -> Markup {
    html! {
        h2 { (texts.or_firm) }
        form.stacked method="get" action="/sign-in" {
            @if !firm.is_empty() { p.notice role="status" #none { (texts.no_provider) } }
            label for="tenant" { (texts.firm) }
            input #tenant name="tenant" type="text" required autocomplete="organization" autocapitalize="none" spellcheck="false"
                maxlength="63" value=(firm) aria-describedby=(if firm.is_empty() { "firm-hint" } else { "none firm-hint" });
            p.hint #firm-hint { (texts.firm_hint) }
            button.quiet type="submit" { (texts.go_on) }
        }
    }
}

/// Leads on by itself, and by a link where it does not.
pub(in crate::web) fn signed_in_page(view: &View) -> Markup {
    let texts = texts(view.locale);
    let content = html! {
        section.card.narrow {
            h1 { (texts.signed_in) }
            p { a href="/portal" { (texts.go_on) } }
        }
    };
    layout(view, texts.signed_in, &content)
}

/// Says why nobody was signed in, and leads to where one begins again.
pub(in crate::web) fn refused_page(view: &View, words: &str, tenant: &str) -> Markup {
    let texts = texts(view.locale);
    let content = html! {
        section.card.narrow {
            h1 { (texts.not_signed_in) }
            p role="alert" { (words) }
            p { a.button href={ "/sign-in?tenant=" (tenant) } { (texts.sign_in_again) } }
        }
    };
    layout(view, texts.not_signed_in, &content)
}
