//! What issuing asks of a transaction, and how each database answers.

use std::collections::BTreeMap;

use super::write::{write_at_once, write_one_by_one};
use crate::bill::money::Entry;
use crate::bill::plans::PlansInPeriod;
use crate::bill::slots::Slots;
use crate::metering::decide::LedgerId;
use crate::store::facts::{facts_over_postgres, facts_over_sqlite};
use crate::store::invoices::{StoredInvoice, invoice_of, select_invoice};
use crate::store::usage::{
    SUMMED_POSTGRES, SUMMED_SQLITE, UsageByLedger, summed_by_postgres, summed_by_us, with_range, with_runs,
};
use crate::store::{Facts, Landed, PlanVersion, StoreError};

const INSERT_STATE: &str = "INSERT INTO invoice_state (number, ordinal, state, actor, note, recorded_at)
    VALUES ($1, (SELECT COALESCE(max(ordinal), 0) + 1 FROM invoice_state WHERE number = $1), $2, $3, $4, $5)";
const INSERT_ENTRY: &str =
    "INSERT INTO journal_entry (number, posting, position, account, amount) VALUES ($1, $2, $3, $4, $5)";
const INSERT_POSTING: &str =
    "INSERT INTO journal_posting (number, posting, currency, recorded_at) VALUES ($1, $2, $3, $4)";

/// A bill that is written with others.
pub(in crate::store) struct Written<'a> {
    pub(super) invoice: StoredInvoice,
    pub(super) plans: &'a PlansInPeriod,
    pub(super) currency: String,
    pub(super) entries: Vec<Entry>,
    pub(super) credits: Vec<String>,
}

/// The end of an entity's chain.
pub(in crate::store) struct Chain {
    pub(super) sequence: i64,
    pub(super) digest: String,
    /// What its numbers begin with.
    pub(super) prefix: String,
}

/// A ledger that is held: its open statement, and drift that was found.
pub(in crate::store) type HeldLedger = (LedgerId, i64, Option<String>);

/// What issuing asks of a transaction of either database.
pub(in crate::store) trait BillTransaction {
    /// The ledgers, whose open statements stay open until the transaction ends. Waits for every transaction that took usage
    /// into one, and keeps later ones out of it.
    async fn hold_ledgers(&mut self, ledgers: &[LedgerId]) -> Result<Vec<HeldLedger>, StoreError>;
    /// The bills and the notes of a period.
    async fn bills_of(
        &mut self,
        ledgers: &[LedgerId],
        period: &str,
    ) -> Result<Vec<StoredInvoice>, StoreError>;
    /// The plan is as it was read, and stays so.
    async fn hold_plan(&mut self, plan: &PlanVersion) -> Result<bool, StoreError>;
    /// All usage that landed in held ledgers.
    async fn usage(&mut self, ledgers: &[LedgerId], slots: &Slots) -> Result<UsageByLedger, StoreError>;
    /// What else is known of held ledgers.
    async fn facts(
        &mut self,
        ledgers: &[LedgerId],
        plans: &PlansInPeriod,
    ) -> Result<BTreeMap<LedgerId, Facts>, StoreError>;
    /// The end of an entity's chain; nobody else issues for it until the transaction ends.
    async fn hold_chain(&mut self, entity: &str) -> Result<Chain, StoreError>;
    /// Writes bills with their first states and their postings, and closes their statements.
    async fn write(&mut self, bills: &[Written<'_>], issuer: (&str, &str, i64)) -> Result<(), StoreError>;
    /// Adds a state.
    async fn add_state(
        &mut self,
        number: &str,
        state: &str,
        issuer: (&str, &str, i64),
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
    /// Moves the end of an entity's chain.
    async fn set_chain(&mut self, entity: &str, chain: &Chain) -> Result<(), StoreError>;
    /// Makes it durable.
    async fn finish(self) -> Result<(), StoreError>;
}

/// What a database says in words of its own.
struct Words {
    hold_ledgers: &'static str,
    bills_of: &'static str,
    hold_plan: &'static str,
    hold_chain: &'static str,
    usage: &'static str,
}

const SQLITE: Words = Words {
    hold_ledgers:
        "SELECT l.id, l.open_statement, d.findings FROM ledger l LEFT JOIN drift d ON d.ledger_id = l.id
        WHERE l.id IN (SELECT value FROM json_each($1)) ORDER BY l.id",
    bills_of: select_invoice!(
        "WHERE ledger_id IN (SELECT value FROM json_each($1)) AND period = $2 ORDER BY sequence"
    ),
    hold_plan: "SELECT digest FROM rate_plan WHERE name = $1 AND uid = $2 AND generation = $3",
    hold_chain: "SELECT c.last_sequence, c.last_digest, e.prefix FROM invoice_chain c JOIN legal_entity e ON e.name = c.entity
        WHERE c.entity = $1",
    usage: SUMMED_SQLITE,
};
const POSTGRES: Words = Words {
    hold_ledgers:
        "SELECT l.id, l.open_statement, d.findings FROM ledger l LEFT JOIN drift d ON d.ledger_id = l.id
        WHERE l.id = ANY($1) ORDER BY l.id FOR UPDATE OF l",
    bills_of: select_invoice!("WHERE ledger_id = ANY($1) AND period = $2 ORDER BY sequence"),
    hold_plan: "SELECT digest FROM rate_plan WHERE name = $1 AND uid = $2 AND generation = $3 FOR SHARE",
    hold_chain: "SELECT c.last_sequence, c.last_digest, e.prefix FROM invoice_chain c JOIN legal_entity e ON e.name = c.entity
        WHERE c.entity = $1 FOR UPDATE OF c",
    usage: SUMMED_POSTGRES,
};

macro_rules! bill_transaction {
    ($database:ty, $words:expr, $ids:expr, $with_slots:expr, $summed:expr, $facts:expr, $write:expr) => {
        impl BillTransaction for sqlx::Transaction<'_, $database> {
            async fn hold_ledgers(&mut self, ledgers: &[LedgerId]) -> Result<Vec<HeldLedger>, StoreError> {
                let query = sqlx::query_as($words.hold_ledgers).bind($ids(ledgers));
                Ok(query.fetch_all(&mut **self).await?)
            }

            async fn bills_of(
                &mut self,
                ledgers: &[LedgerId],
                period: &str,
            ) -> Result<Vec<StoredInvoice>, StoreError> {
                let query = sqlx::query_as($words.bills_of)
                    .bind($ids(ledgers))
                    .bind(period);
                query
                    .fetch_all(&mut **self)
                    .await?
                    .into_iter()
                    .map(invoice_of)
                    .collect()
            }

            async fn hold_plan(&mut self, plan: &PlanVersion) -> Result<bool, StoreError> {
                let query = sqlx::query_as($words.hold_plan)
                    .bind(&plan.name)
                    .bind(&plan.uid);
                let query = query.bind(plan.generation);
                let held: Option<(Vec<u8>,)> = query.fetch_optional(&mut **self).await?;
                Ok(held.is_some_and(|(digest,)| digest == plan.digest.as_bytes()))
            }

            async fn usage(
                &mut self,
                ledgers: &[LedgerId],
                slots: &Slots,
            ) -> Result<UsageByLedger, StoreError> {
                let query = sqlx::query_as($words.usage).bind($ids(ledgers));
                let query = $with_slots(
                    query.bind(Landed::EVER.after).bind(Landed::EVER.up_to),
                    slots,
                );
                $summed(query.fetch_all(&mut **self).await?, slots)
            }

            async fn facts(
                &mut self,
                ledgers: &[LedgerId],
                plans: &PlansInPeriod,
            ) -> Result<BTreeMap<LedgerId, Facts>, StoreError> {
                let (bounds, with_modules) = (plans.bounds, plans.has_modules());
                $facts(&mut **self, ledgers, bounds, with_modules, Landed::EVER).await
            }

            async fn hold_chain(&mut self, entity: &str) -> Result<Chain, StoreError> {
                let query = sqlx::query_as($words.hold_chain).bind(entity);
                let (sequence, digest, prefix) = query.fetch_one(&mut **self).await?;
                Ok(Chain {
                    sequence,
                    digest,
                    prefix,
                })
            }

            async fn write(
                &mut self,
                bills: &[Written<'_>],
                issuer: (&str, &str, i64),
            ) -> Result<(), StoreError> {
                $write(self, bills, issuer).await
            }

            async fn add_state(
                &mut self,
                number: &str,
                state: &str,
                (actor, note, at): (&str, &str, i64),
            ) -> Result<(), StoreError> {
                let query = sqlx::query(INSERT_STATE)
                    .bind(number)
                    .bind(state)
                    .bind(actor)
                    .bind(note)
                    .bind(at);
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
                    let query = sqlx::query(INSERT_ENTRY)
                        .bind(number)
                        .bind(posting)
                        .bind(position);
                    let query = query.bind(entry.account.name()).bind(entry.amount);
                    query.execute(&mut **self).await?;
                }
                let query = sqlx::query(INSERT_POSTING)
                    .bind(number)
                    .bind(posting)
                    .bind(currency)
                    .bind(at);
                query.execute(&mut **self).await?;
                Ok(())
            }

            async fn set_chain(&mut self, entity: &str, chain: &Chain) -> Result<(), StoreError> {
                let text = "UPDATE invoice_chain SET last_sequence = $1, last_digest = $2 WHERE entity = $3";
                let query = sqlx::query(text)
                    .bind(chain.sequence)
                    .bind(&chain.digest)
                    .bind(entity);
                let chained = query.execute(&mut **self).await?;
                if chained.rows_affected() == 1 {
                    Ok(())
                } else {
                    Err(StoreError::unreadable("chain of invoices"))
                }
            }

            async fn finish(self) -> Result<(), StoreError> {
                Ok(self.commit().await?)
            }
        }
    };
}

fn json_ids(ledgers: &[LedgerId]) -> String {
    serde_json::json!(ledgers).to_string()
}

fn array_ids(ledgers: &[LedgerId]) -> Vec<LedgerId> {
    ledgers.to_vec()
}

bill_transaction!(
    sqlx::Sqlite,
    SQLITE,
    json_ids,
    with_range,
    summed_by_us,
    facts_over_sqlite,
    write_one_by_one
);
bill_transaction!(
    sqlx::Postgres,
    POSTGRES,
    array_ids,
    with_runs,
    summed_by_postgres,
    facts_over_postgres,
    write_at_once
);
