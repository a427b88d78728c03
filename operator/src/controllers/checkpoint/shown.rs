//! What shards have, as the watch shows it: a follower that is elected asks the API server for nothing before it decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt as _};
use parking_lot::Mutex;

use super::shards::{Entries, shard_named};
use crate::names::{FIELD_MANAGER, NAME_LABEL};

/// Shards listed at once: each may have hundreds of kilobytes.
const PAGE: u32 = 16;

/// What was shown last. It may be behind what the leader before wrote last: then minutes of what it learned are missing.
#[derive(Clone, Debug, Default)]
pub struct ShownCheckpoints(Arc<Mutex<Shown>>);

#[derive(Debug, Default)]
struct Shown {
    /// All that there are were listed once.
    complete: bool,
    shards: BTreeMap<u8, Entries>,
    /// Of a list under way.
    fresh: BTreeMap<u8, Entries>,
}

impl ShownCheckpoints {
    /// What the shard has, if that is known; nothing, if there is no such ConfigMap.
    pub(super) fn of(&self, shard: u8) -> Option<Entries> {
        let shown = self.0.lock();
        let entries = shown.shards.get(&shard).cloned();
        shown.complete.then(|| entries.unwrap_or_default())
    }

    /// Takes an event of the watch into account.
    pub(crate) fn take(&self, event: Event<ConfigMap>) {
        let mut shown = self.0.lock();
        match event {
            Event::Init => shown.fresh.clear(),
            Event::InitApply(map) => {
                shown.fresh.extend(shard_of_map(map));
            }
            Event::InitDone => {
                shown.shards = std::mem::take(&mut shown.fresh);
                shown.complete = true;
            }
            Event::Apply(map) => shown.shards.extend(shard_of_map(map)),
            Event::Delete(map) => {
                if let Some((shard, _)) = shard_of_map(map) {
                    shown.shards.remove(&shard);
                }
            }
        }
    }
}

/// What is watched: the shards, and what else of the system namespace has the operator's label.
pub fn watched(client: Client, namespace: &str) -> (Api<ConfigMap>, watcher::Config) {
    let config = watcher::Config::default()
        .labels(&format!("{NAME_LABEL}={FIELD_MANAGER}"))
        .page_size(PAGE);
    (Api::namespaced(client, namespace), config)
}

pub(super) fn entries_of(map: ConfigMap) -> Entries {
    let entries = map.binary_data.unwrap_or_default().into_iter();
    entries.map(|(uid, bytes)| (uid, bytes.0)).collect()
}

fn shard_of_map(map: ConfigMap) -> Option<(u8, Entries)> {
    let shard = shard_named(&map.name_any())?;
    Some((shard, entries_of(map)))
}
