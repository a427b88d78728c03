//! A replica of the database, which tenants read from while it has what they wrote last.
//!
//! A tenant's writes through the portal are counted, in the transaction that writes. The count that the primary has when a
//! request begins is what the replica must have too, for a read of that request to go there; it is read in the round trip
//! that sets the scope. So whatever server took the write, its tenant sees it at once.
//!
//! A replica is *usable* while it answers, is a replica of this very database, and has what the primary had ten seconds ago.
//! One that was promoted is none any more: what it has may be another history. That is asked in the same round trip, so it has
//! no say from the moment of its promotion, not from the next look on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, PgPool, Row as _};

use crate::metering::decide::LedgerId;
use crate::metrics::ReplicaMetrics;
use crate::store::with_causes;

/// Why one that was promoted is not used.
const NO_REPLICA: &str = "it is no replica, or not any more";
/// Looks at the replica, of which the last but this one is what it must have by now.
const LOOKS: usize = 10;
const PRIMARY: &str =
    "SELECT (pg_current_wal_lsn() - '0/0')::bigint, system_identifier FROM pg_control_system()";
const REPLICA: &str =
    "SELECT CASE WHEN pg_is_in_recovery() THEN coalesce((pg_last_wal_replay_lsn() - '0/0')::bigint, 0) ELSE -1 END, system_identifier
    FROM pg_control_system()";

/// A replica, and whether it is usable.
#[derive(Debug)]
pub(in crate::store) struct Replica {
    pub(super) pool: PgPool,
    is_usable: AtomicBool,
    /// Whether it was said that it is usable; nothing was said yet at first.
    said: parking_lot::Mutex<Option<bool>>,
    metrics: ReplicaMetrics,
}

/// What the primary had at the last looks, the oldest first.
#[derive(Debug, Default)]
pub(in crate::store) struct Looks(VecDeque<i64>);

impl Replica {
    pub(super) fn new(pool: PgPool, metrics: ReplicaMetrics) -> Self {
        Self {
            pool,
            is_usable: AtomicBool::new(false),
            said: parking_lot::Mutex::default(),
            metrics,
        }
    }

    /// A connection with the scope, if the replica is usable and the tenant has written no more than it knows of.
    pub(super) async fn enter(
        &self,
        ledger: LedgerId,
        writes: i64,
    ) -> Option<PoolConnection<sqlx::Postgres>> {
        if !self.is_usable.load(Ordering::Relaxed) {
            self.metrics.read(false);
            return None;
        }
        let entered = match try_enter(&self.pool, ledger).await {
            Ok((connection, Some(known))) => (known >= writes).then_some(connection),
            Ok((_, None)) => {
                self.note(Err(NO_REPLICA.to_owned()));
                None
            }
            Err(error) => {
                self.note(Err(with_causes(&error)));
                None
            }
        };
        self.metrics.read(entered.is_some());
        entered
    }

    /// Finds out whether it is usable.
    pub(in crate::store) async fn look(&self, primary: &PgPool, looks: &mut Looks) {
        // Of a primary that is away nothing is known; what was found before stands.
        let Ok((written, identity)) = sqlx::query_as::<_, (i64, i64)>(PRIMARY).fetch_one(primary).await
        else {
            return;
        };
        looks.0.push_back(written);
        if looks.0.len() > LOOKS {
            looks.0.pop_front();
        }
        let wanted = looks.0.front().copied().unwrap_or(written);
        let found = sqlx::query_as::<_, (i64, i64)>(REPLICA)
            .fetch_one(&self.pool)
            .await;
        self.note(match found {
            Err(error) => Err(with_causes(&error)),
            Ok((_, other)) if other != identity => Err("it is a replica of another server".to_owned()),
            Ok((-1, _)) => Err(NO_REPLICA.to_owned()),
            Ok((replayed, _)) => {
                self.metrics.lag(written.saturating_sub(replayed).max(0));
                if replayed >= wanted {
                    Ok(())
                } else {
                    Err(format!("it is {} bytes behind, for too long", wanted - replayed))
                }
            }
        });
    }

    /// Said once, when it changes.
    fn note(&self, state: Result<(), String>) {
        let is_usable = state.is_ok();
        self.metrics.usable(is_usable);
        self.is_usable.store(is_usable, Ordering::Relaxed);
        if self.said.lock().replace(is_usable) == Some(is_usable) {
            return;
        }
        match state {
            Ok(()) => tracing::info!("tenants read from the replica"),
            Err(cause) => tracing::warn!(cause, "the replica cannot be used; tenants read from the primary"),
        }
    }
}

/// A connection with the scope, and how many of the tenant's writes are there; `None` if it is no replica's.
async fn try_enter(
    pool: &PgPool,
    ledger: LedgerId,
) -> Result<(PoolConnection<sqlx::Postgres>, Option<i64>), sqlx::Error> {
    let mut left = pool.size();
    loop {
        let mut connection = pool.acquire().await?;
        let text = format!(
            "SET springtide.ledger = {ledger};
            SELECT CASE WHEN pg_is_in_recovery() THEN
                coalesce((SELECT writes FROM portal_write WHERE ledger_id = {ledger}), 0) END"
        );
        let row = sqlx::raw_sql(AssertSqlSafe(text))
            .fetch_one(&mut *connection)
            .await;
        match row {
            Ok(row) => return Ok((connection, row.try_get(0)?)),
            Err(error) if left == 0 => return Err(error),
            Err(_) => {
                connection.close_on_drop();
                left -= 1;
            }
        }
    }
}
