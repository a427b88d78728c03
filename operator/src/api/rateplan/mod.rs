//! RatePlan: what things cost.

mod charge;
mod service_level;
mod surcharge;
mod terms;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use charge::{Charge, ChargeModel, Tier};
pub use service_level::ServiceLevelAgreement;
pub use surcharge::Surcharge;
pub use terms::{Discount, Module, Tax};

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
#[x_kube(
    validation = Rule::new("!has(self.surcharges) || self.surcharges.all(one, self.charges.exists(charge, charge.name == one.charge))")
        .message("a surcharge is on a charge of the same plan: name one of spec.charges"),
    validation = Rule::new("!has(self.surcharges) || self.surcharges.all(one, one.windows.all(window, !has(window.calendar) || (has(self.calendars) && window.calendar in self.calendars)))")
        .message("a window names a calendar that spec.calendars does not have"),
    validation = Rule::new("!has(self.cap) || !has(self.minimumCommitment) || double(self.cap) >= double(self.minimumCommitment)")
        .message("the cap is below the minimum commitment: no bill could keep both")
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
    /// Prices on top of a charge's, at certain times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, other.name == one.name))")
        .message("two surcharges have the same name; make them differ"))]
    pub surcharges: Vec<Surcharge>,
    /// Lists of local dates by name, for windows of surcharges, as shopping with the days 2026-11-11 and 2026-12-12.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::calendars")]
    pub calendars: BTreeMap<String, Vec<String>>,
    /// Parts of the service with a monthly fee of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, other.name == one.name))")
        .message("two modules have the same name; make them differ"))]
    pub modules: Vec<Module>,
    /// The fees of a month are at least this, a decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::amount")]
    pub minimum_commitment: Option<String>,
    /// The fees of a month are at most this, a decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::amount")]
    pub cap: Option<String>,
    /// Off all charges, surcharges and modules, before the minimum and the cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount: Option<Discount>,
    /// On the fees less credits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax: Option<Tax>,
    /// Service levels that are promised, and what is credited by itself where they are missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sla: Option<ServiceLevelAgreement>,
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
