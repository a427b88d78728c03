//! The operator's process.

use std::io::Write as _;

use anyhow::Context as _;
use clap::Parser as _;
use springtide_operator::cli::{Arguments, Command};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    springtide_runtime::install_crypto_provider();
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Run(run) => {
            let _telemetry =
                springtide_runtime::telemetry::init("springtide-operator", &arguments.telemetry)?;
            springtide_operator::run::run(*run).await
        }
        Command::Crds => {
            let mut out = std::io::stdout().lock();
            for crd in springtide_operator::api::all_crds() {
                write!(out, "---\n{}", springtide_operator::api::crds_yaml(&crd)?)
                    .context("writing to standard output")?;
            }
            Ok(())
        }
    }
}
