//! `bench autoscaling`: the bars of the autoscaler.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::clock::Stopwatch;
use crate::cluster::DEFAULT_STATE;
use crate::command::attached;
use crate::progress::alone;
use crate::{demo, workspace};

use super::billing::at_least;
use super::in_process;
use super::released::{self, OPERATOR};
use super::scale;
use super::simulation::{Outcome, Scene, TRACES};

/// The pool of the bars: 20 conversations a worker, no headroom.
const POOL: &str = "apiVersion: springtide.dev/v1alpha1
kind: BotPool
metadata: {name: web, namespace: tenant-acme}
spec:
  worker: {image: worker, conversations: 20}
  scaling: {min: 0, max: 2000, downWindow: WINDOW}
";
/// Down windows that are measured: the one of the bars, and the default.
const WINDOW: &str = "30s";
const DEFAULT_WINDOW: &str = "60s";
/// Conversations of a run whose time is measured.
const MANY: f64 = 50_000_000.0;
const PEERS: [&str; 3] = ["hpa", "keda", "kpa"];
/// Utilisation targets that peers are tuned on, in percent, the thriftiest first.
const TARGETS: [u32; 19] = [
    100, 95, 90, 85, 80, 75, 70, 65, 60, 55, 50, 45, 40, 35, 30, 25, 20, 15, 10,
];

/// Options of `bench autoscaling`.
#[derive(Args)]
pub(crate) struct Options {
    /// Where the figures go.
    #[arg(long, value_name = "FILE")]
    report: PathBuf,
    /// Run only this part.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Folder with `traces/` [default: ../shared/data beside the checkout]; without one the simulation is left out.
    #[arg(long, env = "SPRINGTIDE_DATA", value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Highest loads that each trace is scaled to, in conversations.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 5_000], value_name = "COUNT")]
    peaks: Vec<u32>,
    #[command(flatten)]
    scale: scale::ScaleOptions,
    #[command(flatten)]
    in_process: in_process::InProcessOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Traces under a virtual clock.
    Simulation,
    /// The demo's course on a real cluster.
    Cluster,
    /// A promotion of three times the load on a real cluster.
    Promotion,
    /// Thousands of pools on a real API server, with simulated workers.
    Scale,
    /// New conversations to warm workers.
    Assignment,
    /// Workers that come and go under load.
    Chaos,
}

/// Measures, and writes the report after each part, so that one that fails takes nothing of the others with it. A bar that is
/// missed is said and is no error.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (mut bars, mut runs, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for part in Part::value_variants() {
        if options.only.is_some_and(|only| only != *part) {
            continue;
        }
        if let Err(error) = measure(options, *part, &mut bars, &mut runs) {
            eprintln!("{part:?} was not measured: {error:#}");
            failed.push(*part);
        }
        write(&options.report, &bars, &runs)?;
    }
    say(&bars);
    if !failed.is_empty() || bars.is_empty() {
        bail!("not measured: {failed:?}");
    }
    Ok(())
}

fn data(options: &Options) -> Result<Option<PathBuf>> {
    let beside = workspace::root()?.join("../shared/data");
    let found = options.data.clone().or(Some(beside));
    Ok(found.filter(|folder| folder.join("traces").is_dir()))
}

fn measure(options: &Options, part: Part, bars: &mut Vec<Value>, runs: &mut Vec<Value>) -> Result<()> {
    let folder = |name: &str| options.report.with_extension(name);
    let measured = match part {
        Part::Simulation => {
            match data(options)? {
                Some(data) => simulate(&data, &options.peaks, bars, runs)?,
                None => eprintln!("simulation skipped: no traces (set SPRINGTIDE_DATA or --data)"),
            }
            return Ok(());
        }
        Part::Cluster => on_cluster(&folder("course"))?,
        Part::Promotion => promotion(&folder("promotion"))?,
        Part::Scale => scale::run(&options.scale, &folder("scale"))?,
        Part::Assignment => in_process::assignment(&options.in_process, &folder("assignment"))?,
        Part::Chaos => in_process::chaos(&options.in_process, &folder("chaos"))?,
    };
    bars.extend(measured);
    Ok(())
}

fn write(file: &Path, bars: &[Value], runs: &[Value]) -> Result<()> {
    let report = json!({"bars": bars, "runs": runs});
    let text = serde_json::to_string_pretty(&report)? + "\n";
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// A line a bar, for people.
pub(super) fn say(bars: &[Value]) {
    for bar in bars {
        eprintln!(
            "{} {}: {} (bar {}, n {})",
            match bar["met"].as_bool() {
                Some(true) => "met   ",
                Some(false) => "MISSED",
                None => "no bar",
            },
            bar["what"].as_str().unwrap_or_default(),
            bar["measured"],
            bar["bar"],
            bar["n"]
        );
    }
}

pub(super) fn bar(what: &str, measured: f64, most: f64, n: u64, reference: &str) -> Value {
    json!({"what": what, "measured": measured, "bar": most, "met": measured <= most, "n": n, "reference": reference})
}

fn simulate(data: &Path, peaks: &[u32], bars: &mut Vec<Value>, runs: &mut Vec<Value>) -> Result<()> {
    released::build(&[OPERATOR])?;
    let program = released::program(OPERATOR)?;
    let folder = workspace::target()?.join("bench");
    fs::create_dir_all(&folder)?;
    let pool = |window: &str| -> Result<PathBuf> {
        let file = folder.join(format!("pool-{window}.yaml"));
        fs::write(&file, POOL.replace("WINDOW", window))?;
        Ok(file)
    };
    let (pool, default_pool) = (pool(WINDOW)?, pool(DEFAULT_WINDOW)?);
    for trace in &TRACES {
        for peak in peaks {
            let scene = Scene::new(data, trace, *peak)?;
            let name = format!("{} at {peak}", trace.name);
            let (measured, all) = alone(&name, |step| scene_bars(&scene, &program, &pool, step))?;
            bars.extend(measured);
            runs.extend(all);
            let with_default = scene.run(&program, &default_pool, "springtide", None)?;
            runs.push(line(&scene, &with_default, None, DEFAULT_WINDOW));
        }
    }
    bars.push(alone("a run of 50 million conversations", |_| {
        how_long(&Scene::of_conversations(data, MANY)?, &program, &pool)
    })?);
    Ok(())
}

/// How long a run of many conversations takes.
fn how_long(scene: &Scene, program: &Path, pool: &Path) -> Result<Value> {
    let large = pool.with_file_name("pool-large.yaml");
    fs::write(
        &large,
        fs::read_to_string(pool)?.replace("max: 2000", "max: 10000"),
    )?;
    let watch = Stopwatch::start();
    let outcome = scene.run(program, &large, "springtide", None)?;
    let seconds = watch.elapsed().as_secs_f64();
    let per_fifty_million = seconds * MANY / outcome.conversations as f64;
    let reference = format!("{} in one run, by the process's wall time", outcome.conversations);
    Ok(bar(
        "simulation of 50 million conversations, s",
        per_fifty_million,
        30.0,
        outcome.conversations,
        &reference,
    ))
}

fn scene_bars(
    scene: &Scene,
    program: &Path,
    pool: &Path,
    step: &crate::progress::Step,
) -> Result<(Vec<Value>, Vec<Value>)> {
    step.note("springtide");
    let ours = scene.run(program, pool, "springtide", None)?;
    let name = format!("{} at {}", scene.trace.name, scene.peak);
    let most = if scene.peak >= 5_000 { 1.025 } else { 1.06 };
    let moved = ours.moved as f64 / (ours.conversations.max(1)) as f64;
    let n = ours.conversations;
    let mut bars = vec![
        bar(
            &format!("{name}: worker-hours / oracle"),
            ours.ratio,
            most,
            n,
            "oracle, the same arrivals",
        ),
        bar(
            &format!("{name}: share waiting over 5 s"),
            ours.waited_over_5s_share,
            0.001,
            n,
            "count",
        ),
        bar(
            &format!("{name}: longest wait, s"),
            ours.max_wait_s,
            15.0,
            n,
            "count",
        ),
        bar(
            &format!("{name}: share moved by scale-in"),
            moved,
            0.08,
            n,
            "count",
        ),
    ];
    let mut runs = vec![line(scene, &ours, None, WINDOW)];
    for peer in PEERS {
        step.note(&format!("{peer} at its defaults"));
        let default = scene.run(program, pool, peer, None)?;
        runs.push(line(scene, &default, None, WINDOW));
        let reference = format!("{peer} at its defaults: {:.4} x oracle", default.ratio);
        bars.push(less(
            &format!("{name}: worker-hours against {peer}"),
            &ours,
            &default,
            &reference,
        ));
        let mut tuned = None;
        for target in TARGETS {
            step.note(&format!("{peer} at {target} %"));
            let run = scene.run(program, pool, peer, Some(target))?;
            runs.push(line(scene, &run, Some(target), WINDOW));
            if run.waits_are_kept() {
                tuned = Some((target, run));
                break;
            }
        }
        let what = format!("{name}: worker-hours against tuned {peer}");
        bars.push(match tuned {
            Some((target, run)) => {
                let reference = format!("{peer} at {target} %: {:.4} x oracle", run.ratio);
                less(&what, &ours, &run, &reference)
            }
            None => json!({"what": what, "measured": ours.worker_hours, "bar": null, "met": null, "n": n,
                "reference": format!("nothing to compare with: {peer} keeps the waits at none of {TARGETS:?} %")}),
        });
    }
    Ok((bars, runs))
}

/// Fewer worker-hours than a peer.
fn less(what: &str, ours: &Outcome, peer: &Outcome, reference: &str) -> Value {
    bar(
        what,
        ours.worker_hours,
        peer.worker_hours,
        ours.conversations,
        reference,
    )
}

fn line(scene: &Scene, outcome: &Outcome, target: Option<u32>, window: &str) -> Value {
    json!({"trace": scene.trace.name, "peak": scene.peak, "target": target, "down_window": window, "outcome": outcome})
}

/// A promotion of three times the load: when all of it answers, and who has to wait then.
fn promotion(folder: &Path) -> Result<Vec<Value>> {
    demo::on_cluster(Path::new(DEFAULT_STATE), |state, _, _| {
        attached(&mut demo::played("promotion", state, folder)?)
    })?;
    let text = fs::read_to_string(folder.join("promotion.json")).context("the run left no figures")?;
    let figures: Value = serde_json::from_str(&text)?;
    let number = |path: &str| figures.pointer(path).and_then(Value::as_f64);
    let workers = figures["workers_wanted"].as_u64().unwrap_or(0);
    let customers = figures["customers_at_once"].as_u64().unwrap_or(0);
    let waited = number("/told_to_wait").zip(number("/not_answered"));
    Ok(vec![
        at_least(
            "promotion of three times the load: seconds from all workers answering to its opening",
            number("/all_answering_before_opening_s").unwrap_or(f64::NEG_INFINITY),
            300.0,
            workers,
            "the promotion's status at the API server; n is its workers",
        ),
        bar(
            "promotion of three times the load: customers, all at once, who had to wait",
            waited.map_or(f64::INFINITY, |(told, never)| told + never),
            0.0,
            customers,
            "the customers' own count",
        ),
    ])
}

/// What the demo's course measures on a real cluster.
fn on_cluster(folder: &Path) -> Result<Vec<Value>> {
    demo::run_once_into(folder)?;
    let text = fs::read_to_string(folder.join("report.json")).context("the course left no figures")?;
    let report: Value = serde_json::from_str(&text)?;
    let number = |path: &str| {
        report
            .pointer(path)
            .and_then(Value::as_f64)
            .unwrap_or(f64::INFINITY)
    };
    let count = |path: &str| report.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let steps = count("/step_to_create_ms/n");
    Ok(vec![
        bar(
            "step in load to Pod create, p99, ms",
            number("/step_to_create_ms/p99"),
            250.0,
            steps,
            "the API server's audit log; HPA looks every 15 s, KEDA every 30 s, Knative every 2 s",
        ),
        bar(
            "leader killed to decisions, s",
            number("/operator_decides_again_s"),
            5.0,
            1,
            "a lease of 15 s",
        ),
        bar(
            "promotion: workers missing when it opens",
            number("/promotion/wanted") - number("/promotion/ready_at_open"),
            0.0,
            1,
            "what it asked for",
        ),
        bar(
            "conversations lost",
            number("/lost"),
            0.0,
            count("/conversations"),
            "the customers' ledger",
        ),
    ])
}
