//! What happens during a course: a manual scale, three kills, a promotion, a scale-in. Each is noted with the conversations
//! that were open.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use parking_lot::Mutex;
use serde_json::{Value, json};
use springtide_runtime::clock::{Clock as _, SystemClock};

use super::install::SYSTEM;
use super::live::{LivePool, live_pools};
use super::{Event, TENANTS, Timeline, say};
use crate::cluster::{Cluster, kill_process_of_pod};
use crate::load::Load;
use crate::manifests::promotion;

/// Written as they happen.
pub(super) struct Events(Mutex<File>);

impl Events {
    pub(super) fn create(file: &Path) -> anyhow::Result<Self> {
        Ok(Self(Mutex::new(
            File::create(file).with_context(|| format!("cannot write {}", file.display()))?,
        )))
    }

    pub(super) fn note(&self, event: &str, target: &str, open: u64, detail: Value) -> anyhow::Result<()> {
        let event = Event {
            at: SystemClock.now(),
            event: event.to_owned(),
            target: target.to_owned(),
            open,
            detail,
        };
        writeln!(self.0.lock(), "{}", serde_json::to_string(&event)?).context("cannot write the events")
    }
}

struct Stage<'a> {
    cluster: &'a Cluster,
    load: &'a Load,
    events: &'a Events,
}

impl Stage<'_> {
    async fn at(&self, offset: Duration) {
        tokio::time::sleep_until(self.load.started + offset).await;
    }

    fn note(&self, event: &str, target: &str, detail: Value) -> anyhow::Result<()> {
        say(&format!(
            "{event}: {target} ({} conversations open)",
            self.load.open()
        ));
        self.events.note(event, target, self.load.open(), detail)
    }
}

/// Plays all events, in their order.
pub(super) async fn play(
    cluster: &Cluster,
    load: &Load,
    events: &Events,
    timeline: &Timeline,
    folder: &Path,
) -> anyhow::Result<()> {
    let stage = Stage {
        cluster,
        load,
        events,
    };
    let first = TENANTS[0].0;
    let boost = json!({"percent": "110", "of": "CurrentLoad"});
    cluster
        .apply(&promotion(
            "double-11",
            first,
            timeline.window.0,
            timeline.window.1,
            15,
            &boost,
        ))
        .await?;
    stage.note(
        "promotion_applied",
        first,
        json!({"opens": timeline.window.0.to_string()}),
    )?;
    stage.at(timeline.worker_kill).await;
    kill_worker(&stage, first).await?;
    stage.at(timeline.gateway_kill).await;
    kill_gateway(&stage, first).await?;
    std::fs::write(folder.join(crate::report::KUBECTL), at_the_peak(cluster).await?)?;
    stage.at(timeline.falls).await;
    stage.note("load_falls", first, Value::Null)?;
    stage.at(timeline.scale_up).await;
    scale_up(&stage, first).await?;
    stage.at(timeline.scale_release).await;
    cluster
        .kubectl(&[
            "scale",
            "bp/web",
            "-n",
            &format!("tenant-{first}"),
            "--replicas=0",
        ])
        .await?;
    stage.note("scale_release", first, Value::Null)?;
    stage.at(timeline.operator_kill).await;
    kill_leader(&stage).await?;
    stage.at(timeline.open).await;
    promotion_opens(&stage, first).await
}

async fn pool_of(cluster: &Cluster, tenant: &str) -> anyhow::Result<LivePool> {
    let pools = live_pools(cluster).await?;
    pools
        .into_iter()
        .find(|pool| pool.tenant == tenant)
        .with_context(|| format!("the operator knows no pool of {tenant}"))
}

async fn scale_up(stage: &Stage<'_>, tenant: &str) -> anyhow::Result<()> {
    let pool = pool_of(stage.cluster, tenant).await?;
    let wanted = pool.desired + 5;
    let namespace = format!("tenant-{tenant}");
    stage
        .cluster
        .kubectl(&[
            "scale",
            "bp/web",
            "-n",
            &namespace,
            &format!("--replicas={wanted}"),
        ])
        .await?;
    stage.note("scale_up", tenant, json!({"from": pool.desired, "to": wanted}))
}

/// The worker with the most conversations.
async fn kill_worker(stage: &Stage<'_>, tenant: &str) -> anyhow::Result<()> {
    let pods = stage
        .cluster
        .pods(&format!("tenant-{tenant}"), "springtide.dev/pool=web")
        .await?;
    // Gateways fill the fullest, so the oldest ready workers are full.
    let victim = pods.iter().find(|pod| pod.ready).context("no worker is ready")?;
    kill_process_of_pod(&victim.uid)?;
    stage.note(
        "worker_kill",
        &victim.uid,
        json!({"pod": victim.name, "tenant": tenant}),
    )
}

async fn kill_gateway(stage: &Stage<'_>, tenant: &str) -> anyhow::Result<()> {
    let pods = stage
        .cluster
        .pods(
            &format!("tenant-{tenant}"),
            "app.kubernetes.io/name=springtide-gateway",
        )
        .await?;
    let victim = pods.iter().find(|pod| pod.ready).context("no gateway is ready")?;
    kill_process_of_pod(&victim.uid)?;
    stage.note(
        "gateway_kill",
        &victim.uid,
        json!({"pod": victim.name, "tenant": tenant}),
    )
}

/// Kills the leader, then waits until another replica decides.
async fn kill_leader(stage: &Stage<'_>) -> anyhow::Result<()> {
    let pods = stage
        .cluster
        .pods(SYSTEM, "app.kubernetes.io/name=springtide-operator")
        .await?;
    let holder = leader(stage.cluster).await?;
    let victim = pods
        .iter()
        .find(|pod| holder.contains(&pod.name))
        .with_context(|| format!("no pod for leader {holder:?}"))?;
    kill_process_of_pod(&victim.uid)?;
    stage.note("operator_kill", &victim.uid, json!({"pod": victim.name}))?;
    let limit = Duration::from_secs(30);
    let next = stage
        .cluster
        .wait_for("the next leader's decisions", limit, || {
            other_leader_decides(stage.cluster, &holder)
        })
        .await?;
    stage.note("operator_decides", &next, Value::Null)
}

async fn leader(cluster: &Cluster) -> anyhow::Result<String> {
    let leases = cluster.get(&["lease", "-n", SYSTEM]).await?;
    let items = leases
        .pointer("/items")
        .and_then(Value::as_array)
        .context("no leases")?;
    let holders = items
        .iter()
        .filter_map(|lease| lease.pointer("/spec/holderIdentity").and_then(Value::as_str));
    holders
        .filter(|holder| holder.contains("operator"))
        .map(str::to_owned)
        .next()
        .context("nobody leads")
}

/// Another holder, and live decisions from it. The killed process may win its lease again once it restarts: that counts too,
/// because its decisions are a new leader's all the same, but then the holder has not changed and the decisions must be there.
async fn other_leader_decides(cluster: &Cluster, before: &str) -> anyhow::Result<String> {
    let now = leader(cluster).await?;
    let pools = live_pools(cluster).await?;
    if pools.is_empty() || (now == before && pools.iter().all(|pool| pool.ready == 0)) {
        bail!("no pool is decided on yet");
    }
    Ok(now)
}

async fn promotion_opens(stage: &Stage<'_>, tenant: &str) -> anyhow::Result<()> {
    let promotion = stage.cluster.get(&["promo", "double-11"]).await?;
    let pool = pool_of(stage.cluster, tenant).await?;
    let detail = json!({"ready": pool.ready, "floor": pool.floor, "status": promotion["status"]});
    stage.note("promotion_open", tenant, detail)
}

async fn at_the_peak(cluster: &Cluster) -> anyhow::Result<String> {
    let mut text = String::new();
    for words in [
        ["get", "nodes", "-o", "wide"],
        ["get", "pods", "-A", "-owide"],
        ["get", "tn,promo,plan", "-o", "wide"],
        ["get", "bp", "-A", "-owide"],
    ] {
        text.extend([
            "$ kubectl ",
            &words.join(" "),
            "\n",
            &cluster.kubectl(&words).await?,
            "\n",
        ]);
    }
    Ok(text)
}
