//! The parts of `bench autoscaling` that need no cluster: real gateways and workers in the process of `springtide-course`. All
//! that it measured is in a folder, from which it computes its figures again.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;

use crate::command::attached;

use super::autoscaling::bar;
use super::released::{self, COURSE};

/// How much.
#[derive(Args)]
pub(super) struct InProcessOptions {
    /// Conversations of the chaos part.
    #[arg(long, default_value_t = 1_000_000, value_name = "COUNT")]
    conversations: u64,
    /// Where all that is random begins, in the assignment and chaos parts.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
}

/// New conversations to warm workers; what the run leaves is in `folder`.
pub(super) fn assignment(options: &InProcessOptions, folder: &Path) -> Result<Vec<Value>> {
    let figures = figures("assignment", &[("seed", options.seed)], folder)?;
    let number = |path: &str| number(&figures, path);
    let n = count(&figures, "/conversations");
    let beside = format!(
        "the bare call over mutual TLS at the same rate: p50 {:.2}, p99 {:.2} ms; a durable write: p50 {:.2}, p99 {:.2} ms; \
         agent-sandbox, as published, at 45/s: p50 92, p90 182, p99 376 ms",
        number("/bare_round_trip_ms/p50"),
        number("/bare_round_trip_ms/p99"),
        number("/durable_write_ms/p50"),
        number("/durable_write_ms/p99"),
    );
    Ok(vec![
        bar(
            "new conversation to its answer at 500/s, p50, ms",
            number("/assigned_ms/p50"),
            5.0,
            n,
            &beside,
        ),
        bar(
            "new conversation to its answer at 500/s, p99, ms",
            number("/assigned_ms/p99"),
            50.0,
            n,
            &beside,
        ),
        bar(
            "new conversations not answered, answered by two workers, or not counted once",
            number("/not_answered") + number("/assigned_twice") + number("/wrongly_counted"),
            0.0,
            n,
            "the customers' ledger, and what both witnesses reported",
        ),
    ])
}

/// Workers that come and go under load; what the run leaves is in `folder`.
pub(super) fn chaos(options: &InProcessOptions, folder: &Path) -> Result<Vec<Value>> {
    let size = [("seed", options.seed), ("conversations", options.conversations)];
    let figures = figures("chaos", &size, folder)?;
    let number = |path: &str| number(&figures, path);
    let (conversations, turns) = (count(&figures, "/conversations"), count(&figures, "/answered"));
    let beside = format!(
        "{} scale-ins and {} kills; {} conversations moved; {} turns answered by two workers because one was killed, counted once",
        count(&figures, "/scaled_in"),
        count(&figures, "/killed"),
        count(&figures, "/moved"),
        count(&figures, "/answered_twice_for_a_kill"),
    );
    Ok(vec![
        bar(
            "conversations lost while workers come and go",
            number("/lost"),
            0.0,
            conversations,
            &beside,
        ),
        bar(
            "turns answered twice while workers come and go",
            number("/answered_twice"),
            0.0,
            turns,
            &beside,
        ),
        bar(
            "turns not counted once, or left in a spool",
            number("/wrongly_counted") + number("/left_in_spools"),
            0.0,
            turns,
            "what both witnesses reported",
        ),
    ])
}

/// Runs the part; its figures.
fn figures(part: &str, size: &[(&str, u64)], folder: &Path) -> Result<Value> {
    released::build(&[COURSE])?;
    // The run ends with this command, however that ends.
    let mut run = Command::new("setpriv");
    run.args(["--pdeathsig", "TERM"]);
    run.arg(released::program(COURSE)?);
    run.arg(part).arg("--report").arg(folder);
    for (flag, value) in size {
        run.arg(format!("--{flag}={value}"));
    }
    if std::env::var_os("SPRINGTIDE_LOG").is_none() {
        run.env("SPRINGTIDE_LOG", "error");
    }
    attached(&mut run)?;
    let text = fs::read_to_string(folder.join("figures.json")).context("the run left no figures")?;
    Ok(serde_json::from_str(&text)?)
}

fn number(figures: &Value, path: &str) -> f64 {
    figures
        .pointer(path)
        .and_then(Value::as_f64)
        .unwrap_or(f64::INFINITY)
}

fn count(figures: &Value, path: &str) -> u64 {
    figures.pointer(path).and_then(Value::as_u64).unwrap_or(0)
}
