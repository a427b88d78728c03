//! Tenant: a client firm.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{Days, GoDuration};

/// A client firm: what is provisioned for it, how much it may use, and who pays.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "springtide.dev",
    version = "v1alpha1",
    kind = "Tenant",
    plural = "tenants",
    shortname = "tn",
    category = "springtide",
    status = "TenantStatus",
    derive = "PartialEq",
    doc = "A client firm: its namespace, identities, gateways and account are made from this object and go with it.",
    printcolumn(name = "Display", type_ = "string", json_path = ".spec.displayName"),
    printcolumn(name = "Plan", type_ = "string", json_path = ".spec.ratePlan"),
    printcolumn(name = "Limit", type_ = "integer", json_path = ".spec.capacity.limit"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 40 && !self.metadata.name.contains('.')")
        .message("a tenant's name must have at most 40 characters and no dots: its namespace and server names derive from it; choose a shorter name")
)]
#[serde(rename_all = "camelCase")]
pub struct TenantSpec {
    /// Name of the firm as people read it, 1 to 64 characters.
    #[schemars(length(min = 1, max = 64))]
    pub display_name: String,
    /// Time zone of its bills and reports, an IANA name such as Asia/Shanghai.
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$")
    )]
    pub time_zone: String,
    /// Languages of its customers, BCP 47, the first is the one of its bills.
    #[serde(default = "default_locales")]
    #[schemars(
        length(min = 1, max = 8),
        inner(
            length(min = 2, max = 16),
            regex(pattern = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
        )
    )]
    pub locales: Vec<String>,
    /// Name of the RatePlan it is billed by. One that does not exist yet is reported by the condition RatePlanFound.
    #[schemars(
        length(min = 1, max = 40),
        regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    )]
    pub rate_plan: String,
    /// Who pays.
    #[serde(default)]
    pub billing: BillingContact,
    /// How many workers it may have.
    #[serde(default)]
    pub capacity: TenantCapacity,
    /// Channels by which its customers come, and the pool that answers each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = Rule::new("self.all(name, name.matches('^[a-z][a-z0-9_-]{0,31}$'))")
        .message("a channel's name must be 1 to 32 lower-case letters, digits, '_' and '-', beginning with a letter, as web"))]
    pub channels: BTreeMap<String, Channel>,
    /// A conversation without a message for this long is parked: it goes on from its resume token, but is no load any more.
    #[serde(default = "default_idle_after")]
    pub idle_after: GoDuration,
    /// How long is kept what is not needed for ever.
    #[serde(default)]
    pub retention: Retention,
}

/// How long is kept what is not needed for ever.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// Single usage events, since they were recorded, in days, as 730d: what bills are made of, one interaction at a time. They
    /// go by whole months, and not while a bill is disputed that they may be part of. Bills, sums and the identities by which a
    /// repetition is known are kept for ever; so are the events, if this says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("int(self.replace('d', '')) >= 35 && int(self.replace('d', '')) <= 3650")
        .message("usage must be 35d to 3650d: a month's bill, its corrections and its disputes need its events"))]
    pub usage: Option<Days>,
}

/// Who pays.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BillingContact {
    /// Name on the bill; the display name if it is empty.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub legal_name: String,
    /// Tax number on the bill.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub tax_id: String,
    /// Where bills go.
    #[serde(default)]
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new("self == '' || self.matches('^[^@ ]+@[^@ ]+$')")
        .message("email must be an address such as finance@acme.example"))]
    pub email: String,
    /// Days until payment is due.
    #[serde(default = "default_payment_days")]
    #[schemars(range(min = 0, max = 365))]
    pub payment_days: u32,
}

/// How many workers a tenant may have.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("self.guaranteed <= self.limit")
    .message("guaranteed must not be greater than limit; lower guaranteed or raise limit").field_path(".guaranteed"))]
#[serde(rename_all = "camelCase")]
pub struct TenantCapacity {
    /// Workers at once over all pools of the tenant; neither demand nor a promotion nor a manual override goes beyond it.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 0, max = 10_000))]
    pub limit: u32,
    /// Workers that it gets before any other tenant gets more than its own guarantee, when the cluster is short of room.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000))]
    pub guaranteed: u32,
    /// Its part of what is left beyond all guarantees, when the cluster is short: a tenant of weight 3 gets three workers where
    /// one of weight 1 gets one.
    #[serde(default = "default_weight")]
    #[schemars(range(min = 1, max = 1_000))]
    pub weight: u32,
}

/// Where a channel leads.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Channel {
    /// Name of the BotPool, in the tenant's namespace, that answers this channel.
    #[schemars(
        length(min = 1, max = 40),
        regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    )]
    pub pool: String,
}

/// What was last seen of a tenant.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    /// NamespaceReady, IdentitiesReady, GatewaysReady, RatePlanFound, Registered, and Ready, which is all of them.
    #[serde(default)]
    #[schemars(schema_with = "super::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The tenant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl Default for BillingContact {
    fn default() -> Self {
        Self {
            legal_name: String::new(),
            tax_id: String::new(),
            email: String::new(),
            payment_days: default_payment_days(),
        }
    }
}

impl Default for TenantCapacity {
    fn default() -> Self {
        Self {
            limit: default_limit(),
            guaranteed: 0,
            weight: default_weight(),
        }
    }
}

fn default_locales() -> Vec<String> {
    vec!["zh-CN".to_owned()]
}

fn default_idle_after() -> GoDuration {
    GoDuration::from_secs(180)
}

fn default_payment_days() -> u32 {
    30
}

fn default_weight() -> u32 {
    1
}

fn default_limit() -> u32 {
    100
}
