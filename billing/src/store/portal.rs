//! What a client firm does in its portal: settings, disputes, and the audit of who read and changed what.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::ingest::{instant_of, nanosecond_of};
use super::{Holder, Store, StoreError, in_transaction, on_readers};
use crate::metering::decide::LedgerId;

/// What somebody read or changed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// The access token's name; empty for the account's own.
    pub actor: String,
    /// What it was allowed.
    pub role: String,
    /// As "export usage".
    pub action: String,
    /// Of what, as "2026-11".
    pub object: String,
}

/// What a client firm objects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispute {
    /// Of the bill.
    pub number: String,
    /// Name of the line; empty: the bill as a whole.
    pub line: String,
    /// In the client's words.
    pub reason: String,
    /// Name of the token.
    pub opened_by: String,
    /// When.
    pub opened_at: Timestamp,
}

type AuditRow = (i64, String, String, String, String);

impl Store {
    /// Notes who did what.
    pub async fn note(
        &self,
        ledger: LedgerId,
        holder: &Holder,
        action: &str,
        object: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let text = "INSERT INTO portal_audit (ledger_id, at, actor, role, action, object) VALUES ($1, $2, $3, $4, $5, $6)";
        let now = nanosecond_of(now)?;
        in_transaction!(self, transaction => {
            sqlx::query(text).bind(ledger).bind(now).bind(&holder.name).bind(holder.role.name()).bind(action).bind(object)
                .execute(&mut *transaction).await?;
            transaction.commit().await?;
        });
        Ok(())
    }

    /// The newest entries of the audit.
    pub async fn audit(&self, ledger: LedgerId, most: i64) -> Result<Vec<AuditEntry>, StoreError> {
        let text = "SELECT at, actor, role, action, object FROM portal_audit WHERE ledger_id = $1 ORDER BY at DESC, id DESC LIMIT $2";
        let rows: Vec<AuditRow> =
            on_readers!(self, pool => sqlx::query_as(text).bind(ledger).bind(most).fetch_all(pool).await)?;
        rows.into_iter().map(entry_of).collect()
    }

    /// Notes who did what by a command that is of no account.
    pub async fn note_of_provider(
        &self,
        actor: &str,
        action: &str,
        object: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let text = "INSERT INTO provider_audit (at, actor, action, object) VALUES ($1, $2, $3, $4)";
        let now = nanosecond_of(now)?;
        in_transaction!(self, transaction => {
            sqlx::query(text).bind(now).bind(actor).bind(action).bind(object).execute(&mut *transaction).await?;
            transaction.commit().await?;
        });
        Ok(())
    }

    /// The newest entries of what was done by commands that are of no account.
    pub async fn audit_of_provider(&self, most: i64) -> Result<Vec<AuditEntry>, StoreError> {
        let text = "SELECT at, actor, 'provider', action, object FROM provider_audit ORDER BY at DESC, id DESC LIMIT $1";
        let rows: Vec<AuditRow> =
            on_readers!(self, pool => sqlx::query_as(text).bind(most).fetch_all(pool).await)?;
        rows.into_iter().map(entry_of).collect()
    }

    /// All settings of an account.
    pub async fn settings(&self, ledger: LedgerId) -> Result<BTreeMap<String, String>, StoreError> {
        let text = "SELECT name, value FROM portal_setting WHERE ledger_id = $1";
        let rows: Vec<(String, String)> =
            on_readers!(self, pool => sqlx::query_as(text).bind(ledger).fetch_all(pool).await)?;
        Ok(rows.into_iter().collect())
    }

    /// Sets, or with an empty value forgets, a setting.
    pub async fn set_setting(&self, ledger: LedgerId, name: &str, value: &str) -> Result<(), StoreError> {
        let upsert = "INSERT INTO portal_setting (ledger_id, name, value) VALUES ($1, $2, $3)
            ON CONFLICT (ledger_id, name) DO UPDATE SET value = excluded.value";
        let forget = "DELETE FROM portal_setting WHERE ledger_id = $1 AND name = $2";
        in_transaction!(self, transaction => {
            if value.is_empty() {
                sqlx::query(forget).bind(ledger).bind(name).execute(&mut *transaction).await?;
            } else {
                sqlx::query(upsert).bind(ledger).bind(name).bind(value).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
        });
        Ok(())
    }

    /// Ledgers that have a setting of that name.
    pub async fn ledgers_with_setting(&self, name: &str) -> Result<Vec<LedgerId>, StoreError> {
        let text = "SELECT ledger_id FROM portal_setting WHERE name = $1 ORDER BY ledger_id";
        let rows: Vec<(i64,)> =
            on_readers!(self, pool => sqlx::query_as(text).bind(name).fetch_all(pool).await)?;
        Ok(rows.into_iter().map(|(ledger,)| ledger).collect())
    }

    /// Records what a client firm objects to on a bill of its own.
    pub async fn open_dispute(&self, ledger: LedgerId, dispute: &Dispute) -> Result<(), StoreError> {
        let text = "INSERT INTO dispute (ledger_id, number, line, reason, opened_by, opened_at) VALUES ($1, $2, $3, $4, $5, $6)";
        let at = nanosecond_of(dispute.opened_at)?;
        in_transaction!(self, transaction => {
            sqlx::query(text).bind(ledger).bind(&dispute.number).bind(&dispute.line).bind(&dispute.reason)
                .bind(&dispute.opened_by).bind(at).execute(&mut *transaction).await?;
            transaction.commit().await?;
        });
        Ok(())
    }

    /// All disputes of a ledger, the newest first.
    pub async fn disputes(&self, ledger: LedgerId) -> Result<Vec<Dispute>, StoreError> {
        let text = "SELECT number, line, reason, opened_by, opened_at FROM dispute WHERE ledger_id = $1 ORDER BY opened_at DESC, id DESC";
        let rows: Vec<(String, String, String, String, i64)> =
            on_readers!(self, pool => sqlx::query_as(text).bind(ledger).fetch_all(pool).await)?;
        let dispute = |(number, line, reason, opened_by, at)| {
            let opened_at = instant_of(at)?;
            Ok(Dispute {
                number,
                line,
                reason,
                opened_by,
                opened_at,
            })
        };
        rows.into_iter().map(dispute).collect()
    }
}

fn entry_of((at, actor, role, action, object): AuditRow) -> Result<AuditEntry, StoreError> {
    Ok(AuditEntry {
        at: instant_of(at)?,
        actor,
        role,
        action,
        object,
    })
}
