//! From the wire: what a message says, once it is known to make sense.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use springtide_proto::error::ApiError;
use springtide_proto::fleet::{GatewayHello, GatewayLoad, WorkerHello, WorkerLoad};
use springtide_proto::ids::{BootId, PodName, PodUid, PoolId, TenantId};
use springtide_proto::time::{duration_from_wire, timestamp_from_wire};

use super::PoolKey;

const MAX_CAPACITY: u32 = 1_000;
/// Conversations that may wait at one gateway for one pool; gateways are given it.
pub const WAITING_ROOM: u32 = 1_000;
const MAX_TEXT: usize = 253;
const MAX_REASON: usize = 500;
const MAX_POOLS: usize = 16;
/// A sender whose clock is further off than this is not believed.
const MAX_SKEW: SignedDuration = SignedDuration::from_mins(10);

/// A worker that attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerFacts {
    /// Its pool.
    pub key: PoolKey,
    /// Its Pod.
    pub pod: PodName,
    /// Its Pod's UID.
    pub pod_uid: PodUid,
    /// This start of its process.
    pub boot_id: BootId,
    /// Where it is reached.
    pub address: SocketAddr,
    /// Its node.
    pub node: String,
    /// Its build.
    pub version: String,
    /// Conversations at once.
    pub capacity: u32,
}

/// What a worker reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerReport {
    /// Order of this boot's reports.
    pub sequence: u64,
    /// When it was measured, by the worker's own clock: for people, never for a decision.
    pub measured: Option<Timestamp>,
    /// Active conversations.
    pub active: u32,
    /// Takes new ones.
    pub accepting: bool,
    /// Is leaving.
    pub draining: bool,
    /// Usage records not yet acknowledged.
    pub spooled: u64,
    /// Turns answered since its boot.
    pub turns_answered: u64,
    /// Why it takes none.
    pub not_accepting_because: String,
    /// Is leaving, and cannot be called back.
    pub ending: bool,
    /// Until its last conversation is parked, if nobody says anything more.
    pub parked_in: Duration,
}

/// A gateway that attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayFacts {
    /// Whose.
    pub tenant: TenantId,
    /// Its Pod.
    pub pod: PodName,
    /// Its Pod's UID.
    pub pod_uid: PodUid,
    /// This start of its process.
    pub boot_id: BootId,
    /// Pools it asks for.
    pub pools: Vec<PoolId>,
}

/// What a gateway reports of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayReport {
    /// Order of this boot's reports.
    pub sequence: u64,
    /// When it was measured, by the gateway's own clock: for people, never for a decision.
    pub measured: Option<Timestamp>,
    /// The pool.
    pub pool: PoolId,
    /// Conversations that wait.
    pub waiting: u32,
    /// How long the first of them has.
    pub oldest_wait: Duration,
    /// Arrived since its boot.
    pub arrived: u64,
    /// Ended since its boot.
    pub ended: u64,
    /// Usage records not yet acknowledged.
    pub spooled: u64,
}

impl WorkerFacts {
    /// Checks a hello.
    pub fn from_wire(hello: WorkerHello) -> Result<Self, ApiError> {
        let WorkerHello {
            tenant,
            pool,
            pod,
            pod_uid,
            boot_id,
            address,
            node,
            version,
            capacity,
            lost_leader,
        } = hello;
        bounded("lost_leader", lost_leader, MAX_TEXT)?;
        if !(1..=MAX_CAPACITY).contains(&capacity) {
            return Err(ApiError::invalid(
                "capacity",
                format!("capacity must be 1 to {MAX_CAPACITY}"),
            ));
        }
        Ok(Self {
            key: PoolKey {
                tenant: TenantId::parse(tenant)?,
                pool: PoolId::parse(pool)?,
            },
            pod: PodName::parse(pod)?,
            pod_uid: PodUid::parse(pod_uid)?,
            boot_id: BootId::parse(boot_id)?,
            address: address
                .parse()
                .map_err(|_| ApiError::invalid("address", "address must be IP:PORT"))?,
            node: bounded("node", node, MAX_TEXT)?,
            version: bounded("version", version, MAX_TEXT)?,
            capacity,
        })
    }
}

impl WorkerReport {
    /// Checks a report of a worker that takes `capacity` conversations at once.
    pub fn from_wire(load: WorkerLoad, capacity: u32, now: Timestamp) -> Result<Self, ApiError> {
        let WorkerLoad {
            sequence,
            measured_at,
            active,
            accepting,
            draining,
            spooled,
            conversations_begun: _,
            conversations_ended: _,
            turns_answered,
            mut not_accepting_because,
            ending,
            parked_in,
        } = load;
        let measured = believed(timestamp_from_wire(measured_at, "measured_at")?, now)?;
        if active > capacity {
            return Err(ApiError::invalid(
                "active",
                format!("{active} active conversations are more than the capacity, {capacity}"),
            ));
        }
        if not_accepting_because.chars().count() > MAX_REASON {
            not_accepting_because = not_accepting_because.chars().take(MAX_REASON).collect();
        }
        Ok(Self {
            sequence,
            measured: Some(measured),
            active,
            accepting,
            draining,
            spooled,
            turns_answered,
            not_accepting_because,
            ending,
            parked_in: duration_from_wire(parked_in),
        })
    }
}

impl GatewayFacts {
    /// Checks a hello.
    pub fn from_wire(hello: GatewayHello) -> Result<Self, ApiError> {
        let GatewayHello {
            tenant,
            pod,
            pod_uid,
            boot_id,
            node,
            version,
            pools,
            lost_leader,
        } = hello;
        bounded("lost_leader", lost_leader, MAX_TEXT)?;
        bounded("node", node, MAX_TEXT)?;
        bounded("version", version, MAX_TEXT)?;
        if pools.len() > MAX_POOLS {
            return Err(ApiError::invalid("pools", format!("at most {MAX_POOLS} pools")));
        }
        Ok(Self {
            tenant: TenantId::parse(tenant)?,
            pod: PodName::parse(pod)?,
            pod_uid: PodUid::parse(pod_uid)?,
            boot_id: BootId::parse(boot_id)?,
            pools: pools.into_iter().map(PoolId::parse).collect::<Result<_, _>>()?,
        })
    }
}

impl GatewayReport {
    /// Checks a report.
    pub fn from_wire(load: GatewayLoad, now: Timestamp) -> Result<Self, ApiError> {
        let GatewayLoad {
            sequence,
            measured_at,
            pool,
            waiting,
            oldest_wait,
            arrived,
            ended,
            abandoned: _,
            active: _,
            spooled,
        } = load;
        let measured = believed(timestamp_from_wire(measured_at, "measured_at")?, now)?;
        if ended > arrived {
            return Err(ApiError::invalid(
                "ended",
                "more conversations ended than arrived",
            ));
        }
        if waiting > WAITING_ROOM {
            return Err(ApiError::invalid(
                "waiting",
                format!(
                    "{waiting} waiting conversations are more than its waiting room takes, {WAITING_ROOM}"
                ),
            ));
        }
        let pool = PoolId::parse(pool)?;
        Ok(Self {
            sequence,
            measured: Some(measured),
            pool,
            waiting,
            oldest_wait: duration_from_wire(oldest_wait),
            arrived,
            ended,
            spooled,
        })
    }
}

/// When it was measured, if the sender's clock can be believed.
fn believed(measured: Timestamp, now: Timestamp) -> Result<Timestamp, ApiError> {
    let skew = measured.duration_since(now);
    if skew.abs() > MAX_SKEW {
        return Err(ApiError::invalid(
            "measured_at",
            format!("the sender's clock is {} s off", skew.as_secs()),
        ));
    }
    Ok(measured)
}

fn bounded(field: &'static str, text: String, most: usize) -> Result<String, ApiError> {
    if text.len() <= most {
        Ok(text)
    } else {
        Err(ApiError::invalid(
            field,
            format!("{field} has more than {most} bytes"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use springtide_proto::time::timestamp_to_wire;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn load(active: u32, skew: SignedDuration) -> WorkerLoad {
        WorkerLoad {
            sequence: 1,
            active,
            measured_at: Some(timestamp_to_wire(NOW + skew)),
            ..WorkerLoad::default()
        }
    }

    #[test]
    fn a_worker_that_reports_nonsense_is_not_believed_and_the_field_is_named() {
        let field = |load| WorkerReport::from_wire(load, 20, NOW).unwrap_err().field;
        let soon = SignedDuration::from_secs(1);
        assert!(WorkerReport::from_wire(load(20, soon), 20, NOW).is_ok());
        assert_eq!(field(load(21, soon)).as_deref(), Some("active"));
        let next_week = SignedDuration::from_hours(7 * 24);
        assert_eq!(field(load(1, next_week)).as_deref(), Some("measured_at"));
        assert_eq!(field(load(1, -next_week)).as_deref(), Some("measured_at"));
        let no_time = WorkerLoad {
            measured_at: None,
            ..load(1, soon)
        };
        assert_eq!(field(no_time).as_deref(), Some("measured_at"));
    }

    #[test]
    fn a_gateway_cannot_end_more_than_arrived_nor_let_more_wait_than_its_room_takes() {
        let load = |arrived, ended, waiting| GatewayLoad {
            measured_at: Some(timestamp_to_wire(NOW)),
            pool: "web".to_owned(),
            arrived,
            ended,
            waiting,
            ..GatewayLoad::default()
        };
        let field = |load| GatewayReport::from_wire(load, NOW).unwrap_err().field;
        assert!(GatewayReport::from_wire(load(2, 2, WAITING_ROOM), NOW).is_ok());
        assert_eq!(field(load(1, 2, 0)).as_deref(), Some("ended"));
        assert_eq!(field(load(1, 1, WAITING_ROOM + 1)).as_deref(), Some("waiting"));
    }
}
