//! BotPool: decides the pool's size and makes its Pods agree.
//!
//! - *counted*: workers that answer or are starting; those that leave are not.
//! - *expected*: Pods that were created but that the watch has not shown yet; they count, so that a cache that lags behind
//!   never creates twice. Names are deterministic, so a second create of another leader fails; and see [`look`].
//! - *draining*: told to leave; deleted when it has no conversation and no usage record left, or its deadline has passed
//!   and no usage record is left.
//! - *moving*: on a node that goes; see [`moving`].

mod apply;
mod budget;
mod build;
mod changes;
mod dereference;
mod findings;
mod look;
mod manual;
mod memory;
mod moving;
mod size;
mod template;
#[cfg(test)]
mod tests;
mod update_status;
mod validate;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use crate::api::BotPool;
use crate::autoscale::Binding;
use crate::fleet::PoolKey;

use super::apply::WriteError;
use super::checkpoint;
use super::context::{Context, reference};

pub(super) use manual::held_to;
pub use manual::{owns_replicas, replicas_alone};
pub(super) use memory::PEAK_SPAN;
pub use memory::PoolMemory;
pub(super) use template::{container_security, downward, pod_security, readiness, variable};
pub(super) use validate::key;

/// Every pool is looked at again after this, whether or not anything happened; one that is settled, after this much longer.
const SAFETY: Duration = Duration::from_secs(2);
const SETTLED: Duration = Duration::from_secs(10);
/// What was held back is done after this.
const STATUS_PERIOD: Duration = Duration::from_millis(500);
const KIND: &str = "botpool";

/// Why a pool could not be reconciled.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The pool says something that cannot be done until it is edited.
    #[error("{0}")]
    Invalid(String),
    /// The cluster could not be read.
    #[error("reading the cluster failed")]
    Read(#[source] Box<kube::Error>),
    /// The cluster could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Makes the cluster agree with the pool of that name, if there is one; after which time it is to be looked at again.
pub async fn run(pool: ObjectRef<BotPool>, context: Arc<Context>) -> Option<Duration> {
    let pool = context.stores.pools.get(&pool)?;
    let reconciled = reconcile(pool.clone(), context.clone()).await;
    reconciled.unwrap_or_else(|error| after_error(&pool, &error, &context))
}

/// After which time it is to be looked at again, if nothing changes before.
#[tracing::instrument(skip_all, fields(namespace = pool.namespace().unwrap_or_default(), pool = pool.name_any()))]
pub async fn reconcile(pool: Arc<BotPool>, context: Arc<Context>) -> Result<Option<Duration>, PoolError> {
    let key = validate::key(&pool)?;
    let memory = context.memory(&key);
    let mut memory = memory.lock().await;
    if pool.metadata.deletion_timestamp.is_some() {
        // Its Pods go by their owner references, and drain by themselves.
        context.live.forget(&key);
        return Ok(None);
    }
    let uid = pool.uid().unwrap_or_default();
    memory.take_over(
        &uid,
        || checkpoint::earlier(&context, &uid),
        context.fleet.now(),
        context.clock.now(),
    );
    // Asked before, so that no other pool of the tenant waits for the answer.
    let missing_knowledge = dereference::missing_knowledge(&context, &pool, &key, &mut memory).await?;
    let grant = context.grant(&key.tenant);
    let granting = grant.lock().await;
    changes::settle(&mut memory);
    let mut seen = dereference::dereference(&context, &pool, &key, missing_knowledge);
    seen.pods.retain(|pod| !memory.is_past(pod));
    let valid = validate::validate(&pool, &key, &seen, &context.installation)?;
    let prepared = build::build(&valid, &seen, &mut memory);
    if let Some(stepped) = seen.view.stepped {
        let waited = context.fleet.now().saturating_sub(stepped);
        context.metrics.step_to_decision.observe(waited.as_secs_f64());
    }
    log_change(&context, &prepared);
    context.live.put(&key, prepared.live.clone());
    let at_contract_limit = prepared.decision.binding == Binding::TenantLimit;
    context
        .fleet
        .with_book(|book| book.at_contract_limit(&key, at_contract_limit));
    drop(granting);
    ask_for_room(&context, &key, &prepared);
    let wants_to_know = !prepared.create.is_empty() || memory.is_puzzled();
    if wants_to_know && look::is_behind(&context, &pool, &seen, &mut memory).await? {
        // Decided again by what is there.
        return Ok(Some(Duration::ZERO));
    }
    let applied = apply::apply(&context, &pool, &prepared, &seen, &mut memory).await;
    let more = update_status::update_status(&context, &pool, &prepared, &applied, &seen, &mut memory)?;
    applied.result?;
    context.succeeded(KIND, &key.to_string());
    let more = more.or(applied.changes_wait.then_some(STATUS_PERIOD));
    let again = more.unwrap_or_else(|| {
        if is_settled(&prepared, &seen) {
            SETTLED
        } else {
            SAFETY
        }
    });
    Ok(Some(applied.put_off.unwrap_or(again).min(again)))
}

/// Pools of the tenant that have more than they want make room at once, and not only when they are looked at again.
fn ask_for_room(context: &Context, key: &PoolKey, prepared: &build::Prepared<'_>) {
    let decision = &prepared.decision;
    let is_short = decision.binding == Binding::TenantLimit || decision.binding == Binding::FairShare;
    if is_short {
        for other in context.live.with_more_than_wanted(&key.tenant) {
            if other != *key {
                context.fleet.request_decision(&other);
            }
        }
    }
}

/// Nothing is under way, and time alone changes nothing: whatever does is told at once.
fn is_settled(prepared: &build::Prepared<'_>, seen: &dereference::Seen) -> bool {
    let (decision, workers) = (&prepared.decision, &prepared.workers);
    let observation = &decision.observation;
    let all_there = workers.draining.is_empty()
        && workers.ended.is_empty()
        && workers.refusing.is_empty()
        && workers.superseded.is_empty()
        && workers.ready.iter().all(|worker| !worker.moving)
        && seen.missing_knowledge.is_empty()
        && observation.silent == 0
        && (observation.ready, observation.starting) == (decision.desired, 0);
    // Growth fades, windows pass, and overrides and promotions end.
    let stays =
        decision.desired == decision.floor || decision.growth <= 0.0 && decision.desired == decision.react();
    let granted = decision.demand <= decision.desired;
    all_there && stays && granted && prepared.valid.manual.is_none() && seen.plans.is_empty()
}

fn log_change(context: &Context, prepared: &build::Prepared<'_>) {
    let (key, decision) = (prepared.valid.key, &prepared.decision);
    let before = context.live.pool(key).map(|live| live.desired);
    if before != Some(decision.desired) {
        let observation = &decision.observation;
        tracing::info!(
            pool = %key,
            from = before,
            to = decision.desired,
            binding = decision.binding.as_str(),
            active = observation.active,
            waiting = observation.waiting,
            growth = decision.growth,
            start_seconds = observation.start_time.as_secs_f64(),
            ready = observation.ready,
            starting = observation.starting,
            silent = observation.silent,
            "decided"
        );
    }
}

/// What cannot succeed until it is edited waits for the edit; the rest is tried again, less and less often.
fn after_error(pool: &BotPool, error: &PoolError, context: &Context) -> Option<Duration> {
    let name = validate::key(pool).map_or_else(|_| pool.name_any(), |key| key.to_string());
    context
        .metrics
        .failures
        .get_or_create(&super::metrics::KindLabels { kind: KIND })
        .inc();
    tracing::warn!(pool = name, error = %chain(error), "reconcile failed");
    match error {
        PoolError::Invalid(message) => {
            context.events.publish(&reference(pool), true, "Invalid", message);
            None
        }
        PoolError::Read(_) | PoolError::Write(_) => Some(context.backoff(KIND, &name).min(SETTLED)),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
