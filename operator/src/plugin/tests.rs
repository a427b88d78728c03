//! Worked records, and what they read as.

mod edge;
mod explained;
mod tried;
