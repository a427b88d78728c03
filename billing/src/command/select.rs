//! Which tenant a command means.

use anyhow::{Context as _, bail};
use clap::Args;
use jiff::tz::TimeZone;

use crate::bill::schedule::{Schedule, schedule_of};
use crate::metering::decide::LedgerId;
use crate::rating::period::{Bounds, Period, PeriodError};
use crate::store::{Account, Store};

/// A tenant, by name or by UID.
#[derive(Args, Debug)]
pub(super) struct TenantArgs {
    /// Name of the tenant; of several accounts of that name the open one, else the newest
    #[arg(long, value_name = "NAME", required_unless_present = "tenant_uid")]
    tenant: Option<String>,
    /// UID of the Tenant object, where the name is not enough
    #[arg(long, value_name = "UID", conflicts_with = "tenant")]
    tenant_uid: Option<String>,
}

/// Usage that gathers under a tenant's name, with or without an account.
pub(super) struct Gathered {
    pub(super) ledger: LedgerId,
    pub(super) tenant: String,
    /// `None` without an account: in months of UTC.
    schedule: Option<Schedule>,
}

impl Gathered {
    /// A month's instants.
    pub(super) fn bounds(&self, period: Period) -> Result<Bounds, PeriodError> {
        match &self.schedule {
            Some(schedule) => schedule.bounds(period),
            None => period.bounds(&TimeZone::UTC),
        }
    }
}

impl TenantArgs {
    /// The account that is meant.
    pub(super) async fn account(&self, store: &Store) -> anyhow::Result<Account> {
        match self.find_account(store).await? {
            Some(account) => Ok(account),
            None => bail!("no tenant {} is registered with billing", self.text()),
        }
    }

    /// Where its usage gathers; also before it is registered, then in months of UTC.
    pub(super) async fn gathered(&self, store: &Store) -> anyhow::Result<Gathered> {
        if let Some(account) = self.find_account(store).await? {
            let schedule = schedule_of(store, &account)
                .await
                .context("the tenant's plans cannot be read")?;
            return Ok(Gathered {
                ledger: account.ledger,
                tenant: account.details.party.tenant.to_string(),
                schedule: Some(schedule),
            });
        }
        let Some(tenant) = &self.tenant else {
            bail!("no tenant {} is registered with billing", self.text())
        };
        match store.ledgers_named(tenant).await?.as_slice() {
            [] => bail!(
                "no tenant {} is registered with billing, and nobody reported usage of it",
                self.text()
            ),
            [(ledger, _)] => Ok(Gathered {
                ledger: *ledger,
                tenant: tenant.clone(),
                schedule: None,
            }),
            several => {
                let uids: Vec<_> = several.iter().map(|(_, uid)| uid.as_str()).collect();
                bail!(
                    "no tenant {tenant:?} is registered, and usage of it came under several UIDs: {}",
                    uids.join(", ")
                )
            }
        }
    }

    /// The same, if there is one.
    pub(super) async fn find_account(&self, store: &Store) -> anyhow::Result<Option<Account>> {
        Ok(match (&self.tenant, &self.tenant_uid) {
            (Some(name), _) => store.accounts_named(name).await?.into_iter().next(),
            (None, Some(uid)) => store.account_of_uid(uid).await?,
            (None, None) => None,
        })
    }

    /// Name or UID, as it was said.
    pub(super) fn text(&self) -> String {
        format!(
            "{:?}",
            self.tenant
                .as_deref()
                .or(self.tenant_uid.as_deref())
                .unwrap_or_default()
        )
    }
}
