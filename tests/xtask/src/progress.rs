//! Timed steps. On a terminal each shows a spinner with the last line of its command; elsewhere (CI) all lines are
//! printed as they come. A *report* keeps how each step ended and prints the table at the end.

use std::collections::VecDeque;
use std::fmt;
use std::io::{IsTerminal, stderr};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::clock::{Stopwatch, readable};
use crate::command::{describe, lines};
use crate::workspace::in_ci;

const TAIL_LINES: usize = 120;

/// How a step ended.
pub(crate) enum Ending {
    /// It ran; with a remark, or an empty one.
    Done(String),
    /// It had nothing to do here, and that is fine.
    Skipped(String),
    /// It could not run here, so the whole is not proven.
    NotRun(String),
    /// It failed.
    Failed(String),
}

impl fmt::Display for Ending {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(remark) if remark.is_empty() => write!(out, "ok"),
            Self::Done(remark) => write!(out, "ok ({remark})"),
            Self::Skipped(reason) => write!(out, "skipped: {reason}"),
            Self::NotRun(reason) => write!(out, "NOT RUN: {reason}"),
            Self::Failed(reason) => write!(out, "FAILED: {}", reason.lines().next().unwrap_or_default()),
        }
    }
}

/// All steps of one command.
#[derive(Default)]
pub(crate) struct Report(Vec<(String, Ending, Duration)>);

impl Report {
    /// Runs one step; an error is a failed step and is printed. Returns whether later steps may build on it.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce(&Step) -> Result<Ending>) -> bool {
        let step = Step::begin(name);
        let ending = work(&step).unwrap_or_else(|error| Ending::Failed(format!("{error:#}")));
        let took = step.watch.elapsed();
        step.finish(&ending);
        let usable = matches!(ending, Ending::Done(_) | Ending::Skipped(_));
        self.0.push((name.to_owned(), ending, took));
        usable
    }

    /// Notes a step that was not even tried.
    pub(crate) fn not_run(&mut self, name: &str, reason: &str) {
        self.0
            .push((name.to_owned(), Ending::NotRun(reason.to_owned()), Duration::ZERO));
    }

    /// Prints the table; an error names what failed or did not run.
    pub(crate) fn conclude(self) -> Result<()> {
        let width = self.0.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
        println!();
        for (name, ending, took) in &self.0 {
            println!("{name:width$}  {:>12}  {ending}", readable(*took));
        }
        let bad = |ending: &Ending| matches!(ending, Ending::Failed(_) | Ending::NotRun(_));
        let names: Vec<_> = self
            .0
            .iter()
            .filter(|(_, ending, _)| bad(ending))
            .map(|(name, ..)| name.as_str())
            .collect();
        if !names.is_empty() {
            bail!("failed or did not run: {}", names.join(", "));
        }
        Ok(())
    }
}

/// One step while it runs.
pub(crate) struct Step {
    name: String,
    watch: Stopwatch,
    bar: Option<ProgressBar>,
}

impl Step {
    /// Begins a step outside a report.
    pub(crate) fn begin(name: &str) -> Self {
        let bar = (stderr().is_terminal() && !in_ci()).then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} [{elapsed}] {wide_msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            println!("=== {name}");
        }
        Self {
            name: name.to_owned(),
            watch: Stopwatch::start(),
            bar,
        }
    }

    /// Says what the step is at.
    pub(crate) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => println!("    {text}"),
        }
    }

    /// Prints a line that stays.
    pub(crate) fn print(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => println!("{text}"),
        }
    }

    /// Runs a command: its lines are shown as they come, or its last ones when it fails on a terminal.
    pub(crate) fn run(&self, command: &mut Command) -> Result<()> {
        let shown = describe(command);
        let mut kept = VecDeque::new();
        let worked = lines(command, |line| {
            if self.bar.is_none() || line.trim_start().starts_with("test result:") {
                self.print(line);
            } else {
                self.note(line.trim());
            }
            kept.push_back(line.to_owned());
            if kept.len() > TAIL_LINES {
                kept.pop_front();
            }
        })?;
        if worked {
            return Ok(());
        }
        if self.bar.is_some() {
            self.print(&kept.make_contiguous().join("\n"));
        }
        bail!("`{shown}` failed");
    }

    /// Ends the step and says how.
    pub(crate) fn finish(self, ending: &Ending) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let reason = match ending {
            Ending::Failed(reason) => format!("FAILED\n{reason}").trim_end().to_owned(),
            other => other.to_string(),
        };
        println!("--- {}: {reason} [{}]", self.name, readable(self.watch.elapsed()));
    }
}

/// Runs `work` as one step of its own; an error is returned, not kept.
pub(crate) fn alone<T>(name: &str, work: impl FnOnce(&Step) -> Result<T>) -> Result<T> {
    let step = Step::begin(name);
    let result = work(&step);
    let ending = match &result {
        Ok(_) => Ending::Done(String::new()),
        Err(_) => Ending::Failed(String::new()),
    };
    step.finish(&ending);
    result
}
