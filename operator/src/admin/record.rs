//! The record of a decision, as `/debug/pools` shows it and as `kubectl springtide` reads it.
//!
//! Workers, unless a name says otherwise. What an older operator does not say is left out of a record.

use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};
use springtide_proto::ids::{PoolId, TenantId};

use crate::controllers::live::{self, LiveBoard, LivePool};
use crate::fleet::PoolKey;

/// What was decided for a pool, and from what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolRecord {
    /// Whose.
    pub tenant: String,
    /// Which.
    pub pool: String,
    /// Workers that there should be.
    pub desired: u32,
    /// The term or bound that decided.
    pub binding: String,
    /// What was seen.
    pub observation: PoolObservation,
    /// What it came to.
    pub terms: PoolTerms,
    /// Promotions that hold the pool now.
    #[serde(default)]
    pub promotions: Vec<HeldPromotion>,
    /// What load it usually has at each time of the week, as [`crate::autoscale::Baseline`] is kept; in the record of one pool
    /// alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<ByteString>,
}

/// What was seen of a pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolObservation {
    /// Active conversations.
    pub active: u32,
    /// Conversations in waiting rooms.
    pub waiting: u32,
    /// Conversations that come.
    pub arrivals_per_second: f64,
    /// Conversations that end.
    pub endings_per_second: f64,
    /// Time until a new worker answers, which 95 of 100 keep.
    pub start_time_seconds: f64,
    /// Time until a new worker answers, which 99 of 100 keep.
    #[serde(default)]
    pub start_time_p99_seconds: Option<f64>,
    /// How far ahead the load is forecast.
    #[serde(default)]
    pub horizon_seconds: Option<f64>,
    /// The load that is usual at this time of the week; none where what was learned of it is not trusted.
    #[serde(default)]
    pub usual_conversations: Option<f64>,
    /// The most that is usual until the horizon.
    #[serde(default)]
    pub usual_highest_conversations: Option<f64>,
    /// How long a conversation lasts on average; none while too few have ended.
    #[serde(default)]
    pub hold_time_seconds: Option<f64>,
    /// Workers that take conversations.
    pub ready: u32,
    /// Workers that do not yet.
    pub starting: u32,
    /// Workers that are leaving.
    #[serde(default)]
    pub draining: u32,
    /// Workers and gateways that should be heard and are not.
    pub silent: u32,
    /// Workers that count as such that take conversations, were heard, and are not any more.
    #[serde(default)]
    pub lost: u32,
    /// Which those are.
    #[serde(default)]
    pub silent_peers: Vec<SilentPeer>,
}

/// A worker or gateway that should be heard and is not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SilentPeer {
    /// Its Pod.
    pub pod: String,
    /// When the pool was decided, its last report that can be true was so old; none if this leader has none.
    pub last_report_age_seconds: Option<f64>,
}

/// The terms of a decision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolTerms {
    /// Conversations that one worker takes.
    #[serde(default)]
    pub conversations_per_worker: u32,
    /// Expected growth with its margin.
    pub growth_conversations: f64,
    /// What load and growth need.
    pub needed: u32,
    /// Kept free on top.
    pub headroom: u32,
    /// Both together.
    pub react: u32,
    /// What the load is forecast to need; 0 while no forecast is trusted.
    #[serde(default)]
    pub forecast: u32,
    /// What it is forecast to gain until a new worker answers.
    #[serde(default)]
    pub forecast_conversations: f64,
    /// How far such forecasts were off, in percent of the load; none while none is trusted.
    #[serde(default)]
    pub forecast_error_percent: Option<f64>,
    /// What a forecast that is not trusted expects the load to gain: it asks for nothing.
    #[serde(default)]
    pub untrusted_conversations: Option<f64>,
    /// How far such forecasts were off, in percent of the load.
    #[serde(default)]
    pub untrusted_error_percent: Option<f64>,
    /// What promotions ask for.
    pub plan: u32,
    /// The lowest allowed.
    pub floor: u32,
    /// The highest allowed.
    pub ceiling: u32,
    /// The most that was needed within the down window.
    pub needed_within_window: u32,
    /// What the active conversations fill.
    pub busy: u32,
    /// What would be wanted if other tenants wanted nothing.
    #[serde(default)]
    pub demand: u32,
    /// The most that the tenant's limit leaves, or its share of a cluster that is short.
    pub tenant_share: u32,
    /// It is a share of a cluster that is short.
    #[serde(default)]
    pub cluster_is_short: bool,
    /// The highest load of the last hour, in conversations.
    pub peak_load_last_hour: u32,
}

/// What a promotion asks of a pool now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldPromotion {
    /// Its name.
    pub promotion: String,
    /// Never fewer workers.
    pub floor: u32,
    /// The maximum instead of the pool's own, if it names one.
    pub ceiling: Option<u32>,
    /// No worker leaves.
    pub keeps: bool,
    /// Its window is open.
    pub open: bool,
}

impl PoolRecord {
    /// Of a pool as it is now.
    pub(super) fn of(live: &LivePool, board: &LiveBoard) -> Self {
        let decision = &live.decision;
        let observation = &decision.observation;
        let flow = observation.rates.current();
        Self {
            tenant: live.tenant.clone(),
            pool: live.pool.clone(),
            desired: decision.desired,
            binding: decision.binding.as_str().to_owned(),
            observation: PoolObservation {
                active: observation.active,
                waiting: observation.waiting,
                arrivals_per_second: flow.arrivals,
                endings_per_second: flow.endings,
                start_time_seconds: observation.start_time.as_secs_f64(),
                start_time_p99_seconds: Some(live.start_time.as_secs_f64()),
                horizon_seconds: Some(observation.horizon.as_secs_f64()),
                usual_conversations: observation.usual.map(|usual| usual.now),
                usual_highest_conversations: observation.usual.map(|usual| usual.highest),
                hold_time_seconds: live.hold_time.map(|hold| hold.as_secs_f64()),
                ready: observation.ready,
                starting: observation.starting,
                draining: live.draining,
                silent: observation.silent,
                lost: observation.lost,
                silent_peers: live.silent.iter().map(SilentPeer::of).collect(),
            },
            terms: PoolTerms {
                conversations_per_worker: live.capacity,
                growth_conversations: decision.growth,
                needed: decision.needed,
                headroom: decision.headroom,
                react: decision.react(),
                forecast: decision.forecast_needed,
                forecast_conversations: decision.forecast.map_or(0.0, |forecast| forecast.gain),
                forecast_error_percent: decision.forecast.map(|forecast| forecast.error * 100.0),
                untrusted_conversations: decision.untrusted.map(|forecast| forecast.gain),
                untrusted_error_percent: decision.untrusted.map(|forecast| forecast.error * 100.0),
                plan: decision.plan,
                floor: decision.floor,
                ceiling: decision.ceiling,
                needed_within_window: decision.needed_within_window,
                busy: decision.busy,
                demand: decision.demand,
                tenant_share: live.tenant_share,
                cluster_is_short: live.scarce,
                peak_load_last_hour: live.peak,
            },
            promotions: promotions(live, board),
            baseline: None,
        }
    }

    /// The same, with what load the pool usually has.
    pub(super) fn with_baseline(live: &LivePool, board: &LiveBoard) -> Self {
        Self {
            baseline: Some(ByteString(live.baseline.encode())),
            ..Self::of(live, board)
        }
    }
}

impl SilentPeer {
    fn of(peer: &live::SilentPeer) -> Self {
        Self {
            pod: peer.pod.clone(),
            last_report_age_seconds: peer.age.map(|age| age.as_secs_f64()),
        }
    }
}

fn promotions(live: &LivePool, board: &LiveBoard) -> Vec<HeldPromotion> {
    let key = TenantId::parse(live.tenant.as_str()).and_then(|tenant| {
        let pool = PoolId::parse(live.pool.as_str())?;
        Ok(PoolKey { tenant, pool })
    });
    let plans = key.map_or_else(|_| Vec::new(), |key| board.plans(&key));
    let held = plans.into_iter().map(|plan| HeldPromotion {
        promotion: plan.promotion,
        floor: plan.floor,
        ceiling: plan.ceiling,
        keeps: plan.keeps,
        open: plan.open,
    });
    held.collect()
}
