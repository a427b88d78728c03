//! Bills: the usage of an account in a period, rated by its plan, and what becomes of them.
//!
//! A *draft* is what the bill would be now; it is computed, never stored. A *review* is a draft that somebody may approve.
//! *Issuing* closes the open statement, gives the bill the next number of the legal entity without a gap, chains it to the
//! one before by its digest, posts it to the journal, and stores it for ever. Usage that comes for the period after that
//! lands in a later statement under its own time, where it waits for a correction; no bill loses it or takes it twice.

pub mod audit;
pub mod budget;
pub mod calendar;
pub mod close;
mod contract;
pub mod correction;
pub mod document;
mod facts;
pub mod forecast;
pub mod issue;
pub mod money;
pub mod notes;
pub mod review;
pub mod slots;
pub mod state;
pub mod summary;
pub mod verify;
pub mod words;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::rating::period::{Bounds, Period, PeriodError, zone_named};
use crate::rating::plan::{PlanError, RatePlan};
use crate::rating::rate::{self, Part, RatingError, Usage};
use crate::store::{Account, PlanVersion, Store, StoreError, StoredInvoice};
use contract::contract_within;
use document::{Document, PlanReference};
use facts::{Facts, facts_of};
pub use issue::issue;
use slots::Slots;

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
    /// The period, or its grace, is not over.
    #[error(
        "{period} ends at {end}, and what was used until then may come until {closes_at}; say --before-end to issue now all the same"
    )]
    TooEarly {
        /// Which.
        period: Period,
        /// When it ends.
        end: Timestamp,
        /// When it may be closed.
        closes_at: Timestamp,
    },
    /// The tenant's books do not agree.
    #[error(
        "the books of tenant {tenant:?} do not agree, so nothing is issued to it until `verify` finds them to: {findings}"
    )]
    Drift {
        /// Whose.
        tenant: String,
        /// What was found.
        findings: String,
    },
    /// Nobody put it into review.
    #[error("no bill of {period} for tenant {tenant:?} is in review; `close` puts it there")]
    NoReview {
        /// Whose.
        tenant: String,
        /// Of which month.
        period: Period,
    },
    /// It is not what was reviewed.
    #[error(
        "the bill of tenant {tenant:?} is not what was reviewed: {changes}; `close` puts it into review again"
    )]
    ReviewMoved {
        /// Whose.
        tenant: String,
        /// What differs.
        changes: String,
    },
    /// There is no bill to correct.
    #[error("no bill of {period} was issued to tenant {tenant:?}, so there is nothing to correct")]
    NotIssued {
        /// Whose.
        tenant: String,
        /// Of which month.
        period: Period,
    },
    /// The bill was taken back.
    #[error("invoice {number} was credited as a whole, so it is not corrected any more")]
    Credited {
        /// Which.
        number: String,
    },
    /// Only a month's bill is credited, with the notes on it.
    #[error("{number} is a note on {corrects}; credit that, and its notes go with it")]
    CreditOfNote {
        /// Which.
        number: String,
        /// On which.
        corrects: String,
    },
    /// The plan's version is gone, or another.
    #[error("the version of rate plan {plan:?} that invoice {number} was made with is not as it was")]
    PlanGone {
        /// Which.
        plan: String,
        /// By which bill.
        number: String,
    },
    /// The rules of the zone changed.
    #[error(
        "invoice {number} was made with time-zone data {theirs}, by which its month in {zone} has other bounds than by {ours} of this program; correct it with a program that has {theirs}"
    )]
    ZoneData {
        /// Which bill.
        number: String,
        /// Which zone.
        zone: String,
        /// Version of the bill.
        theirs: String,
        /// Version of this program.
        ours: &'static str,
    },
    /// It is in another state.
    #[error("invoice {number}: {source}")]
    State {
        /// Which.
        number: String,
        /// What cannot be.
        source: state::Illegal,
    },
    /// An amount that cannot be posted.
    #[error(transparent)]
    Amount(#[from] money::BadAmount),
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
    let slots = Slots::of(bounds, &[(&known.plan, bounds)]);
    let usage = store.summed_usage(account.ledger, &slots, i64::MAX).await?;
    let facts = facts_of(store, account.ledger, &known.plan, &bounds).await?;
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
        facts: &facts,
        statement,
        now,
    }
    .document()
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

struct Basis<'a> {
    account: &'a Account,
    known: &'a KnownPlan,
    period: Period,
    bounds: Bounds,
    usage: Vec<Usage>,
    facts: &'a Facts,
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
            facts,
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
            module_changes: &facts.module_changes,
            service: facts.service.as_ref(),
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
