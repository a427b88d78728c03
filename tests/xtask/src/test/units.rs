//! Tests that need no cluster: units, properties, one binary at a time, PostgreSQL.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::output;
use crate::packages;
use crate::postgres::{self, Postgres};
use crate::progress::{Ending, Report, Step};
use crate::workspace;

/// Environment variable that names helm to the tests of the charts.
const HELM: &str = "SPRINGTIDE_HELM";
/// Test targets with this prefix need the cluster.
pub(super) const END_TO_END: &str = "e2e";

/// `programs` is the folder with helm.
pub(super) fn run(report: &mut Report, programs: Option<&Path>) {
    let mut server = None;
    let started = report.step("PostgreSQL", |step| {
        packages::ensure_postgres(step)?;
        let bin = packages::postgres_programs().context("no PostgreSQL server under /usr/lib/postgresql")?;
        let running = Postgres::start(&bin)?;
        let remark = running.address().to_owned();
        server = Some(running);
        Ok(Ending::Done(remark))
    });
    report.step("browser", |step| {
        packages::ensure(step, packages::BROWSER).map(|()| Ending::Done(String::new()))
    });
    report.step("OpenID provider", |step| {
        packages::ensure_openid_provider(step).map(|()| Ending::Done(String::new()))
    });
    let mut environment = Vec::new();
    if let Some(server) = &server {
        environment.push((postgres::VARIABLE, server.address().to_owned()));
    }
    if let Some(programs) = programs {
        environment.push((HELM, programs.join("helm").display().to_string()));
    }
    let remark = if started { "" } else { "without PostgreSQL" };
    report.step("unit tests", |step| {
        units(step, &environment).map(|()| Ending::Done(remark.to_owned()))
    });
    report.step("documentation tests", |step| {
        cargo_test(step, &["--doc".to_owned()], &environment).map(|()| Ending::Done(String::new()))
    });
}

fn units(step: &Step, environment: &[(&str, String)]) -> Result<()> {
    let mut words = ["--lib", "--bins", "--examples"].map(str::to_owned).to_vec();
    for name in test_targets()?
        .into_iter()
        .filter(|name| !name.starts_with(END_TO_END))
    {
        words.extend(["--test".to_owned(), name]);
    }
    cargo_test(step, &words, environment)
}

/// Always the whole workspace: a part of it would have other features, and compile all again.
fn cargo_test(step: &Step, words: &[String], environment: &[(&str, String)]) -> Result<()> {
    let mut test = workspace::cargo()?;
    test.args(["test", "--workspace", "--locked", "--no-fail-fast"])
        .args(words);
    test.envs(environment.iter().map(|(name, value)| (name, value)));
    step.run(&mut test)
}

/// Names of the workspace's integration test targets.
pub(super) fn test_targets() -> Result<Vec<String>> {
    let text = output(workspace::cargo()?.args(["metadata", "--no-deps", "--format-version=1", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata is not JSON")?;
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let targets = list(&metadata, "packages")
        .into_iter()
        .flat_map(|package| list(&package, "targets"));
    let tests = targets.filter(|target| target["kind"][0] == "test");
    let mut names: Vec<_> = tests
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}
