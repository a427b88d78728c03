//! `bench`: measures what the design promises, each figure beside its reference in the same run, and writes them as JSON.

mod autoscaling;
mod billing;
mod database;
mod in_process;
mod ingest;
mod invoices;
mod pdf;
mod reads;
mod released;
mod safety;
mod scale;
mod simulation;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Options of `bench`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Worker-hours on real traces against an oracle and against other autoscalers, at their defaults and tuned; and on a real
    /// cluster, how long a step in load takes to become a Pod.
    Autoscaling(autoscaling::Options),
    /// How fast and how surely billing takes usage and makes bills.
    Billing(billing::Options),
}

/// Runs a bench.
pub(crate) fn run(options: &Options) -> Result<()> {
    match &options.part {
        Part::Autoscaling(options) => autoscaling::run(options),
        Part::Billing(options) => billing::run(options),
    }
}
