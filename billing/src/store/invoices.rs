//! Issued bills and the notes on them. Issuing closes the ledger's open statement, reads what landed up to it, takes the
//! next number and writes the bill with its state and its posting, in one transaction of one or more tenants; the database
//! itself refuses to change a bill afterwards.
//!
//! Only the last part of the transaction, from the chain's row on, is done by one issuer at a time.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::ingest::{instant_of, nanosecond_of};
use super::usage::{SUMMED_POSTGRES, SUMMED_SQLITE, SummedRow, summed_by_postgres, summed_by_us};
use super::{PlanVersion, Store, StoreError, on_readers};
use crate::bill::money::Entry;
use crate::bill::slots::Slots;
use crate::metering::decide::LedgerId;
use crate::rating::rate::Usage;

/// The legal entity that issues; one for now.
pub const ENTITY: &str = "SPT";
/// Kind of a month's bill.
pub const KIND_REGULAR: &str = "regular";
/// Kind of a note that carries a difference.
pub const KIND_CORRECTION: &str = "correction";
/// Kind of a note that takes a bill back.
pub const KIND_CREDIT: &str = "credit";

/// A bill or note that is to be issued.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// To whom.
    pub ledger: LedgerId,
    /// By which plan; it must still be that version.
    pub plan: &'a PlanVersion,
    /// How its usage is added up.
    pub slots: &'a Slots,
}

/// What is to be issued in one transaction.
#[derive(Clone, Copy, Debug)]
pub struct IssueBatch<'a> {
    /// Regular, correction or credit.
    pub kind: &'static str,
    /// For which period, as "2026-11".
    pub period: &'a str,
    /// To whom; each ledger once.
    pub wanted: &'a [Wanted<'a>],
    /// Who does it.
    pub actor: &'a str,
    /// Why.
    pub note: &'a str,
    /// When.
    pub now: Timestamp,
}

/// What a bill is made of.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// The statement that is closed with it.
    pub statement: i64,
    /// All usage of the period that landed up to that statement.
    pub usage: Vec<Usage>,
    /// The period's bill and the notes on it so far, in the order of their issue.
    pub earlier: Vec<StoredInvoice>,
}

/// A bill's place in the chain.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its number in the sequence.
    pub sequence: i64,
    /// Of the bill before it; empty for the first.
    pub previous_digest: String,
}

/// A bill with its place.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// As "SPT-2026-000001".
    pub number: String,
    /// Canonical JSON.
    pub document: String,
    /// Of that, hexadecimal.
    pub digest: String,
}

/// A bill that only lacks its place.
pub struct Ready {
    /// ISO code.
    pub currency: String,
    /// What it posts.
    pub entries: Vec<Entry>,
    /// Numbers of bills that it takes back.
    pub credits: Vec<String>,
    /// Writes it.
    pub seal: Box<dyn FnOnce(Place) -> Sealed + Send>,
}

/// An issued bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredInvoice {
    /// Its place in the chain.
    pub sequence: i64,
    /// As "SPT-2026-000001".
    pub number: String,
    /// To whom.
    pub ledger: LedgerId,
    /// As "2026-11".
    pub period: String,
    /// "regular", "correction" or "credit".
    pub kind: String,
    /// 0 for the regular one; notes count from 1.
    pub ordinal: i64,
    /// Up to which statement its usage landed.
    pub statement: i64,
    /// Canonical JSON.
    pub document: String,
    /// Of that, hexadecimal.
    pub digest: String,
    /// When.
    pub issued_at: Timestamp,
}

/// What became of one of a batch.
#[derive(Debug)]
pub enum IssueOutcome<E> {
    /// Issued now.
    Issued(StoredInvoice),
    /// The regular bill was issued before.
    Present(StoredInvoice),
    /// There is nothing to issue.
    Nothing,
    /// The plan's version is not what it was when it was read: read it again.
    PlanMoved,
    /// The tenant's books do not agree.
    Drifted(String),
    /// It cannot be made.
    Failed(E),
}

type Row = (i64, String, i64, String, String, i64, i64, String, String, i64);

macro_rules! select_invoice {
    ($rest:literal) => {
        concat!(
            "SELECT sequence, number, ledger_id, period, kind, ordinal, statement, document, digest, issued_at FROM invoice ",
            $rest
        )
    };
}

const OF_PERIOD: &str =
    select_invoice!("WHERE ledger_id = $1 AND period = $2 AND kind = 'regular' AND ordinal = 0");
const ALL_OF_PERIOD: &str = select_invoice!("WHERE ledger_id = $1 AND period = $2 ORDER BY sequence");
const INSERT: &str = "INSERT INTO invoice (entity, sequence, number, ledger_id, period, kind, ordinal, statement, plan_name, plan_uid,
        plan_generation, document, digest, issued_at)
    VALUES ('SPT', $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
const INSERT_STATE: &str = "INSERT INTO invoice_state (number, ordinal, state, actor, note, recorded_at)
    VALUES ($1, (SELECT COALESCE(max(ordinal), 0) + 1 FROM invoice_state WHERE number = $1), $2, $3, $4, $5)";
const INSERT_ENTRY: &str =
    "INSERT INTO journal_entry (number, posting, position, account, amount) VALUES ($1, $2, $3, $4, $5)";
const INSERT_POSTING: &str =
    "INSERT INTO journal_posting (number, posting, currency, recorded_at) VALUES ($1, $2, $3, $4)";

/// What issuing asks of a transaction of either database.
pub(super) trait BillTransaction {
    /// The open statement, which stays open until the transaction ends, and drift that was found. Waits for every
    /// transaction that took usage into the statement, and keeps later ones out of it.
    async fn hold_ledger(&mut self, ledger: LedgerId) -> Result<(i64, Option<String>), StoreError>;
    /// The bill and the notes of a period.
    async fn bills_of(&mut self, ledger: LedgerId, period: &str) -> Result<Vec<StoredInvoice>, StoreError>;
    /// The plan is as it was read, and stays so.
    async fn hold_plan(&mut self, plan: &PlanVersion) -> Result<bool, StoreError>;
    /// Usage up to a statement.
    async fn usage(&mut self, ledger: LedgerId, slots: &Slots, up_to: i64) -> Result<Vec<Usage>, StoreError>;
    /// Last sequence and digest; nobody else issues until the transaction ends.
    async fn hold_chain(&mut self) -> Result<(i64, String), StoreError>;
    /// Writes a bill.
    async fn insert(&mut self, invoice: &StoredInvoice, plan: &PlanVersion) -> Result<(), StoreError>;
    /// Adds a state.
    async fn add_state(
        &mut self,
        number: &str,
        state: &str,
        actor: &str,
        note: &str,
        at: i64,
    ) -> Result<(), StoreError>;
    /// Posts to the journal.
    async fn post(
        &mut self,
        number: &str,
        posting: &str,
        currency: &str,
        entries: &[Entry],
        at: i64,
    ) -> Result<(), StoreError>;
    /// Closes a statement.
    async fn close_statement(&mut self, ledger: LedgerId, statement: i64) -> Result<(), StoreError>;
    /// Moves the chain's end.
    async fn set_chain(&mut self, sequence: i64, digest: &str) -> Result<(), StoreError>;
    /// Makes it durable.
    async fn finish(self) -> Result<(), StoreError>;
}

macro_rules! bill_transaction {
    ($database:ty, $alone_ledger:literal, $alone:literal, $shared:literal, $summed:expr, $usage:expr, $bind_classes:expr) => {
        impl BillTransaction for sqlx::Transaction<'_, $database> {
            async fn hold_ledger(&mut self, ledger: LedgerId) -> Result<(i64, Option<String>), StoreError> {
                let text = concat!(
                    "SELECT l.open_statement, d.findings FROM ledger l LEFT JOIN drift d ON d.ledger_id = l.id WHERE l.id = $1",
                    $alone_ledger
                );
                Ok(sqlx::query_as(text).bind(ledger).fetch_one(&mut **self).await?)
            }

            async fn bills_of(
                &mut self,
                ledger: LedgerId,
                period: &str,
            ) -> Result<Vec<StoredInvoice>, StoreError> {
                let query = sqlx::query_as(ALL_OF_PERIOD).bind(ledger).bind(period);
                query.fetch_all(&mut **self).await?.into_iter().map(invoice_of).collect()
            }

            async fn hold_plan(&mut self, plan: &PlanVersion) -> Result<bool, StoreError> {
                let text = concat!(
                    "SELECT digest FROM rate_plan WHERE name = $1 AND uid = $2 AND generation = $3",
                    $shared
                );
                let query = sqlx::query_as(text).bind(&plan.name).bind(&plan.uid).bind(plan.generation);
                let held: Option<(Vec<u8>,)> = query.fetch_optional(&mut **self).await?;
                Ok(held.is_some_and(|(digest,)| digest == plan.digest.as_bytes()))
            }

            async fn usage(
                &mut self,
                ledger: LedgerId,
                slots: &Slots,
                up_to: i64,
            ) -> Result<Vec<Usage>, StoreError> {
                let (from, to) = slots.range();
                let query = sqlx::query_as($summed).bind(ledger).bind(from).bind(to).bind(up_to);
                let query = $bind_classes(query, slots);
                $usage(query.fetch_all(&mut **self).await?, slots)
            }

            async fn hold_chain(&mut self) -> Result<(i64, String), StoreError> {
                let text = concat!(
                    "SELECT last_sequence, last_digest FROM invoice_chain WHERE entity = 'SPT'",
                    $alone
                );
                Ok(sqlx::query_as(text).fetch_one(&mut **self).await?)
            }

            async fn insert(&mut self, invoice: &StoredInvoice, plan: &PlanVersion) -> Result<(), StoreError> {
                sqlx::query(INSERT)
                    .bind(invoice.sequence)
                    .bind(&invoice.number)
                    .bind(invoice.ledger)
                    .bind(&invoice.period)
                    .bind(&invoice.kind)
                    .bind(invoice.ordinal)
                    .bind(invoice.statement)
                    .bind(&plan.name)
                    .bind(&plan.uid)
                    .bind(plan.generation)
                    .bind(&invoice.document)
                    .bind(&invoice.digest)
                    .bind(nanosecond_of(invoice.issued_at)?)
                    .execute(&mut **self)
                    .await?;
                Ok(())
            }

            async fn add_state(
                &mut self,
                number: &str,
                state: &str,
                actor: &str,
                note: &str,
                at: i64,
            ) -> Result<(), StoreError> {
                let query = sqlx::query(INSERT_STATE).bind(number).bind(state).bind(actor).bind(note).bind(at);
                query.execute(&mut **self).await?;
                Ok(())
            }

            async fn post(
                &mut self,
                number: &str,
                posting: &str,
                currency: &str,
                entries: &[Entry],
                at: i64,
            ) -> Result<(), StoreError> {
                for (position, entry) in (1_i64..).zip(entries) {
                    let query = sqlx::query(INSERT_ENTRY).bind(number).bind(posting).bind(position);
                    let query = query.bind(entry.account.name()).bind(entry.amount);
                    query.execute(&mut **self).await?;
                }
                let query = sqlx::query(INSERT_POSTING).bind(number).bind(posting).bind(currency).bind(at);
                query.execute(&mut **self).await?;
                Ok(())
            }

            async fn close_statement(&mut self, ledger: LedgerId, statement: i64) -> Result<(), StoreError> {
                let text = "UPDATE ledger SET open_statement = open_statement + 1 WHERE id = $1 AND open_statement = $2";
                let closed = sqlx::query(text).bind(ledger).bind(statement).execute(&mut **self).await?;
                if closed.rows_affected() == 1 { Ok(()) } else { Err(StoreError::unreadable("statement")) }
            }

            async fn set_chain(&mut self, sequence: i64, digest: &str) -> Result<(), StoreError> {
                let text = "UPDATE invoice_chain SET last_sequence = $1, last_digest = $2 WHERE entity = 'SPT'";
                let chained = sqlx::query(text).bind(sequence).bind(digest).execute(&mut **self).await?;
                if chained.rows_affected() == 1 { Ok(()) } else { Err(StoreError::unreadable("chain of invoices")) }
            }

            async fn finish(self) -> Result<(), StoreError> {
                Ok(self.commit().await?)
            }
        }
    };
}

fn without_classes<Q>(query: Q, _: &Slots) -> Q {
    query
}

type SummedQuery<'q> = sqlx::query::QueryAs<'q, sqlx::Postgres, SummedRow, sqlx::postgres::PgArguments>;

fn with_classes<'q>(query: SummedQuery<'q>, slots: &Slots) -> SummedQuery<'q> {
    query.bind(slots.classes().to_vec())
}

bill_transaction!(
    sqlx::Sqlite,
    "",
    "",
    "",
    SUMMED_SQLITE,
    summed_by_us,
    without_classes
);
bill_transaction!(
    sqlx::Postgres,
    " FOR UPDATE OF l",
    " FOR UPDATE",
    " FOR SHARE",
    SUMMED_POSTGRES,
    summed_by_postgres,
    with_classes
);

/// Issues what `make` writes of what was gathered; it is told the position in the batch.
async fn issue_within<T: BillTransaction, E>(
    mut transaction: T,
    batch: IssueBatch<'_>,
    mut make: impl FnMut(usize, Gathered) -> Result<Option<Ready>, E>,
) -> Result<Vec<IssueOutcome<E>>, StoreError> {
    let IssueBatch {
        kind,
        period,
        wanted,
        actor,
        note,
        now,
    } = batch;
    let at = nanosecond_of(now)?;
    let mut outcomes: BTreeMap<usize, IssueOutcome<E>> = BTreeMap::new();
    let mut ready = Vec::new();
    // In the order of their ids, as everybody takes them.
    let mut order: Vec<_> = wanted.iter().enumerate().collect();
    order.sort_by_key(|(_, one)| one.ledger);
    for (position, one) in order {
        match gather(&mut transaction, one, kind, period).await? {
            Err(outcome) => drop(outcomes.insert(position, outcome)),
            Ok(gathered) => {
                let (statement, ordinal) = (gathered.statement, next_ordinal(&gathered.earlier, kind));
                match make(position, gathered) {
                    Ok(Some(bill)) => ready.push((position, one, statement, ordinal, bill)),
                    Ok(None) => drop(outcomes.insert(position, IssueOutcome::Nothing)),
                    Err(error) => drop(outcomes.insert(position, IssueOutcome::Failed(error))),
                }
            }
        }
    }
    if !ready.is_empty() {
        let (mut sequence, mut previous_digest) = transaction.hold_chain().await?;
        for (position, one, statement, ordinal, bill) in ready {
            sequence += 1;
            let sealed = (bill.seal)(Place {
                sequence,
                previous_digest,
            });
            let invoice = StoredInvoice {
                sequence,
                number: sealed.number,
                ledger: one.ledger,
                period: period.to_owned(),
                kind: kind.to_owned(),
                ordinal,
                statement,
                document: sealed.document,
                digest: sealed.digest,
                issued_at: now,
            };
            transaction.insert(&invoice, one.plan).await?;
            transaction
                .add_state(&invoice.number, "issued", actor, note, at)
                .await?;
            transaction
                .post(&invoice.number, "issue", &bill.currency, &bill.entries, at)
                .await?;
            for number in &bill.credits {
                transaction.add_state(number, "credited", actor, note, at).await?;
            }
            transaction.close_statement(one.ledger, statement).await?;
            previous_digest = invoice.digest.clone();
            outcomes.insert(position, IssueOutcome::Issued(invoice));
        }
        transaction.set_chain(sequence, &previous_digest).await?;
        transaction.finish().await?;
    }
    Ok(outcomes.into_values().collect())
}

/// What the bill is made of, or why there is none.
async fn gather<T: BillTransaction, E>(
    transaction: &mut T,
    one: &Wanted<'_>,
    kind: &str,
    period: &str,
) -> Result<Result<Gathered, IssueOutcome<E>>, StoreError> {
    let (statement, drift) = transaction.hold_ledger(one.ledger).await?;
    let earlier = transaction.bills_of(one.ledger, period).await?;
    if kind == KIND_REGULAR
        && let Some(bill) = earlier.iter().find(|bill| bill.kind == KIND_REGULAR)
    {
        return Ok(Err(IssueOutcome::Present(bill.clone())));
    }
    if let Some(findings) = drift {
        return Ok(Err(IssueOutcome::Drifted(findings)));
    }
    if !transaction.hold_plan(one.plan).await? {
        return Ok(Err(IssueOutcome::PlanMoved));
    }
    let usage = transaction.usage(one.ledger, one.slots, statement).await?;
    Ok(Ok(Gathered {
        statement,
        usage,
        earlier,
    }))
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

    /// The regular bill of a period, if it was issued.
    pub async fn invoice_of_period(
        &self,
        ledger: LedgerId,
        period: &str,
    ) -> Result<Option<StoredInvoice>, StoreError> {
        let row: Option<Row> = on_readers!(self, pool => {
            sqlx::query_as(OF_PERIOD).bind(ledger).bind(period).fetch_optional(pool).await
        })?;
        row.map(invoice_of).transpose()
    }

    /// A ledger's bill of that number.
    pub async fn invoice_numbered(
        &self,
        ledger: LedgerId,
        number: &str,
    ) -> Result<Option<StoredInvoice>, StoreError> {
        let text = select_invoice!("WHERE ledger_id = $1 AND number = $2");
        let row: Option<Row> = on_readers!(self, pool => sqlx::query_as(text).bind(ledger).bind(number).fetch_optional(pool).await)?;
        row.map(invoice_of).transpose()
    }

    /// The bill of that number, whoever's it is.
    pub async fn any_invoice(&self, number: &str) -> Result<Option<StoredInvoice>, StoreError> {
        let text = select_invoice!("WHERE number = $1");
        let row: Option<Row> =
            on_readers!(self, pool => sqlx::query_as(text).bind(number).fetch_optional(pool).await)?;
        row.map(invoice_of).transpose()
    }

    /// A ledger's bills, the newest period first.
    pub async fn invoices(&self, ledger: LedgerId) -> Result<Vec<StoredInvoice>, StoreError> {
        let text = select_invoice!("WHERE ledger_id = $1 ORDER BY period DESC, sequence DESC");
        let rows: Vec<Row> =
            on_readers!(self, pool => sqlx::query_as(text).bind(ledger).fetch_all(pool).await)?;
        rows.into_iter().map(invoice_of).collect()
    }

    /// A stretch of the chain: at most `limit` bills with a higher sequence.
    pub async fn invoices_after(&self, sequence: i64, limit: i64) -> Result<Vec<StoredInvoice>, StoreError> {
        let text = select_invoice!("WHERE entity = 'SPT' AND sequence > $1 ORDER BY sequence LIMIT $2");
        let rows: Vec<Row> =
            on_readers!(self, pool => sqlx::query_as(text).bind(sequence).bind(limit).fetch_all(pool).await)?;
        rows.into_iter().map(invoice_of).collect()
    }

    /// Ledgers whose regular bill of a period was issued.
    pub async fn billed_in(&self, period: &str) -> Result<Vec<LedgerId>, StoreError> {
        let text = "SELECT ledger_id FROM invoice WHERE period = $1 AND kind = 'regular' ORDER BY ledger_id";
        let rows: Vec<(i64,)> =
            on_readers!(self, pool => sqlx::query_as(text).bind(period).fetch_all(pool).await)?;
        Ok(rows.into_iter().map(|(ledger,)| ledger).collect())
    }

    /// How many bills were issued, ever.
    pub async fn number_of_invoices(&self) -> Result<i64, StoreError> {
        self.end_of_chain().await.map(|(last, _)| last)
    }

    /// Last sequence and digest of the chain.
    pub async fn end_of_chain(&self) -> Result<(i64, String), StoreError> {
        let text = "SELECT last_sequence, last_digest FROM invoice_chain WHERE entity = 'SPT'";
        Ok(on_readers!(self, pool => sqlx::query_as(text).fetch_one(pool).await)?)
    }
}

fn invoice_of(row: Row) -> Result<StoredInvoice, StoreError> {
    let (sequence, number, ledger, period, kind, ordinal, statement, document, digest, issued_at) = row;
    Ok(StoredInvoice {
        sequence,
        number,
        ledger,
        period,
        kind,
        ordinal,
        statement,
        document,
        digest,
        issued_at: instant_of(issued_at)?,
    })
}
