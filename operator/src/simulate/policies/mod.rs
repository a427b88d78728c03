//! What decides how many workers there are: ours, its peers, and two that only serve to compare.
//!
//! - *look*: a moment at which a policy decides.
//! - *wish*: how many workers it wants then.

mod behavior;
mod constant;
mod hpa;
mod keda;
mod kpa;
mod replica_set;
mod springtide;

pub(super) use self::constant::Constant;
pub(super) use self::hpa::Hpa;
pub(super) use self::keda::Keda;
pub(super) use self::kpa::Kpa;
pub(super) use self::springtide::{Resumed, Springtide};
use super::fleet::Removable;
use super::units::Time;

/// What a policy sees; never the trace ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) now: Time,
    /// Conversations that hold a worker.
    pub(super) active: u32,
    /// Conversations that wait for one.
    pub(super) waiting: u32,
    /// Conversations that came since the run began.
    pub(super) arrived: u64,
    /// Conversations that ended since the run began.
    pub(super) ended: u64,
    /// Workers that take conversations.
    pub(super) ready: u32,
    /// Workers that do not yet.
    pub(super) starting: u32,
}

impl View {
    /// Workers that are there or on their way.
    pub(super) fn have(&self) -> u32 {
        self.ready + self.starting
    }

    /// Conversations that there are.
    pub(super) fn load(&self) -> u32 {
        self.active + self.waiting
    }
}

/// When a policy looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cadence {
    /// Every so many seconds, from the beginning.
    pub(super) every_seconds: u64,
    /// Also when active or waiting changed, but not sooner than this after the look before.
    pub(super) on_change: Option<Time>,
}

/// What a policy wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// Workers that there should be.
    pub(super) workers: u32,
    /// At most so many start at once.
    pub(super) most_starting: u32,
}

impl Wish {
    /// As many as wanted start at once.
    pub(super) fn at_once(workers: u32) -> Self {
        Self {
            workers,
            most_starting: u32::MAX,
        }
    }
}

/// Decides how many workers there are.
pub(super) trait Autoscaler {
    /// When it looks.
    fn cadence(&self) -> Cadence;

    /// Workers that are ready when the run begins, of those that the load needs then.
    fn first(&self, needed: u32) -> u32;

    /// Each second, before it looks.
    fn sample(&mut self, _view: &View) {}

    /// A worker became ready, so long after its creation.
    fn started(&mut self, _taken: Time) {}

    /// At each look.
    fn decide(&mut self, view: &View) -> Wish;

    /// The `count` workers that leave, by their numbers.
    fn victims(&self, now: Time, removable: Vec<Removable>, count: usize) -> Vec<u32>;
}
