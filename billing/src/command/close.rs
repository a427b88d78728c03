//! `close`, `reviews`, `approve` and `correct`: a period's end, and what comes after.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use clap::Args;
use jiff::SignedDuration;
use serde_json::{Value, json};
use springtide_runtime::clock::{Clock as _, SystemClock};

use super::bills::{ReportFormat, plain, print, text_of};
use crate::bill::close::{
    APPROVED, ApproveOrder, CloseOrder, CloseReport, Grace, Refusal, approve, approve_all, close,
};
use crate::bill::document::Document;
use crate::bill::issue::{Issuer, PROGRAM};
use crate::bill::notes::{correct, correct_all};
use crate::bill::review::Finding;
use crate::bill::run::{NewRun, Progress, recorded};
use crate::rating::period::Period;
use crate::store::{Account, RunKind, Store};

/// Refusals that are named on standard error; JSON has all.
const SHOWN: usize = 20;

/// From when on a period may be closed.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct GraceArgs {
    /// How long after the period's end bills may be issued: what was used until the end may still be under way
    #[arg(long, default_value = "1h", value_name = "DURATION")]
    grace: SignedDuration,
    /// Issue now, even before the period's end: usage that comes from now on waits for a correction
    #[arg(long)]
    before_end: bool,
}

impl GraceArgs {
    pub(super) fn grace(self) -> Grace {
        Grace {
            length: self.grace,
            before_end: self.before_end,
        }
    }
}

#[derive(Args, Debug)]
pub(super) struct CloseArgs {
    /// Month, as 2026-11
    #[arg(long, value_name = "YYYY-MM")]
    period: Period,
    /// Issue at once; without it the bills wait for `approve`
    #[arg(long)]
    issue: bool,
    #[command(flatten)]
    grace: GraceArgs,
    /// Who does it
    #[arg(long, default_value = PROGRAM, value_name = "NAME")]
    actor: String,
    /// Form of the output
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

#[derive(Args, Debug)]
pub(super) struct ReviewsArgs {
    /// Month, as 2026-11
    #[arg(long, value_name = "YYYY-MM")]
    period: Period,
}

#[derive(Args, Debug)]
pub(super) struct ApproveArgs {
    /// Month, as 2026-11
    #[arg(long, value_name = "YYYY-MM")]
    period: Period,
    /// Name of the tenant; may be said several times
    #[arg(long = "tenant", value_name = "NAME", required_unless_present = "all")]
    tenants: Vec<String>,
    /// All that is in review
    #[arg(long, conflicts_with = "tenants")]
    all: bool,
    /// Who approves
    #[arg(long, value_name = "NAME")]
    actor: String,
    #[command(flatten)]
    grace: GraceArgs,
}

#[derive(Args, Debug)]
pub(super) struct CorrectArgs {
    /// Month, as 2026-11
    #[arg(long, value_name = "YYYY-MM")]
    period: Period,
    /// Only this tenant; without it, all that have a bill of the period
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Who does it
    #[arg(long, default_value = PROGRAM, value_name = "NAME")]
    actor: String,
    /// Why, for the record
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
    /// Form of the output
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

impl CloseArgs {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let order = CloseOrder {
            period: self.period,
            issue: self.issue,
            grace: self.grace.grace(),
            issuer: Issuer {
                actor: &self.actor,
                note: "",
                now: SystemClock.now(),
            },
        };
        let run = NewRun {
            kind: if self.issue {
                RunKind::Issue
            } else {
                RunKind::Review
            },
            period: self.period,
            actor: &self.actor,
        };
        let progress = Progress::default();
        let report = recorded(
            store,
            &SystemClock,
            run,
            &progress,
            Box::pin(close(store, order, &progress)),
        )
        .await
        .map_err(|error| plain(&error))?;
        match self.format {
            ReportFormat::Json => print(&format!("{:#}\n", json!(report)))?,
            ReportFormat::Text => print(&summary(&report, self.period, self.issue))?,
        }
        if report.refused.is_empty() {
            return Ok(());
        }
        bail!("no bill for {}", shown(&report.refused))
    }
}

/// Refusals, the first of them by name: a database that is away refuses all.
fn shown(refused: &[Refusal]) -> String {
    let named = refused.iter().take(SHOWN);
    let mut named: Vec<_> = named
        .map(|refusal| format!("{}: {}", refusal.tenant, refusal.reason))
        .collect();
    if refused.len() > SHOWN {
        named.push(format!("and {} more", refused.len() - SHOWN));
    }
    named.join("; ")
}

fn summary(report: &CloseReport, period: Period, issue: bool) -> String {
    let mut text = String::new();
    for waiting in &report.in_review {
        let findings: Vec<_> = waiting.findings.iter().map(ToString::to_string).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{} {} {}  {}",
            waiting.tenant,
            waiting.total,
            waiting.currency,
            findings.join(", ")
        );
    }
    let done = if issue {
        format!("{} issued", report.issued)
    } else {
        format!("{} in review", report.in_review.len())
    };
    let _ = writeln!(
        text,
        "{period}: {done}, {} issued before, {} refused",
        report.issued_before,
        report.refused.len()
    );
    text
}

impl ReviewsArgs {
    /// JSON lines: tenant, total, currency, findings, who put it there and when.
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let mut text = String::new();
        for review in store.waiting_reviews(&self.period.to_string()).await? {
            let document: Document =
                serde_json::from_str(&review.document).context("a stored review is not readable")?;
            let findings: Vec<Finding> =
                serde_json::from_str(&review.findings).context("a stored review is not readable")?;
            let line = json!({"tenant": document.tenant, "total": document.total, "currency": document.currency,
                "findings": findings, "digest": review.digest, "actor": review.actor, "at": review.at});
            let _ = writeln!(text, "{line}");
        }
        print(&text)
    }
}

impl ApproveArgs {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let issuer = Issuer {
            actor: &self.actor,
            note: APPROVED,
            now: SystemClock.now(),
        };
        let failed = if self.all {
            self.all(store, issuer).await?
        } else {
            self.named(store, issuer).await?
        };
        if failed.is_empty() {
            return Ok(());
        }
        bail!("not approved: {}", shown(&failed))
    }

    async fn all(&self, store: &Store, issuer: Issuer<'_>) -> anyhow::Result<Vec<Refusal>> {
        let order = ApproveOrder {
            period: self.period,
            plain_only: false,
            grace: self.grace.grace(),
            issuer,
        };
        let run = NewRun {
            kind: RunKind::Approve,
            period: self.period,
            actor: &self.actor,
        };
        let (progress, mut bills) = (Progress::default(), Bills::default());
        let work = Box::pin(approve_all(store, order, &progress, |bill| bills.add(bill)));
        let done = recorded(store, &SystemClock, run, &progress, work).await;
        bills.finish()?;
        Ok(done.map_err(|error| plain(&error))?.refused)
    }

    async fn named(&self, store: &Store, issuer: Issuer<'_>) -> anyhow::Result<Vec<Refusal>> {
        let mut failed = Vec::new();
        for tenant in &self.tenants {
            let account = account_named(store, tenant).await?;
            match approve(store, &account, self.period, self.grace.grace(), issuer, None).await {
                Ok((document, _)) => print(&text_of(&document))?,
                Err(error) => failed.push(Refusal::of(&account, &error)),
            }
        }
        Ok(failed)
    }
}

/// Writes bills to standard output as they are issued.
#[derive(Default)]
struct Bills {
    failed: Option<anyhow::Error>,
}

impl Bills {
    fn add(&mut self, bill: &Document) {
        if self.failed.is_none() {
            self.failed = print(&text_of(bill)).err();
        }
    }

    fn finish(self) -> anyhow::Result<()> {
        self.failed.map_or(Ok(()), Err)
    }
}

async fn account_named(store: &Store, tenant: &str) -> anyhow::Result<Account> {
    let account = store.accounts_named(tenant).await?.into_iter().next();
    account.with_context(|| format!("no tenant {tenant:?} is registered with billing"))
}

impl CorrectArgs {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let issuer = Issuer {
            actor: &self.actor,
            note: &self.reason,
            now: SystemClock.now(),
        };
        let mut notes = Vec::new();
        let failed = match &self.tenant {
            Some(tenant) => {
                let account = account_named(store, tenant).await?;
                match correct(store, &account, self.period, issuer).await {
                    Ok(note) => {
                        notes.extend(note);
                        Vec::new()
                    }
                    Err(error) => vec![Refusal::of(&account, &error)],
                }
            }
            None => self.all(store, issuer, &mut notes).await?,
        };
        match self.format {
            ReportFormat::Json => {
                let list: Vec<_> = notes.iter().map(Document::to_json).collect();
                print(&format!("{:#}\n", Value::from(list)))?;
            }
            ReportFormat::Text if notes.is_empty() => print("nothing to correct\n")?,
            ReportFormat::Text => print(&notes.iter().map(text_of).collect::<Vec<_>>().join("\n"))?,
        }
        if failed.is_empty() {
            return Ok(());
        }
        bail!("not corrected: {}", shown(&failed))
    }

    async fn all(
        &self,
        store: &Store,
        issuer: Issuer<'_>,
        notes: &mut Vec<Document>,
    ) -> anyhow::Result<Vec<Refusal>> {
        let run = NewRun {
            kind: RunKind::Correct,
            period: self.period,
            actor: &self.actor,
        };
        let progress = Progress::default();
        let work = correct_all(store, self.period, issuer, &progress, |note| {
            notes.push(note.clone());
        });
        let work = Box::pin(work);
        let done = recorded(store, &SystemClock, run, &progress, work).await;
        Ok(done.map_err(|error| plain(&error))?.refused)
    }
}
