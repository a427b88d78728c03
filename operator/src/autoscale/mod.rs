//! How a pool's size is decided: pure functions of policy, observation and time. No I/O, no kube, no clock.
//!
//! - *load*: active conversations and those that wait. *capacity*: conversations that one worker takes.
//! - *growth*: what the load is expected to gain, with a margin, while one more worker starts.
//! - *have*: workers that answer or are starting; what leaves does not count, what starts is never asked for again.
//! - *moment*: time since an arbitrary origin that never goes back ([`Moment`]).
//! - *binding*: the term or bound that a decision came down to.

mod baseline;
mod checkpoint;
mod decide;
mod forecast;
mod growth;
mod history;
mod hold_time;
mod manual;
mod observation;
mod occurrence;
mod pace;
mod plan;
#[cfg(test)]
mod properties;
mod rates;
mod scarcity;
mod share;
mod staff;
mod start_times;
mod victim;

pub use baseline::{Baseline, BaselineLearner, DecodeError, MOST_BYTES, SLOTS};
pub use checkpoint::{Checkpoint, CheckpointError, Learned, MOST_CHECKPOINT_BYTES};
pub use decide::{Binding, Decision, decide};
pub use forecast::{Forecast, Usual, horizon};
pub use history::{History, WindowMaximum};
pub use hold_time::HoldTime;
pub use manual::{Override, OverrideMode};
pub use observation::{Bounds, Observation, Policy};
pub use occurrence::{Around, Occurrence, Recurrence, Schedule, ScheduleError};
pub use pace::{CreationPace, TokenBucket};
pub use plan::{
    Ahead, BaselineFrom, Beside, BoostBase, BoostSize, Boosted, Bound, Course, Creations, DEFAULT_HOLD_TIME,
    HeldTo, Missing, Phase, Plan, Planned, PoolNow, PoolShape, Remembered, RememberedPool, STARTING_AT_ONCE,
    Sight, SightedPool, Staffing, TenantRoom, Terms, Timing, VERIFICATION, Wish, lead, lead_of, planned,
};
pub use rates::{CounterWindow, Flow, Rates};
pub use scarcity::{TenantClaim, grants};
pub use share::{Claim, Share, share};
pub use staff::{ServiceLevel, staff};
pub use start_times::{DEFAULT_START_TIME, StartTimes};
pub use victim::{Candidate, Departure, choose_victims};

/// Time since an arbitrary origin that never goes back.
pub type Moment = std::time::Duration;
