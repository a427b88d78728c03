//! What can go wrong with the store, as the rest of billing sees it.

use springtide_proto::error::{ApiError, Reason};

use crate::rating::number::Overflow;

/// Version of the newest migration.
pub(super) const SCHEMA_VERSION: i64 = 11;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Neither SQLite nor PostgreSQL.
    #[error("the database URL must begin with sqlite:// or postgres://")]
    Scheme,
    /// A file has no replica.
    #[error(
        "there is a read replica of PostgreSQL alone; the database is SQLite: leave --read-database-url out"
    )]
    ReplicaOfSqlite,
    /// A replica is PostgreSQL.
    #[error("--read-database-url must begin with postgres://")]
    ReplicaScheme,
    /// The file is not there.
    #[error("there is no database file {0}; start the server or run `springtide-billing migrate` first")]
    NoFile(String),
    /// The tables are missing.
    #[error("the database has no tables of billing; run `springtide-billing migrate` first")]
    NotMigrated,
    /// The tables are of another version.
    #[error(
        "the database is of version {version}, this program of {SCHEMA_VERSION}; run `springtide-billing migrate`, or use the newer program"
    )]
    OtherSchema {
        /// Of the database.
        version: i64,
    },
    /// A migration failed.
    #[error("the tables could not be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The database is away, full, or refuses.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// Another transaction took an identity, or changed how an event stands, after this one had read it.
    #[error("another transaction was faster, several times")]
    Overtaken,
    /// A cursor that no page ended with.
    #[error("the cursor is none that a page ended with")]
    Cursor,
    /// A sum beyond what is kept.
    #[error("a sum of usage has too many digits")]
    Overflow(#[from] Overflow),
    /// What was read is not what is written here.
    #[error("stored {what} is not readable")]
    Unreadable {
        /// What.
        what: &'static str,
    },
}

impl StoreError {
    /// Reads a stored value; the error names it.
    pub(crate) fn unreadable(what: &'static str) -> Self {
        Self::Unreadable { what }
    }

    /// The same transaction may succeed when it reads anew.
    pub(super) fn is_overtaken(&self) -> bool {
        match self {
            Self::Overtaken => true,
            // A key that is there by now; a circle of waiting transactions.
            Self::Database(sqlx::Error::Database(error)) => error
                .code()
                .is_some_and(|code| code == "23505" || code == "40P01"),
            _ => false,
        }
    }

    /// The records are at fault and not the database: others would be taken.
    pub fn is_about_the_data(&self) -> bool {
        match self {
            Self::Overflow(_) | Self::Unreadable { .. } | Self::Database(sqlx::Error::Encode(_)) => true,
            // Class 22: data exceptions, as of a text that the server's encoding does not have.
            Self::Database(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code.starts_with("22"))
            }
            _ => false,
        }
    }
}

/// To a caller: try again, or our fault. The log has the cause.
impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let chain = with_causes(&error);
        tracing::error!(error = %chain, "the store failed");
        match error {
            StoreError::Overflow(_) | StoreError::Unreadable { .. } => {
                Self::new(Reason::Internal, "an internal error; it is logged")
            }
            _ => Self::new(
                Reason::Unavailable,
                "billing's database is away for the moment; try again",
            ),
        }
    }
}

/// An error with its causes in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
