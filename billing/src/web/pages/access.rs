//! Access tokens with their roles, and the audit.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::super::texts::{Texts, texts};
use super::erase::erase_form;
use super::{View, layout};
use crate::locale::Locale;
use crate::store::{AccessToken, AuditEntry, Role};

/// What the page shows.
pub(in crate::web) struct AccessPage {
    pub(in crate::web) zone: TimeZone,
    pub(in crate::web) now: Timestamp,
    pub(in crate::web) tokens: Vec<AccessToken>,
    pub(in crate::web) audit: Vec<AuditEntry>,
    /// A token that was just made.
    pub(in crate::web) made: Option<String>,
    /// The form was not understood.
    pub(in crate::web) is_wrong: bool,
}

pub(in crate::web) fn access_page(view: &View, page: &AccessPage) -> Markup {
    let texts = texts(view.locale);
    let content = html! {
        div.page-head { h1 { (texts.tab_access) } }
        @if let Some(token) = &page.made {
            section.card.made role="status" {
                p { (texts.new_token) }
                p { code #new-token { (token) } }
            }
        }
        section.card aria-labelledby="tokens" {
            h2 #tokens { (texts.tokens) }
            p.hint { (texts.access_lead) }
            @if page.tokens.is_empty() { p.notice { (texts.no_tokens) } } @else { (tokens(texts, page)) }
        }
        (form(texts, page))
        (erase_form(texts, "", false))
        section.card aria-labelledby="audit" {
            h2 #audit { (texts.audit) }
            @if page.audit.is_empty() { p.notice { (texts.no_audit) } } @else { (audit(view, page)) }
        }
    };
    layout(view, texts.tab_access, &content)
}

fn role_name(texts: &Texts, role: Role) -> &'static str {
    match role {
        Role::Viewer => texts.role_viewer,
        Role::Finance => texts.role_finance,
        Role::Admin => texts.role_admin,
    }
}

/// The role in a word.
fn short_role(texts: &Texts, role: Role) -> &'static str {
    role_name(texts, role)
        .split([':', '：'])
        .next()
        .unwrap_or_default()
}

fn local(page: &AccessPage, at: Timestamp) -> String {
    page.zone.to_datetime(at).strftime("%Y-%m-%d %H:%M").to_string()
}

fn tokens(texts: &Texts, page: &AccessPage) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(texts.tokens) { table {
            thead { tr {
                th scope="col" { (texts.token_name) }
                th scope="col" { (texts.role) }
                th scope="col" { (texts.expires) }
                th scope="col" { (texts.last_used) }
                th scope="col" { span.unseen { (texts.revoke) } }
            } }
            tbody { @for token in &page.tokens { tr {
                th scope="row" { (token.name) }
                td { (short_role(texts, token.role)) }
                td { (local(page, token.expires_at)) }
                td { (token.last_used_at.map_or_else(|| texts.never.to_owned(), |at| local(page, at))) }
                td {
                    @if token.revoked_at.is_some() { (texts.revoked) }
                    @else if token.expires_at <= page.now { (texts.lapsed) }
                    @else {
                        form method="post" action={ "/portal/access/tokens/" (token.id) "/revoke" } {
                            button.quiet type="submit" aria-label={ (texts.revoke) " " (token.name) } { (texts.revoke) }
                        }
                    }
                }
            } } }
        } }
    }
}

fn form(texts: &Texts, page: &AccessPage) -> Markup {
    html! {
        section.card aria-labelledby="make" {
            h2 #make { (texts.make_token) }
            form.stacked.short method="post" action="/portal/access/tokens" {
                @if page.is_wrong { p.alert role="alert" { (texts.wrong_token_form) } }
                label for="name" { (texts.token_name) }
                input #name name="name" type="text" required maxlength="60" autocomplete="off";
                label for="role" { (texts.role) }
                select #role name="role" {
                    @for role in Role::ALL { option value=(role.name()) { (role_name(texts, role)) } }
                }
                label for="days" { (texts.days_valid) }
                input #days name="days" type="number" min="1" max="730" value="90" required;
                button type="submit" { (texts.make_token) }
            }
        }
    }
}

/// What was read or changed, in words.
fn action_in_words(action: &str, locale: Locale) -> &str {
    let chinese = match action {
        "read interactions" => "查看逐条记录",
        "export interactions" => "下载逐条记录",
        "export usage" => "下载用量",
        "export costs" => "下载成本数据",
        "export plan" => "下载资费方案",
        "export bill" => "下载账单",
        "open dispute" => "提出异议",
        "set budget" => "设定预算",
        "set price of a person's answer" => "设定人工应答价格",
        "make token" => "创建令牌",
        "revoke token" => "收回令牌",
        "erase customer" => "删除客户信息",
        "sign in" => "登录",
        other => other,
    };
    match locale {
        Locale::En => action,
        Locale::ZhCn => chinese,
    }
}

fn audit(view: &View, page: &AccessPage) -> Markup {
    let texts = texts(view.locale);
    html! {
        div.scroll tabindex="0" role="region" aria-label=(texts.audit) { table {
            thead { tr {
                th scope="col" { (texts.time) }
                th scope="col" { (texts.who) }
                th scope="col" { (texts.action) }
                th scope="col" { (texts.object) }
            } }
            tbody { @for entry in &page.audit { tr {
                th scope="row" { (local(page, entry.at)) }
                td { (if entry.actor.is_empty() { texts.account_token } else { &entry.actor }) " " span.muted { (Role::named(&entry.role).map_or("", |role| short_role(texts, role))) } }
                td { (action_in_words(&entry.action, view.locale)) }
                td { (entry.object) }
            } } }
        } }
    }
}
