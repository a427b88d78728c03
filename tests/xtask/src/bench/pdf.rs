//! The PDF part of `bench billing`: how long a bill takes to become a PDF, in the process that serves it.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::lines;
use crate::workspace;

use super::autoscaling::bar;

/// Longest that one takes, in milliseconds.
const BAR: f64 = 100.0;

/// Bars, and all that was measured.
pub(super) fn run() -> Result<(Vec<Value>, Value)> {
    eprintln!("bills as PDFs (minutes the first time, for the build)");
    let mut bench = workspace::cargo()?;
    bench.args([
        "bench",
        "--locked",
        "--package",
        "springtide-billing",
        "--bench",
        "pdf",
    ]);
    let mut figures = None;
    let done = lines(&mut bench, |line| {
        figures = figures
            .take()
            .or_else(|| serde_json::from_str::<Value>(line).ok());
    })?;
    let run = figures.filter(|_| done).context(
        "the bench of PDFs left no figures: run `cargo bench --package springtide-billing --bench pdf`",
    )?;
    let most = |name: &str| run[name].as_f64().unwrap_or(f64::INFINITY);
    let runs = run["n"].as_u64().unwrap_or(0);
    let bars = [("p50", most("p50_ms")), ("p99", most("p99_ms"))].map(|(what, measured)| {
        bar(
            &format!("a bill as PDF, {what}, ms"),
            measured,
            BAR,
            runs,
            "in process, in two languages by turns",
        )
    });
    Ok((bars.into(), run))
}
