//! Reads shards.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;

use super::super::context::Context;
use super::shards::{SHARDS, name_of};
use super::shown::entries_of;
use super::{ShardError, TIMEOUT, count};

/// A new leader waits at most this long for what earlier ones learned. What comes later is taken over later.
const PATIENCE: Duration = Duration::from_secs(2);
/// Shards read at once.
const AT_ONCE: usize = 8;

/// Takes all shards over when a term begins: as the watch shows them, or read.
pub async fn read_all(context: &Context) {
    for shard in 0..SHARDS {
        if let Some(entries) = context.stores.checkpoints.of(shard) {
            context.checkpoints.put(shard, entries);
        }
    }
    let all = futures::stream::iter(0..SHARDS).for_each_concurrent(AT_ONCE, |shard| async move {
        if let Err(error) = read(context, shard).await {
            tracing::warn!(error = ?anyhow::Error::from(error), "checkpoints not read, tried again later");
            count(context, "not_read", 1);
        }
    });
    if tokio::time::timeout(PATIENCE, all).await.is_err() {
        tracing::warn!(
            waited_ms = PATIENCE.as_millis(),
            "not all checkpoints read, tried again later"
        );
        count(context, "not_read", 1);
    }
}

/// Reads one shard, unless it was read.
pub(super) async fn read(context: &Context, shard: u8) -> Result<(), ShardError> {
    if context.checkpoints.is_read(shard) {
        return Ok(());
    }
    let namespace = &context.installation.system_namespace;
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), namespace);
    let name = name_of(shard);
    let found = tokio::time::timeout(TIMEOUT, maps.get_opt(&name)).await;
    let found = match found.map_err(|_| ShardError::Late)? {
        Ok(found) => found.unwrap_or_default(),
        // What cannot be read ever is replaced.
        Err(error @ kube::Error::SerdeError(_)) => {
            tracing::warn!(name, %error, "checkpoints not understood, their pools are learned anew");
            count(context, "not_understood", 1);
            ConfigMap::default()
        }
        Err(source) => {
            let source = Box::new(source);
            return Err(ShardError::Read { name, source });
        }
    };
    context.checkpoints.put(shard, entries_of(found));
    Ok(())
}
