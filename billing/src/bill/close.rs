//! Closing a period: every due tenant's bill is put into review, or issued.
//!
//! A run may be killed at any moment and started again: what was issued is found, and the rest is done. Tenants are taken
//! some at a time, several transactions at once, each in a task of its own: on some cores bills are made while for others the
//! database reads. One tenant that has no bill holds up no other.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::document::Document;
use super::issue::{Issuer, Order, drifted, issue_all, issue_one};
use super::plans::{PlanPart, PlansInPeriod};
use super::review::{Finding, digest_of, findings};
use super::run::{Progress, RunSummary};
use super::schedule::{schedule_of, schedules};
use super::{BillError, draft_by, read};
use crate::metering::decide::LedgerId;
use crate::rating::period::{Bounds, Period};
use crate::store::{Account, IssueOutcome, Review, Store, with_causes};

/// Tenants of one transaction.
const BATCH: usize = 32;
/// Transactions at a time.
const LANES: usize = 4;

/// What is noted with a bill that was approved.
pub const APPROVED: &str = "approved";

/// How long after a period's end its bills may be issued.
#[derive(Clone, Copy, Debug)]
pub struct Grace {
    /// Time for what is under way.
    pub length: SignedDuration,
    /// Not at all: issue now, even before the end.
    pub before_end: bool,
}

impl Grace {
    /// `Ok` if a period may be closed.
    pub fn check(self, period: Period, bounds: &Bounds, now: Timestamp) -> Result<(), BillError> {
        let closes_at = bounds.end.checked_add(self.length).unwrap_or(Timestamp::MAX);
        if self.before_end || now >= closes_at {
            return Ok(());
        }
        Err(BillError::TooEarly {
            period,
            end: bounds.end,
            closes_at,
        })
    }
}

/// What a run is to do.
#[derive(Clone, Copy, Debug)]
pub struct CloseOrder<'a> {
    /// Which month.
    pub period: Period,
    /// Issue at once, without a review.
    pub issue: bool,
    /// From when on.
    pub grace: Grace,
    /// Who, and when.
    pub issuer: Issuer<'a>,
}

/// A tenant without a bill, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Who.
    pub tenant: String,
    /// Why.
    pub reason: String,
}

impl Refusal {
    /// Of an account.
    pub fn of(account: &Account, reason: &dyn std::error::Error) -> Self {
        Self {
            tenant: account.details.party.tenant.to_string(),
            reason: with_causes(reason),
        }
    }
}

/// A bill that waits for approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Whose.
    pub tenant: String,
    /// What it comes to.
    pub total: String,
    /// ISO code.
    pub currency: String,
    /// What is striking.
    pub findings: Vec<Finding>,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CloseReport {
    /// Bills issued by this run.
    pub issued: u64,
    /// Bills that were issued before.
    pub issued_before: u64,
    /// Drafts that are in review.
    pub in_review: Vec<Waiting>,
    /// Tenants without a bill.
    pub refused: Vec<Refusal>,
}

impl CloseReport {
    fn add(&mut self, other: Self) {
        self.issued += other.issued;
        self.issued_before += other.issued_before;
        self.in_review.extend(other.in_review);
        self.refused.extend(other.refused);
    }

    fn refuse(&mut self, account: &Account, reason: &dyn std::error::Error) {
        self.refused.push(Refusal::of(account, reason));
    }
}

/// An account with its plans.
#[derive(Clone)]
struct Due {
    account: Arc<Account>,
    plans: Arc<PlansInPeriod>,
}

/// What is done in one transaction, and for whom.
struct Batch {
    store: Store,
    period: Period,
    issue: bool,
    actor: String,
    note: String,
    now: Timestamp,
    due: Vec<Due>,
}

/// The plans of a period of each account; accounts with the same ones share them, and are read together.
#[derive(Default)]
struct SharedPlans {
    all: BTreeMap<SharedBy, Arc<PlansInPeriod>>,
    of: BTreeMap<LedgerId, Result<SharedBy, BillError>>,
}

/// Names of plans, with the time that each prices.
type SharedBy = Vec<(String, Timestamp, Timestamp)>;

impl SharedPlans {
    fn of(&self, account: &Account) -> Option<Result<&Arc<PlansInPeriod>, &BillError>> {
        match self.of.get(&account.ledger)? {
            Ok(shared_by) => self.all.get(shared_by).map(Ok),
            Err(error) => Some(Err(error)),
        }
    }
}

/// Closes a period. An error is about the whole run; what is about one tenant is in the report.
pub async fn close(
    store: &Store,
    order: CloseOrder<'_>,
    progress: &Progress,
) -> Result<CloseReport, BillError> {
    let lock = store.issuer_lock().await?;
    let report = close_alone(store, order, progress).await;
    lock.release().await?;
    report
}

async fn close_alone(
    store: &Store,
    order: CloseOrder<'_>,
    progress: &Progress,
) -> Result<CloseReport, BillError> {
    let mut report = CloseReport::default();
    let accounts = store.accounts().await?;
    let billed: BTreeSet<_> = store
        .billed_in(&order.period.to_string())
        .await?
        .into_iter()
        .collect();
    let plans = plans_of(store, &accounts, order.period).await?;
    let (mut due, mut too_early) = (Vec::new(), Vec::new());
    for account in accounts.into_iter().map(Arc::new) {
        if billed.contains(&account.ledger) {
            report.issued_before += 1;
            continue;
        }
        match plans.of(&account) {
            Some(Ok(plans)) if is_due(store, &account, &plans.bounds).await? => {
                // Months end at another time in each zone: who is due does not wait for who is not yet.
                let grace = order.grace.check(order.period, &plans.bounds, order.issuer.now);
                match grace.err().filter(|_| order.issue) {
                    Some(reason) => too_early.push((account, reason)),
                    None => due.push(Due {
                        account,
                        plans: plans.clone(),
                    }),
                }
            }
            Some(Err(reason)) => report.refuse(&account, reason),
            Some(Ok(_)) | None => {}
        }
    }
    if due.is_empty() && !too_early.is_empty() {
        return Err(too_early.swap_remove(0).1);
    }
    for (account, reason) in too_early {
        report.refuse(&account, &reason);
    }
    // In the order of their ids: neighbours' buckets lie together.
    due.sort_by_key(|due| due.account.ledger);
    progress.due(due.len());
    let (mut waiting, mut running) = (due.chunks(BATCH), JoinSet::new());
    loop {
        while running.len() < LANES
            && let Some(due) = waiting.next()
        {
            let batch = Batch::of(store, order, due);
            running.spawn(async move { (batch.done().await, batch.due.len()) });
        }
        let Some(ended) = running.join_next().await else {
            return Ok(report);
        };
        // Nothing but the end of the process aborts a batch.
        let (done, tenants) = ended.unwrap_or_else(|error| resume_unwind(error.into_panic()));
        report.add(done);
        progress.done(tenants);
    }
}

async fn plans_of(store: &Store, accounts: &[Account], period: Period) -> Result<SharedPlans, BillError> {
    let mut shared = SharedPlans::default();
    for (ledger, schedule) in schedules(store, accounts, period).await? {
        let parts = schedule.and_then(|schedule| schedule.parts(period));
        let shared_by = parts.map(|parts| {
            let named = |part: &PlanPart| {
                let Bounds { start, end } = part.bounds;
                (part.known.version.name.clone(), start, end)
            };
            let shared_by: SharedBy = parts.iter().map(named).collect();
            if !shared.all.contains_key(&shared_by)
                && let Some(plans) = PlansInPeriod::of(parts)
            {
                shared.all.insert(shared_by.clone(), Arc::new(plans));
            }
            shared_by
        });
        shared.of.insert(ledger, shared_by);
    }
    Ok(shared)
}

/// The account has something to do with the period: it was open within it, or has usage.
pub async fn is_due(store: &Store, account: &Account, bounds: &Bounds) -> Result<bool, BillError> {
    let was_open =
        account.registered_at < bounds.end && account.closed_at.is_none_or(|closed| closed >= bounds.start);
    Ok(was_open || store.has_usage(account.ledger, bounds).await?)
}

impl Batch {
    fn of(store: &Store, order: CloseOrder<'_>, due: &[Due]) -> Self {
        Self {
            store: store.clone(),
            period: order.period,
            issue: order.issue,
            actor: order.issuer.actor.to_owned(),
            note: order.issuer.note.to_owned(),
            now: order.issuer.now,
            due: due.to_vec(),
        }
    }

    fn issuer(&self) -> Issuer<'_> {
        Issuer {
            actor: &self.actor,
            note: &self.note,
            now: self.now,
        }
    }

    async fn done(&self) -> CloseReport {
        let mut report = CloseReport::default();
        let done = if self.issue {
            self.issued(&mut report).await
        } else {
            self.reviewed(&mut report).await
        };
        if let Err(error) = done {
            for due in &self.due {
                report.refuse(&due.account, &error);
            }
        }
        report
    }

    async fn issued(&self, report: &mut CloseReport) -> Result<(), BillError> {
        let orders: Vec<_> = self
            .due
            .iter()
            .map(|due| Order {
                account: &due.account,
                plans: &due.plans,
                review: None,
            })
            .collect();
        let outcomes = issue_all(&self.store, self.period, &orders, self.issuer()).await?;
        for (due, outcome) in self.due.iter().zip(outcomes) {
            let account = &due.account;
            match outcome {
                IssueOutcome::Issued(_) => report.issued += 1,
                IssueOutcome::Present(_) => report.issued_before += 1,
                IssueOutcome::Failed(error) => report.refuse(account, &error),
                IssueOutcome::Drifted(findings) => report.refuse(account, &drifted(account, findings)),
                IssueOutcome::PlanMoved | IssueOutcome::Nothing => {
                    match issue_one(&self.store, account, self.period, self.issuer(), None).await {
                        Ok((_, true)) => report.issued += 1,
                        Ok((_, false)) => report.issued_before += 1,
                        Err(error) => report.refuse(account, &error),
                    }
                }
            }
        }
        Ok(())
    }

    async fn reviewed(&self, report: &mut CloseReport) -> Result<(), BillError> {
        let mut reviews = Vec::new();
        let period = self.period.to_string();
        for due in &self.due {
            let (review, document, findings) = match self.review_of(due).await {
                Ok(made) => made,
                Err(BillError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    report.refuse(&due.account, &error);
                    continue;
                }
            };
            let latest = self.store.latest_review(due.account.ledger, &period).await?;
            if latest.is_none_or(|latest| latest.digest != review.digest) {
                reviews.push(review);
            }
            report.in_review.push(Waiting {
                tenant: document.tenant,
                total: document.total,
                currency: document.currency,
                findings,
            });
        }
        Ok(self.store.add_reviews(&period, &reviews).await?)
    }

    async fn review_of(&self, due: &Due) -> Result<(Review, Document, Vec<Finding>), BillError> {
        let (store, period, ledger) = (&self.store, self.period, due.account.ledger);
        let document = draft_by(store, &due.account, &due.plans, period, self.now).await?;
        let month_before = store
            .invoice_of_period(ledger, &period.previous()?.to_string())
            .await?;
        let month_before = month_before.as_ref().map(read).transpose()?;
        let findings = findings(&document, month_before.as_ref())?;
        let (text, digest) = digest_of(&document);
        let review = Review {
            ledger,
            digest,
            document: text,
            findings: serde_json::to_string(&findings).unwrap_or_default(),
            actor: self.actor.clone(),
            at: self.now,
        };
        Ok((review, document, findings))
    }
}

/// Issues what was reviewed, if it is still that. `seen`: the digest of the draft that was looked at, where another may have
/// been put into review since.
pub async fn approve(
    store: &Store,
    account: &Account,
    period: Period,
    grace: Grace,
    issuer: Issuer<'_>,
    seen: Option<&str>,
) -> Result<(Document, bool), BillError> {
    let text = period.to_string();
    let tenant = || account.details.party.tenant.to_string();
    let Some(review) = store.latest_review(account.ledger, &text).await? else {
        let tenant = tenant();
        return Err(BillError::NoReview { tenant, period });
    };
    if seen.is_some_and(|seen| seen != review.digest) {
        return Err(BillError::ReviewRenewed { tenant: tenant() });
    }
    let bounds = schedule_of(store, account).await?.bounds(period)?;
    grace.check(period, &bounds, issuer.now)?;
    issue_one(store, account, period, issuer, Some(&review)).await
}

/// Which drafts are approved.
#[derive(Clone, Copy, Debug)]
pub struct ApproveOrder<'a> {
    /// Of which month.
    pub period: Period,
    /// Only those with nothing striking.
    pub plain_only: bool,
    /// From when on.
    pub grace: Grace,
    /// Who, and when.
    pub issuer: Issuer<'a>,
}

/// Issues all that wait for approval as they are when it begins, several at a time; what was issued is also told to `each`.
pub async fn approve_all(
    store: &Store,
    order: ApproveOrder<'_>,
    progress: &Progress,
    mut each: impl FnMut(&Document),
) -> Result<RunSummary, BillError> {
    let ApproveOrder {
        period,
        plain_only,
        grace,
        issuer,
    } = order;
    let waiting = store.ledgers_in_review(&period.to_string(), plain_only).await?;
    progress.due(waiting.len());
    let approvals: Vec<_> = waiting
        .iter()
        .map(|(ledger, digest)| {
            async move {
                let Some(account) = store.account_of_ledger(*ledger).await? else {
                    return Ok(None);
                };
                let done = approve(store, &account, period, grace, issuer, Some(digest)).await;
                Ok::<_, BillError>(Some((account, done)))
            }
            .boxed()
        })
        .collect();
    let mut approvals = futures::stream::iter(approvals).buffered(LANES);
    let (mut summary, mut refused) = (RunSummary::default(), Vec::new());
    while let Some(approval) = approvals.next().await {
        match approval? {
            Some((_, Ok((document, true)))) => {
                summary.issued += 1;
                each(&document);
            }
            Some((_, Ok((_, false)))) => summary.issued_before += 1,
            Some((account, Err(error))) => refused.push(Refusal::of(&account, &error)),
            None => {}
        }
        progress.done(1);
    }
    Ok(summary.refusing(&refused))
}
