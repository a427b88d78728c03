//! Springtide's operator: controller of the four resources, autoscaler, and fleet service for workers and gateways.
//!
//! - [`api`]: the four custom resources.
//! - [`autoscale`]: how a pool's size is decided; pure.
//! - [`election`]: which replica leads.
//! - [`fleet`]: what workers and gateways report, and what they are told.
//! - [`controllers`]: makes the cluster and billing agree with the resources.
//! - [`admin`]: what the admin port shows beyond health and metrics.
//! - `calls`: calls to the API server, each with a limit.
//! - `dispatch`: runs work by keys, each one at a time and all at once.
//! - `door`: probes of the tenants' public doors.
//! - [`lead`]: what the leading replica runs.
//! - [`run`]: the process.
//! - [`plugin`]: `kubectl springtide`, which says to people what was decided and why.
//! - [`watched`]: what every replica watches.
//! - [`simulate`]: what a pool would have cost on a trace of load; pure but for its command.
//!
//! Every replica serves the fleet service, and turns workers and gateways to the leader. Only the leader writes; when it
//! cannot renew its lease it stops before another may begin.

pub mod admin;
pub mod api;
pub mod autoscale;
mod calls;
pub mod cli;
pub mod controllers;
mod dispatch;
mod door;
pub mod election;
pub mod fleet;
pub mod lead;
pub mod names;
pub mod plugin;
pub mod run;
pub mod simulate;
pub mod watched;
