//! Changes what there is, where workers are not created: beside the pool's next decisions, which do not wait for it.
//!
//! One set of changes of a pool is under way at a time; what is to be changed besides is for a decision after it.

use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _, stream};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::{Api, ResourceExt as _};
use tokio_util::task::AbortOnDropHandle;

use crate::api::BotPool;
use crate::controllers::apply::{WriteError, apply_namespaced, delete, patch_guarded};
use crate::controllers::context::{Context, reference};
use crate::fleet::PoolKey;

use super::apply::say;
use super::budget;
use super::build::{Deletion, Prepared};
use super::dereference::Seen;
use super::memory::PoolMemory;
use super::moving::{self, Release};

/// Workers of one pool deleted at once.
const DELETED_AT_ONCE: usize = 4;

/// Changes under way. Their Pods count as deleted or released from the beginning: none of them is called back.
#[derive(Debug)]
pub(super) struct Changing {
    deletes: Vec<String>,
    releases: Vec<String>,
    work: AbortOnDropHandle<Option<Changed>>,
}

impl Changing {
    pub(super) fn is_finished(&self) -> bool {
        self.work.is_finished()
    }
}

/// What became of them.
#[derive(Debug, Default)]
struct Changed {
    deleted: Vec<String>,
    released: Vec<String>,
    service: Option<i64>,
    budget: Option<budget::Written>,
    /// The first failure.
    failure: Option<WriteError>,
}

/// What is to be changed.
struct Changes {
    key: PoolKey,
    pool: Arc<BotPool>,
    delete: Vec<Deletion>,
    release: Vec<Release>,
    service: Option<Service>,
    budget: Option<(PodDisruptionBudget, budget::Written)>,
    /// The override lapsed.
    lapsed: bool,
}

/// Takes note of what became of changes, if they have come to an end.
pub(super) fn settle(memory: &mut PoolMemory) {
    let Some(changing) = memory.changing.take_if(|changing| changing.is_finished()) else {
        return;
    };
    // Of changes that were cut short nobody knows: whatever is still to be done is begun again.
    let done = changing.work.now_or_never().and_then(Result::ok).flatten();
    let changed = done.unwrap_or_default();
    for uid in changing.deletes {
        if !changed.deleted.contains(&uid) {
            memory.deleted.remove(&uid);
        }
    }
    for uid in changing.releases {
        if !changed.released.contains(&uid) {
            memory.moving.released.remove(&uid);
        }
    }
    memory.service = changed.service.or(memory.service);
    memory.budget = changed.budget.or(memory.budget);
    memory.change_failed = changed.failure;
}

/// Begins what is to be changed; `false` if earlier changes are still under way.
pub(super) fn begin(
    context: &Arc<Context>,
    pool: &Arc<BotPool>,
    prepared: &Prepared<'_>,
    seen: &Seen,
    memory: &mut PoolMemory,
) -> bool {
    if memory.changing.is_some() {
        return false;
    }
    let changes = Changes {
        key: prepared.valid.key.clone(),
        pool: pool.clone(),
        delete: prepared
            .delete
            .iter()
            .filter(|pod| !pod.counts)
            .cloned()
            .collect(),
        release: prepared.release.clone(),
        service: is_service_due(context, pool, memory).then(|| prepared.service.clone()),
        budget: due_budget(context, pool, prepared, seen, memory),
        lapsed: prepared.manual_lapsed,
    };
    if changes.is_nothing() {
        return true;
    }
    let deletes: Vec<_> = changes
        .delete
        .iter()
        .map(|deletion| deletion.uid.clone())
        .collect();
    let releases: Vec<_> = changes
        .release
        .iter()
        .map(|release| release.pod.uid.clone())
        .collect();
    memory.deleted.extend(deletes.iter().cloned());
    let released = releases.iter().map(|uid| (uid.clone(), seen.now));
    memory.moving.released.extend(released);
    memory.changing = Some(Changing {
        deletes,
        releases,
        work: context.beside.spawn(changes.make(context.clone())),
    });
    true
}

fn is_service_due(context: &Context, pool: &BotPool, memory: &PoolMemory) -> bool {
    if memory.service.is_some() {
        return memory.service != pool.metadata.generation;
    }
    // An earlier leader saw to it, if not for this generation then for one before: whether it is as it should be can wait.
    pool.status.is_none() || context.may_keep_up()
}

fn due_budget(
    context: &Context,
    pool: &BotPool,
    prepared: &Prepared<'_>,
    seen: &Seen,
    memory: &mut PoolMemory,
) -> Option<(PodDisruptionBudget, budget::Written)> {
    // What an earlier leader left is no reason to write for all pools at once.
    let created = u32::try_from(prepared.create.len()).unwrap_or(u32::MAX);
    let served = *memory
        .served
        .get_or_insert(prepared.serving.saturating_sub(created));
    if memory.budget.is_none() && pool.status.is_some() && prepared.serving <= served {
        let age = context.fleet.with_book(|book| book.age(seen.now));
        if age.is_none_or(|age| age < budget::taken_over_after(&pool.uid().unwrap_or_default())) {
            return None;
        }
    }
    let workers = budget::due(memory.budget.as_mut(), prepared.serving, seen.now)?;
    let written = budget::Written::new(workers, prepared.serving, seen.now);
    Some((budget::budget(prepared.valid, workers), written))
}

fn pods_of(context: &Context, pool: &BotPool) -> Api<Pod> {
    Api::namespaced(context.client.clone(), &pool.namespace().unwrap_or_default())
}

/// Each is tried, whatever becomes of the others; `deleted` are the UIDs of those that are.
pub(super) async fn delete_pods(
    context: &Context,
    pool: &BotPool,
    deletions: &[Deletion],
    deleted: &mut Vec<String>,
) -> Result<(), WriteError> {
    let pods = pods_of(context, pool);
    let delete_pod = async |deletion: &Deletion| {
        let _permit = context.calls.to_change().await;
        delete(&pods, &deletion.name, Some(&deletion.uid)).await?;
        context.metrics.deletions.inc();
        if let Some(remark) = &deletion.remark {
            context
                .events
                .publish(&reference(pool), true, "WorkerReplaced", remark);
        }
        Ok(deletion.uid.clone())
    };
    let mut results = stream::iter(deletions)
        .map(delete_pod)
        .buffer_unordered(DELETED_AT_ONCE);
    let mut failure = None;
    while let Some(result) = results.next().await {
        match result {
            Ok(uid) => deleted.push(uid),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(()), Err)
}

impl Changes {
    fn is_nothing(&self) -> bool {
        self.delete.is_empty()
            && self.release.is_empty()
            && self.service.is_none()
            && self.budget.is_none()
            && !self.lapsed
    }

    /// Each is tried, whatever became of the others.
    async fn make(mut self, context: Arc<Context>) -> Changed {
        let mut changed = Changed::default();
        let results = [
            delete_pods(&context, &self.pool, &self.delete, &mut changed.deleted).await,
            self.release_pods(&context, &mut changed.released).await,
            self.apply_service(&context, &mut changed.service).await,
            self.apply_budget(&context, &mut changed.budget).await,
            self.release_override(&context).await,
        ];
        changed.failure = results.into_iter().find_map(Result::err);
        if changed.failure.is_some() {
            // A decision takes note of it.
            context.fleet.request_decision(&self.key);
        }
        changed
    }

    async fn release_pods(&self, context: &Context, released: &mut Vec<String>) -> Result<(), WriteError> {
        let pods = pods_of(context, &self.pool);
        for release in &self.release {
            let _permit = context.calls.to_change().await;
            let remark = moving::release(&pods, release).await?;
            released.push(release.pod.uid.clone());
            say(context, &self.pool, remark.as_slice());
        }
        Ok(())
    }

    async fn apply_service(&self, context: &Context, applied: &mut Option<i64>) -> Result<(), WriteError> {
        if let Some(service) = &self.service {
            let _permit = context.calls.to_change().await;
            apply_namespaced(&context.client, service).await?;
            *applied = self.pool.metadata.generation;
        }
        Ok(())
    }

    async fn apply_budget(
        &mut self,
        context: &Context,
        applied: &mut Option<budget::Written>,
    ) -> Result<(), WriteError> {
        if let Some((budget, written)) = self.budget.take() {
            let _permit = context.calls.to_change().await;
            apply_namespaced(&context.client, &budget).await?;
            *applied = Some(written);
        }
        Ok(())
    }

    /// On lapse, and only then, the field goes back to 0, so that the same command works again.
    async fn release_override(&self, context: &Context) -> Result<(), WriteError> {
        if !self.lapsed {
            return Ok(());
        }
        let pools: Api<BotPool> =
            Api::namespaced(context.client.clone(), &self.pool.namespace().unwrap_or_default());
        let _permit = context.calls.to_change().await;
        let released =
            patch_guarded(&pools, &self.pool, serde_json::json!({"spec": {"replicas": 0}})).await?;
        if released {
            context.events.publish(
                &reference(&*self.pool),
                false,
                "OverrideLapsed",
                "the manual override lapsed and was set back to 0",
            );
        }
        Ok(())
    }
}
