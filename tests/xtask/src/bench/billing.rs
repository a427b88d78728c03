//! `bench billing`: the bars of billing.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{ingest, invoices, pdf, reads};

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
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Usage into a PostgreSQL with millions of keys.
    Ingest,
    /// A month's end of thousands of tenants, killed in the middle.
    Invoices,
    /// A big tenant's bills, read over HTTP.
    Reads,
    /// Bills as PDFs.
    Pdf,
}

/// Measures, and writes the report; a bar that is missed is said and is no error.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut report = json!({});
    let mut bars = Vec::new();
    for part in Part::value_variants() {
        if options.only.is_some_and(|only| only != *part) {
            continue;
        }
        let (measured, run) = match part {
            Part::Ingest => ingest::run(&options.ingest, &options.report.with_extension("ingest"))?,
            Part::Invoices => invoices::run(&options.invoices, &options.report.with_extension("invoices"))?,
            Part::Reads => reads::run(&options.reads, &options.report.with_extension("reads"))?,
            Part::Pdf => pdf::run()?,
        };
        bars.extend(measured);
        let name = part.to_possible_value();
        report[name.as_ref().map_or("part", |name| name.get_name())] = run;
    }
    for bar in &bars {
        eprintln!(
            "{} {}: {} (bar {}, n {})",
            if bar["met"] == true { "met   " } else { "MISSED" },
            bar["what"].as_str().unwrap_or_default(),
            bar["measured"],
            bar["bar"],
            bar["n"]
        );
    }
    report["bars"] = Value::from(bars);
    let text = serde_json::to_string_pretty(&report)? + "\n";
    fs::write(&options.report, text).with_context(|| format!("cannot write {}", options.report.display()))
}

/// A figure that should be at least `least`.
pub(super) fn at_least(what: &str, measured: f64, least: f64, n: u64, reference: &str) -> Value {
    json!({"what": what, "measured": measured, "bar": least, "met": measured >= least, "n": n, "reference": reference})
}
