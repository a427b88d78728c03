//! Keeps the metric of budgets true: how much of each client firm's budget of the month is used. An alert rule reads it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use springtide_runtime::clock::Clock;
use tokio_util::sync::CancellationToken;

use crate::bill::budget::{BUDGET, Budget, amount_of};
use crate::bill::document::Document;
use crate::bill::schedule::schedule_of;
use crate::bill::{BillError, bill};
use crate::metrics::Metrics;
use crate::rating::number::Exact;
use crate::store::{Account, Store, with_causes};

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

/// How much of its budget a client firm has used.
#[derive(Clone, Debug)]
pub struct UsedBudget {
    /// What it wants to spend, and at which shares of it it wants to be told.
    pub budget: Budget,
    /// The bill of the month so far.
    pub document: Document,
    /// Whole percent of the budget that its total is.
    pub percent: u32,
}

/// Of the month that runs; `None` without a budget.
pub async fn used_budget(
    store: &Store,
    account: &Account,
    now: Timestamp,
) -> Result<Option<UsedBudget>, BillError> {
    let Some(budget) = Budget::of_settings(&store.settings(account.ledger).await?) else {
        return Ok(None);
    };
    let period = schedule_of(store, account).await?.containing(now)?;
    let document = bill(store, account, period, now).await?;
    let total = amount_of(&document.total).unwrap_or(Exact::ZERO);
    Ok(Some(UsedBudget {
        percent: budget.percent(total),
        budget,
        document,
    }))
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
        let tenant = account.details.party.tenant.to_string();
        match used_budget(store, &account, clock.now()).await {
            Ok(Some(budget)) => used.push((tenant, budget.percent)),
            Ok(None) => {}
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
