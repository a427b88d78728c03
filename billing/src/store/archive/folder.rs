//! An archive's folder: the names of its files, what is in it, and who may write to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::base::BaseManifest;
use super::segment::remove;
use super::{ArchiveError, at};

const LOCK: &str = "lock";
const REACHED: &str = "reached.json";
const SEGMENT: &str = "segment-";
const BASE: &str = "base-";
const MANIFEST: &str = ".json";
/// A file that is being written.
const UNFINISHED: &str = ".part";

/// Where an archive is.
#[derive(Clone, Debug)]
pub(super) struct ArchiveFolder(PathBuf);

/// Until when nothing is missing.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Reached {
    pub(super) until: Timestamp,
    /// The segment that was the last, and how long it was.
    pub(super) segment: u64,
    pub(super) bytes: u64,
}

/// What is in it, by numbers.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) segments: BTreeSet<u64>,
    /// Finished ones. One begins with the segment of its number.
    pub(super) bases: BTreeMap<u64, BaseManifest>,
}

impl ArchiveFolder {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Makes it if it is missing, and takes it for this process until the file is closed.
    pub(super) fn take(&self) -> Result<File, ArchiveError> {
        fs::create_dir_all(&self.0).map_err(at(&self.0))?;
        let path = self.0.join(LOCK);
        let lock = File::create(&path).map_err(at(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => Err(ArchiveError::Taken(self.0.display().to_string())),
            Err(TryLockError::Error(error)) => Err(at(&path)(error)),
        }
    }

    pub(super) fn display(&self) -> String {
        self.0.display().to_string()
    }

    pub(super) fn segment(&self, number: u64) -> PathBuf {
        self.0.join(format!("{SEGMENT}{number:012}"))
    }

    pub(super) fn base(&self, number: u64) -> PathBuf {
        self.0.join(format!("{BASE}{number:012}"))
    }

    pub(super) fn unfinished_base(&self, number: u64) -> PathBuf {
        self.0.join(format!("{BASE}{number:012}{UNFINISHED}"))
    }

    fn manifest(&self, number: u64) -> PathBuf {
        self.0.join(format!("{BASE}{number:012}{MANIFEST}"))
    }

    pub(super) fn contents(&self) -> Result<Contents, ArchiveError> {
        let mut contents = Contents::default();
        for entry in fs::read_dir(&self.0).map_err(at(&self.0))? {
            let name = entry.map_err(at(&self.0))?.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some(number) = name.strip_prefix(SEGMENT).and_then(|text| text.parse().ok()) {
                contents.segments.insert(number);
            }
            let manifest = name
                .strip_prefix(BASE)
                .and_then(|text| text.strip_suffix(MANIFEST)?.parse().ok());
            if let Some(number) = manifest
                && let Some(base) = read_json(&self.manifest(number))?
            {
                contents.bases.insert(number, base);
            }
        }
        Ok(contents)
    }

    /// Removes bases that a process before did not finish.
    pub(super) fn clean(&self) -> Result<(), ArchiveError> {
        for entry in fs::read_dir(&self.0).map_err(at(&self.0))? {
            let entry = entry.map_err(at(&self.0))?;
            if entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// A base counts once its manifest is there.
    pub(super) fn finish_base(&self, number: u64, base: &BaseManifest) -> Result<(), ArchiveError> {
        let (from, to) = (self.unfinished_base(number), self.base(number));
        fs::rename(&from, &to).map_err(at(&to))?;
        Self::write_json(&self.manifest(number), base, true)?;
        self.sync()
    }

    pub(super) fn remove_base(&self, number: u64) -> Result<(), ArchiveError> {
        remove(&self.manifest(number))?;
        remove(&self.base(number))
    }

    /// Makes durable which files there are.
    pub(super) fn sync(&self) -> Result<(), ArchiveError> {
        File::open(&self.0)
            .and_then(|folder| folder.sync_all())
            .map_err(at(&self.0))
    }

    /// Not synced: an older word of it is true as well.
    pub(super) fn write_reached(&self, reached: Reached) -> Result<(), ArchiveError> {
        Self::write_json(&self.0.join(REACHED), &reached, false)
    }

    pub(super) fn reached(&self) -> Result<Option<Reached>, ArchiveError> {
        read_json(&self.0.join(REACHED))
    }

    fn write_json(path: &Path, value: &impl Serialize, is_synced: bool) -> Result<(), ArchiveError> {
        let text = serde_json::to_vec_pretty(value).map_err(|error| at(path)(error.into()))?;
        let unfinished = path.with_extension("json.part");
        let written = File::create(&unfinished).and_then(|mut file| {
            file.write_all(&text)?;
            if is_synced { file.sync_all() } else { Ok(()) }
        });
        written
            .and_then(|()| fs::rename(&unfinished, path))
            .map_err(at(path))
    }
}

/// `None` if there is none, or none that was written to the end.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ArchiveError> {
    match fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

impl Contents {
    /// The bases and segments that no instant from `oldest` on needs.
    pub(super) fn not_needed_since(&self, oldest: Timestamp) -> (Vec<u64>, Vec<u64>) {
        let first = self
            .bases
            .iter()
            .rev()
            .find(|(_, base)| base.usable_from <= oldest);
        let Some((first, _)) = first else {
            return (Vec::new(), Vec::new());
        };
        (
            self.bases.range(..first).map(|(number, _)| *number).collect(),
            self.segments.range(..first).copied().collect(),
        )
    }
}
