//! Tests on the real cluster: programs, cluster, images, tests, and down again whatever happens.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cluster::layout::{CONTROL, CONTROL_IP, NODES, State};
use crate::cluster::{self, DEFAULT_STATE, STATE_VARIABLE};
use crate::command::exists;
use crate::guard::Guard;
use crate::postgres::Postgres;
use crate::progress::{Ending, Report, Step};
use crate::{images, packages, workspace};

use super::units::END_TO_END;

/// Environment variable that gives the end-to-end tests the database of the cluster's billing.
const DATABASE_VARIABLE: &str = "SPRINGTIDE_E2E_POSTGRES";

/// Network namespace of the control plane, its address and the port of the database that the cluster's pods use.
const DATABASE: (&str, &str, u16) = (CONTROL, CONTROL_IP, 15432);
const STEPS: [&str; 5] = [
    "cluster up",
    "images",
    "PostgreSQL for the cluster",
    "end to end",
    "cluster down",
];

/// The cluster's programs, built where they are missing; `None` where there can be no cluster, which is reported.
pub(super) fn programs(report: &mut Report) -> Option<PathBuf> {
    const STEPS: [&str; 2] = ["packages", "cluster programs"];
    let missing = if let Err(error) = cluster::possible() {
        Some(format!("{error:#}"))
    } else if !exists("go") && env::var_os("SPRINGTIDE_CLUSTER_BIN").is_none() {
        Some("Go is missing: install Go 1.24 or newer and put it on the PATH".to_owned())
    } else {
        None
    };
    if let Some(missing) = missing {
        for name in STEPS {
            report.not_run(name, &missing);
        }
        return None;
    }
    let mut binaries = None;
    let packages = report.step(STEPS[0], |step| {
        packages::ensure(step, packages::CLUSTER).map(|()| done())
    });
    if packages {
        report.step(STEPS[1], |step| {
            binaries = Some(cluster::ensure_binaries(step, false)?);
            Ok(done())
        });
    }
    binaries
}

/// `programs` are the cluster's; `names` are what the names of the tests that are run have in them; none: all.
pub(super) fn run(report: &mut Report, programs: Option<&Path>, names: &[String]) {
    match programs {
        Some(programs) => on_cluster(report, programs, names),
        None => not_run(report, 0, "there is no cluster on this machine"),
    }
}

fn on_cluster(report: &mut Report, binaries: &Path, names: &[String]) {
    let folder = env::var_os(STATE_VARIABLE).map_or_else(|| PathBuf::from(DEFAULT_STATE), PathBuf::from);
    let state = match State::new(&folder) {
        Ok(state) => state,
        Err(error) => return not_run(report, 0, &format!("{error:#}")),
    };
    let guard = down_guard(&state);
    let mut database = None;
    let up = report.step(STEPS[0], |step| {
        cluster::start(step, &state, binaries, None).map(|()| done())
    }) && report.step(STEPS[1], |step| {
        let images = images::pack_all(step)?;
        images::load(step, &state, &images).map(|()| done())
    }) && report.step(STEPS[2], |_| {
        let programs =
            packages::postgres_programs().context("no PostgreSQL server under /usr/lib/postgresql")?;
        let (netns, address, port) = DATABASE;
        database = Some(Postgres::start_for_cluster(&programs, netns, address, port)?);
        Ok(done())
    });
    match (up, &database) {
        (true, Some(database)) => {
            report.step(STEPS[3], |step| {
                tests(step, &state, database, names).map(|()| done())
            });
        }
        _ => not_run(
            report,
            3,
            "the cluster did not come up, or has not our images or database",
        ),
    }
    drop(database);
    report.step(STEPS[4], |_| cluster::stop(&state).map(|()| done()));
    drop(guard);
}

/// The tests run in a node's network namespace, where they reach pods and services.
fn tests(step: &Step, state: &State, database: &Postgres, names: &[String]) -> Result<()> {
    let node = NODES.first().context("the cluster has no nodes")?;
    let inner = workspace::cargo()?;
    let mut test = Command::new("nsenter");
    test.arg(format!("--net=/run/netns/{}", node.netns()))
        .arg(inner.get_program());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => test.env(name, value),
            None => test.env_remove(name),
        };
    }
    test.current_dir(workspace::root()?);
    test.args([
        "test",
        "--workspace",
        "--locked",
        "--offline",
        "--no-fail-fast",
        "--test",
        &format!("{END_TO_END}*"),
    ]);
    test.args(["--", "--test-threads=1", "--nocapture"]).args(names);
    test.env(STATE_VARIABLE, state.folder())
        .env(DATABASE_VARIABLE, database.address());
    let result = step.run(&mut test);
    if result.is_err() {
        show_what_happened(state);
    }
    result
}

/// What a failed test leaves behind is gone with the cluster: the operator's last words are shown before.
fn show_what_happened(state: &State) {
    let Ok(binaries) = state.binaries() else { return };
    let selector = "app.kubernetes.io/name=springtide-operator";
    let logs = [
        "logs",
        "--namespace=springtide-system",
        "--selector",
        selector,
        "--tail=150",
        "--prefix",
    ];
    for arguments in [&logs[..], &["get", "pods", "--all-namespaces", "--output=wide"]] {
        if let Ok(output) = cluster::kubectl(state, &binaries).args(arguments).output() {
            println!("{}", String::from_utf8_lossy(&output.stdout));
        }
    }
}

/// Takes the cluster down if this process is interrupted or killed.
fn down_guard(state: &State) -> Result<Guard> {
    let this = workspace::this_program()?.display().to_string();
    Guard::new(&[
        this.as_str(),
        "cluster",
        "--state",
        &state.folder().display().to_string(),
        "down",
    ])
}

fn not_run(report: &mut Report, first: usize, reason: &str) {
    let names = &STEPS[first..if first == 0 { STEPS.len() } else { STEPS.len() - 1 }];
    for name in names {
        report.not_run(name, reason);
    }
}

fn done() -> Ending {
    Ending::Done(String::new())
}
