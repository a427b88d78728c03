//! Writes shards, one after another, so that the API server sees a steady trickle.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use kube::ResourceExt as _;
use tokio::time::{Instant, MissedTickBehavior};

use crate::api::BotPool;
use crate::controllers::apply::apply_namespaced;
use crate::controllers::context::Context;
use crate::controllers::pool;

use super::read::read;
use super::shards::{Entries, SHARDS, config_map, fit, shard_of};
use super::{ShardError, TIMEOUT, count};

/// A shard is written at most once within this.
const PERIOD: Duration = Duration::from_mins(5);
/// The end of a term waits for the last writes so long: less than the election waits for whoever writes, so that the lease is
/// released all the same.
pub(super) const LAST_WRITE: Duration = Duration::from_millis(800);
/// Shards written at once then.
const AT_ONCE: usize = 8;

/// Keeps what is learned, for as long as the term lasts.
pub async fn keep(context: &Context) {
    // Before pools are listed, all would seem to be gone. A store whose writer is gone means that the term ends.
    if context.stores.pools.wait_until_ready().await.is_err() {
        return std::future::pending().await;
    }
    let step = PERIOD / u32::from(SHARDS);
    let mut ticks = tokio::time::interval_at(Instant::now() + step, step);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for shard in (0..SHARDS).cycle() {
        ticks.tick().await;
        if let Err(error) = write(context, shard).await {
            tracing::warn!(shard, error = ?anyhow::Error::from(error), "checkpoints not written, tried again later");
            count(context, "not_written", 1);
        }
    }
}

/// Writes what has changed since, at the end of a term that ends in order: the next leader begins with what is known now. What
/// takes longer than [`LAST_WRITE`] stays as it was written last.
pub async fn keep_last(context: &Context) {
    let all = async {
        if context.stores.pools.wait_until_ready().await.is_err() {
            return;
        }
        let shards = stream::iter(0..SHARDS).for_each_concurrent(AT_ONCE, |shard| async move {
            if let Err(error) = write(context, shard).await {
                tracing::warn!(shard, error = ?anyhow::Error::from(error), "last checkpoints not written");
                count(context, "not_written", 1);
            }
        });
        shards.await;
    };
    if tokio::time::timeout(LAST_WRITE, all).await.is_err() {
        tracing::warn!(
            waited_ms = LAST_WRITE.as_millis(),
            "not all of the last checkpoints written"
        );
        count(context, "not_written", 1);
    }
}

/// Writes one shard, if it changed.
pub(super) async fn write(context: &Context, shard: u8) -> Result<(), ShardError> {
    read(context, shard).await?;
    let mut entries = entries(context, shard).await;
    let left_out = fit(&mut entries);
    if left_out > 0 {
        tracing::warn!(shard, left_out, "checkpoints are full");
        count(context, "left_out", left_out);
    }
    if context.checkpoints.has(shard, &entries) {
        return Ok(());
    }
    let map = config_map(&context.installation.system_namespace, shard, &entries);
    tokio::time::timeout(TIMEOUT, apply_namespaced(&context.client, &map))
        .await
        .map_err(|_| ShardError::Late)??;
    context.checkpoints.wrote(shard, &entries);
    count(context, "written", 1);
    Ok(())
}

/// What is known of the pools of a shard that exist.
async fn entries(context: &Context, shard: u8) -> Entries {
    let mut entries = Entries::new();
    for pool in context.stores.pools.all() {
        let Some(uid) = pool.uid().filter(|uid| shard_of(uid) == shard) else {
            continue;
        };
        if let Some(bytes) = entry(context, &pool, &uid).await {
            entries.insert(uid, bytes);
        }
    }
    entries
}

async fn entry(context: &Context, pool: &BotPool, uid: &str) -> Option<Vec<u8>> {
    let key = pool::key(pool).ok()?;
    let memory = context.memory(&key);
    // Held until the end, so that an entry is here or there.
    let memory = memory.lock().await;
    match memory.checkpoint(uid, context.fleet.now(), context.clock.now()) {
        Some(kept) => (!kept.is_empty()).then(|| kept.encode()),
        None => context.checkpoints.waiting(uid),
    }
}
