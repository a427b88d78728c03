//! A bill that was changed by somebody who may write to the database and knows what hangs on it.

use super::closing::change;
use super::support::Bench;
use crate::bill::document::Document;
use crate::bill::money::{issue_entries, sum_of_lines, written};
use crate::bill::read;
use crate::store::{DEFAULT_ENTITY, Store, in_transaction};

/// Changes a bill, and all that hangs on it: its total, its posting, its digest, and the bills behind it in the chain.
pub(super) async fn forge(bench: &Bench, number: &str, alter: impl Fn(&mut Document)) {
    let disarm = bench.store.dialect(
        "DROP TRIGGER IF EXISTS invoice_never_changes; DROP TRIGGER IF EXISTS journal_entry_never_deleted;
        DROP TRIGGER IF EXISTS journal_entry_before_posting",
        "ALTER TABLE invoice DISABLE TRIGGER ALL; ALTER TABLE journal_entry DISABLE TRIGGER ALL",
    );
    change(&bench.store, disarm).await.unwrap();
    let mut before: Option<String> = None;
    for invoice in bench.store.invoices_after(DEFAULT_ENTITY, 0, 100).await.unwrap() {
        let mut document = read(&invoice).unwrap();
        match before.take() {
            Some(digest) => document.previous_digest = Some(digest),
            None if invoice.number != number => continue,
            None => {}
        }
        if invoice.number == number {
            alter(&mut document);
            document.total = written(sum_of_lines(&document).unwrap(), &document.currency);
        }
        before = Some(write(&bench.store, &document).await.unwrap());
    }
    let end = format!(
        "UPDATE invoice_chain SET last_digest = '{}'",
        before.expect("there is such a bill")
    );
    change(&bench.store, end.leak()).await.unwrap();
}

/// Writes a document in the place of the one that is there, with what it posts; its digest.
async fn write(store: &Store, document: &Document) -> Result<String, sqlx::Error> {
    let (text, digest) = document.sealed();
    let number = document.number.as_deref().unwrap();
    in_transaction!(store, transaction => {
        sqlx::query("UPDATE invoice SET document = $1, digest = $2 WHERE number = $3")
            .bind(text).bind(&digest).bind(number).execute(&mut *transaction).await?;
        sqlx::query("DELETE FROM journal_entry WHERE number = $1 AND posting = 'issue'")
            .bind(number).execute(&mut *transaction).await?;
        for (position, entry) in (1_i64..).zip(issue_entries(document).unwrap()) {
            let text = "INSERT INTO journal_entry (number, posting, position, account, amount) VALUES ($1, 'issue', $2, $3, $4)";
            sqlx::query(text).bind(number).bind(position).bind(entry.account.name()).bind(entry.amount)
                .execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(digest)
    })
}
