//! `rate`: a plan and usage from files, priced the way the product prices them: each row is examined and decided as a report
//! is, and what it comes to is rated and explained as a bill is. So what it prints is what a client would be billed, and a
//! client can compute its bill again from its own export. Nothing is stored.

mod files;
mod taken;

use std::path::{Path, PathBuf};
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
use crate::bill::draft_of;
use crate::bill::plans::{KnownPlan, PlanPart, PlansInPeriod};
use crate::digest::{Digest, canonical_json};
use crate::locale::Locale;
use crate::metering::report::Party;
use crate::metering::retention::KeptDays;
use crate::rating::period::{Bounds, Period, first_instant_of};
use crate::rating::plan::RatePlan;
use crate::rating::rate::Service;
use crate::store::{Account, AccountDetails, Facts, LegalEntity, PlanVersion, with_causes};

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
  exclusions.csv  from,to[,reason,approver]          spans in RFC 3339, the second instant no longer in it
A meter that the plan does not name and that is not built in (interactions, unanswered, conversations, handoffs, ratings, modules) is
refused. A file of minutes that has some, but none of the period, says that the service was down for all of it.
A module is taken or dropped by an event of the meter \"modules\" with the dimension \"module\" and quantity 1 or 0.

Examples:
  springtide-billing rate --plan plan.yaml --usage usage.csv --period 2026-11
  springtide-billing export --tenant acme --period 2026-11 --format csv > usage.csv";

impl RateArgs {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let plans = self.plans()?;
        let bounds = plans.bounds;
        let account = self.account(&plans)?;
        let rows = files::usage(&self.usage)?;
        let charges = plans.parts().flat_map(|part| &part.known.plan.charges);
        let named = charges.map(|charge| charge.meter.clone()).collect();
        let taken = taken::taken(&rows, &named, (&account.details.party, bounds), &self.usage)?;
        let facts = Facts {
            service: self.service(bounds)?,
            module_changes: taken.module_changes,
        };
        let as_of = self.as_of.unwrap_or(bounds.end);
        let document = draft_of(&account, &plans, self.period, (&taken.usage, &facts), as_of)
            .map_err(|error| anyhow::anyhow!(with_causes(&error)))?;
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

    /// An account whose contract covers the whole period, if nothing else is said.
    fn account(&self, plans: &PlansInPeriod) -> anyhow::Result<Account> {
        let instant_in = |date: Date, zone: &TimeZone| {
            first_instant_of(date, zone).with_context(|| format!("{date} is too far away"))
        };
        let before = plans
            .bounds
            .start
            .saturating_sub(SignedDuration::from_hours(48))?;
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
            usage_kept: KeptDays::default(),
        };
        let registered = self
            .contract_from
            .map(|date| instant_in(date, &plans.first().plan.zone))
            .transpose()?;
        let closed = self
            .contract_to
            .map(|date| instant_in(date, &plans.last().plan.zone))
            .transpose()?;
        Ok(Account {
            ledger: 1,
            details,
            registered_at: registered.unwrap_or(before),
            closed_at: closed,
            entity: LegalEntity::default(),
        })
    }

    /// As of what gateways report; a file without minutes is as if none ever did.
    fn service(&self, bounds: Bounds) -> anyhow::Result<Option<Service>> {
        let Some(path) = &self.minutes else {
            return Ok(None);
        };
        let mut minutes = files::minutes(path)?;
        if minutes.is_empty() {
            return Ok(None);
        }
        minutes.retain(|(minute, _)| bounds.contain(*minute));
        let exclusions = match &self.exclusions {
            Some(path) => files::exclusions(path)?,
            None => Vec::new(),
        };
        Ok(Some(Service { minutes, exclusions }))
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
