//! What the admin port shows beyond health and metrics: `/debug/pools`, the decision of each pool with all its terms, and
//! `/debug/live`, a line of numbers per pool; `/debug/pools/TENANT/POOL`, that of one pool with what load it usually has. A
//! follower answers 503.

mod record;

use axum::extract::{Path, State};
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
        .route("/debug/pools/{tenant}/{pool}", get(pool))
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

async fn pool(State(live): State<LiveBoard>, Path((tenant, pool)): Path<(String, String)>) -> Response {
    let Some(pools) = live.pools() else {
        return not_leading();
    };
    let mut known = pools.iter();
    let Some(known) = known.find(|known| known.tenant == tenant && known.pool == pool) else {
        let error = ApiError::new(Reason::NotFound, "no such pool was decided");
        return (StatusCode::NOT_FOUND, Json(error.http_body())).into_response();
    };
    Json(PoolRecord::with_baseline(known, &live)).into_response()
}

fn not_leading() -> Response {
    let error = ApiError::new(Reason::NotLeader, "this replica does not lead; ask another");
    (StatusCode::SERVICE_UNAVAILABLE, Json(error.http_body())).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use axum::http::Request;
    use serde_json::{Value, json};
    use tower::ServiceExt as _;

    use super::*;
    use crate::autoscale::Baseline;
    use crate::controllers::testing::{Cached, Scenario, acme, key, web};

    async fn asked(live: &LiveBoard, path: &str) -> (StatusCode, Value) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = routes(live.clone()).oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn the_record_of_one_pool_says_what_is_usual_and_the_list_does_not() {
        let pool = web(json!({"max": 10}));
        let scenario = Scenario::new(Cached {
            tenants: vec![acme()],
            ..Cached::default()
        });
        scenario.know(&pool);
        crate::controllers::pool::reconcile(Arc::new(pool), scenario.context.clone())
            .await
            .unwrap();
        let live = &scenario.context.live;
        let (status, one) = asked(live, &format!("/debug/pools/{}", key())).await;
        let record: PoolRecord = serde_json::from_value(one).unwrap();
        assert_eq!((status, record.pool.as_str()), (StatusCode::OK, "web"));
        assert_eq!(
            Baseline::decode(&record.baseline.unwrap().0),
            Ok(Baseline::default())
        );
        assert!(record.observation.horizon_seconds.is_some());
        let (_, all) = asked(live, "/debug/pools").await;
        assert_eq!(all[0]["baseline"], Value::Null);
        assert_eq!(
            asked(live, "/debug/pools/acme/none").await.0,
            StatusCode::NOT_FOUND
        );
        live.end();
        let (status, _) = asked(live, "/debug/pools/acme/web").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
}
