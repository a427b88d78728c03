//! `springtide-course`: the demo's course on a running cluster, and its figures. `cargo xtask demo` calls it.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use springtide_runtime::telemetry::{self, TelemetryArgs};
use springtide_tests::cluster::Cluster;
use springtide_tests::course::{Course, Database, Scale, install_charts};
use springtide_tests::data::DataArgs;
use springtide_tests::{assignment, chaos, ingest, promotion, reads, scale};
use tokio::runtime::Builder;

/// Thousands of simulated workers are to take little of a processor that they share with what is measured.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Plays the demo on a running cluster: two client firms, customers, faults, a promotion, and the bills.
///
/// Runs inside a node's network namespace; `cargo xtask demo` does all of that for you.
#[derive(Parser, Debug)]
#[command(name = "springtide-course", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Play the course and leave its files in a folder
    Run(Box<RunArgs>),
    /// Compute the figures of a course again, from the files it left
    Report {
        /// Folder of the course
        folder: PathBuf,
    },
    /// Have a promotion of three times the load on a running cluster, and measure when all of it answers
    Promotion(PromotionArgs),
    /// Compute the figures of such a run again, from the files it left
    PromotionReport {
        /// Folder of the run
        folder: PathBuf,
    },
    /// Run the operator for thousands of pools on a cluster of fake nodes, with simulated workers
    Scale(Box<ScaleArgs>),
    /// Compute the figures of such a run again, from the files it left
    ScaleReport {
        /// Folder of the run
        folder: PathBuf,
    },
    /// Measure how long new conversations take to warm workers, in this process
    Assignment {
        /// Where the run leaves its files
        #[arg(long, value_name = "FOLDER")]
        report: PathBuf,
        #[command(flatten)]
        size: assignment::Size,
    },
    /// Talk to workers that come and go, in this process, and count what was lost
    Chaos {
        /// Where the run leaves its files
        #[arg(long, value_name = "FOLDER")]
        report: PathBuf,
        #[command(flatten)]
        size: chaos::Size,
    },
    /// Measure how fast billing's program takes usage, before a PostgreSQL
    Ingest {
        /// Where the run leaves its figures
        #[arg(long, value_name = "FOLDER")]
        report: PathBuf,
        #[command(flatten)]
        place: ingest::Place,
        #[command(flatten)]
        size: ingest::Size,
    },
    /// Measure how fast a client firm reads its bills, of billing's program before a PostgreSQL
    Reads {
        /// Where the run leaves its figures
        #[arg(long, value_name = "FOLDER")]
        report: PathBuf,
        #[command(flatten)]
        place: reads::Place,
        #[command(flatten)]
        size: reads::Size,
    },
    /// Compute the figures of an assignment run again, from the files it left
    AssignmentReport {
        /// Folder of the run
        folder: PathBuf,
    },
    /// Compute the figures of a chaos run again, from the files it left
    ChaosReport {
        /// Folder of the run
        folder: PathBuf,
    },
}

#[derive(Args, Debug)]
struct PromotionArgs {
    /// State folder of the running cluster
    #[arg(long, value_name = "FOLDER")]
    state: PathBuf,
    /// Where the run leaves its files
    #[arg(long, value_name = "FOLDER")]
    report: PathBuf,
    /// Folder of the Helm charts
    #[arg(long, value_name = "FOLDER")]
    charts: PathBuf,
    #[command(flatten)]
    size: promotion::Size,
}

#[derive(Args, Debug)]
struct ScaleArgs {
    /// State folder of the running cluster
    #[arg(long, value_name = "FOLDER")]
    state: PathBuf,
    /// Where the run leaves its files
    #[arg(long, value_name = "FOLDER")]
    report: PathBuf,
    /// Folder of the Helm charts
    #[arg(long, value_name = "FOLDER")]
    charts: PathBuf,
    /// The operator's program
    #[arg(long, value_name = "FILE")]
    operator: PathBuf,
    #[command(flatten)]
    size: scale::Size,
}

#[derive(Args, Debug)]
struct RunArgs {
    /// State folder of the running cluster
    #[arg(long, value_name = "FOLDER")]
    state: PathBuf,
    /// Where the course leaves its files
    #[arg(long, value_name = "FOLDER")]
    report: PathBuf,
    /// Folder of the Helm charts
    #[arg(long, value_name = "FOLDER")]
    charts: PathBuf,
    /// Seconds of earlier phases, as NAME=SECONDS
    #[arg(long = "phase", value_name = "NAME=SECONDS", value_parser = phase)]
    phases: Vec<(String, f64)>,
    #[command(flatten)]
    data: DataArgs,
}

fn phase(text: &str) -> Result<(String, f64), String> {
    let (name, seconds) = text.split_once('=').ok_or("NAME=SECONDS is needed")?;
    Ok((
        name.to_owned(),
        seconds.parse().map_err(|error| format!("{seconds:?}: {error}"))?,
    ))
}

fn show(figures: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(figures)?);
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut runtime = match arguments.command {
        // Thousands of connections, on each of which little is said: one thread writes what several streams of a connection
        // have to say at once, and wakes no other.
        Command::Scale(_) => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    runtime.enable_all().build()?.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let _telemetry = telemetry::init("springtide-course", &arguments.telemetry)?;
    match arguments.command {
        Command::Run(run) => {
            let course = Course {
                cluster: Cluster::read(&run.state)?,
                report: run.report.clone(),
                data: run.data.read()?,
                scale: Scale::demo(),
                phases: run.phases,
                charts: run.charts,
                database: Database::Sqlite,
            };
            let report = course.run().await?;
            println!("{}", serde_json::to_string_pretty(&report)?);
            let broken = report.broken_promises();
            anyhow::ensure!(
                broken.is_empty(),
                "the course broke its promises: {}",
                broken.join("; ")
            );
        }
        Command::Promotion(run) => {
            let cluster = Cluster::read(&run.state)?;
            install_charts(&cluster, &run.charts, &Database::Sqlite).await?;
            show(&promotion::run(&cluster, run.size, &run.report).await?)?;
        }
        Command::PromotionReport { folder } => show(&promotion::compute(&folder)?)?,
        Command::Scale(run) => {
            let figures = scale::Run {
                cluster: Cluster::read(&run.state)?,
                folder: run.report,
                charts: run.charts,
                operator: run.operator,
                size: run.size,
            };
            show(&figures.play().await?)?;
        }
        Command::ScaleReport { folder } => show(&scale::compute(&folder)?)?,
        Command::Assignment { report, size } => show(&assignment::run(size, report).await?)?,
        Command::Chaos { report, size } => show(&chaos::run(size, report).await?)?,
        Command::Ingest { report, place, size } => show(&ingest::run(size, place, &report).await?)?,
        Command::Reads { report, place, size } => show(&reads::run(size, place, &report).await?)?,
        Command::AssignmentReport { folder } => show(&assignment::compute(&folder)?)?,
        Command::ChaosReport { folder } => show(&chaos::compute(&folder)?)?,
        Command::Report { folder } => {
            let before: serde_json::Value = serde_json::from_str(
                &std::fs::read_to_string(folder.join(springtide_tests::report::REPORT))
                    .context("the folder has no report")?,
            )?;
            let phases = before["phases_s"].as_object().cloned().unwrap_or_default();
            let phases: Vec<_> = phases
                .into_iter()
                .filter_map(|(name, seconds)| Some((name, seconds.as_f64()?)))
                .collect();
            println!(
                "{}",
                serde_json::to_string_pretty(&springtide_tests::report::compute(&folder, &phases)?)?
            );
        }
    }
    Ok(())
}
