//! Verification that goes on while billing serves: one tenant after the other, slowly. Drift is logged, is a metric, and
//! stops the tenant's bills.
//!
//! Bills are priced again while they are recent. That is one bill or two of a tenant, each a read of its month, so that a round
//! takes as long as before; of all bills it would take longer each month. Older ones were priced again when they were recent, and
//! are by `springtide-billing verify`; where drift is known, all are, so that it does not end by growing old.

use std::sync::Arc;
use std::time::Duration;

use springtide_runtime::clock::Clock;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::BillError;
use super::verify::{Drift, Repricing, note, verify_settled};
use crate::metrics::Metrics;
use crate::store::{Account, Store, with_causes};

/// Least time between two tenants.
const PAUSE: Duration = Duration::from_secs(1);
/// After a tenant it rests this many times as long as that took: a twentieth of one connection.
const REST: u32 = 19;

/// Verifies until shutdown.
pub async fn run(store: Store, clock: Arc<dyn Clock>, metrics: Metrics, shutdown: CancellationToken) {
    loop {
        let accounts = match store.accounts().await {
            Ok(accounts) => accounts,
            Err(error) => {
                tracing::warn!(error = %with_causes(&error), "tenants cannot be verified");
                Vec::new()
            }
        };
        for account in &accounts {
            let started = Instant::now();
            if let Err(error) = one(&store, account, clock.as_ref(), &metrics).await {
                let tenant = &account.details.party.tenant;
                tracing::warn!(%tenant, error = %with_causes(&error), "the tenant cannot be verified");
            }
            if !rest(PAUSE.max(started.elapsed() * REST), &shutdown).await {
                return;
            }
        }
        if !rest(PAUSE, &shutdown).await {
            return;
        }
    }
}

/// `false` at shutdown.
async fn rest(length: Duration, shutdown: &CancellationToken) -> bool {
    tokio::select! {
        () = shutdown.cancelled() => false,
        () = tokio::time::sleep(length) => true,
    }
}

/// Verifies a tenant, and keeps what was found.
pub async fn one(
    store: &Store,
    account: &Account,
    clock: &dyn Clock,
    metrics: &Metrics,
) -> Result<Vec<Drift>, BillError> {
    let repricing = match store.drift(account.ledger).await? {
        Some(_) => Repricing::All,
        None => Repricing::Recent,
    };
    let found = verify_settled(store, account, clock.now(), repricing)
        .await?
        .drift;
    let tenant = account.details.party.tenant.as_str();
    for drift in &found {
        tracing::error!(%drift, "the books do not agree: nothing is issued to the tenant until they do");
    }
    note(store, account, &found, clock.now()).await?;
    metrics.drift(tenant, found.len());
    Ok(found)
}
