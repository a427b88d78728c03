//! RatePlan: what things cost.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is charged for, and at which price. Once a bill used it, its prices never change: make another plan instead.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "springtide.dev",
    version = "v1alpha1",
    kind = "RatePlan",
    plural = "rateplans",
    shortname = "plan",
    category = "springtide",
    status = "RatePlanStatus",
    derive = "PartialEq",
    doc = "What is charged for, and at which price. Once a bill used it, it never changes: make another plan instead.",
    printcolumn(name = "Currency", type_ = "string", json_path = ".spec.currency"),
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type==\"Accepted\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 40 && !self.metadata.name.contains('.')")
        .message("a plan's name must have at most 40 characters and no dots; choose a shorter name")
)]
#[serde(rename_all = "camelCase")]
pub struct RatePlanSpec {
    /// Currency of all its prices, ISO 4217, as CNY.
    #[schemars(length(min = 3, max = 3), regex(pattern = r"^[A-Z]{3}$"))]
    pub currency: String,
    /// Zone in which its months begin and end, an IANA name such as Asia/Shanghai.
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$")
    )]
    pub time_zone: String,
    /// What is charged for.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, other.name == one.name))")
        .message("two charges have the same name; names are what the lines of a bill are called, so make them differ"))]
    pub charges: Vec<Charge>,
}

/// One thing that is charged for.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new("self.model != 'PerUnit' || (has(self.unitPrice) && (!has(self.tiers) || self.tiers.size() == 0))")
        .message("the model PerUnit needs a unitPrice and no tiers"),
    validation = Rule::new("self.model != 'Graduated' || (!has(self.unitPrice) && has(self.tiers) && self.tiers.size() > 0)")
        .message("the model Graduated needs tiers and no unitPrice")
)]
#[serde(rename_all = "camelCase")]
pub struct Charge {
    /// What the line of the bill is called.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// What is counted: interactions, unanswered, conversations, handoffs and so on.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9_]+$"))]
    pub meter: String,
    /// Narrows what is counted: of each named dimension one value, or a list of values, as {outcome: resolved}.
    #[serde(default, rename = "where", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::dimension_values")]
    pub filter: BTreeMap<String, serde_json::Value>,
    /// PerUnit: every one costs unitPrice. Graduated: each tier prices the part that lies in it.
    pub model: ChargeModel,
    /// That many a month cost nothing, a decimal.
    #[serde(default = "default_included")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^-?[0-9]{1,18}(\.[0-9]{1,9})?$"))]
    #[x_kube(validation = Rule::new("!self.startsWith('-')")
        .message("included cannot be negative; give \"0\" for none"))]
    pub included: String,
    /// Price of one, a decimal: for PerUnit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^-?[0-9]{1,18}(\.[0-9]{1,9})?$"))]
    #[x_kube(validation = Rule::new("!self.startsWith('-')")
        .message("a price cannot be negative; give 0 or more"))]
    pub unit_price: Option<String>,
    /// Prices by quantity, from the lowest: for Graduated. All but the last say up to where they reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(
        validation = Rule::new("self.size() == 0 || (self.filter(tier, !has(tier.upTo)).size() == 1 && !has(self[self.size() - 1].upTo))")
            .message("every tier but the last needs upTo, and the last must have none, so that every quantity has a price"),
        validation = Rule::new("self.filter(tier, has(tier.upTo)).map(tier, double(tier.upTo)).isSorted() && self.filter(tier, has(tier.upTo)).all(one, self.filter(tier, has(tier.upTo)).exists_one(other, double(other.upTo) == double(one.upTo)))")
            .message("tiers must rise: give each a greater upTo than the one before")
    )]
    pub tiers: Vec<Tier>,
}

/// How a quantity becomes a price.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChargeModel {
    /// Every one costs the same.
    PerUnit,
    /// Each tier prices the part that lies in it.
    Graduated,
}

/// Price of the part of a quantity that lies in this tier.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Tier {
    /// Reaches up to here, inclusive, counted from 0; none: without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[0-9]{1,18}(\.[0-9]{1,9})?$"))]
    pub up_to: Option<String>,
    /// Price of one in this tier.
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^-?[0-9]{1,18}(\.[0-9]{1,9})?$"))]
    #[x_kube(validation = Rule::new("!self.startsWith('-')")
        .message("a price cannot be negative; give 0 or more"))]
    pub unit_price: String,
    /// Added once when the quantity enters this tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^-?[0-9]{1,18}(\.[0-9]{1,9})?$"))]
    #[x_kube(validation = Rule::new("!self.startsWith('-')")
        .message("a fee cannot be negative; give 0 or more"))]
    pub flat_fee: Option<String>,
}

/// What was last seen of a plan.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RatePlanStatus {
    /// Accepted: billing stored it, or says why not.
    #[serde(default)]
    #[schemars(schema_with = "super::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// SHA-256 of the stored plan's canonical JSON, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

fn default_included() -> String {
    "0".to_owned()
}
