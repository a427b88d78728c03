//! The fleet service: what workers and gateways report, and what they are told.
//!
//! - *attached*: a worker or gateway whose stream we hold. *silent*: one that was not heard for [`SILENCE`].
//! - *step*: a report that changes what a pool needs; the pool is decided anew at once.
//! - *probe*: a synthetic conversation that a worker must answer before it counts.
//! - *book*: all that the leader knows of the fleet, in memory; a new leader starts with an empty one.
//! - *nonsense*: a message that cannot be true; it is counted, and the last good one stays, which grows old. See [`nonsense`].

mod book;
mod gateway;
mod gateway_stream;
mod nonsense;
mod probe;
mod service;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod view;
mod wire;
mod worker;
mod worker_stream;

use std::time::Duration;

use springtide_proto::ids::{PoolId, TenantId};

pub use book::{Book, KnownPod};
pub use probe::Prober;
pub use service::{Fleet, FleetMetrics, FleetSettings};
pub use view::{GatewayView, LoadRise, PoolView, WorkerView};
pub use wire::{GatewayFacts, GatewayReport, WAITING_ROOM, WorkerFacts, WorkerReport};

/// Not heard for this long is missing data: two reports of one second each, and what a busy machine makes of that.
pub const SILENCE: Duration = Duration::from_millis(2_250);
/// Workers and gateways that fell silent are looked for this often: within 2.5 s of the last report a pool knows.
const SILENCE_PERIOD: Duration = Duration::from_millis(200);

/// A pool of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolKey {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub pool: PoolId,
}

impl std::fmt::Display for PoolKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.tenant, self.pool)
    }
}
