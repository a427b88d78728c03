//! One run of one policy, and what came of it.

use std::io;

use serde::Serialize;

use super::engine::{self, Tally};
use super::oracle::{self, OracleRun};
use super::policies::{Autoscaler, Constant, Hpa, Keda, Kpa, Springtide};
use super::pool::Pool;
use super::promotion::{Note, Promotions};
use super::rows::Rows;
use super::scenario::Scenario;
use super::units::seconds;

/// Seconds of an hour.
const HOUR: f64 = 3_600.0;

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PolicyName {
    /// The operator's own decision
    Springtide,
    /// The HorizontalPodAutoscaler on conversations per worker
    Hpa,
    /// KEDA on all conversations, through the HorizontalPodAutoscaler
    Keda,
    /// The Knative Pod Autoscaler on concurrency
    Kpa,
    /// The oracle's peak all the time, or --workers
    Static,
    /// Who knows the future: what the others are compared with
    Oracle,
}

impl PolicyName {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Springtide,
        Self::Hpa,
        Self::Keda,
        Self::Kpa,
        Self::Static,
        Self::Oracle,
    ];

    /// Text of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Springtide => "springtide",
            Self::Hpa => "hpa",
            Self::Keda => "keda",
            Self::Kpa => "kpa",
            Self::Static => "static",
            Self::Oracle => "oracle",
        }
    }
}

/// What is run.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// What happens.
    pub(super) scenario: Scenario,
    /// To whom.
    pub(super) pool: Pool,
    /// What is known before.
    pub(super) promotions: Promotions,
    /// Share of a worker that the peers fill, percent.
    pub(super) target_percent: f64,
    /// Of `static`; the oracle's peak if none.
    pub(super) workers: Option<u32>,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Outcome {
    /// What decided.
    pub(super) policy: &'static str,
    /// Of all workers, from creation to removal.
    pub(super) worker_hours: f64,
    /// Of the oracle with the same customers.
    pub(super) oracle_worker_hours: f64,
    /// The former over the latter; none where the oracle needs none.
    pub(super) ratio: Option<f64>,
    /// That came.
    pub(super) conversations: u64,
    /// That waited longer than five seconds.
    pub(super) waited_over_5s: u64,
    /// Of the conversations that came.
    pub(super) waited_over_5s_share: f64,
    /// Seconds of the longest wait.
    pub(super) max_wait_s: f64,
    /// The most at a whole second.
    pub(super) peak_workers: u32,
    /// Workers created after the beginning.
    pub(super) creations: u64,
    /// Workers removed.
    pub(super) deletions: u64,
    /// Conversations that went on at another worker because theirs was removed.
    pub(super) moved: u64,
    /// Workers removed while some of their conversations found no other.
    pub(super) busy_deleted: u64,
    /// What promotions came to.
    #[serde(skip)]
    pub(super) notes: Vec<Note>,
}

/// Runs the oracle, which every other policy is compared with.
pub(super) fn run_oracle(setup: &Setup, rows: &mut Rows<'_>) -> io::Result<OracleRun> {
    oracle::run(&setup.scenario, &mut |row| rows(row))
}

/// Runs one policy.
pub(super) fn run(
    name: PolicyName,
    setup: &Setup,
    oracle: &OracleRun,
    rows: &mut Rows<'_>,
) -> io::Result<Outcome> {
    let scenario = &setup.scenario;
    let target = f64::from(scenario.capacity) * setup.target_percent / 100.0;
    let bounds = (scenario.min, scenario.max);
    let mut decided_by = |policy: &mut dyn Autoscaler| engine::run(scenario, policy, &mut |row| rows(row));
    let mut notes = Vec::new();
    let tally = match name {
        PolicyName::Springtide => {
            let promotions = setup.promotions.clone();
            let mut policy = Springtide::new(&setup.pool, promotions, scenario.trace.origin);
            let tally = decided_by(&mut policy);
            notes.extend_from_slice(policy.notes());
            tally
        }
        PolicyName::Hpa => decided_by(&mut Hpa::new(target, bounds)),
        PolicyName::Keda => decided_by(&mut Keda::new(target, bounds)),
        PolicyName::Kpa => decided_by(&mut Kpa::new(target, bounds)),
        PolicyName::Static => decided_by(&mut Constant::new(setup.workers.unwrap_or(oracle.most_needed))),
        PolicyName::Oracle => run_oracle(setup, rows).map(|run| run.tally),
    }?;
    Ok(Outcome {
        notes,
        ..outcome(name, &tally, oracle)
    })
}

fn outcome(name: PolicyName, tally: &Tally, oracle: &OracleRun) -> Outcome {
    let hours = |tally: &Tally| tally.worker_seconds as f64 / HOUR;
    let (worker_hours, oracle_worker_hours) = (hours(tally), hours(&oracle.tally));
    let counts = &tally.counts;
    Outcome {
        policy: name.as_str(),
        worker_hours,
        oracle_worker_hours,
        ratio: (oracle_worker_hours > 0.0).then(|| worker_hours / oracle_worker_hours),
        conversations: counts.arrived,
        waited_over_5s: tally.waited_long,
        waited_over_5s_share: tally.waited_long as f64 / (counts.arrived.max(1) as f64),
        max_wait_s: seconds(tally.longest_wait),
        peak_workers: tally.peak_workers,
        creations: counts.created,
        deletions: counts.deleted,
        moved: counts.moved,
        busy_deleted: counts.busy_deleted,
        notes: Vec::new(),
    }
}
