//! `export`: JSON lines, streamed; usage as CSV; a bill as FOCUS; a plan. `kept`: JSON lines.

use std::io::{BufWriter, Write};

use clap::{Args, ValueEnum};
use futures::TryStreamExt as _;
use jiff::Timestamp;
use serde::Serialize;
use springtide_runtime::clock::{Clock as _, SystemClock};

use super::actor::ActorArgs;
use super::bills::{plain, write};
use super::select::TenantArgs;
use crate::bill::bill;
use crate::export::exclusions::exclusions_csv;
use crate::export::focus::focus_csv;
use crate::export::minutes::minutes_csv;
use crate::export::usage::usage_csv;
use crate::export::{billed_minutes, billed_usage, exclusions_of, plan_manifests, plans_of_period};
use crate::rating::period::Period;
use crate::store::{KeptQuery, Store};

/// Form of an export.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ExportFormat {
    /// Each billed interaction, one JSON object a line
    Jsonl,
    /// Usage in quarters of an hour, in the form that `rate` reads
    Csv,
    /// Minutes of service, in the form that `rate` reads
    Minutes,
    /// Times that no credit is computed from, in the form that `rate` reads
    Exclusions,
    /// The bill, or its draft, as FOCUS 1.2
    Focus,
    /// The plan by which the period is billed, as a manifest that `rate` reads; where it was changed, a list of all of them
    Plan,
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
    format: ExportFormat,
    #[command(flatten)]
    actor: ActorArgs,
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
    #[command(flatten)]
    actor: ActorArgs,
}

impl ExportFormat {
    /// As audits name it, the same as in the portal.
    fn action(self) -> &'static str {
        match self {
            Self::Jsonl => "export interactions",
            Self::Csv => "export usage",
            Self::Minutes => "export minutes",
            Self::Exclusions => "export exclusions",
            Self::Focus => "export costs",
            Self::Plan => "export plan",
        }
    }
}

impl ExportArgs {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let Self {
            tenant,
            period,
            format,
            actor,
        } = self;
        if let Some(account) = tenant.find_account(store).await? {
            actor
                .note(store, &account, format.action(), &period.to_string())
                .await?;
        } else {
            let object = format!("{}: {period}", tenant.text());
            actor.note_for_all(store, format.action(), &object).await?;
        }
        match format {
            ExportFormat::Jsonl => return interactions(&tenant, period, store).await,
            ExportFormat::Minutes => {
                let account = tenant.account(store).await?;
                let minutes = billed_minutes(store, &account, period)
                    .await
                    .map_err(|error| plain(&error))?;
                write(&minutes_csv(&minutes))
            }
            ExportFormat::Exclusions => {
                let account = tenant.account(store).await?;
                let exclusions = exclusions_of(store, &account, period)
                    .await
                    .map_err(|error| plain(&error))?;
                write(&exclusions_csv(&exclusions))
            }
            ExportFormat::Csv => {
                let account = tenant.account(store).await?;
                let usage = billed_usage(store, &account, period)
                    .await
                    .map_err(|error| plain(&error))?;
                write(&usage_csv(&usage)?)
            }
            ExportFormat::Focus => {
                let account = tenant.account(store).await?;
                let document = bill(store, &account, period, SystemClock.now())
                    .await
                    .map_err(|error| plain(&error))?;
                write(&focus_csv(&[document]))
            }
            ExportFormat::Plan => {
                let account = tenant.account(store).await?;
                let plans = plans_of_period(store, &account, period)
                    .await
                    .map_err(|error| plain(&error))?;
                write(format!("{:#}\n", plan_manifests(&plans, period)?).as_bytes())
            }
        }
    }
}

async fn interactions(tenant: &TenantArgs, period: Period, store: &Store) -> anyhow::Result<()> {
    let gathered = tenant.gathered(store).await?;
    let bounds = gathered.bounds(period)?;
    let kept_since = store.events_kept_since(gathered.ledger).await?;
    if bounds.start < kept_since {
        eprintln!(
            "interactions that were recorded before {kept_since} are no longer kept; bills and sums are"
        );
    }
    let mut lines = store.export(gathered.ledger, &gathered.tenant, &bounds);
    let mut out = Lines::new();
    while let Some(event) = lines.try_next().await? {
        if !out.write(&event)? {
            return Ok(());
        }
    }
    out.finish()
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
            actor,
        } = self;
        let object = reason.as_deref().unwrap_or("all reasons");
        actor
            .note_of_name(store, tenant.as_deref(), ("read kept records", object))
            .await?;
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
