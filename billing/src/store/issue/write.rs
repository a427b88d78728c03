//! Writing issued bills, with their first states and postings.

use jiff::Timestamp;

use super::transaction::{BillTransaction as _, Written};
use crate::rating::period::Bounds;
use crate::store::StoreError;
use crate::store::ingest::nanosecond_of;
use crate::store::invoices::StoredInvoice;

const INSERT: &str = "INSERT INTO invoice (entity, sequence, number, ledger_id, period, period_start, period_end, kind, ordinal,
        statement, document, digest, issued_at)
    VALUES ($13, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
const INSERT_PLAN: &str = "INSERT INTO invoice_plan (number, name, uid, generation) VALUES ($1, $2, $3, $4)";

/// A statement costs SQLite nothing: there is no server to ask.
pub(super) async fn write_one_by_one(
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
pub(super) async fn write_at_once(
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
