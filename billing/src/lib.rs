//! Springtide's metering, bills and client portal.

pub mod digest;
pub mod locale;
pub mod metering;
pub mod rating;
