//! What a pool would have cost: a policy under a virtual clock, on a trace of real load.
//!
//! - *trace*: how many conversations come, over time ([`trace`]); with a *factor* that turns its values into conversations
//!   per second.
//! - *policy*: what decides how many workers there are (`policies`): the operator's own decision, its peers from their
//!   documented algorithms, a constant, or the *oracle*, which knows the future and is what the others are compared with.
//! - *worker-hours*: workers that start, are ready or drain, at each whole second, summed and over 3,600.
//! - *wait*: from when a conversation comes, or loses its worker, until a worker takes it.
//!
//! Conversations come as a Poisson process within each step of the trace, and hold their worker for an exponential time;
//! customers who wait do not give up. A worker that is removed hands its conversations to others at once, for every policy,
//! though the peers do not do this. Every policy with the same seed faces the same customers.
//!
//! A `what_if` goes on from a pool as it is seen in a cluster.
//!
//! All but `command` is pure: no I/O, no clock, no cluster. No policy sees the trace ahead.

mod arguments;
mod chart;
mod command;
mod conversations;
mod demand;
mod engine;
mod fleet;
mod manifest;
mod oracle;
mod outcome;
mod policies;
mod pool;
mod promotion;
#[cfg(test)]
mod properties;
mod queue;
mod rooms;
mod rows;
mod scenario;
mod table;
#[cfg(test)]
mod testing;
mod ticks;
pub mod trace;
mod units;
mod what_if;

pub use arguments::{EXAMPLES, SimulateArguments};
pub use command::{SimulateError, simulate};
pub use promotion::PromotionError;
pub use what_if::WhatIfError;
pub(crate) use what_if::{Run, SeenPool, WhatIf, read_promotion, what_if};
