//! `bench billing`: the bars of billing.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::autoscaling::say;
use super::{ingest, invoices, pdf, reads, safety};

/// Options of `bench billing`.
#[derive(Args)]
pub(crate) struct Options {
    /// Where the figures go.
    #[arg(long, value_name = "FILE")]
    report: PathBuf,
    /// Run only this part.
    #[arg(long, value_enum)]
    only: Option<Part>,
    #[command(flatten)]
    ingest: ingest::IngestOptions,
    #[command(flatten)]
    invoices: invoices::InvoiceOptions,
    #[command(flatten)]
    reads: reads::ReadOptions,
    #[command(flatten)]
    safety: safety::SafetyOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Usage into a PostgreSQL with millions of keys.
    Ingest,
    /// A month's end of thousands of tenants, killed in the middle.
    Invoices,
    /// A big tenant's bills, read over HTTP.
    Reads,
    /// Bills as PDFs.
    Pdf,
    /// Months of faults, random bills and kills, as many as a release needs.
    Safety,
}

/// Measures, and writes the report after each part, so that one that fails takes nothing of the others with it. A bar that is
/// missed is said and is no error.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (mut report, mut bars, mut failed) = (json!({}), Vec::new(), Vec::new());
    for part in Part::value_variants() {
        if options.only.is_some_and(|only| only != *part) {
            continue;
        }
        match measure(options, *part) {
            Ok((measured, run)) => {
                bars.extend(measured);
                let name = part.to_possible_value();
                report[name.as_ref().map_or("part", |name| name.get_name())] = run;
            }
            Err(error) => {
                eprintln!("{part:?} was not measured: {error:#}");
                failed.push(*part);
            }
        }
        report["bars"] = Value::from(bars.clone());
        let text = serde_json::to_string_pretty(&report)? + "\n";
        fs::write(&options.report, text)
            .with_context(|| format!("cannot write {}", options.report.display()))?;
    }
    say(&bars);
    ensure!(failed.is_empty(), "not measured: {failed:?}");
    Ok(())
}

fn measure(options: &Options, part: Part) -> Result<(Vec<Value>, Value)> {
    let folder = |name: &str| options.report.with_extension(name);
    match part {
        Part::Ingest => ingest::run(&options.ingest, &folder("ingest")),
        Part::Invoices => invoices::run(&options.invoices, &folder("invoices")),
        Part::Reads => reads::run(&options.reads, &folder("reads")),
        Part::Pdf => pdf::run(),
        Part::Safety => safety::run(&options.safety, &folder("safety")),
    }
}

/// A figure that should be at least `least`.
pub(super) fn at_least(what: &str, measured: f64, least: f64, n: u64, reference: &str) -> Value {
    json!({"what": what, "measured": measured, "bar": least, "met": measured >= least, "n": n, "reference": reference})
}
