//! The live view: what a person watches while the course runs.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::install::SYSTEM;
use super::{TENANTS, billing};
use crate::cluster::Cluster;
use crate::load::{Client, Load};

/// One pool, as the leading operator sees it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct LivePool {
    pub(super) tenant: String,
    pub(super) active: u32,
    pub(super) waiting: u32,
    pub(super) starting: u32,
    pub(super) ready: u32,
    pub(super) draining: u32,
    pub(super) desired: u32,
    pub(super) floor: u32,
    pub(super) binding: String,
}

/// Asks all replicas; the leader answers.
pub(super) async fn live_pools(cluster: &Cluster) -> anyhow::Result<Vec<LivePool>> {
    Operators::default().live_pools(cluster).await
}

/// Addresses of the operator's replicas, looked up again when none of them leads.
#[derive(Default)]
struct Operators(Vec<String>);

impl Operators {
    async fn live_pools(&mut self, cluster: &Cluster) -> anyhow::Result<Vec<LivePool>> {
        for address in &self.0 {
            if let Ok(pools) = live_of(address).await {
                return Ok(pools);
            }
        }
        let pods = cluster
            .pods(SYSTEM, "app.kubernetes.io/name=springtide-operator")
            .await?;
        self.0 = pods.into_iter().map(|pod| pod.ip).collect();
        for address in &self.0 {
            if let Ok(pools) = live_of(address).await {
                return Ok(pools);
            }
        }
        bail!("no operator leads")
    }
}

async fn live_of(address: &str) -> anyhow::Result<Vec<LivePool>> {
    let client = Client::new(&format!("http://{address}:9090"))?;
    let (status, body) = client
        .request(http::Method::GET, "/debug/live", String::new())
        .await?;
    if !status.is_success() {
        bail!("{status}");
    }
    serde_json::from_slice(&body).context("not a list of pools")
}

/// Shows a table, each second on a terminal and every ten seconds otherwise, until it is aborted.
pub(super) async fn show(cluster: Cluster, load: Arc<Load>, file: PathBuf) {
    let terminal = std::io::stderr().is_terminal();
    let every = Duration::from_secs(if terminal { 1 } else { 10 });
    let mut tick = tokio::time::interval(every);
    let (mut purse, mut operators) = (billing::Purse::default(), Operators::default());
    let mut answered_before = vec![0; load.counts.len()];
    let mut written = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .ok();
    let mut lines_shown = 0;
    loop {
        tick.tick().await;
        let pools = operators.live_pools(&cluster).await.unwrap_or_default();
        let money = purse.so_far(&cluster).await;
        let seconds = load.started.elapsed().as_secs();
        let mut lines = vec![format!(
            "{seconds:>4} s  {:<8}{:>6}{:>8}{:>9}{:>7}{:>9}{:>9}{:>9}  {:<14}{:>12}",
            "client",
            "open",
            "waiting",
            "starting",
            "ready",
            "draining",
            "desired",
            "answer/s",
            "because",
            "money so far"
        )];
        for (place, (counts, (tenant, _))) in load.counts.iter().zip(TENANTS).enumerate() {
            let answered = counts.answered.load(Ordering::Relaxed);
            let rate = (answered - answered_before[place]) as f64 / every.as_secs_f64();
            answered_before[place] = answered;
            let pool = pools.iter().find(|pool| pool.tenant == tenant);
            let number = |value: Option<u32>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
            lines.push(format!(
                "        {tenant:<8}{:>6}{:>8}{:>9}{:>7}{:>9}{:>9}{rate:>9.1}  {:<14}{:>12}",
                counts.open(),
                number(pool.map(|pool| pool.waiting)),
                number(pool.map(|pool| pool.starting)),
                number(pool.map(|pool| pool.ready)),
                number(pool.map(|pool| pool.draining)),
                number(pool.map(|pool| pool.desired)),
                pool.map_or("operator away", |pool| &pool.binding),
                money.get(tenant).map_or("-", String::as_str),
            ));
        }
        if terminal && lines_shown > 0 {
            eprint!("\x1b[{lines_shown}A\x1b[J");
        }
        lines_shown = lines.len();
        eprintln!("{}", lines.join("\n"));
        if let Some(written) = &mut written {
            // The view is for people: a full disk shows up where it matters, in the ledger.
            drop(writeln!(
                written,
                "{}",
                serde_json::json!({"seconds": seconds, "open": load.open(), "pools": pools})
            ));
        }
    }
}
