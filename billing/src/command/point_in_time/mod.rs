//! `point-in-time`: back to an instant between two backups.
//!
//! A SQLite database is archived by its server (`serve --archive`), and restored from that archive. PostgreSQL archives its
//! write-ahead log itself; what is tedious about its own way back is done here, by its own programs.

mod postgres;
mod programs;
mod sqlite;
mod urls;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::export::Lines;
use super::verify::{Checked, check};
use crate::store::{Store, archiving::Finding};
use programs::ProgramsArgs;

#[derive(Subcommand, Debug)]
pub(super) enum PointInTimeCommand {
    /// Say whether the database can be taken back to an instant, and what is to be set so that it can
    Check,
    /// Make a base backup of PostgreSQL, from which its archived write-ahead log can be replayed
    #[command(after_help = BASE_EXAMPLES)]
    Base(BaseArgs),
    /// List the stretches of time to which a SQLite database's archive can take it back, as JSON lines
    Reach(ReachArgs),
    /// Make a new database as it was at an instant, and verify it. Nothing that is there is written over
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore(RestoreArgs),
}

const BASE_EXAMPLES: &str = "Example:
  springtide-billing point-in-time base --database-url postgres://replicator@db/billing --to /backup/base-2026-11-11

The folder gets `data`, which pg_basebackup writes and pg_verifybackup checks, and then `base.json`. Make one a week or a day, and
keep the archived log from the oldest one that you keep on.";

const RESTORE_EXAMPLES: &str = "Examples:
  SQLite, from the archive that `serve --archive /archive` writes:
  springtide-billing point-in-time restore --archive /archive --at 2026-11-11T03:04:05Z --to /restored/billing.db

  PostgreSQL, as the user that PostgreSQL runs as, from a base and the log that archive_command copies to /wal:
  springtide-billing point-in-time restore --base /backup/base-2026-11-11 --archive /wal \\
    --at 2026-11-11T11:04:05+08:00 --to /var/lib/postgresql/restored

  The same, with the log fetched by a command (%f is the file, %p where to put it):
  springtide-billing point-in-time restore --base /backup/base-2026-11-11 --restore-command 'wal-g wal-fetch %f %p' \\
    --to /var/lib/postgresql/restored";

#[derive(Args, Debug)]
pub(super) struct BaseArgs {
    /// Folder that is made for it; it must be empty if it is there
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    #[command(flatten)]
    programs: ProgramsArgs,
}

#[derive(Args, Debug)]
pub(super) struct ReachArgs {
    /// Folder of the archive
    #[arg(long, value_name = "FOLDER")]
    archive: PathBuf,
}

#[derive(Args, Debug)]
pub(super) struct RestoreArgs {
    /// Folder of the archive: of a SQLite database, or of PostgreSQL's write-ahead log
    #[arg(long, value_name = "FOLDER", required_unless_present = "restore_command")]
    archive: Option<PathBuf>,
    /// Instant, as 2026-11-11T03:04:05Z or with an offset; what was committed after it is left out. All that there is without it
    #[arg(long, value_name = "INSTANT")]
    at: Option<Timestamp>,
    /// A database file (SQLite) or a data folder (PostgreSQL) that is made
    #[arg(long, value_name = "PATH")]
    to: PathBuf,
    /// Folder that `point-in-time base` made; with it PostgreSQL is restored, and without it SQLite
    #[arg(long, value_name = "FOLDER")]
    base: Option<PathBuf>,
    /// What PostgreSQL fetches a file of its log with, in place of --archive
    #[arg(long, value_name = "COMMAND", requires = "base", conflicts_with = "archive")]
    restore_command: Option<String>,
    #[command(flatten)]
    programs: ProgramsArgs,
}

impl PointInTimeCommand {
    pub(super) async fn run(self, database_url: &str) -> anyhow::Result<()> {
        match self {
            Self::Check => {
                let store = super::open(database_url).await?;
                say_findings(&store.archiving().await?.findings())
            }
            Self::Base(args) => postgres::base(&super::open(database_url).await?, database_url, args).await,
            Self::Reach(args) => sqlite::reach(&args.archive),
            Self::Restore(args) => match (args.base.clone(), args.archive.clone()) {
                (Some(base), _) => postgres::restore(&base, args).await,
                (None, Some(archive)) => sqlite::restore(archive, args.at, args.to).await,
                (None, None) => anyhow::bail!("--archive is missing"),
            },
        }
    }
}

/// Says what there is to set; an error if the way back is not there without it.
fn say_findings(findings: &[Finding]) -> anyhow::Result<()> {
    for finding in findings {
        eprintln!("{finding}");
    }
    let missing = findings.iter().filter(|finding| finding.is_needed()).count();
    anyhow::ensure!(missing == 0, "the database cannot be taken back to an instant");
    let mut out = Lines::new();
    out.write(&json!({"pointInTime": true}))?;
    out.finish()
}

/// Whether the books of what was restored agree, and what else is said of it.
async fn verified(store: &Store, mut said: Value) -> anyhow::Result<()> {
    eprintln!("verifying");
    let damage = store
        .damage()
        .await
        .context("the restored database cannot be read")?;
    for line in &damage {
        eprintln!("{line}");
    }
    anyhow::ensure!(damage.is_empty(), "the restored database is damaged");
    store
        .check_migrated()
        .await
        .context("it is restored, and was not verified")?;
    let Checked { all, tenants, bills } = check(store, None, false).await?;
    for figure in &all.drift {
        eprintln!("{figure}");
    }
    said["verified"] = json!({"tenants": tenants, "bills": bills, "drift": all.drift.len()});
    let mut out = Lines::new();
    out.write(&json!({"restored": said}))?;
    out.finish()?;
    anyhow::ensure!(
        all.drift.is_empty(),
        "it is restored, but {} figures do not agree",
        all.drift.len()
    );
    Ok(())
}
