//! What is billed by, and what a change of it would come to.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::super::auth::not_found;
use super::super::pages::Tab;
use super::super::visit::{Page, PortalQuery};
use super::super::{Failure, WebState};
use super::month::period_of;
use super::pages::plans::{PlanPage, PlansPage, Trial, Tried, plan_page, plans_page};
use super::texts::texts;
use super::visit::{OfficeVisit, store};
use crate::bill::correction::differences;
use crate::bill::plans::{KnownPlan, PlanPart, PlansInPeriod};
use crate::bill::{BillError, bill, draft_by};
use crate::digest::{Digest, canonical_json};
use crate::rating::plan::RatePlan;
use crate::store::{Account, PlanVersion, StoreError, with_causes};

const TAB: Tab = Tab::OfficePlans;
/// Tenants of a plan that are named.
const NAMED: usize = 50;

/// All plans.
pub async fn plans(
    State(state): State<WebState>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let visit = OfficeVisit::enter(&state, &headers, &query, ("/office/plans", TAB)).await?;
    let read = async { tokio::try_join!(store(&state).recorded_plans(), store(&state).accounts()) };
    let (versions, accounts) = read.await.map_err(|error: StoreError| visit.failed(error))?;
    Ok(visit.page(plans_page(&visit.view, &PlansPage::of(versions, &accounts))))
}

/// One plan.
pub async fn plan(
    State(state): State<WebState>,
    Path(name): Path<String>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let visit = OfficeVisit::enter(&state, &headers, &query, ("", TAB)).await?;
    let page = plan_of(&state, &name, &query)
        .await
        .map_err(|error| visit.failed(error))?;
    Ok(visit.page(plan_page(&visit.view, &page)))
}

async fn plan_of(state: &WebState, name: &str, query: &PortalQuery) -> Result<PlanPage, Failure> {
    let store = store(state);
    let newest = store.newest_plan(name).await?.ok_or_else(not_found)?;
    let mut versions = store.recorded_plans().await?;
    versions.retain(|version| version.name == name);
    let accounts = store.accounts().await?;
    let billed_by_it = |account: &&Account| account.details.rate_plan == name && account.closed_at.is_none();
    let tenants: Vec<_> = accounts
        .iter()
        .filter(billed_by_it)
        .map(|account| account.details.party.tenant.to_string())
        .collect();
    let spec: Value = serde_json::from_str(&newest.spec).map_err(|_| StoreError::unreadable("plan"))?;
    let text = serde_saphyr::to_string(&spec).map_err(|_| StoreError::unreadable("plan"))?;
    let trial = Trial {
        tenant: tenants.first().cloned().unwrap_or_default(),
        period: period_of(query.period.as_deref(), state.clock.now())?.to_string(),
        text,
        result: None,
    };
    Ok(PlanPage {
        name: name.to_owned(),
        versions,
        more_tenants: tenants.len().saturating_sub(NAMED),
        tenants: tenants.into_iter().take(NAMED).collect(),
        trial,
    })
}

/// The form of [`try_plan`].
#[derive(Deserialize)]
pub struct TrialForm {
    tenant: String,
    period: String,
    plan: String,
}

/// Prices a month of a tenant by another plan. Nothing is kept.
pub async fn try_plan(
    State(state): State<WebState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Form(form): Form<TrialForm>,
) -> Page {
    let visit = OfficeVisit::enter(&state, &headers, &PortalQuery::default(), ("", TAB)).await?;
    let unknown = texts(visit.view.locale).unknown_tenant;
    let mut page = plan_of(&state, &name, &PortalQuery::default())
        .await
        .map_err(|error| visit.failed(error))?;
    let result = match tried(&state, &form, unknown).await {
        Err(BillError::Store(error)) => return Err(visit.failed(error)),
        Err(error) => Err(with_causes(&error)),
        Ok(result) => result,
    };
    let status = if result.is_ok() {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    page.trial = Trial {
        tenant: form.tenant,
        period: form.period,
        text: form.plan,
        result: Some(result),
    };
    Ok(visit.page_with(status, plan_page(&visit.view, &page)))
}

/// What it comes to, or what is wrong with what was written.
async fn tried(
    state: &WebState,
    form: &TrialForm,
    unknown: &str,
) -> Result<Result<Tried, String>, BillError> {
    let (store, now) = (store(state), state.clock.now());
    let period = period_of(Some(form.period.trim()), now)?;
    let accounts = store.accounts_named(form.tenant.trim()).await?;
    let Some(account) = accounts.into_iter().next() else {
        return Ok(Err(unknown.to_owned()));
    };
    let (spec, plan) = match parsed(&form.plan) {
        Ok(parsed) => parsed,
        Err(wrong) => return Ok(Err(wrong)),
    };
    let bounds = period.bounds(&plan.zone)?;
    let version = PlanVersion {
        name: account.details.rate_plan.clone(),
        uid: String::new(),
        generation: 0,
        digest: Digest::of(spec.as_bytes()),
        spec,
    };
    let known = Arc::new(KnownPlan { version, plan });
    let Some(plans) = PlansInPeriod::of(vec![PlanPart { known, bounds }]) else {
        return Ok(Err(String::new()));
    };
    let as_is = bill(store, &account, period, now).await?;
    let by_this = draft_by(store, &account, &plans, period, now).await?;
    let differences = if as_is.currency == by_this.currency {
        differences(&as_is, &by_this)?
    } else {
        Vec::new()
    };
    Ok(Ok(Tried {
        as_is,
        by_this,
        differences,
    }))
}

/// The canonical spec of a plan that was written as YAML, a manifest or its spec; or what is wrong with it.
fn parsed(text: &str) -> Result<(String, RatePlan), String> {
    let value: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let spec = match value.get("spec") {
        Some(spec) if value.get("kind").is_some() => spec.clone(),
        _ => value,
    };
    let plan = RatePlan::from_json(&spec).map_err(|error| with_causes(&error))?;
    Ok((canonical_json(&spec), plan))
}
