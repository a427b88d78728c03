//! Prices on top, at certain times.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What each unit of a charge costs on top at certain times.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Surcharge {
    /// What the line of the bill is called.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Name of the charge that it is on.
    #[schemars(length(min = 1, max = 64))]
    pub charge: String,
    /// What each costs more, a decimal.
    #[schemars(schema_with = "super::super::schema::amount")]
    pub unit_price: String,
    /// When it applies; what lies in several windows pays it once.
    #[schemars(length(min = 1, max = 16))]
    pub windows: Vec<SurchargeWindow>,
}

/// Times in the plan's zone. All that a window names must hold, and it names something.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(
    validation = Rule::new("has(self.days) || has(self.dates) || has(self.calendar) || has(self.from) || has(self.to)")
        .message("a window names days, dates, a calendar, or from and to"),
    validation = Rule::new("(has(self.from) ? self.from : '00:00') < (has(self.to) ? self.to : '24:00')")
        .message("to must be later than from; a window over midnight is two windows")
)]
#[serde(rename_all = "camelCase")]
pub struct SurchargeWindow {
    /// Days of the week.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 7))]
    pub days: Vec<Weekday>,
    /// Local dates, as 2026-11-11.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::super::schema::dates")]
    pub dates: Vec<String>,
    /// Name of a list of spec.calendars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub calendar: Option<String>,
    /// First quarter of an hour of the day that is in it, as 20:00.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::super::schema::time_of_day")]
    pub from: Option<String>,
    /// First quarter of an hour that is in it no more; 24:00 is the end of the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::super::schema::time_of_day")]
    pub to: Option<String>,
}

/// A day of the week.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weekday {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}
