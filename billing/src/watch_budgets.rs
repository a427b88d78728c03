//! Keeps the metric of budgets true: how much of each client firm's budget of the month is used. An alert rule reads it.

use std::sync::Arc;
use std::time::Duration;

use springtide_runtime::clock::Clock;
use tokio_util::sync::CancellationToken;

use crate::bill::budget::{BUDGET, Budget, amount_of};
use crate::bill::schedule::schedule_of;
use crate::bill::{BillError, bill};
use crate::metrics::Metrics;
use crate::rating::number::Exact;
use crate::store::{Store, with_causes};

const INTERVAL: Duration = Duration::from_mins(1);

/// Looks at all budgets again and again, until the program ends.
pub async fn watch_budgets(
    store: Store,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    loop {
        if let Err(error) = look(&store, clock.as_ref(), &metrics).await {
            tracing::warn!(error = %with_causes(&error), "budgets could not be looked at");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// One look. Who has no budget any more has no figure.
async fn look(store: &Store, clock: &dyn Clock, metrics: &Metrics) -> Result<(), BillError> {
    let mut used = Vec::new();
    for ledger in store.ledgers_with_setting(BUDGET).await? {
        let Some(account) = store
            .account_of_ledger(ledger)
            .await?
            .filter(|account| account.closed_at.is_none())
        else {
            continue;
        };
        let Some(budget) = Budget::of_settings(&store.settings(ledger).await?) else {
            continue;
        };
        let tenant = account.details.party.tenant.to_string();
        let looked = async {
            let period = schedule_of(store, &account).await?.containing(clock.now())?;
            bill(store, &account, period, clock.now()).await
        };
        match looked.await {
            Ok(document) => {
                let total = amount_of(&document.total).unwrap_or(Exact::ZERO);
                used.push((tenant, budget.percent(total)));
            }
            Err(error @ BillError::Store(_)) => return Err(error),
            Err(error) => {
                tracing::warn!(%tenant, error = %with_causes(&error), "a budget could not be looked at");
            }
        }
    }
    metrics.budgets(used);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdf::sample::details;
    use crate::store::PlanVersion;
    use springtide_runtime::clock::ManualClock;

    #[tokio::test]
    async fn the_metric_says_how_much_of_a_budget_is_used_and_goes_with_the_budget() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/billing.db", folder.path().display());
        let store = Store::connect(&url, true).await.unwrap();
        store.migrate().await.unwrap();
        let spec = r#"{"charges":[{"meter":"interactions","model":"PerUnit","name":"a","unitPrice":"1"}],"currency":"CNY","minimumCommitment":"800.00","timeZone":"UTC"}"#;
        let now = "2026-11-12T00:00:00Z".parse().unwrap();
        let digest = crate::digest::Digest::of(spec.as_bytes());
        let plan = PlanVersion {
            name: "standard-2026".into(),
            uid: "u".into(),
            generation: 1,
            spec: spec.into(),
            digest,
        };
        store.put_plan(&plan, now).await.unwrap();
        store
            .register(&details(), "2026-01-01T00:00:00Z".parse().unwrap())
            .await
            .unwrap();
        store.set_setting(1, BUDGET, "1000").await.unwrap();
        let metrics = Metrics::default();
        let mut registry = prometheus_client::registry::Registry::default();
        metrics.register(&mut registry);
        let clock = ManualClock::new(now);
        let text = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text
        };
        look(&store, &clock, &metrics).await.unwrap();
        let line = r#"springtide_billing_budget_used_percent{tenant="acme"} 80"#;
        assert!(text().contains(line), "{}", text());
        store.set_setting(1, BUDGET, "").await.unwrap();
        look(&store, &clock, &metrics).await.unwrap();
        assert!(!text().contains("tenant=\"acme\""), "{}", text());
    }
}
