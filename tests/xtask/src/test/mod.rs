//! `test`: every check and test, as a table of steps. A step that cannot run on this machine is named at the end, and
//! the whole then fails: nothing passes for tested that was not.

mod checks;
mod end_to_end;
mod units;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::progress::{Ending, Report};

/// Options of `test`.
#[derive(Args)]
pub(crate) struct Options {
    /// Run only these parts, with commas; the build comes first where a part needs it.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Of the end-to-end tests, run only those whose names have one of these in them.
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    name: Vec<String>,
}

/// A part that can be run alone.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Format, lints, dependencies, generated files.
    Checks,
    /// Unit, property and PostgreSQL tests, and those of the documentation.
    Units,
    /// Tests on the real cluster.
    EndToEnd,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Checks => "checks",
            Self::Units => "unit tests",
            Self::EndToEnd => "end to end",
        }
    }
}

/// Runs all steps.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut report = Report::default();
    let wanted = |part: Part| options.only.is_empty() || options.only.contains(&part);
    if wanted(Part::Checks) {
        checks::format(&mut report);
        checks::dependencies(&mut report);
    }
    // helm renders the charts in unit tests, so the cluster's programs come first.
    let needs_programs = wanted(Part::Units) || wanted(Part::EndToEnd);
    let programs = needs_programs
        .then(|| end_to_end::programs(&mut report))
        .flatten();
    let built = checks::build(&mut report);
    for part in [Part::Checks, Part::Units, Part::EndToEnd] {
        match (wanted(part), built, part) {
            (false, ..) => {
                report.step(part.name(), |_| {
                    Ok(Ending::Skipped("left out by --only".to_owned()))
                });
            }
            (true, false, _) => report.not_run(part.name(), "the build failed"),
            (true, true, Part::Checks) => {
                checks::lints(&mut report);
                checks::generated(&mut report);
            }
            (true, true, Part::Units) => units::run(&mut report, programs.as_deref()),
            (true, true, Part::EndToEnd) => {
                end_to_end::run(&mut report, programs.as_deref(), &options.name);
            }
        }
    }
    report.conclude()
}
