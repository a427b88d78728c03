//! The gateway: the edge of one tenant.
//!
//! - [`config`]: flags and environment.
//! - [`pool`]: which worker a conversation goes to, and the waiting room; pure.
//! - [`shared_pool`]: a pool as all who want something of it share it.
//! - [`sessions`]: the conversations that came through this gateway.
//! - [`resume`]: the resume token as clients hold it.
//! - [`relay`]: a customer's turn, from the door to a reply that is witnessed.
//! - [`witnessed`]: whether a reply reached its customer.
//! - `ending`: what is said of conversations that end.
//! - [`rating`], [`rateable`]: how customers liked conversations, and which can be rated here.
//! - [`service`]: the service that customers got, minute by minute.
//! - `probe`: the operator's probes of this door.
//! - [`workers`]: connections to workers.
//! - `taking_over`: usage records of workers that leave.
//! - [`attach`]: the stream to the operator: load up, endpoints down.
//! - [`http`], [`websocket`], [`page`]: the channels.
//! - [`metrics`]: what is counted.

pub mod attach;
pub mod config;
mod ending;
pub mod http;
mod letting_go;
pub mod metrics;
pub mod page;
pub mod pool;
mod probe;
pub mod rateable;
pub mod rating;
pub mod relay;
pub mod resume;
pub mod service;
pub mod sessions;
pub mod shared_pool;
mod taking_over;
pub mod websocket;
pub mod witnessed;
pub mod workers;
