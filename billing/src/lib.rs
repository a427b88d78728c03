//! Springtide's metering, bills and client portal.
//!
//! - [`metering`]: from a witness's report to what is counted: identity, delivery, durability.
//! - [`rating`]: what usage costs: pure.
//! - [`bill`]: drafts and issued invoices. [`pdf`]: them on paper. [`export`]: what clients take away.
//! - [`service_level`]: the minutes that gateways report, and what is made of them. [`satisfaction`]: customers' ratings.
//! - [`store`]: SQLite or PostgreSQL behind one interface.
//! - [`grpc`]: the services `Metering` and `Tenancy`. [`web`]: REST and the client firms' portal.
//! - [`openid_connect`]: what a firm's own provider says of a person. [`https`]: how billing calls out.
//! - [`serve`] and [`command`]: the program.
//!
//! Rating knows no database, no clock and no float. Billing never calls the cluster.

mod at_length;
pub mod bill;
pub mod command;
pub mod digest;
pub mod drop_old_events;
pub mod export;
pub mod grpc;
pub mod https;
pub mod locale;
pub mod metering;
pub mod metrics;
pub mod openid_connect;
pub mod pdf;
pub mod rating;
pub mod satisfaction;
pub mod serve;
pub mod service_level;
pub mod store;
pub mod watch_budgets;
pub mod web;
