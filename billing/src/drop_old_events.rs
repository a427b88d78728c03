//! Drops events by tenants' contracts, once a day, by one of several servers. Bills, journal, sums and keys stay.

use std::sync::Arc;
use std::time::Duration;

use springtide_runtime::clock::Clock;
use tokio_util::sync::CancellationToken;

use crate::metering::retention::DropPlan;
use crate::metrics::Metrics;
use crate::store::{DroppedByRule, Holder, Role, Store, StoreError, with_causes};

const EVERY: Duration = Duration::from_hours(24);
const AFTER_A_FAILURE: Duration = Duration::from_hours(1);
/// As audits name the action and who did it.
const ACTION: &str = "drop events";
const ACTOR: &str = "billing";

/// Drops what is due again and again, until the program ends.
pub async fn drop_old_events(
    store: Store,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    loop {
        let pause = match drop_due(&store, clock.as_ref(), &metrics, ACTOR).await {
            Ok(_) => EVERY,
            Err(error) => {
                tracing::warn!(error = %with_causes(&error), "old events could not be dropped");
                AFTER_A_FAILURE
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Drops what is due now, and notes it in the tenants' audits and in the provider's. Nothing while another server does.
pub async fn drop_due(
    store: &Store,
    clock: &dyn Clock,
    metrics: &Metrics,
    actor: &str,
) -> Result<DroppedByRule, StoreError> {
    let Some(lock) = store.try_retention().await? else {
        return Ok(DroppedByRule::default());
    };
    let dropped = drop_alone(store, clock, metrics, actor).await;
    lock.give_back().await;
    dropped
}

async fn drop_alone(
    store: &Store,
    clock: &dyn Clock,
    metrics: &Metrics,
    actor: &str,
) -> Result<DroppedByRule, StoreError> {
    let now = clock.now();
    let plan = DropPlan::new(&store.retention_rules().await?, now);
    if plan.due.is_empty() {
        return Ok(DroppedByRule::default());
    }
    let dropped = store.drop_by_rule(&plan).await?;
    let holder = Holder {
        token: String::new(),
        provider: String::new(),
        name: actor.to_owned(),
        role: Role::Admin,
    };
    for (ledger, month) in plan
        .due
        .iter()
        .filter(|(ledger, _)| dropped.ledgers.contains(ledger))
    {
        let object = format!("recorded before {month}, as the contract says");
        store.note(*ledger, &holder, ACTION, &object, now).await?;
    }
    let (tenants, months, events) = (dropped.ledgers.len(), dropped.months, dropped.events);
    if tenants > 0 {
        let object = format!(
            "of {tenants} tenants by their contracts: {months} months whole, {events} events one by one"
        );
        store.note_of_provider(actor, ACTION, &object, now).await?;
        metrics.events_dropped(tenants);
        tracing::info!(
            tenants,
            months,
            events,
            "events that contracts keep no longer are dropped"
        );
    }
    Ok(dropped)
}
