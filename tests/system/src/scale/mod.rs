//! Thousands of pools on a real API server: how late the operator decides, what it takes, and whether it ever creates too much.
//!
//! The API server, the scheduler and the operator are real; nodes are fakes of kwok, and this one process speaks for all
//! workers and gateways over the real fleet service, each with the identity that the operator issued to its tenant. A worker
//! is attached while its fake Pod runs. It answers probes, obeys cordons, and drains at once.
//!
//! - *step*: a change of a pool's load, as a worker reports it.
//! - *crossing pool*: one whose steps need one worker more and then one fewer; see [`steps`].
//! - *window*: the time over which lateness, processor and memory are measured. After it the leader is killed.

mod doors;
mod figures;
mod fill;
mod fleet;
mod gateway;
mod link;
mod notes;
mod programs;
mod setup;
mod steps;
mod watch;
mod worker;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use springtide_runtime::clock::{Clock as _, SystemClock};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::Cluster;
use crate::course::{Database, SYSTEM, install_charts};
use crate::late::LateWatches;

use doors::Present;
use figures::Sample;
use notes::Notes;
use programs::{Operators, account, all_cpu_seconds, machine};
use steps::Steps;

pub use figures::{Figures, compute};

/// Channels of a tenant, at most.
const POOLS_OF_A_TENANT: u32 = 16;
/// So many of the pools get an override while they are measured.
const OVERRIDES: usize = 20;
const LED: Duration = Duration::from_mins(1);
/// What was held back is let go for so long.
const ON_TIME: Duration = Duration::from_secs(2);

/// What a run is made of.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Size {
    /// Pools
    #[arg(long, default_value_t = 5_000, value_name = "COUNT")]
    pub pools: u32,
    /// Tenants, among which the pools are shared out
    #[arg(long, default_value_t = 320, value_name = "COUNT")]
    pub tenants: u32,
    /// Workers of a pool, at least
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    pub workers_per_pool: u32,
    /// How long is measured
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub seconds: u64,
    /// Workers that steps need in a second, over all pools
    #[arg(long, default_value_t = 5.0, value_name = "COUNT")]
    pub creations: f64,
    /// Hold back what watches of Pods say to the operator for so long, again and again; 0: never
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    #[serde(default)]
    pub late: u64,
}

/// A run.
pub struct Run {
    /// Where.
    pub cluster: Cluster,
    /// Where its files go.
    pub folder: PathBuf,
    /// The charts' folder.
    pub charts: PathBuf,
    /// The operator's program.
    pub operator: PathBuf,
    /// How much.
    pub size: Size,
}

impl Run {
    /// Plays it; the figures are also in `scale.json`.
    pub async fn play(self) -> anyhow::Result<Figures> {
        let most = self.size.tenants * POOLS_OF_A_TENANT;
        ensure!(
            self.size.pools <= most,
            "a tenant has at most {POOLS_OF_A_TENANT} pools: name more tenants"
        );
        std::fs::create_dir_all(&self.folder)?;
        let notes = Notes::create(&self.folder.join(figures::NOTES))?;
        let size = serde_json::to_string_pretty(&self.size)? + "\n";
        std::fs::write(self.folder.join(figures::SIZE), size)?;
        let samples = Samples::create(&self.folder.join(figures::SAMPLES))?;
        self.measure(&notes, &samples).await?;
        notes.flush()?;
        excerpt(&self.cluster.audit_log, &self.folder.join(figures::AUDIT))?;
        let figures = compute(&self.folder)?;
        let text = serde_json::to_string_pretty(&figures)? + "\n";
        std::fs::write(self.folder.join(figures::FIGURES), text)?;
        Ok(figures)
    }

    async fn measure(&self, notes: &Notes, samples: &Samples) -> anyhow::Result<()> {
        install_charts(&self.cluster, &self.charts, &Database::Sqlite).await?;
        let client = self.client().await?;
        let door = match self.size.late {
            0 => None,
            _ => Some(LateWatches::open(&self.cluster, ([127, 0, 0, 1], 0).into()).await?),
        };
        let mut operators = self.start_operators(door.as_ref()).await?;
        notes.phase("take_on", &format!("{} tenants", self.size.tenants));
        doors::tenancy(
            &setup::identity(&client, SYSTEM, "springtide-billing-tls").await?,
            programs::BILLING_PORT,
        )
        .await?;
        setup::take_on(&client, &self.size).await?;
        notes.phase("taken_on", "");
        let tenants = setup::with_identities(&client, &self.size).await?;
        let present = Present::default();
        for tenant in &tenants {
            doors::conversations(&tenant.worker_tls, tenant.port, present.clone()).await?;
        }
        let pools: Vec<_> = tenants.iter().flat_map(|tenant| tenant.pools.clone()).collect();
        let steps = Steps::new(&pools, self.size.workers_per_pool, self.size.creations);
        steps.begin();
        let parts = watch::Parts::new(&tenants, steps::CAPACITY, present, notes.clone());
        let parts = AbortOnDropHandle::new(tokio::spawn(parts.follow(client.clone())));
        notes.phase("make_pools", &self.size.pools.to_string());
        fill::fill(&client, &self.size, &tenants).await?;
        notes.phase("filled", "");
        notes.phase("steps", &format!("{} pools cross", steps.crossing()));
        let file = self.folder.join(figures::STEPS);
        let stepping = AbortOnDropHandle::new(tokio::spawn(async move { steps.run(&file).await }));
        let late = Duration::from_secs(self.size.late);
        let _holding =
            door.map(|door| AbortOnDropHandle::new(tokio::spawn(hold_again_and_again(door, late))));
        // Workers come and go in balance after the first round.
        tokio::time::sleep(steps::round() + Duration::from_secs(10)).await;
        self.window(&operators, notes, samples).await?;
        self.lose_leader(&mut operators, notes, samples).await?;
        ensure!(
            !parts.is_finished() && !stepping.is_finished(),
            "the simulation broke off"
        );
        stepping.abort();
        // It was told to end; what it wrote is in its file then.
        drop(stepping.await);
        Ok(())
    }

    async fn client(&self) -> anyhow::Result<Client> {
        let file = Kubeconfig::read_from(&self.cluster.kubeconfig)?;
        let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    }

    async fn start_operators(&self, door: Option<&LateWatches>) -> anyhow::Result<Operators> {
        let kubeconfig = self.cluster.kubeconfig.with_file_name("operator.kubeconfig");
        let url = door.map(LateWatches::url);
        let text = setup::operators_kubeconfig(&self.cluster, url.as_deref()).await?;
        std::fs::write(&kubeconfig, text)?;
        let mut operators = Operators {
            program: self.operator.clone(),
            kubeconfig,
            folder: self.folder.clone(),
            running: [None, None],
        };
        for replica in 0..2 {
            operators.start(replica, &figures::log(replica, 0))?;
        }
        leader(&operators).await?;
        Ok(operators)
    }

    async fn window(&self, operators: &Operators, notes: &Notes, samples: &Samples) -> anyhow::Result<()> {
        let leads = leader(operators).await?;
        notes.phase("window", "");
        samples.take("begin", &self.cluster, operators, leads).await?;
        let end = Instant::now() + Duration::from_secs(self.size.seconds);
        for (tenant, pools) in setup::names(&self.size).iter().take(OVERRIDES) {
            let (name, namespace) = (format!("botpool/{}", pools[0]), format!("tenant-{tenant}"));
            let floor = format!("--replicas={}", self.size.workers_per_pool);
            self.cluster
                .kubectl(&["scale", &name, "-n", &namespace, &floor])
                .await?;
        }
        tokio::time::sleep_until(end).await;
        samples.take("end", &self.cluster, operators, leads).await?;
        ensure!(
            leader(operators).await? == leads,
            "the leader changed while it was measured"
        );
        notes.phase("window_over", "");
        Ok(())
    }

    /// Kills the leader, waits until the other one leads and the simulated parts are attached there, and starts it again.
    async fn lose_leader(
        &self,
        operators: &mut Operators,
        notes: &Notes,
        samples: &Samples,
    ) -> anyhow::Result<()> {
        let lost = leader(operators).await?;
        notes.phase("leader_killed", &lost.to_string());
        operators.kill(lost)?;
        let leads = leader(operators).await?;
        notes.phase("leads", &leads.to_string());
        operators.start(lost, &figures::log(lost, 1))?;
        // A round in which workers come and go under the new leader.
        tokio::time::sleep(steps::round()).await;
        samples.take("after", &self.cluster, operators, leads).await?;
        notes.phase("over", "");
        Ok(())
    }
}

async fn hold_again_and_again(door: LateWatches, late: Duration) {
    loop {
        door.hold_all();
        tokio::time::sleep(late).await;
        door.let_go();
        tokio::time::sleep(ON_TIME).await;
    }
}

async fn leader(operators: &Operators) -> anyhow::Result<usize> {
    let begun = Instant::now();
    loop {
        match operators.leader().await {
            Some(leader) => return Ok(leader),
            None if begun.elapsed() > LED => bail!("no replica of the operator leads"),
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// What was measured of processes, and what the leader's metrics said.
struct Samples(parking_lot::Mutex<File>);

impl Samples {
    fn create(file: &Path) -> anyhow::Result<Self> {
        let made = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self(parking_lot::Mutex::new(made)))
    }

    async fn take(
        &self,
        what: &str,
        cluster: &Cluster,
        operators: &Operators,
        leads: usize,
    ) -> anyhow::Result<()> {
        // What the kernel says is of one moment; the metrics take a while.
        let at = SystemClock.now();
        let leader = account(operators.id(leads)?)?;
        let follower = operators.id(1 - leads).and_then(account).ok();
        let (cpu_seconds, machine) = (all_cpu_seconds(), machine()?);
        let sample = Sample {
            at,
            what: what.to_owned(),
            leader,
            follower,
            metrics: operators.metrics(leads).await?,
            cpu_seconds,
            machine,
            requests: requests(&cluster.kubectl(&["get", "--raw", "/metrics"]).await?),
        };
        writeln!(self.0.lock(), "{}", serde_json::to_string(&sample)?).context("cannot write the samples")
    }
}

/// Of the API server's metrics: requests by verb and resource.
fn requests(metrics: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for line in metrics.lines() {
        let Some((labels, count)) = line
            .strip_prefix("apiserver_request_total{")
            .and_then(|rest| rest.split_once("} "))
        else {
            continue;
        };
        let label = |name: &str| {
            let value = labels
                .split(',')
                .find_map(|label| label.strip_prefix(name)?.strip_prefix("=\""));
            value.map_or("", |value| value.trim_end_matches('"'))
        };
        let name = format!("{} {} {}", label("verb"), label("resource"), label("subresource"));
        *sums.entry(name.trim().to_owned()).or_default() += count.parse().unwrap_or(0.0);
    }
    sums
}

/// Of the API server's audit log: what was done to tenants' Pods and to pools, as far as the figures need it.
fn excerpt(from: &Path, to: &Path) -> anyhow::Result<()> {
    let lines =
        BufReader::new(File::open(from).with_context(|| format!("cannot read {}", from.display()))?).lines();
    let mut out = BufWriter::new(File::create(to)?);
    for line in lines {
        let line: Value = serde_json::from_str(&line?).context("the audit log is not understood")?;
        let text = |path: &str| line.pointer(path).cloned().unwrap_or_default();
        if !line["objectRef"]["namespace"]
            .as_str()
            .is_some_and(|namespace| namespace.starts_with("tenant-"))
        {
            continue;
        }
        let metadata = line.pointer("/requestObject/metadata");
        let kept = metadata
            .map(|metadata| json!({"name": metadata["name"], "annotations": metadata["annotations"]}));
        let short = json!({
            "verb": text("/verb"), "user": {"username": text("/user/username")}, "objectRef": text("/objectRef"),
            "requestReceivedTimestamp": text("/requestReceivedTimestamp"), "stageTimestamp": text("/stageTimestamp"),
            "responseStatus": {"code": text("/responseStatus/code")}, "requestObject": {"metadata": kept},
        });
        writeln!(out, "{short}")?;
    }
    out.flush().context("cannot write the excerpt of the audit log")
}
