//! Promotion: capacity for a known event, ready before it begins.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::GoDuration;

/// Capacity for a known event, such as Double 11: held from before its window until the end.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "springtide.dev",
    version = "v1alpha1",
    kind = "Promotion",
    plural = "promotions",
    shortname = "promo",
    category = "springtide",
    status = "PromotionStatus",
    derive = "PartialEq",
    doc = "Capacity for a known event, such as Double 11: workers that answer before its window opens and stay until it ends.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Start", type_ = "string", json_path = ".status.start"),
    printcolumn(name = "End", type_ = "string", json_path = ".status.end"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"PrewarmReady\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 40 && !self.metadata.name.contains('.')")
        .message("a promotion's name must have at most 40 characters and no dots; choose a shorter name")
)]
#[serde(rename_all = "camelCase")]
pub struct PromotionSpec {
    /// The pools it is for.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, other.tenant == one.tenant && other.pool == one.pool))")
        .message("a pool is named twice; name each once"))]
    pub pools: Vec<PoolReference>,
    /// When it is.
    pub window: PromotionWindow,
    /// How much is needed.
    pub boost: Boost,
    /// All of it answers this long before the start.
    #[serde(default = "default_ready_by")]
    pub ready_by: GoDuration,
    /// While it holds, each pool may have this many workers instead of its own maximum; never more than the tenant's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub ceiling: Option<u32>,
}

/// A pool of a tenant.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PoolReference {
    /// Name of the Tenant.
    #[schemars(
        length(min = 1, max = 40),
        regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    )]
    pub tenant: String,
    /// Name of the BotPool in that tenant's namespace.
    #[schemars(
        length(min = 1, max = 40),
        regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    )]
    pub pool: String,
}

/// A span of local wall-clock time, from start (inclusive) to end (exclusive).
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("self.start < self.end")
    .message("the window ends before it begins; end must be later than start").field_path(".end"))]
#[serde(rename_all = "camelCase")]
pub struct PromotionWindow {
    /// Local date and time of the start, as 2026-11-10T20:00.
    #[schemars(
        length(max = 16),
        regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}$")
    )]
    pub start: String,
    /// Local date and time of the end, as 2026-11-12T00:00.
    #[schemars(
        length(max = 16),
        regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}$")
    )]
    pub end: String,
    /// Zone of both, an IANA name such as Asia/Shanghai.
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$")
    )]
    pub time_zone: String,
}

/// How much is needed: percent over a base, or a number of workers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("has(self.percent) != has(self.workers)")
    .message("give exactly one of boost.percent and boost.workers"))]
#[serde(rename_all = "camelCase")]
pub struct Boost {
    /// That much more than the base, a decimal such as "200" for three times as much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), regex(pattern = r"^-?[0-9]{1,5}(\.[0-9]{1,4})?$"))]
    #[x_kube(validation = Rule::new("!self.startsWith('-')")
        .message("a promotion cannot take capacity away; give a percent of 0 or more"))]
    pub percent: Option<String>,
    /// What percent counts from. CurrentLoad: the highest load of the last hour, at the moment when pre-warming begins.
    #[serde(default)]
    pub of: BoostBase,
    /// At least this many workers in each pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub workers: Option<u32>,
}

/// What percent counts from.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BoostBase {
    /// The highest load of the last hour, at the moment when pre-warming begins.
    #[default]
    CurrentLoad,
}

/// What was last seen of a promotion.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PromotionStatus {
    /// PrewarmReady, Active.
    #[serde(default)]
    #[schemars(schema_with = "super::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Waiting, Prewarming, Open or Over.
    #[serde(default)]
    pub phase: String,
    /// When pre-warming begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prewarm_at: Option<Time>,
    /// The start, as an instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Time>,
    /// The end, as an instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Time>,
    /// What is wanted in each pool, and what is there.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub pools: Vec<PromotionPoolStatus>,
}

/// What is wanted in a pool, and what is there.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PromotionPoolStatus {
    /// Name of the Tenant.
    pub tenant: String,
    /// Name of the BotPool.
    pub pool: String,
    /// Load that percent counts from, in conversations; fixed when pre-warming begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<u32>,
    /// Workers wanted.
    pub wanted: u32,
    /// Workers that answer.
    pub ready: u32,
}

fn default_ready_by() -> GoDuration {
    GoDuration::from_secs(1_800)
}
