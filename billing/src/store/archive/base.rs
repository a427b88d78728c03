//! A base: the database's file as it was when a segment began. While it is copied nobody checkpoints, so the file stands still;
//! should somebody, what was copied of it is in the segment too, which the base is only used with.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::{ArchiveError, at};
use crate::digest::Digest;

pub(super) const VERSION: u32 = 1;
const AT_A_TIME: usize = 1 << 20;
/// A base is at most so old: what is before the oldest instant that is kept can then be removed.
const OLDEST: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Fewer bytes of frames since are no reason for another.
const FEW_BYTES: u64 = 64 << 20;

/// What a base is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BaseManifest {
    pub(super) version: u32,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    /// The first instant that it can restore.
    pub(super) usable_from: Timestamp,
}

/// Bytes, and their SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// Whether there should be a new base: reading frames should not take longer than reading the database.
pub(super) fn is_due(age: SignedDuration, bytes_since: u64, bytes_of_database: u64) -> bool {
    age >= OLDEST || bytes_since > bytes_of_database.max(FEW_BYTES)
}

/// Only its owner reads it: it holds what tokens are checked with.
pub(super) fn create_private(path: &Path) -> Result<File, ArchiveError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(at(path))
}

/// Copies a file, durable when it returns, unless `goes_on`, which is told how many bytes there are so far, says no.
pub(super) fn copy(
    from: &File,
    to: &Path,
    mut goes_on: impl FnMut(u64) -> bool,
) -> Result<Copied, ArchiveError> {
    let mut file = create_private(to)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; AT_A_TIME];
    let mut bytes = 0;
    loop {
        let read = from.read_at(&mut buffer, bytes).map_err(at(to))?;
        let some = &buffer[..read];
        if some.is_empty() {
            break;
        }
        context.update(some);
        file.write_all(some).map_err(at(to))?;
        bytes += read as u64;
        if !goes_on(bytes) {
            return Err(at(to)(std::io::Error::other("the copy was given up")));
        }
    }
    file.sync_all().map_err(at(to))?;
    let digest = Digest::try_from(context.finish().as_ref());
    Ok(Copied {
        bytes,
        sha256: digest.map_or_else(|_| String::new(), |digest| digest.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_due_after_a_week_or_when_frames_outweigh_the_database() {
        let hours = SignedDuration::from_hours;
        assert!(is_due(hours(168), 0, 0));
        assert!(!is_due(hours(167), 64 << 20, 1 << 20));
        assert!(is_due(hours(1), (64 << 20) + 1, 1 << 20));
        assert!(!is_due(hours(1), 1 << 30, 1 << 30));
        assert!(is_due(hours(1), (1 << 30) + 1, 1 << 30));
    }
}
