//! One transaction that issues bills: hold the ledgers, gather, make, hold the chain, write, commit.
//!
//! Only the last part, from the chain's row on, is done by one issuer at a time.

mod transaction;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use super::ingest::nanosecond_of;
use super::invoices::{
    Gathered, IssueBatch, IssueOutcome, KIND_REGULAR, Place, Ready, StoredInvoice, Wanted,
};
use super::{Store, StoreError};
use crate::bill::plans::PlansInPeriod;
use crate::metering::decide::LedgerId;

pub(in crate::store) use transaction::BillTransaction;
use transaction::Written;

/// A bill without its place, with where it stands in the batch.
struct Made<'a> {
    position: usize,
    one: &'a Wanted<'a>,
    statement: i64,
    ordinal: i64,
    bill: Ready,
}

/// Issues what `make` writes of what was gathered; it is told the position in the batch.
async fn issue_within<T: BillTransaction, E>(
    mut transaction: T,
    batch: IssueBatch<'_>,
    mut make: impl FnMut(usize, Gathered) -> Result<Option<Ready>, E>,
) -> Result<Vec<IssueOutcome<E>>, StoreError> {
    let mut outcomes: BTreeMap<usize, IssueOutcome<E>> = BTreeMap::new();
    let mut made = Vec::new();
    for (position, gathered) in gather(&mut transaction, batch, &mut outcomes).await? {
        let Some(one) = batch.wanted.get(position) else {
            continue;
        };
        let (statement, ordinal) = (gathered.statement, next_ordinal(&gathered.earlier, batch.kind));
        match make(position, gathered) {
            Ok(Some(bill)) => made.push(Made {
                position,
                one,
                statement,
                ordinal,
                bill,
            }),
            Ok(None) => drop(outcomes.insert(position, IssueOutcome::Nothing)),
            Err(error) => drop(outcomes.insert(position, IssueOutcome::Failed(error))),
        }
    }
    if !made.is_empty() {
        for (position, invoice) in chain_and_write(transaction, batch, made).await? {
            outcomes.insert(position, IssueOutcome::Issued(invoice));
        }
    }
    Ok(outcomes.into_values().collect())
}

/// Position in the batch, ledger, open statement.
type Standing = (usize, LedgerId, i64);

/// What the bills are made of, by their positions; why there are no others goes to `outcomes`.
async fn gather<T: BillTransaction, E>(
    transaction: &mut T,
    batch: IssueBatch<'_>,
    outcomes: &mut BTreeMap<usize, IssueOutcome<E>>,
) -> Result<Vec<(usize, Gathered)>, StoreError> {
    let ledgers: Vec<_> = batch.wanted.iter().map(|one| one.ledger).collect();
    let held = transaction.hold_ledgers(&ledgers).await?;
    let mut held: BTreeMap<_, _> = held
        .into_iter()
        .map(|(ledger, statement, drift)| (ledger, (statement, drift)))
        .collect();
    let mut earlier: BTreeMap<LedgerId, Vec<StoredInvoice>> = BTreeMap::new();
    for bill in transaction.bills_of(&ledgers, batch.period).await? {
        earlier.entry(bill.ledger).or_default().push(bill);
    }
    // Those that are made alike are read together.
    let mut alike: Vec<(&Wanted<'_>, Vec<Standing>)> = Vec::new();
    for (position, one) in batch.wanted.iter().enumerate() {
        let bills = earlier.get(&one.ledger).map(Vec::as_slice).unwrap_or_default();
        let regular = bills.iter().find(|bill| bill.kind == KIND_REGULAR);
        let outcome = match (held.remove(&one.ledger), regular) {
            (None, _) => return Err(StoreError::unreadable("ledger")),
            (Some(_), Some(bill)) if batch.kind == KIND_REGULAR => IssueOutcome::Present(bill.clone()),
            (Some((_, Some(findings))), _) => IssueOutcome::Drifted(findings),
            (Some((statement, None)), _) => {
                let entry = (position, one.ledger, statement);
                let same = alike
                    .iter_mut()
                    .find(|(other, _)| std::ptr::eq(other.plans, one.plans));
                match same {
                    Some((_, entries)) => entries.push(entry),
                    None => alike.push((one, vec![entry])),
                }
                continue;
            }
        };
        outcomes.insert(position, outcome);
    }
    let mut gathered = Vec::new();
    for (one, entries) in alike {
        if !hold_plans(transaction, one.plans).await? {
            outcomes.extend(
                entries
                    .iter()
                    .map(|(position, ..)| (*position, IssueOutcome::PlanMoved)),
            );
            continue;
        }
        let ledgers: Vec<_> = entries.iter().map(|(_, ledger, _)| *ledger).collect();
        let mut usage = transaction.usage(&ledgers, &one.plans.slots).await?;
        let mut facts = transaction.facts(&ledgers, one.plans).await?;
        for (position, ledger, statement) in entries {
            let material = Gathered {
                statement,
                usage: usage.remove(&ledger).unwrap_or_default(),
                facts: facts.remove(&ledger).unwrap_or_default(),
                earlier: earlier.remove(&ledger).unwrap_or_default(),
            };
            gathered.push((position, material));
        }
    }
    Ok(gathered)
}

async fn hold_plans<T: BillTransaction>(
    transaction: &mut T,
    plans: &PlansInPeriod,
) -> Result<bool, StoreError> {
    for version in plans.versions() {
        if !transaction.hold_plan(version).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Gives bills their places in the chains of their entities; one issuer of each at a time.
async fn chain_and_write<T: BillTransaction>(
    mut transaction: T,
    batch: IssueBatch<'_>,
    made: Vec<Made<'_>>,
) -> Result<Vec<(usize, StoredInvoice)>, StoreError> {
    let at = nanosecond_of(batch.now)?;
    // In the order of their names, so that no two issuers wait for each other.
    let entities: BTreeSet<_> = made.iter().map(|made| made.bill.entity.clone()).collect();
    let mut chains = BTreeMap::new();
    for entity in entities {
        let chain = transaction.hold_chain(&entity).await?;
        chains.insert(entity, chain);
    }
    let (mut positions, mut written) = (Vec::new(), Vec::new());
    for Made {
        position,
        one,
        statement,
        ordinal,
        bill,
    } in made
    {
        let chain = chains
            .get_mut(&bill.entity)
            .ok_or(StoreError::unreadable("chain of invoices"))?;
        chain.sequence += 1;
        let sealed = (bill.seal)(Place {
            prefix: chain.prefix.clone(),
            sequence: chain.sequence,
            previous_digest: chain.digest.clone(),
        });
        chain.digest.clone_from(&sealed.digest);
        let invoice = StoredInvoice {
            entity: bill.entity,
            sequence: chain.sequence,
            number: sealed.number,
            ledger: one.ledger,
            period: batch.period.to_owned(),
            bounds: one.plans.bounds,
            kind: batch.kind.to_owned(),
            ordinal,
            statement,
            document: sealed.document,
            digest: sealed.digest,
            issued_at: batch.now,
        };
        positions.push(position);
        written.push(Written {
            invoice,
            plans: one.plans,
            currency: bill.currency,
            entries: bill.entries,
            credits: bill.credits,
        });
    }
    transaction.write(&written, (batch.actor, batch.note, at)).await?;
    for (entity, chain) in &chains {
        transaction.set_chain(entity, chain).await?;
    }
    transaction.finish().await?;
    let invoices = written.into_iter().map(|bill| bill.invoice);
    Ok(positions.into_iter().zip(invoices).collect())
}

fn next_ordinal(earlier: &[StoredInvoice], kind: &str) -> i64 {
    if kind == KIND_REGULAR {
        return 0;
    }
    let mine = earlier.iter().filter(|bill| bill.kind == kind);
    mine.map(|bill| bill.ordinal).max().unwrap_or(0) + 1
}

impl Store {
    /// Issues a batch; outcomes are in its order.
    pub async fn issue<E>(
        &self,
        batch: IssueBatch<'_>,
        make: impl FnMut(usize, Gathered) -> Result<Option<Ready>, E>,
    ) -> Result<Vec<IssueOutcome<E>>, StoreError> {
        match self {
            Self::Sqlite(database) => issue_within(database.begin().await?, batch, make).await,
            Self::Postgres(database) => issue_within(database.begin().await?, batch, make).await,
        }
    }
}
