//! Rate plans: the `spec` of a RatePlan as JSON, turned into values that are valid.

mod charge;
mod error;
mod service_level;
mod surcharge;
mod terms;

use std::cmp::Ordering;
use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::currency::Currency;
use super::fields::Fields;
use super::number::Exact;
use super::period::zone_named;

pub use charge::{Charge, Filter, Model, Tier, Tiers, is_identifying};
pub use error::PlanError;
pub use service_level::{Availability, CreditRow, Credits, NoData, ResponseTime, ServiceLevel};
pub use surcharge::{Calendars, Day, MinuteOfDay, Surcharge, Window};
pub use terms::{Module, Tax};

const MAX_CHARGES: usize = 64;
const MAX_SURCHARGES: usize = 64;
const MAX_MODULES: usize = 64;
const MAX_NAME: usize = 64;

/// A plan that can be rated with.
#[derive(Clone, Debug, PartialEq)]
pub struct RatePlan {
    /// All amounts are in it.
    pub currency: Currency,
    /// IANA name of the zone.
    pub zone_name: String,
    /// The zone whose months are the periods.
    pub zone: TimeZone,
    /// In the order of their lines.
    pub charges: Vec<Charge>,
    /// In the order of their lines.
    pub surcharges: Vec<Surcharge>,
    /// In the order of their lines.
    pub modules: Vec<Module>,
    /// Percent of all before it; 0: none.
    pub discount_percent: Exact,
    /// Fees of a month are at least this.
    pub minimum: Option<Exact>,
    /// Fees of a month are at most this; not below the minimum.
    pub cap: Option<Exact>,
    /// On fees less credits.
    pub tax: Option<Tax>,
    /// What is promised.
    pub service_level: ServiceLevel,
}

impl RatePlan {
    /// Reads a plan's `spec`.
    pub fn parse(spec_json: &str) -> Result<Self, PlanError> {
        Self::from_json(&serde_json::from_str(spec_json).map_err(|error| PlanError::Json(error.to_string()))?)
    }

    /// Reads a plan's `spec`.
    pub fn from_json(spec: &Value) -> Result<Self, PlanError> {
        let mut fields = Fields::of(spec, "")?;
        let code = fields.text("currency", MAX_NAME)?;
        let currency =
            Currency::from_code(code).ok_or_else(|| PlanError::UnknownCurrency(code.to_owned()))?;
        let zone_name = fields.text("timeZone", MAX_NAME)?;
        let zone = zone_named(zone_name).ok_or_else(|| PlanError::UnknownZone(zone_name.to_owned()))?;
        let charges = each(fields.list("charges", MAX_CHARGES)?, charge::charge_of)?;
        unique("charges", charges.iter().map(|charge| &charge.name))?;
        let calendars = surcharge::calendars_of(&mut fields)?;
        let surcharges = each(
            fields.list("surcharges", MAX_SURCHARGES)?,
            |surcharge, position| surcharge::surcharge_of(surcharge, position, &charges, &calendars),
        )?;
        unique("surcharges", surcharges.iter().map(|surcharge| &surcharge.name))?;
        let modules = each(fields.list("modules", MAX_MODULES)?, terms::module_of)?;
        unique("modules", modules.iter().map(|module| &module.name))?;
        let discount = fields.optional("discount").map(terms::discount_of).transpose()?;
        let minimum = fields.decimal("minimumCommitment")?;
        let cap = fields.decimal("cap")?;
        let tax = fields.optional("tax").map(terms::tax_of).transpose()?;
        let service_level = fields
            .optional("sla")
            .map(service_level::service_level_of)
            .transpose()?;
        fields.finish()?;
        if let (Some(minimum), Some(cap)) = (minimum, cap)
            && cap.compare(minimum).is_ok_and(Ordering::is_lt)
        {
            return Err(PlanError::CapBelowMinimum {
                cap: cap.to_string(),
                minimum: minimum.to_string(),
            });
        }
        Ok(Self {
            currency,
            zone_name: zone_name.to_owned(),
            zone,
            charges,
            surcharges,
            modules,
            discount_percent: discount.unwrap_or(Exact::ZERO),
            minimum,
            cap,
            tax,
            service_level: service_level.unwrap_or_default(),
        })
    }
}

fn each<T>(
    items: &[Value],
    read: impl Fn(&Value, usize) -> Result<T, PlanError>,
) -> Result<Vec<T>, PlanError> {
    items
        .iter()
        .enumerate()
        .map(|(position, item)| read(item, position))
        .collect()
}

fn unique<'a>(what: &'static str, names: impl Iterator<Item = &'a String>) -> Result<(), PlanError> {
    let mut known = BTreeSet::new();
    for name in names {
        if !known.insert(name) {
            return Err(PlanError::NamedTwice(what, name.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
