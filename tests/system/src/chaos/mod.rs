//! Scale-in under load: customers talk while workers come, are drained with a short deadline and go, and some are killed. Whether
//! any conversation was lost, or any turn answered twice, is in the ledger ([`crate::turns`]).
//!
//! Gateways and workers are real, in this process ([`crate::parts`]), and customers come through the gateways' HTTP doors. The
//! load is closed: a fixed number of customers, each of whom begins the next conversation when one has ended, so that it goes
//! as fast as the machine does.

mod customers;
mod figures;
mod fleet;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use springtide_proto::metering::Record;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ends::Ends;
use crate::parts::{Settings, Tenant};
use crate::resources;
use crate::turns::Turns;
use customers::Customers;
pub use figures::{FIGURES, Figures, Waits, compute};
pub use fleet::{Action, FLEET, Fleet, FleetEvent};

/// Name of the file with what a run was.
pub const RUN: &str = "run.json";
const GATEWAYS: usize = 2;
/// How long the last usage may take to billing.
const FLUSH: Duration = Duration::from_mins(1);
pub(crate) const SETTINGS: Settings = Settings {
    waiting_room: 10_000,
    turn_timeout: Duration::from_secs(10),
    idle_after: Duration::from_secs(30),
};

/// How much.
#[derive(Args, Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Size {
    /// Conversations
    #[arg(long, default_value_t = 1_000_000, value_name = "COUNT")]
    pub conversations: usize,
    /// Turns of each
    #[arg(long, default_value_t = 2, value_name = "COUNT")]
    pub turns: usize,
    /// Customers at once
    #[arg(long, default_value_t = 1_500, value_name = "COUNT")]
    pub customers: u32,
    /// Longest pause between an answer and the next message, in milliseconds
    #[arg(long, default_value_t = 1_000, value_name = "MILLISECONDS")]
    pub think: u64,
    /// Workers at least; all customers fit on so many
    #[arg(long, default_value_t = 6, value_name = "COUNT")]
    pub least: u32,
    /// Workers at most
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    pub most: u32,
    /// Pause between two changes of the workers, in milliseconds
    #[arg(long, default_value_t = 500, value_name = "MILLISECONDS")]
    pub every: u64,
    /// A drained worker's longest deadline, in milliseconds
    #[arg(long, default_value_t = 200, value_name = "MILLISECONDS")]
    pub deadline: u64,
    /// Pause between two kills, in seconds; 0 for none
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    pub kill: f64,
    /// Where all that is random begins
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
}

/// What a run was, for its figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// How much.
    pub size: Size,
    /// How long customers talked.
    pub seconds: f64,
    /// Processor time of the whole process, customers included.
    pub cpu_seconds: f64,
    /// Processors of the machine.
    pub processors: usize,
    /// Most memory at once.
    pub most_rss_mib: f64,
    /// Usage that was still in a spool when the run was over.
    pub left_in_spools: u64,
}

/// Runs, leaves all in `folder`, and computes the figures from that.
pub async fn run(size: Size, folder: PathBuf) -> anyhow::Result<Figures> {
    std::fs::create_dir_all(&folder)?;
    let turns = Turns::new(size.conversations, size.turns);
    let mut tenant = Tenant::within(&folder, SETTINGS)?;
    let ends = Ends::default();
    let (witness, of_ends) = (turns.clone(), ends.clone());
    tenant
        .report_to(Arc::new(move |records: Vec<Record>| {
            of_ends.reported(&records);
            witness.reported(records);
        }))
        .await?;
    let fleet = Arc::new(Fleet::start(tenant, GATEWAYS, capacity(&size), &folder).await?);
    for _ in 0..size.most {
        fleet.add().await?;
    }
    let (started, cpu) = (Instant::now(), resources::cpu_seconds()?);
    let customers = Arc::new(Customers::new(size, turns.clone(), fleet.doors()?));
    let over = CancellationToken::new();
    let director = tokio::spawn(fleet::direct(fleet.clone(), size, over.clone()));
    let talk = tokio::spawn(customers.clone().talk());
    let looks = watch(&customers, &fleet, size, over.clone());
    let (talked, ()) = tokio::join!(
        async {
            let talked = talk.await;
            over.cancel();
            talked
        },
        looks
    );
    talked?;
    let (seconds, cpu_seconds) = (started.elapsed().as_secs_f64(), resources::cpu_seconds()? - cpu);
    director.await??;
    let left_in_spools = fleet.end(FLUSH).await;
    turns.write(&folder)?;
    ends.write(&folder)?;
    let run = Run {
        size,
        seconds,
        cpu_seconds,
        processors: std::thread::available_parallelism()?.get(),
        most_rss_mib: resources::most_rss_mib()?,
        left_in_spools,
    };
    write(&folder, RUN, &run)?;
    let figures = compute(&folder)?;
    write(&folder, FIGURES, &figures)?;
    Ok(figures)
}

/// All customers fit on the fewest workers, with some room for what one worker's end leaves behind at others.
fn capacity(size: &Size) -> u32 {
    (size.customers * 5 / 4).div_ceil(size.least)
}

pub(crate) fn write(folder: &Path, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
    Ok(std::fs::write(
        folder.join(name),
        serde_json::to_string_pretty(value)? + "\n",
    )?)
}

async fn watch(customers: &Customers, fleet: &Fleet, size: Size, over: CancellationToken) {
    let (mut look, started) = (tokio::time::interval(Duration::from_secs(10)), Instant::now());
    loop {
        tokio::select! {
            () = over.cancelled() => return,
            _ = look.tick() => {}
        }
        let ended = customers.ended.load(Ordering::Relaxed);
        eprintln!(
            "{ended} of {} conversations in {:.0} s, {} workers",
            size.conversations,
            started.elapsed().as_secs_f64(),
            fleet.len()
        );
    }
}
