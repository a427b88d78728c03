//! Promotion: holds a floor for its pools from before its window until the end, and says in time what is missing.

mod build;
#[cfg(test)]
mod tests;
mod update_status;

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;

use crate::api::Promotion;
use crate::autoscale::Phase;
use crate::names::tenant_namespace;

use super::apply::WriteError;
use super::context::{Context, reference};

/// While it holds, it is looked at this often; before, at least twice a minute.
const HOLDING: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(30);
/// A new leader first has its pools decided once.
const SETTLING: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_millis(200);
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
    let name = promotion.name_any();
    let now = context.clock.now();
    let prepared = build::build(&promotion, now, |key| context.live.pool(key))?;
    let young = context
        .fleet
        .with_book(|book| book.age(context.fleet.now()))
        .is_none_or(|age| age < SETTLING);
    let undecided = |wish: &build::Wish| {
        let pool = ObjectRef::new(wish.key.pool.as_str()).within(&tenant_namespace(wish.key.tenant.as_str()));
        wish.allowed.is_none() && (young || context.stores.pools.get(&pool).is_some())
    };
    if prepared.wishes.iter().any(undecided) {
        return Ok(Action::requeue(SOON));
    }
    let going = promotion.metadata.deletion_timestamp.is_some();
    for wish in &prepared.wishes {
        let plan = (prepared.phase.holds() && !going).then(|| wish.plan(&name, promotion.spec.ceiling));
        if context.live.hold(&wish.key, &name, plan) {
            context.fleet.request_decision(&wish.key);
        }
    }
    if going {
        return Ok(Action::await_change());
    }
    update_status::update_status(&context, &promotion, &prepared, now).await?;
    context.succeeded(KIND, &name);
    let until = prepared.next_change.map(|at| at.duration_since(now));
    let until = until
        .and_then(|wait| Duration::try_from(wait).ok())
        .unwrap_or(IDLE);
    let period = if prepared.phase.holds() { HOLDING } else { IDLE };
    Ok(if prepared.phase == Phase::Over {
        Action::await_change()
    } else {
        Action::requeue(until.min(period))
    })
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
        return Action::await_change();
    }
    Action::requeue(context.backoff(KIND, &name))
}
