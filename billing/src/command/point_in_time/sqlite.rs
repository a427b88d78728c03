//! SQLite, from the archive of a server.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::json;

use super::verified;
use crate::command::export::Lines;
use crate::store::{self, Progress, Store};

/// Bytes between two words of progress.
const SAY_EVERY_BYTES: u64 = 256 << 20;
/// Segments between two words of progress.
const SAY_EVERY_SEGMENTS: u64 = 500;

pub(super) fn reach(archive: &Path) -> anyhow::Result<()> {
    let mut out = Lines::new();
    for stretch in store::reach(archive).context("the archive cannot be read")? {
        out.write(&stretch)?;
    }
    out.finish()
}

pub(super) async fn restore(archive: PathBuf, at: Option<Timestamp>, to: PathBuf) -> anyhow::Result<()> {
    let path = to.clone();
    let restoring = tokio::task::spawn_blocking(move || {
        let mut words = Words::default();
        store::restore(&archive, at, &path, &mut |progress| words.say(progress))
    });
    let restored = restoring.await?.context("nothing was restored")?;
    if restored.is_cut {
        eprintln!("the archive's last record was cut off while it was written; all before it is restored");
    }
    let url = format!("sqlite://{}", to.display());
    let opened = Store::connect(&url, false).await;
    let store = opened.context("the restored database cannot be opened")?;
    let said = json!({
        "to": to.display().to_string(), "base": restored.base, "frames": restored.frames, "lastChange": restored.last_change,
    });
    let verified = verified(&store, said).await;
    store.close().await;
    verified
}

/// What is said while it lasts.
#[derive(Default)]
struct Words {
    said_bytes: u64,
    checked: u64,
}

impl Words {
    fn say(&mut self, progress: Progress) {
        match progress {
            Progress::Checking(_) => {
                self.checked += 1;
                if self.checked % SAY_EVERY_SEGMENTS == 1 {
                    eprintln!("checking the archive, segment {}", self.checked);
                }
            }
            Progress::Copying(bytes) => {
                if self.said_bytes == 0 || bytes >= self.said_bytes + SAY_EVERY_BYTES {
                    eprintln!("copying the base, {} MiB", bytes >> 20);
                    self.said_bytes = bytes;
                }
            }
            Progress::Writing(segment, segments) => {
                if segment == segments || segment as u64 % SAY_EVERY_SEGMENTS == 1 {
                    eprintln!("writing what came after it, segment {segment} of {segments}");
                }
            }
        }
    }
}
