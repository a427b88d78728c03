//! Signing in at a client firm's own OpenID provider: the way there, and the way back.
//!
//! Each provider has a way back of its own, and what a browser brings back is taken once, from the browser that was sent, for the
//! provider that it was sent to. From then on there is a session like any other.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use jiff::SignedDuration;
use serde::Deserialize;
use springtide_proto::error::ApiError;

use super::auth::{caller_of_person, cookie_value, not_found, open_session, set_cookie};
use super::pages::View;
use super::pages::sign_in::{refused_page, signed_in_page};
use super::texts::{Texts, texts};
use super::visit::{Page, PortalQuery, failed, view};
use super::{Failure, WebState};
use crate::openid_connect::{Attempt, OpenIdConnect, Person, Provider, Refusal};

/// How long somebody may stay at the provider.
const ATTEMPT: SignedDuration = SignedDuration::from_mins(10);

/// What a provider's redirect brings back.
#[derive(Deserialize)]
pub struct Return {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

/// Why nobody is signed in.
enum NotSignedIn {
    /// Of another browser, a second time, too late, or for another provider.
    NotBegun,
    /// The provider says so, without more.
    Declined,
    /// See there.
    Refused(Refusal),
    /// The tenant has no account.
    NoAccount,
    Failed(ApiError),
}

impl<E: Into<Failure>> From<E> for NotSignedIn {
    fn from(error: E) -> Self {
        Self::Failed(error.into().0)
    }
}

impl NotSignedIn {
    fn answer(&self, texts: &Texts) -> (StatusCode, &'static str) {
        match self {
            Self::NotBegun => (StatusCode::BAD_REQUEST, texts.sign_in_not_begun),
            Self::Refused(Refusal::Away(_)) => (StatusCode::SERVICE_UNAVAILABLE, texts.provider_away),
            Self::Refused(Refusal::NoRole) | Self::NoAccount => (StatusCode::FORBIDDEN, texts.no_role),
            Self::Declined | Self::Refused(_) => (StatusCode::FORBIDDEN, texts.sign_in_refused),
            Self::Failed(_) => (StatusCode::INTERNAL_SERVER_ERROR, texts.failed),
        }
    }

    /// For the log, without anything of the person.
    fn reason(&self) -> String {
        match self {
            Self::NotBegun => "it was not begun in this browser, or came twice or late".to_owned(),
            Self::Declined => "the provider declined".to_owned(),
            Self::Refused(refusal) => refusal.to_string(),
            Self::NoAccount => "the provider's tenant has no account".to_owned(),
            Self::Failed(error) => error.to_string(),
        }
    }
}

/// Sends the browser to the provider.
pub async fn begin(State(state): State<WebState>, Path(name): Path<String>, headers: HeaderMap) -> Page {
    let view = view(&headers, &PortalQuery::default(), "/sign-in");
    let Some((openid, provider)) = provider_of(&state, &name) else {
        return Err(failed(&view, &not_found()));
    };
    let sent = send(&state, openid, provider).await;
    let (to, cookie) = sent.map_err(|error| refused(&view, provider, &error))?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(&to)).into_response())
}

async fn send(
    state: &WebState,
    openid: &OpenIdConnect,
    provider: &Provider,
) -> Result<(String, String), NotSignedIn> {
    let attempt = Attempt::new(state.secrets.next()?);
    let to = provider.authorization_url(&attempt, openid.now()).await;
    let to = to.map_err(NotSignedIn::Refused)?;
    let now = state.clock.now();
    let until = now.saturating_add(ATTEMPT).unwrap_or(now);
    let name = &provider.settings().name;
    state
        .entrance
        .begin_attempt(attempt.digest(), name, now, until)
        .await?;
    Ok((to, attempt_cookie(openid, attempt.secret(), ATTEMPT.as_secs())))
}

/// The way back: opens a session for whom the provider vouches.
pub async fn finish(
    State(state): State<WebState>,
    Path(name): Path<String>,
    Query(brought): Query<Return>,
    headers: HeaderMap,
) -> Page {
    let view = view(&headers, &PortalQuery::default(), "/sign-in");
    let Some((openid, provider)) = provider_of(&state, &name) else {
        return Err(failed(&view, &not_found()));
    };
    let attempt = attempt_of(&state, openid, provider, &brought, &headers).await;
    let attempt = attempt.map_err(|error| refused(&view, provider, &error))?;
    // The attempt has ended, so what the browser holds of it is of no use any more.
    let forget = attempt_cookie(openid, "", 0);
    let mut response = match open(&state, openid, provider, &attempt, brought, &headers).await {
        Ok(cookie) => signed_in(&view, &cookie),
        Err(error) => refused(&view, provider, &error),
    };
    if let Ok(forget) = HeaderValue::try_from(forget) {
        response.headers_mut().append(header::SET_COOKIE, forget);
    }
    Ok(response)
}

/// The attempt that ends here. One that is not this browser's is left as it is: another site may have led it here.
async fn attempt_of(
    state: &WebState,
    openid: &OpenIdConnect,
    provider: &Provider,
    brought: &Return,
    headers: &HeaderMap,
) -> Result<Attempt, NotSignedIn> {
    let name = &provider.settings().name;
    let attempt = cookie_value(headers, attempt_cookie_name(openid)).and_then(Attempt::of_secret);
    let attempt = attempt.filter(|attempt| {
        brought
            .state
            .as_deref()
            .is_some_and(|state| attempt.has_state(name, state))
    });
    let attempt = attempt.ok_or(NotSignedIn::NotBegun)?;
    let ended = state
        .entrance
        .end_attempt(attempt.digest(), name, state.clock.now());
    if !ended.await? {
        return Err(NotSignedIn::NotBegun);
    }
    Ok(attempt)
}

/// The session's `Set-Cookie`.
async fn open(
    state: &WebState,
    openid: &OpenIdConnect,
    provider: &Provider,
    attempt: &Attempt,
    brought: Return,
    headers: &HeaderMap,
) -> Result<String, NotSignedIn> {
    let Return { code, iss, error, .. } = brought;
    let is_of_issuer = iss.is_none_or(|iss| iss == provider.settings().issuer.as_str());
    let Some(code) = code.filter(|_| error.is_none() && is_of_issuer) else {
        return Err(NotSignedIn::Declined);
    };
    let person: Person = provider
        .person(attempt, &code, openid.now())
        .await
        .map_err(NotSignedIn::Refused)?;
    let caller = caller_of_person(state, provider, person).await?;
    let caller = caller.ok_or(NotSignedIn::NoAccount)?;
    let (now, name) = (state.clock.now(), &provider.settings().name);
    caller
        .store
        .note(caller.account.ledger, &caller.holder, "sign in", name, now)
        .await?;
    Ok(open_session(state, headers, &caller).await?)
}

fn provider_of<'a>(state: &'a WebState, name: &str) -> Option<(&'a OpenIdConnect, &'a Provider)> {
    let openid = state.openid_connect.as_deref()?;
    Some((openid, openid.named(name)?))
}

/// The browser came from another site, and would not send our cookie along with a redirect's request: the page leads on.
fn signed_in(view: &View, cookie: &str) -> Response {
    let headers = [(header::SET_COOKIE, cookie), (header::REFRESH, "0; url=/portal")];
    (headers, signed_in_page(view)).into_response()
}

fn refused(view: &View, provider: &Provider, why: &NotSignedIn) -> Response {
    let (name, reason) = (&provider.settings().name, why.reason());
    match why {
        // Logged where it failed.
        NotSignedIn::Failed(_) => {}
        NotSignedIn::Refused(Refusal::NoRole) | NotSignedIn::NotBegun | NotSignedIn::Declined => {
            tracing::info!(provider = name, reason, "nobody was signed in");
        }
        _ => tracing::warn!(provider = name, reason, "nobody was signed in"),
    }
    let (status, words) = why.answer(texts(view.locale));
    let tenant = provider.settings().tenant.as_str();
    (status, refused_page(view, words, tenant)).into_response()
}

/// The prefix `__Host-` keeps other hosts of the same domain from setting it; browsers know it with TLS alone.
fn attempt_cookie_name(openid: &OpenIdConnect) -> &'static str {
    if openid.is_encrypted() {
        "__Host-springtide_sign_in"
    } else {
        "springtide_sign_in"
    }
}

/// Lax: it must come along when the provider leads back here.
fn attempt_cookie(openid: &OpenIdConnect, value: &str, seconds: i64) -> String {
    let name = attempt_cookie_name(openid);
    set_cookie(name, value, seconds, "Lax", openid.is_encrypted())
}
