//! The command: reads files, runs what is asked for, and writes what came of it.

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::arguments::{Format, SimulateArguments};
use super::chart::Chart;
use super::demand::whole_seconds;
use super::manifest::{Documents, ManifestError};
use super::oracle::OracleRun;
use super::outcome::{self, Outcome, PolicyName, Setup};
use super::pool::Pool;
use super::promotion::{Note, PromotionError, Promotions};
use super::rows::{self, Row};
use super::scenario::{Scenario, Starts};
use super::table::table;
use super::trace::{Trace, TraceError, TraceFormat};
use super::units::from_seconds;
use crate::api::Promotion;
use crate::autoscale::BaselineFrom;

/// More at once are a mistake.
const MOST_CONVERSATIONS: f64 = 2_000_000.0;

/// Why a simulation was not run, or not written.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a pool or promotion.
    #[error("{} is not valid", path.display())]
    Manifest {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ManifestError,
    },
    /// A promotion that cannot be simulated.
    #[error("{} cannot be simulated", path.display())]
    Promotion {
        /// Which.
        path: PathBuf,
        /// Why.
        source: PromotionError,
    },
    /// A trace that cannot be used.
    #[error("{} is no trace", path.display())]
    Trace {
        /// Which.
        path: PathBuf,
        /// Why.
        source: TraceError,
    },
    /// A start time.
    #[error("{}: line {line}: {text:?} is not a number of seconds", path.display())]
    StartTime {
        /// Of the start times.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// No start times.
    #[error("{} has no start times: give a number of seconds a line", path.display())]
    NoStartTimes {
        /// Of the start times.
        path: PathBuf,
    },
    /// Options that make no sense.
    #[error("{0}")]
    Usage(String),
    /// Standard output.
    #[error("writing to standard output")]
    Output(#[source] std::io::Error),
}

/// Runs what is asked for, and prints what came of it to `out`.
pub fn simulate(arguments: &SimulateArguments, out: &mut impl Write) -> Result<(), SimulateError> {
    let chosen = arguments.chosen();
    check(arguments, &chosen)?;
    let setup = setup(arguments)?;
    let scenario = &setup.scenario;
    check_size(scenario)?;
    let mut chart = Chart::new(whole_seconds(scenario), scenario.trace.origin, scenario.capacity);
    let oracle = outcome::run_oracle(&setup, &mut |row| {
        chart.load(row.second, row.active);
        Ok(())
    })
    .map_err(SimulateError::Output)?;
    let mut outcomes = Vec::new();
    for name in chosen.iter().copied() {
        outcomes.push(run(arguments, name, &setup, &oracle, &mut chart)?);
    }
    say_promotions(&setup.promotions, &outcomes);
    if let Some(path) = &arguments.chart {
        fs::write(path, chart.svg()).map_err(writing(path))?;
    }
    print(arguments.format, &outcomes, out).map_err(SimulateError::Output)
}

fn check(arguments: &SimulateArguments, chosen: &[PolicyName]) -> Result<(), SimulateError> {
    let usage = |message: &str| Err(SimulateError::Usage(message.to_owned()));
    let positive = |value: f64| value.is_finite() && value > 0.0;
    if arguments.timeline.is_some() && chosen.len() != 1 {
        return usage("--timeline is the run of one policy: give a single --policy with it");
    }
    if !positive(arguments.factor) {
        return usage("--factor must be a number greater than 0");
    }
    if !positive(arguments.hold_seconds) {
        return usage("--hold-seconds must be a number greater than 0");
    }
    if !arguments.start_seconds.is_finite() || arguments.start_seconds < 0.0 {
        return usage("--start-seconds must be a number of 0 or more");
    }
    if arguments.step_seconds.is_some_and(|seconds| !positive(seconds)) {
        return usage("--step-seconds must be a number greater than 0");
    }
    Ok(())
}

/// A factor that was forgotten would take forever.
fn check_size(scenario: &Scenario) -> Result<(), SimulateError> {
    let values = scenario.trace.steps.iter().map(|step| step.value);
    let each = values.fold(0.0, f64::max) * scenario.hold_seconds;
    let most = each * scenario.factor;
    if most <= MOST_CONVERSATIONS {
        return Ok(());
    }
    Err(SimulateError::Usage(format!(
        "at its peak the trace has {most:.0} conversations at once; give a smaller --factor ({:e} makes it 1000)",
        1_000.0 / each
    )))
}

fn setup(arguments: &SimulateArguments) -> Result<Setup, SimulateError> {
    let path = &arguments.pool;
    let pool = Pool::parse(&read(path)?).map_err(|source| SimulateError::Manifest {
        path: path.clone(),
        source,
    })?;
    let path = &arguments.trace;
    let format = TraceFormat {
        time_column: arguments.time_column.clone(),
        value_column: arguments.value_column.clone(),
        step_seconds: arguments.step_seconds,
        gaps: arguments.gaps,
    };
    let trace = Trace::parse(&read(path)?, &format).map_err(|source| SimulateError::Trace {
        path: path.clone(),
        source,
    })?;
    let mut promotions = Promotions::default();
    for path in &arguments.promotions {
        if trace.origin.is_none() {
            return Err(not_simulated(path)(PromotionError::NoInstants));
        }
        add_promotions(path, &pool, &mut promotions)?;
    }
    Ok(Setup {
        scenario: Scenario {
            trace,
            factor: arguments.factor,
            hold_seconds: arguments.hold_seconds,
            starts: starts(arguments)?,
            capacity: pool.capacity,
            min: pool.policy.min,
            max: pool.policy.max.min(pool.tenant_share),
            seed: arguments.seed,
            begin: None,
        },
        pool,
        promotions,
        target_percent: arguments.target,
        workers: arguments.workers,
    })
}

/// Those of a file that are for the pool; if none is, that is an error.
fn add_promotions(path: &Path, pool: &Pool, promotions: &mut Promotions) -> Result<(), SimulateError> {
    let invalid = |source| SimulateError::Manifest {
        path: path.to_owned(),
        source,
    };
    let text = read(path)?;
    let all: Vec<Promotion> = Documents::parse(&text)
        .and_then(|documents| documents.some())
        .map_err(invalid)?;
    let mut other = None;
    let mut added = false;
    for promotion in &all {
        match promotions.add(promotion, pool, None) {
            Ok(()) => added = true,
            Err(error @ PromotionError::OtherPool(_)) => {
                let name = promotion.metadata.name.as_deref();
                tracing::warn!(
                    promotion = name,
                    "a promotion of the file is for other pools: it changes nothing here"
                );
                other = Some(error);
            }
            Err(error) => return Err(not_simulated(path)(error)),
        }
    }
    match other {
        Some(error) if !added => Err(not_simulated(path)(error)),
        _ => Ok(()),
    }
}

fn not_simulated(path: &Path) -> impl Fn(PromotionError) -> SimulateError {
    let path = path.to_owned();
    move |source| SimulateError::Promotion {
        path: path.clone(),
        source,
    }
}

fn starts(arguments: &SimulateArguments) -> Result<Starts, SimulateError> {
    let Some(path) = &arguments.start_times else {
        return Ok(Starts::Constant(from_seconds(arguments.start_seconds)));
    };
    let text = read(path)?;
    let lines = (1..).zip(text.trim_end().lines());
    let times = lines.map(|(line, text)| {
        let seconds = text.trim().parse::<f64>().ok();
        seconds
            .filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
            .map(from_seconds)
            .ok_or_else(|| SimulateError::StartTime {
                path: path.clone(),
                line,
                text: text.to_owned(),
            })
    });
    let times: Vec<_> = times.collect::<Result<_, _>>()?;
    if times.is_empty() {
        return Err(SimulateError::NoStartTimes { path: path.clone() });
    }
    Ok(Starts::Drawn(times))
}

/// Runs one policy, with its timeline and its line in the chart.
fn run(
    arguments: &SimulateArguments,
    name: PolicyName,
    setup: &Setup,
    oracle: &OracleRun,
    chart: &mut Chart,
) -> Result<Outcome, SimulateError> {
    chart.begin(name.as_str());
    let Some(path) = &arguments.timeline else {
        let mut rows = |row: &Row| {
            chart.workers(row.second, row.workers());
            Ok(())
        };
        return outcome::run(name, setup, oracle, &mut rows).map_err(SimulateError::Output);
    };
    let file = File::create(path).map_err(writing(path))?;
    let mut file = BufWriter::new(file);
    writeln!(file, "{}", rows::HEADER).map_err(writing(path))?;
    let mut rows = |row: &Row| {
        chart.workers(row.second, row.workers());
        rows::write(&mut file, row)
    };
    let outcome = outcome::run(name, setup, oracle, &mut rows).map_err(writing(path))?;
    file.flush().map_err(writing(path))?;
    Ok(outcome)
}

/// What promotions came to goes to the log: the figures are printed alone.
fn say_promotions(promotions: &Promotions, outcomes: &[Outcome]) {
    let ours = PolicyName::Springtide.as_str();
    let Some(outcome) = outcomes.iter().find(|outcome| outcome.policy == ours) else {
        for promotion in promotions.names() {
            tracing::warn!(
                promotion,
                "no policy but springtide knows promotions: it changed nothing"
            );
        }
        return;
    };
    for promotion in promotions.names() {
        if outcome.notes.iter().all(|note| note.promotion != promotion) {
            tracing::warn!(
                promotion,
                "the trace has no time at which this promotion holds: it changed nothing"
            );
        }
    }
    outcome.notes.iter().for_each(say);
}

fn say(note: &Note) {
    let Note {
        promotion,
        start,
        prewarm_at,
        ready_by,
        baseline,
        wanted,
        shortfall,
        limited_by,
        answered_at,
    } = note;
    let answered_at = answered_at.map(tracing::field::display);
    let (baseline, from) = baseline.map_or((None, "workers"), |(load, from)| (Some(load), from.as_str()));
    tracing::info!(
        promotion, %start, %prewarm_at, %ready_by, answered_at, wanted, baseline, from, "a promotion held its workers"
    );
    if from == BaselineFrom::LastHour.as_str() {
        tracing::warn!(
            promotion, %start, baseline,
            "percent counts from the highest load of the last hour: no trusted baseline is known for these times of the week"
        );
    }
    if let Some(limit) = limited_by {
        tracing::warn!(promotion, %start, wanted, shortfall, limit, "limits did not allow all that was wanted");
    }
}

fn print(format: Format, outcomes: &[Outcome], out: &mut impl Write) -> std::io::Result<()> {
    match (format, outcomes) {
        (Format::Table, outcomes) => out.write_all(table(outcomes).as_bytes())?,
        (Format::Json, [outcome]) => serde_json::to_writer(&mut *out, outcome)?,
        (Format::Json, outcomes) => serde_json::to_writer(&mut *out, outcomes)?,
    }
    if format == Format::Json {
        writeln!(out)?;
    }
    out.flush()
}

fn read(path: &Path) -> Result<String, SimulateError> {
    fs::read_to_string(path).map_err(|source| SimulateError::Read {
        path: path.to_owned(),
        source,
    })
}

fn writing(path: &Path) -> impl Fn(std::io::Error) -> SimulateError {
    let path = path.to_owned();
    move |source| SimulateError::Write {
        path: path.clone(),
        source,
    }
}
