//! The interactions behind a line of a bill, page by page.

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use futures::TryStreamExt as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::auth::{Caller, not_found};
use super::bills::numbered;
use super::pages::Tab;
use super::pages::interactions::{InteractionsPage, interactions_page};
use super::portal::{invalid, period_of};
use super::visit::{Page, PortalQuery, Visit};
use super::{Failure, WebState};
use crate::bill::document::{Document, PlanReference};
use crate::bill::plans::KnownPlan;
use crate::bill::schedule::schedule_of;
use crate::bill::{BillError, bill};
use crate::rating::period::{Bounds, Period, zone_named};
use crate::rating::plan::RatePlan;
use crate::rating::rate::{Line, Rule};
use crate::store::{Account, ExportedEvent, Role, Store, StoreError};

/// Interactions on one page.
const PAGE: usize = 50;
/// Interactions that are looked through for one page.
const LOOKED_THROUGH: usize = 5000;
/// Characters of an identity that are shown of its beginning, and of its end.
const SHOWN: usize = 4;

/// The interactions behind a line of a month's bill, or with `?number=…` of a bill or note; or all of the month.
pub async fn interactions(
    State(state): State<WebState>,
    Query(query): Query<PortalQuery>,
    headers: HeaderMap,
) -> Page {
    let place = ("/portal/interactions", Tab::Overview);
    let visit = Visit::begin(&state, &headers, &query, place, Role::Viewer).await?;
    let page = interactions_of(&state, &visit.caller, &query)
        .await
        .map_err(|error| visit.failed(error))?;
    visit
        .note(&state, "read interactions", &page.period.to_string())
        .await?;
    Ok(visit.page(interactions_page(&visit.view, &page)))
}

async fn interactions_of(
    state: &WebState,
    caller: &Caller,
    query: &PortalQuery,
) -> Result<InteractionsPage, Failure> {
    let Caller { account, store, .. } = caller;
    let Source {
        number,
        document,
        period,
        mut bounds,
        zone,
    } = source_of(state, caller, query).await?;
    let (line, behind) = match query.line {
        None => (None, None),
        Some(position) => {
            let document = match document {
                Some(document) => document,
                None => bill(store, account, period, state.clock.now()).await?,
            };
            let line = document.lines.get(position).ok_or_else(not_found)?.line.clone();
            let reference = document.plan_behind(&line).ok_or_else(not_found)?;
            bounds = reference.bounds();
            let behind = Behind::of(store, reference, &line).await?;
            (Some((position, line)), Some(behind))
        }
    };
    let cursor = query.after.as_deref().map(Cursor::parse);
    let cursor = cursor
        .map(|cursor| cursor.ok_or_else(|| invalid("after")))
        .transpose()?;
    let tenant = account.details.party.tenant.as_str();
    let (events, next) = page_of(
        store,
        account,
        tenant,
        bounds,
        cursor.unwrap_or_default(),
        behind.as_ref(),
    )
    .await?;
    let kept_since = store.events_kept_since(account.ledger).await?;
    Ok(InteractionsPage {
        dropped_before: (bounds.start < kept_since).then_some(kept_since),
        number,
        period,
        zone,
        line,
        events,
        next: next.map(|cursor| cursor.to_string()),
        is_first: query.after.is_none(),
    })
}

/// Of what the interactions are.
struct Source {
    /// Of a bill or note that is named, and its document.
    number: Option<String>,
    document: Option<Document>,
    period: Period,
    bounds: Bounds,
    zone: TimeZone,
}

async fn source_of(state: &WebState, caller: &Caller, query: &PortalQuery) -> Result<Source, Failure> {
    let Caller { account, store, .. } = caller;
    if let Some(number) = &query.number {
        let document = numbered(store, account, number).await?;
        return Ok(Source {
            number: Some(number.clone()),
            period: document.period.parse().map_err(BillError::Period)?,
            bounds: Bounds {
                start: document.period_start,
                end: document.period_end,
            },
            zone: zone_named(&document.time_zone).unwrap_or(TimeZone::UTC),
            document: Some(document),
        });
    }
    let schedule = schedule_of(store, account).await?;
    let period = period_of(state, query, &schedule)?;
    Ok(Source {
        number: None,
        document: None,
        period,
        bounds: schedule.bounds(period).map_err(BillError::Period)?,
        zone: schedule.zone_of(period).map_err(BillError::Period)?,
    })
}

/// A line of a bill, with the plan that says which interactions it prices.
struct Behind {
    line: Line,
    plan: RatePlan,
}

impl Behind {
    async fn of(store: &Store, reference: &PlanReference, line: &Line) -> Result<Self, Failure> {
        let PlanReference {
            name,
            uid,
            generation,
            ..
        } = reference;
        let version = store.plan_version(name, uid, *generation).await?;
        let known = KnownPlan::of(version.ok_or_else(|| StoreError::unreadable("plan"))?)?;
        Ok(Self {
            line: line.clone(),
            plan: known.plan,
        })
    }

    fn admits(&self, event: &ExportedEvent) -> bool {
        let Self { line, plan } = self;
        match &line.rule {
            Rule::Charge { meter, filter, .. } => event.meter == *meter && filter.admits(&event.dimensions),
            Rule::Surcharge { meter, filter, .. } => {
                let surcharge = plan
                    .surcharges
                    .iter()
                    .find(|surcharge| surcharge.name == line.name);
                event.meter == *meter
                    && filter.admits(&event.dimensions)
                    && surcharge.is_some_and(|surcharge| surcharge.applies(plan.zone.to_datetime(event.time)))
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
