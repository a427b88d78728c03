//! What a plan says of the whole bill.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A part of the service with a fee of its own.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Module {
    /// What it is called, on the bill and in events that say that it was taken or dropped.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// For a whole month, a decimal.
    #[schemars(schema_with = "super::super::schema::amount")]
    pub monthly_fee: String,
}

/// Off the sum of charges, surcharges and modules.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Discount {
    /// From 0 to 100, a decimal.
    #[schemars(schema_with = "super::super::schema::percent")]
    pub percent: String,
}

/// A tax on the fees less credits.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Tax {
    /// What it is called, as VAT.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// From 0 to 100, a decimal.
    #[schemars(schema_with = "super::super::schema::percent")]
    pub percent: String,
    /// Prices hold it already: it is shown and not added.
    #[serde(default)]
    pub inclusive: bool,
}
