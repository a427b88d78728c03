//! Tests on the real cluster: programs, cluster, images, tests, and down again whatever happens.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::cluster::layout::State;
use crate::cluster::{self, DEFAULT_STATE, STATE_VARIABLE};
use crate::command::exists;
use crate::guard::Guard;
use crate::progress::{Ending, Report};
use crate::{images, packages, workspace};

use super::units::{END_TO_END, test_targets};

const STEPS: [&str; 6] = [
    "packages",
    "cluster programs",
    "cluster up",
    "images",
    "end to end",
    "cluster down",
];

pub(super) fn run(report: &mut Report) {
    if let Err(error) = cluster::possible() {
        return not_run(report, 0, &format!("{error:#}"));
    }
    if !exists("go") && env::var_os("SPRINGTIDE_CLUSTER_BIN").is_none() {
        return not_run(
            report,
            0,
            "Go is missing: install Go 1.24 or newer and put it on the PATH",
        );
    }
    let mut binaries = None;
    let ready = report.step(STEPS[0], |step| {
        packages::ensure(step, packages::CLUSTER).map(|()| done())
    }) && report.step(STEPS[1], |step| {
        binaries = Some(cluster::ensure_binaries(step, false)?);
        Ok(done())
    });
    match (ready, binaries) {
        (true, Some(binaries)) => on_cluster(report, &binaries),
        _ => not_run(report, 2, "an earlier step failed"),
    }
}

fn on_cluster(report: &mut Report, binaries: &Path) {
    let folder = env::var_os(STATE_VARIABLE).map_or_else(|| PathBuf::from(DEFAULT_STATE), PathBuf::from);
    let state = match State::new(&folder) {
        Ok(state) => state,
        Err(error) => return not_run(report, 2, &format!("{error:#}")),
    };
    let guard = down_guard(&state);
    let up = report.step(STEPS[2], |step| {
        cluster::start(step, &state, binaries).map(|()| done())
    }) && report.step(STEPS[3], |step| {
        let images = images::pack_all(step)?;
        images::load(step, &state, &images).map(|()| done())
    });
    if up {
        report.step(STEPS[4], |step| {
            if !test_targets()?.iter().any(|name| name.starts_with(END_TO_END)) {
                return Ok(Ending::Skipped(
                    "the workspace has no end-to-end tests".to_owned(),
                ));
            }
            let mut test = workspace::cargo()?;
            test.args([
                "test",
                "--workspace",
                "--locked",
                "--no-fail-fast",
                "--test",
                &format!("{END_TO_END}*"),
            ]);
            step.run(
                test.args(["--", "--test-threads=1"])
                    .env(STATE_VARIABLE, state.folder()),
            )
            .map(|()| done())
        });
    } else {
        not_run(report, 4, "the cluster did not come up, or has not our images");
    }
    report.step(STEPS[5], |_| cluster::stop(&state).map(|()| done()));
    drop(guard);
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
