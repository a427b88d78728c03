//! `minutes`, `exclude`, `exclusions` and `revoke-exclusion`: what service levels are computed from.

use anyhow::{bail, ensure};
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use springtide_runtime::clock::{Clock as _, SystemClock};

use super::export::Lines;
use super::select::TenantArgs;
use crate::export::minutes::minutes_csv;
use crate::export::minutes_of;
use crate::rating::period::{Bounds, Period};
use crate::store::{ExclusionOutcome, Landed, NewExclusion, RecordedExclusion, Store};

/// Longest reason or approver, in characters.
const MAX_TEXT: usize = 200;

#[derive(Args, Debug)]
pub(super) struct MinutesArgs {
    #[command(flatten)]
    tenant: TenantArgs,
    /// Month, as 2026-11
    #[arg(long, value_name = "YYYY-MM")]
    period: Period,
}

#[derive(Args, Debug)]
pub(super) struct ExcludeArgs {
    #[command(flatten)]
    tenant: TenantArgs,
    /// First instant that is left out, as 2026-11-03T02:00:00+08:00
    #[arg(long, value_name = "TIME")]
    from: Timestamp,
    /// First instant that counts again
    #[arg(long, value_name = "TIME")]
    to: Timestamp,
    /// Why, as the client firm reads it
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who agreed
    #[arg(long, value_name = "NAME")]
    approver: String,
}

#[derive(Args, Debug)]
pub(super) struct ExclusionsArgs {
    #[command(flatten)]
    tenant: TenantArgs,
}

#[derive(Args, Debug)]
pub(super) struct RevokeExclusionArgs {
    #[command(flatten)]
    tenant: TenantArgs,
    /// Which one, as `exclusions` lists it
    #[arg(long, value_name = "ID")]
    id: i64,
    /// Who agreed
    #[arg(long, value_name = "NAME")]
    approver: String,
}

/// An exclusion as it is listed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedExclusion {
    id: i64,
    from: Timestamp,
    to: Timestamp,
    reason: String,
    approver: String,
    recorded_at: Timestamp,
    revoked_at: Option<Timestamp>,
    revoked_by: Option<String>,
}

impl MinutesArgs {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let gathered = self.tenant.gathered(store).await?;
        let bounds = gathered.bounds(self.period)?;
        let minutes = minutes_of(store, gathered.ledger, &bounds, Landed::EVER).await?;
        let mut out = Lines::new();
        for line in String::from_utf8_lossy(&minutes_csv(&minutes)).lines() {
            if !out.write_text(line.to_owned())? {
                return Ok(());
            }
        }
        out.finish()
    }
}

impl ExcludeArgs {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let Self {
            tenant,
            from,
            to,
            reason,
            approver,
        } = self;
        ensure!(from < to, "--from must lie before --to");
        for (name, text) in [("--reason", &reason), ("--approver", &approver)] {
            check_text(name, text)?;
        }
        let ledger = tenant.gathered(store).await?.ledger;
        let exclusion = NewExclusion {
            from,
            to,
            reason,
            approver,
        };
        let outcome = store.exclude(ledger, &exclusion, SystemClock.now()).await?;
        println!("{}", id_of(outcome)?);
        Ok(())
    }
}

impl ExclusionsArgs {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let ledger = self.tenant.gathered(store).await?.ledger;
        let mut out = Lines::new();
        for recorded in store.recorded_exclusions(ledger, &ALL_TIME).await? {
            if !out.write(&ListedExclusion::from(recorded))? {
                return Ok(());
            }
        }
        out.finish()
    }
}

impl RevokeExclusionArgs {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        check_text("--approver", &self.approver)?;
        let ledger = self.tenant.gathered(store).await?.ledger;
        let now = SystemClock.now();
        id_of(
            store
                .revoke_exclusion(ledger, self.id, &self.approver, now)
                .await?,
        )?;
        Ok(())
    }
}

/// All instants that the database holds.
const ALL_TIME: Bounds = Bounds {
    start: Timestamp::UNIX_EPOCH,
    end: Timestamp::constant(9_000_000_000, 0),
};

fn id_of(outcome: ExclusionOutcome) -> anyhow::Result<i64> {
    match outcome {
        ExclusionOutcome::Done(id) => Ok(id),
        ExclusionOutcome::Issued(number) => {
            bail!("the bill {number} of that time was issued, and never changes")
        }
        ExclusionOutcome::NotFound => bail!("the tenant has no exclusion of that id that stands"),
    }
}

fn check_text(name: &str, text: &str) -> anyhow::Result<()> {
    let fits = (1..=MAX_TEXT).contains(&text.trim().chars().count()) && !text.chars().any(char::is_control);
    ensure!(fits, "{name} must have 1 to {MAX_TEXT} printable characters");
    Ok(())
}

impl From<RecordedExclusion> for ListedExclusion {
    fn from(recorded: RecordedExclusion) -> Self {
        let RecordedExclusion {
            id,
            exclusion:
                NewExclusion {
                    from,
                    to,
                    reason,
                    approver,
                },
            recorded_at,
            revoked,
        } = recorded;
        let (revoked_at, revoked_by) = revoked.unzip();
        Self {
            id,
            from,
            to,
            reason,
            approver,
            recorded_at,
            revoked_at,
            revoked_by,
        }
    }
}
