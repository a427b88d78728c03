//! `alerts`: where a tenant is told that it loses service too fast, or of a burst of complaints.

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use springtide_runtime::clock::{Clock as _, SystemClock};

use super::actor::ActorArgs;
use super::export::Lines;
use super::select::TenantArgs;
use crate::digest::Digest;
use crate::https::check_url;
use crate::satisfaction::look::burst_to_json;
use crate::store::{AlertTarget, Store};
use crate::web::{Secrets as _, SystemSecrets};

#[derive(Subcommand, Debug)]
pub(super) enum AlertsCommand {
    /// Post alerts to a URL from now on. Prints the secret that they are signed with, this once: the header
    /// springtide-signature is t=SECONDS,v1=HEX, and HEX the HMAC-SHA256 of SECONDS, a dot and the body with that secret
    Set(SetArgs),
    /// Where alerts go, which are raised, and what became of the last ones, as JSON lines
    Show(TenantOnly),
    /// Post no alerts any more
    Remove(RemoveArgs),
}

#[derive(Args, Debug)]
pub(super) struct SetArgs {
    #[command(flatten)]
    tenant: TenantArgs,
    /// Where to post, https://…
    #[arg(long, value_name = "URL")]
    url: String,
    #[command(flatten)]
    actor: ActorArgs,
}

#[derive(Args, Debug)]
pub(super) struct RemoveArgs {
    #[command(flatten)]
    tenant: TenantArgs,
    #[command(flatten)]
    actor: ActorArgs,
}

#[derive(Args, Debug)]
pub(super) struct TenantOnly {
    #[command(flatten)]
    tenant: TenantArgs,
}

impl AlertsCommand {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        match self {
            Self::Set(SetArgs { tenant, url, actor }) => set(&tenant, url, &actor, store).await,
            Self::Show(TenantOnly { tenant }) => show(&tenant, store).await,
            Self::Remove(RemoveArgs { tenant, actor }) => {
                let account = tenant.account(store).await?;
                ensure!(
                    store.remove_alert_target(account.ledger).await?,
                    "the tenant's alerts go nowhere already"
                );
                actor.note(store, &account, "remove alerts", "").await
            }
        }
    }
}

async fn set(tenant: &TenantArgs, url: String, actor: &ActorArgs, store: &Store) -> anyhow::Result<()> {
    check_url(&url).with_context(|| format!("{url:?} is no address for alerts"))?;
    let account = tenant.account(store).await?;
    // Hexadecimal of a digest of 32 random bytes: as hard to guess as those.
    let secret = Digest::of(&SystemSecrets::default().next()?).to_string();
    let target = AlertTarget {
        url,
        secret: secret.clone().into_bytes(),
    };
    store
        .set_alert_target(account.ledger, &target, SystemClock.now())
        .await?;
    // Not where to: an address may hold a secret.
    actor.note(store, &account, "set alerts", "").await?;
    println!("{secret}");
    Ok(())
}

async fn show(tenant: &TenantArgs, store: &Store) -> anyhow::Result<()> {
    let ledger = tenant.account(store).await?.ledger;
    let url = store.alert_target(ledger).await?.map(|target| target.url);
    let raised = store.raised_alerts(ledger).await?;
    let bursts = store.bursts_under_way().await?.into_iter();
    let bursts = bursts.filter(|told| told.topic.ledger == ledger);
    let complaints: Vec<_> = bursts
        .map(|told| burst_to_json(&told.topic, &told.burst))
        .collect();
    let mut out = Lines::new();
    if !out.write(&serde_json::json!({"url": url, "raised": raised, "complaints": complaints}))? {
        return Ok(());
    }
    for delivery in store.deliveries(ledger).await? {
        if !out.write(&delivery)? {
            return Ok(());
        }
    }
    out.finish()
}
