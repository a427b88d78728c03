//! A person's visit to a page: who they are, in which language, and how answers and failures reach them.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use jiff::civil::Date;
use serde::Deserialize;
use springtide_proto::error::{ApiError, Reason};

use super::auth::{Caller, LANGUAGE_COOKIE, caller_of_session, cookie, cookie_value, require_own_form};
use super::office::texts::texts as office_texts;
use super::pages::{Side, Tab, View, message_page};
use super::texts::texts;
use super::{Failure, WebState};
use crate::locale::Locale;
use crate::rating::period::Period;
use crate::store::Role;

const LANGUAGE_SECONDS: i64 = 31_536_000;
/// Longest number of a bill.
const LONGEST_NUMBER: usize = 40;

/// Of drafts, as `only=striking`: those with something striking.
pub(super) const STRIKING: &str = "striking";

/// What the portal's addresses may carry.
#[derive(Debug, Default, Deserialize)]
pub struct PortalQuery {
    pub(super) lang: Option<String>,
    pub(super) period: Option<String>,
    pub(super) day: Option<String>,
    pub(super) line: Option<usize>,
    pub(super) number: Option<String>,
    pub(super) after: Option<String>,
    pub(super) tenant: Option<String>,
    pub(super) only: Option<String>,
    pub(super) page: Option<u32>,
}

/// A failure, as a page.
pub(super) type Page = Result<Response, Response>;

/// Somebody who is signed in looks at a page: one of a client firm, or of the provider.
pub(super) struct Visit<Who = Caller> {
    pub(super) view: View,
    pub(super) caller: Who,
    pub(super) cookie: Option<String>,
}

impl Visit {
    /// Of a page for `role`; who is not signed in is sent to sign in.
    pub(super) async fn begin(
        state: &WebState,
        headers: &HeaderMap,
        query: &PortalQuery,
        (path, tab): (&str, Tab),
        role: Role,
    ) -> Result<Self, Response> {
        let mut view = view(headers, query, path);
        let caller = caller_of_session(state, headers).await;
        let Some(caller) = caller.map_err(|error| failed(&view, &error.into()))? else {
            return Err(Redirect::to("/").into_response());
        };
        view.who = Some(caller.account.details.party.tenant.to_string());
        view.tab = Some(tab);
        view.is_admin = caller.holder.role == Role::Admin;
        caller.require(role).map_err(|error| failed(&view, &error))?;
        let cookie = language_cookie(headers, query);
        Ok(Self { view, caller, cookie })
    }

    /// Of a form of ours that changes something.
    pub(super) async fn begin_change(
        state: &WebState,
        headers: &HeaderMap,
        place: (&str, Tab),
        role: Role,
    ) -> Result<Self, Response> {
        let query = PortalQuery::default();
        let visit = Self::begin(state, headers, &query, place, role).await?;
        require_own_form(headers).map_err(|error| failed(&visit.view, &error))?;
        Ok(visit)
    }

    /// Notes what this visit reads or changes.
    pub(super) async fn note(&self, state: &WebState, action: &str, object: &str) -> Result<(), Response> {
        let Caller {
            account,
            holder,
            store,
        } = &self.caller;
        let noted = store
            .note(account.ledger, holder, action, object, state.clock.now())
            .await;
        noted.map_err(|error| self.failed(error))
    }
}

impl<Who> Visit<Who> {
    /// A page, and the cookie that keeps the language if one was chosen.
    pub(super) fn page(&self, page: maud::Markup) -> Response {
        self.page_with(StatusCode::OK, page)
    }

    /// A page that says what is wrong.
    pub(super) fn page_with(&self, status: StatusCode, page: maud::Markup) -> Response {
        with_cookie((status, page).into_response(), self.cookie.as_deref())
    }

    /// A failure as a page.
    pub(super) fn failed(&self, error: impl Into<Failure>) -> Response {
        failed(&self.view, &error.into().0)
    }
}

/// A page before anybody is signed in.
pub(super) fn respond(
    headers: &HeaderMap,
    query: &PortalQuery,
    status: StatusCode,
    page: maud::Markup,
) -> Response {
    with_cookie(
        (status, page).into_response(),
        language_cookie(headers, query).as_deref(),
    )
}

fn with_cookie(mut response: Response, cookie: Option<&str>) -> Response {
    if let Some(value) = cookie.and_then(|cookie| cookie.parse().ok()) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

pub(super) fn language_cookie(headers: &HeaderMap, query: &PortalQuery) -> Option<String> {
    let tag = Locale::nearest(query.lang.as_deref()?).tag();
    Some(cookie(headers, LANGUAGE_COOKIE, tag, LANGUAGE_SECONDS))
}

pub(super) fn view(headers: &HeaderMap, query: &PortalQuery, path: &str) -> View {
    let chosen = query
        .lang
        .as_deref()
        .or_else(|| cookie_value(headers, LANGUAGE_COOKIE))
        .map(Locale::nearest);
    let asked = || {
        headers
            .get(header::ACCEPT_LANGUAGE)?
            .to_str()
            .ok()
            .and_then(Locale::negotiate)
    };
    // Only what was understood is written into links.
    let period = query
        .period
        .as_deref()
        .and_then(|text| text.parse::<Period>().ok());
    let day = query.day.as_deref().and_then(|text| text.parse::<Date>().ok());
    let parts = [
        period.map(|period| format!("period={period}")),
        day.map(|day| format!("day={day}")),
        number_of(query).map(|number| format!("number={number}")),
        query.line.map(|line| format!("line={line}")),
        (query.only.as_deref() == Some(STRIKING)).then(|| format!("only={STRIKING}")),
        query.page.map(|page| format!("page={page}")),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    let address = if parts.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", parts.join("&"))
    };
    View {
        side: Side::of(path),
        locale: chosen.or_else(asked).unwrap_or_default(),
        address,
        who: None,
        tab: None,
        is_admin: false,
        is_live: false,
    }
}

/// The number of a bill, if it can be one.
pub(super) fn number_of(query: &PortalQuery) -> Option<&str> {
    let number = query.number.as_deref()?;
    let can_be = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (number.len() <= LONGEST_NUMBER && number.bytes().all(can_be)).then_some(number)
}

pub(super) fn failed(view: &View, error: &ApiError) -> Response {
    let texts = texts(view.locale);
    let words = match error.reason {
        Reason::NotFound => texts.not_found,
        Reason::NoLongerKept => texts.no_longer_kept,
        Reason::PermissionDenied if view.side == Side::Office => office_texts(view.locale).forbidden,
        Reason::PermissionDenied => texts.forbidden,
        Reason::TooManyRequests => texts.too_many,
        _ => texts.failed,
    };
    let status =
        StatusCode::from_u16(error.reason.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, message_page(view, words)).into_response()
}
