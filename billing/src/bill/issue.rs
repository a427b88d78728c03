//! Issuing bills of a period, one or many in a transaction.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::document::Document;
use super::money::issue_entries;
use super::plans::PlansInPeriod;
use super::review;
use super::schedule::schedule_of;
use super::{Basis, BillError, read};
use crate::rating::period::Period;
use crate::store::{
    Account, IssueBatch, IssueOutcome, KIND_REGULAR, Place, Ready, Review, Sealed, Store, Wanted,
};

/// How often an issue starts again because the plan was changed in between.
const ATTEMPTS: usize = 3;
/// Who issues where nobody is named.
pub const PROGRAM: &str = "springtide-billing";

/// A bill that is to be issued.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// To whom.
    pub account: &'a Account,
    /// By which plans.
    pub plans: &'a PlansInPeriod,
    /// What was approved, if it was.
    pub review: Option<&'a Review>,
}

/// Who issues, and when.
#[derive(Clone, Copy, Debug)]
pub struct Issuer<'a> {
    /// Who.
    pub actor: &'a str,
    /// Why.
    pub note: &'a str,
    /// When.
    pub now: Timestamp,
}

/// Issues the period's bill; the one that was issued already, if there is one. `true` if it is new.
pub async fn issue(
    store: &Store,
    account: &Account,
    period: Period,
    now: Timestamp,
) -> Result<(Document, bool), BillError> {
    let issuer = Issuer {
        actor: PROGRAM,
        note: "",
        now,
    };
    issue_one(store, account, period, issuer, None).await
}

/// The same, by somebody, perhaps after a review.
pub async fn issue_one(
    store: &Store,
    account: &Account,
    period: Period,
    issuer: Issuer<'_>,
    review: Option<&Review>,
) -> Result<(Document, bool), BillError> {
    for _ in 0..ATTEMPTS {
        if let Some(invoice) = store
            .invoice_of_period(account.ledger, &period.to_string())
            .await?
        {
            return Ok((read(&invoice)?, false));
        }
        let plans = schedule_of(store, account).await?.plans(period)?;
        let order = Order {
            account,
            plans: &plans,
            review,
        };
        let outcome = issue_all(store, period, &[order], issuer).await?.pop();
        match outcome {
            Some(IssueOutcome::Issued(invoice)) => return Ok((read(&invoice)?, true)),
            Some(IssueOutcome::Present(invoice)) => return Ok((read(&invoice)?, false)),
            Some(IssueOutcome::Failed(error)) => return Err(error),
            Some(IssueOutcome::Drifted(findings)) => return Err(drifted(account, findings)),
            Some(IssueOutcome::PlanMoved | IssueOutcome::Nothing) | None => {}
        }
    }
    Err(BillError::PlanMoves {
        plan: account.details.rate_plan.clone(),
    })
}

/// What is said where drift was found.
pub(super) fn drifted(account: &Account, findings: String) -> BillError {
    BillError::Drift {
        tenant: account.details.party.tenant.to_string(),
        findings,
    }
}

/// Issues the regular bills of several accounts in one transaction; outcomes are in their order.
pub async fn issue_all(
    store: &Store,
    period: Period,
    orders: &[Order<'_>],
    issuer: Issuer<'_>,
) -> Result<Vec<IssueOutcome<BillError>>, BillError> {
    let wanted: Vec<_> = orders
        .iter()
        .map(|order| Wanted {
            ledger: order.account.ledger,
            plans: order.plans,
        })
        .collect();
    let text = period.to_string();
    let batch = IssueBatch {
        kind: KIND_REGULAR,
        period: &text,
        wanted: &wanted,
        actor: issuer.actor,
        note: issuer.note,
        now: issuer.now,
    };
    let outcomes = store
        .issue(batch, |position, gathered| {
            let Some(order) = orders.get(position) else {
                return Ok(None);
            };
            let document = Basis {
                account: order.account,
                plans: order.plans,
                period,
                usage: &gathered.usage,
                facts: &gathered.facts,
                statement: gathered.statement,
                now: issuer.now,
            }
            .document()?;
            if let Some(reviewed) = order.review {
                review::compare(reviewed, &document)?;
            }
            ready(document, order.account, order.plans, issuer.now, Vec::new()).map(Some)
        })
        .await?;
    Ok(outcomes)
}

/// A bill or note that only lacks its place in the chain.
pub(super) fn ready(
    document: Document,
    account: &Account,
    plans: &PlansInPeriod,
    now: Timestamp,
    credits: Vec<String>,
) -> Result<Ready, BillError> {
    let entries = issue_entries(&document)?;
    let is_owed = !document.total.starts_with('-');
    let due_on = if is_owed {
        due_date(&plans.last().plan.zone, now, account.details.payment_days)
    } else {
        None
    };
    let year = TimeZone::UTC.to_datetime(now).year();
    Ok(Ready {
        entity: document.issuer.entity.clone(),
        currency: document.currency.clone(),
        entries,
        credits,
        seal: Box::new(move |place| {
            let Place {
                prefix,
                sequence,
                previous_digest,
            } = place;
            let number = format!("{prefix}-{year}-{sequence:06}");
            let issued = document.issued(number.clone(), now, due_on, previous_digest);
            let (document, digest) = issued.sealed();
            Sealed {
                number,
                document,
                digest,
            }
        }),
    })
}

fn due_date(zone: &TimeZone, now: Timestamp, payment_days: u32) -> Option<jiff::civil::Date> {
    zone.to_datetime(now)
        .date()
        .checked_add(i64::from(payment_days).days())
        .ok()
}
