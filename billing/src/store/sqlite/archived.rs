//! A database that is archived, see [`crate::store::archive`].

use std::path::PathBuf;

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::Sqlite;

/// Whether a database is archived, which its `user_version` says: 0 if not, and else the segment that it was last written to.
/// Then nobody but the archive brings the write-ahead log into the file, see [`crate::store::archive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Archived {
    /// As it is.
    AsBefore,
    /// From now on, or no longer.
    Be(bool),
}

impl Sqlite {
    /// Whether only its archive brings the write-ahead log into the file.
    pub(in crate::store) fn is_archived(&self) -> bool {
        self.is_archived
    }

    /// The file beside it that has what was written last.
    pub(in crate::store) fn write_ahead_log(&self) -> PathBuf {
        let mut name = self.file.as_os_str().to_owned();
        name.push("-wal");
        name.into()
    }

    /// Writes which segment of the archive this is written to. That is a write like any other: it begins the log anew where
    /// that may be.
    pub(in crate::store) async fn mark_archived(&self, segment: u64) -> Result<(), sqlx::Error> {
        let segment = i32::try_from(segment).unwrap_or(i32::MAX);
        let mut transaction = self.begin().await?;
        let text = format!("PRAGMA user_version = {segment}");
        sqlx::query(AssertSqlSafe(text))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }

    /// Brings what it can of the write-ahead log into the file, beside a writer: whether another did so at the same time, how
    /// many frames the log has, and how many of them are in the file now.
    pub(in crate::store) async fn checkpoint(&self) -> Result<(i64, i64, i64), sqlx::Error> {
        sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)")
            .fetch_one(&self.readers)
            .await
    }

    /// What is wrong with the file, as SQLite finds.
    pub(in crate::store) async fn damage(&self) -> Result<Vec<String>, sqlx::Error> {
        let mut found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_all(&self.readers)
            .await?;
        found.retain(|line| line != "ok");
        let text = "SELECT 'a row of ' || \"table\" || ' refers to none of ' || parent FROM pragma_foreign_key_check LIMIT 100";
        let unreferred: Vec<String> = sqlx::query_scalar(text).fetch_all(&self.readers).await?;
        found.extend(unreferred);
        Ok(found)
    }
}

/// Whether it is archived, after what was asked for.
pub(super) async fn archive(
    connection: &mut SqliteConnection,
    archived: Archived,
) -> Result<bool, sqlx::Error> {
    let version: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *connection)
        .await?;
    let is_archived = version != 0;
    let Archived::Be(should) = archived else {
        return Ok(is_archived);
    };
    if should != is_archived {
        let text = if should {
            "PRAGMA user_version = 1"
        } else {
            tracing::warn!("the database is no longer archived: the server runs without --archive");
            "PRAGMA user_version = 0"
        };
        sqlx::query(text).execute(connection).await?;
    }
    Ok(should)
}
