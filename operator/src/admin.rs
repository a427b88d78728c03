//! What the admin port shows beyond health and metrics: `/debug/pools`, the decision of each pool with all its terms, and
//! `/debug/live`, a line of numbers per pool. A follower answers 503.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use springtide_proto::error::{ApiError, Reason};

use crate::controllers::live::{LiveBoard, LivePool};

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
        Some(pools) => Json(pools.iter().map(explained).collect::<Vec<_>>()).into_response(),
        None => not_leading(),
    }
}

fn not_leading() -> Response {
    let error = ApiError::new(Reason::NotLeader, "this replica does not lead; ask another");
    (StatusCode::SERVICE_UNAVAILABLE, Json(error.http_body())).into_response()
}

fn explained(live: &LivePool) -> Value {
    let decision = &live.decision;
    let observation = &decision.observation;
    let flow = observation.rates.current();
    json!({
        "tenant": live.tenant,
        "pool": live.pool,
        "desired": decision.desired,
        "binding": decision.binding.as_str(),
        "observation": {
            "active": observation.active,
            "waiting": observation.waiting,
            "arrivals_per_second": flow.arrivals,
            "endings_per_second": flow.endings,
            "start_time_seconds": observation.start_time.as_secs_f64(),
            "ready": observation.ready,
            "starting": observation.starting,
            "silent": observation.silent,
        },
        "terms": {
            "growth_conversations": decision.growth,
            "needed": decision.needed,
            "headroom": decision.headroom,
            "react": decision.react(),
            "plan": decision.plan,
            "floor": decision.floor,
            "ceiling": decision.ceiling,
            "needed_within_window": decision.needed_within_window,
            "busy": decision.busy,
            "tenant_share": live.tenant_share,
            "peak_load_last_hour": live.peak,
        },
    })
}
