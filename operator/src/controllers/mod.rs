//! The controllers: each makes the cluster, and billing, agree with one kind of resource.
//!
//! A reconcile reads as its stages: *dereference* reads what the object refers to, *validate* and *build* are pure, only
//! *apply* and *update_status* write. Nothing is remembered that could not be read again, but for what guards against
//! caches that lag behind, and what was learned of pools, which is checkpointed.

pub mod apply;
pub mod billing;
pub mod checkpoint;
pub mod conditions;
pub mod context;
pub mod events;
pub mod gone;
pub mod identities;
pub mod live;
pub mod metrics;
pub mod nodes;
pub mod pods;
pub mod pool;
pub mod pool_metrics;
pub mod pools;
pub mod promotion;
pub mod rateplan;
pub mod scarcity;
pub mod tenant;
#[cfg(test)]
pub(crate) mod testing;
