//! A bill: its page, its PDF, the interactions behind its lines, what can be downloaded, and disputes.

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use futures::TryStreamExt as _;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::auth::not_found;
use super::pages::Tab;
use super::pages::disputes::disputes_page;
use super::pages::interactions::{InteractionsPage, interactions_page};
use super::pages::invoice::{InvoicePage, invoice_page};
use super::portal::period_of;
use super::visit::{Page, PortalQuery, Visit};
use super::{Failure, WebState};
use crate::bill::document::Document;
use crate::bill::{BillError, bill, read, zone_of};
use crate::export::focus::focus_csv;
use crate::export::usage::usage_csv;
use crate::export::{billed_usage, plan_manifest, plan_of_period};
use crate::pdf::invoice_pdf;
use crate::rating::period::{Bounds, Period, zone_named};
use crate::rating::plan::RatePlan;
use crate::rating::rate::{Line, Rule};
use crate::store::{Account, Dispute, ExportedEvent, Role, Store, StoreError};

/// Interactions on one page.
const PAGE: usize = 50;
/// Interactions that are looked through for one page.
const LOOKED_THROUGH: usize = 5000;
/// Characters of an identity that are shown of its beginning, and of its end.
const SHOWN: usize = 4;
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
    let document = numbered(&state.store, account, number)
        .await
        .map_err(|error| visit.failed(error))?;
    if is_pdf {
        visit.note(&state, "export bill", number).await?;
        let bytes = invoice_pdf(&document, visit.view.locale).map_err(|error| visit.failed(error))?;
        return Ok(pdf(bytes, number));
    }
    let disputes = state
        .store
        .disputes(account.ledger)
        .await
        .map_err(|error| visit.failed(error))?;
    let page = InvoicePage {
        document: &document,
        disputes: disputes
            .into_iter()
            .filter(|dispute| dispute.number == number)
            .collect(),
        may_dispute: visit.caller.holder.role >= Role::Finance,
    };
    Ok(visit.page(invoice_page(&visit.view, &page, None)))
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
    Focus,
    Plan,
    Bill,
}

impl Export {
    /// Of the last part of an address.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "usage.csv" => Some(Self::Usage),
            "focus.csv" => Some(Self::Focus),
            "plan.json" => Some(Self::Plan),
            "bill.json" => Some(Self::Bill),
            _ => None,
        }
    }

    /// The file, and for the audit what it is called.
    pub(super) async fn of(
        &self,
        state: &WebState,
        account: &Account,
        period: Period,
    ) -> Result<(Response, &'static str), Failure> {
        let store = &state.store;
        let tenant = account.details.party.tenant.as_str();
        let file = |bytes, kind, name: &str| download(bytes, kind, &format!("{tenant}-{period}-{name}"));
        let csv = "text/csv; charset=utf-8";
        Ok(match self {
            Self::Usage => {
                let usage = billed_usage(store, account, period).await?;
                (
                    file(usage_csv(&usage).map_err(StoreError::from)?, csv, "usage.csv"),
                    "export usage",
                )
            }
            Self::Focus => {
                let document = bill(store, account, period, state.clock.now()).await?;
                (file(focus_csv(&[document]), csv, "focus.csv"), "export costs")
            }
            Self::Plan => {
                let version = plan_of_period(store, account, period).await?;
                let text = format!("{:#}\n", plan_manifest(&version)?);
                (
                    file(text.into_bytes(), "application/json", "plan.json"),
                    "export plan",
                )
            }
            Self::Bill => {
                let document = bill(store, account, period, state.clock.now()).await?;
                let text = format!("{:#}\n", document.to_json());
                (
                    file(text.into_bytes(), "application/json", "bill.json"),
                    "export bill",
                )
            }
        })
    }
}

/// A file of a month.
pub async fn export(
    State(state): State<WebState>,
    Path(name): Path<String>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let visit = Visit::begin(&state, &headers, &query, ("", Tab::Overview), Role::Viewer).await?;
    let account = &visit.caller.account;
    let zone = zone_of(&state.store, account)
        .await
        .map_err(|error| visit.failed(error))?;
    let period = period_of(&state, &query, &zone).map_err(|error| visit.failed(error))?;
    if name == "interactions.jsonl" {
        visit
            .note(&state, "export interactions", &period.to_string())
            .await?;
        let bounds = period
            .bounds(&zone)
            .map_err(|error| visit.failed(BillError::Period(error)))?;
        let mut response = super::api::lines(state, account.clone(), bounds);
        let name = format!(
            "attachment; filename=\"{}-{period}-interactions.jsonl\"",
            account.details.party.tenant
        );
        if let Ok(value) = HeaderValue::try_from(name) {
            response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
        }
        return Ok(response);
    }
    let export = Export::named(&name).ok_or_else(|| visit.failed(not_found()))?;
    let (response, action) = export
        .of(&state, account, period)
        .await
        .map_err(|error| visit.failed(error))?;
    visit.note(&state, action, &period.to_string()).await?;
    Ok(response)
}

/// The interactions behind a line of a month's bill, or all of the month.
pub async fn interactions(
    State(state): State<WebState>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let place = ("/portal/interactions", Tab::Overview);
    let visit = Visit::begin(&state, &headers, &query, place, Role::Viewer).await?;
    let account = &visit.caller.account;
    let page = interactions_of(&state, account, &query)
        .await
        .map_err(|error| visit.failed(error))?;
    visit
        .note(&state, "read interactions", &page.period.to_string())
        .await?;
    Ok(visit.page(interactions_page(&visit.view, &page)))
}

async fn interactions_of(
    state: &WebState,
    account: &Account,
    query: &PortalQuery,
) -> Result<InteractionsPage, Failure> {
    let zone = zone_of(&state.store, account).await?;
    let period = period_of(state, query, &zone)?;
    let bounds = period.bounds(&zone).map_err(BillError::Period)?;
    let (line, behind) = match query.line {
        None => (None, None),
        Some(position) => {
            let document = bill(&state.store, account, period, state.clock.now()).await?;
            let line = document.lines.get(position).ok_or_else(not_found)?.line.clone();
            let behind = Behind::of(&state.store, account, period, &line).await?;
            (Some((position, line)), Some(behind))
        }
    };
    let cursor = query.after.as_deref().map(Cursor::parse);
    let cursor = cursor
        .map(|cursor| cursor.ok_or_else(|| super::portal::invalid("after")))
        .transpose()?;
    let tenant = account.details.party.tenant.as_str();
    let (events, next) = page_of(
        &state.store,
        account,
        tenant,
        bounds,
        cursor.unwrap_or_default(),
        behind.as_ref(),
    )
    .await?;
    Ok(InteractionsPage {
        period,
        zone,
        line,
        events,
        next: next.map(|cursor| cursor.to_string()),
        is_first: query.after.is_none(),
    })
}

/// A line of a bill, with the plan that says which interactions it prices.
struct Behind {
    line: Line,
    plan: RatePlan,
    zone: TimeZone,
}

impl Behind {
    async fn of(store: &Store, account: &Account, period: Period, line: &Line) -> Result<Self, Failure> {
        let version = plan_of_period(store, account, period).await?;
        let plan = RatePlan::parse(&version.spec);
        let plan = plan.map_err(|source| BillError::Plan {
            plan: version.name,
            source,
        })?;
        let zone = zone_named(&plan.zone_name).unwrap_or(TimeZone::UTC);
        Ok(Self {
            line: line.clone(),
            plan,
            zone,
        })
    }

    fn admits(&self, event: &ExportedEvent) -> bool {
        let Self { line, plan, zone } = self;
        match &line.rule {
            Rule::Charge { meter, filter, .. } => event.meter == *meter && filter.admits(&event.dimensions),
            Rule::Surcharge { meter, filter, .. } => {
                let surcharge = plan
                    .surcharges
                    .iter()
                    .find(|surcharge| surcharge.name == line.name);
                event.meter == *meter
                    && filter.admits(&event.dimensions)
                    && surcharge.is_some_and(|surcharge| surcharge.applies(zone.to_datetime(event.time)))
            }
            _ => false,
        }
    }
}

/// Where a page goes on: at an instant, after so many interactions of that very instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cursor {
    at: Option<Timestamp>,
    passed: usize,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let (nanos, passed) = text.split_once('-')?;
        let at = Timestamp::from_nanosecond(nanos.parse().ok()?).ok()?;
        let passed = passed.parse().ok().filter(|passed| *passed <= 100_000)?;
        Some(Self { at: Some(at), passed })
    }

    /// Behind `event`.
    fn behind(self, event: &ExportedEvent) -> Self {
        let passed = if self.at == Some(event.time) {
            self.passed + 1
        } else {
            1
        };
        Self {
            at: Some(event.time),
            passed,
        }
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}-{}",
            self.at.map_or(0, Timestamp::as_nanosecond),
            self.passed
        )
    }
}

/// The next page, and where the one after it begins, if there may be one.
async fn page_of(
    store: &Store,
    account: &Account,
    tenant: &str,
    bounds: Bounds,
    cursor: Cursor,
    behind: Option<&Behind>,
) -> Result<(Vec<ExportedEvent>, Option<Cursor>), StoreError> {
    let start = cursor.at.unwrap_or(bounds.start).max(bounds.start);
    let rest = Bounds {
        start,
        end: bounds.end,
    };
    let most = LOOKED_THROUGH.saturating_add(cursor.passed);
    let mut events = store.export_at_most(account.ledger, tenant, &rest, most);
    let (mut page, mut at, mut seen, mut to_pass) = (Vec::new(), cursor, 0_usize, cursor.passed);
    while let Some(event) = events.try_next().await? {
        seen += 1;
        if to_pass > 0 && cursor.at == Some(event.time) {
            to_pass -= 1;
            continue;
        }
        if page.len() == PAGE {
            return Ok((page, Some(at)));
        }
        at = at.behind(&event);
        if behind.is_none_or(|behind| behind.admits(&event)) {
            page.push(event);
        }
    }
    Ok((page, (seen == most).then_some(at)))
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
    let document = numbered(&state.store, account, &number)
        .await
        .map_err(|error| visit.failed(error))?;
    let reason = form.reason.trim();
    let is_line = form.line.is_empty() || document.lines.iter().any(|line| line.line.name == form.line);
    if reason.is_empty() || reason.chars().count() > MAX_REASON || !is_line {
        let page = InvoicePage {
            document: &document,
            disputes: Vec::new(),
            may_dispute: true,
        };
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
    state
        .store
        .open_dispute(account.ledger, &dispute)
        .await
        .map_err(|error| visit.failed(error))?;
    visit.note(&state, "open dispute", &number).await?;
    Ok(Redirect::to("/portal/disputes").into_response())
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
    let zone = zone_of(&state.store, account)
        .await
        .map_err(|error| visit.failed(error))?;
    let disputes = state
        .store
        .disputes(account.ledger)
        .await
        .map_err(|error| visit.failed(error))?;
    Ok(visit.page(disputes_page(&visit.view, &zone, &disputes)))
}

/// What a conversation or turn is shown as: enough to tell two apart, not enough to find one by.
pub(super) fn masked(identity: &str) -> String {
    let characters: Vec<_> = identity.chars().collect();
    let first: String = characters.iter().take(SHOWN).collect();
    match characters.len() {
        0..=SHOWN => first,
        length if length < 4 * SHOWN => format!("{first}…"),
        length => format!(
            "{first}…{}",
            characters.iter().skip(length - SHOWN).collect::<String>()
        ),
    }
}

/// A span of time that bounds a look-back.
pub(super) fn days(count: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * count)
}
