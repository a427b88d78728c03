//! `rate`: a plan and usage from files, priced the way the product prices them: a store of its own takes each row as a report,
//! and the bill is read from there. So what it prints is what a client would be billed, and a client can compute its bill
//! again from its own export. The store is gone with the command.

mod files;
mod scratch;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use springtide_proto::ids::{TenantId, TenantUid};

use super::bills::{ReportFormat, print, text_of};
use crate::bill::document::{Document, DocumentLine};
use crate::bill::draft_by;
use crate::bill::plans::{KnownPlan, PlanPart, PlansInPeriod};
use crate::digest::{Digest, canonical_json};
use crate::locale::Locale;
use crate::metering::report::Party;
use crate::metering::retention::KeptDays;
use crate::rating::period::{Period, first_instant_of};
use crate::rating::plan::RatePlan;
use crate::rating::rate::{Exclusion, MinuteCounts};
use crate::store::{AccountDetails, PlanVersion, with_causes};
use scratch::Scratch;

/// Name of everything that is made for one command.
const NAME: &str = "rate";

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
    /// Times that no credit is computed from, as CSV with the header from,to[,reason,approver]
    #[arg(long, value_name = "FILE")]
    exclusions: Option<PathBuf>,
    /// Look at the service up to this instant only (RFC 3339) [default: the period's end]
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,
    /// First local date of the contract, or the instant from which service is owed (RFC 3339): in its first month fees without
    /// usage are for a part, by whole dates [default: before the period]
    #[arg(long, value_name = "YYYY-MM-DD|TIME")]
    contract_from: Option<ContractBound>,
    /// Last local date of the contract, or the instant at which it ended, likewise [default: after the period]
    #[arg(long, value_name = "YYYY-MM-DD|TIME")]
    contract_to: Option<ContractBound>,
    /// Language of the explanations
    #[arg(long, default_value = "en", value_name = "TAG")]
    locale: String,
    /// Form of the output
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

const HELP: &str = "Files:
  usage.csv     time,meter,quantity[,dimension...]   time in RFC 3339; quantity a decimal; equal rows are separate events
  minutes.csv   minute,good,bad[,fast,slow][,unreachable]   a row for each minute that was reported, in RFC 3339; unreachable
                                                     is 1 where customers could not come in
  exclusions.csv  from,to[,reason,approver]          spans in RFC 3339, the second instant no longer in it
A meter that the plan does not name and that is not built in (interactions, unanswered, conversations, handoffs, ratings, modules) is
refused. A file of minutes that has some from before the period, but none of it, says that the service was down for all of it.
A module is taken or dropped by an event of the meter \"modules\" with the dimension \"module\" and quantity 1 or 0.

Examples:
  springtide-billing rate --plan plan.yaml --usage usage.csv --period 2026-11
  springtide-billing export --tenant acme --period 2026-11 --format csv > usage.csv";

impl RateArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let plans = self.plans()?;
        let rows = files::usage(&self.usage)?;
        let (minutes, exclusions) = (self.minutes()?, self.exclusions()?);
        let scratch = Scratch::new().await?;
        let details = self.details()?;
        let party = &details.party;
        let contract = self.contract(&plans)?;
        let account = scratch.take_on(&details, &plans, contract).await?;
        scratch.take_usage(&rows, party, &self.usage).await?;
        scratch.take_minutes(&minutes, party).await?;
        let as_of = self.as_of.unwrap_or(plans.bounds.end);
        scratch.exclude(account.ledger, exclusions, as_of).await?;
        let document = draft_by(&scratch.store, &account, &plans, self.period, as_of).await;
        scratch.store.close().await;
        let document = document.map_err(|error| anyhow::anyhow!(with_causes(&error)))?;
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

    fn details(&self) -> anyhow::Result<AccountDetails> {
        Ok(AccountDetails {
            party: Party {
                tenant_uid: TenantUid::parse(NAME)?,
                tenant: TenantId::parse(NAME)?,
            },
            display_name: String::new(),
            time_zone: "UTC".to_owned(),
            rate_plan: NAME.to_owned(),
            legal_name: String::new(),
            tax_id: String::new(),
            billing_email: String::new(),
            payment_days: 0,
            portal_token: Digest::of(NAME.as_bytes()),
            locale: Locale::nearest(&self.locale),
            usage_kept: KeptDays::default(),
        })
    }

    /// When the contract begins and ends: it covers the whole period, if nothing else is said.
    fn contract(&self, plans: &PlansInPeriod) -> anyhow::Result<(Timestamp, Option<Timestamp>)> {
        let before = plans
            .bounds
            .start
            .saturating_sub(SignedDuration::from_hours(48))?;
        let begins = self
            .contract_from
            .map(|bound| bound.first(&plans.first().plan.zone))
            .transpose()?;
        let ends = self
            .contract_to
            .map(|bound| bound.last(&plans.last().plan.zone))
            .transpose()?;
        Ok((begins.unwrap_or(before), ends))
    }

    /// What gateways report; a file without minutes is as if none ever did.
    fn minutes(&self) -> anyhow::Result<Vec<(Timestamp, MinuteCounts)>> {
        self.minutes
            .as_deref()
            .map_or_else(|| Ok(Vec::new()), files::minutes)
    }

    fn exclusions(&self) -> anyhow::Result<Vec<Exclusion>> {
        self.exclusions
            .as_deref()
            .map_or_else(|| Ok(Vec::new()), files::exclusions)
    }
}

/// Where a contract begins or ends: a local date that it has whole, or an instant.
#[derive(Clone, Copy, Debug)]
enum ContractBound {
    Date(Date),
    Instant(Timestamp),
}

impl FromStr for ContractBound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let date = text.parse().map(Self::Date);
        date.or_else(|_| text.parse().map(Self::Instant)).map_err(|_| {
            format!("{text:?} is neither a date as 2026-11-21 nor an instant as 2026-11-21T08:00:00Z")
        })
    }
}

impl ContractBound {
    fn first(self, zone: &TimeZone) -> anyhow::Result<Timestamp> {
        match self {
            Self::Date(date) => instant_in(date, zone),
            Self::Instant(instant) => Ok(instant),
        }
    }

    fn last(self, zone: &TimeZone) -> anyhow::Result<Timestamp> {
        match self {
            Self::Date(date) => {
                let next = instant_in(date.tomorrow()?, zone)?;
                Ok(next.checked_sub(SignedDuration::from_nanos(1))?)
            }
            Self::Instant(instant) => Ok(instant),
        }
    }
}

fn instant_in(date: Date, zone: &TimeZone) -> anyhow::Result<Timestamp> {
    first_instant_of(date, zone).with_context(|| format!("{date} is too far away"))
}

fn in_file(path: &Path) -> String {
    path.display().to_string()
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
