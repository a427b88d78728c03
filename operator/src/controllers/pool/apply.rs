//! Does it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _};

use crate::api::BotPool;
use crate::controllers::apply::{WriteError, create};
use crate::controllers::context::{Context, reference};
use crate::controllers::metrics::BindingLabels;

use super::build::Prepared;
use super::changes;
use super::dereference::Seen;
use super::memory::{Expected, PoolMemory, Which};
use super::moving::Remark;

/// What was done.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) created: Vec<String>,
    /// Why the API server refuses to create a worker.
    pub(super) refused: Option<String>,
    /// Creations that the cluster-wide pace put off, until then.
    pub(super) put_off: Option<Duration>,
    /// What there is to change waits for earlier changes that are still under way.
    pub(super) changes_wait: bool,
    pub(super) result: Result<(), WriteError>,
}

/// Creates first: a step in load waits for nothing else. What is to be changed besides is begun.
pub(super) async fn apply(
    context: &Arc<Context>,
    pool: &Arc<BotPool>,
    prepared: &Prepared<'_>,
    seen: &Seen,
    memory: &mut PoolMemory,
) -> Applied {
    let mut applied = Applied {
        created: Vec::new(),
        refused: None,
        put_off: None,
        changes_wait: false,
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
    let deleted = delete_counted(context, pool, prepared, memory).await;
    // What failed is tried again after a pause.
    let changed = memory.change_failed.take().map_or(Ok(()), Err);
    if changed.is_ok() {
        applied.changes_wait = !changes::begin(context, pool, prepared, seen, memory);
    }
    applied.result = created.and(deleted).and(changed);
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

/// They are gone before others are created in their places.
async fn delete_counted(
    context: &Context,
    pool: &BotPool,
    prepared: &Prepared<'_>,
    memory: &mut PoolMemory,
) -> Result<(), WriteError> {
    let counted: Vec<_> = prepared.delete.iter().filter(|pod| pod.counts).cloned().collect();
    let mut deleted = Vec::new();
    let result = changes::delete_pods(context, pool, &counted, &mut deleted).await;
    memory.deleted.extend(deleted);
    result
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

pub(super) fn say(context: &Context, pool: &BotPool, remarks: &[Remark]) {
    for Remark {
        alarming,
        reason,
        note,
    } in remarks
    {
        context.events.publish(&reference(pool), *alarming, reason, note);
    }
}
