//! The command line of a simulation.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::outcome::PolicyName;
use super::trace::Gaps;

/// Shown below the options.
pub const EXAMPLES: &str = "\
Examples:
  springtide-operator simulate --pool pool.yaml --trace calls.csv --factor 0.02 --policy all
  springtide-operator simulate --pool pool.yaml --trace calls.csv --time-column start --value-column calls \\
      --gaps zero --factor 0.02 --policy springtide --format json --timeline timeline.csv
  springtide-operator simulate --pool pool.yaml --promotion double-11.yaml --trace november.csv \\
      --policy springtide --policy hpa --chart november.svg

A trace is a file of comma-separated values whose first line names its columns. Times are RFC 3339, dates and times without
a zone (taken as UTC), or numbers of seconds; each line holds until the next, and the last as long as the one before. A value
times the factor is conversations per second.

Conversations come as a Poisson process within each line of the trace and hold a worker for an exponential time; who waits
does not give up. A run begins in the steady state of the first line. The oracle has, at each whole second, as many workers as
its conversations fill when nobody ever waits, whatever the pool's minimum, and pays the start time for each creation.

A timeline has the columns second,arrivals,active,waiting,starting,ready,draining, and a row a second, taken after all that
was decided then; arrivals are those within the second that begins there. From it can be computed again:
  worker_hours    the sum of starting, ready and draining, over 3,600
  peak_workers    the most of that sum in a row
  conversations   the sum of arrivals
  waits           within two seconds each, where busy_deleted is 0. Who waits is served in the order of coming: by row s, those
                  who came before it but for the last \"waiting\" of them were served. Who came in row a and was first served by
                  row s waited for more than s - a - 2 and at most s - a seconds. That bounds max_wait_s and waited_over_5s
The others (oracle_worker_hours, ratio, creations, deletions, moved, busy_deleted) are not in it.

Logs go to standard error: fields of a file that are not known, and what each promotion came to.";

/// What to simulate.
#[derive(Args, Debug)]
pub struct SimulateArguments {
    /// File of the BotPool, YAML or JSON; spec.scaling and spec.worker.conversations matter. It may have other resources too:
    /// of its Tenant the limit and the time zone count
    #[arg(long, value_name = "FILE")]
    pub pool: PathBuf,
    /// File of a Promotion for that pool, YAML or JSON; again for each. The policy springtide plans them as the operator does
    #[arg(long = "promotion", value_name = "FILE")]
    pub promotions: Vec<PathBuf>,
    /// File of the trace
    #[arg(long, value_name = "FILE")]
    pub trace: PathBuf,
    /// Conversations per second of a value of 1 in the trace
    #[arg(long, default_value_t = 1.0, value_name = "NUMBER")]
    pub factor: f64,
    /// What decides; again for each, or all
    #[arg(long = "policy", required = true, value_enum, value_name = "NAME")]
    pub policies: Vec<PolicyChoice>,
    /// Seconds from a worker's creation until it is ready
    #[arg(long, default_value_t = 8.0, value_name = "SECONDS")]
    pub start_seconds: f64,
    /// File of measured start times, a number of seconds a line, of which each worker's is drawn; instead of --start-seconds
    #[arg(long, value_name = "FILE")]
    pub start_times: Option<PathBuf>,
    /// Mean length of a conversation
    #[arg(long, default_value_t = 180.0, value_name = "SECONDS")]
    pub hold_seconds: f64,
    /// The same seed gives the same run
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
    /// What a gap in the trace means: a step that is longer than the usual one
    #[arg(long, value_enum, default_value_t, value_name = "MEANING")]
    pub gaps: Gaps,
    /// Name of the trace's column with the times
    #[arg(long, default_value = "time", value_name = "NAME")]
    pub time_column: String,
    /// Name of the trace's column with the values
    #[arg(long, default_value = "value", value_name = "NAME")]
    pub value_column: String,
    /// Seconds of a step, where the time column only counts steps
    #[arg(long, value_name = "SECONDS")]
    pub step_seconds: Option<f64>,
    /// Share of a worker's conversations that hpa, keda and kpa fill: in percent, as 70, or as a share of at most 1, as 0.7
    #[arg(long, default_value = "70", value_parser = percent, value_name = "PERCENT")]
    pub target: f64,
    /// Workers of static instead of the oracle's peak
    #[arg(long, value_name = "COUNT")]
    pub workers: Option<u32>,
    /// Write the run of a single policy to this file, a row a second
    #[arg(long, value_name = "FILE")]
    pub timeline: Option<PathBuf>,
    /// Draw all that ran into this file
    #[arg(long, value_name = "FILE.svg")]
    pub chart: Option<PathBuf>,
    /// How to print what came of it
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,
}

/// A percentage, or a share: what is at most 1 is a share, for nobody fills one hundredth of a worker.
fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    if number > 0.0 && number <= 1.0 {
        Ok(number * 100.0)
    } else if number > 1.0 && number <= 100.0 {
        Ok(number)
    } else {
        Err(
            "give a percentage above 1 and at most 100, as 70, or a share above 0 and at most 1, as 0.7"
                .to_owned(),
        )
    }
}

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table, a row a policy
    #[default]
    Table,
    /// A JSON object, or an array of them for several policies
    Json,
}

/// A policy, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyChoice {
    /// Every one.
    All,
    /// This one.
    One(PolicyName),
}

impl ValueEnum for PolicyChoice {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [PolicyChoice; 7] = [
            PolicyChoice::One(PolicyName::Springtide),
            PolicyChoice::One(PolicyName::Hpa),
            PolicyChoice::One(PolicyName::Keda),
            PolicyChoice::One(PolicyName::Kpa),
            PolicyChoice::One(PolicyName::Static),
            PolicyChoice::One(PolicyName::Oracle),
            PolicyChoice::All,
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        match self {
            Self::All => Some(clap::builder::PossibleValue::new("all").help("Each of them")),
            Self::One(name) => name.to_possible_value(),
        }
    }
}

impl SimulateArguments {
    /// The policies in the order given, each once.
    pub(super) fn chosen(&self) -> Vec<PolicyName> {
        let mut chosen = Vec::new();
        for choice in &self.policies {
            let names = match choice {
                PolicyChoice::All => &PolicyName::ALL[..],
                PolicyChoice::One(name) => std::slice::from_ref(name),
            };
            for name in names {
                if !chosen.contains(name) {
                    chosen.push(*name);
                }
            }
        }
        chosen
    }
}
