//! What billing says: money so far, the billed interactions, the invoices.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use serde_json::Value;

use super::install::SYSTEM;
use super::{TENANTS, say};
use crate::cluster::Cluster;
use crate::load::Client;

/// Longest wait until billing has every record.
const COMPLETE: Duration = Duration::from_mins(1);

/// Month of an instant, in the tenants' zone, as "2026-11".
pub(super) fn period_of(now: jiff::Timestamp) -> anyhow::Result<String> {
    Ok(now.in_tz("Asia/Shanghai")?.strftime("%Y-%m").to_string())
}

/// Runs the billing program in its pod.
async fn run(cluster: &Cluster, words: &[&str]) -> anyhow::Result<String> {
    let pods = cluster
        .pods(SYSTEM, "app.kubernetes.io/name=springtide-billing")
        .await?;
    let pod = pods.first().context("billing does not run")?;
    cluster
        .kubectl(
            &[
                &["exec", "-n", SYSTEM, &pod.name, "--", "springtide-billing"],
                words,
            ]
            .concat(),
        )
        .await
}

/// Exports until every answered turn of every tenant is there, seen by both witnesses or by as many as there will be.
pub(super) async fn export_when_complete(
    cluster: &Cluster,
    period: &str,
    answered: usize,
    file: &Path,
) -> anyhow::Result<()> {
    let begun = tokio::time::Instant::now();
    let mut before = (0, 0);
    loop {
        let mut text = String::new();
        for (tenant, _) in TENANTS {
            text += &run(cluster, &["export", "--tenant", tenant, "--period", period]).await?;
        }
        let lines = text.lines().count();
        let both = text
            .lines()
            .filter(|line| line.contains("worker") && line.contains("gateway"))
            .count();
        std::fs::write(file, &text)?;
        if lines >= answered && before == (lines, both) {
            say(&format!(
                "billing has {lines} turns, {both} of them by both witnesses"
            ));
            return Ok(());
        }
        if begun.elapsed() >= COMPLETE {
            say(&format!(
                "billing has {lines} turns of {answered} after {} s",
                COMPLETE.as_secs()
            ));
            return Ok(());
        }
        before = (lines, both);
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}

/// Issues all invoices of a period; JSON.
pub(super) async fn issue_invoices(cluster: &Cluster, period: &str) -> anyhow::Result<String> {
    run(cluster, &["close", "--period", period, "--issue", "--before-end"]).await?;
    run(cluster, &["invoices", "--period", period, "--format", "json"]).await
}

/// Reads the running bills; address and tokens are looked up once.
#[derive(Default)]
pub(super) struct Purse {
    doors: Vec<(&'static str, Client, String)>,
}

impl Purse {
    /// Each tenant's total; those that cannot be read now are left out.
    pub(super) async fn so_far(&mut self, cluster: &Cluster) -> BTreeMap<&'static str, String> {
        if self.doors.is_empty() {
            self.doors = doors(cluster).await.unwrap_or_default();
        }
        let mut money = BTreeMap::new();
        for (tenant, client, token) in &self.doors {
            if let Ok(total) = preview(client, tenant, token).await {
                money.insert(*tenant, total);
            }
        }
        money
    }
}

async fn doors(cluster: &Cluster) -> anyhow::Result<Vec<(&'static str, Client, String)>> {
    let address = cluster.service_address(SYSTEM, "springtide-billing").await?;
    let mut doors = Vec::new();
    for (tenant, _) in TENANTS {
        let client = Client::new(&format!("http://{address}:8081"))?;
        doors.push((tenant, client, portal_token(cluster, tenant).await?));
    }
    Ok(doors)
}

async fn preview(client: &Client, tenant: &str, token: &str) -> anyhow::Result<String> {
    let path = format!("/api/v1/tenants/{tenant}/preview");
    let (status, body) = client
        .request_with(http::Method::GET, &path, String::new(), Some(token))
        .await?;
    if !status.is_success() {
        bail!("{status}");
    }
    let bill: Value = serde_json::from_slice(&body)?;
    let text = |name: &str| bill[name].as_str().unwrap_or_default().to_owned();
    Ok(format!("{} {}", text("total"), text("currency")))
}

/// The token that the operator made for a tenant's portal.
pub(super) async fn portal_token(cluster: &Cluster, tenant: &str) -> anyhow::Result<String> {
    let secret = cluster
        .get(&[
            "secret",
            "springtide-portal-token",
            "-n",
            &format!("tenant-{tenant}"),
        ])
        .await?;
    let encoded = secret
        .pointer("/data/token")
        .and_then(Value::as_str)
        .context("the secret has no token")?;
    Ok(String::from_utf8(
        base64::engine::general_purpose::STANDARD.decode(encoded)?,
    )?)
}
