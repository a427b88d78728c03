//! A bill and what becomes of it, and the disputes that wait for an answer.

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::super::auth::not_found;
use super::super::pages::Tab;
use super::super::visit::{Page, PortalQuery, number_of};
use super::super::{Failure, WebState};
use super::pages::bills::{BillPage, Wrong, bill_page, disputes_page};
use super::visit::{OfficeVisit, store};
use crate::bill::issue::Issuer;
use crate::bill::notes::{act, credit_invoice};
use crate::bill::state::{Act, TaxStanding};
use crate::bill::{BillError, read};
use crate::store::StoredInvoice;

const PLACE: (&str, Tab) = ("", Tab::OfficeDisputes);
/// Disputes that are shown.
const SHOWN: i64 = 200;
/// Longest words of an answer, in characters.
const MAX_REASON: usize = 500;

/// Disputes that wait for an answer.
pub async fn disputes(
    State(state): State<WebState>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let place = ("/office/disputes", PLACE.1);
    let visit = OfficeVisit::enter(&state, &headers, &query, place).await?;
    let open = store(&state)
        .open_disputes(SHOWN)
        .await
        .map_err(|error| visit.failed(error))?;
    Ok(visit.page(disputes_page(&visit.view, &open)))
}

/// Leads to the bill of a number.
pub async fn find(
    State(state): State<WebState>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let visit = OfficeVisit::enter(&state, &headers, &query, PLACE).await?;
    match number_of(&query) {
        Some(number) => Ok(to_bill(number)),
        None => Err(visit.failed(not_found())),
    }
}

fn to_bill(number: &str) -> Response {
    Redirect::to(&format!("/office/bills/{number}")).into_response()
}

/// A bill of whichever tenant.
pub async fn bill(
    State(state): State<WebState>,
    Path(number): Path<String>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let visit = OfficeVisit::enter(&state, &headers, &query, PLACE).await?;
    shown(&state, &visit, &number, None).await
}

async fn shown(state: &WebState, visit: &OfficeVisit, number: &str, wrong: Option<Wrong>) -> Page {
    let status = match wrong {
        None => StatusCode::OK,
        Some(Wrong::Reason) => StatusCode::BAD_REQUEST,
        Some(Wrong::State) => StatusCode::CONFLICT,
    };
    let page = bill_of(state, visit, number, wrong)
        .await
        .map_err(|error| visit.failed(error))?;
    Ok(visit.page_with(status, bill_page(&visit.view, &page)))
}

async fn bill_of(
    state: &WebState,
    visit: &OfficeVisit,
    number: &str,
    wrong: Option<Wrong>,
) -> Result<BillPage, Failure> {
    let store = store(state);
    let invoice = invoice_of(state, number).await?;
    let mut disputes = store.disputes(invoice.ledger).await?;
    disputes.retain(|dispute| dispute.number == invoice.number);
    let tax = TaxStanding::of(&store.tax_registrations(number).await?);
    Ok(BillPage {
        document: read(&invoice)?,
        history: store.states(number).await?,
        disputes,
        tax,
        may_act: visit.may_act(),
        wrong,
    })
}

async fn invoice_of(state: &WebState, number: &str) -> Result<StoredInvoice, Failure> {
    let invoice = store(state).any_invoice(number).await?;
    Ok(invoice.ok_or_else(not_found)?)
}

/// The form of [`answer`].
#[derive(Deserialize)]
pub struct AnswerForm {
    reason: String,
}

/// Ends a dispute, takes a bill back, or notes its payment.
pub async fn answer(
    State(state): State<WebState>,
    Path((number, what)): Path<(String, String)>,
    headers: HeaderMap,
    Form(form): Form<AnswerForm>,
) -> Page {
    let visit = OfficeVisit::enter_to_change(&state, &headers, PLACE).await?;
    let reason = form.reason.trim();
    let what = match what.as_str() {
        "resolve" => Act::Resolve,
        "credit" => Act::Credit,
        "pay" => Act::Pay,
        _ => return Err(visit.failed(not_found())),
    };
    if reason.is_empty() || reason.chars().count() > MAX_REASON || reason.chars().any(char::is_control) {
        return shown(&state, &visit, &number, Some(Wrong::Reason)).await;
    }
    match done(&state, &visit, &number, what, reason).await {
        Ok(Some(shown)) => Ok(to_bill(&shown)),
        Ok(None) => Err(visit.failed(not_found())),
        Err(BillError::State { .. } | BillError::Credited { .. } | BillError::CreditOfNote { .. }) => {
            shown(&state, &visit, &number, Some(Wrong::State)).await
        }
        Err(error) => Err(visit.failed(error)),
    }
}

/// The number of the bill that tells what came of it; `None` if there is no such bill.
async fn done(
    state: &WebState,
    visit: &OfficeVisit,
    number: &str,
    what: Act,
    reason: &str,
) -> Result<Option<String>, BillError> {
    let (store, actor, now) = (store(state), visit.actor(), state.clock.now());
    let Some(invoice) = store.any_invoice(number).await? else {
        return Ok(None);
    };
    if what != Act::Credit {
        act(store, &invoice, what, &actor, reason, now).await?;
        return Ok(Some(invoice.number));
    }
    let Some(account) = store.account_of_ledger(invoice.ledger).await? else {
        return Ok(None);
    };
    let issuer = Issuer {
        actor: &actor,
        note: reason,
        now,
    };
    let note = credit_invoice(store, &account, &invoice, issuer).await?;
    Ok(note.number)
}
