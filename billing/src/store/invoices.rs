//! Issued bills and the notes on them. Issuing closes the ledger's open statement, reads what landed up to it, takes the
//! next number and writes the bill with its state and its posting, in one transaction of one or more tenants; the database
//! itself refuses to change a bill afterwards.

use jiff::Timestamp;

use super::ingest::instant_of;
use super::{Facts, Store, StoreError, on_readers};
use crate::bill::money::Entry;
use crate::bill::plans::PlansInPeriod;
use crate::metering::decide::LedgerId;
use crate::rating::period::Bounds;
use crate::rating::rate::Usage;

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
    /// By which plans and for which time; those that name the same are read together.
    pub plans: &'a PlansInPeriod,
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
    /// How the service was, and which modules were taken. What is recorded later is not on the bill: exclusions are refused, the
    /// rest waits for a correction.
    pub facts: Facts,
    /// The period's bill and the notes on it so far, in the order of their issue.
    pub earlier: Vec<StoredInvoice>,
}

/// A bill's place in the chain.
#[derive(Clone, Debug)]
pub struct Place {
    /// What its number begins with.
    pub prefix: String,
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
    /// Who issues it.
    pub entity: String,
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
    /// Who issued it, and whose chain it is in.
    pub entity: String,
    /// Its place in the chain.
    pub sequence: i64,
    /// As "SPT-2026-000001".
    pub number: String,
    /// To whom.
    pub ledger: LedgerId,
    /// As "2026-11".
    pub period: String,
    /// The period's instants.
    pub bounds: Bounds,
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

pub(super) type Row = (
    i64,
    String,
    i64,
    String,
    i64,
    i64,
    String,
    i64,
    i64,
    String,
    String,
    i64,
    String,
);

macro_rules! select_invoice {
    ($rest:literal) => {
        concat!(
            "SELECT sequence, number, ledger_id, period, period_start, period_end, kind, ordinal, statement, document, digest, \
             issued_at, entity FROM invoice ",
            $rest
        )
    };
}

pub(super) use select_invoice;

const OF_PERIOD: &str =
    select_invoice!("WHERE ledger_id = $1 AND period = $2 AND kind = 'regular' AND ordinal = 0");
impl Store {
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

    /// A stretch of an entity's chain: at most `limit` bills with a higher sequence.
    pub async fn invoices_after(
        &self,
        entity: &str,
        sequence: i64,
        limit: i64,
    ) -> Result<Vec<StoredInvoice>, StoreError> {
        let text = select_invoice!("WHERE entity = $1 AND sequence > $2 ORDER BY sequence LIMIT $3");
        let rows: Vec<Row> = on_readers!(self, pool => {
            sqlx::query_as(text).bind(entity).bind(sequence).bind(limit).fetch_all(pool).await
        })?;
        rows.into_iter().map(invoice_of).collect()
    }

    /// Ledgers whose regular bill of a period was issued.
    pub async fn billed_in(&self, period: &str) -> Result<Vec<LedgerId>, StoreError> {
        let text = "SELECT ledger_id FROM invoice WHERE period = $1 AND kind = 'regular' ORDER BY ledger_id";
        let rows: Vec<(i64,)> =
            on_readers!(self, pool => sqlx::query_as(text).bind(period).fetch_all(pool).await)?;
        Ok(rows.into_iter().map(|(ledger,)| ledger).collect())
    }

    /// The periods whose regular bill was issued, with their bounds.
    pub async fn billed_bounds(&self, ledger: LedgerId) -> Result<Vec<(String, Bounds)>, StoreError> {
        let text =
            "SELECT period, period_start, period_end FROM invoice WHERE ledger_id = $1 AND kind = 'regular'";
        let rows: Vec<(String, i64, i64)> =
            on_readers!(self, pool => sqlx::query_as(text).bind(ledger).fetch_all(pool).await)?;
        let bounds = |(period, start, end)| Ok((period, bounds_of(start, end)?));
        rows.into_iter().map(bounds).collect()
    }

    /// The bounds that a period has on its regular bills.
    pub async fn bounds_billed_in(&self, period: &str) -> Result<Vec<(LedgerId, Bounds)>, StoreError> {
        let text =
            "SELECT ledger_id, period_start, period_end FROM invoice WHERE period = $1 AND kind = 'regular'";
        let rows: Vec<(LedgerId, i64, i64)> =
            on_readers!(self, pool => sqlx::query_as(text).bind(period).fetch_all(pool).await)?;
        let bounds = |(ledger, start, end)| Ok((ledger, bounds_of(start, end)?));
        rows.into_iter().map(bounds).collect()
    }

    /// How many bills were issued, ever, by all entities.
    pub async fn number_of_invoices(&self) -> Result<i64, StoreError> {
        let text = "SELECT CAST(coalesce(sum(last_sequence), 0) AS BIGINT) FROM invoice_chain";
        let (bills,): (i64,) = on_readers!(self, pool => sqlx::query_as(text).fetch_one(pool).await)?;
        Ok(bills)
    }

    /// Last sequence and digest of an entity's chain.
    pub async fn end_of_chain(&self, entity: &str) -> Result<(i64, String), StoreError> {
        let text = "SELECT last_sequence, last_digest FROM invoice_chain WHERE entity = $1";
        Ok(on_readers!(self, pool => sqlx::query_as(text).bind(entity).fetch_one(pool).await)?)
    }
}

fn bounds_of(start: i64, end: i64) -> Result<Bounds, StoreError> {
    Ok(Bounds {
        start: instant_of(start)?,
        end: instant_of(end)?,
    })
}

pub(super) fn invoice_of(row: Row) -> Result<StoredInvoice, StoreError> {
    let (
        sequence,
        number,
        ledger,
        period,
        start,
        end,
        kind,
        ordinal,
        statement,
        document,
        digest,
        issued_at,
        entity,
    ) = row;
    Ok(StoredInvoice {
        entity,
        sequence,
        number,
        ledger,
        period,
        bounds: bounds_of(start, end)?,
        kind,
        ordinal,
        statement,
        document,
        digest,
        issued_at: instant_of(issued_at)?,
    })
}
