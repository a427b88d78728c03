//! Promotion: capacity for a known event, ready before it begins.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::GoDuration;
use crate::autoscale;

/// Capacity for a known event, such as Double 11: rising before its window, held until the end, and then let go in steps.
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
    printcolumn(name = "Wanted", type_ = "integer", json_path = ".status.wanted"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.ready"),
    printcolumn(name = "PrewarmReady", type_ = "string", json_path = ".status.conditions[?(@.type==\"PrewarmReady\")].status"),
    printcolumn(name = "Why", type_ = "string", json_path = ".status.conditions[?(@.type==\"PrewarmReady\")].reason", priority = 1),
    printcolumn(name = "Prewarm", type_ = "string", json_path = ".status.prewarmAt", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 40 && !self.metadata.name.contains('.')")
        .message("a promotion's name must have at most 40 characters and no dots; choose a shorter name")
)]
#[x_kube(validation = Rule::new("has(self.pools) != has(self.selector)")
    .message("give exactly one of pools and selector"))]
#[x_kube(validation = Rule::new("has(self.window) != has(self.recur)")
    .message("give exactly one of window and recur"))]
#[serde(rename_all = "camelCase")]
pub struct PromotionSpec {
    /// The pools it is for, by name; or give a selector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, other.tenant == one.tenant && other.pool == one.pool))")
        .message("a pool is named twice; name each once"))]
    pub pools: Option<Vec<PoolReference>>,
    /// The pools it is for, by their labels, of all tenants: looked up again and again, so that a pool that is labelled later
    /// is taken in. At most 256, in the order of their names; or give pools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<PoolSelector>,
    /// When it is, once; or give recur.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<PromotionWindow>,
    /// When it is, again and again; or give a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recur: Option<PromotionRecurrence>,
    /// How much is needed.
    pub boost: Boost,
    /// All of it answers this long before the start.
    #[serde(default = "default_ready_by")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('744h')")
        .message("readyBy is too long; give at most 744h, which is 31 days"))]
    pub ready_by: GoDuration,
    /// The floor rises linearly over this time, and all of it answers at the end of it, which is readyBy before the start. It
    /// begins earlier where the workers that are missing take longer to start.
    #[serde(default = "default_ramp")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('24h')")
        .message("ramp is too long; give at most 24h"))]
    pub ramp: GoDuration,
    /// How it is let go after the end.
    #[serde(default)]
    pub cool_down: CoolDown,
    /// While it holds, each pool may have this many workers instead of its own maximum; never more than the tenant's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub ceiling: Option<u32>,
}

/// Pools by their labels.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("self.matchLabels.size() > 0")
    .message("the selector would match every pool; give at least one label in matchLabels"))]
#[serde(rename_all = "camelCase")]
pub struct PoolSelector {
    /// A pool matches that has all of these labels on its BotPool.
    #[schemars(schema_with = "super::schema::labels")]
    pub match_labels: BTreeMap<String, String>,
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

/// The starts by a cron expression, each as long as the other. Where two overlap, the one that began first goes on until its
/// end.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PromotionRecurrence {
    /// Local times of the starts: minute, hour, day of month, month, day of week, as 0 20 * * FRI. Each occurs once: one that a
    /// change of clocks skips is as much later as clocks are put forward; of one that occurs twice, it is the first.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[^ ]+( [^ ]+){4}$')")
        .message("cron must have five fields: minute, hour, day of month, month and day of week, as 0 20 * * FRI"))]
    pub cron: String,
    /// How long each lasts, as time that passes: a change of clocks makes none longer or shorter. From 1m to 744h (31 days).
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m') && duration(self) <= duration('744h')")
        .message("an occurrence must last from 1m to 744h, which is 31 days"))]
    pub duration: GoDuration,
    /// Zone of the starts, an IANA name such as Asia/Shanghai.
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$")
    )]
    pub time_zone: String,
}

/// How a promotion is let go after its end.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CoolDown {
    /// All of it is held for this long after the end.
    #[serde(default = "default_hold")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('24h')")
        .message("coolDown.hold is too long; give at most 24h"))]
    pub hold: GoDuration,
    /// Then the floor falls by this share of the boost each minute until nothing of it is left; what the load needs stays. A
    /// decimal above 0, at most "100".
    #[serde(default = "default_step_percent")]
    #[schemars(length(min = 1, max = 16), regex(pattern = r"^-?[0-9]{1,5}(\.[0-9]{1,4})?$"))]
    #[x_kube(validation = Rule::new("double(self) > 0.0 && double(self) <= 100.0")
        .message("coolDown.stepPercent must be above 0 and at most 100; give \"100\" to let go within a minute"))]
    pub step_percent: String,
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
    /// What percent counts from, fixed when pre-warming begins. SameSlotBaseline: what the pool learned of the same times of the
    /// week, and until it has, the highest load of the last hour. CurrentLoad: the highest load of the last hour.
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
    CurrentLoad,
    /// The highest of what the pool learned of the same slots of the week, of 15 minutes each in its tenant's time zone, over
    /// those that the window covers. A slot counts after two weeks, if its predictions were at most 30 percent off; at least
    /// half of the slots must count. Until then, the highest load of the last hour, and status says so.
    #[default]
    SameSlotBaseline,
}

/// What was last seen of a promotion.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PromotionStatus {
    /// PrewarmReady, Active, PoolsFound, BaselineLearned.
    #[serde(default)]
    #[schemars(schema_with = "super::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Waiting, Prewarming, Open, CoolingDown or Over.
    #[serde(default)]
    pub phase: String,
    /// When pre-warming begins, or began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prewarm_at: Option<Time>,
    /// The start, as an instant: of the occurrence that is on, or of the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Time>,
    /// The end of that occurrence, as an instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Time>,
    /// Workers wanted in all pools together.
    #[serde(default)]
    pub wanted: u32,
    /// Workers that answer in all pools together, in each at most as many as are wanted.
    #[serde(default)]
    pub ready: u32,
    /// What was said of that occurrence in Events: 60m, 30m and 10m before the start, and open. Each is said once.
    #[serde(default)]
    #[schemars(length(max = 4))]
    pub announced: Vec<String>,
    /// What is wanted in each pool, and what is there.
    #[serde(default)]
    #[schemars(length(max = 256))]
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
    /// Where the baseline comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_from: Option<BaselineFrom>,
    /// How long a conversation lasts on average, in seconds, by which the workers of a percentage are counted; fixed when
    /// pre-warming begins. Absent while too few conversations have ended to measure it: then it is taken to be 180.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_seconds: Option<u32>,
    /// Workers wanted when the window opens.
    pub wanted: u32,
    /// Workers that are held now: rising while it is being pre-warmed, falling while it cools down.
    #[serde(default)]
    pub floor: u32,
    /// Workers that answered their synthetic conversation and take new ones.
    pub ready: u32,
    /// By when all that are wanted are expected to answer, while some do not; absent where limits allow no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_at: Option<Time>,
    /// What allows fewer than are wanted: Maximum, Override, TenantLimit, FairShare, Suspended, NoTenant or NoPool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<String>,
}

/// Where a baseline comes from.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaselineFrom {
    /// The same slots of past weeks.
    SameSlotBaseline,
    /// The highest load of the last hour, because the same slots are not known well enough.
    LastHour,
    /// The highest load of the last hour, as the promotion asks.
    CurrentLoad,
}

impl From<BoostBase> for autoscale::BoostBase {
    fn from(base: BoostBase) -> Self {
        match base {
            BoostBase::CurrentLoad => Self::CurrentLoad,
            BoostBase::SameSlotBaseline => Self::SameSlotBaseline,
        }
    }
}

impl From<BaselineFrom> for autoscale::BaselineFrom {
    fn from(from: BaselineFrom) -> Self {
        match from {
            BaselineFrom::SameSlotBaseline => Self::SameSlotBaseline,
            BaselineFrom::LastHour => Self::LastHour,
            BaselineFrom::CurrentLoad => Self::CurrentLoad,
        }
    }
}

impl From<autoscale::BaselineFrom> for BaselineFrom {
    fn from(from: autoscale::BaselineFrom) -> Self {
        match from {
            autoscale::BaselineFrom::SameSlotBaseline => Self::SameSlotBaseline,
            autoscale::BaselineFrom::LastHour => Self::LastHour,
            autoscale::BaselineFrom::CurrentLoad => Self::CurrentLoad,
        }
    }
}

impl Default for CoolDown {
    fn default() -> Self {
        Self {
            hold: default_hold(),
            step_percent: default_step_percent(),
        }
    }
}

fn default_ready_by() -> GoDuration {
    GoDuration::from_secs(1_800)
}

fn default_ramp() -> GoDuration {
    GoDuration::from_secs(600)
}

fn default_hold() -> GoDuration {
    GoDuration::from_secs(0)
}

fn default_step_percent() -> String {
    "20".to_owned()
}
