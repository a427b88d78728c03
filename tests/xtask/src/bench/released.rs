//! The programs as they are released, which benches measure.

use std::path::PathBuf;

use anyhow::Result;

use crate::progress::alone;
use crate::workspace;

/// Plays workers, gateways, customers and other clients.
pub(super) const COURSE: &str = "springtide-course";

/// Decides, and simulates decisions.
pub(super) const OPERATOR: &str = "springtide-operator";

/// Builds programs, of the whole workspace, so that all benches share what is built.
pub(super) fn build(programs: &[&str]) -> Result<()> {
    let what = format!(
        "build {}, optimised (minutes the first time)",
        programs.join(" and ")
    );
    alone(&what, |step| {
        let mut build = workspace::cargo()?;
        build.args(["build", "--release", "--locked", "--workspace"]);
        build.args(programs.iter().flat_map(|program| ["--bin", program]));
        step.run(&mut build)
    })
}

/// Where a program is that [`build`] made.
pub(super) fn program(name: &str) -> Result<PathBuf> {
    Ok(workspace::target()?.join("release").join(name))
}
