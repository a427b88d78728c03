//! Signing in and out, and the visits of who is signed in.

use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::SignedDuration;
use serde::Deserialize;
use springtide_proto::error::{ApiError, Reason};

use super::super::WebState;
use super::super::auth::{MAX_TOKEN, SESSION_HOURS, cookie, require_own_form, secret_in};
use super::super::pages::{Side, Tab};
use super::super::visit::{Page, PortalQuery, Visit, failed, language_cookie, respond, view};
use super::pages::sign_in_page;
use crate::digest::Digest;
use crate::store::{Staff, StaffRole, Store, StoreError};

const SESSION_COOKIE: &str = "springtide_office";
const HOME: &str = "/office";

/// The digest of the session's secret that the request's cookie holds.
pub(in crate::web) fn session_secret(headers: &HeaderMap) -> Option<Digest> {
    secret_in(headers, SESSION_COOKIE)
}

/// One of the provider's people looks at a page.
pub(super) type OfficeVisit = Visit<Staff>;

impl OfficeVisit {
    /// Of a page; who is not signed in is sent to sign in.
    pub(super) async fn enter(
        state: &WebState,
        headers: &HeaderMap,
        query: &PortalQuery,
        (path, tab): (&str, Tab),
    ) -> Result<Self, Response> {
        let mut view = view(headers, query, path);
        view.side = Side::Office;
        let staff = staff_of_session(state, headers).await;
        let Some(staff) = staff.map_err(|error| failed(&view, &error.into()))? else {
            return Err(Redirect::to("/office/sign-in").into_response());
        };
        view.who = Some(staff.name.clone());
        view.tab = Some(tab);
        let cookie = language_cookie(headers, query);
        Ok(Self {
            view,
            caller: staff,
            cookie,
        })
    }

    /// Of a form of ours that changes something.
    pub(super) async fn enter_to_change(
        state: &WebState,
        headers: &HeaderMap,
        place: (&str, Tab),
    ) -> Result<Self, Response> {
        let visit = Self::enter(state, headers, &PortalQuery::default(), place).await?;
        require_own_form(headers).map_err(|error| visit.failed(error))?;
        if !visit.may_act() {
            let message = "this needs a token of the role approver";
            return Err(visit.failed(ApiError::new(Reason::PermissionDenied, message)));
        }
        Ok(visit)
    }

    /// Whether they may do more than look.
    pub(super) fn may_act(&self) -> bool {
        self.caller.role >= StaffRole::Approver
    }

    /// As bills and audits name them.
    pub(super) fn actor(&self) -> String {
        format!("office: {}", self.caller.name)
    }

    /// Notes in the provider's audit what is done.
    pub(super) async fn note_action(
        &self,
        state: &WebState,
        action: &str,
        object: &str,
    ) -> Result<(), Response> {
        let noted = store(state)
            .note_of_provider(&self.actor(), action, object, state.clock.now())
            .await;
        noted.map_err(|error| self.failed(error))
    }
}

/// All tenants' books.
pub(super) fn store(state: &WebState) -> &Store {
    state.entrance.store()
}

async fn staff_of_session(state: &WebState, headers: &HeaderMap) -> Result<Option<Staff>, StoreError> {
    match session_secret(headers) {
        Some(secret) => store(state).staff_of_session(secret, state.clock.now()).await,
        None => Ok(None),
    }
}

/// The form, or the first page for who is signed in.
pub async fn sign_in_form(
    State(state): State<WebState>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let view = view(&headers, &query, "/office/sign-in");
    let staff = staff_of_session(&state, &headers)
        .await
        .map_err(|error| failed(&view, &error.into()))?;
    if staff.is_some() {
        return Ok(Redirect::to(HOME).into_response());
    }
    Ok(respond(
        &headers,
        &query,
        StatusCode::OK,
        sign_in_page(&view, false),
    ))
}

/// The form of [`sign_in`].
#[derive(Deserialize)]
pub struct SignIn {
    token: String,
}

/// Checks the token and opens a session.
pub async fn sign_in(State(state): State<WebState>, headers: HeaderMap, Form(form): Form<SignIn>) -> Page {
    let query = PortalQuery::default();
    let view = view(&headers, &query, "/office/sign-in");
    require_own_form(&headers).map_err(|error| failed(&view, &error))?;
    let opened = open_session(&state, &headers, form.token.trim()).await;
    match opened.map_err(|error| failed(&view, &error))? {
        Some(cookie) => Ok(([(header::SET_COOKIE, cookie)], Redirect::to(HOME)).into_response()),
        None => Ok(respond(
            &headers,
            &query,
            StatusCode::UNAUTHORIZED,
            sign_in_page(&view, true),
        )),
    }
}

/// The cookie of a new session; `None` if the token is none.
async fn open_session(
    state: &WebState,
    headers: &HeaderMap,
    token: &str,
) -> Result<Option<String>, ApiError> {
    if token.is_empty() || token.len() > MAX_TOKEN {
        return Ok(None);
    }
    let (store, now) = (store(state), state.clock.now());
    let Some(staff) = store.staff_of_token(Digest::of(token.as_bytes()), now).await? else {
        return Ok(None);
    };
    let secret = URL_SAFE_NO_PAD.encode(state.secrets.next()?);
    let until = now
        .saturating_add(SignedDuration::from_hours(SESSION_HOURS))
        .unwrap_or(now);
    store
        .open_staff_session(Digest::of(secret.as_bytes()), &staff, now, until)
        .await?;
    let actor = format!("office: {}", staff.name);
    store
        .note_of_provider(&actor, "sign in", staff.role.name(), now)
        .await?;
    Ok(Some(cookie(
        headers,
        SESSION_COOKIE,
        &secret,
        SESSION_HOURS * 3600,
    )))
}

/// Ends the session.
pub async fn sign_out(State(state): State<WebState>, headers: HeaderMap) -> Page {
    let view = view(&headers, &PortalQuery::default(), "/office/sign-in");
    require_own_form(&headers).map_err(|error| failed(&view, &error))?;
    if let Some(secret) = session_secret(&headers) {
        let closed = store(&state).close_staff_session(secret).await;
        closed.map_err(|error| failed(&view, &error.into()))?;
    }
    let forget = cookie(&headers, SESSION_COOKIE, "", 0);
    Ok(([(header::SET_COOKIE, forget)], Redirect::to("/office/sign-in")).into_response())
}
