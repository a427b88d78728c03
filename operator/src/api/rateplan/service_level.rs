//! What is promised, and what is credited.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Service levels that are promised; of several that are missed the highest credit counts.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ServiceLevelAgreement {
    /// Share of slices of time that were good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<AvailabilitySpec>,
    /// Share of answers that came in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_time: Option<ResponseTimeSpec>,
}

/// Share of slices of time that were good. A slice of which no gateway reported a minute is bad.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AvailabilitySpec {
    /// Percent of the slices of a month that are good, as 99.9.
    #[schemars(schema_with = "super::super::schema::percent")]
    pub objective: String,
    /// How long a slice is: whole minutes, as 5m.
    #[serde(default = "default_slice")]
    #[schemars(schema_with = "super::super::schema::duration")]
    pub slice: String,
    /// A slice is bad where more than this share of its requests was, as 0.05.
    #[serde(default = "default_bad_share")]
    #[schemars(
        length(min = 1, max = 16),
        regex(pattern = r"^(1(\.0{1,9})?|0(\.[0-9]{1,9})?)$")
    )]
    pub bad_share: String,
    /// A slice with fewer requests has no data.
    #[serde(default = "default_minimum_requests")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub minimum_requests: u64,
    /// What a slice without data is, if it was reported.
    #[serde(default)]
    pub no_data: NoData,
    /// What is credited below which percentage; of those that apply the one with the lowest bound counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub credits: Vec<CreditRow>,
    /// No credit is more than this percentage of the fees.
    #[serde(default = "default_credit_cap")]
    #[schemars(schema_with = "super::super::schema::percent")]
    pub credit_cap: String,
}

/// Share of answers that came in time.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResponseTimeSpec {
    /// What in time means, as 1s.
    #[schemars(schema_with = "super::super::schema::duration")]
    pub within: String,
    /// What is credited below which percentage of answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub credits: Vec<CreditRow>,
    /// No credit is more than this percentage of the fees.
    #[serde(default = "default_credit_cap")]
    #[schemars(schema_with = "super::super::schema::percent")]
    pub credit_cap: String,
}

/// A row of a credit table.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CreditRow {
    /// Applies strictly below this percentage.
    #[schemars(schema_with = "super::super::schema::percent")]
    pub below: String,
    /// Percentage of the fees that is credited.
    #[schemars(schema_with = "super::super::schema::percent")]
    pub percent: String,
}

/// What a slice is that was reported but had too few requests.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoData {
    /// Good.
    #[default]
    Up,
    /// Bad.
    Down,
    /// Not counted.
    Exclude,
}

fn default_slice() -> String {
    "5m".to_owned()
}

fn default_bad_share() -> String {
    "0.05".to_owned()
}

fn default_minimum_requests() -> u64 {
    10
}

fn default_credit_cap() -> String {
    "100".to_owned()
}
