//! Reads of one tenant, which the database itself keeps to that tenant's rows.
//!
//! They have connections of their own, on which the program is a role that owns nothing: row level security binds it. A
//! connection is told the *scope*, the ledger whose rows it may see, each time that it is taken; this also shows whether it
//! still lives, so that a read costs no more round trips than one without a scope.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, TryStreamExt as _};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{AssertSqlSafe, Either, Execute, Executor, PgConnection, PgPool, SqlStr};

use super::Postgres;
use super::replica::Replica;
use crate::metering::decide::LedgerId;
use crate::store::StoreError;

/// Connections of reads of tenants.
const CONNECTIONS: u32 = 10;
/// Taken by whoever makes the role and what it may read: one at a time.
const LOCK: i64 = 0x7370_745f_726f_6c65;
/// Name of the role: that of the database, which is the server's own, cut to what fits.
const ROLE_NAME: &str = "SELECT left(current_database(), 56) || '_tenant'";
/// What may be read, and was not granted yet: tables with a policy, and the views that know the scope themselves.
const TO_GRANT: &str =
    "SELECT quote_ident(c.relname) FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace
    AND (c.relname IN ('recorded_event', 'recorded_module') OR EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid))
    AND NOT has_table_privilege($1, c.oid, 'SELECT') ORDER BY 1";
/// (quoted name of the role, row security binds it).
const IS_BOUND: &str = "SELECT quote_ident(rolname), NOT (rolsuper OR rolbypassrls) AND NOT pg_has_role(rolname, tableowner, 'USAGE')
    FROM pg_roles, pg_tables WHERE rolname = $1 AND schemaname = current_schema() AND tablename = 'ledger'";

const COUNT_WRITE: &str = "INSERT INTO portal_write AS w (ledger_id, writes) VALUES ($1, 1)
    ON CONFLICT (ledger_id) DO UPDATE SET writes = w.writes + 1 RETURNING writes";

/// Whether the database keeps reads of a tenant to its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confinement {
    /// A file has no roles.
    Sqlite,
    /// It does.
    Confined {
        /// The role that reads, quoted.
        role: String,
        /// The program's own role is bound by nothing at all, as a superuser is not.
        is_unbound: bool,
    },
    /// It does not: the role is not there, and may not be made.
    Unconfined {
        /// What an administrator says to the database to change that.
        remedy: String,
    },
}

impl Postgres {
    /// Makes the role for reads of tenants where it is missing and may be made, and grants it what it may read.
    pub(in crate::store) async fn confine(&self) -> Result<Confinement, StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(LOCK)
            .execute(&mut *transaction)
            .await?;
        let (name,): (String,) = sqlx::query_as(ROLE_NAME).fetch_one(&mut *transaction).await?;
        let (quoted, owner, schema, is_unbound): (String, String, String, bool) = sqlx::query_as(
            "SELECT quote_ident($1), quote_ident(current_user), quote_ident(current_schema()), rolsuper OR rolbypassrls
            FROM pg_roles WHERE rolname = current_user",
        )
        .bind(&name)
        .fetch_one(&mut *transaction)
        .await?;
        let (exists,): (bool,) = sqlx::query_as("SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1)")
            .bind(&name)
            .fetch_one(&mut *transaction)
            .await?;
        let (create, grant) = (
            format!("CREATE ROLE {quoted} NOLOGIN"),
            format!("GRANT {quoted} TO {owner}"),
        );
        let remedy = if exists {
            format!("{grant};")
        } else {
            format!("{create}; {grant};")
        };
        if !exists && !tried(&mut transaction, create).await? {
            return Ok(Confinement::Unconfined { remedy });
        }
        let become_it = || format!("SET LOCAL ROLE {quoted}; RESET ROLE");
        let mut may = tried(&mut transaction, become_it()).await?;
        if !may && tried(&mut transaction, grant).await? {
            may = tried(&mut transaction, become_it()).await?;
        }
        if !may {
            return Ok(Confinement::Unconfined { remedy });
        }
        let tables: Vec<(String,)> = sqlx::query_as(TO_GRANT)
            .bind(&name)
            .fetch_all(&mut *transaction)
            .await?;
        let tables = tables
            .into_iter()
            .map(|(table,)| format!("GRANT SELECT ON {table} TO {quoted}"));
        for text in tables.chain([format!("GRANT USAGE ON SCHEMA {schema} TO {quoted}")]) {
            // The schema may be somebody else's, who then has opened it to all.
            tried(&mut transaction, text).await?;
        }
        let bound: Option<(String, bool)> = sqlx::query_as(IS_BOUND)
            .bind(&name)
            .fetch_optional(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(match bound {
            Some((role, true)) => Confinement::Confined { role, is_unbound },
            _ => Confinement::Unconfined {
                remedy: format!("ALTER ROLE {quoted} NOSUPERUSER NOBYPASSRLS; REVOKE {owner} FROM {quoted};"),
            },
        })
    }
}

/// Says it, unless this role may not: then nothing has happened.
async fn tried(transaction: &mut PgConnection, text: String) -> Result<bool, sqlx::Error> {
    use sqlx::Connection as _;
    let mut attempt = transaction.begin().await?;
    match sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *attempt).await {
        Ok(_) => attempt.commit().await.map(|()| true),
        Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code == "42501") => {
            attempt.rollback().await.map(|()| false)
        }
        Err(error) => Err(error),
    }
}

/// Connections on which the program is `role`, if there is one, and writes nothing.
pub(super) fn pool_of(options: &PgConnectOptions, role: Option<&str>, timeout: Duration) -> PgPool {
    let become_role = role.map(|role| format!("SET ROLE {role}"));
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(timeout)
        // The scope, which each read sets first, shows it too.
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let text = become_role.clone();
            Box::pin(async move {
                if let Some(text) = text {
                    sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await?;
                }
                Ok(())
            })
        })
        .connect_lazy_with(options.clone().options([("default_transaction_read_only", "on")]))
}

/// Where reads of tenants go.
#[derive(Debug)]
pub(in crate::store) struct TenantReads {
    primary: PgPool,
    replica: Option<Replica>,
}

impl TenantReads {
    pub(super) fn new(primary: PgPool, replica: Option<Replica>) -> Self {
        Self { primary, replica }
    }

    pub(in crate::store) fn replica(&self) -> Option<&Replica> {
        self.replica.as_ref()
    }

    pub(in crate::store) async fn close(&self) {
        self.primary.close().await;
        if let Some(replica) = &self.replica {
            replica.pool.close().await;
        }
    }
}

/// Reads of one tenant.
#[derive(Debug)]
pub(in crate::store) struct Scope {
    ledger: LedgerId,
    /// How often the tenant has written: what a replica must know of, to be read from.
    writes: AtomicI64,
    reads: Arc<TenantReads>,
}

impl Scope {
    pub(super) fn new(ledger: LedgerId, writes: i64, reads: Arc<TenantReads>) -> Self {
        Self {
            ledger,
            writes: writes.into(),
            reads,
        }
    }

    pub(super) fn has_replica(&self) -> bool {
        self.reads.replica.is_some()
    }

    /// Counts a write, where there is a replica that may lack it.
    pub(super) async fn note_write(&self, transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
        if !self.has_replica() {
            return Ok(());
        }
        let (writes,): (i64,) = sqlx::query_as(COUNT_WRITE)
            .bind(self.ledger)
            .fetch_one(transaction)
            .await?;
        self.writes.fetch_max(writes, Ordering::Relaxed);
        Ok(())
    }

    async fn acquire(&self) -> Result<PoolConnection<sqlx::Postgres>, sqlx::Error> {
        if let Some(replica) = &self.reads.replica
            && let Some(connection) = replica
                .enter(self.ledger, self.writes.load(Ordering::Relaxed))
                .await
        {
            return Ok(connection);
        }
        enter(&self.reads.primary, self.ledger).await
    }
}

/// A connection with the scope; those that turn out to be dead are given up.
async fn enter(pool: &PgPool, ledger: LedgerId) -> Result<PoolConnection<sqlx::Postgres>, sqlx::Error> {
    let mut left = CONNECTIONS;
    loop {
        let mut connection = pool.acquire().await?;
        let text = format!("SET springtide.ledger = {ledger}");
        match sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *connection).await {
            Ok(_) => return Ok(connection),
            Err(error) if left == 0 => return Err(error),
            Err(_) => {
                connection.close_on_drop();
                left -= 1;
            }
        }
    }
}

/// Where a store reads.
#[derive(Clone, Debug)]
pub(in crate::store) enum Readers {
    /// All that there is.
    Everything(PgPool),
    /// One tenant's.
    OfTenant(Arc<Scope>),
}

impl Readers {
    /// A connection, for one read or several.
    pub(in crate::store) async fn acquire(&self) -> Result<PoolConnection<sqlx::Postgres>, sqlx::Error> {
        match self {
            Self::Everything(pool) => pool.acquire().await,
            Self::OfTenant(scope) => scope.acquire().await,
        }
    }
}

type Step = Either<PgQueryResult, PgRow>;

impl<'p> Executor<'p> for &'p Readers {
    type Database = sqlx::Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, sqlx::Postgres>,
    {
        let readers = self.clone();
        Box::pin(async_stream::try_stream! {
            let mut connection = readers.acquire().await?;
            let mut steps = connection.fetch_many(query);
            while let Some(step) = steps.try_next().await? {
                yield step;
            }
        })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, sqlx::Postgres>,
    {
        let readers = self.clone();
        Box::pin(async move { readers.acquire().await?.fetch_optional(query).await })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        let readers = self.clone();
        Box::pin(async move { readers.acquire().await?.prepare_with(sql, parameters).await })
    }
}
