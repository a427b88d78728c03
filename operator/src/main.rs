//! The operator's process.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use clap::Parser as _;
use springtide_operator::api::{all_crds, crds_yaml};
use springtide_operator::cli::{Arguments, Command};

/// A new leader takes on thousands of streams in seconds, and lists whole clusters; this allocator gives back what that took.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    springtide_runtime::install_crypto_provider();
    let arguments = Arguments::parse();
    let _telemetry = springtide_runtime::telemetry::init("springtide-operator", &arguments.telemetry)?;
    match arguments.command {
        Command::Run(run) => Box::pin(springtide_operator::run::run(*run)).await,
        Command::Crds { folder } => write_crds(folder.as_deref()),
        Command::Simulate(arguments) => {
            springtide_operator::simulate::simulate(&arguments, &mut std::io::stdout().lock())?;
            Ok(())
        }
    }
}

fn write_crds(folder: Option<&Path>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for crd in all_crds() {
        let yaml = crds_yaml(&crd)?;
        match folder {
            Some(folder) => {
                let file = folder.join(format!("{}.yaml", crd.spec.names.plural));
                std::fs::write(&file, yaml).with_context(|| format!("writing {}", file.display()))?;
            }
            None => write!(out, "---\n{yaml}").context("writing to standard output")?,
        }
    }
    Ok(())
}
