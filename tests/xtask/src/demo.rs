//! `demo`: the whole system on this machine: a real two-node cluster, our charts, two client firms, a day of customers in
//! minutes with faults and a promotion, and one bill each. The course itself is `springtide-course`, run inside a node's
//! network namespace; this command prepares for it and clears up after it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::clock::{Stopwatch, readable};
use crate::cluster::layout::{NODES, State};
use crate::cluster::{self, client};
use crate::command::{attached, exists, output};
use crate::guard::Guard;
use crate::progress::{Step, alone};
use crate::{images, packages, workspace};

/// Ports of this machine that lead to the portal and to the tenants' chat pages.
const PORTAL_PORT: u16 = 8081;
const CHAT_PORTS: [(&str, u16); 2] = [("acme", 8082), ("bloom", 8083)];

/// Options of `demo`.
#[derive(Args)]
pub(crate) struct Options {
    /// Tear everything down at the end and exit; without it all stays up until Ctrl-C.
    #[arg(long)]
    once: bool,
    /// Folder for what the course leaves: ledger, billed interactions, invoices, audit log, figures.
    #[arg(long, default_value = "report", value_name = "DIR")]
    report: PathBuf,
    /// Knowledge of the first client firm, instead of what is shipped.
    #[arg(long, value_name = "FILE")]
    knowledge: Option<PathBuf>,
    /// Questions that the first client firm's customers ask, instead of what is shipped.
    #[arg(long, value_name = "FILE")]
    questions: Option<PathBuf>,
    /// Arrivals of the first client firm's customers (CSV: time,count), instead of what is shipped.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Folder of the cluster while it runs.
    #[arg(long, env = cluster::STATE_VARIABLE, default_value = cluster::DEFAULT_STATE)]
    state: PathBuf,
}

/// Runs the demo on the default cluster, tears it down, and leaves its files in `folder`.
pub(crate) fn run_once_into(folder: &Path) -> Result<()> {
    run(&Options {
        once: true,
        report: folder.to_path_buf(),
        knowledge: None,
        questions: None,
        trace: None,
        state: PathBuf::from(cluster::DEFAULT_STATE),
    })
}

/// Runs the demo.
pub(crate) fn run(options: &Options) -> Result<()> {
    on_cluster(&options.state, |state, binaries, phases| {
        let played = attached(&mut course(options, state, phases)?);
        match &played {
            Ok(()) => eprintln!(
                "everything that the course left is in {}",
                options.report.display()
            ),
            Err(error) => eprintln!("the course failed: {error:#}"),
        }
        if !options.once {
            stay(state, binaries)?;
        }
        played
    })
}

/// Plays on a cluster of its own, whose nodes have our images; it is taken down whatever comes of it.
pub(crate) fn on_cluster(
    state: &Path,
    play: impl FnOnce(&State, &Path, &Phases) -> Result<()>,
) -> Result<()> {
    check_machine()?;
    let mut phases = Phases::default();
    phases.time("packages", |step| packages::ensure(step, packages::CLUSTER))?;
    let binaries = phases.time("cluster programs", |step| cluster::ensure_binaries(step, false))?;
    phases.time("build", |step| {
        let mut build = workspace::cargo()?;
        step.run(build.args(["build", "--workspace", "--all-targets", "--locked"]))
    })?;
    let state = State::new(state)?;
    let guard = down_guard(&state)?;
    phases.time("cluster up", |step| cluster::start(step, &state, &binaries, None))?;
    phases.time("images", |step| {
        let images = images::pack_all(step)?;
        images::load(step, &state, &images)
    })?;
    let played = play(&state, &binaries, &phases);
    alone("cluster down", |_| cluster::stop(&state))?;
    drop(guard);
    played
}

/// What the cluster needs of a machine, said before anything is done.
fn check_machine() -> Result<()> {
    cluster::possible()?;
    if !exists("go") && std::env::var_os("SPRINGTIDE_CLUSTER_BIN").is_none() {
        bail!("Go is missing: install Go 1.24 or newer and put it on the PATH; Kubernetes is built with it");
    }
    Ok(())
}

/// Steps and their seconds, for the report.
#[derive(Default)]
pub(crate) struct Phases(Vec<(&'static str, f64)>);

impl Phases {
    fn time<T>(&mut self, name: &'static str, work: impl FnOnce(&Step) -> Result<T>) -> Result<T> {
        let watch = Stopwatch::start();
        let done = alone(name, work)?;
        eprintln!("  {name}: {}", readable(watch.elapsed()));
        self.0.push((name, watch.elapsed().as_secs_f64()));
        Ok(done)
    }
}

/// A part of `springtide-course` inside a node's network namespace.
pub(crate) fn played(part: &str, state: &State, report: &Path) -> Result<Command> {
    let netns = NODES.first().context("the cluster has no nodes")?.netns();
    // It ends with this command, however that ends.
    let mut course = Command::new("setpriv");
    course
        .args(["--pdeathsig", "TERM", "nsenter"])
        .arg(format!("--net=/run/netns/{netns}"));
    course.arg(workspace::target()?.join("debug/springtide-course"));
    course
        .arg(part)
        .arg("--state")
        .arg(state.folder())
        .arg("--report")
        .arg(report);
    course.arg("--charts").arg(workspace::root()?.join("charts"));
    Ok(course)
}

fn course(options: &Options, state: &State, phases: &Phases) -> Result<Command> {
    let mut course = played("run", state, &options.report)?;
    for (name, seconds) in &phases.0 {
        course.arg(format!("--phase={name}={seconds}"));
    }
    for (flag, file) in [
        ("--knowledge", &options.knowledge),
        ("--questions", &options.questions),
        ("--trace", &options.trace),
    ] {
        if let Some(file) = file {
            course.arg(flag).arg(file);
        }
    }
    Ok(course)
}

/// Shows where to look, and stays until Ctrl-C.
fn stay(state: &State, binaries: &Path) -> Result<()> {
    let address = |namespace: &str, service: &str| {
        let mut get = client(state, binaries, "kubectl");
        output(get.args([
            "get",
            "service",
            service,
            "-n",
            namespace,
            "-o",
            "jsonpath={.spec.clusterIP}",
        ]))
    };
    let netns = NODES.first().context("the cluster has no nodes")?.netns();
    let forward = |port: u16, to: String| {
        let mut forward = Command::new(state.program());
        forward.args([
            "forward",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--netns",
            &netns,
            "--to",
            &to,
        ]);
        forward
            .stdout(std::process::Stdio::null())
            .spawn()
            .context("cannot start a forwarder")
    };
    let mut forwarders = vec![forward(
        PORTAL_PORT,
        format!(
            "{}:8081",
            address("springtide-system", "springtide-billing")?.trim()
        ),
    )?];
    eprintln!("\nportal: http://127.0.0.1:{PORTAL_PORT}/");
    for (tenant, port) in CHAT_PORTS {
        let namespace = format!("tenant-{tenant}");
        forwarders.push(forward(
            port,
            format!("{}:80", address(&namespace, "gateway")?.trim()),
        )?);
        let mut get = client(state, binaries, "kubectl");
        let words = [
            "get",
            "secret",
            "springtide-portal-token",
            "-n",
            &namespace,
            "-o",
            "go-template={{.data.token | base64decode}}",
        ];
        let token = output(get.args(words))?;
        eprintln!(
            "{tenant}: chat at http://127.0.0.1:{port}/, portal token {}",
            token.trim()
        );
    }
    eprintln!("look around with `cargo xtask cluster kubectl get bp -A`; Ctrl-C takes everything down");
    for mut forwarder in forwarders {
        forwarder.wait()?;
    }
    Ok(())
}

/// Takes the cluster down if this process is interrupted or killed.
pub(crate) fn down_guard(state: &State) -> Result<Guard> {
    let this = workspace::this_program()?.display().to_string();
    let folder = state.folder().display().to_string();
    Guard::new(&[this.as_str(), "cluster", "--state", &folder, "down"])
}
