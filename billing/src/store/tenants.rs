//! The store as one tenant may read it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::postgres::{Confinement, Looks, TenantReads};
use super::{Store, StoreError};
use crate::metering::decide::LedgerId;
use crate::metrics::ReplicaMetrics;

/// How often it is seen whether the replica is usable.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Gives each tenant a store of its own: on PostgreSQL the database itself keeps its reads to that tenant's rows. What is
/// written through it is not kept so.
#[derive(Clone, Debug)]
pub struct TenantStores {
    everything: Store,
    role: Option<String>,
    reads: Option<Arc<TenantReads>>,
}

impl TenantStores {
    /// Sees to it that the database confines reads, as far as the program's role may; says how far that is.
    pub async fn open(everything: Store) -> Result<(Self, Confinement), StoreError> {
        let Store::Postgres(database) = &everything else {
            let stores = Self {
                everything,
                role: None,
                reads: None,
            };
            return Ok((stores, Confinement::Sqlite));
        };
        let confinement = database.confine().await?;
        let role = match &confinement {
            Confinement::Confined { role, .. } => Some(role.clone()),
            Confinement::Sqlite | Confinement::Unconfined { .. } => None,
        };
        let reads = match &role {
            Some(role) => Some(Arc::new(database.tenant_reads(Some(role), None)?)),
            None => None,
        };
        let stores = Self {
            everything,
            role,
            reads,
        };
        Ok((stores, confinement))
    }

    /// The same, but tenants read from a replica while it has what they wrote; [`Self::watch_replica`] must run.
    pub fn with_replica(self, url: &str, metrics: ReplicaMetrics) -> Result<Self, StoreError> {
        let Store::Postgres(database) = &self.everything else {
            return Err(StoreError::ReplicaOfSqlite);
        };
        if !url.starts_with("postgres:") && !url.starts_with("postgresql:") {
            return Err(StoreError::ReplicaScheme);
        }
        let reads = database.tenant_reads(self.role.as_deref(), Some((url, metrics)))?;
        Ok(Self {
            reads: Some(Arc::new(reads)),
            ..self
        })
    }

    /// Sees whether the replica is usable, if there is one, until shutdown.
    pub async fn watch_replica(self, shutdown: CancellationToken) {
        let (Store::Postgres(database), Some(reads)) = (&self.everything, &self.reads) else {
            return;
        };
        let Some(replica) = reads.replica() else {
            return;
        };
        let mut looks = Looks::default();
        loop {
            replica.look(database.pool(), &mut looks).await;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    }

    /// What is known of all tenants: to find out who asks.
    pub fn everything(&self) -> &Store {
        &self.everything
    }

    /// The store of one tenant.
    pub async fn of(&self, ledger: LedgerId) -> Result<Store, StoreError> {
        Ok(match (&self.everything, &self.reads) {
            (Store::Postgres(database), Some(reads)) => {
                Store::Postgres(database.scoped(ledger, reads.clone()).await?)
            }
            (everything, _) => everything.clone(),
        })
    }

    /// Ends the connections that are its own.
    pub async fn close(&self) {
        if let Some(reads) = &self.reads {
            reads.close().await;
        }
    }
}
