//! Does it.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _};

use crate::api::BotPool;
use crate::controllers::apply::{WriteError, apply_namespaced, create, delete, patch_guarded};
use crate::controllers::context::{Context, reference};
use crate::controllers::metrics::BindingLabels;

use super::budget;
use super::build::Prepared;
use super::dereference::Seen;
use super::memory::{Expected, PoolMemory, Which};
use super::moving::{self, Remark};

/// What was done.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) created: Vec<String>,
    /// Why the API server refuses to create a worker.
    pub(super) refused: Option<String>,
    /// Creations that the cluster-wide pace put off, until then.
    pub(super) put_off: Option<Duration>,
    pub(super) result: Result<(), WriteError>,
}

/// Creates first: a step in load waits for nothing else.
pub(super) async fn apply(
    context: &Context,
    pool: &BotPool,
    prepared: &Prepared<'_>,
    seen: &Seen,
    memory: &mut PoolMemory,
) -> Applied {
    let mut applied = Applied {
        created: Vec::new(),
        refused: None,
        put_off: None,
        result: Ok(()),
    };
    let allowed = allowed(context, prepared, memory, &mut applied);
    let created = create_pods(context, prepared, allowed, seen, memory, &mut applied.created).await;
    applied.refused = created
        .as_ref()
        .err()
        .filter(|error| matches!(error.code(), Some(400..500)))
        .map(WriteError::reason);
    command(context, prepared, seen);
    say(context, pool, &prepared.remarks);
    let steps = [
        created,
        delete_pods(context, pool, prepared, memory).await,
        release_pods(context, pool, prepared, memory).await,
        apply_service(context, pool, prepared, memory).await,
        apply_budget(context, pool, prepared, seen, memory).await,
        release_override(context, pool, prepared).await,
    ];
    // Each is tried, whatever became of the others; the first failure is told.
    applied.result = steps.into_iter().collect();
    applied
}

/// The creations that the cluster-wide pace allows now; who was put off waits for its turn.
fn allowed<'a>(
    context: &Context,
    prepared: &'a Prepared<'_>,
    memory: &mut PoolMemory,
    applied: &mut Applied,
) -> &'a [Pod] {
    let (urgent, now) = (prepared.decision.is_for_load(), context.fleet.now());
    let mut pace = context.pace.lock();
    let turn = memory.turn.take_if(|_| !prepared.create.is_empty());
    if let Some((turn, _)) = turn.filter(|(turn, of)| *turn > now && *of == urgent)
        && !pace.has_plenty(now, urgent)
    {
        memory.turn = Some((turn, urgent));
        applied.put_off = Some(turn.saturating_sub(now));
        return &[];
    }
    // Under the lock of the pace, so that no two pools are given the same room.
    let room = context.installation.max_workers.map_or(u32::MAX, |most| {
        context.live.room(most, context.stores.pods.workers())
    });
    let wanted = prepared
        .create
        .len()
        .min(usize::try_from(room).unwrap_or(usize::MAX));
    let granted = pace.take(now, wanted, urgent);
    context.live.hold(prepared.valid.key, granted);
    if granted < wanted {
        let turn = pace.turn(now, urgent);
        memory.turn = Some((turn, urgent));
        applied.put_off = Some(turn.saturating_sub(now));
    }
    prepared.create.get(..granted).unwrap_or_default()
}

/// In batches of 1, 2, 4, …: if the cluster refuses, few were tried.
async fn create_pods(
    context: &Context,
    prepared: &Prepared<'_>,
    create_now: &[Pod],
    seen: &Seen,
    memory: &mut PoolMemory,
    created: &mut Vec<String>,
) -> Result<(), WriteError> {
    let Some(first) = create_now.first() else {
        return Ok(());
    };
    if let Some(rise) = &seen.view.rise {
        let waited = context.fleet.now().saturating_sub(rise.heard);
        context.metrics.step_to_create.observe(waited.as_secs_f64());
    }
    context
        .metrics
        .decisions
        .get_or_create(&BindingLabels {
            binding: prepared.decision.binding.as_str(),
        })
        .inc();
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &first.namespace().unwrap_or_default());
    let (mut rest, mut batch) = (create_now, 1);
    // Until answers are there it is not known what was made: if this ends here, the next decision looks first.
    let mut is_current = std::mem::replace(&mut memory.is_current, false);
    while !rest.is_empty() {
        let (now, later) = rest.split_at(batch.min(rest.len()));
        let results = join_all(now.iter().map(async |pod| {
            let _permit = context.calls.to_create().await;
            create(&pods, pod).await
        }))
        .await;
        let mut failed = None;
        for (pod, result) in now.iter().zip(results) {
            match result {
                Ok(made) => {
                    is_current &= made.is_some();
                    note_created(context, memory, pod.name_any(), made.as_ref(), created);
                }
                Err(error) => {
                    // What was refused was not made; of other failures nobody knows.
                    is_current &= matches!(error.code(), Some(400..500));
                    failed.get_or_insert(error);
                }
            }
        }
        if let Some(error) = failed {
            memory.is_current = is_current;
            return Err(error);
        }
        rest = later;
        batch *= 2;
    }
    memory.is_current = is_current;
    Ok(())
}

/// `made`: the Pod as the API server has it; none if the name was taken. That is another leader's, or one that the watch has not
/// shown yet, or that is just going: which, a look says.
fn note_created(
    context: &Context,
    memory: &mut PoolMemory,
    name: String,
    made: Option<&Pod>,
    created: &mut Vec<String>,
) {
    let since = context.fleet.now();
    let expected = Expected {
        since,
        which: made.and_then(|pod| Which::of(&pod.metadata)),
    };
    memory.expected.insert(name.clone(), expected);
    if made.is_none() {
        context.metrics.creations_lost.inc();
    } else {
        context.metrics.creations.inc();
        memory.created.insert(name.clone(), since);
        created.push(name);
    }
}

fn command(context: &Context, prepared: &Prepared<'_>, seen: &Seen) {
    context.fleet.with_book(|book| {
        for uid in &prepared.uncordon {
            book.uncordon(prepared.valid.key, uid, seen.now);
        }
        for uid in &prepared.cordon {
            book.cordon(prepared.valid.key, uid, prepared.drain_deadline, seen.now);
        }
    });
    if !prepared.cordon.is_empty() {
        context
            .metrics
            .decisions
            .get_or_create(&BindingLabels {
                binding: prepared.decision.binding.as_str(),
            })
            .inc();
    }
}

async fn delete_pods(
    context: &Context,
    pool: &BotPool,
    prepared: &Prepared<'_>,
    memory: &mut PoolMemory,
) -> Result<(), WriteError> {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &pool.namespace().unwrap_or_default());
    for deletion in &prepared.delete {
        let _permit = context.calls.to_change().await;
        delete(&pods, &deletion.name, Some(&deletion.uid)).await?;
        context.metrics.deletions.inc();
        memory.deleted.insert(deletion.uid.clone());
        if let Some(remark) = &deletion.remark {
            context
                .events
                .publish(&reference(pool), true, "WorkerReplaced", remark);
        }
    }
    Ok(())
}

async fn release_pods(
    context: &Context,
    pool: &BotPool,
    prepared: &Prepared<'_>,
    memory: &mut PoolMemory,
) -> Result<(), WriteError> {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &pool.namespace().unwrap_or_default());
    for release in &prepared.release {
        let _permit = context.calls.to_change().await;
        let remark = moving::release(&pods, release).await?;
        let now = context.fleet.now();
        memory.moving.released.insert(release.pod.uid.clone(), now);
        say(context, pool, remark.as_slice());
    }
    Ok(())
}

fn say(context: &Context, pool: &BotPool, remarks: &[Remark]) {
    for Remark {
        alarming,
        reason,
        note,
    } in remarks
    {
        context.events.publish(&reference(pool), *alarming, reason, note);
    }
}

async fn apply_budget(
    context: &Context,
    pool: &BotPool,
    prepared: &Prepared<'_>,
    seen: &Seen,
    memory: &mut PoolMemory,
) -> Result<(), WriteError> {
    // What an earlier leader left is no reason to write for all pools at once.
    if memory.budget.is_none() && pool.status.is_some() {
        let age = context.fleet.with_book(|book| book.age(seen.now));
        if age.is_none_or(|age| age < budget::taken_over_after(&pool.uid().unwrap_or_default())) {
            return Ok(());
        }
    }
    if let Some(workers) = budget::due(memory.budget.as_mut(), prepared.serving, seen.now) {
        let _permit = context.calls.to_change().await;
        apply_namespaced(&context.client, &budget::budget(prepared.valid, workers)).await?;
        memory.budget = Some(budget::Written::new(workers, prepared.serving, seen.now));
    }
    Ok(())
}

async fn apply_service(
    context: &Context,
    pool: &BotPool,
    prepared: &Prepared<'_>,
    memory: &mut PoolMemory,
) -> Result<(), WriteError> {
    if memory.service == pool.metadata.generation && memory.service.is_some() {
        return Ok(());
    }
    // An earlier leader saw to it, if not for this generation then for one before: whether it is as it should be can wait.
    if memory.service.is_none() && pool.status.is_some() && !context.may_keep_up() {
        return Ok(());
    }
    let _permit = context.calls.to_change().await;
    apply_namespaced(&context.client, &prepared.service).await?;
    memory.service = pool.metadata.generation;
    Ok(())
}

/// On lapse, and only then, the field goes back to 0, so that the same command works again.
async fn release_override(
    context: &Context,
    pool: &BotPool,
    prepared: &Prepared<'_>,
) -> Result<(), WriteError> {
    if !prepared.manual_lapsed {
        return Ok(());
    }
    let pools: Api<BotPool> = Api::namespaced(context.client.clone(), &pool.namespace().unwrap_or_default());
    let _permit = context.calls.to_change().await;
    let released = patch_guarded(&pools, pool, serde_json::json!({"spec": {"replicas": 0}})).await?;
    if released {
        context.events.publish(
            &reference(pool),
            false,
            "OverrideLapsed",
            "the manual override lapsed and was set back to 0",
        );
    }
    Ok(())
}
