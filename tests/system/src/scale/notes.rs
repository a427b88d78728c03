//! What the simulation did, line by line: phases, and what workers were told.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use springtide_runtime::clock::{Clock as _, SystemClock};

use super::worker::Worker;

/// A line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Note {
    /// When.
    pub(super) at: Timestamp,
    /// What.
    pub(super) what: String,
    /// In which namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) namespace: String,
    /// To which Pod; or any other detail.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) of: String,
}

/// The file.
#[derive(Clone)]
pub(super) struct Notes(Arc<Mutex<BufWriter<File>>>);

impl Notes {
    pub(super) fn create(file: &Path) -> anyhow::Result<Self> {
        let made = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self(Arc::new(Mutex::new(BufWriter::new(made)))))
    }

    /// A phase, or another thing that happened once.
    pub(super) fn phase(&self, what: &str, of: &str) {
        eprintln!("{what} {of}");
        self.write(what, "", of);
    }

    /// What a worker was told.
    pub(super) fn worker(&self, what: &str, worker: &Worker) {
        self.write(what, &format!("tenant-{}", worker.pool.tenant), &worker.pod);
    }

    fn write(&self, what: &str, namespace: &str, of: &str) {
        let note = Note {
            at: SystemClock.now(),
            what: what.to_owned(),
            namespace: namespace.to_owned(),
            of: of.to_owned(),
        };
        let mut file = self.0.lock();
        if let Err(error) = serde_json::to_writer(&mut *file, &note)
            .map_err(Into::into)
            .and_then(|()| file.write_all(b"\n"))
        {
            tracing::warn!(%error, "a note was not written");
        }
    }

    /// All of it is in the file.
    pub(super) fn flush(&self) -> anyhow::Result<()> {
        self.0.lock().flush().context("the notes cannot be written")
    }
}
