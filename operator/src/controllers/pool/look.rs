//! A look at the API server for the Pods of one pool, where the watch may be behind.
//!
//! A watch does not say how late it is. What this leader did since is remembered, and what an earlier one did is not: it may have
//! created workers that the watch has not shown, and deleted others, so that their names are free. So a leader looks before it
//! first creates a worker of a pool, and again when a Pod that should be there was not shown for long, or when a name was taken.
//!
//! What a watch shows after a look may still be older than it: Pods that came and went before, whose names others have now. They
//! are the past, and are told by their UIDs and versions.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};

use crate::api::BotPool;
use crate::controllers::context::Context;
use crate::controllers::pods::version_of;
use crate::names::{POOL_LABEL, TENANT_LABEL};

use super::PoolError;
use super::dereference::Seen;
use super::memory::PoolMemory;

/// What was seen longer ago is seen again before anything is decided by it: every worker has reported since.
const STALE: Duration = Duration::from_secs(1);

/// A Pod that the API server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) version: Option<u64>,
    pub(super) terminating: bool,
}

/// What the API server had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Of its store, when it was asked.
    pub(super) version: Option<u64>,
    pub(super) pods: Vec<Listed>,
}

/// Whether what was seen is behind: there are others than what was seen and what is remembered, which they are now, or the answer
/// took long. Asks once, until there is reason to ask again.
pub(super) async fn is_behind(
    context: &Context,
    pool: &BotPool,
    seen: &Seen,
    memory: &mut PoolMemory,
) -> Result<bool, PoolError> {
    if memory.is_current {
        return Ok(false);
    }
    let namespace = pool.namespace().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    // What the watch would show, and without a resource version, so that the answer is no older than the question.
    let selector = format!("{TENANT_LABEL},{POOL_LABEL}={}", pool.name_any());
    let permit = context.calls.to_create().await;
    let listed = pods.list_metadata(&ListParams::default().labels(&selector)).await;
    let listed = listed.map_err(|source| PoolError::Read(Box::new(source)))?;
    drop(permit);
    let version = version_of(listed.metadata.resource_version.as_deref());
    let listed = listed.items.iter().map(|pod| Listed {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        version: version_of(pod.metadata.resource_version.as_deref()),
        terminating: pod.metadata.deletion_timestamp.is_some(),
    });
    let look = Look {
        version,
        pods: listed.collect(),
    };
    let now = context.fleet.now();
    let behind = memory.catch_up(&seen.pods, look, now);
    if behind {
        tracing::info!("the watch of pods is behind");
    }
    Ok(behind || seen.now + STALE < now)
}
