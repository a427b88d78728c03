//! `verify`: the books, from the database alone.

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use springtide_runtime::clock::{Clock as _, SystemClock};

use super::bills::{ReportFormat, plain, print};
use crate::bill::BillError;
use crate::bill::verify::{Repricing, Verified, note, verify_chain, verify_settled};
use crate::store::{Account, Store};

#[derive(Args, Debug)]
#[command(after_help = HELP)]
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

const HELP: &str = "Each bill and note is priced again, by the same rating, from what the database has of the time of its issue: usage and minutes
that had landed by then, the plan versions that it names, modules, exclusions and contract. A line that comes out otherwise is
named with both figures. What came later is no difference: it waits for `correct`. A bill that was rated with other time-zone
data, by a plan for which local times matter, and that comes out otherwise, is said not to be comparable, and stops nothing.
A server verifies too, all the time, but prices only recent bills again.";

/// What was looked at, and what was found.
pub(super) struct Checked {
    pub(super) all: Verified,
    pub(super) tenants: usize,
    /// In the chain, if that was looked at.
    pub(super) bills: Option<i64>,
}

/// Checks a tenant's books; or all, and the chain of bills; or the chain alone. What is found also stops or allows the
/// tenants' bills.
pub(super) async fn check(
    store: &Store,
    tenant: Option<&str>,
    is_chain_only: bool,
) -> anyhow::Result<Checked> {
    let accounts = accounts(store, tenant, is_chain_only).await?;
    let mut all = Verified::default();
    let mut bills = None;
    if tenant.is_none() {
        let (chained, found) = verify_chain(store).await.map_err(|error| plain(&error))?;
        bills = Some(chained);
        all.drift.extend(found);
    }
    for account in &accounts {
        all.add(verified(store, account).await.map_err(|error| plain(&error))?);
    }
    Ok(Checked {
        all,
        tenants: accounts.len(),
        bills,
    })
}

async fn accounts(store: &Store, tenant: Option<&str>, is_chain_only: bool) -> anyhow::Result<Vec<Account>> {
    match tenant {
        Some(tenant) => {
            let named = store.accounts_named(tenant).await?;
            (!named.is_empty())
                .then_some(named)
                .with_context(|| format!("no tenant {tenant:?} is registered with billing"))
        }
        None if is_chain_only => Ok(Vec::new()),
        None => Ok(store.accounts().await?),
    }
}

impl VerifyArgs {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let Checked { all, tenants, bills } = check(store, self.tenant.as_deref(), self.chain_only).await?;
        match self.format {
            ReportFormat::Json => print(&format!("{:#}\n", json_of(&all, tenants, bills)))?,
            ReportFormat::Text => print(&self.text_of(&all, tenants, bills))?,
        }
        match all.drift.len() {
            0 => Ok(()),
            figures => bail!("{figures} figures do not agree"),
        }
    }

    /// A line for each finding, and what was looked at.
    fn text_of(&self, all: &Verified, tenants: usize, chain: Option<i64>) -> String {
        let Verified {
            drift,
            priced,
            not_comparable,
        } = all;
        let drift = drift.iter().map(ToString::to_string);
        let mut lines: Vec<_> = drift
            .chain(not_comparable.iter().map(ToString::to_string))
            .collect();
        lines.extend(chain.map(|bills| format!("{bills} bills and notes verified in their chain")));
        if !self.chain_only {
            lines.push(format!(
                "{tenants} tenants verified, {priced} bills and notes priced again"
            ));
        }
        lines.join("\n") + "\n"
    }
}

fn json_of(all: &Verified, tenants: usize, chain: Option<i64>) -> Value {
    let Verified {
        drift,
        priced,
        not_comparable,
    } = all;
    json!({"tenants": tenants, "billsInChain": chain, "pricedAgain": priced, "drift": drift, "notComparable": not_comparable})
}

/// A tenant's books, and keeps for issuing what is found.
async fn verified(store: &Store, account: &Account) -> Result<Verified, BillError> {
    let now = SystemClock.now();
    let found = verify_settled(store, account, now, Repricing::All).await?;
    note(store, account, &found.drift, now).await?;
    Ok(found)
}
