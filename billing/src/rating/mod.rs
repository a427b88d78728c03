//! What usage costs: pure, with no database, no clock and no float.
//!
//! A *plan* ([`plan`]) has *charges*. A charge takes the quantity Q of a meter in a period, narrowed by its *filter*
//! (`where`), less what is *included*: the *billable* quantity B. Its *model* prices B in one or more *lines* ([`rate`]).
//! Surcharges, modules, discount, minimum and cap follow, then what is credited for service levels that were missed, then
//! tax. Each line is computed exactly ([`number`]), rounded once, half away from zero, to the currency's exponent
//! ([`currency`]), and can say in words how it came about ([`explain`]). A *period* ([`period`]) is a calendar month in
//! the plan's zone.

pub mod currency;
pub mod explain;
mod fields;
pub mod number;
pub mod period;
pub mod plan;
pub mod rate;
