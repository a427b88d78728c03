//! Service levels: the minutes that gateways report, and what is made of them.
//!
//! - [`report`]: a report from the wire, checked; pure.
//! - [`hour`]: how an hour of minutes is kept; pure.
//! - [`sum`]: minutes of all pools and gateways together; pure.
//! - [`burn`]: how fast the promised service is lost; pure.
//! - [`watch`]: looks at each tenant every minute, and tells it by [`webhook`].
//!
//! *Good*, *bad*, *fast* and *slow* are the gateway's words (its `service`). A minute is *reported* when any gateway reported it.
//! A *probe* is the operator's: it says only that the public door failed, and that says nothing of a minute that no gateway
//! reported, for such a minute is bad already.

pub mod burn;
pub mod hour;
mod metrics;
pub mod report;
pub mod sum;
pub mod watch;
pub mod webhook;

pub use metrics::ServiceMetrics;
