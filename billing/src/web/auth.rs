//! Who asks: a bearer token for programs, a session cookie for people.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use springtide_proto::error::{ApiError, Reason};

use super::WebState;
use crate::digest::Digest;
use crate::metering::decide::LedgerId;
use crate::openid_connect::{Person, Provider};
use crate::store::{Account, Holder, Role, Store, StoreError, TenantStores};

const SESSION_COOKIE: &str = "springtide_session";
/// Name of the cookie that keeps the chosen language.
pub(super) const LANGUAGE_COOKIE: &str = "springtide_lang";
pub(super) const SESSION_HOURS: i64 = 8;
/// Longest token that is looked at.
pub(super) const MAX_TOKEN: usize = 512;

/// The one answer to a token that nobody issued, whichever tenant it asks for.
fn unauthenticated() -> ApiError {
    ApiError::new(Reason::Unauthenticated, "a bearer token of this tenant is needed")
}

/// What is known of all tenants. In client firms' pages only who asks is found out by it; all else is read by the store of
/// [`Caller`].
#[derive(Clone)]
pub(super) struct Entrance(TenantStores);

impl Entrance {
    pub(super) fn new(stores: TenantStores) -> Self {
        Self(stores)
    }

    /// All that there is: for those who ask, and for the provider's own people.
    pub(super) fn store(&self) -> &Store {
        self.0.everything()
    }

    /// Notes that a browser is on the way to a provider.
    pub(super) async fn begin_attempt(
        &self,
        secret: Digest,
        provider: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        self.store().begin_attempt(secret, provider, now, until).await
    }

    /// Whether one that was on the way to that provider comes back, for the first time and in time.
    pub(super) async fn end_attempt(
        &self,
        secret: Digest,
        provider: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.store().end_attempt(secret, provider, now).await
    }

    async fn caller(&self, account: Account, holder: Holder) -> Result<Caller, StoreError> {
        let store = self.0.of(account.ledger).await?;
        Ok(Caller {
            account,
            holder,
            store,
        })
    }
}

/// Who asks, and what for.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// Whose data it may see.
    pub(super) account: Account,
    /// By which token, and what that may do.
    pub(super) holder: Holder,
    /// What it may see, and nothing else.
    pub(super) store: Store,
}

impl Caller {
    /// Fails where the token may not do it.
    pub(super) fn require(&self, role: Role) -> Result<(), ApiError> {
        if self.holder.role >= role {
            return Ok(());
        }
        let message = format!("this needs a token of the role {}", role.name());
        Err(ApiError::new(Reason::PermissionDenied, message))
    }
}

/// Who the bearer token belongs to, if its tenant is the one asked for. Another tenant's token is told what it would be told
/// of a tenant that does not exist.
pub(super) async fn caller_asked_for(
    state: &WebState,
    headers: &HeaderMap,
    tenant: &str,
    role: Role,
) -> Result<Caller, ApiError> {
    let token = bearer(headers).ok_or_else(unauthenticated)?;
    let caller = caller_of_token(state, token).await?.ok_or_else(unauthenticated)?;
    if caller.account.details.party.tenant.as_str() != tenant {
        return Err(not_found());
    }
    caller.require(role)?;
    Ok(caller)
}

/// There is none, or none that the caller may see.
pub(super) fn not_found() -> ApiError {
    ApiError::new(Reason::NotFound, "there is nothing here")
}

/// Who a token belongs to: the account's own, or one that was made in the portal.
pub(super) async fn caller_of_token(state: &WebState, token: &str) -> Result<Option<Caller>, StoreError> {
    if token.is_empty() || token.len() > MAX_TOKEN {
        return Ok(None);
    }
    let digest = Digest::of(token.as_bytes());
    if let Some(account) = state.entrance.store().account_of_token(digest).await? {
        let caller = state.entrance.caller(account, Holder::of_account());
        return caller.await.map(Some);
    }
    let found = state
        .entrance
        .store()
        .holder_of_token(digest, state.clock.now())
        .await?;
    caller_of(state, found).await
}

/// Who the session belongs to that the request's cookie names.
pub(super) async fn caller_of_session(
    state: &WebState,
    headers: &HeaderMap,
) -> Result<Option<Caller>, StoreError> {
    let Some(secret) = session_secret(headers) else {
        return Ok(None);
    };
    let found = state.entrance.store().session(secret, state.clock.now()).await?;
    caller_of(state, found).await
}

async fn caller_of(
    state: &WebState,
    found: Option<(LedgerId, Holder)>,
) -> Result<Option<Caller>, StoreError> {
    let Some((ledger, holder)) = found else {
        return Ok(None);
    };
    match state.entrance.store().account_of_ledger(ledger).await? {
        Some(account) if is_vouched_for(state, &account, &holder) => {
            state.entrance.caller(account, holder).await.map(Some)
        }
        _ => Ok(None),
    }
}

/// Who signed in at a provider is let in as long as that speaks for the tenant.
fn is_vouched_for(state: &WebState, account: &Account, holder: &Holder) -> bool {
    let provider = || state.openid_connect.as_deref()?.named(&holder.provider);
    holder.provider.is_empty()
        || provider().is_some_and(|provider| provider.speaks_for(&account.details.party))
}

/// Who a person is here that a provider vouches for; `None` if its tenant has no account.
pub(super) async fn caller_of_person(
    state: &WebState,
    provider: &Provider,
    person: Person,
) -> Result<Option<Caller>, StoreError> {
    let settings = provider.settings();
    let accounts = state.entrance.store().accounts_named(settings.tenant.as_str());
    let account = accounts
        .await?
        .into_iter()
        .find(|account| provider.speaks_for(&account.details.party));
    let Some(account) = account else {
        return Ok(None);
    };
    let holder = Holder {
        token: String::new(),
        provider: settings.name.clone(),
        name: person.name,
        role: person.role,
    };
    state.entrance.caller(account, holder).await.map(Some)
}

/// Opens a session and returns its `Set-Cookie`. The secret itself is kept by the browser alone.
pub(super) async fn open_session(
    state: &WebState,
    headers: &HeaderMap,
    caller: &Caller,
) -> Result<String, ApiError> {
    let secret = URL_SAFE_NO_PAD.encode(state.secrets.next()?);
    let now = state.clock.now();
    let until = now
        .saturating_add(SignedDuration::from_hours(SESSION_HOURS))
        .unwrap_or(now);
    state
        .entrance
        .store()
        .open_session(
            Digest::of(secret.as_bytes()),
            caller.account.ledger,
            &caller.holder,
            now,
            until,
        )
        .await?;
    let is_encrypted = is_tls(headers)
        || state
            .openid_connect
            .as_ref()
            .is_some_and(|openid| openid.is_encrypted());
    Ok(set_cookie(
        SESSION_COOKIE,
        &secret,
        SESSION_HOURS * 3600,
        "Strict",
        is_encrypted,
    ))
}

/// Ends the session and returns the `Set-Cookie` that forgets it.
pub(super) async fn close_session(state: &WebState, headers: &HeaderMap) -> Result<String, ApiError> {
    if let Some(secret) = session_secret(headers) {
        state.entrance.store().close_session(secret).await?;
    }
    Ok(cookie(headers, SESSION_COOKIE, "", 0))
}

/// A cookie that scripts cannot read and other sites cannot send. Secure where the ingress says that TLS was used.
pub(super) fn cookie(headers: &HeaderMap, name: &str, value: &str, seconds: i64) -> String {
    set_cookie(name, value, seconds, "Strict", is_tls(headers))
}

fn is_tls(headers: &HeaderMap) -> bool {
    headers
        .get("x-forwarded-proto")
        .is_some_and(|scheme| scheme == "https")
}

/// A cookie that scripts cannot read, and other sites only as `same_site` says.
pub(super) fn set_cookie(
    name: &str,
    value: &str,
    seconds: i64,
    same_site: &str,
    is_encrypted: bool,
) -> String {
    let secure = if is_encrypted { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite={same_site}{secure}")
}

/// The value of a cookie.
pub(super) fn cookie_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// Refuses a form that another site sent: the browser says where it comes from.
pub(super) fn require_own_form(headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_own = match text("sec-fetch-site") {
        Some(site) => site == "same-origin" || site == "none",
        None => match (text("origin"), text("host")) {
            (None, _) => true,
            (Some(origin), Some(host)) => origin
                .split_once("://")
                .is_some_and(|(_, authority)| authority == host),
            (Some(_), None) => false,
        },
    };
    if is_own {
        Ok(())
    } else {
        Err(ApiError::new(
            Reason::PermissionDenied,
            "this form was sent by another site",
        ))
    }
}

pub(super) fn session_secret(headers: &HeaderMap) -> Option<Digest> {
    secret_in(headers, SESSION_COOKIE)
}

/// The digest of the secret that a cookie holds.
pub(super) fn secret_in(headers: &HeaderMap, cookie: &str) -> Option<Digest> {
    let secret = cookie_value(headers, cookie)?;
    (!secret.is_empty() && secret.len() <= MAX_TOKEN).then(|| Digest::of(secret.as_bytes()))
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
