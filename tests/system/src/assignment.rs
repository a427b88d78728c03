//! How long a new conversation takes to a warm worker: from the customer's first message, at the instant it was due, until its
//! answer is read. That is the assignment and more: the worker's acceptance and its answer, and both witnesses' disks.
//!
//! Beside it, at the same rate and in the same process: the *bare round trip* of the same gRPC call over mutual TLS to one
//! worker that has nothing to do, and a *durable write* into a spool.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use springtide_proto::conversation::converse_request::Action;
use springtide_proto::conversation::{Close, ConverseRequest, close};
use springtide_proto::metering::Delivery;
use springtide_runtime::spool::Spool;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::chaos::{self, FIGURES, Fleet, Waits};
use crate::load::{send_until_answered, worker_of};
use crate::parts::{REFUND, Tenant};
use crate::resources;
use crate::turns::{self, Fault, Turns};

const GATEWAYS: usize = 2;
const FLUSH: Duration = Duration::from_secs(30);
const TELL: Duration = Duration::from_millis(250);
const CALL: Duration = Duration::from_secs(5);
/// Name of the file with the references' waits, in microseconds.
const REFERENCES: &str = "references.json";
const RUN: &str = "run.json";

/// How much.
#[derive(Args, Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Size {
    /// New conversations a second
    #[arg(long, default_value_t = 500.0, value_name = "COUNT")]
    pub rate: f64,
    /// Conversations that are measured
    #[arg(long, default_value_t = 30_000, value_name = "COUNT")]
    pub conversations: usize,
    /// Conversations before those, to warm up
    #[arg(long, default_value_t = 2_500, value_name = "COUNT")]
    pub before: usize,
    /// Calls of each reference
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    pub references: usize,
    /// How long a conversation stays, in milliseconds
    #[arg(long, default_value_t = 1_000, value_name = "MILLISECONDS")]
    pub stays: u64,
    /// Workers
    #[arg(long, default_value_t = 40, value_name = "COUNT")]
    pub workers: u32,
    /// Conversations that one takes at once
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    pub capacity: u32,
    /// Where all that is random begins
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
}

#[derive(Serialize, Deserialize)]
struct Run {
    size: Size,
    cpu_seconds: f64,
    seconds: f64,
    left_in_spools: u64,
}

#[derive(Default, Serialize, Deserialize)]
struct References {
    bare_round_trip_us: Vec<i64>,
    durable_write_us: Vec<i64>,
}

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// How much.
    pub size: Size,
    /// Conversations that were measured.
    pub conversations: u64,
    /// See the module.
    pub assigned_ms: Waits,
    /// Conversations that were not answered.
    pub not_answered: u64,
    /// Conversations that more than one worker answered.
    pub assigned_twice: u64,
    /// Conversations that do not count once on the bill.
    pub wrongly_counted: u64,
    /// Usage that was left in a spool when the run was over.
    pub left_in_spools: u64,
    /// See the module.
    pub bare_round_trip_ms: Waits,
    /// See the module.
    pub durable_write_ms: Waits,
    /// Processors that were busy on average while conversations were assigned.
    pub busy_processors: f64,
}

/// Measures, leaves all in `folder`, and computes the figures from that.
pub async fn run(size: Size, folder: PathBuf) -> anyhow::Result<Figures> {
    std::fs::create_dir_all(&folder)?;
    let turns = Turns::new(size.before + size.conversations, 1);
    let mut tenant = Tenant::within(&folder, chaos::SETTINGS)?;
    let witness = turns.clone();
    tenant
        .report_to(Arc::new(move |records| witness.reported(records)))
        .await?;
    let fleet = Arc::new(Fleet::start(tenant, GATEWAYS, size.capacity, &folder).await?);
    for _ in 0..size.workers {
        fleet.add().await?;
    }
    let references = References {
        bare_round_trip_us: bare_round_trips(&fleet, size).await?,
        durable_write_us: durable_writes(&folder, size).await?,
    };
    chaos::write(&folder, REFERENCES, &references)?;
    let (begun, cpu) = (Instant::now(), resources::cpu_seconds()?);
    assign(&fleet, size, &turns).await?;
    let (seconds, cpu_seconds) = (begun.elapsed().as_secs_f64(), resources::cpu_seconds()? - cpu);
    let run = Run {
        size,
        cpu_seconds,
        seconds,
        left_in_spools: fleet.end(FLUSH).await,
    };
    turns.write(&folder)?;
    chaos::write(&folder, RUN, &run)?;
    let figures = compute(&folder)?;
    chaos::write(&folder, FIGURES, &figures)?;
    Ok(figures)
}

/// When each of `count` is due, from now on: independent of each other, at that rate.
fn due(count: usize, rate: f64, random: &mut StdRng) -> Vec<Instant> {
    let mut at = Instant::now();
    let mut next = || {
        let share: f64 = random.random();
        at += Duration::from_secs_f64(-(1.0 - share).ln() / rate);
        at
    };
    (0..count).map(|_| next()).collect()
}

async fn assign(fleet: &Arc<Fleet>, size: Size, turns: &Turns) -> anyhow::Result<()> {
    let (mut random, mut customers) = (StdRng::seed_from_u64(size.seed), JoinSet::new());
    let doors = fleet.doors()?;
    let over = CancellationToken::new();
    let operator = tokio::spawn({
        let (fleet, over) = (fleet.clone(), over.clone());
        async move {
            let mut tell = tokio::time::interval(TELL);
            while over.run_until_cancelled(tell.tick()).await.is_some() {
                fleet.tell();
            }
        }
    });
    for (number, due) in due(size.before + size.conversations, size.rate, &mut random)
        .into_iter()
        .enumerate()
    {
        tokio::time::sleep_until(due).await;
        let (door, turns) = (doors[random.random_range(0..doors.len())].clone(), turns.clone());
        customers.spawn(async move {
            let id = format!("c{number}");
            let asked = send_until_answered(&door, &id, "t0", REFUND, "", || ()).await;
            let token = asked.reply.map(|reply| reply.resume_token);
            let worker = token.as_deref().and_then(worker_of);
            let fault = worker.is_none().then_some(Fault::NotAnswered);
            turns.note(number, 0, |turn| {
                turn.got(asked.attempts, due.elapsed(), worker.as_deref(), fault);
            });
            tokio::time::sleep_until(due + Duration::from_millis(size.stays)).await;
            // A close that does not arrive is silence that ends the conversation.
            drop(door.close(&id, token.as_deref().unwrap_or_default()).await);
        });
    }
    customers.join_all().await;
    over.cancel();
    Ok(operator.await?)
}

/// The waits of calls at the rate, from when each was due, in microseconds.
async fn waits<F: Future<Output = anyhow::Result<()>> + Send + 'static>(
    size: Size,
    call: impl Fn(usize) -> F,
) -> anyhow::Result<Vec<i64>> {
    let mut random = StdRng::seed_from_u64(!size.seed);
    let (all, mut calls) = (Arc::new(Mutex::new(Vec::new())), JoinSet::new());
    for (number, due) in due(size.references, size.rate, &mut random)
        .into_iter()
        .enumerate()
    {
        tokio::time::sleep_until(due).await;
        let (call, all) = (call(number), all.clone());
        calls.spawn(async move {
            call.await?;
            all.lock().push(i64::try_from(due.elapsed().as_micros())?);
            anyhow::Ok(())
        });
    }
    while let Some(called) = calls.join_next().await {
        called??;
    }
    Ok(std::mem::take(&mut *all.lock()))
}

/// Closes of conversations that are not there: they pass through all that a turn does on its way, and do nothing.
async fn bare_round_trips(fleet: &Arc<Fleet>, size: Size) -> anyhow::Result<Vec<i64>> {
    let workers = fleet.workers();
    let address = workers.first().context("no worker")?.address.clone();
    let all = fleet.clone();
    waits(size, move |number| {
        let (all, address) = (all.clone(), address.clone());
        async move {
            let relay = &all.gateways().first().context("no gateway")?.relay;
            let request = ConverseRequest {
                correlation: 0,
                tenant: relay.tenant.to_string(),
                tenant_uid: relay.tenant_uid.to_string(),
                conversation_id: format!("nobody-{number}"),
                action: Some(Action::Close(Close {
                    reason: close::Reason::Finished.into(),
                })),
                synthetic: false,
            };
            relay
                .workers
                .converse(&address, request, CALL)
                .await
                .map(drop)
                .map_err(|error| anyhow::anyhow!("{error}"))
        }
    })
    .await
}

async fn durable_writes(folder: &Path, size: Size) -> anyhow::Result<Vec<i64>> {
    let folder = tempfile::tempdir_in(folder)?;
    let spool = Spool::open(folder.path()).await?;
    waits(size, move |_| {
        let spool = spool.clone();
        async move {
            spool.append(vec![7; 200], Delivery::Delivered, false).await?;
            Ok(())
        }
    })
    .await
}

/// Computes the figures from the files that a run left.
pub fn compute(folder: &Path) -> anyhow::Result<Figures> {
    let read = |name: &str| -> anyhow::Result<String> {
        let file = folder.join(name);
        std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    };
    let run: Run = serde_json::from_str(&read(RUN)?)?;
    let references: References = serde_json::from_str(&read(REFERENCES)?)?;
    let (mut waits, mut not_answered, mut assigned_twice, mut wrongly_counted) = (Vec::new(), 0, 0, 0);
    turns::read(folder, |number, turn| {
        if number >= run.size.before {
            waits.push(i64::from(turn.wait_us));
        }
        not_answered += u64::from(turn.answered_by.is_none());
        let other = turn.answered_by != turn.reported_by && turn.answered_by.is_some();
        assigned_twice += u64::from(turn.reported_too_by.is_some() || other);
        wrongly_counted += u64::from(turn.answered_by.is_some() != turn.counts());
    })?;
    Ok(Figures {
        size: run.size,
        conversations: waits.len() as u64,
        assigned_ms: Waits::of(waits),
        not_answered,
        assigned_twice,
        wrongly_counted,
        left_in_spools: run.left_in_spools,
        bare_round_trip_ms: Waits::of(references.bare_round_trip_us),
        durable_write_ms: Waits::of(references.durable_write_us),
        busy_processors: run.cpu_seconds / run.seconds,
    })
}
