//! What the admin port shows beyond health and metrics: `/debug/pools`, the decision of each pool with all its terms, and
//! `/debug/live`, a line of numbers per pool. A follower answers 503.

mod record;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use springtide_proto::error::{ApiError, Reason};

pub use self::record::{HeldPromotion, PoolObservation, PoolRecord, PoolTerms, SilentPeer};

use crate::controllers::live::LiveBoard;

/// The routes.
pub fn routes(live: LiveBoard) -> Router {
    Router::new()
        .route("/debug/pools", get(pools))
        .route("/debug/live", get(live_pools))
        .with_state(live)
}

async fn live_pools(State(live): State<LiveBoard>) -> Response {
    match live.pools() {
        Some(pools) => Json(pools).into_response(),
        None => not_leading(),
    }
}

async fn pools(State(live): State<LiveBoard>) -> Response {
    match live.pools() {
        Some(pools) => {
            let records = pools.iter().map(|pool| PoolRecord::of(pool, &live));
            Json(records.collect::<Vec<_>>()).into_response()
        }
        None => not_leading(),
    }
}

fn not_leading() -> Response {
    let error = ApiError::new(Reason::NotLeader, "this replica does not lead; ask another");
    (StatusCode::SERVICE_UNAVAILABLE, Json(error.http_body())).into_response()
}
