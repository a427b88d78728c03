//! The admin port: `/livez` (the process runs), `/readyz` (it can do its work, or why not) and `/metrics` (Prometheus,
//! OpenMetrics text). Never exposed outside the cluster.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::Args;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

/// Where the admin port listens.
#[derive(Args, Clone, Debug)]
pub struct AdminArgs {
    /// Address of the admin port: /livez, /readyz, /metrics
    #[arg(
        long,
        env = "SPRINGTIDE_ADMIN_LISTEN",
        default_value = "0.0.0.0:9090",
        value_name = "ADDRESS"
    )]
    pub admin_listen: SocketAddr,
}

/// What readiness depends on: each named part is ready or says why not. Ready means all are.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, Result<(), String>>>>);

impl Health {
    /// A part that is not ready yet.
    pub fn starting(&self, part: &'static str) {
        self.not_ready(part, "starting");
    }
    /// The part is ready.
    pub fn ready(&self, part: &'static str) {
        self.0.lock().insert(part, Ok(()));
    }
    /// The part is not ready, because.
    pub fn not_ready(&self, part: &'static str, because: impl Into<String>) {
        self.0.lock().insert(part, Err(because.into()));
    }
    /// Everything is ready, or a line per part that is not.
    pub fn check(&self) -> Result<(), String> {
        let parts = self.0.lock();
        let lines: Vec<_> = parts
            .iter()
            .filter_map(|(part, state)| Some(format!("{part}: {}", state.as_ref().err()?)))
            .collect();
        if lines.is_empty() {
            Ok(())
        } else {
            Err(lines.join("\n"))
        }
    }
}

/// The process's metrics. Register while wiring, then hand it to [`serve`].
pub type SharedRegistry = Arc<Mutex<Registry>>;

#[derive(Clone)]
struct Admin {
    health: Health,
    registry: SharedRegistry,
}

/// The admin port's routes.
pub fn router(health: Health, registry: SharedRegistry) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Admin { health, registry })
}

/// Serves [`router`] until `shutdown`. Binds before it returns, so that a taken port is an error at start.
pub async fn serve(
    args: &AdminArgs,
    health: Health,
    registry: SharedRegistry,
    shutdown: CancellationToken,
) -> std::io::Result<tokio::task::JoinHandle<()>> {
    serve_router(args, router(health, registry), shutdown).await
}

/// Serves `routes` (see [`router`]; a binary may add its own) on the admin port until `shutdown`.
pub async fn serve_router(
    args: &AdminArgs,
    routes: Router,
    shutdown: CancellationToken,
) -> std::io::Result<tokio::task::JoinHandle<()>> {
    let listener = tokio::net::TcpListener::bind(args.admin_listen).await?;
    tracing::info!(address = %listener.local_addr()?, "admin port listens");
    Ok(tokio::spawn(async move {
        let served = axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "admin port ended");
        }
    }))
}

async fn readyz(State(admin): State<Admin>) -> Response {
    match admin.health.check() {
        Ok(()) => "ok\n".into_response(),
        Err(lines) => (StatusCode::SERVICE_UNAVAILABLE, lines + "\n").into_response(),
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &admin.registry.lock()) {
        Ok(()) => (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_that_is_not_ready_makes_the_whole_not_ready_and_says_why() {
        let health = Health::default();
        health.ready("tls");
        health.not_ready("knowledge", "line 3 has no answer");
        assert_eq!(health.check(), Err("knowledge: line 3 has no answer".to_owned()));
        health.ready("knowledge");
        assert_eq!(health.check(), Ok(()));
    }
}
