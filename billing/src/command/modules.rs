//! `modules`: when a client firm took or dropped a module, which the provider alone says.

use anyhow::{bail, ensure};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use prost::Message as _;
use serde_json::json;
use springtide_proto::metering::{Delivery, Dimension, Record, UsageEvent, Witness};
use springtide_proto::time::timestamp_to_wire;
use springtide_runtime::clock::{Clock as _, SystemClock};

use super::actor::ActorArgs;
use super::export::Lines;
use super::select::TenantArgs;
use crate::metering::examine::{PROVIDER_SOURCE, examine_of_provider};
use crate::metering::meters::MODULES;
use crate::metering::report::{Party, Verdict, answer_of};
use crate::rating::plan::RatePlan;
use crate::store::{Account, Store};

#[derive(Subcommand, Debug)]
pub(super) enum ModulesCommand {
    /// A module is taken from an instant on
    Take(ChangeArgs),
    /// A module is dropped from an instant on
    Drop(ChangeArgs),
    /// List when modules were taken and dropped, as JSON lines
    List(ListArgs),
}

#[derive(Args, Debug)]
pub(super) struct ChangeArgs {
    #[command(flatten)]
    tenant: TenantArgs,
    /// Which module, as a plan of the tenant names it
    #[arg(long, value_name = "NAME")]
    module: String,
    /// From when on, as 2026-11-16T00:00:00+08:00; at most an hour ahead. In a month whose bill was issued it waits for
    /// `correct`, as late usage does
    #[arg(long, value_name = "TIME")]
    at: Timestamp,
    #[command(flatten)]
    actor: ActorArgs,
}

#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    tenant: TenantArgs,
}

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Taken,
    Dropped,
}

impl ModulesCommand {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        match self {
            Self::Take(args) => args.run(store, Change::Taken).await,
            Self::Drop(args) => args.run(store, Change::Dropped).await,
            Self::List(ListArgs { tenant }) => list(&tenant.account(store).await?, store).await,
        }
    }
}

impl ChangeArgs {
    async fn run(self, store: &Store, change: Change) -> anyhow::Result<()> {
        let Self {
            tenant,
            module,
            at,
            actor,
        } = self;
        let account = tenant.account(store).await?;
        let party = &account.details.party;
        ensure_named(store, party, &module).await?;
        let record = record(party, &module, at, change);
        let now = SystemClock.now();
        let report = match examine_of_provider(record, &party.tenant, now) {
            Ok(report) => report,
            Err(rejection) => bail!("it is not taken: {}", rejection.message),
        };
        let verdict = store.ingest(&[Ok(report)], now).await?.pop();
        let verdict = verdict.unwrap_or(Verdict::Conflict);
        if let Some((_, message)) = answer_of(&verdict) {
            bail!("it is not taken: {message}");
        }
        let object = format!("{module} from {at}");
        actor.note(store, &account, change.action(), &object).await?;
        let mut out = Lines::new();
        out.write(&json!({
            "tenant": party.tenant.as_str(), "module": module, "at": at, "taken": change == Change::Taken,
            "status": verdict.name(), "correct": billed_after(store, &account, at).await?,
        }))?;
        out.finish()
    }
}

impl Change {
    fn quantity(self) -> &'static str {
        match self {
            Self::Taken => "1",
            Self::Dropped => "0",
        }
    }

    /// As audits name it.
    fn action(self) -> &'static str {
        match self {
            Self::Taken => "take module",
            Self::Dropped => "drop module",
        }
    }
}

/// The same said again is the same event.
fn record(party: &Party, module: &str, at: Timestamp, change: Change) -> Record {
    let event = UsageEvent {
        tenant_uid: party.tenant_uid.to_string(),
        tenant: party.tenant.to_string(),
        source: PROVIDER_SOURCE.to_owned(),
        id: format!("{module}/{}/{at}", change.quantity()),
        meter: MODULES.to_owned(),
        quantity: change.quantity().to_owned(),
        event_time: Some(timestamp_to_wire(at)),
        dimensions: vec![Dimension {
            key: "module".to_owned(),
            value: module.to_owned(),
        }],
        reversal_of: String::new(),
    };
    Record {
        usage_event: event.encode_to_vec().into(),
        witness: Witness::Unspecified.into(),
        delivery: Delivery::Unspecified.into(),
        reporter: PROVIDER_SOURCE.to_owned(),
        boot_id: PROVIDER_SOURCE.to_owned(),
    }
}

/// A module that no plan names costs nothing, whatever is said of it: most likely it is misspelt.
async fn ensure_named(store: &Store, party: &Party, module: &str) -> anyhow::Result<()> {
    let versions = store.plans_of_party(party).await?;
    let plans = versions
        .iter()
        .filter_map(|version| RatePlan::parse(&version.spec).ok());
    let mut named: Vec<_> = plans
        .flat_map(|plan| plan.modules)
        .map(|module| module.name)
        .collect();
    named.sort_unstable();
    named.dedup();
    ensure!(
        named.iter().any(|name| name == module),
        "no plan of {} names a module {module:?}; they name: {}",
        party.tenant,
        named.join(", ")
    );
    Ok(())
}

/// The months with a bill that end after an instant: what changes in them waits for `correct`.
async fn billed_after(store: &Store, account: &Account, at: Timestamp) -> anyhow::Result<Vec<String>> {
    let billed = store.billed_bounds(account.ledger).await?;
    let mut after: Vec<_> = billed
        .into_iter()
        .filter(|(_, bounds)| bounds.end > at)
        .map(|(period, _)| period)
        .collect();
    after.sort_unstable();
    Ok(after)
}

async fn list(account: &Account, store: &Store) -> anyhow::Result<()> {
    let mut out = Lines::new();
    for change in store.module_changes(account.ledger, Timestamp::MAX, None).await? {
        let line = json!({"module": change.module, "at": change.at, "taken": change.active});
        if !out.write(&line)? {
            return Ok(());
        }
    }
    out.finish()
}
