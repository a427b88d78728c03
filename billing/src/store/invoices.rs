//! Issued invoices. Issuing closes the ledger's open statement, reads what landed up to it, takes the next number and
//! writes the bill, in one transaction; the database itself refuses to change a bill afterwards.

use jiff::Timestamp;

use super::ingest::{instant_of, nanosecond_of};
use super::usage::{SELECT_POSTGRES, SELECT_SQLITE, bucket_range};
use super::{PlanVersion, StatementUsage, Store, StoreError, in_transaction, on_readers};
use crate::metering::decide::LedgerId;
use crate::rating::period::Bounds;

/// The legal entity that issues; one for now.
pub const ENTITY: &str = "SPT";
/// Kind of a month's bill.
pub const KIND_REGULAR: &str = "regular";

/// What is to be issued.
#[derive(Clone, Copy, Debug)]
pub struct IssueRequest<'a> {
    /// To whom.
    pub ledger: LedgerId,
    /// For which period, as "2026-11".
    pub period: &'a str,
    /// Its instants in the plan's zone.
    pub bounds: &'a Bounds,
    /// By which plan.
    pub plan: &'a PlanVersion,
    /// When.
    pub now: Timestamp,
}

/// Where a new bill stands in the chain, and what it is made of.
#[derive(Clone, Debug)]
pub struct ChainLink {
    /// Its number in the sequence.
    pub sequence: i64,
    /// Of the bill before it; empty for the first.
    pub previous_digest: String,
    /// The statement that is closed with it.
    pub statement: i64,
    /// All usage of the period that landed up to that statement.
    pub usage: Vec<StatementUsage>,
}

/// A bill that is ready to be written.
#[derive(Clone, Debug)]
pub struct NewInvoice {
    /// As "SPT-2026-000001".
    pub number: String,
    /// Canonical JSON.
    pub document: String,
    /// Of that, hexadecimal.
    pub digest: String,
}

/// An issued bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredInvoice {
    /// As "SPT-2026-000001".
    pub number: String,
    /// As "2026-11".
    pub period: String,
    /// Up to which statement its usage landed.
    pub statement: i64,
    /// Canonical JSON.
    pub document: String,
    /// Of that, hexadecimal.
    pub digest: String,
    /// When.
    pub issued_at: Timestamp,
}

/// A bill, and whether this call issued it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The bill.
    pub invoice: StoredInvoice,
    /// It was not there before.
    pub is_new: bool,
}

/// What became of an issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssueOutcome {
    /// There is a bill.
    Done(Issued),
    /// The plan's version is not what it was when it was read: read it again.
    PlanMoved,
}

type Row = (String, String, i64, String, String, i64);

macro_rules! select_invoice {
    ($rest:literal) => {
        concat!(
            "SELECT number, period, statement, document, digest, issued_at FROM invoice ",
            $rest
        )
    };
}

const OF_PERIOD: &str =
    select_invoice!("WHERE ledger_id = $1 AND period = $2 AND kind = 'regular' AND ordinal = 0");
const INSERT: &str = "INSERT INTO invoice (entity, sequence, number, ledger_id, period, kind, ordinal, statement, plan_name, plan_uid,
        plan_generation, document, digest, issued_at)
    VALUES ('SPT', $1, $2, $3, $4, 'regular', 0, $5, $6, $7, $8, $9, $10, $11)";

impl Store {
    /// Issues the regular bill of a period, or returns the one that was issued. `make` writes it.
    pub async fn issue<E: From<StoreError>>(
        &self,
        request: IssueRequest<'_>,
        make: impl FnOnce(ChainLink) -> Result<NewInvoice, E> + Send,
    ) -> Result<IssueOutcome, E> {
        let outcome: Result<Result<IssueOutcome, E>, StoreError> =
            self.issue_in_transaction(request, make).await;
        outcome.map_err(E::from)?
    }

    async fn issue_in_transaction<E>(
        &self,
        request: IssueRequest<'_>,
        make: impl FnOnce(ChainLink) -> Result<NewInvoice, E> + Send,
    ) -> Result<Result<IssueOutcome, E>, StoreError> {
        let IssueRequest {
            ledger,
            period,
            bounds,
            plan,
            now,
        } = request;
        let issued_at = nanosecond_of(now)?;
        let (from, to) = bucket_range(bounds);
        // Waits for every transaction that took usage into the open statement, and keeps later ones out of it.
        let close = self.dialect(
            "SELECT open_statement FROM ledger WHERE id = $1",
            "SELECT open_statement FROM ledger WHERE id = $1 FOR UPDATE",
        );
        let hold_plan = self.dialect(
            "SELECT digest FROM rate_plan WHERE name = $1 AND uid = $2 AND generation = $3",
            "SELECT digest FROM rate_plan WHERE name = $1 AND uid = $2 AND generation = $3 FOR SHARE",
        );
        let hold_chain = self.dialect(
            "SELECT last_sequence, last_digest FROM invoice_chain WHERE entity = 'SPT'",
            "SELECT last_sequence, last_digest FROM invoice_chain WHERE entity = 'SPT' FOR UPDATE",
        );
        let select_usage = self.dialect(SELECT_SQLITE, SELECT_POSTGRES);
        in_transaction!(self, transaction => {
            let (statement,): (i64,) = sqlx::query_as(close).bind(ledger).fetch_one(&mut *transaction).await?;
            let existing: Option<Row> =
                sqlx::query_as(OF_PERIOD).bind(ledger).bind(period).fetch_optional(&mut *transaction).await?;
            if let Some(row) = existing {
                return Ok(Ok(IssueOutcome::Done(Issued { invoice: invoice_of(row)?, is_new: false })));
            }
            let held: Option<(Vec<u8>,)> = sqlx::query_as(hold_plan).bind(&plan.name).bind(&plan.uid).bind(plan.generation)
                .fetch_optional(&mut *transaction).await?;
            if held.is_none_or(|(digest,)| digest != plan.digest.as_bytes()) {
                return Ok(Ok(IssueOutcome::PlanMoved));
            }
            let rows: Vec<_> = sqlx::query_as(select_usage).bind(ledger).bind(from).bind(to)
                .fetch_all(&mut *transaction).await?;
            let usage = rows.into_iter().map(|row| self.statement_usage_of(row)).collect::<Result<Vec<_>, _>>()?;
            let (last, previous_digest): (i64, String) = sqlx::query_as(hold_chain).fetch_one(&mut *transaction).await?;
            let sequence = last + 1;
            let NewInvoice { number, document, digest } =
                match make(ChainLink { sequence, previous_digest, statement, usage }) {
                    Ok(made) => made,
                    Err(error) => return Ok(Err(error)),
                };
            sqlx::query(INSERT)
                .bind(sequence).bind(&number).bind(ledger).bind(period).bind(statement)
                .bind(&plan.name).bind(&plan.uid).bind(plan.generation)
                .bind(&document).bind(&digest).bind(issued_at)
                .execute(&mut *transaction).await?;
            let chained = sqlx::query("UPDATE invoice_chain SET last_sequence = $1, last_digest = $2 WHERE entity = 'SPT'")
                .bind(sequence).bind(&digest).execute(&mut *transaction).await?;
            let closed = sqlx::query("UPDATE ledger SET open_statement = open_statement + 1 WHERE id = $1 AND open_statement = $2")
                .bind(ledger).bind(statement).execute(&mut *transaction).await?;
            if chained.rows_affected() != 1 || closed.rows_affected() != 1 {
                return Err(StoreError::unreadable("chain of invoices"));
            }
            transaction.commit().await?;
            let invoice = StoredInvoice { number, period: period.to_owned(), statement, document, digest, issued_at: now };
            Ok(Ok(IssueOutcome::Done(Issued { invoice, is_new: true })))
        })
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

    /// A ledger's bills, the newest period first.
    pub async fn invoices(&self, ledger: LedgerId) -> Result<Vec<StoredInvoice>, StoreError> {
        let text = select_invoice!("WHERE ledger_id = $1 ORDER BY period DESC, sequence DESC");
        let rows: Vec<Row> =
            on_readers!(self, pool => sqlx::query_as(text).bind(ledger).fetch_all(pool).await)?;
        rows.into_iter().map(invoice_of).collect()
    }
}

fn invoice_of(row: Row) -> Result<StoredInvoice, StoreError> {
    let (number, period, statement, document, digest, issued_at) = row;
    Ok(StoredInvoice {
        number,
        period,
        statement,
        document,
        digest,
        issued_at: instant_of(issued_at)?,
    })
}

impl Store {
    /// How many bills were issued, ever.
    pub async fn number_of_invoices(&self) -> Result<i64, StoreError> {
        let text = "SELECT last_sequence FROM invoice_chain WHERE entity = 'SPT'";
        let (last,): (i64,) = on_readers!(self, pool => sqlx::query_as(text).fetch_one(pool).await)?;
        Ok(last)
    }
}
