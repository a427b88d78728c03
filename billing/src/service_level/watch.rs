//! Looks at each tenant's service and budget every minute, and for bursts of complaints every ten seconds, raises and resolves
//! alerts, and sends what tenants are to be told.
//!
//! Of several servers one watches: the one that has the lock. Each alert's change is in the database with the message about it, so
//! that a server that ends between the two tells neither twice nor not at all. Messages are sent by tasks of their own, one a
//! tenant at once: a receiver that does not answer keeps nobody else waiting.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use springtide_runtime::clock::Clock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::burn::{Burn, LOOK_BACK, Objective, SILENT, burns, is_silent};
use super::metrics::{MOST_TENANTS, ServiceMetrics};
use super::webhook::{TIMEOUT, Webhooks};
use crate::bill::BillError;
use crate::bill::schedule::schedule_of;
use crate::rating::period::Bounds;
use crate::satisfaction::look::BurstLooks;
use crate::store::{Account, Attempt, Landed, Store, StoreError, WatchLock, with_causes};
use crate::watch_budgets::{UsedBudget, used_budget};

/// Between looks for messages that are due; minutes are looked at when a new one has begun.
const TICK: Duration = Duration::from_secs(2);
/// Gateways have reported a minute so long after its end.
const REPORTED_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// A message that is being sent is not sent again within this.
const CLAIM: SignedDuration = SignedDuration::from_secs(60);
/// Alerts of budgets are named by this and their threshold in percent.
const BUDGET_ALERT: &str = "budget-";
/// Messages that are being sent at once.
const AT_ONCE: usize = 64;

/// See the module.
#[derive(Clone)]
pub struct Watch {
    /// Minutes, plans, alerts.
    pub store: Store,
    /// Tells the minute.
    pub clock: Arc<dyn Clock>,
    /// Shows burn rates.
    pub metrics: ServiceMetrics,
    /// Sends messages.
    pub webhooks: Webhooks,
}

impl Watch {
    /// Watches until `shutdown`, whenever the lock is its own.
    pub async fn run(self, shutdown: CancellationToken) {
        let sending = TaskTracker::new();
        // In the middle of whatever it does: what is not committed by then the next server does.
        shutdown.run_until_cancelled(self.watch(&sending)).await;
        sending.close();
        // What is not sent by then is sent again by the next server.
        drop(tokio::time::timeout(TIMEOUT, sending.wait()).await);
    }

    async fn watch(&self, sending: &TaskTracker) {
        let mut lock = None;
        let mut looked_at = Timestamp::MIN;
        let mut bursts = BurstLooks::default();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tick.tick().await;
            if !self.holds(&mut lock).await {
                self.metrics.clear();
                looked_at = Timestamp::MIN;
                bursts = BurstLooks::default();
                continue;
            }
            let now = self.clock.now();
            bursts.look_if_due(self, now).await;
            let end = last_reported(now);
            if end > looked_at {
                looked_at = end;
                self.look_at_all((end, now), &mut bursts, sending).await;
            }
            if let Err(error) = self.send_due(now, sending).await {
                tracing::warn!(error = %with_causes(&error), "alerts cannot be sent");
            }
        }
    }

    /// The lock is held, or could be taken.
    async fn holds(&self, lock: &mut Option<WatchLock>) -> bool {
        if let Some(held) = lock
            && held.is_held().await
        {
            return true;
        }
        *lock = self.store.try_watch().await.unwrap_or_default();
        lock.is_some()
    }

    async fn look_at_all(
        &self,
        (end, now): (Timestamp, Timestamp),
        bursts: &mut BurstLooks,
        sending: &TaskTracker,
    ) {
        let accounts = match self.store.accounts().await {
            Ok(accounts) => accounts,
            Err(error) => {
                self.metrics.look_failed();
                tracing::warn!(error = %with_causes(&error), "service levels cannot be looked at");
                return;
            }
        };
        self.metrics.clear();
        let open = accounts.iter().filter(|account| account.closed_at.is_none());
        for (place, account) in open.enumerate() {
            if let Err(error) = self.look_at(account, end, now, place < MOST_TENANTS).await {
                self.metrics.look_failed();
                let tenant = &account.details.party.tenant;
                tracing::warn!(%tenant, error = %with_causes(&error), "a service level cannot be looked at");
            }
            if let Err(error) = self.look_at_budget(account, now).await {
                let tenant = &account.details.party.tenant;
                tracing::warn!(%tenant, error = %with_causes(&error), "a budget cannot be looked at");
            }
            // Bursts do not wait until all tenants were looked at.
            let meanwhile = self.clock.now();
            if bursts.look_if_due(self, meanwhile).await
                && let Err(error) = self.send_due(meanwhile, sending).await
            {
                tracing::warn!(error = %with_causes(&error), "alerts cannot be sent");
            }
        }
    }

    /// Looks at how much of a tenant's budget is used, and notes which of its thresholds that reaches. With a new month, another
    /// budget or without one, those that are not reached are resolved.
    pub async fn look_at_budget(&self, account: &Account, now: Timestamp) -> Result<(), BillError> {
        let used = used_budget(&self.store, account, now).await?;
        let reached = used.iter().flat_map(|used| {
            let thresholds = used.budget.thresholds.iter();
            let reached = thresholds.filter(|threshold| used.percent >= **threshold);
            reached.map(|threshold| format!("{BUDGET_ALERT}{threshold}"))
        });
        let reached: BTreeSet<_> = reached.collect();
        let known = self.store.raised_alerts(account.ledger).await?;
        let known = known.into_iter().filter(|name| name.starts_with(BUDGET_ALERT));
        let known: BTreeSet<_> = known.collect();
        for name in known.symmetric_difference(&reached) {
            let is_raised = reached.contains(name);
            let body = budget_message(account, name, is_raised, used.as_ref(), now);
            self.store
                .note_alert(account.ledger, name, is_raised, &body, now)
                .await?;
            let tenant = &account.details.party.tenant;
            tracing::info!(%tenant, alert = name, is_raised, "alert of a budget");
        }
        Ok(())
    }

    /// Looks at one tenant's service up to `end`, and notes what is news.
    pub async fn look_at(
        &self,
        account: &Account,
        end: Timestamp,
        now: Timestamp,
        is_shown: bool,
    ) -> Result<(), BillError> {
        let objective = match schedule_of(&self.store, account).await?.plan_at(now) {
            Ok(known) => Objective::of_plan(&known.version.spec),
            Err(_) => None,
        };
        let Some(objective) = objective else {
            return Ok(());
        };
        let start = end.saturating_sub(LOOK_BACK).unwrap_or(Timestamp::MIN);
        let minutes = self
            .store
            .service_minutes(account.ledger, &Bounds { start, end }, Landed::EVER)
            .await?;
        let burns = burns(&minutes, end, &objective);
        if is_shown {
            self.metrics
                .show(account.details.party.tenant.as_str(), &objective, &burns);
        }
        let known = self.store.raised_alerts(account.ledger).await?;
        // What was silent for longer than is looked back still is.
        let silent = if minutes.is_empty() {
            let last = self
                .store
                .last_minute(account.ledger, start, Landed::EVER)
                .await?;
            last.is_some()
        } else {
            is_silent(&minutes, end)
        };
        let burning = burns
            .iter()
            .map(|burn| (burn.window.long, burn.is_raised, Some(burn)));
        let mut raised = 0;
        for (name, is_raised, burn) in burning.chain([(SILENT, silent, None)]) {
            raised += usize::from(is_raised);
            if known.iter().any(|known| known == name) != is_raised {
                let body = message(account, name, is_raised, burn, &objective, end);
                let store = &self.store;
                store
                    .note_alert(account.ledger, name, is_raised, &body, now)
                    .await?;
                let tenant = &account.details.party.tenant;
                tracing::info!(%tenant, alert = name, is_raised, "alert of service");
            }
        }
        self.metrics.raised(raised);
        Ok(())
    }

    /// Begins to send what is due.
    pub async fn send_due(&self, now: Timestamp, sending: &TaskTracker) -> Result<(), StoreError> {
        let room = AT_ONCE.saturating_sub(sending.len());
        let until = now.saturating_add(CLAIM).unwrap_or(Timestamp::MAX);
        let limit = i64::try_from(room).unwrap_or_default();
        for due in self.store.claim_due_deliveries(now, until, limit).await? {
            let watch = self.clone();
            sending.spawn(async move {
                let attempt = watch.webhooks.send(&due, watch.clock.now()).await;
                watch.metrics.attempted(match attempt {
                    Attempt::Delivered => "delivered",
                    Attempt::Again(..) => "failed",
                    Attempt::GivenUp(_) => "given_up",
                });
                if let Err(error) = watch
                    .store
                    .note_attempt(due.id, &attempt, watch.clock.now())
                    .await
                {
                    tracing::warn!(error = %with_causes(&error), "what became of an alert is not noted");
                }
            });
        }
        Ok(())
    }
}

fn budget_message(
    account: &Account,
    name: &str,
    is_raised: bool,
    used: Option<&UsedBudget>,
    now: Timestamp,
) -> String {
    let budget = used.map(|used| {
        json!({"period": used.document.period, "currency": used.document.currency, "used": used.document.total,
            "amount": used.budget.amount.to_string(), "percent": used.percent})
    });
    json!({
        "tenant": account.details.party.tenant.as_str(),
        "tenantUid": account.details.party.tenant_uid.as_str(),
        "alert": name,
        "state": if is_raised { "raised" } else { "resolved" },
        "until": now.to_string(),
        "budget": budget,
    })
    .to_string()
}

/// The end of the last minute that gateways must have reported by now.
fn last_reported(now: Timestamp) -> Timestamp {
    let second = now.as_second() - REPORTED_AFTER.as_secs();
    Timestamp::from_second(second.div_euclid(60) * 60).unwrap_or(Timestamp::MIN)
}

fn message(
    account: &Account,
    name: &str,
    is_raised: bool,
    burn: Option<&Burn>,
    objective: &Objective,
    end: Timestamp,
) -> String {
    let windows = burn.map(|burn| {
        let window = |name: &str, share| {
            json!({"window": name, "burnRate": format!("{:.2}", objective.rate(share)),
                "bad": share.bad.to_string(), "turns": share.total.to_string()})
        };
        let threshold = burn.window.threshold_tenths;
        json!({"long": window(burn.window.long, burn.long), "short": window(burn.window.short, burn.short),
            "threshold": format!("{}.{}", threshold / 10, threshold % 10)})
    });
    json!({
        "tenant": account.details.party.tenant.as_str(),
        "tenantUid": account.details.party.tenant_uid.as_str(),
        "alert": name,
        "state": if is_raised { "raised" } else { "resolved" },
        "objective": objective.percent,
        "until": end.to_string(),
        "burn": windows,
    })
    .to_string()
}
