//! Checkpoints: what a leader learned of pools, kept in ConfigMaps of the system namespace for the next one.
//!
//! - *entry*: what is kept of one pool, under the pool's UID.
//! - *shard*: one of the ConfigMaps. The shard of an entry follows from the UID alone.
//! - *waiting*: an entry that was read, of a pool that was not reconciled in this term yet. It is written again as it was.
//!
//! Every replica watches the shards, so that whoever is elected knows them; those that the watch has not shown are read when a
//! term begins. One that could not be read is not written before it was, so that a moment's failure forgets nothing. Whatever
//! fails, pools are decided: then with what this leader learned itself.

mod read;
mod shards;
mod shown;
#[cfg(test)]
mod tests;
mod write;

use std::time::Duration;

use crate::autoscale::Checkpoint;

use super::apply::WriteError;
use super::context::Context;
use super::metrics::CheckpointLabels;

pub use read::read_all;
pub use shards::Checkpoints;
pub use shown::{ShownCheckpoints, watched};
pub use write::{keep, keep_last};

/// A request to the API server takes at most this.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a shard was not read or written.
#[derive(Debug, thiserror::Error)]
enum ShardError {
    #[error("ConfigMap {name} could not be read")]
    Read { name: String, source: Box<kube::Error> },
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("the API server did not answer within {} s", TIMEOUT.as_secs())]
    Late,
}

/// What an earlier leader had learned of a pool.
#[derive(Debug)]
pub enum Earlier {
    /// Not known: its shard was not read yet.
    NotRead,
    /// Nothing, or nothing that is understood.
    Nothing,
    /// This.
    Kept(Box<Checkpoint>),
}

/// What an earlier leader had learned of the pool of that UID. It is handed out once.
pub fn earlier(context: &Context, uid: &str) -> Earlier {
    if !context.checkpoints.is_read(shards::shard_of(uid)) {
        return Earlier::NotRead;
    }
    let Some(bytes) = context.checkpoints.take(uid) else {
        return Earlier::Nothing;
    };
    match Checkpoint::decode(&bytes) {
        Ok(kept) => Earlier::Kept(Box::new(kept)),
        Err(error) => {
            tracing::warn!(uid, %error, "checkpoint of a pool not understood, it is learned anew");
            count(context, "not_understood", 1);
            Earlier::Nothing
        }
    }
}

fn count(context: &Context, outcome: &'static str, by: u64) {
    let labels = CheckpointLabels { outcome };
    context.metrics.checkpoints.get_or_create(&labels).inc_by(by);
}
