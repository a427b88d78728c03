//! PostgreSQL: its own base backups and its own replay of the write-ahead log, without the steps that are easily forgotten.

mod base;
mod replay;
mod restore;

pub(super) use base::base;
pub(super) use restore::restore;

/// What pg_basebackup writes, in the folder of a base.
const DATA: &str = "data";
/// Says that a base is whole, and what it is of; written last.
const BASE: &str = "base.json";
