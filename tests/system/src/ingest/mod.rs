//! How fast billing takes usage: its own program with mutual TLS before a real PostgreSQL, every event reported by both of
//! its witnesses, and how long small reports take alone and beside that.
//!
//! A *lane* is one tenant's worker and gateway: each batch goes first by the worker, and then, while the worker sends the
//! next, the same bytes by the gateway. The *store* phase does the same without TLS, gRPC and the other process.

mod figures;
mod lane;
mod program;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};
use springtide_billing::store::Store;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use figures::{Figures, Phase};
use lane::{Door, Lane, Tally};
pub(crate) use program::Program;

/// What the run leaves.
pub const FIGURES: &str = "figures.json";
/// Single reports a second, in the phases that have them.
const SMALL_RATE: u64 = 500;
/// Phases beside the long one.
const SHORT: Duration = Duration::from_secs(20);

/// How much.
#[derive(Args, Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Size {
    /// Seconds of the long phase
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub seconds: u64,
    /// Reports of a batch
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    pub batch: usize,
    /// Tenants that report at the same time
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    pub lanes: usize,
}

/// Where.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// Database with billing's tables
    #[arg(long, value_name = "URL")]
    pub database_url: String,
    /// Billing's program
    #[arg(long, value_name = "FILE")]
    pub billing: PathBuf,
    /// Leave the store phase out
    #[arg(long)]
    pub without_store: bool,
}

/// Measures, and leaves the figures in `folder`.
pub async fn run(size: Size, place: Place, folder: &Path) -> anyhow::Result<Figures> {
    std::fs::create_dir_all(folder)?;
    let program = Arc::new(Program::start(&place.billing, &place.database_url).await?);
    let cpu = program.cpu_seconds();
    let alone = small_on_its_own_thread(program.clone(), SHORT).await?;
    let one = phase(&program, Size { lanes: 1, ..size }, SHORT, "one", true).await?;
    let bulk = phase(&program, size, Duration::from_secs(size.seconds), "bulk", false).await?;
    let (beside, beside_bulk) = tokio::try_join!(
        small_on_its_own_thread(program.clone(), SHORT),
        phase(&program, size, SHORT, "beside", false)
    )?;
    let billing_cpu_seconds = program.cpu_seconds() - cpu;
    drop(program);
    let store = if place.without_store {
        None
    } else {
        Some(store_phase(size, &place.database_url).await?)
    };
    let figures = Figures {
        size,
        small_alone_ms: alone,
        one_batch_at_a_time: one,
        bulk,
        small_beside_bulk_ms: beside,
        bulk_beside_small: beside_bulk,
        store,
        billing_cpu_seconds,
        load_cpu_seconds: crate::resources::cpu_seconds()?,
    };
    std::fs::write(folder.join(FIGURES), serde_json::to_string_pretty(&figures)?)?;
    Ok(figures)
}

/// All lanes for a while. `in_turn`: each lane has one batch on its way at a time.
async fn phase(
    program: &Program,
    size: Size,
    time: Duration,
    name: &str,
    in_turn: bool,
) -> anyhow::Result<Phase> {
    let mut lanes = Vec::new();
    for number in 0..size.lanes {
        let tenant = format!("bench-{number}");
        let door = Door::Program(Box::new(program.clients(&tenant).await?));
        lanes.push(Lane::new(&tenant, name, size.batch, door));
    }
    run_lanes(lanes, time, in_turn).await
}

async fn store_phase(size: Size, url: &str) -> anyhow::Result<Phase> {
    let store = Store::connect(url, false).await?;
    let lanes = (0..size.lanes)
        .map(|number| {
            Lane::new(
                &format!("bench-{number}"),
                "store",
                size.batch,
                Door::Store(store.clone()),
            )
        })
        .collect();
    let phase = run_lanes(lanes, SHORT, false).await;
    store.close().await;
    phase
}

async fn run_lanes(lanes: Vec<Lane>, time: Duration, in_turn: bool) -> anyhow::Result<Phase> {
    let begun = Instant::now();
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for lane in lanes {
        tasks.spawn(lane.run(over.clone(), in_turn));
    }
    let timer = tokio::spawn({
        let over = over.clone();
        async move {
            tokio::time::sleep(time).await;
            over.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    });
    let mut all = Tally::default();
    while let Some(ended) = tasks.join_next().await {
        all.add(ended.context("a lane failed")??);
    }
    timer.abort();
    Ok(all.phase(begun.elapsed()))
}

/// [`small`], undisturbed by the threads that make batches: what is measured is how long billing takes.
async fn small_on_its_own_thread(
    program: Arc<Program>,
    time: Duration,
) -> anyhow::Result<crate::chaos::Waits> {
    let (answer, measured) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let waits = runtime
            .context("the runtime cannot start")
            .and_then(|runtime| runtime.block_on(small(&program, time)));
        // Whoever waited for it may have ended on another error.
        drop(answer.send(waits));
    });
    measured.await.context("the thread failed")?
}

/// Single reports at a steady rate, from when each was due.
async fn small(program: &Program, time: Duration) -> anyhow::Result<crate::chaos::Waits> {
    let clients = program.clients("bench-small").await?;
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    let name = format!("small-{}", lane::random());
    for number in 0..SMALL_RATE * time.as_secs() {
        let due = start + Duration::from_micros(number * 1_000_000 / SMALL_RATE);
        tokio::time::sleep_until(due).await;
        let mut client = clients.of(springtide_proto::metering::Witness::Worker).clone();
        let record = lane::record(
            "bench-small",
            &name,
            number,
            springtide_proto::metering::Witness::Worker,
        )?;
        tasks.spawn(async move {
            let request = springtide_proto::metering::ReportRequest {
                records: vec![record],
            };
            client.report(request).await?;
            anyhow::Ok(i64::try_from(due.elapsed().as_micros())?)
        });
    }
    let mut waits = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        waits.push(ended.context("a report failed")??);
    }
    Ok(crate::chaos::Waits::of(waits))
}
