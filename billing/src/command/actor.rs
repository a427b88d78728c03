//! Who runs a command, and where that is noted: in the client firm's audit, which its administrators read, or in the
//! provider's own, of what is of no account.

use std::os::unix::fs::MetadataExt as _;

use anyhow::Context as _;
use clap::Args;
use springtide_runtime::clock::{Clock as _, SystemClock};

use super::export::Lines;
use crate::store::{Account, Holder, Role, Store};

/// Longest name, in characters.
const MAX_NAME: usize = 60;

#[derive(Args, Debug)]
pub(super) struct ActorArgs {
    /// Who does it [default: the user of the operating system]
    #[arg(long, value_name = "NAME", value_parser = name_of)]
    actor: Option<String>,
}

/// A name as audits have it; or what is wrong with it.
pub(super) fn name_of(text: &str) -> Result<String, String> {
    let fits = (1..=MAX_NAME).contains(&text.trim().chars().count()) && !text.chars().any(char::is_control);
    if fits {
        Ok(text.trim().to_owned())
    } else {
        Err(format!("must have 1 to {MAX_NAME} printable characters"))
    }
}

impl ActorArgs {
    /// As audits name it.
    pub(super) fn name(&self) -> String {
        format!("operator: {}", self.actor.clone().unwrap_or_else(system_user))
    }

    /// Notes in an account's audit what is done of it.
    pub(super) async fn note(
        &self,
        store: &Store,
        account: &Account,
        action: &str,
        object: &str,
    ) -> anyhow::Result<()> {
        let holder = Holder {
            token: String::new(),
            provider: String::new(),
            name: self.name(),
            role: Role::Admin,
        };
        let now = SystemClock.now();
        Ok(store.note(account.ledger, &holder, action, object, now).await?)
    }

    /// Notes in the provider's audit what is done of no account, or of all.
    pub(super) async fn note_for_all(&self, store: &Store, action: &str, object: &str) -> anyhow::Result<()> {
        let now = SystemClock.now();
        Ok(store.note_of_provider(&self.name(), action, object, now).await?)
    }

    /// Notes it with the account of that name, if there is one.
    pub(super) async fn note_of_name(
        &self,
        store: &Store,
        tenant: Option<&str>,
        (action, object): (&str, &str),
    ) -> anyhow::Result<()> {
        let Some(tenant) = tenant else {
            let object = format!("all tenants: {object}");
            return self.note_for_all(store, action, &object).await;
        };
        if let Some(account) = store.accounts_named(tenant).await?.first() {
            return self.note(store, account, action, object).await;
        }
        let object = format!("{tenant}: {object}");
        self.note_for_all(store, action, &object).await
    }
}

/// The name that the session says, and else the number of the user.
fn system_user() -> String {
    let named = ["USER", "LOGNAME"].into_iter().find_map(|name| {
        let value = std::env::var(name).ok()?;
        name_of(&value).ok()
    });
    named.unwrap_or_else(|| match std::fs::metadata("/proc/self") {
        Ok(process) => format!("uid {}", process.uid()),
        Err(_) => "unknown".to_owned(),
    })
}

#[derive(Args, Debug)]
pub(super) struct AuditArgs {
    /// Name of a tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// At most so many lines
    #[arg(long, default_value_t = 1000, value_name = "COUNT")]
    limit: u32,
}

impl AuditArgs {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let entries = match &self.tenant {
            Some(tenant) => {
                let account = store.accounts_named(tenant).await?.into_iter().next();
                let account =
                    account.with_context(|| format!("no tenant {tenant:?} is registered with billing"))?;
                store.audit(account.ledger, self.limit.into()).await?
            }
            None => store.audit_of_provider(self.limit.into()).await?,
        };
        let mut out = Lines::new();
        for entry in entries {
            if !out.write(&entry)? {
                return Ok(());
            }
        }
        out.finish()
    }
}
