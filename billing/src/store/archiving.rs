//! Whether a database keeps what is needed to go back to an instant, as it says itself.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use super::ingest::instant_of;
use super::{Store, StoreError, on_readers};

/// What the database says of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Archiving {
    /// Whether a server archives it.
    Sqlite {
        /// It does.
        is_archived: bool,
    },
    /// PostgreSQL's own settings.
    Postgres(LogSettings),
}

/// What PostgreSQL does with its write-ahead log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// By names of settings.
    pub settings: BTreeMap<String, String>,
    /// Whether the role may copy the server's files.
    pub may_replicate: bool,
    /// A file that could not be archived, if the last try failed.
    pub failing: Option<String>,
    /// Tablespaces beside PostgreSQL's own.
    pub tablespaces: i64,
}

/// What is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Without it there is no way back.
    Needed(String),
    /// Better, but it goes without.
    Advised(String),
}

impl Finding {
    /// Whether there is no way back without it.
    pub fn is_needed(&self) -> bool {
        matches!(self, Self::Needed(_))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Needed(text) => write!(f, "needed: {text}"),
            Self::Advised(text) => write!(f, "advised: {text}"),
        }
    }
}

const SETTINGS: &str = "SELECT name, setting FROM pg_settings WHERE name IN
    ('wal_level', 'archive_mode', 'archive_command', 'archive_library', 'archive_timeout', 'max_wal_senders', 'server_version_num')";
const OTHERS: &str =
    "SELECT (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user),
    (SELECT count(*) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')),
    (SELECT last_failed_wal FROM pg_stat_archiver WHERE last_failed_time > coalesce(last_archived_time, '-infinity'))";

impl Store {
    /// Asks the database.
    pub async fn archiving(&self) -> Result<Archiving, StoreError> {
        let database = match self {
            Self::Sqlite(database) => {
                let is_archived = database.is_archived();
                return Ok(Archiving::Sqlite { is_archived });
            }
            Self::Postgres(database) => database.pool(),
        };
        let settings: Vec<(String, Option<String>)> = sqlx::query_as(SETTINGS).fetch_all(database).await?;
        let (may_replicate, tablespaces, failing) = sqlx::query_as(OTHERS).fetch_one(database).await?;
        let settings = settings.into_iter();
        Ok(Archiving::Postgres(LogSettings {
            settings: settings
                .map(|(name, setting)| (name, setting.unwrap_or_default()))
                .collect(),
            may_replicate,
            failing,
            tablespaces,
        }))
    }
}

/// Nanoseconds since 1970.
const NOW_SQLITE: &str = "SELECT unixepoch() * 1000000000";
const NOW_POSTGRES: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint";

impl Store {
    /// The instant now, by the database's clock.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        let text = self.dialect(NOW_SQLITE, NOW_POSTGRES);
        let (now,): (i64,) = on_readers!(self, pool => sqlx::query_as(text).fetch_one(pool).await)?;
        instant_of(now)
    }
}

impl Archiving {
    /// What is to be set, and how.
    pub fn findings(&self) -> Vec<Finding> {
        match self {
            Self::Sqlite { is_archived: true } => Vec::new(),
            Self::Sqlite { is_archived: false } => vec![Finding::Needed(
                "start the server with --archive FOLDER, on another disk than the database".to_owned(),
            )],
            Self::Postgres(settings) => settings.findings(),
        }
    }

    /// PostgreSQL's major version, as its programs' folders are named.
    pub fn major(&self) -> Option<String> {
        match self {
            Self::Sqlite { .. } => None,
            Self::Postgres(settings) => {
                let number: u32 = settings.of("server_version_num").parse().ok()?;
                Some((number / 10_000).to_string())
            }
        }
    }
}

impl LogSettings {
    fn of(&self, name: &str) -> &str {
        self.settings.get(name).map_or("", String::as_str)
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut needed = |is_missing: bool, text: String| {
            if is_missing {
                findings.push(Finding::Needed(text));
            }
        };
        let level = self.of("wal_level");
        needed(
            !matches!(level, "replica" | "logical"),
            format!("wal_level = replica, and a restart of PostgreSQL; it is {level}"),
        );
        let mode = self.of("archive_mode");
        needed(
            !matches!(mode, "on" | "always"),
            format!("archive_mode = on, and a restart of PostgreSQL; it is {mode}"),
        );
        let has_none = |setting: &str| matches!(setting, "" | "(disabled)");
        needed(
            has_none(self.of("archive_command")) && has_none(self.of("archive_library")),
            "archive_command, which copies a file of the log to where it is safe and fails if it is there already, as \
             'test ! -f /wal/%f && cp %p /wal/%f'; and SELECT pg_reload_conf()"
                .to_owned(),
        );
        needed(
            self.of("max_wal_senders") == "0",
            "max_wal_senders of 2 or more, and a restart of PostgreSQL".to_owned(),
        );
        needed(
            !self.may_replicate,
            "a role that may copy the server's files: ALTER ROLE … REPLICATION, and a line for it in pg_hba.conf".to_owned(),
        );
        needed(
            self.tablespaces > 0,
            "pg_basebackup by hand: there are tablespaces beside PostgreSQL's own, which only you can place"
                .to_owned(),
        );
        if let Some(file) = &self.failing {
            let text = format!("look at PostgreSQL's log: {file} could not be archived at the last try");
            findings.push(Finding::Needed(text));
        }
        if self.of("archive_timeout") == "0" {
            let text = "archive_timeout = 60s: without it a quiet server's last commits stay out of the archive for long";
            findings.push(Finding::Advised(text.to_owned()));
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(changed: &[(&str, &str)]) -> LogSettings {
        let good = [
            ("wal_level", "replica"),
            ("archive_mode", "on"),
            ("archive_command", "cp %p /wal/%f"),
            ("archive_library", ""),
            ("archive_timeout", "60"),
            ("max_wal_senders", "10"),
            ("server_version_num", "150008"),
        ];
        let all = good.iter().chain(changed);
        LogSettings {
            settings: all
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            may_replicate: true,
            ..LogSettings::default()
        }
    }

    #[test]
    fn a_server_that_archives_lacks_nothing_and_each_setting_that_stands_in_the_way_is_named() {
        assert_eq!(settings(&[]).findings(), []);
        for (name, value, word) in [
            ("wal_level", "minimal", "wal_level = replica"),
            ("archive_mode", "off", "archive_mode = on"),
            ("archive_command", "(disabled)", "archive_command"),
            ("archive_command", "", "archive_command"),
            ("max_wal_senders", "0", "max_wal_senders"),
        ] {
            let findings = settings(&[(name, value)]).findings();
            assert!(
                matches!(findings.as_slice(), [Finding::Needed(text)] if text.contains(word)),
                "{findings:?}"
            );
        }
        let library = [("archive_command", ""), ("archive_library", "basic_archive")];
        assert_eq!(settings(&library).findings(), []);
        let slow = settings(&[("archive_timeout", "0")]).findings();
        assert!(
            !slow.iter().any(Finding::is_needed) && slow.len() == 1,
            "{slow:?}"
        );
        let stranger = LogSettings {
            may_replicate: false,
            failing: Some("0001".into()),
            tablespaces: 1,
            ..settings(&[])
        };
        assert_eq!(stranger.findings().len(), 3);
    }

    #[test]
    fn the_major_version_is_that_of_its_folders() {
        assert_eq!(Archiving::Postgres(settings(&[])).major().as_deref(), Some("15"));
    }
}
