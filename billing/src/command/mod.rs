//! The command line. Standard output is data alone; logs and errors go to standard error.

mod actor;
mod acts;
mod alerts;
mod backup;
mod bills;
mod close;
mod drop_events;
mod entities;
mod erase;
mod export;
mod modules;
mod point_in_time;
mod rate;
mod replay;
mod select;
mod service;
mod staff;
mod verify;

#[cfg(test)]
pub(crate) use replay::replay;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use springtide_runtime::clock::{Clock as _, SystemClock};
use springtide_runtime::telemetry::{self, TelemetryArgs};

use crate::serve::{ServeArgs, serve};
use crate::store::Store;

/// Metering, bills and the client firms' portal.
///
/// Without a command it serves, as in a pod. The other commands read or write the same database and may run beside a
/// server. Amounts and quantities are exact decimals; a period is a calendar month in the zone of the tenant's plan.
#[derive(Parser, Debug)]
#[command(name = "springtide-billing", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

const EXAMPLES: &str = "Examples:
  springtide-billing invoice --tenant acme --period 2026-11            what the bill would be now
  springtide-billing invoice --tenant acme --period 2026-10 --issue    issue it, for ever
  springtide-billing close --period 2026-10                            all tenants: put their bills into review
  springtide-billing approve --period 2026-10 --all --actor jo         issue what was reviewed
  springtide-billing correct --period 2026-10                          notes on what came after
  springtide-billing verify                                            do the books agree?
  springtide-billing rate --plan plan.yaml --usage usage.csv --period 2026-11
  springtide-billing export --tenant acme --period 2026-10 > billed.jsonl";

/// Where the database is.
#[derive(Args, Debug)]
struct DatabaseArgs {
    /// Database: sqlite:///PATH or postgres://USER:PASSWORD@HOST/NAME
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        default_value = "sqlite:///var/lib/springtide/billing.db",
        value_name = "URL",
        global = true
    )]
    database_url: String,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Take usage, answer REST, show the portal (the default)
    Serve(ServeArgs),
    /// Where a tenant is told that it loses service too fast, and what it was told
    #[command(subcommand)]
    Alerts(alerts::AlertsCommand),
    /// List who did what by commands, the newest first, as JSON lines: of a tenant what its own audit shows, and else what was
    /// done of no tenant
    Audit(actor::AuditArgs),
    /// Write all that the database holds at one instant into a folder; a server writes on meanwhile
    Backup(backup::BackupArgs),
    /// Legal entities: who issues bills, each with numbers and a chain of its own, and to which one an account belongs
    #[command(subcommand)]
    Entities(entities::EntitiesCommand),
    /// Take out what identifies a customer: all that names one of its conversations. Sums and bills stay. First say without
    /// `--confirm` what there is; what parts still hold of it comes later, so run it again a day after
    Erase(erase::EraseArgs),
    /// Leave a span of time out of the service level, as for agreed maintenance; not in a period whose bill was issued
    Exclude(service::ExcludeArgs),
    /// List a tenant's exclusions, also revoked ones, as JSON lines
    Exclusions(service::ExclusionsArgs),
    /// Issue bills that are in review, if they are still what was reviewed
    Approve(close::ApproveArgs),
    /// Put all tenants' bills of a period into review, or issue them; may be stopped and run again
    Close(close::CloseArgs),
    /// Issue credit or debit notes for what came or changed after a period's bills were issued
    Correct(close::CorrectArgs),
    /// Write each billed interaction and unanswered turn of a period as a JSON line, in the order of time
    Export(export::ExportArgs),
    /// Show or issue a tenant's bill of a period; or say what became of an issued one
    Invoice(bills::InvoiceArgs),
    /// Show the bills of all tenants of a period: issued ones, or drafts
    Invoices(bills::InvoicesArgs),
    /// Write what was kept but not counted (rejected records, conflicts, variants) as JSON lines, the newest first
    Kept(export::KeptArgs),
    /// Record when a tenant takes or drops a module of its plan
    #[command(subcommand)]
    Modules(modules::ModulesCommand),
    /// Go back to an instant: see that it is possible, and do it, of SQLite and of PostgreSQL
    #[command(subcommand)]
    PointInTime(point_in_time::PointInTimeCommand),
    /// Price usage from a file by a plan from a file, as a bill would
    Rate(rate::RateArgs),
    /// Write the minutes that a tenant's gateways reported within a period as CSV: minute, good, bad, fast, slow; of a period
    /// without any the last one that was ever reported, so that `rate` knows that there should be some
    Minutes(service::MinutesArgs),
    /// Let an excluded span count again; not in a period whose bill was issued
    RevokeExclusion(service::RevokeExclusionArgs),
    /// Offer rejected records again, with the same checks: what only came too early is taken now, as a reversal whose event
    /// had not arrived. A JSON line for each
    Replay(replay::ReplayArgs),
    /// Drop events of months that need not be kept any longer. Their keys and sums stay: none is counted again
    DropEvents(drop_events::DropEventsArgs),
    /// Read a backup into a new database, of either kind; its tables are made
    Restore(backup::RestoreArgs),
    /// List the bills of a period that wait for approval, with what is striking about them, as JSON lines
    Reviews(close::ReviewsArgs),
    /// Who of the provider's own people may sign in at the back office (`serve --office-listen`)
    #[command(subcommand)]
    Staff(staff::StaffCommand),
    /// Check that events, buckets, lines, bills and journal agree, that each bill comes out again when it is priced again, and
    /// that no bill was changed
    Verify(verify::VerifyArgs),
    /// Bring the database's tables up to date, making a SQLite file if there is none
    Migrate,
}

impl Cli {
    /// Does what was asked.
    pub async fn run(self) -> anyhow::Result<()> {
        let Self {
            command,
            database: DatabaseArgs { database_url },
            telemetry,
        } = self;
        let _telemetry = telemetry::init("springtide-billing", &telemetry).context("logging cannot start")?;
        match command.map_or_else(serve_by_default, Ok)? {
            Command::Serve(args) => serve(args, &database_url).await,
            Command::Alerts(command) => command.run(&open(&database_url).await?).await,
            Command::Audit(args) => args.run(&open(&database_url).await?).await,
            Command::Modules(command) => command.run(&open(&database_url).await?).await,
            Command::Backup(args) => args.run(&open(&database_url).await?).await,
            Command::Restore(args) => args.run(&migrated(&database_url).await?).await,
            Command::Entities(command) => command.run(&open(&database_url).await?).await,
            Command::Erase(args) => args.run(&open(&database_url).await?).await,
            Command::Exclude(args) => args.run(&open(&database_url).await?).await,
            Command::Exclusions(args) => args.run(&open(&database_url).await?).await,
            Command::Minutes(args) => args.run(&open(&database_url).await?).await,
            Command::RevokeExclusion(args) => args.run(&open(&database_url).await?).await,
            Command::Approve(args) => args.run(&open(&database_url).await?).await,
            Command::Close(args) => args.run(&open(&database_url).await?).await,
            Command::Correct(args) => args.run(&open(&database_url).await?).await,
            Command::Reviews(args) => args.run(&open(&database_url).await?).await,
            Command::Staff(command) => command.run(&open(&database_url).await?).await,
            Command::Verify(args) => args.run(&open(&database_url).await?).await,
            Command::Export(args) => args.run(&open(&database_url).await?).await,
            Command::Invoice(args) => args.run(&open(&database_url).await?).await,
            Command::Invoices(args) => args.run(&open(&database_url).await?).await,
            Command::PointInTime(command) => command.run(&database_url).await,
            Command::Rate(args) => args.run().await,
            Command::Kept(args) => args.run(&open(&database_url).await?).await,
            Command::Replay(args) => args.run(&open(&database_url).await?).await,
            Command::DropEvents(args) => args.run(&open(&database_url).await?).await,
            Command::Migrate => {
                let store = migrated(&database_url).await?;
                store.make_months(SystemClock.now()).await?;
                store.close().await;
                Ok(())
            }
        }
    }
}

/// `serve` with what the environment and the defaults say.
fn serve_by_default() -> anyhow::Result<Command> {
    #[derive(Parser)]
    struct Defaults {
        #[command(flatten)]
        serve: ServeArgs,
    }
    let Defaults { serve } =
        Defaults::try_parse_from(["springtide-billing"]).context("the environment is not understood")?;
    Ok(Command::Serve(serve))
}

/// With its tables up to date, and made if there is none.
async fn migrated(database_url: &str) -> anyhow::Result<Store> {
    let store = Store::connect(database_url, true)
        .await
        .context("the database cannot be opened")?;
    store.migrate().await?;
    Ok(store)
}

async fn open(database_url: &str) -> anyhow::Result<Store> {
    let store = Store::connect(database_url, false)
        .await
        .context("the database cannot be opened")?;
    store.check_migrated().await?;
    Ok(store)
}
