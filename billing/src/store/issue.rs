//! One transaction that issues bills: hold the ledgers, gather, make, hold the chain, write, commit.
//!
//! Only the last part, from the chain's row on, is done by one issuer at a time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::facts::{facts_over_postgres, facts_over_sqlite};
use super::ingest::nanosecond_of;
use super::invoices::{
    Gathered, IssueBatch, IssueOutcome, KIND_REGULAR, Place, Ready, StoredInvoice, Wanted, invoice_of,
    select_invoice,
};
use super::usage::{
    SUMMED_POSTGRES, SUMMED_SQLITE, SummedRow, UsageByLedger, summed_by_postgres, summed_by_us,
};
use super::{Facts, PlanVersion, Store, StoreError};
use crate::bill::money::Entry;
use crate::bill::plans::PlansInPeriod;
use crate::bill::slots::Slots;
use crate::metering::decide::LedgerId;
use crate::rating::period::Bounds;

const INSERT: &str = "INSERT INTO invoice (entity, sequence, number, ledger_id, period, period_start, period_end, kind, ordinal,
        statement, document, digest, issued_at)
    VALUES ($13, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
const INSERT_PLAN: &str = "INSERT INTO invoice_plan (number, name, uid, generation) VALUES ($1, $2, $3, $4)";
const INSERT_STATE: &str = "INSERT INTO invoice_state (number, ordinal, state, actor, note, recorded_at)
    VALUES ($1, (SELECT COALESCE(max(ordinal), 0) + 1 FROM invoice_state WHERE number = $1), $2, $3, $4, $5)";
const INSERT_ENTRY: &str =
    "INSERT INTO journal_entry (number, posting, position, account, amount) VALUES ($1, $2, $3, $4, $5)";
const INSERT_POSTING: &str =
    "INSERT INTO journal_posting (number, posting, currency, recorded_at) VALUES ($1, $2, $3, $4)";

/// A bill that is written with others.
pub(super) struct Written<'a> {
    invoice: StoredInvoice,
    plans: &'a PlansInPeriod,
    currency: String,
    entries: Vec<Entry>,
    credits: Vec<String>,
}

/// The end of an entity's chain.
pub(super) struct Chain {
    sequence: i64,
    digest: String,
    /// What its numbers begin with.
    prefix: String,
}

/// A ledger that is held: its open statement, and drift that was found.
pub(super) type HeldLedger = (LedgerId, i64, Option<String>);

/// What issuing asks of a transaction of either database.
pub(super) trait BillTransaction {
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
    ($database:ty, $words:expr, $ids:expr, $with_classes:expr, $summed:expr, $facts:expr, $write:expr) => {
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
                let (from, to) = slots.range();
                let query = sqlx::query_as($words.usage)
                    .bind($ids(ledgers))
                    .bind(from)
                    .bind(to);
                let query = $with_classes(query.bind(i64::MAX), slots);
                $summed(query.fetch_all(&mut **self).await?, slots)
            }

            async fn facts(
                &mut self,
                ledgers: &[LedgerId],
                plans: &PlansInPeriod,
            ) -> Result<BTreeMap<LedgerId, Facts>, StoreError> {
                $facts(&mut **self, ledgers, plans.bounds, plans.has_modules()).await
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

fn without_classes<Q>(query: Q, _: &Slots) -> Q {
    query
}

type SummedQuery<'q> = sqlx::query::QueryAs<'q, sqlx::Postgres, SummedRow, sqlx::postgres::PgArguments>;

fn with_classes<'q>(query: SummedQuery<'q>, slots: &Slots) -> SummedQuery<'q> {
    query.bind(slots.classes().to_vec())
}

bill_transaction!(
    sqlx::Sqlite,
    SQLITE,
    json_ids,
    without_classes,
    summed_by_us,
    facts_over_sqlite,
    write_one_by_one
);
bill_transaction!(
    sqlx::Postgres,
    POSTGRES,
    array_ids,
    with_classes,
    summed_by_postgres,
    facts_over_postgres,
    write_at_once
);

/// A statement costs SQLite nothing: there is no server to ask.
async fn write_one_by_one(
    transaction: &mut sqlx::Transaction<'_, sqlx::Sqlite>,
    bills: &[Written<'_>],
    issuer: (&str, &str, i64),
) -> Result<(), StoreError> {
    for Written {
        invoice,
        plans,
        currency,
        entries,
        credits,
    } in bills
    {
        let number = invoice.number.as_str();
        let query = sqlx::query(INSERT)
            .bind(invoice.sequence)
            .bind(number)
            .bind(invoice.ledger);
        let query = query
            .bind(&invoice.period)
            .bind(nanosecond_of(invoice.bounds.start)?)
            .bind(nanosecond_of(invoice.bounds.end)?);
        let query = query
            .bind(&invoice.kind)
            .bind(invoice.ordinal)
            .bind(invoice.statement);
        let query = query
            .bind(&invoice.document)
            .bind(&invoice.digest)
            .bind(issuer.2)
            .bind(&invoice.entity);
        query.execute(&mut **transaction).await?;
        for plan in plans.versions() {
            let query = sqlx::query(INSERT_PLAN).bind(number).bind(&plan.name);
            let query = query.bind(&plan.uid).bind(plan.generation);
            query.execute(&mut **transaction).await?;
        }
        transaction.add_state(number, "issued", issuer).await?;
        transaction
            .post(number, "issue", currency, entries, issuer.2)
            .await?;
        for credited in credits {
            transaction.add_state(credited, "credited", issuer).await?;
        }
        let close = sqlx::query(CLOSE).bind(invoice.ledger).bind(invoice.statement);
        if close.execute(&mut **transaction).await?.rows_affected() != 1 {
            return Err(StoreError::unreadable("statement"));
        }
    }
    Ok(())
}

const CLOSE: &str =
    "UPDATE ledger SET open_statement = open_statement + 1 WHERE id = $1 AND open_statement = $2";

const INSERT_ALL: &str = "INSERT INTO invoice (entity, sequence, number, ledger_id, period, period_start, period_end, kind, ordinal,
        statement, document, digest, issued_at)
    SELECT entity, sequence, number, ledger_id, period, period_start, period_end, kind, ordinal, statement, document, digest, $12
    FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::bigint[],
        $9::bigint[], $10::text[], $11::text[], $13::text[])
    AS w (sequence, number, ledger_id, period, period_start, period_end, kind, ordinal, statement, document, digest, entity)";
const INSERT_PLANS: &str = "INSERT INTO invoice_plan (number, name, uid, generation)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])";
const INSERT_FIRST_STATES: &str =
    "INSERT INTO invoice_state (number, ordinal, state, actor, note, recorded_at)
    SELECT number, 1, 'issued', $2, $3, $4 FROM unnest($1::text[]) AS w (number)";
const INSERT_ENTRIES: &str = "INSERT INTO journal_entry (number, posting, position, account, amount)
    SELECT number, 'issue', position, account, amount
    FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]) AS w (number, position, account, amount)";
const INSERT_POSTINGS: &str = "INSERT INTO journal_posting (number, posting, currency, recorded_at)
    SELECT number, 'issue', currency, $3 FROM unnest($1::text[], $2::text[]) AS w (number, currency)";
const CLOSE_ALL: &str = "UPDATE ledger l SET open_statement = l.open_statement + 1
    FROM unnest($1::bigint[], $2::bigint[]) AS w (id, statement) WHERE l.id = w.id AND l.open_statement = w.statement";

/// One statement a table: others wait for the chain meanwhile.
async fn write_at_once(
    transaction: &mut sqlx::Transaction<'_, sqlx::Postgres>,
    bills: &[Written<'_>],
    issuer: (&str, &str, i64),
) -> Result<(), StoreError> {
    let (actor, note, at) = issuer;
    let each = |of: fn(&StoredInvoice) -> i64| bills.iter().map(|bill| of(&bill.invoice)).collect::<Vec<_>>();
    let texts = |of: fn(&StoredInvoice) -> &String| {
        bills
            .iter()
            .map(|bill| of(&bill.invoice).clone())
            .collect::<Vec<_>>()
    };
    let numbers = texts(|bill| &bill.number);
    let query = sqlx::query(INSERT_ALL)
        .bind(each(|bill| bill.sequence))
        .bind(&numbers);
    let query = query
        .bind(each(|bill| bill.ledger))
        .bind(texts(|bill| &bill.period));
    let instants = |of: fn(&Bounds) -> Timestamp| {
        let instant = bills.iter().map(|bill| nanosecond_of(of(&bill.invoice.bounds)));
        instant.collect::<Result<Vec<_>, _>>()
    };
    let query = query
        .bind(instants(|bounds| bounds.start)?)
        .bind(instants(|bounds| bounds.end)?);
    let query = query
        .bind(texts(|bill| &bill.kind))
        .bind(each(|bill| bill.ordinal));
    let query = query
        .bind(each(|bill| bill.statement))
        .bind(texts(|bill| &bill.document));
    let query = query.bind(texts(|bill| &bill.digest)).bind(at);
    let query = query.bind(texts(|bill| &bill.entity));
    query.execute(&mut **transaction).await?;
    insert_plans(transaction, bills).await?;
    let query = sqlx::query(INSERT_FIRST_STATES)
        .bind(&numbers)
        .bind(actor)
        .bind(note)
        .bind(at);
    query.execute(&mut **transaction).await?;
    let (mut of_bill, mut positions, mut accounts, mut amounts) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for bill in bills {
        for (position, entry) in (1_i64..).zip(&bill.entries) {
            of_bill.push(bill.invoice.number.clone());
            positions.push(position);
            accounts.push(entry.account.name());
            amounts.push(entry.amount);
        }
    }
    let query = sqlx::query(INSERT_ENTRIES)
        .bind(of_bill)
        .bind(positions)
        .bind(accounts)
        .bind(amounts);
    query.execute(&mut **transaction).await?;
    let currencies: Vec<_> = bills.iter().map(|bill| bill.currency.clone()).collect();
    let query = sqlx::query(INSERT_POSTINGS)
        .bind(&numbers)
        .bind(currencies)
        .bind(at);
    query.execute(&mut **transaction).await?;
    for credited in bills.iter().flat_map(|bill| &bill.credits) {
        transaction.add_state(credited, "credited", issuer).await?;
    }
    let query = sqlx::query(CLOSE_ALL)
        .bind(each(|bill| bill.ledger))
        .bind(each(|bill| bill.statement));
    let closed = query.execute(&mut **transaction).await?;
    if usize::try_from(closed.rows_affected()) == Ok(bills.len()) {
        Ok(())
    } else {
        Err(StoreError::unreadable("statement"))
    }
}

async fn insert_plans(
    transaction: &mut sqlx::Transaction<'_, sqlx::Postgres>,
    bills: &[Written<'_>],
) -> Result<(), StoreError> {
    let (mut numbers, mut names, mut uids, mut generations) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for Written { invoice, plans, .. } in bills {
        for plan in plans.versions() {
            numbers.push(invoice.number.clone());
            names.push(plan.name.clone());
            uids.push(plan.uid.clone());
            generations.push(plan.generation);
        }
    }
    let query = sqlx::query(INSERT_PLANS).bind(numbers).bind(names);
    let query = query.bind(uids).bind(generations);
    query.execute(&mut **transaction).await?;
    Ok(())
}

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
