//! What a bill is made of besides usage: how the service was, and which modules were taken.

use crate::metering::decide::LedgerId;
use crate::rating::period::Bounds;
use crate::rating::plan::RatePlan;
use crate::rating::rate::{Exclusion, MinuteCounts, ModuleChange, Service};
use crate::store::{Store, StoreError};

/// Of one account and period.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Minutes of service; `None`: nothing was ever reported.
    pub(super) service: Option<Service>,
    /// In the order of time.
    pub(super) module_changes: Vec<ModuleChange>,
}

/// Reads them, as far as the plan asks for them.
pub(super) async fn facts_of(
    store: &Store,
    ledger: LedgerId,
    plan: &RatePlan,
    bounds: &Bounds,
) -> Result<Facts, StoreError> {
    let module_changes = if plan.modules.is_empty() {
        Vec::new()
    } else {
        store.module_changes(ledger, bounds.end).await?
    };
    Ok(Facts {
        service: service_of(store, ledger, bounds).await?,
        module_changes,
    })
}

/// Minutes and exclusions of a period; `None` if no gateway of the ledger ever reported a minute.
async fn service_of(store: &Store, ledger: LedgerId, bounds: &Bounds) -> Result<Option<Service>, StoreError> {
    let minutes = store.service_minutes(ledger, bounds).await?;
    if minutes.is_empty() && !store.has_service_minutes(ledger).await? {
        return Ok(None);
    }
    let exclusions = store.exclusions(ledger, bounds).await?;
    let exclusion = |recorded: crate::store::RecordedExclusion| Exclusion {
        from: recorded.exclusion.from,
        to: recorded.exclusion.to,
        reason: recorded.exclusion.reason,
        approver: recorded.exclusion.approver,
    };
    Ok(Some(Service {
        minutes: minutes
            .into_iter()
            .map(|(minute, good, bad, fast, slow)| {
                let counts = MinuteCounts {
                    good,
                    bad,
                    fast,
                    slow,
                };
                (minute, counts)
            })
            .collect(),
        exclusions: exclusions.into_iter().map(exclusion).collect(),
    }))
}
