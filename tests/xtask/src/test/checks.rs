//! Checks that need no running part: format, build, lints, dependencies, generated files.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{exists, output};
use crate::progress::{Ending, Report, Step};
use crate::workspace;

/// Generated files: the command that writes them (a program of target/debug and its arguments) and where they are.
const GENERATED: &[(&[&str], &str)] = &[(
    &[
        "springtide-operator",
        "crds",
        "--folder",
        "charts/springtide-crds/templates",
    ],
    "charts/springtide-crds/templates",
)];

pub(super) fn format(report: &mut Report) {
    report.step("format", |step| {
        cargo(step, &["fmt", "--all", "--check", "--", "--color=never"])
    });
}

pub(super) fn build(report: &mut Report) -> bool {
    report.step("build", |step| {
        cargo(step, &["build", "--workspace", "--all-targets", "--locked"])
    })
}

pub(super) fn lints(report: &mut Report) {
    let words = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    report.step("lints", |step| cargo(step, &words));
}

/// One TLS provider only, and licences and bans where cargo-deny is at hand.
pub(super) fn dependencies(report: &mut Report) {
    report.step("one TLS provider", |_| one_provider());
    report.step("licences and bans", |step| {
        if exists("cargo-deny") {
            return cargo(
                step,
                &["deny", "--workspace", "check", "bans", "licenses", "sources"],
            );
        }
        Ok(Ending::Skipped(
            "cargo-deny is not installed: licences and bans are not checked".to_owned(),
        ))
    });
}

fn one_provider() -> Result<Ending> {
    let tree = workspace::cargo()?
        .args(["tree", "--workspace", "--locked", "--invert", "aws-lc-rs"])
        .output()?;
    let said = String::from_utf8_lossy(&tree.stderr).into_owned();
    if tree.status.success() {
        bail!(
            "a second TLS provider is in the tree:\n{}",
            String::from_utf8_lossy(&tree.stdout)
        );
    }
    if !said.contains("did not match any packages") {
        bail!("cargo tree failed for another reason:\n{said}");
    }
    Ok(Ending::Done(String::new()))
}

/// Generated files regenerate to a clean tree.
pub(super) fn generated(report: &mut Report) {
    for (words, path) in GENERATED {
        report.step(&format!("generated {path}"), |step| regenerate(step, words, path));
    }
}

fn regenerate(step: &Step, words: &[&str], path: &str) -> Result<Ending> {
    let (program, arguments) = words.split_first().context("an empty command in GENERATED")?;
    let root = workspace::root()?;
    step.run(
        Command::new(workspace::target()?.join("debug").join(program))
            .args(arguments)
            .current_dir(&root),
    )?;
    let changed = output(
        Command::new("git")
            .current_dir(&root)
            .args(["status", "--porcelain", "--", path]),
    )?;
    if !changed.is_empty() {
        bail!("not up to date; run `{}` and commit:\n{changed}", words.join(" "));
    }
    Ok(Ending::Done(String::new()))
}

pub(super) fn cargo(step: &Step, words: &[&str]) -> Result<Ending> {
    step.run(workspace::cargo()?.args(words))?;
    Ok(Ending::Done(String::new()))
}
