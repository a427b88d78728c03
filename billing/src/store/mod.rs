//! What billing keeps: one interface over two databases.
//!
//! [`Store`] is SQLite (embedded; one writer, write-ahead log, every commit on the disk before it returns) or PostgreSQL.
//! What both do in the same words is written once, over a pool of either; what differs (locks, bulk inserts, decimals)
//! lies in [`sqlite`] and [`postgres`]. Decisions are not made here: they are pure, in `metering` and `rating`.

mod accounts;
mod alerts;
mod all_tenants;
mod archive;
pub mod archiving;
mod assignments;
mod audit;
mod bursts;
mod entities;
mod erasure;
mod error;
mod exclusions;
mod export;
mod facts;
mod ingest;
mod invoices;
mod issue;
mod kept;
mod modules;
mod plans;
mod portal;
mod postgres;
mod ratings;
mod replaced;
mod reporters;
mod retention;
mod reviews;
mod runs;
mod service;
mod sessions;
mod snapshot;
mod sqlite;
mod staff;
mod states;
mod tenants;
#[cfg(test)]
mod tests;
mod tokens;
mod usage;

pub use accounts::{Account, AccountDetails, Registration};
pub use alerts::{AlertTarget, Attempt, Delivery, DueDelivery, WatchLock};
pub use all_tenants::{BilledInPeriod, OpenDispute, RecordedPlan, TenantDrift};
pub use archive::{ArchiveError, ArchiveSettings, Archiver, Progress, Restored, Stretch, reach, restore};
pub use assignments::PlanAssignment;
pub use audit::{FiguresByMeter, MeterFigures, Posting};
pub use bursts::ToldBurst;
pub use entities::{DEFAULT_ENTITY, LegalEntity, SetEntity};
pub use erasure::{Erased, Eraser, KeptText};
pub use error::StoreError;
pub(crate) use error::with_causes;
pub use exclusions::{ExclusionOutcome, NewExclusion, RecordedExclusion};
pub use export::ExportedEvent;
pub use facts::Facts;
pub use invoices::{
    Gathered, IssueBatch, IssueOutcome, KIND_CORRECTION, KIND_CREDIT, KIND_REGULAR, Place, Ready, Sealed,
    StoredInvoice, Wanted,
};
pub use kept::{Kept, KeptQuery, Rejected};
pub use plans::{PlanVersion, PutPlan};
pub use portal::{AuditEntry, Dispute};
pub use postgres::Confinement;
pub use ratings::{NewComplaints, Topic};
pub use retention::{DropOutcome, DroppedByRule};
pub use reviews::{IssuerLock, Queue, QueueQuery, Review};
pub use runs::{BillRun, RunKind};
pub use snapshot::{Manifest, SnapshotError};
pub use staff::{Staff, StaffRole, StaffToken};
pub use states::{NextState, StateRecord, StatesByNumber, TaxRegistration};
pub use tenants::TenantStores;
pub use tokens::{AccessToken, Holder, NewToken, Role};
pub use usage::{Landed, StatementUsage};

use crate::metering::decide::{LedgerId, OpenLedger};

/// The database, either of the two.
#[derive(Clone, Debug)]
pub enum Store {
    /// Embedded.
    Sqlite(sqlite::Sqlite),
    /// A server.
    Postgres(postgres::Postgres),
}

/// Runs `$body` with a pool to read from, of either database.
macro_rules! on_readers {
    ($store:expr, $pool:ident => $body:expr) => {
        match $store {
            $crate::store::Store::Sqlite(database) => {
                let $pool = database.readers();
                $body
            }
            $crate::store::Store::Postgres(database) => {
                let $pool = database.readers();
                $body
            }
        }
    };
}

/// Runs `$body` in a transaction that writes, of either database; `$body` commits it.
macro_rules! in_transaction {
    ($store:expr, $transaction:ident => $body:expr) => {
        match $store {
            $crate::store::Store::Sqlite(database) => {
                let mut $transaction = database.begin().await?;
                $body
            }
            $crate::store::Store::Postgres(database) => {
                let mut $transaction = database.begin().await?;
                $body
            }
        }
    };
}
pub(crate) use {in_transaction, on_readers};

impl Store {
    /// Connects to `sqlite://PATH` or `postgres://…`. A file that is not there is made if `create` says so.
    pub async fn connect(url: &str, create: bool) -> Result<Self, StoreError> {
        Self::connect_as(url, create, sqlite::Archived::AsBefore).await
    }

    /// The same for a server, which makes what is missing, and says whether it archives a SQLite database from now on.
    pub async fn connect_to_serve(url: &str, is_archived: bool) -> Result<Self, StoreError> {
        Self::connect_as(url, true, sqlite::Archived::Be(is_archived)).await
    }

    /// A new SQLite database in this file, with its tables, for work whose result alone is kept: nothing waits for the disk.
    pub async fn scratch(file: &std::path::Path) -> Result<Self, StoreError> {
        let store = Self::Sqlite(sqlite::Sqlite::scratch(file).await?);
        store.migrate().await?;
        Ok(store)
    }

    async fn connect_as(url: &str, create: bool, archived: sqlite::Archived) -> Result<Self, StoreError> {
        if url.starts_with("sqlite:") {
            Ok(Self::Sqlite(
                sqlite::Sqlite::connect(url, create, archived).await?,
            ))
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Ok(Self::Postgres(postgres::Postgres::connect(url).await?))
        } else {
            Err(StoreError::Scheme)
        }
    }

    /// Brings the tables up to date.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(database) => database.migrate().await,
            Self::Postgres(database) => database.migrate().await,
        }
    }

    /// `Ok` if the tables are there and of this version.
    pub async fn check_migrated(&self) -> Result<(), StoreError> {
        let newest: Result<(i64,), _> = on_readers!(self, pool => {
            sqlx::query_as("SELECT max(version) FROM _sqlx_migrations WHERE success").fetch_one(pool).await
        });
        match newest {
            Ok((version,)) if version == error::SCHEMA_VERSION => Ok(()),
            Ok((version,)) => Err(StoreError::OtherSchema { version }),
            Err(sqlx::Error::Database(_) | sqlx::Error::ColumnDecode { .. }) => Err(StoreError::NotMigrated),
            Err(error) => Err(error.into()),
        }
    }

    /// How many large batches it may write at a time.
    pub fn writers(&self) -> usize {
        match self {
            Self::Sqlite(_) => 1,
            Self::Postgres(_) => 2,
        }
    }

    /// The same, for one who writes one batch after the other: with connections of its own, which belong to the runtime that
    /// this is called in.
    #[must_use]
    pub fn for_a_writer(&self) -> Self {
        match self {
            Self::Sqlite(_) => self.clone(),
            Self::Postgres(database) => Self::Postgres(database.for_a_writer()),
        }
    }

    /// Ends those connections.
    pub async fn close_writer(&self) {
        if let Self::Postgres(database) = self {
            database.close().await;
        }
    }

    /// The same, but batches of so many records suppose what is known, where the database does that.
    #[cfg(test)]
    fn assuming_from(mut self, records: usize) -> Self {
        if let Self::Postgres(database) = &mut self {
            database.assume_from = records;
        }
        self
    }

    /// `Ok` if the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on_readers!(self, pool => sqlx::query("SELECT 1").execute(pool).await.map(drop))?;
        Ok(())
    }

    /// What is wrong with the database's files, as far as the database can tell.
    pub async fn damage(&self) -> Result<Vec<String>, StoreError> {
        match self {
            Self::Sqlite(database) => Ok(database.damage().await?),
            Self::Postgres(_) => Ok(Vec::new()),
        }
    }

    /// Ends all connections.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(database) => database.close().await,
            Self::Postgres(database) => database.close().await,
        }
    }

    /// The text that this database understands, of one that needs a lock said and one that does not.
    fn dialect(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Self::Sqlite(_) => sqlite,
            Self::Postgres(_) => postgres,
        }
    }
}

/// Ledgers by tenant name; usage may be there without an account.
impl Store {
    /// All ledgers of a name: (ledger, tenant UID).
    pub async fn ledgers_named(&self, tenant: &str) -> Result<Vec<(LedgerId, String)>, StoreError> {
        let text = "SELECT id, tenant_uid FROM ledger WHERE tenant = $1 ORDER BY id";
        Ok(on_readers!(self, pool => sqlx::query_as(text).bind(tenant).fetch_all(pool).await)?)
    }

    /// The statement that is open.
    pub async fn open_ledger(&self, ledger: LedgerId) -> Result<Option<OpenLedger>, StoreError> {
        let text = "SELECT open_statement FROM ledger WHERE id = $1";
        let row: Option<(i64,)> =
            on_readers!(self, pool => sqlx::query_as(text).bind(ledger).fetch_optional(pool).await)?;
        Ok(row.map(|(statement,)| OpenLedger {
            id: ledger,
            statement,
        }))
    }
}
