//! A bill: its page, its PDF, what can be downloaded, and disputes.

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::auth::{Caller, not_found};
use super::pages::Tab;
use super::pages::disputes::{Disputes, disputes_page};
use super::pages::invoice::{InvoicePage, invoice_page};
use super::portal::period_of;
use super::visit::{Page, PortalQuery, Visit};
use super::{Failure, WebState};
use crate::bill::document::Document;
use crate::bill::notes::act;
use crate::bill::plans::plans_of_bill;
use crate::bill::schedule::schedule_of;
use crate::bill::state::{Act, InvoiceState, TaxStanding};
use crate::bill::{BillError, bill, read};
use crate::export::exclusions::exclusions_csv;
use crate::export::focus::focus_csv;
use crate::export::minutes::minutes_csv;
use crate::export::usage::usage_csv;
use crate::export::{
    billed_minutes, billed_usage, exclusions_of, exclusions_of_bill, minutes_of_bill, plan_manifests,
    plans_of_period, usage_of_bill,
};
use crate::locale::Locale;
use crate::pdf::invoice_pdf;
use crate::rating::period::{Bounds, Period};
use crate::store::{Account, Dispute, Role, StateRecord, Store, StoreError};

/// Longest words of a dispute, in characters.
const MAX_REASON: usize = 2000;

/// One bill, each line explained; with ".pdf" after its number, on paper.
pub async fn invoice(
    State(state): State<WebState>,
    Path(number): Path<String>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let (number, is_pdf) = number
        .strip_suffix(".pdf")
        .map_or((number.as_str(), false), |number| (number, true));
    let visit = Visit::begin(&state, &headers, &query, ("", Tab::Overview), Role::Viewer).await?;
    let account = &visit.caller.account;
    let document = numbered(&visit.caller.store, account, number)
        .await
        .map_err(|error| visit.failed(error))?;
    if is_pdf {
        visit.note(&state, "export bill", number).await?;
        let bytes = paper(&visit.caller.store, &document, visit.view.locale)
            .await
            .map_err(|error| visit.failed(error))?;
        return Ok(pdf(bytes, number));
    }
    let page = page_of_bill(&visit.caller, &document)
        .await
        .map_err(|error| visit.failed(error))?;
    Ok(visit.page(invoice_page(&visit.view, &page, None)))
}

/// A bill with all that became of it.
async fn page_of_bill<'a>(caller: &Caller, document: &'a Document) -> Result<InvoicePage<'a>, Failure> {
    let Caller {
        account,
        store,
        holder,
    } = caller;
    let number = document.number.as_deref().unwrap_or_default();
    let states = store.states_of_ledger(account.ledger).await?;
    let tax = TaxStanding::of(&store.tax_registrations(number).await?);
    let mut disputes = store.disputes(account.ledger).await?;
    disputes.retain(|dispute| dispute.number == number);
    let mut notes = Vec::new();
    if document.corrects.is_none() {
        let all = store.invoices(account.ledger).await?;
        let on_it = all
            .into_iter()
            .filter(|note| note.period == document.period && note.number != number);
        notes.extend(on_it.map(|note| note.number));
        notes.sort_unstable();
    }
    Ok(InvoicePage {
        document,
        state: state_of(states.get(number)),
        tax,
        notes,
        disputes: Disputes { disputes, states },
        may_dispute: holder.role >= Role::Finance,
    })
}

/// The state that a bill is in: the last one.
pub(super) fn state_of(history: Option<&Vec<StateRecord>>) -> InvoiceState {
    let last = history.and_then(|history| history.last());
    last.map_or(InvoiceState::Issued, |record| record.state)
}

/// A bill on paper, with what the tax office knows of it.
pub(super) async fn paper(store: &Store, document: &Document, locale: Locale) -> Result<Vec<u8>, Failure> {
    let number = document.number.as_deref().unwrap_or_default();
    let tax = TaxStanding::of(&store.tax_registrations(number).await?);
    Ok(invoice_pdf(document, tax.as_ref(), locale)?)
}

/// An account's bill of that number.
pub(super) async fn numbered(store: &Store, account: &Account, number: &str) -> Result<Document, Failure> {
    let stored = store
        .invoice_numbered(account.ledger, number)
        .await?
        .ok_or_else(not_found)?;
    Ok(read(&stored)?)
}

/// A PDF as a file to keep.
pub(super) fn pdf(bytes: Vec<u8>, number: &str) -> Response {
    download(bytes, "application/pdf", &format!("{number}.pdf"))
}

/// A file to keep. `name`: letters, digits, dots and hyphens.
pub(super) fn download(bytes: Vec<u8>, kind: &'static str, name: &str) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    let mut response = ([(header::CONTENT_TYPE, kind)], bytes).into_response();
    if let Ok(value) = HeaderValue::try_from(disposition) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// Something to take away.
pub(super) enum Export {
    Usage,
    Minutes,
    Exclusions,
    Focus,
    Plan,
    Bill,
}

impl Export {
    /// All of them, by the last part of their addresses.
    pub(super) const ALL: [(&str, Self); 6] = [
        ("usage.csv", Self::Usage),
        ("minutes.csv", Self::Minutes),
        ("exclusions.csv", Self::Exclusions),
        ("focus.csv", Self::Focus),
        ("plan.json", Self::Plan),
        ("bill.json", Self::Bill),
    ];

    /// Of the last part of an address.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find_map(|(known, export)| (known == name).then_some(export))
    }

    /// The file, and for the audit what it is called.
    pub(super) async fn of(
        &self,
        state: &WebState,
        caller: &Caller,
        subject: &Subject,
    ) -> Result<(Response, &'static str), Failure> {
        let Caller { account, store, .. } = caller;
        let (bytes, kind, name, action) = match self {
            Self::Usage => {
                let usage = match subject {
                    Subject::Month(period) => billed_usage(store, account, *period).await?,
                    Subject::Bill(bill, _) => usage_of_bill(store, account, bill).await?,
                };
                let bytes = usage_csv(&usage).map_err(StoreError::from)?;
                (bytes, CSV, "usage.csv", "export usage")
            }
            Self::Minutes => {
                let minutes = match subject {
                    Subject::Month(period) => billed_minutes(store, account, *period).await?,
                    Subject::Bill(bill, _) => minutes_of_bill(store, account, bill).await?,
                };
                (minutes_csv(&minutes), CSV, "minutes.csv", "export minutes")
            }
            Self::Exclusions => {
                let exclusions = match subject {
                    Subject::Month(period) => exclusions_of(store, account, *period).await?,
                    Subject::Bill(bill, _) => exclusions_of_bill(store, account, bill).await?,
                };
                let bytes = exclusions_csv(&exclusions);
                (bytes, CSV, "exclusions.csv", "export exclusions")
            }
            Self::Focus => {
                let document = subject.document(state, caller).await?;
                (focus_csv(&[document]), CSV, "focus.csv", "export costs")
            }
            Self::Plan => {
                let (plans, period) = match subject {
                    Subject::Month(period) => (plans_of_period(store, account, *period).await?, *period),
                    Subject::Bill(bill, number) => {
                        let period = bill.period.parse().map_err(BillError::Period)?;
                        (plans_of_bill(store, bill, number).await?, period)
                    }
                };
                let text = format!("{:#}\n", plan_manifests(&plans, period)?);
                (text.into_bytes(), JSON, "plan.json", "export plan")
            }
            Self::Bill => {
                let text = format!("{:#}\n", subject.document(state, caller).await?.to_json());
                (text.into_bytes(), JSON, "bill.json", "export bill")
            }
        };
        let tenant = &account.details.party.tenant;
        Ok((
            download(bytes, kind, &format!("{tenant}-{}-{name}", subject.name())),
            action,
        ))
    }
}

/// What the portal has besides: it is streamed.
pub(super) const INTERACTIONS: &str = "interactions.jsonl";
const CSV: &str = "text/csv; charset=utf-8";
const JSON: &str = "application/json";

/// What a file is of.
pub(super) enum Subject {
    /// A month: its bill if it is issued, and else what it would be now.
    Month(Period),
    /// An issued bill or note, with its number.
    Bill(Box<Document>, String),
}

impl Subject {
    /// As it is written: a month, or a number.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Month(period) => period.to_string(),
            Self::Bill(_, number) => number.clone(),
        }
    }

    async fn bounds(&self, store: &Store, account: &Account) -> Result<Bounds, Failure> {
        Ok(match self {
            Self::Month(period) => schedule_of(store, account)
                .await?
                .bounds(*period)
                .map_err(BillError::Period)?,
            Self::Bill(bill, _) => Bounds {
                start: bill.period_start,
                end: bill.period_end,
            },
        })
    }

    async fn document(&self, state: &WebState, caller: &Caller) -> Result<Document, Failure> {
        Ok(match self {
            Self::Month(period) => bill(&caller.store, &caller.account, *period, state.clock.now()).await?,
            Self::Bill(bill, _) => bill.as_ref().clone(),
        })
    }
}

/// A file of a month, or with `?number=…` of a bill or note.
pub async fn export(
    State(state): State<WebState>,
    Path(name): Path<String>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let visit = Visit::begin(&state, &headers, &query, ("", Tab::Overview), Role::Viewer).await?;
    let subject = subject_of(&state, &visit.caller, &query)
        .await
        .map_err(|error| visit.failed(error))?;
    if name == INTERACTIONS {
        return interactions(&state, &visit, &subject).await;
    }
    let export = Export::named(&name).ok_or_else(|| visit.failed(not_found()))?;
    let (response, action) = export
        .of(&state, &visit.caller, &subject)
        .await
        .map_err(|error| visit.failed(error))?;
    visit.note(&state, action, &subject.name()).await?;
    Ok(response)
}

async fn subject_of(state: &WebState, caller: &Caller, query: &PortalQuery) -> Result<Subject, Failure> {
    let Caller { account, store, .. } = caller;
    Ok(match query.number.clone() {
        Some(number) => Subject::Bill(Box::new(numbered(store, account, &number).await?), number),
        None => Subject::Month(period_of(state, query, &schedule_of(store, account).await?)?),
    })
}

/// Every interaction of the time that the subject is of, as lines of JSON.
async fn interactions(state: &WebState, visit: &Visit, subject: &Subject) -> Page {
    let Caller { account, store, .. } = &visit.caller;
    visit.note(state, "export interactions", &subject.name()).await?;
    let bounds = subject
        .bounds(store, account)
        .await
        .map_err(|error| visit.failed(error))?;
    let mut response = super::api::lines(visit.caller.clone(), bounds)
        .await
        .map_err(|error| visit.failed(error))?;
    let tenant = &account.details.party.tenant;
    let name = format!(
        "attachment; filename=\"{tenant}-{}-interactions.jsonl\"",
        subject.name()
    );
    if let Ok(value) = HeaderValue::try_from(name) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// The form of [`dispute`].
#[derive(Deserialize)]
pub struct DisputeForm {
    line: String,
    reason: String,
}

/// Records what a client firm objects to.
pub async fn dispute(
    State(state): State<WebState>,
    Path(number): Path<String>,
    headers: HeaderMap,
    Form(form): Form<DisputeForm>,
) -> Page {
    let visit = Visit::begin_change(&state, &headers, ("", Tab::Overview), Role::Finance).await?;
    let account = &visit.caller.account;
    let document = numbered(&visit.caller.store, account, &number)
        .await
        .map_err(|error| visit.failed(error))?;
    let reason = form.reason.trim();
    let is_line = form.line.is_empty() || document.lines.iter().any(|line| line.line.name == form.line);
    if reason.is_empty() || reason.chars().count() > MAX_REASON || !is_line {
        let page = page_of_bill(&visit.caller, &document)
            .await
            .map_err(|error| visit.failed(error))?;
        let page = invoice_page(&visit.view, &page, Some(&form.reason));
        return Ok(visit.page_with(StatusCode::BAD_REQUEST, page));
    }
    let dispute = Dispute {
        number: number.clone(),
        line: form.line,
        reason: reason.to_owned(),
        opened_by: visit.caller.holder.name.clone(),
        opened_at: state.clock.now(),
    };
    note_disputed(&visit.caller.store, account, &dispute)
        .await
        .map_err(|error| visit.failed(error))?;
    visit
        .caller
        .store
        .open_dispute(account.ledger, &dispute)
        .await
        .map_err(|error| visit.failed(error))?;
    visit.note(&state, "open dispute", &number).await?;
    Ok(Redirect::to("/portal/disputes").into_response())
}

/// Brings the bill into the state of a dispute, unless it is in one, or was taken back.
async fn note_disputed(store: &Store, account: &Account, dispute: &Dispute) -> Result<(), Failure> {
    let stored = store.invoice_numbered(account.ledger, &dispute.number).await?;
    let stored = stored.ok_or_else(not_found)?;
    let actor = format!("portal: {}", dispute.opened_by);
    match act(
        store,
        &stored,
        Act::Dispute,
        &actor,
        // The client's words are kept with the dispute alone: what became of a bill never changes, and they may.
        "",
        dispute.opened_at,
    )
    .await
    {
        Ok(_) | Err(BillError::State { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// All disputes.
pub async fn disputes(
    State(state): State<WebState>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let place = ("/portal/disputes", Tab::Disputes);
    let visit = Visit::begin(&state, &headers, &query, place, Role::Viewer).await?;
    let account = &visit.caller.account;
    let schedule = schedule_of(&visit.caller.store, account)
        .await
        .map_err(|error| visit.failed(error))?;
    let zone = schedule.zone_at(state.clock.now());
    let disputes = disputes_of(&visit.caller)
        .await
        .map_err(|error| visit.failed(error))?;
    Ok(visit.page(disputes_page(&visit.view, &zone, &disputes)))
}

async fn disputes_of(caller: &Caller) -> Result<Disputes, Failure> {
    let Caller { account, store, .. } = caller;
    Ok(Disputes {
        disputes: store.disputes(account.ledger).await?,
        states: store.states_of_ledger(account.ledger).await?,
    })
}
