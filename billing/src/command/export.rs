//! `export` and `kept`: JSON lines, streamed.

use std::io::{BufWriter, Write};

use clap::{Args, ValueEnum};
use futures::TryStreamExt as _;
use jiff::Timestamp;
use serde::Serialize;

use super::select::TenantArgs;
use crate::rating::period::Period;
use crate::store::{KeptQuery, Store};

/// Form of an export.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LineFormat {
    /// One JSON object a line.
    Jsonl,
}

#[derive(Args, Debug)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    tenant: TenantArgs,
    /// Month, as 2026-11
    #[arg(long, value_name = "YYYY-MM")]
    period: Period,
    /// Form of the output
    #[arg(long, default_value = "jsonl")]
    format: LineFormat,
}

#[derive(Args, Debug)]
pub(super) struct KeptArgs {
    /// Name of the tenant whose parts sent it; all tenants if left out
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Why it was not counted, as EVENT_REJECTED or EVENT_CONFLICT
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// What first came at this time or later
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// What first came before this time
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// What has this in its message, identity or reporter
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// What follows the line with this cursor
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// At most so many lines
    #[arg(long, value_name = "COUNT")]
    limit: Option<u32>,
}

impl ExportArgs {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let Self {
            tenant,
            period,
            format: LineFormat::Jsonl,
        } = self;
        let gathered = tenant.gathered(store).await?;
        let bounds = period.bounds(&gathered.zone)?;
        let mut lines = store.export(gathered.ledger, &gathered.tenant, &bounds);
        let mut out = Lines::new();
        while let Some(event) = lines.try_next().await? {
            if !out.write(&event)? {
                return Ok(());
            }
        }
        out.finish()
    }
}

impl KeptArgs {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let mut out = Lines::new();
        let Self {
            tenant,
            reason,
            since,
            until,
            text,
            after,
            limit,
        } = self;
        let query = KeptQuery {
            tenant,
            reason,
            since,
            until,
            text,
            after,
            limit,
        };
        for kept in store.kept(&query).await? {
            if !out.write(&kept)? {
                return Ok(());
            }
        }
        out.finish()
    }
}

/// Lines on standard output. A reader that has seen enough is no error.
pub(super) struct Lines(BufWriter<std::io::Stdout>);

impl Lines {
    pub(super) fn new() -> Self {
        Self(BufWriter::new(std::io::stdout()))
    }

    /// A JSON line. `false` if nobody reads any more.
    pub(super) fn write(&mut self, line: &impl Serialize) -> anyhow::Result<bool> {
        self.write_text(serde_json::to_string(line)?)
    }

    /// A line. `false` if nobody reads any more.
    pub(super) fn write_text(&mut self, mut text: String) -> anyhow::Result<bool> {
        text.push('\n');
        match self.0.write_all(text.as_bytes()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }
}
