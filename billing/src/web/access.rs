//! Access tokens and the audit, for a client firm's administrators.

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::SignedDuration;
use serde::Deserialize;

use super::auth::{Caller, not_found};
use super::pages::Tab;
use super::pages::access::{AccessPage, access_page};
use super::visit::{Page, PortalQuery, Visit};
use super::{Failure, WebState};
use crate::bill::schedule::schedule_of;
use crate::digest::Digest;
use crate::store::{NewToken, Role};

const PLACE: (&str, Tab) = ("/portal/access", Tab::Access);
/// How a token begins, so that people and scanners know one.
const PREFIX: &str = "sptk_";
const MAX_NAME: usize = 60;
const MAX_DAYS: i64 = 730;
/// Entries of the audit that are shown.
const SHOWN: i64 = 100;

/// The tokens, and the audit.
pub async fn access(
    State(state): State<WebState>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let visit = Visit::begin(&state, &headers, &query, PLACE, Role::Admin).await?;
    let page = access_of(&state, &visit.caller)
        .await
        .map_err(|error| visit.failed(error))?;
    Ok(visit.page(access_page(&visit.view, &page)))
}

async fn access_of(state: &WebState, caller: &Caller) -> Result<AccessPage, Failure> {
    let Caller { account, store, .. } = caller;
    let now = state.clock.now();
    Ok(AccessPage {
        zone: schedule_of(store, account).await?.zone_at(now),
        now,
        tokens: store.tokens(account.ledger).await?,
        audit: store.audit(account.ledger, SHOWN).await?,
        made: None,
        is_wrong: false,
    })
}

/// The form of [`create_token`].
#[derive(Deserialize)]
pub struct TokenForm {
    name: String,
    role: String,
    days: String,
}

/// Makes a token and shows it, this once.
pub async fn create_token(
    State(state): State<WebState>,
    headers: HeaderMap,
    Form(form): Form<TokenForm>,
) -> Page {
    let visit = Visit::begin_change(&state, &headers, PLACE, Role::Admin).await?;
    let account = &visit.caller.account;
    let name = form.name.trim();
    let is_name = !name.is_empty() && name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control);
    let days = form
        .days
        .trim()
        .parse::<i64>()
        .ok()
        .filter(|days| (1..=MAX_DAYS).contains(days));
    let (Some(days), Some(role), true) = (days, Role::named(&form.role), is_name) else {
        let mut page = access_of(&state, &visit.caller)
            .await
            .map_err(|error| visit.failed(error))?;
        page.is_wrong = true;
        return Ok(visit.page_with(StatusCode::BAD_REQUEST, access_page(&visit.view, &page)));
    };
    let now = state.clock.now();
    let secret = state.secrets.next().map_err(|error| visit.failed(error))?;
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
    let digest = Digest::of(token.as_bytes());
    // A digest is no secret, and its beginning is as good as random.
    let id: String = digest.to_string().chars().take(12).collect();
    let new = NewToken {
        id: &id,
        digest,
        name,
        role,
        created_by: &visit.caller.holder.name,
        expires_at: now
            .saturating_add(SignedDuration::from_hours(24 * days))
            .unwrap_or(now),
    };
    visit
        .caller
        .store
        .create_token(account.ledger, &new, now)
        .await
        .map_err(|error| visit.failed(error))?;
    visit
        .note(&state, "make token", &format!("{name} ({})", role.name()))
        .await?;
    let mut page = access_of(&state, &visit.caller)
        .await
        .map_err(|error| visit.failed(error))?;
    page.made = Some(token);
    Ok(visit.page(access_page(&visit.view, &page)))
}

/// Takes a token away; its sessions end with it.
pub async fn revoke_token(State(state): State<WebState>, Path(id): Path<String>, headers: HeaderMap) -> Page {
    let visit = Visit::begin_change(&state, &headers, PLACE, Role::Admin).await?;
    let ledger = visit.caller.account.ledger;
    let tokens = visit
        .caller
        .store
        .tokens(ledger)
        .await
        .map_err(|error| visit.failed(error))?;
    let Some(token) = tokens.into_iter().find(|token| token.id == id) else {
        return Err(visit.failed(not_found()));
    };
    let now = state.clock.now();
    visit
        .caller
        .store
        .revoke_token(ledger, &id, now)
        .await
        .map_err(|error| visit.failed(error))?;
    visit.note(&state, "revoke token", &token.name).await?;
    Ok(Redirect::to("/portal/access").into_response())
}
