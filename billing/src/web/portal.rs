//! The portal's handlers: read, ask the store, hand to a page.

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use jiff::civil::Date;
use serde::Deserialize;
use springtide_proto::error::{ApiError, Reason};

use super::auth::{
    LANGUAGE_COOKIE, account_of_session, account_of_token, close_session, cookie, cookie_value, open_session,
    require_own_form,
};
use super::pages::overview::{OverviewPage, overview_page};
use super::pages::{View, invoice::invoice_page, message_page, sign_in::sign_in_page};
use super::{Failure, WebState};
use crate::bill::summary::{by_day, by_hour, by_meter};
use crate::bill::{BillError, bill, read, zone_of};
use crate::locale::Locale;
use crate::rating::period::Period;
use crate::store::{Account, StatementUsage, StoreError, with_causes};

const LANGUAGE_SECONDS: i64 = 31_536_000;

/// What the portal's addresses may carry.
#[derive(Debug, Default, Deserialize)]
pub struct PortalQuery {
    lang: Option<String>,
    period: Option<String>,
    day: Option<String>,
}

/// The form of [`sign_in`].
#[derive(Deserialize)]
pub struct SignIn {
    token: String,
}

/// A failure, as a page.
type Page = Result<Response, Response>;

/// The form, or the overview for who is signed in.
pub async fn sign_in_form(
    State(state): State<WebState>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let view = view(&headers, &query, "/");
    let account = account_of_session(&state, &headers)
        .await
        .map_err(|error| failed(&view, &error.into()))?;
    if account.is_some() {
        return Ok(Redirect::to("/portal").into_response());
    }
    Ok(respond(
        &headers,
        &query,
        StatusCode::OK,
        sign_in_page(&view, false),
    ))
}

/// Checks the token and opens a session.
pub async fn sign_in(State(state): State<WebState>, headers: HeaderMap, Form(form): Form<SignIn>) -> Page {
    let query = PortalQuery::default();
    let view = view(&headers, &query, "/");
    require_own_form(&headers).map_err(|error| failed(&view, &error))?;
    let account = account_of_token(&state, form.token.trim())
        .await
        .map_err(|error| failed(&view, &error.into()))?;
    let Some(account) = account else {
        return Ok(respond(
            &headers,
            &query,
            StatusCode::UNAUTHORIZED,
            sign_in_page(&view, true),
        ));
    };
    let cookie = open_session(&state, &headers, &account)
        .await
        .map_err(|error| failed(&view, &error))?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/portal")).into_response())
}

/// Ends the session.
pub async fn sign_out(State(state): State<WebState>, headers: HeaderMap) -> Page {
    let view = view(&headers, &PortalQuery::default(), "/");
    require_own_form(&headers).map_err(|error| failed(&view, &error))?;
    let cookie = close_session(&state, &headers)
        .await
        .map_err(|error| failed(&view, &error))?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}

/// Money so far, usage, bills.
pub async fn overview(
    State(state): State<WebState>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let view = view(&headers, &query, "/portal");
    let Some(account) = account_of_session(&state, &headers)
        .await
        .map_err(|error| failed(&view, &error.into()))?
    else {
        return Ok(Redirect::to("/").into_response());
    };
    let page = overview_of(&state, account, &query)
        .await
        .map_err(|error| failed(&view, &error))?;
    Ok(respond(
        &headers,
        &query,
        StatusCode::OK,
        overview_page(&view, &page),
    ))
}

/// One bill, each line explained.
pub async fn invoice(
    State(state): State<WebState>,
    Path(number): Path<String>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let view = view(&headers, &query, "");
    let Some(account) = account_of_session(&state, &headers)
        .await
        .map_err(|error| failed(&view, &error.into()))?
    else {
        return Ok(Redirect::to("/").into_response());
    };
    let stored = state
        .store
        .invoice_numbered(account.ledger, &number)
        .await
        .map_err(|error| failed(&view, &error.into()))?;
    let Some(stored) = stored else {
        return Err(failed(&view, &super::auth::not_found()));
    };
    let document = read(&stored).map_err(|error| failed(&view, &Failure::from(error).0))?;
    let page = invoice_page(&view, &account, &document);
    Ok(respond(&headers, &query, StatusCode::OK, page))
}

async fn overview_of(
    state: &WebState,
    account: Account,
    query: &PortalQuery,
) -> Result<OverviewPage, ApiError> {
    let refused = |error: BillError| Failure::from(error).0;
    let wrong_period =
        |error: crate::rating::period::PeriodError| ApiError::invalid("period", error.to_string());
    let zone = zone_of(&state.store, &account).await.map_err(refused)?;
    let period = match query.period.as_deref() {
        Some(text) => text.parse(),
        None => Period::containing(state.clock.now(), &zone),
    };
    let period = period.map_err(wrong_period)?;
    let bounds = period.bounds(&zone).map_err(wrong_period)?;
    let usage = state.store.usage(account.ledger, &bounds).await?;
    let document = match bill(&state.store, &account, period, state.clock.now()).await {
        Ok(document) => Ok(document),
        Err(error @ BillError::Store(_)) => return Err(refused(error)),
        Err(error) => {
            let (has_plan, cause) = (!matches!(error, BillError::NoPlan { .. }), with_causes(&error));
            tracing::warn!(error = %cause, "no money so far is shown");
            Err(has_plan)
        }
    };
    let bills = state.store.invoices(account.ledger).await?;
    let bills = bills
        .iter()
        .map(read)
        .collect::<Result<Vec<_>, _>>()
        .map_err(refused)?;
    let closed = state
        .store
        .invoice_of_period(account.ledger, &period.to_string())
        .await?
        .map(|invoice| invoice.statement);
    let day = query.day.as_deref().and_then(|text| text.parse::<Date>().ok());
    let of_day = |usage: &StatementUsage| {
        day.is_none_or(|day| zone.to_datetime(usage.usage.bucket_start).date() == day)
    };
    let shown: Vec<_> = usage.iter().filter(|usage| of_day(usage)).cloned().collect();
    let meters = by_meter(&shown, closed).map_err(StoreError::from)?;
    let slots = match day {
        Some(day) => by_hour(&usage, day, &zone),
        None => by_day(&usage, &bounds, &zone),
    };
    let slots = slots.map_err(StoreError::from)?;
    let is_current = bounds.contain(state.clock.now());
    Ok(OverviewPage {
        account,
        zone,
        period,
        is_current,
        document,
        meters,
        day,
        slots,
        bills,
    })
}

fn view(headers: &HeaderMap, query: &PortalQuery, path: &str) -> View {
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
    let address = match (period, day) {
        (None, _) => path.to_owned(),
        (Some(period), None) => format!("{path}?period={period}"),
        (Some(period), Some(day)) => format!("{path}?period={period}&day={day}"),
    };
    View {
        locale: chosen.or_else(asked).unwrap_or_default(),
        address,
    }
}

/// A page, and the cookie that keeps the language if one was chosen.
fn respond(headers: &HeaderMap, query: &PortalQuery, status: StatusCode, page: maud::Markup) -> Response {
    let mut response = (status, page).into_response();
    let chosen = query.lang.as_deref().map(|tag| {
        cookie(
            headers,
            LANGUAGE_COOKIE,
            Locale::nearest(tag).tag(),
            LANGUAGE_SECONDS,
        )
    });
    if let Some(value) = chosen.and_then(|cookie| cookie.parse().ok()) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

fn failed(view: &View, error: &ApiError) -> Response {
    let texts = super::texts::texts(view.locale);
    let words = if error.reason == Reason::NotFound {
        texts.not_found
    } else {
        texts.failed
    };
    let status =
        StatusCode::from_u16(error.reason.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, message_page(view, words)).into_response()
}
