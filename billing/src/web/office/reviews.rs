//! Drafts that wait for approval.

use axum::extract::{Path, Query, RawForm, State};
use axum::http::{HeaderMap, StatusCode};
use springtide_proto::error::ApiError;

use super::super::auth::not_found;
use super::super::pages::Tab;
use super::super::visit::{Page, PortalQuery, STRIKING};
use super::super::{Failure, WebState};
use super::month::{GRACE, period_of};
use super::pages::reviews::{Approved, DraftPage, QueuePage, Waiting, draft_page, queue_page};
use super::visit::{OfficeVisit, store};
use crate::bill::close::{APPROVED, Refusal, approve};
use crate::bill::correction::differences;
use crate::bill::document::Document;
use crate::bill::issue::Issuer;
use crate::bill::review::Finding;
use crate::bill::{BillError, read};
use crate::metering::decide::LedgerId;
use crate::rating::period::Period;
use crate::store::{QueueQuery, Review, StoreError};

const PLACE: (&str, Tab) = ("/office/reviews", Tab::OfficeReviews);
/// Drafts of a page.
const PAGE: u32 = 50;
/// Pages that can be turned to.
const PAGES: u32 = 1_000;
/// Drafts that are approved by one form.
const CHOSEN: usize = 200;

/// Drafts that wait, some at a time.
pub async fn queue(
    State(state): State<WebState>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let visit = OfficeVisit::enter(&state, &headers, &query, PLACE).await?;
    let page = queue_of(&state, &visit, &query)
        .await
        .map_err(|error| visit.failed(error))?;
    Ok(visit.page(queue_page(&visit.view, &page)))
}

async fn queue_of(state: &WebState, visit: &OfficeVisit, query: &PortalQuery) -> Result<QueuePage, Failure> {
    let period = period_of(query.period.as_deref(), state.clock.now())?;
    let striking_only = query.only.as_deref() == Some(STRIKING);
    let page = query.page.unwrap_or(0).min(PAGES);
    let asked = QueueQuery {
        striking_only,
        skip: i64::from(page) * i64::from(PAGE),
        most: i64::from(PAGE),
    };
    let queue = store(state).review_queue(&period.to_string(), asked).await?;
    let all = if striking_only {
        queue.striking
    } else {
        queue.waiting
    };
    Ok(QueuePage {
        period,
        striking_only,
        page,
        has_more: all > u64::from(page + 1) * u64::from(PAGE),
        waiting: queue.waiting,
        striking: queue.striking,
        drafts: queue
            .reviews
            .into_iter()
            .map(waiting_of)
            .collect::<Result<_, _>>()?,
        may_act: visit.may_act(),
        approved: None,
    })
}

fn waiting_of(review: Review) -> Result<Waiting, StoreError> {
    let unreadable = |_| StoreError::unreadable("review");
    let document: Document = serde_json::from_str(&review.document).map_err(unreadable)?;
    let findings: Vec<Finding> = serde_json::from_str(&review.findings).map_err(unreadable)?;
    Ok(Waiting {
        ledger: review.ledger,
        digest: review.digest,
        actor: review.actor,
        at: review.at,
        document,
        findings,
    })
}

/// One draft, with what a reviewer looks at.
pub async fn draft(
    State(state): State<WebState>,
    Path(ledger): Path<String>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let visit = OfficeVisit::enter(&state, &headers, &query, ("", PLACE.1)).await?;
    let ledger = ledger.parse().map_err(|_| visit.failed(not_found()))?;
    let page = draft_of(&state, &visit, ledger, &query)
        .await
        .map_err(|error| visit.failed(error))?;
    Ok(visit.page(draft_page(&visit.view, &page)))
}

async fn draft_of(
    state: &WebState,
    visit: &OfficeVisit,
    ledger: LedgerId,
    query: &PortalQuery,
) -> Result<DraftPage, Failure> {
    let store = store(state);
    let period = period_of(query.period.as_deref(), state.clock.now())?;
    let review = store.latest_review(ledger, &period.to_string()).await?;
    let waiting = waiting_of(review.ok_or_else(not_found)?)?;
    let issued = store.invoice_of_period(ledger, &period.to_string()).await?;
    let before = period.previous().map_err(BillError::Period)?.to_string();
    let before = store.invoice_of_period(ledger, &before).await?;
    let before = before.as_ref().map(read).transpose()?;
    let differences = match &before {
        Some(before) if before.currency == waiting.document.currency => {
            differences(before, &waiting.document).map_err(BillError::Amount)?
        }
        _ => Vec::new(),
    };
    Ok(DraftPage {
        period,
        waiting,
        issued: issued.map(|issued| issued.number),
        before,
        differences,
        may_act: visit.may_act(),
    })
}

/// Issues the drafts that were chosen, if they still are what was looked at.
pub async fn approve_chosen(
    State(state): State<WebState>,
    headers: HeaderMap,
    RawForm(form): RawForm,
) -> Page {
    let visit = OfficeVisit::enter_to_change(&state, &headers, PLACE).await?;
    let Some(form) = Chosen::of(&form) else {
        return Err(visit.failed(ApiError::invalid("draft", "is not a ledger and a digest")));
    };
    let query = PortalQuery {
        period: Some(form.period.clone()),
        only: form.only,
        ..PortalQuery::default()
    };
    let period = period_of(Some(&form.period), state.clock.now()).map_err(|error| visit.failed(error))?;
    let mut approved = Vec::new();
    for (ledger, digest) in &form.drafts {
        let done = approve_one(&state, &visit, period, (*ledger, digest)).await;
        approved.push(done.map_err(|error| visit.failed(error))?);
    }
    let mut page = queue_of(&state, &visit, &query)
        .await
        .map_err(|error| visit.failed(error))?;
    let status = if approved.is_empty() {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    page.approved = Some(approved);
    Ok(visit.page_with(status, queue_page(&visit.view, &page)))
}

async fn approve_one(
    state: &WebState,
    visit: &OfficeVisit,
    period: Period,
    (ledger, digest): (LedgerId, &str),
) -> Result<Approved, Failure> {
    let store = store(state);
    let account = store.account_of_ledger(ledger).await?.ok_or_else(not_found)?;
    let actor = visit.actor();
    let issuer = Issuer {
        actor: &actor,
        note: APPROVED,
        now: state.clock.now(),
    };
    match approve(store, &account, period, GRACE, issuer, Some(digest)).await {
        Ok((document, _)) => Ok(Approved::Issued(Box::new(document))),
        Err(BillError::Store(error)) => Err(error.into()),
        Err(error) => Ok(Approved::Refused(Refusal::of(&account, &error))),
    }
}

/// What the form of the queue says: which month, and which drafts, each as LEDGER:DIGEST.
struct Chosen {
    period: String,
    only: Option<String>,
    drafts: Vec<(LedgerId, String)>,
}

impl Chosen {
    fn of(form: &[u8]) -> Option<Self> {
        let mut chosen = Self {
            period: String::new(),
            only: None,
            drafts: Vec::new(),
        };
        for (name, value) in form_urlencoded::parse(form) {
            match name.as_ref() {
                "period" => chosen.period = value.into_owned(),
                "only" => chosen.only = Some(value.into_owned()),
                "draft" => {
                    let (ledger, digest) = value.split_once(':')?;
                    chosen.drafts.push((ledger.parse().ok()?, digest.to_owned()));
                }
                _ => {}
            }
        }
        (chosen.drafts.len() <= CHOSEN).then_some(chosen)
    }
}
