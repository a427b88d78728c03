//! Bills: the usage of an account in a period, rated by its plan.
//!
//! A *draft* is what the bill would be now; it is computed, never stored. *Issuing* closes the open statement, gives the
//! bill the next number of the legal entity without a gap, chains it to the one before by its digest, and stores it for
//! ever. Usage that comes for the period after that lands in a later statement under its own time, where it waits for a
//! correction; no bill loses it or takes it twice.

pub mod budget;
pub mod calendar;
mod contract;
pub mod document;
pub mod forecast;
pub mod summary;
pub mod words;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::rating::period::{Bounds, Period, PeriodError, zone_named};
use crate::rating::plan::{PlanError, RatePlan};
use crate::rating::rate::{self, Part, RatingError, Usage};
use crate::store::{
    Account, ENTITY, IssueOutcome, IssueRequest, NewInvoice, PlanVersion, Store, StoreError, StoredInvoice,
};
use contract::contract_within;
use document::{Document, PlanReference};

/// How often an issue starts again because the plan was changed in between.
const ATTEMPTS: usize = 3;

/// Why there is no bill.
#[derive(Debug, thiserror::Error)]
pub enum BillError {
    /// The account names a plan that is not here.
    #[error("the rate plan {plan:?} of tenant {tenant:?} is not known to billing; apply it and try again")]
    NoPlan {
        /// Which.
        plan: String,
        /// Whose.
        tenant: String,
    },
    /// The stored plan is not readable by this program.
    #[error("the rate plan {plan:?} cannot be used")]
    Plan {
        /// Which.
        plan: String,
        /// Why.
        source: PlanError,
    },
    /// The plan was changed again and again.
    #[error("the rate plan {plan:?} is being changed; try again")]
    PlanMoves {
        /// Which.
        plan: String,
    },
    /// No such month.
    #[error(transparent)]
    Period(#[from] PeriodError),
    /// The usage cannot be priced.
    #[error("the usage cannot be rated")]
    Rating(#[from] RatingError),
    /// A stored bill that does not read back.
    #[error("the stored invoice {number} is not readable")]
    Document {
        /// Which.
        number: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A plan with the version it came from.
#[derive(Clone, Debug)]
pub struct KnownPlan {
    /// Where it came from.
    pub version: PlanVersion,
    /// Ready to rate with.
    pub plan: RatePlan,
}

/// The plan by which an account is billed now.
pub async fn plan_of(store: &Store, account: &Account) -> Result<KnownPlan, BillError> {
    let name = &account.details.rate_plan;
    let Some(version) = store.newest_plan(name).await? else {
        return Err(BillError::NoPlan {
            plan: name.clone(),
            tenant: account.details.party.tenant.to_string(),
        });
    };
    let plan = RatePlan::parse(&version.spec).map_err(|source| BillError::Plan {
        plan: name.clone(),
        source,
    })?;
    Ok(KnownPlan { version, plan })
}

/// The zone whose months are an account's periods: its plan's; while there is no plan, its own.
pub async fn zone_of(store: &Store, account: &Account) -> Result<TimeZone, BillError> {
    match plan_of(store, account).await {
        Ok(known) => Ok(known.plan.zone),
        Err(BillError::NoPlan { .. }) => Ok(zone_named(&account.details.time_zone).unwrap_or(TimeZone::UTC)),
        Err(error) => Err(error),
    }
}

/// The period's bill: the issued one, or a draft.
pub async fn bill(
    store: &Store,
    account: &Account,
    period: Period,
    now: Timestamp,
) -> Result<Document, BillError> {
    match store
        .invoice_of_period(account.ledger, &period.to_string())
        .await?
    {
        Some(invoice) => read(&invoice),
        None => draft(store, account, period, now).await,
    }
}

/// What the bill of the period would be now.
pub async fn draft(
    store: &Store,
    account: &Account,
    period: Period,
    now: Timestamp,
) -> Result<Document, BillError> {
    let known = plan_of(store, account).await?;
    let bounds = period.bounds(&known.plan.zone)?;
    let usage = store
        .usage(account.ledger, &bounds)
        .await?
        .into_iter()
        .map(|landed| landed.usage)
        .collect();
    let statement = store
        .open_ledger(account.ledger)
        .await?
        .map_or(1, |ledger| ledger.statement);
    Basis {
        account,
        known: &known,
        period,
        bounds,
        usage,
        statement,
        now,
    }
    .document()
}

/// Issues the period's bill; the one that was issued already, if there is one. `true` if it is new.
pub async fn issue(
    store: &Store,
    account: &Account,
    period: Period,
    now: Timestamp,
) -> Result<(Document, bool), BillError> {
    let text = period.to_string();
    for _ in 0..ATTEMPTS {
        if let Some(invoice) = store.invoice_of_period(account.ledger, &text).await? {
            return Ok((read(&invoice)?, false));
        }
        let known = plan_of(store, account).await?;
        let bounds = period.bounds(&known.plan.zone)?;
        let request = IssueRequest {
            ledger: account.ledger,
            period: &text,
            bounds: &bounds,
            plan: &known.version,
            now,
        };
        let outcome = store
            .issue(request, |link| {
                let usage = link.usage.into_iter().map(|landed| landed.usage).collect();
                let basis = Basis {
                    account,
                    known: &known,
                    period,
                    bounds,
                    usage,
                    statement: link.statement,
                    now,
                };
                let year = TimeZone::UTC.to_datetime(now).year();
                let number = format!("{ENTITY}-{year}-{:06}", link.sequence);
                let due_on = due_date(&known.plan.zone, now, account.details.payment_days);
                let document = basis
                    .document()?
                    .issued(number.clone(), now, due_on, link.previous_digest);
                let (document, digest) = document.sealed();
                Ok::<_, BillError>(NewInvoice {
                    number,
                    document,
                    digest,
                })
            })
            .await?;
        if let IssueOutcome::Done(issued) = outcome {
            return Ok((read(&issued.invoice)?, issued.is_new));
        }
    }
    Err(BillError::PlanMoves {
        plan: account.details.rate_plan.clone(),
    })
}

/// An issued bill's document.
pub fn read(invoice: &StoredInvoice) -> Result<Document, BillError> {
    let unreadable = |source| BillError::Document {
        number: invoice.number.clone(),
        source,
    };
    let mut document: Document = serde_json::from_str(&invoice.document).map_err(unreadable)?;
    document.digest = Some(invoice.digest.clone());
    Ok(document)
}

fn due_date(zone: &TimeZone, now: Timestamp, payment_days: u32) -> Option<jiff::civil::Date> {
    zone.to_datetime(now)
        .date()
        .checked_add(i64::from(payment_days).days())
        .ok()
}

struct Basis<'a> {
    account: &'a Account,
    known: &'a KnownPlan,
    period: Period,
    bounds: Bounds,
    usage: Vec<Usage>,
    statement: i64,
    now: Timestamp,
}

impl Basis<'_> {
    fn document(self) -> Result<Document, BillError> {
        let Self {
            account,
            known: KnownPlan { version, plan },
            period,
            bounds,
            usage,
            statement,
            now,
        } = self;
        let part = Part {
            plan,
            bounds,
            contract: contract_within(account, &plan.zone, bounds),
        };
        let rated = rate::rate(&rate::Account {
            period: bounds,
            parts: vec![part],
            usage: &usage,
            module_changes: &[],
            service: None,
            as_of: now.min(bounds.end),
        })?;
        let PlanVersion {
            name,
            uid,
            generation,
            digest,
            spec: _,
        } = version;
        let reference = PlanReference {
            name: name.clone(),
            uid: uid.clone(),
            generation: *generation,
            digest: digest.to_string(),
        };
        Ok(Document::draft(
            &account.details,
            reference,
            plan,
            period,
            bounds,
            rated,
            statement,
        ))
    }
}
