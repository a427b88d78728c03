//! REST, version 1. Every answer is of the tenant whose token asks.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use springtide_proto::error::{ApiError, Reason};
use tokio_stream::wrappers::ReceiverStream;

use super::auth::{Caller, caller_asked_for, not_found};
use super::bills::{Export, Subject, numbered, paper, pdf, state_of};
use super::{Failure, WebState};
use crate::bill::forecast::Basis;
use crate::bill::schedule::{Schedule, schedule_of};
use crate::bill::state::InvoiceState;
use crate::bill::summary::{by_meter, by_time, days_of, summed_by_time};
use crate::bill::{BillError, bill_by, read};
use crate::locale::Locale;
use crate::rating::period::{Bounds, Period, PeriodError};
use crate::store::{Account, Landed, Role, StoreError};

/// Lines that may wait for a slow reader.
const STREAM_AHEAD: usize = 256;
/// Since when all that was recorded is kept.
const KEPT_SINCE: HeaderName = HeaderName::from_static("springtide-kept-since");

/// `?period=YYYY-MM`; the month that runs now if left out.
#[derive(Debug, Deserialize)]
pub struct PeriodQuery {
    period: Option<String>,
}

impl PeriodQuery {
    pub(super) fn of(&self, state: &WebState, schedule: &Schedule) -> Result<Period, ApiError> {
        let period = match self.period.as_deref() {
            Some(text) => text.parse(),
            None => schedule.containing(state.clock.now()),
        };
        period.map_err(|error| ApiError::invalid("period", error.to_string()))
    }
}

/// Usage of a period, by meter and by local day.
pub async fn usage(
    State(state): State<WebState>,
    Path(tenant): Path<String>,
    Query(query): Query<PeriodQuery>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let Caller { account, store, .. } = caller_asked_for(&state, &headers, &tenant, Role::Viewer).await?;
    let schedule = schedule_of(&store, &account).await?;
    let period = query.of(&state, &schedule)?;
    let invalid = |error: PeriodError| ApiError::invalid("period", error.to_string());
    let bounds = schedule.bounds(period).map_err(invalid)?;
    let zone = schedule.zone_of(period).map_err(invalid)?;
    let invoice = store
        .invoice_of_period(account.ledger, &period.to_string())
        .await?;
    let starts = days_of(&bounds, &zone);
    let landed = |landed| summed_by_time(&store, account.ledger, (&starts, bounds.end), landed);
    let usage = landed(Landed::EVER).await?;
    let late = match &invoice {
        Some(invoice) => landed(Landed::after(invoice.statement)).await?,
        None => Vec::new(),
    };
    let meters = by_meter(&usage, &late).map_err(StoreError::from)?;
    let days = by_time(&usage, &starts, bounds.end).map_err(StoreError::from)?;
    let days: Vec<_> = days
        .into_iter()
        .map(|day| json!({"date": zone.to_datetime(day.start).date().to_string(), "quantities": day.quantities}))
        .collect();
    Ok(Json(json!({
        "tenant": tenant,
        "period": period.to_string(),
        "timeZone": zone.iana_name().unwrap_or("UTC"),
        "periodStart": bounds.start,
        "periodEnd": bounds.end,
        "invoice": invoice.map(|invoice| invoice.number),
        "meters": meters,
        "days": days,
    })))
}

/// An entry of the list of bills.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InvoiceEntry {
    number: String,
    /// "regular", "correction" or "credit".
    kind: String,
    /// Of a note: on which bill.
    #[serde(skip_serializing_if = "Option::is_none")]
    corrects: Option<String>,
    state: InvoiceState,
    period: String,
    currency: String,
    total: String,
    issued_at: jiff::Timestamp,
    due_on: Option<jiff::civil::Date>,
    digest: String,
}

/// The issued bills, the newest first.
pub async fn invoices(
    State(state): State<WebState>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let Caller { account, store, .. } = caller_asked_for(&state, &headers, &tenant, Role::Viewer).await?;
    let mut entries = Vec::new();
    let states = store.states_of_ledger(account.ledger).await?;
    for invoice in store.invoices(account.ledger).await? {
        let document = read(&invoice)?;
        let (number, period, issued_at, digest) =
            (invoice.number, invoice.period, invoice.issued_at, invoice.digest);
        let (currency, total, due_on) = (document.currency, document.total, document.due_on);
        entries.push(InvoiceEntry {
            state: state_of(states.get(&number)),
            number,
            kind: document.kind,
            corrects: document.corrects,
            period,
            currency,
            total,
            issued_at,
            due_on,
            digest,
        });
    }
    Ok(Json(json!({"tenant": tenant, "invoices": entries})))
}

/// One bill.
pub async fn invoice(
    State(state): State<WebState>,
    Path((tenant, number)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let Caller { account, store, .. } = caller_asked_for(&state, &headers, &tenant, Role::Viewer).await?;
    Ok(Json(numbered(&store, &account, &number).await?.to_json()))
}

/// `?locale=TAG`; the bill's own if left out.
#[derive(Debug, Deserialize)]
pub struct LocaleQuery {
    locale: Option<String>,
}

/// One bill on paper.
pub async fn invoice_pdf(
    State(state): State<WebState>,
    Path((tenant, number)): Path<(String, String)>,
    Query(query): Query<LocaleQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let caller = caller_asked_for(&state, &headers, &tenant, Role::Viewer).await?;
    let document = numbered(&caller.store, &caller.account, &number).await?;
    let locale = Locale::nearest(query.locale.as_ref().unwrap_or(&document.locale));
    note(&state, &caller, "export bill", &number).await?;
    Ok(pdf(paper(&caller.store, &document, locale).await?, &number))
}

/// A file of a period: one of [`Export::ALL`].
pub async fn export(
    State(state): State<WebState>,
    Path((tenant, name)): Path<(String, String)>,
    Query(query): Query<PeriodQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let caller = caller_asked_for(&state, &headers, &tenant, Role::Viewer).await?;
    let export = Export::named(&name).ok_or_else(not_found)?;
    let schedule = schedule_of(&caller.store, &caller.account).await?;
    let subject = Subject::Month(query.of(&state, &schedule)?);
    let (response, action) = export.of(&state, &caller, &subject).await?;
    note(&state, &caller, action, &subject.name()).await?;
    Ok(response)
}

/// What the bill of the month that runs will come to, if the rest of it is as usual; `null` while there is nothing to go by.
pub async fn forecast(
    State(state): State<WebState>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let Caller { account, store, .. } = caller_asked_for(&state, &headers, &tenant, Role::Viewer).await?;
    let schedule = schedule_of(&store, &account).await?;
    let now = state.clock.now();
    let period = schedule.containing(now).map_err(BillError::Period)?;
    let forecast = crate::bill::forecast::forecast(&store, &account, &schedule, period, now).await?;
    let forecast = forecast.map(|forecast| {
        let basis = match forecast.basis {
            Basis::Weeks(weeks) => format!("the same times of the last {weeks} weeks"),
            Basis::MonthSoFar => "the average of the month so far".to_owned(),
        };
        json!({"total": forecast.total, "currency": forecast.currency, "basis": basis, "quantities": forecast.quantities})
    });
    Ok(Json(
        json!({"tenant": tenant, "period": period.to_string(), "forecast": forecast}),
    ))
}

pub(super) async fn note(
    state: &WebState,
    caller: &Caller,
    action: &str,
    object: &str,
) -> Result<(), StoreError> {
    let Caller {
        account,
        holder,
        store,
    } = caller;
    store
        .note(account.ledger, holder, action, object, state.clock.now())
        .await
}

/// Money so far: the draft of a period, or its bill if it was issued.
pub async fn preview(
    State(state): State<WebState>,
    Path(tenant): Path<String>,
    Query(query): Query<PeriodQuery>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let Caller { account, store, .. } = caller_asked_for(&state, &headers, &tenant, Role::Viewer).await?;
    let schedule = schedule_of(&store, &account).await?;
    let period = query.of(&state, &schedule)?;
    Ok(Json(
        bill_by(&store, &account, &schedule, period, state.clock.now())
            .await?
            .to_json(),
    ))
}

/// The billed interactions of a period, a JSON line each.
pub async fn interactions(
    State(state): State<WebState>,
    Path(tenant): Path<String>,
    Query(query): Query<PeriodQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let caller = caller_asked_for(&state, &headers, &tenant, Role::Viewer).await?;
    let schedule = schedule_of(&caller.store, &caller.account).await?;
    let period = query.of(&state, &schedule)?;
    let bounds = schedule
        .bounds(period)
        .map_err(|error| ApiError::invalid("period", error.to_string()))?;
    note(&state, &caller, "export interactions", &period.to_string()).await?;
    lines(caller, bounds).await
}

/// The billed interactions of a period, streamed. Where some may be no longer kept, a header says since when all are; where
/// none is left, that is the answer.
pub(super) async fn lines(caller: Caller, bounds: Bounds) -> Result<Response, Failure> {
    let Caller { account, store, .. } = &caller;
    let kept_since = store.events_kept_since(account.ledger).await?;
    let are_missed = bounds.start < kept_since;
    if are_missed {
        let tenant = account.details.party.tenant.as_str();
        let first = store
            .export_at_most(account.ledger, tenant, &bounds, 1)
            .next()
            .await;
        if first.transpose()?.is_none() {
            let message = format!(
                "interactions that were recorded before {} are no longer kept, as the contract says; bills and sums are",
                kept_since.to_zoned(jiff::tz::TimeZone::UTC).date()
            );
            return Err(ApiError::new(Reason::NoLongerKept, message).into());
        }
    }
    let mut response = stream(caller, bounds);
    if let (true, Ok(since)) = (are_missed, HeaderValue::from_str(&kept_since.to_string())) {
        response.headers_mut().insert(KEPT_SINCE, since);
    }
    Ok(response)
}

fn stream(caller: Caller, bounds: Bounds) -> Response {
    let (lines, received) = tokio::sync::mpsc::channel(STREAM_AHEAD);
    tokio::spawn(async move {
        let Caller { account, store, .. } = caller;
        let Account { ledger, details, .. } = account;
        let mut events = store.export(ledger, details.party.tenant.as_str(), &bounds);
        while let Some(event) = events.next().await {
            let line = event.map_err(std::io::Error::other).and_then(|event| {
                let mut text = serde_json::to_string(&event)?;
                text.push('\n');
                Ok(text)
            });
            let failed = line.is_err();
            // A reader that went away ends the export; a failure cuts the stream, so that it does not look whole.
            if lines.send(line).await.is_err() || failed {
                return;
            }
        }
    });
    let body = Body::from_stream(ReceiverStream::new(received));
    (
        [(header::CONTENT_TYPE, "application/x-ndjson; charset=utf-8")],
        body,
    )
        .into_response()
}
