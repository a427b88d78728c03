//! Signing in and out, and the overview.

use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use jiff::SignedDuration;
use jiff::civil::Date;
use serde::Deserialize;
use springtide_proto::error::ApiError;
use springtide_proto::ids::TenantId;

use super::auth::{
    Caller, caller_of_session, caller_of_token, close_session, open_session, require_own_form,
};
use super::bills::state_of;
use super::pages::Tab;
use super::pages::overview::{OverviewPage, overview_page};
use super::pages::sign_in::{SignInPage, sign_in_page};
use super::visit::{Page, PortalQuery, Visit, failed, respond, view};
use super::{Failure, WebState};
use crate::bill::forecast::forecast;
use crate::bill::schedule::{Schedule, schedule_of};
use crate::bill::summary::{by_meter, by_time, days_of, hours_of, summed_by_time};
use crate::bill::{BillError, bill_by, read};
use crate::export::as_of;
use crate::rating::period::Period;
use crate::store::{KIND_REGULAR, Landed, Role, StoreError, StoredInvoice, with_causes};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// The form of [`sign_in`].
#[derive(Deserialize)]
pub struct SignIn {
    token: String,
}

/// The form, or the overview for who is signed in.
pub async fn sign_in_form(
    State(state): State<WebState>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let (address, page) = sign_in_of(&state, &query);
    let view = view(&headers, &query, &address);
    let caller = caller_of_session(&state, &headers)
        .await
        .map_err(|error| failed(&view, &error.into()))?;
    if caller.is_some() {
        return Ok(Redirect::to("/portal").into_response());
    }
    Ok(respond(
        &headers,
        &query,
        StatusCode::OK,
        sign_in_page(&view, &page),
    ))
}

/// The page's address, and what it shows: of the firm that is named, whether or not there is one of that name.
fn sign_in_of<'a>(state: &'a WebState, query: &'a PortalQuery) -> (String, SignInPage<'a>) {
    let Some(openid) = state.openid_connect.as_deref() else {
        return ("/".to_owned(), SignInPage::default());
    };
    let firm = query.tenant.as_deref().unwrap_or_default().trim();
    // Only what can be a name is written into links.
    let address = match TenantId::parse(firm) {
        Ok(tenant) => format!("/sign-in?tenant={tenant}"),
        Err(_) => "/".to_owned(),
    };
    let providers = openid.of_tenant(firm).map(|provider| {
        (
            provider.settings().name.as_str(),
            provider.settings().label.as_str(),
        )
    });
    let page = SignInPage {
        was_wrong: false,
        has_providers: true,
        firm,
        providers: providers.collect(),
    };
    (address, page)
}

/// Checks the token and opens a session.
pub async fn sign_in(State(state): State<WebState>, headers: HeaderMap, Form(form): Form<SignIn>) -> Page {
    let query = PortalQuery::default();
    let view = view(&headers, &query, "/");
    require_own_form(&headers).map_err(|error| failed(&view, &error))?;
    let caller = caller_of_token(&state, form.token.trim())
        .await
        .map_err(|error| failed(&view, &error.into()))?;
    let Some(caller) = caller else {
        return Ok(respond(
            &headers,
            &query,
            StatusCode::UNAUTHORIZED,
            sign_in_page(
                &view,
                &SignInPage {
                    was_wrong: true,
                    has_providers: state.openid_connect.is_some(),
                    ..SignInPage::default()
                },
            ),
        ));
    };
    let cookie = open_session(&state, &headers, &caller)
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

/// Money so far, usage, forecast, bills.
pub async fn overview(
    State(state): State<WebState>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let place = ("/portal", Tab::Overview);
    let mut visit = Visit::begin(&state, &headers, &query, place, Role::Viewer).await?;
    let page = overview_of(&state, visit.caller.clone(), &query)
        .await
        .map_err(|error| visit.failed(error))?;
    visit.view.is_live = page.is_current;
    Ok(visit.page(overview_page(&visit.view, &page)))
}

/// The month that is asked for, or the one that runs.
pub(super) fn period_of(
    state: &WebState,
    query: &PortalQuery,
    schedule: &Schedule,
) -> Result<Period, Failure> {
    let period = match query.period.as_deref() {
        Some(text) => text.parse(),
        None => schedule.containing(state.clock.now()),
    };
    Ok(period.map_err(BillError::Period)?)
}

async fn overview_of(state: &WebState, caller: Caller, query: &PortalQuery) -> Result<OverviewPage, Failure> {
    let Caller { account, store, .. } = caller;
    let (store, now) = (&store, state.clock.now());
    let schedule = schedule_of(store, &account).await?;
    let period = period_of(state, query, &schedule)?;
    let bounds = schedule.bounds(period).map_err(BillError::Period)?;
    let zone = schedule.zone_of(period).map_err(BillError::Period)?;
    let day = query.day.as_deref().and_then(|text| text.parse::<Date>().ok());
    let (starts, end) = match day {
        Some(day) => {
            let hours = hours_of(day, &bounds, &zone);
            let last = hours.last().map(|last| last.saturating_add(HOUR));
            (hours, last.and_then(Result::ok).unwrap_or(bounds.end))
        }
        None => (days_of(&bounds, &zone), bounds.end),
    };
    let ledger = account.ledger;
    let summed = |landed| summed_by_time(store, ledger, (&starts, end), landed);
    let bills = async {
        Ok::<_, Failure>((
            store.invoices(ledger).await?,
            store.states_of_ledger(ledger).await?,
        ))
    };
    let usage = async { Ok::<_, Failure>(summed(Landed::EVER).await?) };
    let drawn_up = async { Ok::<_, Failure>(bill_by(store, &account, &schedule, period, now).await) };
    let expected = async { Ok::<_, Failure>(forecast(store, &account, &schedule, period, now).await) };
    let ((bills, states), usage, document, forecast) = tokio::try_join!(bills, usage, drawn_up, expected)?;
    let document = match document {
        Ok(document) => Ok(document),
        Err(error @ BillError::Store(_)) => return Err(error.into()),
        Err(error) => {
            let (has_plan, cause) = (!matches!(error, BillError::NoPlan { .. }), with_causes(&error));
            tracing::warn!(error = %cause, "no money so far is shown");
            Err(has_plan)
        }
    };
    let closed = bills
        .iter()
        .find(|bill| bill.kind == KIND_REGULAR && bill.period == period.to_string())
        .map(|bill| bill.statement);
    let bill_with_state = |bill: &StoredInvoice| {
        let state = state_of(states.get(&bill.number));
        read(bill).map(|document| (document, state))
    };
    let bills = bills.iter().map(bill_with_state).collect::<Result<Vec<_>, _>>()?;
    let forecast = match (&document, closed) {
        (Ok(_), None) => forecast?,
        _ => None,
    };
    let late = match closed {
        Some(closed) => summed(Landed::after(closed)).await?,
        None => Vec::new(),
    };
    let meters = by_meter(&usage, &late).map_err(StoreError::from)?;
    let slots = by_time(&usage, &starts, end).map_err(StoreError::from)?;
    let rest = forecast.iter().flat_map(|forecast| &forecast.usage);
    let expected = by_time(rest, &starts, end).map_err(StoreError::from)?;
    let is_current = bounds.contain(now);
    let as_of = document.as_ref().ok().and_then(|document| as_of(document, now));
    Ok(OverviewPage {
        account,
        zone,
        period,
        is_current,
        as_of,
        document,
        meters,
        day,
        slots,
        expected,
        forecast,
        bills,
    })
}

/// Bad requests of the portal's own forms are pages too.
pub(super) fn invalid(field: &str) -> ApiError {
    ApiError::invalid(field, "is not understood")
}

/// The portal's script: refreshes what is live, and nothing else.
pub async fn script() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, include_str!("live.js")).into_response()
}
