//! What customers thought: satisfaction for programs, and bursts of complaints for both.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};
use springtide_proto::rated::Rating;

use super::api::{PeriodQuery, note};
use super::auth::{Caller, caller_asked_for};
use super::pages::Tab;
use super::pages::complaints::{ComplaintsPage, complaints_page};
use super::portal::period_of;
use super::visit::{Page, PortalQuery, Visit};
use super::{Failure, WebState};
use crate::bill::BillError;
use crate::bill::schedule::schedule_of;
use crate::rating::period::Bounds;
use crate::satisfaction::look::{EXAMPLES, burst_to_json, example_to_json};
use crate::satisfaction::sums::satisfaction_within;
use crate::store::{Role, StoreError, ToldBurst};

/// How customers rated the conversations of a period, by score and by pool.
pub async fn satisfaction_in_json(
    State(state): State<WebState>,
    Path(tenant): Path<String>,
    Query(query): Query<PeriodQuery>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let Caller { account, store, .. } = caller_asked_for(&state, &headers, &tenant, Role::Viewer).await?;
    let schedule = schedule_of(&store, &account).await?;
    let period = query.of(&state, &schedule)?;
    let bounds = schedule.bounds(period).map_err(BillError::Period)?;
    let satisfaction = satisfaction_within(&store, account.ledger, &bounds).await?;
    let mut pools = serde_json::Map::new();
    for (pool, ratings) in &satisfaction.pools {
        pools.insert(pool.clone(), ratings.to_json().map_err(StoreError::from)?);
    }
    let mut answer = satisfaction.all.to_json().map_err(StoreError::from)?;
    answer["tenant"] = tenant.into();
    answer["period"] = period.to_string().into();
    answer["pools"] = pools.into();
    Ok(Json(answer))
}

/// The bursts of complaints of a period, the newest first, with examples.
pub async fn complaints_in_json(
    State(state): State<WebState>,
    Path(tenant): Path<String>,
    Query(query): Query<PeriodQuery>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let caller = caller_asked_for(&state, &headers, &tenant, Role::Viewer).await?;
    let schedule = schedule_of(&caller.store, &caller.account).await?;
    let period = query.of(&state, &schedule)?;
    let bounds = schedule.bounds(period).map_err(BillError::Period)?;
    note(&state, &caller, "read complaints", &period.to_string()).await?;
    let bursts = bursts_of(&caller, &bounds).await?;
    let bursts: Vec<_> = bursts
        .iter()
        .map(|(told, examples)| {
            let mut burst = burst_to_json(&told.topic, &told.burst);
            burst["toldAt"] = told.told_at.to_string().into();
            burst["endedAt"] = told.ended_at.map(|at| at.to_string()).into();
            burst["examples"] = examples.iter().map(example_to_json).collect();
            burst
        })
        .collect();
    Ok(Json(
        json!({"tenant": tenant, "period": period.to_string(), "bursts": bursts}),
    ))
}

/// The same as a page.
pub async fn complaints(
    State(state): State<WebState>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let place = ("/portal/complaints", Tab::Service);
    let visit = Visit::begin(&state, &headers, &query, place, Role::Viewer).await?;
    let page = complaints_of(&state, &visit.caller, &query)
        .await
        .map_err(|error| visit.failed(error))?;
    visit
        .note(&state, "read complaints", &page.period.to_string())
        .await?;
    Ok(visit.page(complaints_page(&visit.view, &page)))
}

async fn complaints_of(
    state: &WebState,
    caller: &Caller,
    query: &PortalQuery,
) -> Result<ComplaintsPage, Failure> {
    let schedule = schedule_of(&caller.store, &caller.account).await?;
    let period = period_of(state, query, &schedule)?;
    let bounds = schedule.bounds(period).map_err(BillError::Period)?;
    Ok(ComplaintsPage {
        period,
        zone: schedule.zone_of(period).map_err(BillError::Period)?,
        is_current: bounds.contain(state.clock.now()),
        bursts: bursts_of(caller, &bounds).await?,
    })
}

async fn bursts_of(caller: &Caller, bounds: &Bounds) -> Result<Vec<(ToldBurst, Vec<Rating>)>, StoreError> {
    let Caller { account, store, .. } = caller;
    let mut bursts = Vec::new();
    for told in store.bursts_within(account.ledger, bounds).await? {
        let span = (told.burst.first_at, told.burst.last_at);
        let examples = store.complaint_examples(&told.topic, span, EXAMPLES).await?;
        bursts.push((told, examples));
    }
    Ok(bursts)
}
