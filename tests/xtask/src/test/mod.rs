//! `test`: every check and test, as a table of steps. A step that cannot run on this machine is named at the end, and
//! the whole then fails: nothing passes for tested that was not.

mod checks;
mod end_to_end;
mod units;

use anyhow::Result;
use clap::Args;

use crate::progress::Report;

/// Options of `test`.
#[derive(Args)]
pub(crate) struct Options {
    /// Leave out the cluster and the end-to-end tests (they are then named as not run).
    #[arg(long)]
    no_cluster: bool,
}

/// Runs all steps.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut report = Report::default();
    checks::format(&mut report);
    let built = checks::build(&mut report);
    if built {
        checks::lints(&mut report);
        units::run(&mut report);
        checks::generated(&mut report);
    } else {
        for name in ["lints", "unit tests", "generated files"] {
            report.not_run(name, "the build failed");
        }
    }
    checks::dependencies(&mut report);
    match (built, options.no_cluster) {
        (true, false) => end_to_end::run(&mut report),
        (false, _) => report.not_run("end to end", "the build failed"),
        (true, true) => report.not_run("end to end", "left out by --no-cluster"),
    }
    report.conclude()
}
