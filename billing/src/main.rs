//! Springtide's metering, bills and client portal.
fn main() {}
