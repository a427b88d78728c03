//! `rate`: a plan and usage from files, priced the way the product prices them: the usage is taken by ingest into a store
//! made for the purpose, the statement is closed, and the bill is issued and read. So what it prints is what a client
//! would be billed, and a client can compute its bill again from its own export.

mod files;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use springtide_proto::ids::{BootId, PodName, PoolId, TenantId, TenantUid};
use springtide_runtime::identity::TenantRole;

use super::bills::{ReportFormat, print, text_of};
use crate::bill::document::{Document, DocumentLine};
use crate::bill::issue::{Issuer, Order, PROGRAM, issue_all};
use crate::bill::plans::{KnownPlan, PlanPart, PlansInPeriod};
use crate::bill::{BillError, read};
use crate::digest::{Digest, canonical_json};
use crate::locale::Locale;
use crate::metering::examine::{Reporter, examine};
use crate::metering::report::{Party, Verdict};
use crate::rating::period::{Period, first_instant_of};
use crate::rating::plan::RatePlan;
use crate::rating::rate::MinuteCounts;
use crate::service_level::hour::Counts;
use crate::service_level::report::{MinutesReport, ReportedMinute};
use crate::store::{Account, AccountDetails, IssueOutcome, PlanVersion, Store, with_causes};

/// Name of everything in a store that lives for one command.
const NAME: &str = "rate";
/// Largest batch that ingest takes.
const BATCH: usize = 10_000;
const HOUR: i64 = 3_600;

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(super) struct RateArgs {
    /// RatePlan as YAML or JSON: a manifest, its spec alone, or the list that `export` writes of a month with a change of plan
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// Usage as CSV, with the header time,meter,quantity and a column for each dimension
    #[arg(long, value_name = "FILE")]
    usage: PathBuf,
    /// Month in the zone of the plan, as 2026-11; usage outside it is left out
    #[arg(long, value_name = "YYYY-MM")]
    period: Period,
    /// Service minutes as CSV, with the header minute,good,bad and, for response times, fast,slow
    #[arg(long, value_name = "FILE")]
    minutes: Option<PathBuf>,
    /// Look at the service up to this instant only (RFC 3339) [default: the period's end]
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,
    /// First local date of the contract: in its first month fees without usage are for a part [default: before the period]
    #[arg(long, value_name = "YYYY-MM-DD")]
    contract_from: Option<Date>,
    /// Last local date of the contract, likewise [default: after the period]
    #[arg(long, value_name = "YYYY-MM-DD")]
    contract_to: Option<Date>,
    /// Language of the explanations
    #[arg(long, default_value = "en", value_name = "TAG")]
    locale: String,
    /// Form of the output
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

const HELP: &str = "Files:
  usage.csv     time,meter,quantity[,dimension...]   time in RFC 3339; quantity a decimal; equal rows are separate events
  minutes.csv   minute,good,bad[,fast,slow]          a row for each minute that was reported, in RFC 3339
A module is taken or dropped by an event of the meter \"modules\" with the dimension \"module\" and quantity 1 or 0.

Examples:
  springtide-billing rate --plan plan.yaml --usage usage.csv --period 2026-11
  springtide-billing export --tenant acme --period 2026-11 --format csv > usage.csv";

impl RateArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let plans = self.plans()?;
        let bounds = plans.bounds;
        let usage = files::usage(&self.usage)?;
        let folder = tempfile::tempdir().context("a temporary folder cannot be made")?;
        let url = format!("sqlite://{}/rate.db", folder.path().display());
        let store = Store::connect(&url, true)
            .await
            .context("a temporary store cannot be made")?;
        store.migrate().await?;
        let account = self.account(&store, &plans).await?;
        self.ingest(&store, &account, usage).await?;
        if let Some(path) = &self.minutes {
            let report = minutes_report(&account.details.party, files::minutes(path)?)?;
            store.take_minutes(&report).await?;
        }
        let as_of = self.as_of.unwrap_or(bounds.end);
        let document = self.issue(&store, &account, &plans, as_of).await?;
        store.close().await;
        match self.format {
            ReportFormat::Json => print(&format!("{}\n", lines_json(&document))),
            ReportFormat::Text => print(&text_of(&document)),
        }
    }

    /// The plans of the file, each a version of its own.
    fn plans(&self) -> anyhow::Result<PlansInPeriod> {
        let mut parts = Vec::new();
        for (generation, files::FilePlan { spec, bounds }) in (1..).zip(files::plans(&self.plan)?) {
            let plan = RatePlan::from_json(&spec).with_context(|| in_file(&self.plan))?;
            let spec = canonical_json(&spec);
            let version = PlanVersion {
                name: NAME.to_owned(),
                uid: NAME.to_owned(),
                generation,
                digest: Digest::of(spec.as_bytes()),
                spec,
            };
            let bounds = match bounds {
                Some(bounds) => bounds,
                None => self.period.bounds(&plan.zone)?,
            };
            parts.push(PlanPart {
                known: Arc::new(KnownPlan { version, plan }),
                bounds,
            });
        }
        let mut adjoin = parts.iter().zip(parts.iter().skip(1));
        ensure!(
            parts.iter().all(|part| part.bounds.start < part.bounds.end)
                && adjoin.all(|(one, next)| one.bounds.end == next.bounds.start),
            "{}: the times of the plans do not adjoin",
            self.plan.display()
        );
        let plans = PlansInPeriod::of(parts).context("there is no plan")?;
        let middle = self.period.bounds(&plans.last().plan.zone)?.middle();
        ensure!(
            plans.bounds.contain(middle),
            "{}: the plans are of another month than {}",
            self.plan.display(),
            self.period
        );
        Ok(plans)
    }

    async fn issue(
        &self,
        store: &Store,
        account: &Account,
        plans: &PlansInPeriod,
        as_of: Timestamp,
    ) -> anyhow::Result<Document> {
        let order = Order {
            account,
            plans,
            review: None,
        };
        let issuer = Issuer {
            actor: PROGRAM,
            note: "",
            now: as_of,
        };
        let said = |error: &BillError| anyhow::anyhow!(with_causes(error));
        let mut outcomes = issue_all(store, self.period, &[order], issuer)
            .await
            .map_err(|error| said(&error))?;
        match outcomes.pop() {
            Some(IssueOutcome::Issued(invoice)) => read(&invoice).map_err(|error| said(&error)),
            Some(IssueOutcome::Failed(error)) => Err(said(&error)),
            other => bail!("there is no bill: {other:?}"),
        }
    }

    /// An account whose contract covers the whole period, if nothing else is said.
    async fn account(&self, store: &Store, plans: &PlansInPeriod) -> anyhow::Result<Account> {
        let instant_in = |date: Date, zone: &TimeZone| {
            first_instant_of(date, zone).with_context(|| format!("{date} is too far away"))
        };
        let before = plans
            .bounds
            .start
            .saturating_sub(SignedDuration::from_hours(48))?;
        for version in plans.versions() {
            store.put_plan(version, before).await?;
        }
        let details = AccountDetails {
            party: party()?,
            display_name: String::new(),
            time_zone: "UTC".to_owned(),
            rate_plan: NAME.to_owned(),
            legal_name: String::new(),
            tax_id: String::new(),
            billing_email: String::new(),
            payment_days: 0,
            portal_token: Digest::of(NAME.as_bytes()),
            locale: Locale::nearest(&self.locale),
        };
        let first = plans.first().plan.zone.clone();
        let registered = self
            .contract_from
            .map(|date| instant_in(date, &first))
            .transpose()?;
        store.register(&details, registered.unwrap_or(before)).await?;
        if let Some(last) = self.contract_to {
            let closed = instant_in(last, &plans.last().plan.zone)?;
            store.close_account(NAME, closed).await?;
        }
        let account = store.account_of_uid(NAME).await?;
        account.context("the account that was just made is not there")
    }

    async fn ingest(
        &self,
        store: &Store,
        account: &Account,
        usage: Vec<files::UsageRow>,
    ) -> anyhow::Result<()> {
        let party = &account.details.party;
        let peer = Reporter {
            tenant: party.tenant.clone(),
            role: Some(TenantRole::Worker),
        };
        // The clock is the usage's own: a future month can be rated too.
        let latest = usage.iter().map(|row| row.time).max();
        let now = latest.unwrap_or(Timestamp::UNIX_EPOCH);
        for rows in usage.chunks(BATCH) {
            let examined: Vec<_> = rows
                .iter()
                .map(|row| examine(row.record(party), &peer, now))
                .collect();
            let verdicts = store.ingest(&examined, now).await?;
            for (row, verdict) in rows.iter().zip(verdicts) {
                ensure!(
                    verdict == Verdict::Accepted,
                    "{}, line {}: {}",
                    self.usage.display(),
                    row.line,
                    refusal(&verdict)
                );
            }
        }
        Ok(())
    }
}

/// The minutes as one gateway would report them.
fn minutes_report(party: &Party, minutes: Vec<(Timestamp, MinuteCounts)>) -> anyhow::Result<MinutesReport> {
    let minutes = minutes.into_iter().map(|(at, counts)| {
        let second = at.as_second();
        let hour = second.div_euclid(HOUR) * HOUR;
        let MinuteCounts {
            good,
            bad,
            fast,
            slow,
        } = counts;
        Ok(Ok(ReportedMinute {
            pool: PoolId::parse(NAME)?,
            boot_id: BootId::parse(NAME)?,
            hour,
            minute: usize::try_from((second - hour) / 60)?,
            counts: Counts {
                good,
                bad,
                fast,
                slow,
            },
        }))
    });
    Ok(MinutesReport {
        party: party.clone(),
        reporter: PodName::parse(NAME)?,
        is_probe: false,
        minutes: minutes.collect::<anyhow::Result<_>>()?,
    })
}

fn refusal(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Rejected(_, message) => message.clone(),
        other => format!("{other:?}"),
    }
}

fn in_file(path: &Path) -> String {
    path.display().to_string()
}

fn party() -> anyhow::Result<Party> {
    Ok(Party {
        tenant_uid: TenantUid::parse(NAME)?,
        tenant: TenantId::parse(NAME)?,
    })
}

/// The bill in the shape that other programs read.
fn lines_json(document: &Document) -> Value {
    let line = |DocumentLine {
                    line, explanation, ..
                }: &DocumentLine| {
        json!({
            "kind": line.kind(),
            "rule": line.name,
            "quantity": line.quantity,
            "unit_price": line.unit_price,
            "amount": line.amount,
            "explanation": explanation,
            "informational": line.informational,
        })
    };
    json!({
        "currency": document.currency,
        "total": document.total,
        "lines": document.lines.iter().map(line).collect::<Vec<_>>(),
        "notes": document.notes,
    })
}
