//! The custom resources, group `springtide.dev`, version `v1alpha1`.
//!
//! The Rust types are the source: the CRDs, with their explain texts, defaults and CEL rules, are generated from them
//! (`springtide-operator crds`). A field exists only when something acts on it; the API server refuses unknown ones.
//!
//! What one object cannot know (an unknown plan, a missing tenant) is a condition, not a refusal.

#[expect(unreachable_pub, reason = "KubeSchema copies each type into a function")]
mod botpool;
mod crds;
mod days;
mod duration;
mod policy;
#[expect(unreachable_pub, reason = "KubeSchema copies each type into a function")]
mod promotion;
#[expect(unreachable_pub, reason = "KubeSchema copies each type into a function")]
mod rateplan;
mod schema;
#[expect(unreachable_pub, reason = "KubeSchema copies each type into a function")]
mod tenant;

pub use botpool::{
    BotPool, BotPoolSpec, BotPoolStatus, DecisionStatus, DrainSpec, HeadroomSpec, KnowledgeSpec, ManualMode,
    ManualSpec, OverrideStatus, ScalingSpec, ServiceLevelSpec, WorkerResources, WorkerSpec,
};
pub use crds::{CrdError, all as all_crds, yaml as crds_yaml};
pub use days::Days;
pub use duration::GoDuration;
pub use promotion::{
    BaselineFrom, Boost, BoostBase, CoolDown, PoolReference, PoolSelector, Promotion, PromotionPoolStatus,
    PromotionRecurrence, PromotionSpec, PromotionStatus, PromotionWindow,
};
pub use rateplan::{Charge, ChargeModel, RatePlan, RatePlanSpec, RatePlanStatus, Tier};
pub use tenant::{BillingContact, Channel, Retention, Tenant, TenantCapacity, TenantSpec, TenantStatus};

/// The group of all four.
pub const GROUP: &str = "springtide.dev";
/// The version of all four.
pub const VERSION: &str = "v1alpha1";
