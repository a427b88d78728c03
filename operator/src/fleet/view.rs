//! What the book says of one pool.

use std::time::Duration;

use jiff::Timestamp;
use springtide_proto::ids::{PodName, PodUid};

use crate::autoscale::{Moment, Rates};

/// A pool as it is seen now.
#[derive(Clone, Debug, Default)]
pub struct PoolView {
    /// Its workers, whether or not they are heard.
    pub workers: Vec<WorkerView>,
    /// Conversations in waiting rooms.
    pub waiting: u32,
    /// Conversations that come and go, as gateways count them.
    pub rates: Rates,
    /// The tenant's gateways, whether or not they are heard.
    pub gateways: Vec<GatewayView>,
    /// Turns answered by all workers that this leader has seen.
    pub turns_answered: u64,
    /// The first rise in load that was not decided upon yet.
    pub rise: Option<LoadRise>,
    /// When the first step since the last decision was heard.
    pub stepped: Option<Moment>,
}

/// A worker or gateway reported more load than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadRise {
    /// When the report came.
    pub heard: Moment,
    /// When it was measured, by its sender's own clock.
    pub measured: Option<Timestamp>,
    /// Pod of its sender.
    pub by: PodName,
}

/// A worker as it is seen now.
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that do not depend on each other"
)]
#[derive(Clone, Debug)]
pub struct WorkerView {
    /// Its Pod.
    pub pod: PodName,
    /// Its Pod's UID.
    pub pod_uid: PodUid,
    /// Its active conversations, as last reported.
    pub active: u32,
    /// It reported at least once.
    pub reported: bool,
    /// It may be given conversations.
    pub available: bool,
    /// It is not heard.
    pub silent: bool,
    /// How long ago its last good report came; none if it has not sent one.
    pub age: Option<Duration>,
    /// It says itself that it is leaving.
    pub draining: bool,
    /// It says that it cannot be called back.
    pub ending: bool,
    /// Until its last conversation is parked, if nobody says anything more.
    pub parked_in: Duration,
    /// Usage records not yet acknowledged.
    pub spooled: u64,
    /// Why it takes no conversations.
    pub not_accepting_because: String,
    /// When its synthetic conversation was answered.
    pub answered: Option<Moment>,
    /// Since when it refuses conversations although it answered before and was not told to leave.
    pub refusing: Option<Moment>,
    /// It was told to leave.
    pub cordon: Option<CordonView>,
}

/// A gateway as it is seen now.
#[derive(Clone, Debug)]
pub struct GatewayView {
    /// Its Pod's UID.
    pub pod_uid: PodUid,
    /// It is not heard about this pool.
    pub silent: bool,
    /// Conversations that wait there for this pool, as last reported.
    pub waiting: u32,
    /// How long ago its last good report of this pool came; none if it has not sent one.
    pub age: Option<Duration>,
}

/// How far a worker that was told to leave has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CordonView {
    /// When it was told.
    pub since: Moment,
    /// How long it has.
    pub deadline: Duration,
    /// It acknowledged, and has reported since: no conversation can reach it any more.
    pub settled: bool,
}

impl PoolView {
    /// The worker in the Pod of that UID.
    pub fn worker(&self, uid: &str) -> Option<&WorkerView> {
        self.workers.iter().find(|worker| worker.pod_uid.as_str() == uid)
    }

    /// The gateway in the Pod of that UID.
    pub fn gateway(&self, uid: &str) -> Option<&GatewayView> {
        self.gateways
            .iter()
            .find(|gateway| gateway.pod_uid.as_str() == uid)
    }
}
