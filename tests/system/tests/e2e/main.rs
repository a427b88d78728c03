//! End to end, on the real cluster that `cargo xtask test` brings up: charts by helm, real pods, real faults.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod away;
mod course;
mod disk;
mod doors;
mod drain;
mod late;
mod promotion;
mod resources;
mod scarcity;
mod support;
