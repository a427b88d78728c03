//! States of issued bills, and what the tax office knows of them: rows that are only ever added.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::ingest::{instant_of, nanosecond_of};
use super::issue::BillTransaction;
use super::{Store, StoreError, StoredInvoice, in_transaction, on_readers};
use crate::bill::money::Entry;
use crate::bill::state::{InvoiceState, TaxState};
use crate::metering::decide::LedgerId;

/// A state with who brought it about, and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StateRecord {
    /// Which.
    pub state: InvoiceState,
    /// Who.
    pub actor: String,
    /// Why.
    pub note: String,
    /// When.
    pub at: Timestamp,
}

/// What the tax office knows of a bill.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaxRegistration {
    /// How far it is.
    pub state: TaxState,
    /// The tax office's number of the bill; empty: not known.
    pub tax_number: String,
    /// The tax office's number of the red letter; empty: none.
    pub red_letter_number: String,
    /// Who noted it.
    pub actor: String,
    /// In words.
    pub note: String,
    /// When.
    pub at: Timestamp,
}

/// States of bills, by their numbers, each in order.
pub type StatesByNumber = BTreeMap<String, Vec<StateRecord>>;

/// What follows from an act on a bill.
#[derive(Clone, Debug)]
pub struct NextState {
    /// The new state.
    pub state: InvoiceState,
    /// ISO code and what is posted as its payment, if that is what it is.
    pub payment: Option<(String, Vec<Entry>)>,
}

type Row = (String, String, String, i64);
type NumberedRow = (String, String, String, String, i64);
type TaxRow = (String, String, String, String, String, i64);

const STATES: &str =
    "SELECT state, actor, note, recorded_at FROM invoice_state WHERE number = $1 ORDER BY ordinal";
const STATES_OF_LEDGER: &str = "SELECT s.number, s.state, s.actor, s.note, s.recorded_at FROM invoice i
    JOIN invoice_state s ON s.number = i.number WHERE i.ledger_id = $1 ORDER BY s.number, s.ordinal";
const TAX: &str =
    "SELECT state, tax_number, red_letter_number, actor, note, recorded_at FROM tax_registration
    WHERE number = $1 ORDER BY ordinal";
const INSERT_TAX: &str = "INSERT INTO tax_registration (number, ordinal, state, tax_number, red_letter_number, actor, note, recorded_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

impl Store {
    /// Adds a state to a bill. `decide` is told all states so far; nobody else adds one meanwhile.
    pub async fn act<E>(
        &self,
        invoice: &StoredInvoice,
        actor: &str,
        note: &str,
        now: Timestamp,
        decide: impl FnOnce(&[InvoiceState]) -> Result<NextState, E> + Send,
    ) -> Result<Result<InvoiceState, E>, StoreError> {
        let at = nanosecond_of(now)?;
        let number = &invoice.number;
        let hold = self.dialect(
            "SELECT number FROM invoice WHERE number = $1",
            "SELECT number FROM invoice WHERE number = $1 FOR UPDATE",
        );
        in_transaction!(self, transaction => {
            let _: (String,) = sqlx::query_as(hold).bind(number).fetch_one(&mut *transaction).await?;
            let rows: Vec<Row> = sqlx::query_as(STATES).bind(number).fetch_all(&mut *transaction).await?;
            let history = rows.into_iter().map(record_of).collect::<Result<Vec<_>, _>>()?;
            let history: Vec<_> = history.into_iter().map(|record| record.state).collect();
            let next = match decide(&history) {
                Ok(next) => next,
                Err(error) => return Ok(Err(error)),
            };
            transaction.add_state(number, next.state.name(), (actor, note, at)).await?;
            if let Some((currency, entries)) = &next.payment {
                transaction.post(number, "payment", currency, entries, at).await?;
            }
            transaction.commit().await?;
            Ok(Ok(next.state))
        })
    }

    /// All states of a bill, in order.
    pub async fn states(&self, number: &str) -> Result<Vec<StateRecord>, StoreError> {
        let rows: Vec<Row> =
            on_readers!(self, pool => sqlx::query_as(STATES).bind(number).fetch_all(pool).await)?;
        rows.into_iter().map(record_of).collect()
    }

    /// All states of all bills of a ledger, by number, in order.
    pub async fn states_of_ledger(&self, ledger: LedgerId) -> Result<StatesByNumber, StoreError> {
        let rows: Vec<NumberedRow> =
            on_readers!(self, pool => sqlx::query_as(STATES_OF_LEDGER).bind(ledger).fetch_all(pool).await)?;
        let mut states = StatesByNumber::new();
        for (number, state, actor, note, at) in rows {
            let record = record_of((state, actor, note, at))?;
            states.entry(number).or_default().push(record);
        }
        Ok(states)
    }

    /// Adds what the tax office knows. `false`: that cannot come after what is there.
    pub async fn register_tax(
        &self,
        number: &str,
        registration: &TaxRegistration,
    ) -> Result<bool, StoreError> {
        let at = nanosecond_of(registration.at)?;
        let hold = self.dialect(
            "SELECT number FROM invoice WHERE number = $1",
            "SELECT number FROM invoice WHERE number = $1 FOR UPDATE",
        );
        in_transaction!(self, transaction => {
            let _: (String,) = sqlx::query_as(hold).bind(number).fetch_one(&mut *transaction).await?;
            let rows: Vec<TaxRow> = sqlx::query_as(TAX).bind(number).fetch_all(&mut *transaction).await?;
            let history = rows.into_iter().map(registration_of).collect::<Result<Vec<_>, _>>()?;
            if !registration.state.may_follow(history.last().map(|before| before.state)) {
                return Ok(false);
            }
            let ordinal = i64::try_from(history.len()).map_err(|_| StoreError::unreadable("tax"))? + 1;
            sqlx::query(INSERT_TAX).bind(number).bind(ordinal).bind(registration.state.name())
                .bind(&registration.tax_number).bind(&registration.red_letter_number)
                .bind(&registration.actor).bind(&registration.note).bind(at)
                .execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(true)
        })
    }

    /// What the tax office knows of a bill, in order; the last counts.
    pub async fn tax_registrations(&self, number: &str) -> Result<Vec<TaxRegistration>, StoreError> {
        let rows: Vec<TaxRow> =
            on_readers!(self, pool => sqlx::query_as(TAX).bind(number).fetch_all(pool).await)?;
        rows.into_iter().map(registration_of).collect()
    }
}

fn record_of(row: Row) -> Result<StateRecord, StoreError> {
    let (state, actor, note, at) = row;
    Ok(StateRecord {
        state: InvoiceState::from_name(&state).ok_or_else(|| StoreError::unreadable("state"))?,
        actor,
        note,
        at: instant_of(at)?,
    })
}

fn registration_of(row: TaxRow) -> Result<TaxRegistration, StoreError> {
    let (state, tax_number, red_letter_number, actor, note, at) = row;
    Ok(TaxRegistration {
        state: TaxState::from_name(&state).ok_or_else(|| StoreError::unreadable("state"))?,
        tax_number,
        red_letter_number,
        actor,
        note,
        at: instant_of(at)?,
    })
}
