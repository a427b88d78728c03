//! What is known of a period's service, for a bill.

use crate::metering::decide::LedgerId;
use crate::rating::period::Bounds;
use crate::rating::rate::{Exclusion, MinuteCounts, Service};
use crate::store::{Store, StoreError};

/// Minutes and exclusions of a period; `None` if no gateway of the ledger ever reported a minute.
pub(super) async fn service_of(
    store: &Store,
    ledger: LedgerId,
    bounds: &Bounds,
) -> Result<Option<Service>, StoreError> {
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
