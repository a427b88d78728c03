//! `drop-events`: ends what retention no longer keeps.

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use springtide_runtime::clock::{Clock as _, SystemClock};

use super::actor::ActorArgs;
use super::export::Lines;
use crate::drop_old_events::drop_due;
use crate::metering::retention::{DropPlan, KeptDays, month_of};
use crate::metrics::Metrics;
use crate::store::{DropOutcome, DroppedByRule, Store};

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct DropEventsArgs {
    /// Drop what was recorded in months (of UTC) before the one of this day, of all tenants
    #[arg(long, value_name = "YYYY-MM-DD", required_unless_present = "by_contract")]
    before: Option<Date>,
    /// Events younger than so many days are kept whatever --before says
    #[arg(long, value_name = "DAYS", default_value_t = 730)]
    keep_days: u32,
    /// Drop now what each tenant's contract (`spec.retention.usage`) keeps no longer, as a server does once a day
    #[arg(long, conflicts_with_all = ["before", "keep_days"])]
    by_contract: bool,
    /// Say what would be dropped, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    actor: ActorArgs,
}

const EXAMPLES: &str = "Examples:
  springtide-billing drop-events --by-contract --dry-run             what would go, a line for each tenant
  springtide-billing drop-events --by-contract                       what a server does once a day
  springtide-billing drop-events --before 2024-11-01 --dry-run";

impl DropEventsArgs {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let Self {
            before,
            keep_days,
            by_contract: _,
            dry_run,
            actor,
        } = self;
        let now = SystemClock.now();
        match (before, dry_run) {
            (None, true) => foretell(store, now).await,
            (None, false) => by_contract(store, &actor).await,
            (Some(before), _) => {
                let before = allowed(before, keep_days, now)?;
                if dry_run {
                    return foretell_of_all(store, before).await;
                }
                of_all(store, before, &actor).await
            }
        }
    }
}

/// An instant before which nothing is younger than what is to be kept.
fn allowed(before: Date, keep_days: u32, now: Timestamp) -> anyhow::Result<Timestamp> {
    let least = KeptDays::LEAST;
    ensure!(keep_days >= least, "--keep-days must be at least {least}");
    let before = before.to_zoned(TimeZone::UTC)?.timestamp();
    let kept = now
        .checked_sub(SignedDuration::from_hours(i64::from(keep_days) * 24))
        .context("--keep-days is too long")?;
    ensure!(
        before <= kept,
        "events of the last {keep_days} days are kept: --before must be {} or earlier",
        kept.to_zoned(TimeZone::UTC).date()
    );
    Ok(before)
}

async fn of_all(store: &Store, before: Timestamp, actor: &ActorArgs) -> anyhow::Result<()> {
    let dropped = match store.drop_events(before).await? {
        DropOutcome::Dropped(dropped) => dropped,
        DropOutcome::Disputed { number, since } => return disputed(&number, since),
    };
    actor
        .note_for_all(store, "drop events", &format!("recorded before {before}"))
        .await?;
    let mut out = Lines::new();
    out.write(&json!({"dropped": dropped, "before": before.to_string()}))?;
    out.finish()
}

fn disputed(number: &str, since: Timestamp) -> anyhow::Result<()> {
    bail!(
        "{number} is disputed, and what it was made of is kept until the dispute is over: --before must be {} or earlier",
        since.to_zoned(TimeZone::UTC).date().last_of_month()
    )
}

async fn foretell_of_all(store: &Store, before: Timestamp) -> anyhow::Result<()> {
    let limit = month_of(before).to_zoned(TimeZone::UTC)?.timestamp();
    if let Some(DropOutcome::Disputed { number, since }) = store.disputed_before(limit).await? {
        return disputed(&number, since);
    }
    let events = store.events_recorded_before(limit, None).await?;
    let mut out = Lines::new();
    out.write(&json!({"wouldDrop": {"events": events}, "before": limit.to_string()}))?;
    out.finish()
}

async fn by_contract(store: &Store, actor: &ActorArgs) -> anyhow::Result<()> {
    let DroppedByRule {
        ledgers,
        months,
        events,
    } = drop_due(store, &SystemClock, &Metrics::default(), &actor.name()).await?;
    let mut out = Lines::new();
    out.write(&json!({"dropped": {"tenants": ledgers.len(), "months": months, "events": events}}))?;
    out.finish()
}

/// A line for each tenant of which something is due.
async fn foretell(store: &Store, now: Timestamp) -> anyhow::Result<()> {
    let rules = store.retention_rules().await?;
    let names = store.names_of_ledgers().await?;
    let plan = DropPlan::new(&rules, now);
    let mut out = Lines::new();
    for (ledger, rule) in &rules {
        let Some(month) = plan.due.get(ledger) else {
            continue;
        };
        let before = month.to_zoned(TimeZone::UTC)?.timestamp();
        let events = store.events_recorded_before(before, Some(*ledger)).await?;
        let line = json!({
            "tenant": names.get(ledger), "keptDays": rule.kept.get(), "before": before.to_string(),
            "wouldDrop": {"events": events},
        });
        if !out.write(&line)? {
            return Ok(());
        }
    }
    out.finish()
}
