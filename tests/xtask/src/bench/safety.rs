//! The safety part of `bench billing`: the tests that look for a record that was lost or counted twice, at their full size.
//! `cargo xtask test` runs them small.

use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use crate::command::lines;
use crate::postgres::{self, Postgres};
use crate::progress::alone;
use crate::{packages, workspace};

use super::autoscaling::bar;

/// How much.
#[derive(Args)]
pub(super) struct SafetyOptions {
    /// Simulated months in which everything goes wrong that can.
    #[arg(long, default_value_t = 100_000, value_name = "COUNT")]
    months: u64,
    /// Random plans with random usage, whose bills are computed three times.
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    bills: u64,
    /// Kills of the server, or of an issue, on each of SQLite and PostgreSQL.
    #[arg(long, default_value_t = 250, value_name = "COUNT")]
    kills: u64,
}

/// A test that takes its size from the environment, and fails at the first record that is not right.
struct Search {
    what: &'static str,
    variable: &'static str,
    target: &'static [&'static str],
    test: &'static str,
    reference: &'static str,
}

const MONTHS: Search = Search {
    what: "simulated months of faults with an interaction lost, billed twice or in a wrong statement",
    variable: "SPRINGTIDE_SIMULATED_MONTHS",
    target: &["--lib"],
    test: "in_a_month_of_faults_each_interaction_is_billed_once",
    reference: "sums that are computed without the code of batches",
};
const BILLS: Search = Search {
    what: "random plans and usages whose bills differ",
    variable: "SPRINGTIDE_RANDOM_BILLS",
    target: &["--lib"],
    test: "random_bills_are_what_the_contract_says_and_the_same_on_both_databases",
    reference: "SQLite, PostgreSQL and a naive computation in fractions, to the last digit",
};
const KILLS: Search = Search {
    what: "records lost or counted twice, or breaks of the chain, after kills",
    variable: "SPRINGTIDE_KILLS",
    target: &["--test", "program"],
    test: "killing_loses_nothing_and_doubles_nothing",
    reference: "what senders were told is durable, on SQLite and PostgreSQL",
};

/// Bars, and what the tests said.
pub(super) fn run(options: &SafetyOptions, folder: &Path) -> Result<(Vec<Value>, Value)> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    alone("PostgreSQL", packages::ensure_postgres)?;
    let bin = packages::postgres_programs().context("no PostgreSQL server under /usr/lib/postgresql")?;
    let server = Postgres::start(&bin)?;
    let (mut bars, mut said) = (Vec::new(), json!({}));
    let kills_of_both = options.kills * 2;
    for (search, size, n) in [
        (MONTHS, options.months, options.months),
        (BILLS, options.bills, options.bills),
        (KILLS, options.kills, kills_of_both),
    ] {
        let found = search.run(size, &server, folder)?;
        let wrong = if found.is_clean { 0.0 } else { 1.0 };
        bars.push(bar(search.what, wrong, 0.0, n, search.reference));
        said[search.variable] = Value::from(found.said);
    }
    Ok((bars, said))
}

struct Found {
    /// Nothing was wrong; else the search ended at the first that was.
    is_clean: bool,
    /// What it says of its size.
    said: Vec<String>,
}

impl Search {
    /// All that it printed is in `folder`, in a file of the variable's name.
    fn run(&self, size: u64, server: &Postgres, folder: &Path) -> Result<Found> {
        let mut test = workspace::cargo()?;
        test.args(["test", "--workspace", "--locked"]).args(self.target);
        test.args(["--", "--nocapture", "--test-threads=1", self.test]);
        test.env(self.variable, size.to_string());
        test.env(postgres::VARIABLE, server.address());
        let (mut all, mut said, mut ran) = (String::new(), Vec::new(), false);
        let is_clean = alone(&format!("{} {size}", self.variable), |_| {
            lines(&mut test, |line| {
                ran |= line.contains(self.test);
                if line.contains(" kills, ") || line.contains(" months in ") {
                    said.push(line.to_owned());
                }
                all.push_str(line);
                all.push('\n');
            })
        })?;
        let file = folder.join(format!("{}.log", self.variable));
        std::fs::write(&file, all).with_context(|| format!("cannot write {}", file.display()))?;
        anyhow::ensure!(ran, "no test {} was run: see {}", self.test, file.display());
        Ok(Found { is_clean, said })
    }
}
