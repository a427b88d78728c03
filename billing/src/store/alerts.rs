//! Alerts: where a tenant is told, what is raised, and what is on its way to it.

use jiff::Timestamp;
use sqlx::{Connection as _, PgConnection};

use super::ingest::{instant_of, nanosecond_of};
use super::{Store, StoreError, in_transaction, on_readers};
use crate::metering::decide::LedgerId;

/// The key of the lock in PostgreSQL; no other lock of ours has it.
const WATCH_LOCK: i64 = 0x7370_7269_6e67_7469;
/// Deliveries of a tenant that are kept beside those still to be sent.
pub(super) const KEPT: i64 = 100;

/// Where a tenant's alerts go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertTarget {
    /// To be posted to.
    pub url: String,
    /// What messages are signed with.
    pub secret: Vec<u8>,
}

/// A message that is to be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueDelivery {
    /// To name it by.
    pub id: i64,
    /// Where to.
    pub target: AlertTarget,
    /// JSON.
    pub body: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A message and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// To name it by.
    pub id: i64,
    /// pending, delivered or `given_up`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i64,
    /// What was wrong the last time; empty if nothing was.
    pub last_error: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// What it says.
    pub body: String,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It arrived.
    Delivered,
    /// It did not, and is tried again then.
    Again(Timestamp, String),
    /// It did not, and is tried no more.
    GivenUp(String),
}

/// Held by the one of several servers that watches service levels and sends alerts, or drops old events. It is given back when
/// it is dropped, but a while after: whoever wants it free at once calls [`WatchLock::give_back`].
#[derive(Debug)]
pub enum WatchLock {
    /// A database file has one server.
    Sqlite,
    /// A connection of its own, with which the lock goes.
    Postgres(Box<PgConnection>),
}

impl WatchLock {
    /// Nobody else can have it.
    pub async fn is_held(&mut self) -> bool {
        match self {
            Self::Sqlite => true,
            Self::Postgres(connection) => connection.ping().await.is_ok(),
        }
    }

    /// Another can have it when this returns.
    pub async fn give_back(self) {
        if let Self::Postgres(mut connection) = self {
            let text = "SELECT pg_advisory_unlock_all()";
            if let Err(error) = sqlx::query(text).execute(&mut *connection).await {
                tracing::debug!(%error, "a lock went with its connection");
            }
        }
    }
}

type DueRow = (i64, String, Vec<u8>, String, i64, i64);

const DUE: &str = "SELECT d.id, t.url, t.secret, d.body, d.attempts, d.created_at FROM alert_delivery d
    JOIN alert_target t ON t.ledger_id = d.ledger_id
    WHERE d.state = 'pending' AND d.next_attempt_at <= $1
    AND d.id = (SELECT min(o.id) FROM alert_delivery o WHERE o.ledger_id = d.ledger_id AND o.state = 'pending')
    ORDER BY d.next_attempt_at LIMIT $2";
pub(super) const ENQUEUE: &str =
    "INSERT INTO alert_delivery (ledger_id, body, state, attempts, next_attempt_at, last_error, created_at)
    SELECT ledger_id, $2, 'pending', 0, $3, '', $3 FROM alert_target WHERE ledger_id = $1";
pub(super) const FORGET: &str = "DELETE FROM alert_delivery WHERE ledger_id = $1 AND state <> 'pending'
    AND id NOT IN (SELECT id FROM alert_delivery WHERE ledger_id = $1 ORDER BY id DESC LIMIT $2)";

impl Store {
    /// Takes the lock if nobody has it.
    pub async fn try_watch(&self) -> Result<Option<WatchLock>, StoreError> {
        self.try_lock(WATCH_LOCK).await
    }

    /// Takes a lock that one of several servers may have, if nobody has it.
    pub(super) async fn try_lock(&self, key: i64) -> Result<Option<WatchLock>, StoreError> {
        let Self::Postgres(database) = self else {
            return Ok(Some(WatchLock::Sqlite));
        };
        // Detached: what goes back to the pool would keep the lock.
        let mut connection = database.pool().acquire().await?.detach();
        let (held,): (bool,) = sqlx::query_as("SELECT pg_try_advisory_lock($1)")
            .bind(key)
            .fetch_one(&mut connection)
            .await?;
        Ok(held.then(|| WatchLock::Postgres(Box::new(connection))))
    }

    /// Says where a tenant's alerts go from now on.
    pub async fn set_alert_target(
        &self,
        ledger: LedgerId,
        target: &AlertTarget,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let text = "INSERT INTO alert_target (ledger_id, url, secret, set_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (ledger_id) DO UPDATE SET url = excluded.url, secret = excluded.secret, set_at = excluded.set_at";
        let now = nanosecond_of(now)?;
        in_transaction!(self, transaction => {
            sqlx::query(text).bind(ledger).bind(&target.url).bind(&target.secret).bind(now)
                .execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(())
        })
    }

    /// A tenant's alerts go nowhere any more, nor does what was on its way; `false` if they went nowhere before.
    pub async fn remove_alert_target(&self, ledger: LedgerId) -> Result<bool, StoreError> {
        let stop = "UPDATE alert_delivery SET state = 'given_up', last_error = 'the target was removed'
            WHERE ledger_id = $1 AND state = 'pending'";
        in_transaction!(self, transaction => {
            sqlx::query(stop).bind(ledger).execute(&mut *transaction).await?;
            let removed = sqlx::query("DELETE FROM alert_target WHERE ledger_id = $1").bind(ledger)
                .execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(removed.rows_affected() == 1)
        })
    }

    /// Where a tenant's alerts go.
    pub async fn alert_target(&self, ledger: LedgerId) -> Result<Option<AlertTarget>, StoreError> {
        let text = "SELECT url, secret FROM alert_target WHERE ledger_id = $1";
        let row: Option<(String, Vec<u8>)> =
            on_readers!(self, pool => sqlx::query_as(text).bind(ledger).fetch_optional(pool).await)?;
        Ok(row.map(|(url, secret)| AlertTarget { url, secret }))
    }

    /// Notes that an alert is raised, or no longer; if that is news, `body` is on its way where the tenant has a target.
    pub async fn note_alert(
        &self,
        ledger: LedgerId,
        name: &str,
        is_raised: bool,
        body: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let raise = "INSERT INTO alert (ledger_id, window_name, raised_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let resolve = "DELETE FROM alert WHERE ledger_id = $1 AND window_name = $2 AND raised_at <= $3";
        let now = nanosecond_of(now)?;
        in_transaction!(self, transaction => {
            let changed = sqlx::query(if is_raised { raise } else { resolve })
                .bind(ledger).bind(name).bind(now).execute(&mut *transaction).await?;
            if changed.rows_affected() == 0 {
                return Ok(false);
            }
            sqlx::query(ENQUEUE).bind(ledger).bind(body).bind(now).execute(&mut *transaction).await?;
            sqlx::query(FORGET).bind(ledger).bind(KEPT).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(true)
        })
    }

    /// Names of a tenant's raised alerts.
    pub async fn raised_alerts(&self, ledger: LedgerId) -> Result<Vec<String>, StoreError> {
        let text = "SELECT window_name FROM alert WHERE ledger_id = $1 ORDER BY window_name";
        let rows: Vec<(String,)> =
            on_readers!(self, pool => sqlx::query_as(text).bind(ledger).fetch_all(pool).await)?;
        Ok(rows.into_iter().map(|(name,)| name).collect())
    }

    /// Messages to be sent now, the oldest of each tenant, at most `limit`; none of them is due again before `until`.
    pub async fn claim_due_deliveries(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: i64,
    ) -> Result<Vec<DueDelivery>, StoreError> {
        let (now, until) = (nanosecond_of(now)?, nanosecond_of(until)?);
        // Looked for first: mostly there is none, and then nobody waits for the one who writes.
        let found: Vec<DueRow> =
            on_readers!(self, pool => sqlx::query_as(DUE).bind(now).bind(limit).fetch_all(pool).await)?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let claim = "UPDATE alert_delivery SET next_attempt_at = $2, attempts = attempts + 1 WHERE id = $1";
        in_transaction!(self, transaction => {
            let rows: Vec<DueRow> =
                sqlx::query_as(DUE).bind(now).bind(limit).fetch_all(&mut *transaction).await?;
            for (id, ..) in &rows {
                sqlx::query(claim).bind(id).bind(until).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            rows.into_iter()
                .map(|(id, url, secret, body, attempts, created_at)| {
                    Ok(DueDelivery {
                        id,
                        target: AlertTarget { url, secret },
                        body,
                        attempts: u32::try_from(attempts + 1).unwrap_or(u32::MAX),
                        created_at: instant_of(created_at)?,
                    })
                })
                .collect()
        })
    }

    /// Notes what became of an attempt.
    pub async fn note_attempt(&self, id: i64, attempt: &Attempt, now: Timestamp) -> Result<(), StoreError> {
        let (state, next, error) = match attempt {
            Attempt::Delivered => ("delivered", now, ""),
            Attempt::Again(next, error) => ("pending", *next, error.as_str()),
            Attempt::GivenUp(error) => ("given_up", now, error.as_str()),
        };
        let text = "UPDATE alert_delivery SET state = $2, next_attempt_at = $3, last_error = $4 WHERE id = $1 AND state = 'pending'";
        let next = nanosecond_of(next)?;
        in_transaction!(self, transaction => {
            sqlx::query(text).bind(id).bind(state).bind(next).bind(error).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(())
        })
    }

    /// A tenant's messages, the newest first.
    pub async fn deliveries(&self, ledger: LedgerId) -> Result<Vec<Delivery>, StoreError> {
        let text = "SELECT id, state, attempts, last_error, created_at, body FROM alert_delivery WHERE ledger_id = $1 ORDER BY id DESC";
        let rows: Vec<(i64, String, i64, String, i64, String)> =
            on_readers!(self, pool => sqlx::query_as(text).bind(ledger).fetch_all(pool).await)?;
        rows.into_iter()
            .map(|(id, state, attempts, last_error, created_at, body)| {
                Ok(Delivery {
                    id,
                    state,
                    attempts,
                    last_error,
                    created_at: instant_of(created_at)?,
                    body,
                })
            })
            .collect()
    }
}
