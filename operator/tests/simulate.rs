//! `springtide-operator simulate` as others call it: what is on standard output, what on standard error, and what its timeline
//! shows.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

const POOL: &str = "
apiVersion: springtide.dev/v1alpha1
kind: BotPool
metadata: {name: web, namespace: tenant-acme}
spec:
  worker: {image: w, conversations: 20}
  scaling: {min: 1, max: 20, downWindow: 30s}
";
const PROMOTION: &str = r#"
apiVersion: springtide.dev/v1alpha1
kind: Promotion
metadata: {name: double-11}
spec:
  pools: [{tenant: acme, pool: web}]
  window: {start: "2026-11-10T20:00", end: "2026-11-10T20:30", timeZone: UTC}
  boost: {percent: "200"}
  readyBy: 5m
  ramp: 10m
  coolDown: {hold: 5m, stepPercent: "20"}
  ceiling: 60
"#;
/// An hour and a half before the window, its half hour with three times as many, and an hour after it.
const TRACE: &str = "\
time,value
2026-11-10T18:30:00,1
2026-11-10T19:00:00,1
2026-11-10T19:30:00,1
2026-11-10T20:00:00,3
2026-11-10T20:30:00,1
2026-11-10T21:00:00,1
";
/// The window opens, and closes, so many seconds after the trace begins.
const OPENS: usize = 90 * 60;
const CLOSES: usize = 120 * 60;

struct Folder(TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Result<Self> {
        let folder = Self(TempDir::new()?);
        for (name, text) in files {
            std::fs::write(folder.0.path().join(name), text)?;
        }
        Ok(folder)
    }

    fn run(&self, options: &str) -> Result<Output> {
        let always = "simulate --pool pool.yaml --trace trace.csv --policy springtide --format json";
        let mut command = Command::new(env!("CARGO_BIN_EXE_springtide-operator"));
        command
            .args(always.split_whitespace())
            .args(options.split_whitespace());
        command.current_dir(self.0.path()).env_remove("SPRINGTIDE_LOG");
        command.output().context("springtide-operator does not run")
    }

    fn timeline(&self) -> Result<Vec<Row>> {
        rows(&self.0.path().join("timeline.csv"))
    }
}

/// Second, arrivals, active, waiting, starting, ready, draining.
type Row = [u32; 7];

fn rows(file: &Path) -> Result<Vec<Row>> {
    let text = std::fs::read_to_string(file)?;
    let rows = text.lines().skip(1).map(|line| {
        let fields = line.split(',').map(str::parse).collect::<Result<Vec<u32>, _>>()?;
        Row::try_from(fields).map_err(|fields| anyhow::anyhow!("{} columns", fields.len()))
    });
    rows.collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The figures, of a run that has nothing else on standard output.
fn figures(output: &Output) -> Result<Value> {
    ensure!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).with_context(|| text(&output.stdout))
}

#[test]
fn standard_output_has_the_figures_alone_and_standard_error_names_what_is_not_known() -> Result<()> {
    let pool = POOL.replace("  scaling:", "  rollout: {steps: [1, 100]}\n  scaling:");
    let folder = Folder::new(&[
        ("pool.yaml", &pool),
        ("trace.csv", TRACE),
        ("promotion.yaml", PROMOTION),
    ])?;
    let output = folder.run("--promotion promotion.yaml --factor 0.2")?;
    let figures = figures(&output)?;
    assert_eq!(figures["policy"], "springtide");
    let said = text(&output.stderr);
    assert!(
        said.contains("unknown field") && said.contains("spec.rollout"),
        "{said}"
    );
    assert!(said.contains("highest load of the last hour"), "{said}");
    Ok(())
}

#[test]
fn a_misspelt_field_ends_it_without_figures_and_is_named_with_what_was_meant() -> Result<()> {
    let pool = POOL.replace("downWindow", "downWindw");
    let folder = Folder::new(&[("pool.yaml", &pool), ("trace.csv", TRACE)])?;
    let output = folder.run("")?;
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    let said = text(&output.stderr);
    assert!(
        said.contains("pool.yaml") && said.contains("spec.scaling.downWindw; did you mean downWindow?"),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_target_is_a_percentage_or_a_share_and_nothing_else() -> Result<()> {
    let folder = Folder::new(&[("pool.yaml", POOL), ("trace.csv", TRACE)])?;
    let with = |target: &str| folder.run(&format!("--policy hpa --target {target}"));
    let (percent, share, other) = (with("70")?, with("0.7")?, with("50")?);
    assert_eq!(figures(&percent)?, figures(&share)?);
    assert_ne!(figures(&percent)?, figures(&other)?);
    for target in ["0", "101", "NaN", "much"] {
        let refused = with(target)?;
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{target}");
        assert!(
            text(&refused.stderr).contains("--target"),
            "{}",
            text(&refused.stderr)
        );
    }
    Ok(())
}

/// Ready workers in a row.
fn ready(row: &Row) -> u32 {
    row[5]
}

#[test]
fn all_that_a_promotion_wants_answer_five_minutes_before_it_opens_and_are_let_go_after_it() -> Result<()> {
    let folder = Folder::new(&[
        ("pool.yaml", POOL),
        ("trace.csv", TRACE),
        ("promotion.yaml", PROMOTION),
    ])?;
    let run = |options: &str| folder.run(&format!("--factor 0.55 --timeline timeline.csv {options}"));
    let output = run("--promotion promotion.yaml")?;
    let held = (figures(&output)?, folder.timeline()?);
    let said = text(&output.stderr);
    let wanted = said
        .split("wanted=")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let wanted: u32 = wanted.with_context(|| said.clone())?.trim().parse()?;
    assert!(wanted > 20, "more than the pool's own maximum: {wanted}");
    let least = |rows: &[Row]| rows.iter().map(ready).min().unwrap_or(0);
    assert!(
        least(&held.1[OPENS - 5 * 60..CLOSES + 5 * 60]) >= wanted,
        "from five minutes before it opens until the hold after it is over"
    );
    assert!(
        least(&held.1[..OPENS - 20 * 60]) < 12,
        "it begins no earlier than it must"
    );
    assert_eq!(
        (&held.0["waited_over_5s"], &held.0["max_wait_s"]),
        (&0.into(), &0.0.into())
    );
    let steps = [6, 7, 8, 9].map(|minutes| ready(&held.1[CLOSES + minutes * 60]));
    assert!(
        steps.is_sorted_by(|before, after| before > after),
        "step by step: {steps:?}"
    );
    let last = held.1.last().map_or(0, ready);
    assert!(last < wanted / 2, "and then it follows its load: {last}");

    let (without, rows) = (figures(&run("")?)?, folder.timeline()?);
    assert!(ready(&rows[OPENS]) < wanted);
    assert!(
        without["max_wait_s"].as_f64() > Some(0.0),
        "three times as many find no room without it: {without}"
    );
    Ok(())
}

/// The least and the most that each conversation waited, in whole seconds, by the rows alone: who waits is served in the order
/// of coming, so those before row s were all served but for the last that wait in it.
fn waits(rows: &[Row]) -> Vec<(u32, u32)> {
    let (mut served, mut waits) = (0, Vec::new());
    let mut came = Vec::new();
    for (row, [second, arrivals, _, waiting, ..]) in (0_u32..).zip(rows) {
        assert_eq!(row, *second, "a row a second");
        let done = came.len().saturating_sub(*waiting as usize);
        for at in came.iter().take(done).skip(served) {
            waits.push((row.saturating_sub(at + 2), row - at));
        }
        served = served.max(done);
        came.extend((0..*arrivals).map(|_| row));
    }
    let end = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    // Those who still wait at the end, or were served in its last second.
    waits.extend(came.iter().skip(served).map(|at| (0, end - at)));
    waits
}

#[test]
fn the_timeline_gives_hours_peak_conversations_and_bounds_of_the_waits() -> Result<()> {
    let folder = Folder::new(&[("pool.yaml", POOL), ("trace.csv", TRACE)])?;
    // The surge is more than the pool's maximum serves for a while.
    for (factor, start) in [("0.9", 8), ("0.55", 45)] {
        let options = format!("--factor {factor} --start-seconds {start} --timeline timeline.csv");
        let figures = figures(&folder.run(&options)?)?;
        let rows = folder.timeline()?;
        let workers = |row: &Row| u64::from(row[4] + row[5] + row[6]);
        let hours = rows.iter().map(workers).sum::<u64>() as f64 / 3_600.0;
        let printed = figures["worker_hours"].as_f64().context("worker_hours")?;
        assert!((printed - hours).abs() < 1e-9, "{hours}: {figures}");
        assert_eq!(figures["peak_workers"].as_u64(), rows.iter().map(workers).max());
        let came = rows.iter().map(|row| u64::from(row[1])).sum::<u64>();
        assert_eq!(figures["conversations"].as_u64(), Some(came));

        assert_eq!(figures["busy_deleted"], 0, "nobody waits again");
        let waits = waits(&rows);
        let long = figures["waited_over_5s"].as_u64().context("waited_over_5s")?;
        let surely = waits.iter().filter(|(least, _)| *least >= 5).count() as u64;
        let maybe = waits.iter().filter(|(_, most)| *most > 5).count() as u64;
        assert!(surely <= long && long <= maybe, "{surely} to {maybe}: {figures}");
        assert!(
            long > 0 && maybe <= long * 2,
            "the bounds say something: {maybe}, {figures}"
        );
        let longest = figures["max_wait_s"].as_f64().context("max_wait_s")?;
        let least = waits.iter().map(|(least, _)| *least).max().unwrap_or(0);
        let most = waits.iter().map(|(_, most)| *most).max().unwrap_or(0);
        assert!(
            f64::from(least) <= longest && longest <= f64::from(most),
            "{least} to {most}: {figures}"
        );
    }
    Ok(())
}
