//! Promotion: holds a floor for its pools from before its window until it has cooled down, and says in time what is missing.
//!
//! - *wish*: what is asked of one pool. *allowed*: what of it the pool's maximum and its tenant's limit let it have.
//! - *settling*: the pool exists and will be decided in a moment, as after a change of leader.
//! - *milestone*: a moment before the window opens at which an Event says how many workers answer.
//!
//! What must outlive a leader is in status: what percent counts from, when pre-warming began, the floor, what was announced.

mod announce;
mod build;
mod dereference;
mod findings;
pub(crate) mod remembered;
#[cfg(test)]
mod tests;
mod update_status;
pub(crate) mod validate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::runtime::controller::Action;
use springtide_proto::ids::{PoolId, TenantId};

use crate::api::Promotion;
use crate::autoscale::{Phase, Plan};
use crate::fleet::PoolKey;

use super::apply::WriteError;
use super::context::{Context, reference};

/// A new leader, and a new pool, first have pools decided once.
const SETTLING: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_millis(200);
/// The most pools that one promotion is for: its status has a line for each.
const MOST_POOLS: usize = 256;
const KIND: &str = "promotion";

/// Why a promotion could not be reconciled.
#[derive(Debug, thiserror::Error)]
pub enum PromotionError {
    /// It says something that cannot be done until it is edited.
    #[error("{0}")]
    Invalid(String),
    /// The cluster could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Makes the pools hold what one promotion asks for.
#[tracing::instrument(skip_all, fields(promotion = promotion.name_any()))]
pub async fn reconcile(promotion: Arc<Promotion>, context: Arc<Context>) -> Result<Action, PromotionError> {
    let outcome = hold(&promotion, &context).await;
    if let Err(PromotionError::Invalid(message)) = &outcome {
        update_status::say_invalid(&context, &promotion, message, context.clock.now()).await?;
        let (name, (_, plans)) = (promotion.name_any(), still_held(&promotion, &context));
        ask(&context, &name, plans);
        context.live.plans_ahead(&name, None);
    }
    outcome
}

fn ask(context: &Context, name: &str, plans: BTreeMap<PoolKey, Plan>) {
    for key in context.live.ask(name, plans) {
        context.fleet.request_decision(&key);
    }
}

/// What a promotion that cannot be understood any more goes on to hold: what status says, until the window that it speaks of
/// is over. How long that is, and what it is.
fn still_held(promotion: &Promotion, context: &Context) -> (Option<Duration>, BTreeMap<PoolKey, Plan>) {
    let known = dereference::known(context, promotion);
    let left = known
        .end
        .as_ref()
        .map(|end| end.0.duration_since(context.clock.now()));
    let left = left
        .and_then(|left| Duration::try_from(left).ok())
        .filter(|left| !left.is_zero());
    let open = known.phase == Phase::Open.as_str();
    if left.is_none() || !(open || known.phase == Phase::Prewarming.as_str()) {
        return (None, BTreeMap::new());
    }
    let plans = known.pools.iter().filter_map(|pool| {
        let tenant = TenantId::parse(pool.tenant.as_str()).ok()?;
        let key = PoolKey {
            tenant,
            pool: PoolId::parse(pool.pool.as_str()).ok()?,
        };
        let plan = Plan {
            promotion: promotion.name_any(),
            floor: pool.floor,
            ceiling: promotion.spec.ceiling,
            keeps: true,
            open,
        };
        Some((key, plan))
    });
    (left, plans.collect())
}

async fn hold(promotion: &Promotion, context: &Context) -> Result<Action, PromotionError> {
    let name = promotion.name_any();
    let valid = validate::validate(promotion)?;
    let Some(seen) = dereference::dereference(context, promotion, &valid) else {
        return Ok(Action::requeue(SOON));
    };
    let prepared = build::build(&valid, &seen)?;
    let going = promotion.metadata.deletion_timestamp.is_some();
    let wishes = prepared.wishes.iter().filter(|_| !going);
    let plans = wishes.filter_map(|wish| Some((wish.key.clone(), prepared.plan(&name, wish)?)));
    ask(context, &name, plans.collect());
    context
        .live
        .plans_ahead(&name, prepared.ahead().filter(|_| !going));
    if going {
        return Ok(Action::await_change());
    }
    if prepared.is_settling() {
        return Ok(Action::requeue(SOON));
    }
    update_status::update_status(context, promotion, &valid, &prepared, &seen).await?;
    context.succeeded(KIND, &name);
    Ok(next_look(&prepared, &seen))
}

fn next_look(prepared: &build::Prepared, seen: &dereference::Seen) -> Action {
    if prepared.phase == Phase::Over {
        return Action::await_change();
    }
    let until = prepared.next_change.map(|at| at.duration_since(seen.now));
    let period = prepared.period();
    let until = until.and_then(|wait| Duration::try_from(wait).ok());
    Action::requeue(until.unwrap_or(period).min(period))
}

/// What cannot succeed until it is edited waits for the edit; the rest is tried again, less and less often.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that controllers call"
)]
pub fn error_policy(promotion: Arc<Promotion>, error: &PromotionError, context: Arc<Context>) -> Action {
    let name = promotion.name_any();
    context
        .metrics
        .failures
        .get_or_create(&super::metrics::KindLabels { kind: KIND })
        .inc();
    tracing::warn!(promotion = name, error = ?error, "reconcile failed");
    if let PromotionError::Invalid(message) = error {
        context
            .events
            .publish(&reference(&*promotion), true, "Invalid", message);
        let (left, _) = still_held(&promotion, &context);
        return left.map_or_else(Action::await_change, Action::requeue);
    }
    Action::requeue(context.backoff(KIND, &name))
}
