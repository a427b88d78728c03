//! REST for programs ([`api`]) and the portal for people ([`portal`]), of client firms; and the back office ([`office`]) of the
//! provider's own people, which listens elsewhere. Plain HTTP: an ingress ends TLS.

pub mod access;
pub mod api;
mod auth;
pub mod bills;
mod chart;
pub mod complaints;
pub mod erase;
pub mod events;
pub mod insight;
pub mod interactions;
mod limit;
pub mod office;
pub mod openid_connect;
mod pages;
pub mod portal;
mod texts;
mod visit;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use ring::rand::{SecureRandom as _, SystemRandom};
use springtide_proto::error::{ApiError, Reason};
use springtide_runtime::clock::Clock;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::bill::BillError;
use crate::metering::writer::UsageWriter;
use crate::openid_connect::OpenIdConnect;
use crate::pdf::PdfError;
use crate::store::{StoreError, TenantStores, with_causes};

/// Largest body of a request, but for usage: a form with the words of a dispute.
const MAX_BODY: usize = 32 << 10;
const STYLE: &str = include_str!("style.css");
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Makes secrets of sessions: randomness as a parameter.
pub trait Secrets: Send + Sync + 'static {
    /// 32 bytes that nobody can guess.
    fn next(&self) -> Result<[u8; 32], ApiError>;
}

/// The machine's randomness.
#[derive(Debug)]
pub struct SystemSecrets(SystemRandom);

impl Default for SystemSecrets {
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

impl Secrets for SystemSecrets {
    fn next(&self) -> Result<[u8; 32], ApiError> {
        let mut secret = [0; 32];
        self.0
            .fill(&mut secret)
            .map_err(|_| ApiError::new(Reason::Internal, "no randomness"))?;
        Ok(secret)
    }
}

/// What handlers need.
#[derive(Clone)]
pub struct WebState {
    entrance: auth::Entrance,
    clock: Arc<dyn Clock>,
    secrets: Arc<dyn Secrets>,
    writer: UsageWriter,
    limiter: limit::Limiter,
    openid_connect: Option<Arc<OpenIdConnect>>,
}

impl WebState {
    /// Of these parts.
    pub fn new(
        stores: TenantStores,
        clock: Arc<dyn Clock>,
        secrets: Arc<dyn Secrets>,
        writer: UsageWriter,
    ) -> Self {
        Self {
            entrance: auth::Entrance::new(stores),
            clock,
            secrets,
            writer,
            limiter: limit::Limiter::default(),
            openid_connect: None,
        }
    }

    /// The same, where firms also sign in at providers of their own.
    #[must_use]
    pub fn with_openid_connect(self, providers: OpenIdConnect) -> Self {
        Self {
            openid_connect: Some(Arc::new(providers)),
            ..self
        }
    }
}

/// Addresses, and what answers there.
type Routes = Vec<(&'static str, MethodRouter<WebState>)>;

/// All routes of client firms.
pub fn router(state: WebState) -> Router {
    router_of(routes(), state)
}

/// All routes of the back office.
pub fn office_router(state: WebState) -> Router {
    let mut all = office::routes();
    all.extend(assets());
    router_of(all, state)
}

fn router_of(routes: Routes, state: WebState) -> Router {
    let fixed = |name, value| SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value));
    routes
        .into_iter()
        .fold(Router::new(), |router, (address, answers)| {
            router.route(address, answers)
        })
        .fallback(async || Failure(ApiError::new(Reason::NotFound, "there is nothing here")))
        .layer(axum::middleware::from_fn_with_state(
            state.clone(),
            limit::limited,
        ))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(fixed(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .layer(fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(fixed(header::REFERRER_POLICY, "no-referrer"))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .with_state(state)
}

/// All there are: the tests that walk them with another tenant's token take them from here.
fn routes() -> Routes {
    let mut all = rest();
    all.extend(pages());
    all.extend(assets());
    all
}

fn assets() -> Routes {
    vec![
        ("/assets/style.css", get(style)),
        ("/assets/live.js", get(portal::script)),
    ]
}

/// For programs.
fn rest() -> Routes {
    vec![
        ("/api/v1/tenants/{tenant}/usage", get(api::usage)),
        ("/api/v1/tenants/{tenant}/events", post(events::take)),
        ("/api/v1/tenants/{tenant}/invoices", get(api::invoices)),
        ("/api/v1/tenants/{tenant}/invoices/{number}", get(api::invoice)),
        (
            "/api/v1/tenants/{tenant}/invoices/{number}/pdf",
            get(api::invoice_pdf),
        ),
        ("/api/v1/tenants/{tenant}/preview", get(api::preview)),
        ("/api/v1/tenants/{tenant}/forecast", get(api::forecast)),
        ("/api/v1/tenants/{tenant}/interactions", get(api::interactions)),
        (
            "/api/v1/tenants/{tenant}/satisfaction",
            get(complaints::satisfaction_in_json),
        ),
        (
            "/api/v1/tenants/{tenant}/complaints",
            get(complaints::complaints_in_json),
        ),
        ("/api/v1/tenants/{tenant}/exports/{name}", get(api::export)),
    ]
}

/// For people.
fn pages() -> Routes {
    vec![
        ("/", get(portal::sign_in_form)),
        ("/sign-in", get(portal::sign_in_form).post(portal::sign_in)),
        ("/sign-in/openid-connect/{provider}", get(openid_connect::begin)),
        (
            "/sign-in/openid-connect/{provider}/return",
            get(openid_connect::finish),
        ),
        ("/sign-out", post(portal::sign_out)),
        ("/portal", get(portal::overview)),
        ("/portal/invoices/{number}", get(bills::invoice)),
        ("/portal/invoices/{number}/dispute", post(bills::dispute)),
        ("/portal/interactions", get(interactions::interactions)),
        ("/portal/exports/{name}", get(bills::export)),
        ("/portal/disputes", get(bills::disputes)),
        ("/portal/service", get(insight::service)),
        ("/portal/complaints", get(complaints::complaints)),
        ("/portal/savings", get(insight::savings)),
        ("/portal/savings/price", post(insight::set_person_price)),
        ("/portal/budget", get(insight::budget).post(insight::set_budget)),
        ("/portal/access", get(access::access)),
        ("/portal/access/erase", post(erase::erase)),
        ("/portal/access/tokens", post(access::create_token)),
        ("/portal/access/tokens/{id}/revoke", post(access::revoke_token)),
    ]
}

async fn style() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, STYLE).into_response()
}

/// An error as a REST answer: its status and `{"error": …}`.
#[derive(Debug)]
pub struct Failure(ApiError);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = axum::http::StatusCode::from_u16(self.0.reason.http_status());
        let status = status.unwrap_or(axum::http::StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self.0.http_body())).into_response();
        if self.0.reason == Reason::Unauthenticated {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}

impl From<BillError> for Failure {
    fn from(error: BillError) -> Self {
        match error {
            BillError::Store(error) => error.into(),
            BillError::Period(_) => Self(ApiError::invalid("period", error.to_string())),
            BillError::NoPlan { .. } | BillError::PlanMoves { .. } => Self(ApiError::new(
                Reason::FailedPrecondition,
                "there is no rate plan for this tenant yet",
            )),
            // Nothing is issued here; what cannot be read is ours to mend.
            _ => {
                let cause = with_causes(&error);
                tracing::error!(error = %cause, "a bill could not be made");
                Self(ApiError::new(Reason::Internal, "an internal error; it is logged"))
            }
        }
    }
}

impl From<PdfError> for Failure {
    fn from(error: PdfError) -> Self {
        tracing::error!(error = %with_causes(&error), "a PDF could not be made");
        Self(ApiError::new(Reason::Internal, "an internal error; it is logged"))
    }
}

#[cfg(test)]
mod tests;
