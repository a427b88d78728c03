//! The store as one tenant may read it.

use std::sync::Arc;

use super::postgres::{Confinement, TenantReads};
use super::{Store, StoreError};
use crate::metering::decide::LedgerId;

/// Gives each tenant a store of its own: on PostgreSQL the database itself keeps its reads to that tenant's rows. What is
/// written through it is not kept so.
#[derive(Clone, Debug)]
pub struct TenantStores {
    everything: Store,
    reads: Option<Arc<TenantReads>>,
}

impl TenantStores {
    /// Sees to it that the database confines reads, as far as the program's role may; says how far that is.
    pub async fn open(everything: Store) -> Result<(Self, Confinement), StoreError> {
        let Store::Postgres(database) = &everything else {
            let reads = None;
            return Ok((Self { everything, reads }, Confinement::Sqlite));
        };
        let confinement = database.confine().await?;
        let reads = match &confinement {
            Confinement::Confined { role, .. } => Some(Arc::new(database.tenant_reads(Some(role)))),
            Confinement::Sqlite | Confinement::Unconfined { .. } => None,
        };
        Ok((Self { everything, reads }, confinement))
    }

    /// What is known of all tenants: to find out who asks.
    pub fn everything(&self) -> &Store {
        &self.everything
    }

    /// The store of one tenant.
    pub async fn of(&self, ledger: LedgerId) -> Result<Store, StoreError> {
        Ok(match (&self.everything, &self.reads) {
            (Store::Postgres(database), Some(reads)) => {
                Store::Postgres(database.scoped(ledger, reads.clone()))
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
