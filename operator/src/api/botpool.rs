//! BotPool: workers of a tenant that share knowledge and size.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::GoDuration;

/// Workers that answer the conversations of one or more channels of a tenant.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "springtide.dev",
    version = "v1alpha1",
    kind = "BotPool",
    plural = "botpools",
    shortname = "bp",
    category = "springtide",
    namespaced,
    status = "BotPoolStatus",
    derive = "PartialEq",
    doc = "Workers that answer a tenant's conversations; lives in the tenant's namespace, tenant-NAME, and owns its Pods.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".status.desired"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Starting", type_ = "integer", json_path = ".status.startingReplicas"),
    printcolumn(name = "Draining", type_ = "integer", json_path = ".status.drainingReplicas"),
    printcolumn(name = "Active", type_ = "integer", json_path = ".status.active"),
    printcolumn(name = "Waiting", type_ = "integer", json_path = ".status.waiting"),
    printcolumn(name = "Why", type_ = "string", json_path = ".status.decision.binding"),
    printcolumn(name = "Override", type_ = "string", json_path = ".status.override.summary"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 40 && !self.metadata.name.contains('.')")
        .message("a pool's name must have at most 40 characters and no dots: the names of its Pods and Service derive from it; choose a shorter name")
)]
#[serde(rename_all = "camelCase")]
pub struct BotPoolSpec {
    /// What runs in each Pod.
    pub worker: WorkerSpec,
    /// What the workers answer from.
    #[serde(default)]
    pub knowledge: KnowledgeSpec,
    /// How many workers there are.
    pub scaling: ScalingSpec,
    /// How a worker leaves.
    #[serde(default)]
    pub drain: DrainSpec,
    /// Belongs to kubectl scale: a manual override of the given kind (see scaling.manual) until its time to live is over,
    /// then the operator sets it back to 0. 0 is none and releases one at once. The same number given again changes nothing,
    /// so its time does not begin anew: give 0 first. Leave it out of your files.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000))]
    pub replicas: u32,
    /// Empties the pool: every worker is drained, and none is started until it is false again.
    #[serde(default)]
    pub suspend: bool,
}

/// What runs in each Pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkerSpec {
    /// Image of the worker.
    #[schemars(length(min = 1, max = 255))]
    pub image: String,
    /// Conversations that one worker takes at once.
    #[schemars(range(min = 1, max = 1_000))]
    pub conversations: u32,
    /// What one worker needs of its node, and may take.
    #[serde(default)]
    pub resources: WorkerResources,
}

/// What one worker needs of its node, and may take.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkerResources {
    /// What is kept free for it, as {cpu: 50m, memory: 128Mi}.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::quantities")]
    pub requests: BTreeMap<String, Quantity>,
    /// The most it gets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::quantities")]
    pub limits: BTreeMap<String, Quantity>,
}

/// What the workers answer from.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KnowledgeSpec {
    /// Names of ConfigMaps in this namespace, each a part of at most 1 MiB; read in the order of their names. A missing one
    /// keeps new workers from being started and is reported by the condition KnowledgeReady.
    #[serde(default)]
    #[schemars(
        length(max = 64),
        inner(
            length(min = 1, max = 63),
            regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
        )
    )]
    #[x_kube(validation = Rule::new("self.all(name, self.exists_one(other, other == name))")
        .message("a ConfigMap is named twice; name each once"))]
    pub config_maps: Vec<String>,
}

/// How many workers there are.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("self.min <= self.max")
    .message("min must not be greater than max; lower min or raise max").field_path(".min"))]
#[serde(rename_all = "camelCase")]
pub struct ScalingSpec {
    /// Never fewer than this.
    #[serde(default = "default_min")]
    #[schemars(range(min = 0, max = 10_000))]
    pub min: u32,
    /// Never more than this, but while a promotion with a ceiling of its own holds; and never more than the tenant's limit.
    #[schemars(range(min = 0, max = 10_000))]
    pub max: u32,
    /// Kept free beyond what the load and its expected growth need: the larger of the two.
    #[serde(default)]
    pub headroom: HeadroomSpec,
    /// How long conversations may wait for a worker: the margin for growth follows from it.
    #[serde(default)]
    pub service_level: ServiceLevelSpec,
    /// A worker leaves only when none was needed in its place for this long.
    #[serde(default = "default_down_window")]
    pub down_window: GoDuration,
    /// At most this share of the workers leaves within a minute, but always one may.
    #[serde(default = "default_down_percent")]
    #[schemars(range(min = 1, max = 100))]
    pub max_down_percent_per_minute: u32,
    /// What kubectl scale means for this pool.
    #[serde(default)]
    pub manual: ManualSpec,
}

/// Kept free beyond what load and growth need: the larger of the two.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HeadroomSpec {
    /// That many workers.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000))]
    pub workers: u32,
    /// That share of the workers that the load needs, a decimal such as "10" or "12.5".
    #[serde(default = "default_percent")]
    #[schemars(length(min = 1, max = 16), regex(pattern = r"^-?[0-9]{1,4}(\.[0-9]{1,4})?$"))]
    #[x_kube(validation = Rule::new("!self.startsWith('-')")
        .message("headroom cannot be negative; give \"0\" for none"))]
    pub percent: String,
}

/// Of conversations, this share is taken within this wait.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ServiceLevelSpec {
    /// Share of conversations, a decimal below 1 such as "0.999".
    #[serde(default = "default_share")]
    #[schemars(length(min = 1, max = 16), regex(pattern = r"^[0-9]{1,3}(\.[0-9]{1,6})?$"))]
    #[x_kube(validation = Rule::new("self.startsWith('0.') && !self.matches('^0[.]0*$')")
        .message("share must be above 0 and below 1; give a decimal such as \"0.999\""))]
    pub share: String,
    /// Taken within this wait.
    #[serde(default = "default_within")]
    pub within: GoDuration,
}

/// What kubectl scale means.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ManualSpec {
    /// Floor: demand may exceed the number, nothing goes below it. Pin: exactly that many. Ceiling: never more.
    #[serde(default)]
    pub mode: ManualMode,
    /// How long it holds, from when it was given.
    #[serde(default = "default_ttl")]
    pub ttl: GoDuration,
}

/// Kind of a manual override.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ManualMode {
    /// Demand may exceed the number, nothing goes below it.
    #[default]
    Floor,
    /// Exactly that many.
    Pin,
    /// Never more.
    Ceiling,
}

/// How a worker leaves.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DrainSpec {
    /// A worker that leaves may finish its conversations for this long; then they go on at another from their resume tokens.
    #[serde(default = "default_drain_deadline")]
    pub deadline: GoDuration,
}

/// What was last seen of a pool.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BotPoolStatus {
    /// Available, ScalingActive, KnowledgeReady, WorkersStarting, OverrideActive, CapacityGranted.
    #[serde(default)]
    #[schemars(schema_with = "super::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Workers that exist and are not leaving.
    #[serde(default)]
    pub replicas: u32,
    /// Workers that answered their synthetic conversation and take new ones.
    #[serde(default)]
    pub ready_replicas: u32,
    /// Workers that do not yet.
    #[serde(default)]
    pub starting_replicas: u32,
    /// Workers that finish their conversations and leave.
    #[serde(default)]
    pub draining_replicas: u32,
    /// Active conversations.
    #[serde(default)]
    pub active: u32,
    /// Conversations in the gateways' waiting rooms.
    #[serde(default)]
    pub waiting: u32,
    /// Workers that there should be.
    #[serde(default)]
    pub desired: u32,
    /// Label selector of the pool's Pods.
    #[serde(default)]
    pub selector: String,
    /// The last decision that changed the size, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionStatus>,
    /// The manual override, for as long as spec.replicas stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#override: Option<OverrideStatus>,
}

/// A decision, with its terms in workers unless said otherwise.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DecisionStatus {
    /// When.
    pub at: Time,
    /// Size before.
    pub from: u32,
    /// Size after.
    pub to: u32,
    /// The term or bound that decided.
    pub binding: String,
    /// Active conversations then.
    pub active: u32,
    /// Waiting conversations then.
    pub waiting: u32,
    /// Growth that was expected while a worker starts, in conversations.
    pub growth: u32,
    /// What the load needs, with headroom.
    pub react: u32,
    /// What the load is forecast to need; 0 while no forecast is trusted.
    #[serde(default)]
    pub forecast: u32,
    /// What promotions ask for.
    #[serde(default)]
    pub plan: u32,
    /// The lowest allowed.
    pub floor: u32,
    /// The highest allowed.
    pub ceiling: u32,
}

/// A manual override.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OverrideStatus {
    /// What it is and until when, in a line, as in "Floor 60 until 21:00Z".
    #[serde(default)]
    pub summary: String,
    /// The number given.
    pub replicas: u32,
    /// What it means.
    pub mode: ManualMode,
    /// The tool that gave it. Of what comes through the subresource scale, as by kubectl scale, the API server notes no tool: then
    /// it is "scale subresource".
    pub set_by: String,
    /// When the number was given. What else the tool edits later does not change it.
    pub set_at: Time,
    /// When it lapses.
    pub lapses_at: Time,
}

impl Default for HeadroomSpec {
    fn default() -> Self {
        Self {
            workers: 0,
            percent: default_percent(),
        }
    }
}

impl Default for ServiceLevelSpec {
    fn default() -> Self {
        Self {
            share: default_share(),
            within: default_within(),
        }
    }
}

impl Default for ManualSpec {
    fn default() -> Self {
        Self {
            mode: ManualMode::Floor,
            ttl: default_ttl(),
        }
    }
}

impl Default for DrainSpec {
    fn default() -> Self {
        Self {
            deadline: default_drain_deadline(),
        }
    }
}

fn default_min() -> u32 {
    1
}

fn default_down_window() -> GoDuration {
    GoDuration::from_secs(60)
}

fn default_down_percent() -> u32 {
    50
}

fn default_percent() -> String {
    "0".to_owned()
}

fn default_share() -> String {
    "0.999".to_owned()
}

fn default_within() -> GoDuration {
    GoDuration::from_secs(5)
}

fn default_ttl() -> GoDuration {
    GoDuration::from_secs(7_200)
}

fn default_drain_deadline() -> GoDuration {
    GoDuration::from_secs(120)
}
