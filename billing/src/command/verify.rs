//! `verify`: the books, from the database alone.

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use springtide_runtime::clock::{Clock as _, SystemClock};

use super::bills::{ReportFormat, plain, print};
use crate::bill::verify::{Drift, note, verify_chain, verify_settled};
use crate::store::Store;

#[derive(Args, Debug)]
pub(super) struct VerifyArgs {
    /// Only this tenant's books; without it, all, and the chain of bills as a whole
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Only the chain of bills as a whole, and no tenant's books
    #[arg(long, conflicts_with = "tenant")]
    chain_only: bool,
    /// Form of the output
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

impl VerifyArgs {
    /// What is found also stops or allows the tenants' bills.
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let accounts = match &self.tenant {
            Some(tenant) => {
                let named = store.accounts_named(tenant).await?;
                (!named.is_empty())
                    .then_some(named)
                    .with_context(|| format!("no tenant {tenant:?} is registered with billing"))?
            }
            None if self.chain_only => Vec::new(),
            None => store.accounts().await?,
        };
        let mut drift: Vec<Drift> = Vec::new();
        let mut chain = None;
        if self.tenant.is_none() {
            let (bills, found) = verify_chain(store).await.map_err(|error| plain(&error))?;
            chain = Some(bills);
            drift.extend(found);
        }
        for account in &accounts {
            let now = SystemClock.now();
            let found = verify_settled(store, account, now)
                .await
                .map_err(|error| plain(&error))?;
            note(store, account, &found, now)
                .await
                .map_err(|error| plain(&error))?;
            drift.extend(found);
        }
        match self.format {
            ReportFormat::Json => {
                let report = json!({"tenants": accounts.len(), "billsInChain": chain, "drift": drift});
                print(&format!("{report:#}\n"))?;
            }
            ReportFormat::Text => {
                for drift in &drift {
                    print(&format!("{drift}\n"))?;
                }
                if let Some(bills) = chain {
                    print(&format!("{bills} bills and notes verified in their chain\n"))?;
                }
                if !self.chain_only {
                    print(&format!("{} tenants verified\n", accounts.len()))?;
                }
            }
        }
        if drift.is_empty() {
            return Ok(());
        }
        bail!("{} figures do not agree", drift.len())
    }
}
