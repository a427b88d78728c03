//! What verification reads, and the drift that it found.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::ingest::nanosecond_of;
use super::postgres::nanos_of;
use super::usage::bucket_range;
use super::{Store, StoreError, in_transaction, on_readers};
use crate::metering::decide::LedgerId;
use crate::metering::standing::billable_sql;
use crate::rating::number::{Exact, Overflow};
use crate::rating::period::Bounds;

/// What events and buckets say of one meter, in a quarter of an hour or in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeterFigures {
    /// Sum of the billable events, in billionths.
    events: i128,
    /// Sum of the buckets, in billionths.
    buckets: i128,
}

impl MeterFigures {
    /// Sum of the billable events.
    pub fn events(self) -> Exact {
        Exact::from_nanos(self.events)
    }

    /// Sum of the buckets.
    pub fn buckets(self) -> Exact {
        Exact::from_nanos(self.buckets)
    }

    /// Both say the same.
    pub fn agree(self) -> bool {
        self.events == self.buckets
    }

    /// With those of another time.
    pub fn plus(self, other: Self) -> Result<Self, Overflow> {
        let sum = |one: i128, other| one.checked_add(other).ok_or(Overflow);
        Ok(Self {
            events: sum(self.events, other.events)?,
            buckets: sum(self.buckets, other.buckets)?,
        })
    }
}

/// By meter, and then by the second in which a quarter of an hour begins.
pub type FiguresByMeter = BTreeMap<String, BTreeMap<i64, MeterFigures>>;

/// A posting with the sums of its entries by account, in smallest units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Posting {
    /// ISO code.
    pub currency: String,
    /// Accounts that are not zero.
    pub accounts: BTreeMap<String, i64>,
}

// One statement, so that both are read at one moment. $1 ledger, $2 and $3 instants, $4 and $5 seconds.
const FIGURES_POSTGRES: &str = concat!(
    "SELECT 1::bigint, meter, (e.event_time / 900000000000) * 900 AS start, sum(quantity)::text FROM event e JOIN event_key k ON k.key = e.key
     WHERE e.ledger_id = $1 AND e.event_time >= $2 AND e.event_time < $3 AND ",
    billable_sql!(),
    " GROUP BY meter, start UNION ALL
    SELECT 2::bigint, meter, start_second, sum(quantity)::text FROM usage_bucket
    WHERE ledger_id = $1 AND start_second >= $4 AND start_second < $5 GROUP BY meter, start_second"
);
const FIGURES_SQLITE: &str = concat!(
    "SELECT 1, meter, (e.event_time / 900000000000) * 900, quantity FROM event e JOIN event_key k ON k.key = e.key
     WHERE e.ledger_id = $1 AND e.event_time >= $2 AND e.event_time < $3 AND ",
    billable_sql!(),
    " UNION ALL
    SELECT 2, meter, start_second, quantity FROM usage_bucket
    WHERE ledger_id = $1 AND start_second >= $4 AND start_second < $5"
);
const POSTINGS: &str =
    "SELECT p.posting, p.currency, COALESCE(e.account, ''), COALESCE(e.amount, 0) FROM journal_posting p
    LEFT JOIN journal_entry e ON e.number = p.number AND e.posting = p.posting WHERE p.number = $1";

impl Store {
    /// Events and buckets of a period; of one whose buckets are whole.
    pub async fn meter_figures(
        &self,
        ledger: LedgerId,
        bounds: &Bounds,
    ) -> Result<FiguresByMeter, StoreError> {
        let (from, to) = (nanosecond_of(bounds.start)?, nanosecond_of(bounds.end)?);
        let (first, end) = bucket_range(bounds);
        let text = self.dialect(FIGURES_SQLITE, FIGURES_POSTGRES);
        let rows: Vec<(i64, String, i64, String)> = on_readers!(self, pool => {
            sqlx::query_as(text).bind(ledger).bind(from).bind(to).bind(first).bind(end).fetch_all(pool).await
        })?;
        let mut figures = FiguresByMeter::new();
        for (side, meter, start, quantity) in rows {
            let nanos = match self {
                Self::Sqlite(_) => quantity,
                Self::Postgres(_) => nanos_of(&quantity)?,
            };
            let nanos: i128 = nanos.parse().map_err(|_| StoreError::unreadable("usage"))?;
            let mine = figures.entry(meter).or_default().entry(start).or_default();
            let sum = if side == 1 {
                &mut mine.events
            } else {
                &mut mine.buckets
            };
            *sum = sum.checked_add(nanos).ok_or(Overflow)?;
        }
        Ok(figures)
    }

    /// The postings of a bill, by name.
    pub async fn postings(&self, number: &str) -> Result<BTreeMap<String, Posting>, StoreError> {
        let rows: Vec<(String, String, String, i64)> =
            on_readers!(self, pool => sqlx::query_as(POSTINGS).bind(number).fetch_all(pool).await)?;
        let mut postings: BTreeMap<String, Posting> = BTreeMap::new();
        for (name, currency, account, amount) in rows {
            let posting = postings.entry(name).or_default();
            posting.currency = currency;
            if account.is_empty() {
                continue;
            }
            let sum = posting.accounts.entry(account).or_insert(0);
            *sum = sum.checked_add(amount).ok_or(Overflow)?;
        }
        for posting in postings.values_mut() {
            posting.accounts.retain(|_, sum| *sum != 0);
        }
        Ok(postings)
    }

    /// Notes that a tenant's books do not agree, or that they do again.
    pub async fn note_drift(
        &self,
        ledger: LedgerId,
        findings: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let at = nanosecond_of(now)?;
        let note = "INSERT INTO drift (ledger_id, findings, found_at) VALUES ($1, $2, $3)
            ON CONFLICT (ledger_id) DO UPDATE SET findings = excluded.findings";
        in_transaction!(self, transaction => {
            match findings {
                Some(findings) => sqlx::query(note).bind(ledger).bind(findings).bind(at).execute(&mut *transaction).await?,
                None => sqlx::query("DELETE FROM drift WHERE ledger_id = $1").bind(ledger).execute(&mut *transaction).await?,
            };
            transaction.commit().await?;
            Ok(())
        })
    }

    /// Drift that was found of a tenant's books.
    pub async fn drift(&self, ledger: LedgerId) -> Result<Option<String>, StoreError> {
        let text = "SELECT findings FROM drift WHERE ledger_id = $1";
        let row: Option<(String,)> =
            on_readers!(self, pool => sqlx::query_as(text).bind(ledger).fetch_optional(pool).await)?;
        Ok(row.map(|(findings,)| findings))
    }
}
