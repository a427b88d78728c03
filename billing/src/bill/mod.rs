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
pub mod forecast;
pub mod issue;
pub mod money;
pub mod notes;
pub mod plans;
pub mod review;
pub mod run;
pub mod schedule;
pub mod slots;
pub mod state;
pub mod summary;
pub mod verify;
pub mod words;

use jiff::Timestamp;

use crate::rating::period::{Period, PeriodError};
use crate::rating::plan::PlanError;
use crate::rating::rate::{self, RatingError, Usage};
use crate::store::{Account, Facts, Landed, Store, StoreError, StoredInvoice};
use contract::owed_to;
use document::{Document, DocumentIssuer};
pub use issue::issue;
use plans::PlansInPeriod;
use schedule::{Schedule, schedule_of};

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
    /// Another draft was put into review since one was looked at.
    #[error("the draft of tenant {tenant:?} was made anew since you looked at it; look at it again")]
    ReviewRenewed {
        /// Whose.
        tenant: String,
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

/// The same, where the account's schedule was read already.
pub async fn bill_by(
    store: &Store,
    account: &Account,
    schedule: &Schedule,
    period: Period,
    now: Timestamp,
) -> Result<Document, BillError> {
    if schedule.is_billed(period) {
        return bill(store, account, period, now).await;
    }
    draft_by(store, account, &schedule.plans(period)?, period, now).await
}

/// What the bill of the period would be now.
pub async fn draft(
    store: &Store,
    account: &Account,
    period: Period,
    now: Timestamp,
) -> Result<Document, BillError> {
    let plans = schedule_of(store, account).await?.plans(period)?;
    draft_by(store, account, &plans, period, now).await
}

/// The same by plans that are given, which need not be the account's.
pub async fn draft_by(
    store: &Store,
    account: &Account,
    plans: &PlansInPeriod,
    period: Period,
    now: Timestamp,
) -> Result<Document, BillError> {
    let ledger = account.ledger;
    let (usage, facts, open) = tokio::try_join!(
        store.summed_usage(ledger, &plans.slots, Landed::EVER),
        store.facts(ledger, plans.bounds, plans.has_modules(), Landed::EVER),
        store.open_ledger(ledger),
    )?;
    let statement = open.map_or(1, |open| open.statement);
    Basis {
        account,
        plans,
        period,
        usage: &usage,
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

/// What a bill is made of.
struct Basis<'a> {
    account: &'a Account,
    plans: &'a PlansInPeriod,
    period: Period,
    usage: &'a [Usage],
    facts: &'a Facts,
    statement: i64,
    now: Timestamp,
}

impl Basis<'_> {
    fn document(self) -> Result<Document, BillError> {
        let Self {
            account,
            plans,
            period,
            usage,
            facts,
            statement,
            now,
        } = self;
        let rated = rate::rate(&rate::Account {
            period: plans.bounds,
            parts: plans.parts().map(|part| part.rated(account)).collect(),
            usage,
            module_changes: &facts.module_changes,
            service: facts.service.as_ref(),
            owed: owed_to(account),
            as_of: now.min(plans.bounds.end),
        })?;
        Ok(Document {
            issuer: DocumentIssuer::from(&account.entity),
            ..Document::draft(&account.details, plans, period, rated, statement)
        })
    }
}
