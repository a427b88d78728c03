//! PostgreSQL: what it is connected with, and its months. What ingest does with it is in [`ingest`].

mod at_once;
mod copy;
mod ingest;
mod months;
mod replica;
mod scope;

use std::collections::BTreeSet;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgPool, Transaction};

use super::StoreError;
use super::ingest::{IngestDatabase, LedgerRow};
use super::reporters::SeenReporters;
use crate::metering::assume::Doubt;
use crate::metering::decide::{Changes, LedgerId};
use crate::metering::report::Party;
use crate::metrics::ReplicaMetrics;
use at_once::{SeenLedgers, insert_at_once};
use ingest::FEW;
pub(super) use replica::Looks;
use replica::Replica;
pub use scope::Confinement;
pub(super) use scope::{Readers, TenantReads};
use scope::{Scope, pool_of};

const CONNECTIONS: u32 = 10;
/// Connections on which usage is rehearsed, or taken by who is no writer.
const INGEST_CONNECTIONS: u32 = 6;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that was asked whether it works is not asked again for so long.
const WORKS_FOR: Duration = Duration::from_secs(1);
/// For a replica: then it is read elsewhere.
const REPLICA_TIMEOUT: Duration = Duration::from_secs(1);
/// For fewer records, looking up what is known costs next to nothing.
const ASSUME_FROM: usize = 1_000;
/// Ingest looks rows up by their keys, thousands at a time. A plan that was made while the tables were small would read all
/// of them, or take locks in another order than that of the keys.
const BY_KEYS: [(&str, &str); 5] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_bitmapscan", "off"),
    ("jit", "off"),
];

/// A database server.
#[derive(Clone, Debug)]
pub struct Postgres {
    pool: PgPool,
    ingest: PgPool,
    readers: Readers,
    options: Arc<PgConnectOptions>,
    pub(super) reporters: SeenReporters,
    doubt: Doubt,
    seen: SeenLedgers,
    /// Records from which on a batch supposes what is known.
    pub(super) assume_from: usize,
}

impl Postgres {
    pub(super) async fn connect(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)?;
        let pool = pool(CONNECTIONS).connect_with(options.clone()).await?;
        Ok(Self {
            ingest: ingest_pool(&options, INGEST_CONNECTIONS),
            readers: Readers::Everything(pool.clone()),
            pool,
            options: Arc::new(options),
            reporters: SeenReporters::default(),
            doubt: Doubt::default(),
            seen: SeenLedgers::default(),
            assume_from: ASSUME_FROM,
        })
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        let texts = [
            (
                1,
                "metering and bills",
                include_str!("../../migrations/postgres/0001_metering_and_bills.sql"),
            ),
            (
                2,
                "service levels",
                include_str!("../../migrations/postgres/0002_service_levels.sql"),
            ),
            (
                3,
                "invoices",
                include_str!("../../migrations/postgres/0003_invoices.sql"),
            ),
            (
                4,
                "portal",
                include_str!("../../migrations/postgres/0004_portal.sql"),
            ),
            (
                5,
                "tenant reads",
                include_str!("../../migrations/postgres/0005_tenant_reads.sql"),
            ),
            (
                6,
                "provider audit",
                include_str!("../../migrations/postgres/0006_provider_audit.sql"),
            ),
            (
                7,
                "back office",
                include_str!("../../migrations/postgres/0007_back_office.sql"),
            ),
            (
                8,
                "minutes by statement",
                include_str!("../../migrations/postgres/0008_minutes_by_statement.sql"),
            ),
            (
                9,
                "ratings",
                include_str!("../../migrations/postgres/0009_ratings.sql"),
            ),
            (
                10,
                "retention",
                include_str!("../../migrations/postgres/0010_retention.sql"),
            ),
            (
                11,
                "audit stays",
                include_str!("../../migrations/postgres/0011_audit_stays.sql"),
            ),
        ];
        Ok(super::ingest::migrations(&texts).run(&self.pool).await?)
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Where it is read.
    pub(super) fn readers(&self) -> &Readers {
        &self.readers
    }

    /// Connections for reads of tenants, on which the program is `role`; to a replica too, if there is one.
    pub(super) fn tenant_reads(
        &self,
        role: Option<&str>,
        replica: Option<(&str, ReplicaMetrics)>,
    ) -> Result<TenantReads, StoreError> {
        let replica = match replica {
            Some((url, metrics)) => {
                let options = PgConnectOptions::from_str(url)?;
                Some(Replica::new(pool_of(&options, role, REPLICA_TIMEOUT), metrics))
            }
            None => None,
        };
        Ok(TenantReads::new(
            pool_of(&self.options, role, ACQUIRE_TIMEOUT),
            replica,
        ))
    }

    /// The same, but what is read is one tenant's.
    pub(super) async fn scoped(&self, ledger: LedgerId, reads: Arc<TenantReads>) -> Result<Self, StoreError> {
        let writes: Option<(i64,)> = match reads.replica() {
            Some(_) => {
                let text = "SELECT writes FROM portal_write WHERE ledger_id = $1";
                sqlx::query_as(text)
                    .bind(ledger)
                    .fetch_optional(&self.pool)
                    .await?
            }
            None => None,
        };
        let writes = writes.map_or(0, |(writes,)| writes);
        Ok(Self {
            readers: Readers::OfTenant(Arc::new(Scope::new(ledger, writes, reads))),
            ..self.clone()
        })
    }

    pub(super) async fn begin(&self) -> Result<Transaction<'static, sqlx::Postgres>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        if let Readers::OfTenant(scope) = &self.readers {
            scope.note_write(&mut transaction).await?;
        }
        Ok(transaction)
    }

    /// The same, with one connection for usage and one for all else. A connection lives by the runtime that opened it: none
    /// that a writer opens may come into others' hands.
    pub(super) fn for_a_writer(&self) -> Self {
        let pool = pool(1).connect_lazy_with(self.options.as_ref().clone());
        Self {
            ingest: ingest_pool(&self.options, 1),
            readers: Readers::Everything(pool.clone()),
            pool,
            ..self.clone()
        }
    }

    pub(super) async fn close(&self) {
        self.ingest.close().await;
        self.pool.close().await;
    }
}

fn pool(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
}

/// Connections are made when they are needed. One that was given back a moment ago was asked then whether it works: asking
/// again would cost a small batch as much as its writing.
fn ingest_pool(options: &PgConnectOptions, connections: u32) -> PgPool {
    pool(connections)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > WORKS_FOR {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options.clone().options(BY_KEYS))
}

impl IngestDatabase for Postgres {
    type Transaction = Transaction<'static, sqlx::Postgres>;

    fn doubt(&self, records: usize, at_once: bool) -> Option<&Doubt> {
        (at_once || records >= self.assume_from).then_some(&self.doubt)
    }

    async fn begin_ingest(&self) -> Result<Self::Transaction, StoreError> {
        Ok(self.ingest.begin().await?)
    }

    fn last_seen(&self, parties: &BTreeSet<&Party>, records: usize) -> Option<Vec<LedgerRow>> {
        (records <= FEW).then(|| self.seen.of(parties)).flatten()
    }

    fn saw(&self, ledgers: &[LedgerRow]) {
        self.seen.note(ledgers);
    }

    async fn take_at_once(
        &self,
        changes: &Changes<'_>,
        ledgers: &[LedgerRow],
        now: i64,
    ) -> Result<(), StoreError> {
        insert_at_once(&self.ingest, changes, ledgers, now).await
    }
}

/// A NUMERIC's text in billionths, as SQLite keeps it.
pub(super) fn nanos_of(numeric: &str) -> Result<String, StoreError> {
    let digits = numeric.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.len() > 9 {
        return Err(StoreError::unreadable("usage"));
    }
    let nanos: i128 = format!("{whole}{fraction:0<9}")
        .parse()
        .map_err(|_| StoreError::unreadable("usage"))?;
    Ok(if numeric.starts_with('-') {
        (-nanos).to_string()
    } else {
        nanos.to_string()
    })
}
