//! `springtide-billing`: metering, bills and the client firms' portal. See `--help`.

use std::process::ExitCode;

use clap::Parser as _;
use springtide_billing::command::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    springtide_runtime::install_crypto_provider();
    match Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("springtide-billing: {error:#}");
            ExitCode::FAILURE
        }
    }
}
