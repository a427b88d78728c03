//! How customers liked their conversations: what their ratings come to, and complaints that come in bursts.
//!
//! - [`sums`]: ratings of a month, from usage as bills read it; pure but for one read.
//! - [`burst`]: when complaints about one thing are a burst; pure.
//! - [`look`]: looks for bursts in what was reported, and tells their tenants.
//!
//! A *score* is 1 to 5. *Satisfied* is who gives 4 or 5; the share of them is *CSAT*. A *complaint* is a score of 1 or 2. Its
//! *topic* is the knowledge entry of the conversation's last single answer, or that there was none. Satisfaction is reported and
//! never credited.

pub mod burst;
pub mod look;
pub mod sums;
