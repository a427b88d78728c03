//! What was measured.

use serde::{Deserialize, Serialize};

use super::Size;
use crate::chaos::Waits;

/// Batches for a while.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Phase {
    /// How long.
    pub seconds: f64,
    /// Reports that were acknowledged.
    pub reports: u64,
    /// Those that were the first of their event.
    pub accepted: u64,
    /// Those that were the second.
    pub duplicates: u64,
    /// Reports a second.
    pub reports_per_s: f64,
    /// From sending a batch until it was acknowledged.
    pub batch_ms: Waits,
    /// Batches.
    pub batches: u64,
}

/// All of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// How much.
    pub size: Size,
    /// Single reports at 500/s, nothing else.
    pub small_alone_ms: Waits,
    /// One batch on its way at a time.
    pub one_batch_at_a_time: Phase,
    /// The long phase.
    pub bulk: Phase,
    /// Single reports at 500/s beside batches.
    pub small_beside_bulk_ms: Waits,
    /// Those batches.
    pub bulk_beside_small: Phase,
    /// Straight into the store, from this process.
    pub store: Option<Phase>,
    /// Processor time of billing's program.
    pub billing_cpu_seconds: f64,
    /// Processor time of the load generator, the store phase with it.
    pub load_cpu_seconds: f64,
}
