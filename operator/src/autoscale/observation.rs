//! What a decision is made from.

use std::time::Duration;

use super::{Override, Plan, Rates, ServiceLevel, Usual};

/// What the pool's owner asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Conversations that one worker takes; at least 1.
    pub capacity: u32,
    /// Never fewer workers.
    pub min: u32,
    /// Never more workers.
    pub max: u32,
    /// Workers kept free.
    pub headroom_workers: u32,
    /// Share kept free of what the load needs, percent; the larger of the two counts.
    pub headroom_percent: f64,
    /// How long conversations may wait.
    pub service_level: ServiceLevel,
    /// A worker leaves only when none was needed in its place for this long.
    pub down_window: Duration,
    /// At most this share leaves within a minute, but always one may.
    pub max_down_percent_per_minute: u32,
    /// The pool is to be empty.
    pub suspended: bool,
}

/// What is seen of the pool now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// Active conversations, of workers that are heard.
    pub active: u32,
    /// Conversations in waiting rooms.
    pub waiting: u32,
    /// Conversations that come and go.
    pub rates: Rates,
    /// Time until a new worker answers, which 19 of 20 keep.
    pub start_time: Duration,
    /// How far ahead the load is forecast.
    pub horizon: Duration,
    /// What it usually is until then; none where that is not known.
    pub usual: Option<Usual>,
    /// Workers that take conversations.
    pub ready: u32,
    /// Workers that do not yet.
    pub starting: u32,
    /// Workers or gateways that should be heard and are not.
    pub silent: u32,
    /// Workers that count as ready, were heard, and are not any more.
    pub lost: u32,
}

impl Observation {
    /// Workers that count: what is starting is never asked for again.
    pub fn have(&self) -> u32 {
        self.ready + self.starting
    }
}

/// What limits the decision from outside the pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds<'a> {
    /// The manual override that holds.
    pub manual: Option<Override>,
    /// Promotions that hold.
    pub plans: &'a [Plan],
    /// The most that the tenant's limit, or its share of a cluster that is short, leaves to this pool.
    pub tenant_share: u32,
    /// The most that this pool may keep without wanting it now: beyond, another pool of the tenant wants the room.
    pub kept_share: u32,
    /// It is the share of a cluster that is short.
    pub scarce: bool,
}
