//! Springtide's metering, bills and client portal.
//!
//! - [`metering`]: from a witness's report to what is counted: identity, delivery, durability.
//! - [`rating`]: what usage costs: pure.
//! - [`bill`]: drafts and issued invoices. [`pdf`]: them on paper. [`export`]: what clients take away.
//! - [`service_level`]: the minutes that gateways report, and what is made of them.
//! - [`store`]: SQLite or PostgreSQL behind one interface.
//! - [`grpc`]: the services `Metering` and `Tenancy`. [`web`]: REST and the client firms' portal.
//! - [`serve`] and [`command`]: the program.
//!
//! Rating knows no database, no clock and no float. Billing never calls the cluster.

mod at_length;
pub mod bill;
pub mod command;
pub mod digest;
pub mod export;
pub mod grpc;
pub mod locale;
pub mod metering;
pub mod metrics;
pub mod pdf;
pub mod rating;
pub mod serve;
pub mod service_level;
pub mod store;
pub mod watch_budgets;
pub mod web;
