//! Runs of `springtide-operator simulate` on real traces.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::command::output;

/// How long a conversation lasts on average, in seconds.
const HOLD_SECONDS: f64 = 180.0;
/// A trace of load.
pub(super) struct Trace {
    /// Its name in the report.
    pub(super) name: &'static str,
    file: &'static str,
    time: &'static str,
    value: &'static str,
    options: &'static [&'static str],
}

/// The traces of the data folder.
pub(super) const TRACES: [Trace; 3] = [
    Trace {
        name: "bank_calls_5min",
        file: "traces/bank_calls_5min.csv",
        time: "start",
        value: "calls",
        // Nobody calls while the bank is closed.
        options: &["--gaps", "zero"],
    },
    Trace {
        name: "worldcup98_1min",
        file: "traces/worldcup98_1min.csv",
        time: "start",
        value: "requests",
        options: &[],
    },
    Trace {
        name: "twitter_2021_1min",
        file: "traces/twitter_2021_1min.csv",
        time: "minute",
        value: "tweets",
        options: &["--step-seconds", "60"],
    },
];

/// What came of a run, as the simulator prints it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) policy: String,
    pub(super) worker_hours: f64,
    pub(super) oracle_worker_hours: f64,
    pub(super) ratio: f64,
    pub(super) conversations: u64,
    pub(super) waited_over_5s: u64,
    pub(super) waited_over_5s_share: f64,
    pub(super) max_wait_s: f64,
    pub(super) peak_workers: u32,
    pub(super) creations: u64,
    pub(super) deletions: u64,
    pub(super) moved: u64,
    pub(super) busy_deleted: u64,
}

impl Outcome {
    /// At most 0.1 % waited longer than 5 s, and none longer than 15 s.
    pub(super) fn waits_are_kept(&self) -> bool {
        self.waited_over_5s_share <= 0.001 && self.max_wait_s <= 15.0
    }
}

/// A trace, scaled so that its highest value stands for so many conversations at once.
pub(super) struct Scene {
    pub(super) trace: &'static Trace,
    pub(super) peak: u32,
    file: PathBuf,
    factor: f64,
}

impl Scene {
    pub(super) fn new(data: &Path, trace: &'static Trace, peak: u32) -> Result<Self> {
        let file = data.join(trace.file);
        let highest = values(&file, trace.value)?.into_iter().fold(0.0, f64::max);
        Ok(Self {
            trace,
            peak,
            file,
            factor: f64::from(peak) / HOLD_SECONDS / highest,
        })
    }

    /// The trace that has a value a minute and no gaps, scaled so that about so many conversations come in all.
    pub(super) fn of_conversations(data: &Path, conversations: f64) -> Result<Self> {
        let trace = &TRACES[1];
        let file = data.join(trace.file);
        let values = values(&file, trace.value)?;
        let factor = conversations / values.iter().sum::<f64>() / 60.0;
        Ok(Self {
            trace,
            peak: 0,
            file,
            factor,
        })
    }

    /// Runs one policy; `target` is a peer's utilisation target in percent.
    pub(super) fn run(
        &self,
        program: &Path,
        pool: &Path,
        policy: &str,
        target: Option<u32>,
    ) -> Result<Outcome> {
        let mut run = Command::new(program);
        run.arg("simulate").arg("--pool").arg(pool);
        run.arg("--trace").arg(&self.file);
        run.args([
            "--time-column",
            self.trace.time,
            "--value-column",
            self.trace.value,
        ]);
        run.args(self.trace.options);
        run.args(["--factor", &self.factor.to_string(), "--policy", policy]);
        run.args([
            "--start-seconds",
            "8",
            "--hold-seconds",
            "180",
            "--seed",
            "1",
            "--format",
            "json",
        ]);
        if let Some(target) = target {
            run.args(["--target", &target.to_string()]);
        }
        let printed = output(&mut run)?;
        serde_json::from_str(&printed).with_context(|| format!("{policy} printed no figures"))
    }
}

fn values(file: &Path, column: &str) -> Result<Vec<f64>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut lines = text.lines();
    let header = lines.next().context("the trace is empty")?;
    let place = header.split(',').position(|name| name.trim() == column);
    let place = place.with_context(|| format!("{} has no column {column}", file.display()))?;
    Ok(lines
        .filter_map(|line| line.split(',').nth(place)?.trim().parse::<f64>().ok())
        .collect())
}
