//! Service level, savings and budget.

use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect};
use jiff::civil::Date;
use serde::Deserialize;

use super::auth::Caller;
use super::pages::Tab;
use super::pages::budget::{BudgetPage, budget_page};
use super::pages::savings::{SavingsMonth, SavingsPage, savings_page};
use super::pages::service::{ServicePage, service_page};
use super::portal::period_of;
use super::visit::{Page, PortalQuery, Visit};
use super::{Failure, WebState};
use crate::bill::budget::{
    BUDGET, Budget, PERSON_PRICE, THRESHOLDS, amount_of, parse_amount, parse_thresholds, person_price,
};
use crate::bill::calendar::service_month;
use crate::bill::forecast::forecast;
use crate::bill::schedule::schedule_of;
use crate::bill::summary::{by_meter, summed_by_time};
use crate::bill::{BillError, bill_by, document};
use crate::rating::currency::Currency;
use crate::rating::number::Exact;
use crate::satisfaction::sums::satisfaction_within;
use crate::store::{Landed, Role, StoreError};

/// Months that savings are shown of.
const MONTHS: usize = 6;
/// What bots' answers are counted by.
const ANSWERS: &str = "interactions";

/// The service of a month, day by day.
pub async fn service(
    State(state): State<WebState>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let place = ("/portal/service", Tab::Service);
    let visit = Visit::begin(&state, &headers, &query, place, Role::Viewer).await?;
    let page = service_of(&state, &visit.caller, &query)
        .await
        .map_err(|error| visit.failed(error))?;
    Ok(visit.page(service_page(&visit.view, &page)))
}

async fn service_of(state: &WebState, caller: &Caller, query: &PortalQuery) -> Result<ServicePage, Failure> {
    let Caller { account, store, .. } = caller;
    let now = state.clock.now();
    let schedule = schedule_of(store, account).await?;
    let period = period_of(state, query, &schedule)?;
    let bounds = schedule.bounds(period).map_err(BillError::Period)?;
    let is_current = bounds.contain(now);
    let zone = schedule.zone_of(period).map_err(BillError::Period)?;
    let document = match bill_by(store, account, &schedule, period, now).await {
        Ok(document) => Some(document),
        Err(BillError::NoPlan { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let month = match &document {
        Some(document) => service_month(store, account, document, now).await?,
        None => None,
    };
    let outcome = document.and_then(|document| document.service);
    let day = query.day.as_deref().and_then(|text| text.parse::<Date>().ok());
    let today = zone.to_datetime(now).date();
    Ok(ServicePage {
        period,
        zone,
        is_current,
        outcome,
        month,
        day,
        today,
        satisfaction: satisfaction_within(store, account.ledger, &bounds).await?,
    })
}

/// What the bots saved.
pub async fn savings(
    State(state): State<WebState>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let place = ("/portal/savings", Tab::Savings);
    let visit = Visit::begin(&state, &headers, &query, place, Role::Viewer).await?;
    let mut page = savings_of(&state, &visit.caller)
        .await
        .map_err(|error| visit.failed(error))?;
    page.may_change = visit.caller.holder.role >= Role::Finance;
    Ok(visit.page(savings_page(&visit.view, &page, false)))
}

async fn savings_of(state: &WebState, caller: &Caller) -> Result<SavingsPage, Failure> {
    let Caller { account, store, .. } = caller;
    let now = state.clock.now();
    let settings = store.settings(account.ledger).await?;
    let schedule = schedule_of(store, account).await?;
    let currency = match schedule.plan_at(now) {
        Ok(known) => known.plan.currency,
        Err(BillError::NoPlan { .. }) => return Ok(SavingsPage::default()),
        Err(error) => return Err(error.into()),
    };
    let price = person_price(&settings, currency.code());
    let registered = schedule
        .containing(account.registered_at)
        .map_err(BillError::Period)?;
    let mut period = schedule.containing(now).map_err(BillError::Period)?;
    let mut months = Vec::new();
    while months.len() < MONTHS && period >= registered {
        let document = bill_by(store, account, &schedule, period, now).await?;
        let landed = match document.state {
            document::State::Draft => Landed::EVER,
            document::State::Issued => Landed::up_to(document.statement),
        };
        let month = (&[document.period_start][..], document.period_end);
        let usage = summed_by_time(store, account.ledger, month, landed).await?;
        let sums = by_meter(&usage, &[]).map_err(StoreError::from)?;
        let answers = sums
            .into_iter()
            .find(|sum| sum.meter == ANSWERS)
            .map_or(Exact::ZERO, |sum| sum.quantity);
        let total = amount_of(&document.total).unwrap_or(Exact::ZERO);
        months.push(SavingsMonth::of(
            (period, document.period_end <= now),
            answers,
            total,
            price.map(|(price, _)| price),
            currency,
        )?);
        period = period.previous().map_err(BillError::Period)?;
    }
    Ok(SavingsPage {
        currency: Some(currency),
        price,
        months,
        may_change: false,
    })
}

/// The budget and its alerts.
pub async fn budget(
    State(state): State<WebState>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let place = ("/portal/budget", Tab::Budget);
    let visit = Visit::begin(&state, &headers, &query, place, Role::Viewer).await?;
    let mut page = budget_of(&state, &visit.caller)
        .await
        .map_err(|error| visit.failed(error))?;
    page.may_change = visit.caller.holder.role >= Role::Finance;
    Ok(visit.page(budget_page(&visit.view, &page)))
}

async fn budget_of(state: &WebState, caller: &Caller) -> Result<BudgetPage, Failure> {
    let Caller { account, store, .. } = caller;
    let now = state.clock.now();
    let settings = store.settings(account.ledger).await?;
    let schedule = schedule_of(store, account).await?;
    let currency = match schedule.plan_at(now) {
        Ok(known) => known.plan.currency,
        Err(BillError::NoPlan { .. }) => return Ok(BudgetPage::default()),
        Err(error) => return Err(error.into()),
    };
    let period = schedule.containing(now).map_err(BillError::Period)?;
    let document = bill_by(store, account, &schedule, period, now).await?;
    let expected = forecast(store, account, &schedule, period, now).await?;
    Ok(BudgetPage {
        period: Some(period),
        currency: Some(currency),
        budget: Budget::of_settings(&settings),
        total: amount_of(&document.total).unwrap_or(Exact::ZERO),
        forecast: expected.and_then(|forecast| amount_of(&forecast.total)),
        may_change: false,
        wrong: None,
    })
}

/// Keeps settings of the tenant as a form gave them, notes what was set, and leads back to the page.
async fn keep_settings(
    state: &WebState,
    visit: &Visit,
    settings: &[(&str, &str)],
    (action, object): (&str, &str),
    path: &str,
) -> Page {
    let Caller { account, store, .. } = &visit.caller;
    for (name, value) in settings {
        let set = store.set_setting(account.ledger, name, value).await;
        set.map_err(|error| visit.failed(error))?;
    }
    visit.note(state, action, object).await?;
    Ok(Redirect::to(path).into_response())
}

/// An amount as it is kept; empty is none. `None`: it is no amount of that currency.
fn amount_to_keep(text: &str, currency: Option<Currency>) -> Option<String> {
    if text.trim().is_empty() {
        return Some(String::new());
    }
    parse_amount(text, currency?).map(|amount| amount.to_string())
}

/// The form of [`set_budget`].
#[derive(Deserialize)]
pub struct BudgetForm {
    amount: String,
    thresholds: String,
}

/// Sets the budget.
pub async fn set_budget(
    State(state): State<WebState>,
    headers: HeaderMap,
    Form(form): Form<BudgetForm>,
) -> Page {
    let place = ("/portal/budget", Tab::Budget);
    let visit = Visit::begin_change(&state, &headers, place, Role::Finance).await?;
    let mut page = budget_of(&state, &visit.caller)
        .await
        .map_err(|error| visit.failed(error))?;
    let texts = super::texts::texts(visit.view.locale);
    let amount = amount_to_keep(&form.amount, page.currency);
    let thresholds = parse_thresholds(&form.thresholds);
    let (Some(amount), Some(thresholds)) = (&amount, thresholds) else {
        page.may_change = true;
        page.wrong = Some(match amount {
            None => texts.wrong_amount,
            Some(_) => texts.wrong_thresholds,
        });
        return Ok(visit.page_with(StatusCode::BAD_REQUEST, budget_page(&visit.view, &page)));
    };
    let thresholds: Vec<_> = thresholds.iter().map(u32::to_string).collect();
    let settings = [(BUDGET, amount.as_str()), (THRESHOLDS, &thresholds.join(","))];
    keep_settings(&state, &visit, &settings, ("set budget", amount), place.0).await
}

/// The form of [`set_person_price`].
#[derive(Deserialize)]
pub struct PersonPriceForm {
    price: String,
}

/// Sets what one answer by a person costs; empty: what is common.
pub async fn set_person_price(
    State(state): State<WebState>,
    headers: HeaderMap,
    Form(form): Form<PersonPriceForm>,
) -> Page {
    let place = ("/portal/savings", Tab::Savings);
    let visit = Visit::begin_change(&state, &headers, place, Role::Finance).await?;
    let mut page = savings_of(&state, &visit.caller)
        .await
        .map_err(|error| visit.failed(error))?;
    let Some(price) = amount_to_keep(&form.price, page.currency) else {
        page.may_change = true;
        return Ok(visit.page_with(StatusCode::BAD_REQUEST, savings_page(&visit.view, &page, true)));
    };
    let noted = ("set price of a person's answer", price.as_str());
    keep_settings(&state, &visit, &[(PERSON_PRICE, &price)], noted, place.0).await
}
