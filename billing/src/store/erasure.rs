//! Erasing a customer: in one transaction, all that names one of its conversations. Keys, hashes, sums and bills stay as they
//! are, so nothing is counted otherwise, and the books agree as before.
//!
//! People write free text too. Where that may change, the conversation is taken out of it; what never changes by law, as a bill
//! and what became of it, is *kept*, and said, so that a person can judge.

use jiff::Timestamp;
use serde::Serialize;

use super::ingest::nanosecond_of;
use super::{Holder, Store, StoreError};
use crate::metering::decide::LedgerId;
use crate::metering::erase::{Conversations, ERASED};
use crate::metering::report::Party;

/// How much was erased, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// Counted events.
    pub events: usize,
    /// Other bytes under their identities: variants and conflicts.
    pub rivals: usize,
    /// Records that were wrong in themselves.
    pub rejections: usize,
    /// Disputes whose words name one of the conversations.
    pub disputes: usize,
    /// Exclusions whose reasons or approvers do.
    pub exclusions: usize,
    /// Messages about complaints, sent or to be sent, with examples of theirs.
    pub messages: usize,
    /// Texts that do and never change: they stay.
    pub kept: Vec<KeptText>,
}

/// A text that never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptText {
    /// What it is: "note of state 2", "document", "review 1", "audit entry 17".
    pub place: String,
    /// Of what: a bill's number, a period, what was audited.
    pub of: String,
}

/// Who erases.
#[derive(Clone, Copy, Debug)]
pub struct Eraser<'a> {
    /// For the audit.
    pub holder: &'a Holder,
    /// When.
    pub now: Timestamp,
}

/// (event time, key, payload).
type EventRow = (i64, Vec<u8>, Vec<u8>);
/// (key, hash, payload, identity).
type RivalRow = (Vec<u8>, Vec<u8>, Vec<u8>, String);
/// (hash, reason, payload, message).
type RejectionRow = (Vec<u8>, String, Vec<u8>, String);

/// What a database says in words of its own. `$2`: the conversations, as a list.
struct Words {
    events: [&'static str; 2],
    rivals: &'static str,
    rejections: &'static str,
    kept: &'static str,
    erase_event: [&'static str; 2],
}

/// Free texts of what never changes, of ledger `$1`, where `$names` holds of `text`.
macro_rules! kept_texts {
    ($names:literal) => {
        concat!(
            "SELECT place, \"of\", text FROM (
                SELECT 'note of state ' || s.ordinal AS place, s.number AS \"of\", s.note AS text
                    FROM invoice_state s JOIN invoice i ON i.number = s.number WHERE i.ledger_id = $1
                UNION ALL SELECT 'note of tax registration ' || t.ordinal, t.number, t.note
                    FROM tax_registration t JOIN invoice i ON i.number = t.number WHERE i.ledger_id = $1
                UNION ALL SELECT 'document', number, document FROM invoice WHERE ledger_id = $1
                UNION ALL SELECT 'review ' || ordinal, period, document || findings FROM invoice_review WHERE ledger_id = $1
                UNION ALL SELECT 'audit entry ' || id, action, object FROM portal_audit WHERE ledger_id = $1
            ) kept WHERE ",
            $names,
            " ORDER BY place, \"of\""
        )
    };
}

const SQLITE: Words = Words {
    events: [
        "SELECT event_time, key, payload FROM event WHERE ledger_id = $1
            AND EXISTS (SELECT 1 FROM json_each($2) c WHERE instr(payload, CAST(c.value AS BLOB)) > 0)",
        "SELECT event_time, key, payload FROM module_event WHERE ledger_id = $1
            AND EXISTS (SELECT 1 FROM json_each($2) c WHERE instr(payload, CAST(c.value AS BLOB)) > 0)",
    ],
    rivals: "SELECT key, hash, payload, identity FROM rival WHERE ledger_id = $1
        AND EXISTS (SELECT 1 FROM json_each($2) c WHERE instr(payload, CAST(c.value AS BLOB)) > 0)",
    rejections: "SELECT hash, reason, payload, message FROM rejection WHERE peer = $1
        AND EXISTS (SELECT 1 FROM json_each($2) c WHERE instr(payload, CAST(c.value AS BLOB)) > 0 OR instr(message, c.value) > 0)",
    kept: kept_texts!("EXISTS (SELECT 1 FROM json_each($2) c WHERE instr(text, c.value) > 0)"),
    erase_event: [
        "UPDATE event SET payload = $4 WHERE ledger_id = $1 AND event_time = $2 AND key = $3",
        "UPDATE module_event SET payload = $4 WHERE ledger_id = $1 AND event_time = $2 AND key = $3",
    ],
};
const POSTGRES: Words = Words {
    events: [
        "SELECT event_time, uuid_send(key), payload FROM event WHERE ledger_id = $1
            AND EXISTS (SELECT 1 FROM unnest($2::text[]) c WHERE position(convert_to(c, 'UTF8') IN payload) > 0)",
        "SELECT event_time, uuid_send(key), payload FROM module_event WHERE ledger_id = $1
            AND EXISTS (SELECT 1 FROM unnest($2::text[]) c WHERE position(convert_to(c, 'UTF8') IN payload) > 0)",
    ],
    rivals: "SELECT key, hash, payload, identity FROM rival WHERE ledger_id = $1
        AND EXISTS (SELECT 1 FROM unnest($2::text[]) c WHERE position(convert_to(c, 'UTF8') IN payload) > 0)",
    rejections: "SELECT hash, reason, payload, message FROM rejection WHERE peer = $1
        AND EXISTS (SELECT 1 FROM unnest($2::text[]) c WHERE position(convert_to(c, 'UTF8') IN payload) > 0 OR position(c IN message) > 0)",
    kept: kept_texts!("EXISTS (SELECT 1 FROM unnest($2::text[]) c WHERE position(c IN text) > 0)"),
    erase_event: [
        "UPDATE event SET payload = $4 WHERE ledger_id = $1 AND event_time = $2 AND key = encode($3, 'hex')::uuid",
        "UPDATE module_event SET payload = $4 WHERE ledger_id = $1 AND event_time = $2 AND key = encode($3, 'hex')::uuid",
    ],
};
const ERASE_RIVAL: &str = "UPDATE rival SET payload = $3, identity = $4 WHERE key = $1 AND hash = $2";
const ERASE_REJECTION: &str =
    "UPDATE rejection SET payload = $4, message = $5 WHERE peer = $1 AND hash = $2 AND reason = $3";
const DISPUTES: &str = "SELECT id, reason FROM dispute WHERE ledger_id = $1";
const ERASE_DISPUTE: &str = "UPDATE dispute SET reason = $2 WHERE id = $1";
const EXCLUSIONS: &str =
    "SELECT id, reason, approver, COALESCE(revoked_by, '') FROM service_exclusion WHERE ledger_id = $1";
const ERASE_EXCLUSION: &str = "UPDATE service_exclusion SET reason = $2, approver = $3,
    revoked_by = CASE WHEN revoked_by IS NULL THEN NULL ELSE $4 END WHERE id = $1";
const MESSAGES: &str = "SELECT id, body FROM alert_delivery WHERE ledger_id = $1";
const ERASE_MESSAGE: &str = "UPDATE alert_delivery SET body = $2 WHERE id = $1";
const NOTE: &str = "INSERT INTO portal_audit (ledger_id, at, actor, role, action, object)
    VALUES ($1, $2, $3, $4, 'erase customer', $5)";

/// Erases within a transaction of either database, and commits it if it is meant.
macro_rules! erase_within {
    ($transaction:ident, $words:expr, $list:expr, $ledger:ident, $party:ident, $conversations:ident, $eraser:ident) => {{
        let (words, list, mut erased) = ($words, $list, Erased::default());
        for (find, erase) in words.events.into_iter().zip(words.erase_event) {
            let rows: Vec<EventRow> = sqlx::query_as(find)
                .bind($ledger)
                .bind(&list)
                .fetch_all(&mut *$transaction)
                .await?;
            for (time, key, payload) in rows {
                if let Some(payload) = $conversations.erase(&payload) {
                    let query = sqlx::query(erase)
                        .bind($ledger)
                        .bind(time)
                        .bind(key)
                        .bind(payload);
                    if $eraser.is_some() {
                        query.execute(&mut *$transaction).await?;
                    }
                    erased.events += 1;
                }
            }
        }
        let rows: Vec<RivalRow> = sqlx::query_as(words.rivals)
            .bind($ledger)
            .bind(&list)
            .fetch_all(&mut *$transaction)
            .await?;
        for (key, hash, payload, identity) in rows {
            if let Some(payload) = $conversations.erase(&payload) {
                let source = identity.split('/').next().unwrap_or_default();
                let query = sqlx::query(ERASE_RIVAL)
                    .bind(key)
                    .bind(hash)
                    .bind(payload)
                    .bind(format!("{source}/{ERASED}"));
                if $eraser.is_some() {
                    query.execute(&mut *$transaction).await?;
                }
                erased.rivals += 1;
            }
        }
        let tenant = $party.tenant.as_str();
        let rows: Vec<RejectionRow> = sqlx::query_as(words.rejections)
            .bind(tenant)
            .bind(&list)
            .fetch_all(&mut *$transaction)
            .await?;
        for (hash, reason, payload, message) in rows {
            if $conversations.erase(&payload).is_some()
                || $conversations.are_named_in(&payload)
                || $conversations.are_named_in(message.as_bytes())
            {
                let query = sqlx::query(ERASE_REJECTION).bind(tenant).bind(hash).bind(reason);
                if $eraser.is_some() {
                    query
                        .bind(Vec::<u8>::new())
                        .bind(ERASED)
                        .execute(&mut *$transaction)
                        .await?;
                }
                erased.rejections += 1;
            }
        }
        let rows: Vec<(i64, String)> = sqlx::query_as(DISPUTES)
            .bind($ledger)
            .fetch_all(&mut *$transaction)
            .await?;
        for (id, reason) in rows {
            if $conversations.are_named_in(reason.as_bytes()) {
                if $eraser.is_some() {
                    sqlx::query(ERASE_DISPUTE)
                        .bind(id)
                        .bind(ERASED)
                        .execute(&mut *$transaction)
                        .await?;
                }
                erased.disputes += 1;
            }
        }
        let rows: Vec<(i64, String, String, String)> = sqlx::query_as(EXCLUSIONS)
            .bind($ledger)
            .fetch_all(&mut *$transaction)
            .await?;
        for (id, reason, approver, revoked_by) in rows {
            let texts = [reason, approver, revoked_by];
            let without = texts.each_ref().map(|text| $conversations.without_names(text));
            if without.iter().any(Option::is_some) {
                let mut query = sqlx::query(ERASE_EXCLUSION).bind(id);
                for (text, without) in texts.into_iter().zip(without) {
                    query = query.bind(without.unwrap_or(text));
                }
                if $eraser.is_some() {
                    query.execute(&mut *$transaction).await?;
                }
                erased.exclusions += 1;
            }
        }
        let rows: Vec<(i64, String)> = sqlx::query_as(MESSAGES)
            .bind($ledger)
            .fetch_all(&mut *$transaction)
            .await?;
        for (id, body) in rows {
            if let Some(body) = $conversations.without_examples(&body) {
                let query = sqlx::query(ERASE_MESSAGE).bind(id).bind(body);
                if $eraser.is_some() {
                    query.execute(&mut *$transaction).await?;
                }
                erased.messages += 1;
            }
        }
        let rows: Vec<(String, String, String)> = sqlx::query_as(words.kept)
            .bind($ledger)
            .bind(&list)
            .fetch_all(&mut *$transaction)
            .await?;
        for (place, of, text) in rows {
            if $conversations.are_named_in(text.as_bytes()) {
                erased.kept.push(KeptText { place, of });
            }
        }
        if let Some(Eraser { holder, now }) = $eraser {
            let Erased {
                events,
                rivals,
                rejections,
                disputes,
                exclusions,
                messages,
                kept,
            } = &erased;
            let object = format!(
                "{} conversations: {} records, {disputes} disputes, {exclusions} exclusions, {messages} messages; {} texts that never change were kept",
                $conversations.count(),
                events + rivals + rejections,
                kept.len()
            );
            let query = sqlx::query(NOTE)
                .bind($ledger)
                .bind(nanosecond_of(now)?)
                .bind(&holder.name);
            query
                .bind(holder.role.name())
                .bind(object)
                .execute(&mut *$transaction)
                .await?;
            $transaction.commit().await?;
        }
        erased
    }};
}

impl Store {
    /// Erases what an account holds of a customer's conversations, and notes who did it; without an eraser it only says what
    /// there is to erase.
    pub async fn erase(
        &self,
        ledger: LedgerId,
        party: &Party,
        conversations: &Conversations,
        eraser: Option<Eraser<'_>>,
    ) -> Result<Erased, StoreError> {
        let texts = conversations.texts();
        match self {
            Self::Sqlite(database) => {
                let list = serde_json::json!(texts).to_string();
                let mut transaction = database.begin().await?;
                let erased = erase_within!(transaction, SQLITE, list, ledger, party, conversations, eraser);
                if eraser.is_some() {
                    database.forget_erased().await?;
                }
                Ok(erased)
            }
            Self::Postgres(database) => {
                let mut transaction = database.begin().await?;
                Ok(erase_within!(
                    transaction,
                    POSTGRES,
                    texts,
                    ledger,
                    party,
                    conversations,
                    eraser
                ))
            }
        }
    }
}
