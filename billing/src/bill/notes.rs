//! Corrections and credit notes of issued bills, and the states that a bill goes through.

use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;

use super::close::Refusal;
use super::correction::{correction, credit};
use super::document::Document;
use super::issue::{Issuer, drifted, ready};
use super::money::payment_entries;
use super::plans::{PlansInPeriod, check_zone_data, plans_of_bill};
use super::run::{Progress, RunSummary};
use super::state::{Act, InvoiceState, after};
use super::{Basis, BillError, read};
use crate::locale::Locale;
use crate::rating::period::{Period, zone_data_version};
use crate::store::{
    Account, Gathered, IssueBatch, IssueOutcome, KIND_CORRECTION, KIND_CREDIT, KIND_REGULAR, NextState,
    Ready, Store, StoredInvoice, Wanted,
};

/// Tenants that are corrected at a time.
const LANES: usize = 4;

/// Rates the whole period anew by the plan of its bill and issues the difference; `None` if nothing differs.
pub async fn correct(
    store: &Store,
    account: &Account,
    period: Period,
    issuer: Issuer<'_>,
) -> Result<Option<Document>, BillError> {
    let text = period.to_string();
    let Some(invoice) = store.invoice_of_period(account.ledger, &text).await? else {
        return Err(BillError::NotIssued {
            tenant: account.details.party.tenant.to_string(),
            period,
        });
    };
    let bill = read(&invoice)?;
    let plans = plans_of_bill(store, &bill, &invoice.number).await?;
    check_zone_data(&bill, &plans, &invoice.number)?;
    let make = |gathered: Gathered| {
        let billed = standing_bills(&gathered)?;
        let rerated = Basis {
            account,
            plans: &plans,
            period,
            usage: &gathered.usage,
            facts: &gathered.facts,
            statement: gathered.statement,
            now: issuer.now,
        }
        .document()?;
        let Some(mut note) = correction(rerated, &billed)? else {
            return Ok(None);
        };
        note.notes.extend(note_on_zone_data(&bill));
        ready(note, account, &plans, issuer.now, Vec::new()).map(Some)
    };
    issue_note(store, account, &plans, KIND_CORRECTION, &text, issuer, make).await
}

/// Corrects the bills of a period of all who have one, several at a time; notes are also told to `each`.
pub async fn correct_all(
    store: &Store,
    period: Period,
    issuer: Issuer<'_>,
    progress: &Progress,
    mut each: impl FnMut(&Document),
) -> Result<RunSummary, BillError> {
    let mut accounts = Vec::new();
    for ledger in store.billed_in(&period.to_string()).await? {
        accounts.extend(store.account_of_ledger(ledger).await?);
    }
    progress.due(accounts.len());
    let lock = store.issuer_lock().await?;
    let corrections: Vec<_> = accounts
        .iter()
        .map(|account| async move { (account, correct(store, account, period, issuer).await) }.boxed())
        .collect();
    let mut corrections = futures::stream::iter(corrections).buffered(LANES);
    let (mut summary, mut refused) = (RunSummary::default(), Vec::new());
    while let Some((account, done)) = corrections.next().await {
        match done {
            Ok(Some(note)) => {
                summary.issued += 1;
                each(&note);
            }
            // Among all tenants, one that was credited is nothing to say a word about.
            Ok(None) | Err(BillError::Credited { .. }) => {}
            Err(error) => refused.push(Refusal::of(account, &error)),
        }
        progress.done(1);
    }
    lock.release().await?;
    Ok(summary.refusing(&refused))
}

/// Takes back a bill with the notes on it.
pub async fn credit_invoice(
    store: &Store,
    account: &Account,
    invoice: &StoredInvoice,
    issuer: Issuer<'_>,
) -> Result<Document, BillError> {
    let bill = read(invoice)?;
    if invoice.kind != KIND_REGULAR {
        return Err(BillError::CreditOfNote {
            number: invoice.number.clone(),
            corrects: bill.corrects.unwrap_or_default(),
        });
    }
    let plans = plans_of_bill(store, &bill, &invoice.number).await?;
    let make = |gathered: Gathered| {
        let billed = standing_bills(&gathered)?;
        let numbers = gathered.earlier.iter().map(|bill| bill.number.clone()).collect();
        let Some(note) = credit(&billed, issuer.note, gathered.statement)? else {
            return Ok(None);
        };
        ready(note, account, &plans, issuer.now, numbers).map(Some)
    };
    let issued = issue_note(store, account, &plans, KIND_CREDIT, &invoice.period, issuer, make).await?;
    issued.ok_or_else(|| BillError::Credited {
        number: invoice.number.clone(),
    })
}

async fn issue_note(
    store: &Store,
    account: &Account,
    plans: &PlansInPeriod,
    kind: &'static str,
    period: &str,
    issuer: Issuer<'_>,
    mut make: impl FnMut(Gathered) -> Result<Option<Ready>, BillError>,
) -> Result<Option<Document>, BillError> {
    let wanted = [Wanted {
        ledger: account.ledger,
        plans,
    }];
    let batch = IssueBatch {
        kind,
        period,
        wanted: &wanted,
        actor: issuer.actor,
        note: issuer.note,
        now: issuer.now,
    };
    let outcome = store.issue(batch, |_, gathered| make(gathered)).await?.pop();
    match outcome {
        Some(IssueOutcome::Issued(invoice)) => read(&invoice).map(Some),
        Some(IssueOutcome::Failed(error)) => Err(error),
        Some(IssueOutcome::Drifted(findings)) => Err(drifted(account, findings)),
        Some(IssueOutcome::PlanMoved) => Err(BillError::PlanMoves {
            plan: plans.last().version.name.clone(),
        }),
        Some(IssueOutcome::Present(_) | IssueOutcome::Nothing) | None => Ok(None),
    }
}

/// The bill and its corrections; an error if it was credited.
fn standing_bills(gathered: &Gathered) -> Result<Vec<Document>, BillError> {
    let earlier = &gathered.earlier;
    if earlier.iter().any(|bill| bill.kind == KIND_CREDIT) {
        let number = earlier
            .first()
            .map(|bill| bill.number.clone())
            .unwrap_or_default();
        return Err(BillError::Credited { number });
    }
    earlier.iter().map(read).collect()
}

fn note_on_zone_data(bill: &Document) -> Option<String> {
    let (theirs, ours) = (bill.time_zone_data.as_str(), zone_data_version());
    if theirs == ours {
        return None;
    }
    Some(match Locale::nearest(&bill.locale) {
        Locale::En => format!(
            "Rated with time-zone data {ours}; the invoice with {theirs}. The month begins and ends at the same instants by both."
        ),
        Locale::ZhCn => format!("按时区数据 {ours} 计算；原账单使用 {theirs}。两者的账期起止时刻相同。"),
    })
}

/// Brings a bill into its next state; a payment is posted.
pub async fn act(
    store: &Store,
    invoice: &StoredInvoice,
    what: Act,
    actor: &str,
    reason: &str,
    now: Timestamp,
) -> Result<InvoiceState, BillError> {
    let document = read(invoice)?;
    let decide = |history: &[InvoiceState]| {
        let state = after(history, what).map_err(|source| BillError::State {
            number: invoice.number.clone(),
            source,
        })?;
        let payment = if what == Act::Pay {
            Some((document.currency.clone(), payment_entries(&document)?))
        } else {
            None
        };
        Ok(NextState { state, payment })
    };
    store.act(invoice, actor, reason, now, decide).await?
}
