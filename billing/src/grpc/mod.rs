//! The gRPC edge: wire to domain on each handler's first lines, and who may call what.

pub mod metering;
mod minutes;
pub mod tenancy;

#[cfg(test)]
mod tests;
