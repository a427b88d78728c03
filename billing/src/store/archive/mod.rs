//! A continuous archive of a SQLite database, and the way back to an instant.
//!
//! SQLite writes what changes into a *write-ahead log* beside the database's file, as *frames* (a page's number and its new
//! contents), and now and then copies them into the file (a *checkpoint*) and begins the log anew (a *restart*). The archive
//! is a folder that has
//! - *segments*, one for each life of the log from restart to restart: all its committed frames, with the instant by which
//!   they were seen to be committed. Each is chained to the one before by a SHA-256;
//! - *bases*, copies of the database's file as it was when a segment began;
//! - how far it *reaches*: the instant until which nothing is missing.
//!
//! An instant is restored by a base, and the frames since that were seen by then, written over it. That needs no frame to be
//! missed, so nobody but the archiver may checkpoint: a database that is archived says so in its `user_version`, and all
//! connections of this program then leave the log alone ([`super::sqlite`]). Somebody else's restart shows in the log's salts,
//! and in the number of frames that a checkpoint speaks of. After it, or when the log is gone, nobody knows what was written
//! in between: there is a *gap*, and a new *line* begins with a base of its own.

mod base;
mod folder;
mod plan;
mod restore;
mod run;
mod segment;
mod ship;
#[cfg(test)]
mod tests;
mod wal;

use std::path::Path;

use jiff::Timestamp;

use super::StoreError;

pub use plan::{Stretch, reach};
pub use restore::{Progress, Restored, restore};
pub use run::{ArchiveSettings, Archiver};

/// Why nothing is archived, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
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
    /// An archive has one writer.
    #[error("{0} is written by another process; an archive is of one database and one server")]
    Taken(String),
    /// Of PostgreSQL the server itself keeps the log.
    #[error(
        "--archive is for SQLite; PostgreSQL archives its own write-ahead log (`springtide-billing point-in-time check`)"
    )]
    NotSqlite,
    /// A file is not what was written.
    #[error("{path} is damaged at byte {offset}; nothing was restored{}", before(.until.as_ref()))]
    Damaged {
        /// Which.
        path: String,
        /// Where.
        offset: u64,
        /// The last instant that needs nothing of it.
        until: Option<Timestamp>,
    },
    /// A file is not there.
    #[error("{path} is missing; nothing was restored{}", before(.until.as_ref()))]
    Missing {
        /// Which.
        path: String,
        /// The last instant that needs nothing of it.
        until: Option<Timestamp>,
    },
    /// Before the first base.
    #[error("the archive reaches back to {0}, and not to that instant")]
    TooEarly(Timestamp),
    /// After the end.
    #[error("the archive reaches until {0}; leave --at out to restore all that it has")]
    TooLate(Timestamp),
    /// Between two lines.
    #[error(
        "nobody knows what was written in between: the archive has a gap from {from} {}; name an instant before or after it",
        .until.map_or_else(|| "on".to_owned(), |until| format!("to {until}"))
    )]
    Gap {
        /// Until when it is whole.
        from: Timestamp,
        /// From when on it is whole again.
        until: Option<Timestamp>,
    },
    /// Nothing was ever archived there.
    #[error("{0} is no archive, or has no base yet")]
    Empty(String),
    /// What is there is not written over.
    #[error("{0} is there already; restore into a new file")]
    Exists(String),
    /// The archive's writer ended.
    #[error("a task of the archive failed")]
    Task(#[from] tokio::task::JoinError),
}

fn before(until: Option<&Timestamp>) -> String {
    until.map_or_else(String::new, |until| {
        format!("; what came before is whole: --at {until}")
    })
}

impl From<sqlx::Error> for ArchiveError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> ArchiveError + use<> {
    let path = path.display().to_string();
    move |source| ArchiveError::File {
        path: path.clone(),
        source,
    }
}
