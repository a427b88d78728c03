//! The worker: the pod that answers one pool's conversations.
//!
//! - [`config`]: flags and environment.
//! - [`keys`], [`token`]: the tenant's token keys, and the resume tokens sealed with them.
//! - [`conversations`]: which conversations are active here, and whether one more fits.
//! - [`turn`]: one turn, from a checked request to a reply whose usage event is durable.
//! - [`service`]: the gRPC edge.
//! - [`knowledge`]: the bundle, from the knowledge folder, swapped when that changes.
//! - [`attach`]: the stream to the operator: load up, cordons down.
//! - [`drain`]: how a worker ends without losing anything.
//! - [`hand_over`]: usage records that are left at the drain deadline go to a gateway.
//! - [`metrics`]: what is counted.

pub mod attach;
pub mod config;
pub mod conversations;
pub mod drain;
pub mod hand_over;
pub mod keys;
pub mod knowledge;
pub mod metrics;
pub mod service;
pub mod token;
pub mod turn;
