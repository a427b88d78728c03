//! `cargo xtask`: Springtide's developer command. It runs the tests, brings a real two-node Kubernetes cluster up and
//! down on this machine, and packs our binaries into images.
//!
//! Terms: a *step* is one timed part of a command; the *state folder* holds all that a running cluster writes; a
//! *network namespace* is a separate network stack of the kernel, here one per node and one for the control plane.

mod bench;
mod clock;
mod cluster;
mod command;
mod demo;
mod forward;
mod guard;
mod images;
mod packages;
mod postgres;
mod progress;
mod test;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Springtide's developer command.
///
/// Start with `cargo xtask demo` (the whole system at work), `cargo xtask test` (all that CI runs) or `cargo xtask cluster up` (a real two-node Kubernetes on this
/// machine, in network namespaces without a way out). Both need root on Debian or Ubuntu and Go 1.24 or newer for the
/// cluster; what else is missing they install or build themselves.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// The whole system on this machine: a real cluster, two client firms, a day of customers in minutes, their bills.
    Demo(demo::Options),
    /// Run every check and test of the project, as CI does; ends with a table of what ran and how long it took.
    Test(test::Options),
    /// A real two-node Kubernetes cluster on this machine.
    Cluster(cluster::Options),
    /// Measure what the design promises, each figure beside its reference.
    Bench(bench::Options),
    /// Pack our binaries into OCI images under target/images.
    Images(images::Options),
    /// Forward a TCP address of this machine into a network namespace, until stopped.
    #[command(hide = true)]
    Forward(forward::Options),
    /// The half of `forward` that runs inside the namespace.
    #[command(hide = true)]
    ForwardInside(forward::InsideOptions),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Demo(options) => demo::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Cluster(options) => cluster::run(options),
        Task::Images(options) => images::run(&options),
        Task::Forward(options) => forward::run(&options),
        Task::ForwardInside(options) => forward::run_inside(&options),
    }
}
