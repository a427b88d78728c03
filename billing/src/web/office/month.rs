//! A month over all tenants: what was billed, what waits, and runs.

use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use springtide_proto::error::ApiError;

use super::super::pages::Tab;
use super::super::visit::{Page, PortalQuery};
use super::super::{Failure, WebState};
use super::pages::month::{MonthPage, audit_page, month_page};
use super::visit::{OfficeVisit, store};
use crate::bill::BillError;
use crate::bill::close::{APPROVED, ApproveOrder, CloseOrder, Grace, approve_all, close};
use crate::bill::issue::Issuer;
use crate::bill::notes::correct_all;
use crate::bill::run::{NewRun, Progress, Standing, recorded};
use crate::rating::period::Period;
use crate::store::{QueueQuery, RunKind, Store, with_causes};

const PLACE: (&str, Tab) = ("/office", Tab::OfficeMonth);
/// Runs, disputes and drifts that are shown.
const SHOWN: i64 = 50;
/// Entries of the audit that are shown.
const AUDIT: i64 = 200;
/// After a period's end, what was used until then may still be under way.
pub(super) const GRACE: Grace = Grace {
    length: SignedDuration::from_hours(1),
    before_end: false,
};

/// The month that is asked for, or the one that ended last.
pub(super) fn period_of(text: Option<&str>, now: Timestamp) -> Result<Period, BillError> {
    let period = match text {
        Some(text) => text.parse(),
        None => Period::containing(now, &TimeZone::UTC).and_then(Period::previous),
    };
    period.map_err(BillError::Period)
}

/// What was billed, what waits, and runs.
pub async fn month(
    State(state): State<WebState>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let visit = OfficeVisit::enter(&state, &headers, &query, PLACE).await?;
    shown(&state, visit, query.period.as_deref(), false).await
}

async fn shown(state: &WebState, mut visit: OfficeVisit, period: Option<&str>, is_refused: bool) -> Page {
    let page = month_of(state, &visit, period)
        .await
        .map_err(|error| visit.failed(error))?;
    visit.view.is_live = true;
    let status = if is_refused {
        StatusCode::CONFLICT
    } else {
        StatusCode::OK
    };
    Ok(visit.page_with(status, month_page(&visit.view, &MonthPage { is_refused, ..page })))
}

async fn month_of(state: &WebState, visit: &OfficeVisit, period: Option<&str>) -> Result<MonthPage, Failure> {
    let (store, now) = (store(state), state.clock.now());
    let period = period_of(period, now)?;
    let text = period.to_string();
    let none = QueueQuery {
        striking_only: false,
        skip: 0,
        most: 0,
    };
    let (billed, queue, runs, drifts, disputes) = tokio::try_join!(
        store.billed_of(&text),
        store.review_queue(&text, none),
        store.runs_of(&text, SHOWN),
        store.drifts(SHOWN),
        store.open_disputes(SHOWN),
    )?;
    let ends = period.bounds(&TimeZone::UTC).map_err(BillError::Period)?.end;
    Ok(MonthPage {
        period,
        is_over: now >= ends,
        billed,
        queue,
        runs: runs
            .into_iter()
            .map(|run| {
                let standing = run.standing(now);
                (run, standing)
            })
            .collect(),
        drifts,
        disputes: disputes.len(),
        may_act: visit.may_act(),
        is_refused: false,
    })
}

/// The form of [`begin_run`].
#[derive(Deserialize)]
pub struct RunForm {
    kind: String,
    period: String,
}

/// Begins a run over all tenants, which goes on when this has answered.
pub async fn begin_run(State(state): State<WebState>, headers: HeaderMap, Form(form): Form<RunForm>) -> Page {
    let visit = OfficeVisit::enter_to_change(&state, &headers, PLACE).await?;
    let period = period_of(Some(&form.period), state.clock.now()).map_err(|error| visit.failed(error))?;
    let kind = match form.kind.as_str() {
        "review" => RunKind::Review,
        "approve" => RunKind::Approve,
        "correct" => RunKind::Correct,
        _ => return Err(visit.failed(ApiError::invalid("kind", "is none of review, approve, correct"))),
    };
    let is_busy = is_under_way(&state, period).await;
    if is_busy.map_err(|error| visit.failed(error))? {
        return shown(&state, visit, Some(&form.period), true).await;
    }
    let action = format!("run: {}", kind.name());
    visit.note_action(&state, &action, &period.to_string()).await?;
    tokio::spawn(run(state.clone(), kind, period, visit.actor()));
    Ok(to_month(period))
}

pub(super) fn to_month(period: Period) -> Response {
    Redirect::to(&format!("/office?period={period}")).into_response()
}

async fn is_under_way(state: &WebState, period: Period) -> Result<bool, Failure> {
    let runs = store(state).runs_of(&period.to_string(), 1).await?;
    let now = state.clock.now();
    Ok(runs.iter().any(|run| run.standing(now) == Standing::UnderWay))
}

/// A run's work. What is to be known of it is in its record.
async fn run(state: WebState, kind: RunKind, period: Period, actor: String) {
    let (store, clock) = (store(&state), state.clock.as_ref());
    let (progress, new) = (
        Progress::default(),
        NewRun {
            kind,
            period,
            actor: &actor,
        },
    );
    let issuer = Issuer {
        actor: &actor,
        note: if kind == RunKind::Approve { APPROVED } else { "" },
        now: clock.now(),
    };
    let done = match kind {
        RunKind::Review | RunKind::Issue => {
            let order = CloseOrder {
                period,
                issue: false,
                grace: GRACE,
                issuer,
            };
            let work = Box::pin(close(store, order, &progress));
            recorded(store, clock, new, &progress, work).await.map(drop)
        }
        RunKind::Approve => {
            let order = ApproveOrder {
                period,
                plain_only: true,
                grace: GRACE,
                issuer,
            };
            let work = Box::pin(approve_all(store, order, &progress, |_| {}));
            recorded(store, clock, new, &progress, work).await.map(drop)
        }
        RunKind::Correct => {
            let work = Box::pin(correct_all(store, period, issuer, &progress, |_| {}));
            recorded(store, clock, new, &progress, work).await.map(drop)
        }
    };
    if let Err(error) = done {
        tracing::error!(%period, kind = kind.name(), error = %with_causes(&error), "a run over all tenants failed");
    }
}

/// What was done of no tenant, or of all.
pub async fn audit(
    State(state): State<WebState>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let place = ("/office/audit", Tab::OfficeAudit);
    let visit = OfficeVisit::enter(&state, &headers, &query, place).await?;
    let store: &Store = store(&state);
    let entries = store
        .audit_of_provider(AUDIT)
        .await
        .map_err(|error| visit.failed(error))?;
    Ok(visit.page(audit_page(&visit.view, &entries)))
}
