//! What is charged for.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing that is charged for.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new("self.model != 'PerUnit' || (has(self.unitPrice) && (!has(self.tiers) || self.tiers.size() == 0))")
        .message("the model PerUnit needs a unitPrice and no tiers"),
    validation = Rule::new("!(self.model in ['Graduated', 'Volume']) || (!has(self.unitPrice) && has(self.tiers) && self.tiers.size() > 0)")
        .message("the models Graduated and Volume need tiers and no unitPrice"),
    validation = Rule::new("(self.model == 'Package') == has(self.size) && has(self.size) == has(self.price)")
        .message("the model Package needs size and price, and no other model has them"),
    validation = Rule::new("self.model != 'Package' || (!has(self.unitPrice) && (!has(self.tiers) || self.tiers.size() == 0))")
        .message("the model Package has neither unitPrice nor tiers")
)]
#[serde(rename_all = "camelCase")]
pub struct Charge {
    /// What the line of the bill is called.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// What is counted: interactions, unanswered, conversations, handoffs, ratings and so on.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9_]+$"))]
    pub meter: String,
    /// Narrows what is counted: of each named dimension one value, or a list of values, as {outcome: resolved}.
    #[serde(default, rename = "where", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::super::schema::dimension_values")]
    pub filter: BTreeMap<String, serde_json::Value>,
    /// PerUnit: every one costs unitPrice. Graduated: each tier prices the part that lies in it. Volume: the tier in which
    /// all of it lies prices all of it. Package: every size of them, or what is begun of it, costs price.
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
    /// How many are in one package, a decimal above 0: for Package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[0-9]{1,18}(\.[0-9]{1,9})?$"))]
    #[x_kube(validation = Rule::new("double(self) > 0.0").message("a package must have something in it; give a size above 0"))]
    pub size: Option<String>,
    /// Price of one package, a decimal: for Package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::super::schema::amount")]
    pub price: Option<String>,
    /// Prices by quantity, from the lowest: for Graduated and Volume. All but the last say up to where they reach.
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
    /// One tier prices all of it.
    Volume,
    /// Whole packages.
    Package,
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

fn default_included() -> String {
    "0".to_owned()
}
