//! The operator's replicas as plain processes, and what the kernel says of processes.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::link::REPLICAS;

/// Ticks of the kernel's accounts in a second; the same on all Linux machines.
const TICKS: f64 = 100.0;
/// Their admin ports.
const ADMIN: [&str; 2] = ["127.0.0.1:9090", "127.0.0.1:9091"];
/// Where billing is looked for.
pub(super) const BILLING_PORT: u16 = 7445;

/// What starts replicas.
pub(super) struct Operators {
    pub(super) program: PathBuf,
    pub(super) kubeconfig: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) running: [Option<Child>; 2],
}

impl Operators {
    /// Starts a replica; its log goes to a file of its own, each start to another.
    pub(super) fn start(&mut self, replica: usize, log: &str) -> anyhow::Result<()> {
        let file = File::create(self.folder.join(log)).context("cannot write the operator's log")?;
        let pod = format!("springtide-operator-{replica}");
        // It ends with this process, however that ends.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(&self.program)
            .args(["run", "--listen", REPLICAS[replica], "--fleet", REPLICAS[0]])
            .args(["--billing", &format!("127.0.0.1:{BILLING_PORT}")])
            .args(["--gateway-replicas", "1", "--log-format", "json"])
            // The gateways are simulated and have no public doors.
            .args(["--probe-doors", "false"])
            .args(["--pod-name", &pod, "--pod-uid", &pod, "--pod-ip", "127.0.0.1"])
            .env("SPRINGTIDE_ADMIN_LISTEN", ADMIN[replica])
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        self.running[replica] = Some(child);
        Ok(())
    }

    /// The replica that leads.
    pub(super) async fn leader(&self) -> Option<usize> {
        for replica in 0..ADMIN.len() {
            let metrics = self.metrics(replica).await.unwrap_or_default();
            if metrics.lines().any(|line| line == "springtide_leading 1") {
                return Some(replica);
            }
        }
        None
    }

    /// A replica's metrics, as text.
    pub(super) async fn metrics(&self, replica: usize) -> anyhow::Result<String> {
        get(ADMIN[replica], "/metrics").await
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self, replica: usize) -> anyhow::Result<()> {
        let mut child = self.running[replica].take().context("it does not run")?;
        child.kill().context("cannot kill it")?;
        child.wait().context("cannot wait for its end").map(drop)
    }

    pub(super) fn id(&self, replica: usize) -> anyhow::Result<u32> {
        let child = self.running[replica].as_ref();
        child.map(Child::id).context("it does not run")
    }
}

impl Drop for Operators {
    fn drop(&mut self) {
        for mut child in self.running.iter_mut().filter_map(Option::take) {
            // One that ended is not there to be killed.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

async fn get(address: &str, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    match text.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200") => {
            Ok(body.to_owned())
        }
        _ => bail!("{address}{path} does not answer"),
    }
}

/// What the kernel says of a process.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Account {
    /// Processor time so far, of user and system.
    pub(super) cpu_seconds: f64,
    /// How long its threads that could run waited for a processor so far, summed over those that there are.
    pub(super) waited_seconds: f64,
    /// Resident memory, now and at most so far.
    pub(super) rss_bytes: u64,
    pub(super) most_rss_bytes: u64,
}

/// The account of a process.
pub(super) fn account(pid: u32) -> anyhow::Result<Account> {
    let folder = Path::new("/proc").join(pid.to_string());
    let stat = std::fs::read_to_string(folder.join("stat"))?;
    let status = std::fs::read_to_string(folder.join("status"))?;
    let kilobytes = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    };
    Ok(Account {
        cpu_seconds: cpu_seconds(&stat).context("the kernel's accounts are not understood")?,
        waited_seconds: waited_seconds(&folder)?,
        rss_bytes: kilobytes("VmRSS:") * 1024,
        most_rss_bytes: kilobytes("VmHWM:") * 1024,
    })
}

/// Of the threads' `schedstat` (Documentation/scheduler/sched-stats.rst of Linux): the second field, in nanoseconds.
fn waited_seconds(folder: &Path) -> anyhow::Result<f64> {
    let mut nanoseconds = 0.0;
    for thread in std::fs::read_dir(folder.join("task"))? {
        // A thread may end meanwhile.
        let text = std::fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        let waited = text
            .split_whitespace()
            .nth(1)
            .and_then(|field| field.parse().ok());
        nanoseconds += waited.unwrap_or(0.0);
    }
    Ok(nanoseconds / 1e9)
}

/// What the kernel says of the machine.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Machine {
    /// Its processors.
    pub(super) processors: usize,
    /// For how long so far at least one task had no processor though it could run (Documentation/accounting/psi.rst of Linux);
    /// `None` where the kernel keeps no such account.
    pub(super) some_waited_seconds: Option<f64>,
}

/// The machine's account.
pub(super) fn machine() -> anyhow::Result<Machine> {
    let pressure = std::fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let total = pressure
        .lines()
        .find(|line| line.starts_with("some "))
        .and_then(|line| line.rsplit_once("total=")?.1.parse::<f64>().ok());
    Ok(Machine {
        processors: std::thread::available_parallelism()?.get(),
        some_waited_seconds: total.map(|microseconds| microseconds / 1e6),
    })
}

/// Processor seconds so far of every program on the machine, by its name.
pub(super) fn all_cpu_seconds() -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let name = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
        if let (Some((name, _)), Some(seconds)) = (name, cpu_seconds(&stat)) {
            *sums.entry(name.to_owned()).or_default() += seconds;
        }
    }
    sums
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    // The program's name is in brackets and may hold spaces: count the fields after it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok().map(f64::from);
    Some((ticks()? + ticks()?) / TICKS)
}
