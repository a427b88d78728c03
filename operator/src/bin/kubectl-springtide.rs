//! `kubectl springtide`: says why a pool has its size, and what a promotion comes to.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use springtide_operator::plugin::{Arguments, run};
use springtide_runtime::clock::SystemClock;

#[tokio::main]
async fn main() -> ExitCode {
    springtide_runtime::install_crypto_provider();
    let arguments = Arguments::parse();
    match run(&arguments, &SystemClock).await {
        // Who reads no further has what he wants.
        Ok(text) => {
            drop(std::io::stdout().lock().write_all(text.as_bytes()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            drop(writeln!(std::io::stderr().lock(), "error: {error}"));
            ExitCode::FAILURE
        }
    }
}
