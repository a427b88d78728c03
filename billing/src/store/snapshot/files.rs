//! The files of a backup: what is written, and what is believed when it is read.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::store::StoreError;
use crate::store::error::SCHEMA_VERSION;

pub(super) const MANIFEST: &str = "manifest.json";
/// Rows that are read at a time.
const ROWS: usize = 1_000;

/// What a backup holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    pub(super) version: i64,
    pub(super) taken_at: Timestamp,
    /// When the oldest of the events was recorded, in nanoseconds since 1970.
    pub(super) earliest_record: Option<i64>,
    /// Each table, those that others refer to first.
    pub tables: Vec<TableManifest>,
}

/// What a backup holds of a table.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TableManifest {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    /// How many.
    pub rows: u64,
    pub(super) sha256: String,
}

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be read or written.
    #[error("{path}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A backup is written into a folder of its own.
    #[error("the folder {0} is not empty")]
    FolderNotEmpty(String),
    /// What is there would be mixed with what is restored.
    #[error("the database is not empty: there are rows in {0}; restore into a new one")]
    NotEmpty(String),
    /// A file is not what was written.
    #[error("{0} is not what the manifest says; nothing was restored")]
    Differs(String),
    /// Made by another version.
    #[error(
        "the backup is of version {0}, this program of {SCHEMA_VERSION}; restore with the program that made it, then migrate"
    )]
    OtherVersion(i64),
}

impl From<sqlx::Error> for SnapshotError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

pub(super) fn at(path: &Path) -> impl Fn(std::io::Error) -> SnapshotError {
    let path = path.display().to_string();
    move |source| SnapshotError::File {
        path: path.clone(),
        source,
    }
}

fn file_of(folder: &Path, table: &str) -> PathBuf {
    folder.join(format!("{table}.jsonl"))
}

/// The SHA-256 of what went by.
fn finish(context: Context) -> Result<String, StoreError> {
    let digest = Digest::try_from(context.finish().as_ref());
    Ok(digest.map_err(|_| StoreError::unreadable("digest"))?.to_string())
}

pub(super) fn read_manifest(folder: &Path) -> Result<Manifest, SnapshotError> {
    let path = folder.join(MANIFEST);
    let text = fs::read_to_string(&path).map_err(at(&path))?;
    let manifest: Manifest =
        serde_json::from_str(&text).map_err(|error| at(&path)(std::io::Error::other(error)))?;
    if manifest.version != SCHEMA_VERSION {
        return Err(SnapshotError::OtherVersion(manifest.version));
    }
    Ok(manifest)
}

pub(super) struct NewTableFile {
    path: PathBuf,
    file: BufWriter<File>,
    context: Context,
    rows: u64,
}

impl NewTableFile {
    pub(super) fn create(folder: &Path, name: &str) -> Result<Self, SnapshotError> {
        let path = file_of(folder, name);
        let file = BufWriter::new(File::create(&path).map_err(at(&path))?);
        Ok(Self {
            path,
            file,
            context: Context::new(&SHA256),
            rows: 0,
        })
    }

    pub(super) fn write(&mut self, mut row: String) -> Result<(), SnapshotError> {
        row.push('\n');
        self.context.update(row.as_bytes());
        self.rows += 1;
        self.file.write_all(row.as_bytes()).map_err(at(&self.path))
    }

    pub(super) fn finish(self, name: &str, columns: Vec<String>) -> Result<TableManifest, SnapshotError> {
        let file = self
            .file
            .into_inner()
            .map_err(|error| at(&self.path)(error.into_error()))?;
        file.sync_all().map_err(at(&self.path))?;
        Ok(TableManifest {
            name: name.to_owned(),
            columns,
            rows: self.rows,
            sha256: finish(self.context)?,
        })
    }
}

pub(super) struct TableFile<'a> {
    path: PathBuf,
    file: BufReader<File>,
    context: Context,
    manifest: &'a TableManifest,
}

impl<'a> TableFile<'a> {
    pub(super) fn open(folder: &Path, manifest: &'a TableManifest) -> Result<Self, SnapshotError> {
        let path = file_of(folder, &manifest.name);
        let file = BufReader::new(File::open(&path).map_err(at(&path))?);
        Ok(Self {
            path,
            file,
            context: Context::new(&SHA256),
            manifest,
        })
    }

    /// Some rows as a JSON list; `None` at the end.
    pub(super) fn next_rows(&mut self) -> Result<Option<String>, SnapshotError> {
        let mut rows = String::from("[");
        for _ in 0..ROWS {
            let before = rows.len();
            if self.file.read_line(&mut rows).map_err(at(&self.path))? == 0 {
                break;
            }
            self.context
                .update(rows.get(before..).unwrap_or_default().as_bytes());
            rows.push(',');
        }
        if rows.len() == 1 {
            return Ok(None);
        }
        rows.pop();
        rows.push(']');
        Ok(Some(rows))
    }

    pub(super) fn check(self, rows: u64) -> Result<(), SnapshotError> {
        if rows != self.manifest.rows || finish(self.context)? != self.manifest.sha256 {
            return Err(SnapshotError::Differs(self.path.display().to_string()));
        }
        Ok(())
    }
}
