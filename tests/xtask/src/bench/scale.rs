//! The scale part of `bench autoscaling`: thousands of pools on the real control plane, with fake nodes and simulated workers.
//! The run itself is `springtide-course scale`, in the control plane's network namespace; all that it measured is in its folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;

use crate::cluster::layout::State;
use crate::cluster::{self, CONTROL};
use crate::command::attached;
use crate::progress::alone;
use crate::{demo, packages, workspace};

use super::autoscaling::bar;
use super::released::{self, COURSE, OPERATOR};

/// Fake nodes.
const NODES: u16 = 20;

/// How much.
#[derive(Args)]
pub(super) struct ScaleOptions {
    /// Pools of the scale part.
    #[arg(long, default_value_t = 5_000, value_name = "COUNT")]
    pools: u32,
    /// Tenants that they are shared out among, at most 16 each.
    #[arg(long, default_value_t = 320, value_name = "COUNT")]
    tenants: u32,
    /// Workers of a pool, at least.
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    workers_per_pool: u32,
    /// How long is measured.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    seconds: u64,
    /// Workers a second that steps need, over all pools: what the API server carries.
    #[arg(long, default_value_t = 5.0, value_name = "COUNT")]
    creations: f64,
    /// What watches of Pods say is held back from the operator for so long, again and again, as by caches that lag.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    late: u64,
    /// Folder of the cluster while it runs.
    #[arg(long, env = cluster::STATE_VARIABLE, default_value = cluster::DEFAULT_STATE)]
    state: PathBuf,
}

/// Measures on a cluster of its own; what the run leaves is in `folder`.
pub(super) fn run(options: &ScaleOptions, folder: &Path) -> Result<Vec<Value>> {
    cluster::possible()?;
    alone("packages", |step| packages::ensure(step, packages::CLUSTER))?;
    let binaries = alone("cluster programs", |step| cluster::ensure_binaries(step, true))?;
    released::build(&[OPERATOR, COURSE])?;
    let state = State::new(&options.state)?;
    let guard = demo::down_guard(&state)?;
    alone("cluster up", |step| {
        cluster::start(step, &state, &binaries, Some(NODES))
    })?;
    let played = attached(&mut program(options, &state, folder)?);
    alone("cluster down", |_| cluster::stop(&state))?;
    drop(guard);
    played?;
    let text = fs::read_to_string(folder.join("scale.json")).context("the run left no figures")?;
    Ok(bars(&serde_json::from_str(&text)?))
}

fn program(options: &ScaleOptions, state: &State, folder: &Path) -> Result<Command> {
    // The run ends with this command, however that ends.
    let mut run = Command::new("setpriv");
    run.args(["--pdeathsig", "TERM", "nsenter"])
        .arg(format!("--net=/run/netns/{CONTROL}"));
    run.arg(released::program(COURSE)?).arg("scale");
    run.arg("--state").arg(state.folder()).arg("--report").arg(folder);
    run.arg("--charts").arg(workspace::root()?.join("charts"));
    run.arg("--operator").arg(released::program(OPERATOR)?);
    let ScaleOptions {
        pools,
        tenants,
        workers_per_pool,
        seconds,
        creations,
        late,
        state: _,
    } = options;
    for (flag, value) in [
        ("pools", pools.to_string()),
        ("tenants", tenants.to_string()),
        ("workers-per-pool", workers_per_pool.to_string()),
        ("seconds", seconds.to_string()),
        ("creations", creations.to_string()),
        ("late", late.to_string()),
    ] {
        run.arg(format!("--{flag}={value}"));
    }
    Ok(run)
}

fn bars(figures: &Value) -> Vec<Value> {
    let number = |path: &str| {
        figures
            .pointer(path)
            .and_then(Value::as_f64)
            .unwrap_or(f64::INFINITY)
    };
    let count = |path: &str| figures.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let pools = count("/size/pools");
    let of = |what: &str| format!("{pools} pools: {what}");
    let creations = count("/creations");
    let workers = count("/workers_attached");
    vec![
        bar(
            &of("step in load to Pod create, p99, ms"),
            number("/step_to_create_ms/p99"),
            150.0,
            count("/step_to_create_ms/n"),
            "the API server's audit log",
        ),
        bar(
            &of("step in load to decision, p99 at most, ms"),
            number("/step_to_decision/p99_at_most_ms"),
            150.0,
            count("/step_to_decision/n"),
            "all steps, by the operator's histogram",
        ),
        bar(
            &of("operator, cores"),
            number("/operator_cores"),
            1.0,
            workers,
            "utime + stime over the window",
        ),
        bar(
            &of("operator, most resident memory, MiB"),
            number("/operator_most_rss_mib").max(number("/operator_most_rss_after_failover_mib")),
            512.0,
            workers,
            "VmHWM of both leaders",
        ),
        bar(
            &of("creations beyond what was desired"),
            number("/creations_beyond_desired"),
            0.0,
            creations,
            "audit log against decisions, with a leader killed",
        ),
        bar(
            &of("opposing writes"),
            number("/opposing_writes"),
            0.0,
            count("/overrides_given"),
            "the operator's writes into pools, beside overrides of others",
        ),
        bar(
            &of("leader killed to decisions, s"),
            number("/leader_lost/decides_again_s"),
            5.0,
            1,
            "the log of the next leader",
        ),
    ]
}
