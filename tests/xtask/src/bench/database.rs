//! What the parts of `bench billing` measure on: a PostgreSQL of their own, as durable as in production, with billing's tables,
//! and its program as it is released.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::output;
use crate::packages;
use crate::postgres::Postgres;

use super::released;

const BILLING: &str = "springtide-billing";
/// A crash loses nothing of what was acknowledged.
const DURABLE: [(&str, &str); 4] = [
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("max_connections", "100"),
];

/// A database with billing's tables.
pub(super) struct Database {
    server: Postgres,
    bin: PathBuf,
    billing: PathBuf,
}

impl Database {
    /// Starts a server with these settings beside those that make it durable.
    pub(super) fn start(settings: &[(&str, &str)]) -> Result<Self> {
        released::build(&[BILLING])?;
        let bin = packages::postgres_programs().context("no PostgreSQL server under /usr/lib/postgresql")?;
        let database = Self {
            server: Postgres::start_with(&bin, &[&DURABLE, settings].concat())?,
            billing: released::program(BILLING)?,
            bin,
        };
        output(&mut database.billing(&["migrate"]))?;
        Ok(database)
    }

    /// The administrator's address.
    pub(super) fn address(&self) -> &str {
        self.server.address()
    }

    /// Where the server may write files.
    pub(super) fn folder(&self) -> &Path {
        self.server.folder()
    }

    /// PostgreSQL's load generator.
    pub(super) fn pgbench(&self) -> PathBuf {
        self.bin.join("pgbench")
    }

    /// Billing's program.
    pub(super) fn program(&self) -> &Path {
        &self.billing
    }

    /// Billing's program on this database.
    pub(super) fn billing(&self, words: &[&str]) -> Command {
        let mut billing = Command::new(&self.billing);
        billing.args(words).args(["--database-url", self.address()]);
        billing
    }

    /// What says `text` to the database.
    pub(super) fn saying(&self, text: &str) -> Command {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        psql.args(["-d", self.address(), "-c", text]);
        psql
    }

    /// Says it, and returns the answer.
    pub(super) fn say(&self, text: &str) -> Result<String> {
        output(&mut self.saying(text))
    }

    /// The number that it answers.
    pub(super) fn number(&self, text: &str) -> Result<u64> {
        let answer = self.say(text)?;
        answer
            .trim()
            .parse()
            .with_context(|| format!("{answer:?} is no number"))
    }
}
