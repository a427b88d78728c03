//! `springtide-billing`: metering, bills and the client firms' portal. See `--help`.

use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::Parser as _;
use springtide_billing::command::Cli;

/// Threads at least: a large message is decoded in one go, and small ones should not wait for two of those.
const LEAST_THREADS: usize = 4;

/// A month of minutes, a PDF or a batch takes megabytes for a moment; this allocator keeps them at hand for the next, and gives back
/// what stays free.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    springtide_runtime::install_crypto_provider();
    let threads = available_parallelism().map_or(LEAST_THREADS, |cores| cores.get().max(LEAST_THREADS));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(Cli::parse().run()),
        Err(error) => Err(anyhow::Error::new(error).context("the runtime cannot start")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("springtide-billing: {error:#}");
            ExitCode::FAILURE
        }
    }
}
