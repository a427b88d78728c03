//! The pools that are watched, and which of them are in a namespace: a decision looks at all pools of its tenant, and must not
//! look at those of all tenants for that.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use kube::ResourceExt as _;
use kube::runtime::reflector::store::WriterDropped;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use parking_lot::RwLock;

use crate::api::BotPool;

/// The pools that are watched.
#[derive(Clone)]
pub struct Pools {
    store: Store<BotPool>,
    names: PoolNames,
}

/// Names of pools by namespace. One that is gone may be among them: what exists is in the store.
#[derive(Clone, Default)]
pub struct PoolNames(Arc<RwLock<HashMap<String, BTreeSet<String>>>>);

impl Pools {
    /// `names` takes the events of the watch that fills the store.
    pub fn new(store: Store<BotPool>, names: PoolNames) -> Self {
        Self { store, names }
    }

    /// What the watch fills.
    pub fn store(&self) -> &Store<BotPool> {
        &self.store
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<BotPool>> {
        self.store.state()
    }

    /// Returns when the first list is complete; an error means that the watch ended.
    pub async fn wait_until_ready(&self) -> Result<(), WriterDropped> {
        self.store.wait_until_ready().await
    }

    /// The one of that name.
    pub fn get(&self, pool: &ObjectRef<BotPool>) -> Option<Arc<BotPool>> {
        self.store.get(pool)
    }

    /// Those in a namespace, by name.
    pub fn of(&self, namespace: &str) -> Vec<Arc<BotPool>> {
        let names = self.names.of(namespace);
        let found = names
            .iter()
            .filter_map(|name| self.store.get(&ObjectRef::new(name).within(namespace)));
        found.collect()
    }
}

impl PoolNames {
    /// Names of the pools in a namespace.
    pub fn of(&self, namespace: &str) -> Vec<String> {
        self.0
            .read()
            .get(namespace)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Takes an event of the watch into account.
    pub fn take(&self, event: &watcher::Event<BotPool>) {
        match event {
            watcher::Event::Init | watcher::Event::InitDone => {}
            watcher::Event::InitApply(pool) | watcher::Event::Apply(pool) => {
                let mut names = self.0.write();
                names
                    .entry(pool.namespace().unwrap_or_default())
                    .or_default()
                    .insert(pool.name_any());
            }
            watcher::Event::Delete(pool) => {
                if let Some(names) = self.0.write().get_mut(&pool.namespace().unwrap_or_default()) {
                    names.remove(&pool.name_any());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;

    use super::*;
    use crate::controllers::testing::web;

    #[test]
    fn a_namespace_has_the_pools_that_were_seen_in_it_and_not_deleted_since() {
        let (reader, mut writer) = reflector::store();
        let names = PoolNames::default();
        let pools = Pools::new(reader, names.clone());
        let pool = |namespace: &str, name: &str| {
            let mut pool = web(serde_json::json!({"min": 1, "max": 2}));
            pool.metadata.namespace = Some(namespace.to_owned());
            pool.metadata.name = Some(name.to_owned());
            pool
        };
        let mut take = |event: Event<BotPool>| {
            names.take(&event);
            writer.apply_watcher_event(&event);
        };
        take(Event::Init);
        take(Event::InitApply(pool("tenant-acme", "web")));
        take(Event::InitApply(pool("tenant-bloom", "web")));
        take(Event::InitDone);
        take(Event::Apply(pool("tenant-acme", "voice")));
        let of =
            |namespace: &str| -> Vec<_> { pools.of(namespace).iter().map(|pool| pool.name_any()).collect() };
        assert_eq!(of("tenant-acme"), ["voice", "web"]);
        assert_eq!(of("tenant-none"), [""; 0]);
        take(Event::Delete(pool("tenant-acme", "web")));
        assert_eq!(of("tenant-acme"), ["voice"]);
        take(Event::Init);
        take(Event::InitApply(pool("tenant-bloom", "web")));
        take(Event::InitDone);
        assert_eq!((of("tenant-acme").len(), of("tenant-bloom").len()), (0, 1));
    }
}
