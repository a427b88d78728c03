//! Which entry is in which shard, and how much fits.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};

use crate::names::{CHECKPOINT, FIELD_MANAGER, NAME_LABEL};

/// So many ConfigMaps. Fewer would leave behind those that are too many.
pub(super) const SHARDS: u8 = 64;
/// No shard has more bytes of names and entries; in base64 that is less than 700 KiB.
pub(super) const MOST_BYTES: usize = 512 * 1024;

/// Entries by the UID of their pool.
pub(super) type Entries = BTreeMap<String, Vec<u8>>;

/// What earlier leaders learned, and what was kept for later ones.
#[derive(Debug)]
pub struct Checkpoints(Mutex<Vec<Shard>>);

/// What this leader knows of one shard; nothing before it was read.
#[derive(Debug, Default)]
struct Shard {
    /// Digest of what the ConfigMap has.
    written: Option<[u8; 32]>,
    waiting: Entries,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self(Mutex::new((0..SHARDS).map(|_| Shard::default()).collect()))
    }
}

impl Checkpoints {
    /// The entry of the pool of that UID, if one is waiting. It waits no longer.
    pub(super) fn take(&self, uid: &str) -> Option<Vec<u8>> {
        self.with(shard_of(uid), |shard| shard.waiting.remove(uid))?
    }

    /// The entry of the pool of that UID, if one is waiting.
    pub(super) fn waiting(&self, uid: &str) -> Option<Vec<u8>> {
        self.with(shard_of(uid), |shard| shard.waiting.get(uid).cloned())?
    }

    pub(super) fn is_read(&self, shard: u8) -> bool {
        self.with(shard, |shard| shard.written.is_some()).unwrap_or(true)
    }

    /// The shard was read; what was in it waits.
    pub(super) fn put(&self, shard: u8, entries: Entries) {
        self.with(shard, |shard| {
            if shard.written.is_none() {
                shard.written = Some(digest_of(&entries));
                shard.waiting = entries;
            }
        });
    }

    /// The ConfigMap has just these entries.
    pub(super) fn has(&self, shard: u8, entries: &Entries) -> bool {
        let digest = digest_of(entries);
        self.with(shard, |shard| shard.written == Some(digest))
            .unwrap_or(false)
    }

    /// These entries were written. Those of other pools wait no longer: the pools are gone.
    pub(super) fn wrote(&self, shard: u8, entries: &Entries) {
        self.with(shard, |shard| {
            shard.written = Some(digest_of(entries));
            shard.waiting.retain(|uid, _| entries.contains_key(uid));
        });
    }

    fn with<T>(&self, shard: u8, work: impl FnOnce(&mut Shard) -> T) -> Option<T> {
        self.0.lock().get_mut(usize::from(shard)).map(work)
    }
}

/// The shard of a pool's entry.
pub(super) fn shard_of(uid: &str) -> u8 {
    let digest = digest(&SHA256, uid.as_bytes());
    digest.as_ref().first().map_or(0, |first| first % SHARDS)
}

/// The ConfigMap of a shard.
pub(super) fn name_of(shard: u8) -> String {
    format!("{CHECKPOINT}-{shard:02}")
}

/// The shard of which the ConfigMap has that name, if any.
pub(super) fn shard_named(name: &str) -> Option<u8> {
    (0..SHARDS).find(|shard| name_of(*shard) == name)
}

/// Leaves out what does not fit, and says how many entries that were.
pub(super) fn fit(entries: &mut Entries) -> u64 {
    let (mut bytes, mut left_out) = (0, 0);
    entries.retain(|uid, entry| {
        let fits = bytes + uid.len() + entry.len() <= MOST_BYTES;
        if fits {
            bytes += uid.len() + entry.len();
        } else {
            left_out += 1;
        }
        fits
    });
    left_out
}

pub(super) fn config_map(namespace: &str, shard: u8, entries: &Entries) -> ConfigMap {
    let data = entries
        .iter()
        .map(|(uid, bytes)| (uid.clone(), ByteString(bytes.clone())));
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name_of(shard)),
            namespace: Some(namespace.to_owned()),
            labels: Some(BTreeMap::from([(
                NAME_LABEL.to_owned(),
                FIELD_MANAGER.to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        binary_data: Some(data.collect()),
        ..ConfigMap::default()
    }
}

fn digest_of(entries: &Entries) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&SHA256);
    for (uid, bytes) in entries {
        for part in [uid.as_bytes(), bytes] {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
    }
    context.finish().as_ref().try_into().unwrap_or_default()
}
