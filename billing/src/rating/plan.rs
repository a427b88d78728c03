//! Rate plans: the `spec` of a RatePlan as JSON, turned into values that are valid.
//!
//! Acting now: `currency`, `timeZone`, and `charges` with `name`, `meter`, `where`, `included` and the models `PerUnit`
//! and `Graduated`. Everything else is refused by name.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use serde_json::Value;

use super::currency::Currency;
use super::fields::Fields;
use super::number::{Exact, NotADecimal, Overflow};
use super::period::zone_named;

const MAX_CHARGES: usize = 64;
const MAX_TIERS: usize = 32;
const MAX_FILTER_VALUES: usize = 64;
const MAX_FILTER_KEYS: usize = 16;
const MAX_NAME: usize = 64;

/// Dimensions that tell one event from another. Usage is not summed by them, so no plan can price by them.
pub const IDENTIFYING_DIMENSIONS: [&str; 3] = ["answer_id", "conversation", "turn"];

/// Why a plan is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The text is no JSON.
    #[error("the plan is not JSON: {0}")]
    Json(String),
    /// A field that does nothing here.
    #[error(
        "{field} is not known: a field exists only when it does something, and this version acts on currency, timeZone and charges (name, meter, where, model, unitPrice, tiers, included)"
    )]
    UnknownField {
        /// Where.
        field: String,
    },
    /// A model that does nothing here.
    #[error("{field}: the model {model:?} is not known; there are PerUnit and Graduated")]
    UnknownModel {
        /// Where.
        field: String,
        /// As it was given.
        model: String,
    },
    /// A field that is missing or not what it should be.
    #[error("{field} {rule}")]
    Wrong {
        /// Where.
        field: String,
        /// What holds there.
        rule: String,
    },
    /// A price or quantity that is none; negative ones too.
    #[error("{field} is {value:?}, which {why}")]
    Decimal {
        /// Where.
        field: String,
        /// As it was given.
        value: String,
        /// What is wrong with it.
        why: NotADecimal,
    },
    /// No such currency.
    #[error("currency {0:?} is not a currency of ISO 4217 with a smallest unit, such as \"CNY\"")]
    UnknownCurrency(String),
    /// No such zone.
    #[error("timeZone {0:?} is not an IANA time zone such as \"Asia/Shanghai\"")]
    UnknownZone(String),
    /// Two charges of one name: their lines could not be told apart.
    #[error("two charges are named {0:?}")]
    ChargeTwice(String),
    /// A tier that begins where, or before, the one before it began.
    #[error("{field}.upTo does not lie above the tier before it")]
    TiersNotIncreasing {
        /// Which tier.
        field: String,
    },
    /// A tier after the open one.
    #[error("{field} has no upTo but is not the last tier: nothing could reach the tiers after it")]
    OpenTierNotLast {
        /// Which tier.
        field: String,
    },
    /// Quantities beyond the last tier have no price.
    #[error(
        "{field}: the last tier has an upTo, so that what lies above it has no price; leave upTo out there"
    )]
    NoOpenTier {
        /// Of which charge.
        field: String,
    },
    /// Usage is not summed by that dimension.
    #[error("{field} cannot narrow a charge: it tells one event from another")]
    IdentifyingDimension {
        /// Where.
        field: String,
    },
}

impl PlanError {
    pub(super) fn wrong(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::Wrong {
            field: field.into(),
            rule: rule.into(),
        }
    }
}

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
}

/// One thing that costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// For people; unique in the plan.
    pub name: String,
    /// What is counted.
    pub meter: String,
    /// Which of it.
    pub filter: Filter,
    /// Free of charge in each period.
    pub included: Exact,
    /// How it is priced.
    pub model: Model,
}

/// The values that each named dimension may have; empty: all usage.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Filter(pub BTreeMap<String, BTreeSet<String>>);

/// How a quantity is priced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Model {
    /// Each unit costs the same.
    PerUnit {
        /// Of one unit.
        unit_price: Exact,
    },
    /// Each tier prices the part of the quantity that lies in it.
    Graduated(Tiers),
}

/// Tiers whose bounds rise and of which the last, and only the last, is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiers(Vec<Tier>);

/// One step of a graduated price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Its upper bound, inclusive, counted from 0; none: open.
    pub up_to: Option<Exact>,
    /// Of one unit in it.
    pub unit_price: Exact,
    /// Once, if anything lies in it.
    pub flat_fee: Exact,
}

impl Tiers {
    /// The tiers, lowest first.
    pub fn as_slice(&self) -> &[Tier] {
        &self.0
    }
}

impl Filter {
    /// Usage of these dimensions is meant.
    pub fn admits(&self, dimensions: &BTreeMap<String, String>) -> bool {
        self.0
            .iter()
            .all(|(key, values)| dimensions.get(key).is_some_and(|value| values.contains(value)))
    }
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
        let charges = fields.list("charges", MAX_CHARGES)?;
        fields.finish()?;
        let charges: Vec<_> = charges
            .iter()
            .enumerate()
            .map(|(position, charge)| charge_of(charge, position))
            .collect::<Result<_, _>>()?;
        let mut names = BTreeSet::new();
        if let Some(twice) = charges.iter().find(|charge| !names.insert(charge.name.as_str())) {
            return Err(PlanError::ChargeTwice(twice.name.clone()));
        }
        Ok(Self {
            currency,
            zone_name: zone_name.to_owned(),
            zone,
            charges,
        })
    }
}

fn charge_of(charge: &Value, position: usize) -> Result<Charge, PlanError> {
    let mut fields = Fields::of(charge, format!("charges[{position}]"))?;
    let name = fields.text("name", MAX_NAME)?.to_owned();
    let meter = fields.text("meter", MAX_NAME)?.to_owned();
    if !is_lower_name(&meter) {
        return Err(PlanError::wrong(
            fields.place("meter"),
            "must consist of a to z, 0 to 9 and _",
        ));
    }
    let filter = fields
        .optional("where")
        .map(|filter| filter_of(filter, &fields.place("where")))
        .transpose()?;
    let included = fields.decimal("included")?.unwrap_or(Exact::ZERO);
    let model = match fields.text("model", MAX_NAME)? {
        "PerUnit" => {
            let missing = || PlanError::wrong(format!("charges[{position}].unitPrice"), "is missing");
            Model::PerUnit {
                unit_price: fields.decimal("unitPrice")?.ok_or_else(missing)?,
            }
        }
        "Graduated" => Model::Graduated(tiers_of(
            fields.list("tiers", MAX_TIERS)?,
            &fields.place("tiers"),
        )?),
        model => {
            return Err(PlanError::UnknownModel {
                field: fields.place("model"),
                model: model.to_owned(),
            });
        }
    };
    fields.finish()?;
    Ok(Charge {
        name,
        meter,
        filter: filter.unwrap_or_default(),
        included,
        model,
    })
}

fn filter_of(filter: &Value, place: &str) -> Result<Filter, PlanError> {
    let Value::Object(keys) = filter else {
        return Err(PlanError::wrong(place, "must be an object"));
    };
    if keys.len() > MAX_FILTER_KEYS {
        return Err(PlanError::wrong(
            place,
            format!("must have at most {MAX_FILTER_KEYS} dimensions"),
        ));
    }
    let mut wanted = BTreeMap::new();
    for (key, values) in keys {
        let place = format!("{place}.{key}");
        if IDENTIFYING_DIMENSIONS.contains(&key.as_str()) {
            return Err(PlanError::IdentifyingDimension { field: place });
        }
        if !is_lower_name(key) {
            return Err(PlanError::wrong(place, "must be named with a to z, 0 to 9 and _"));
        }
        let values = match values {
            Value::Array(values) => values.as_slice(),
            single => std::slice::from_ref(single),
        };
        let texts: Option<BTreeSet<_>> = values
            .iter()
            .map(|value| value.as_str().map(str::to_owned))
            .collect();
        let within = |texts: &BTreeSet<_>| (1..=MAX_FILTER_VALUES).contains(&texts.len());
        let texts = texts.filter(within).ok_or_else(|| {
            PlanError::wrong(
                place,
                format!("must be a text or a list of 1 to {MAX_FILTER_VALUES} texts"),
            )
        })?;
        wanted.insert(key.clone(), texts);
    }
    Ok(Filter(wanted))
}

fn tiers_of(tiers: &[Value], place: &str) -> Result<Tiers, PlanError> {
    let mut checked: Vec<Tier> = Vec::with_capacity(tiers.len());
    for (position, tier) in tiers.iter().enumerate() {
        let place = format!("{place}[{position}]");
        let mut fields = Fields::of(tier, place.clone())?;
        let up_to = fields.decimal("upTo")?;
        let unit_price = fields.decimal("unitPrice")?;
        let flat_fee = fields.decimal("flatFee")?.unwrap_or(Exact::ZERO);
        fields.finish()?;
        let unit_price =
            unit_price.ok_or_else(|| PlanError::wrong(format!("{place}.unitPrice"), "is missing"))?;
        let floor = match checked.last() {
            None => Exact::ZERO,
            Some(Tier {
                up_to: Some(below), ..
            }) => *below,
            Some(Tier { up_to: None, .. }) => {
                return Err(PlanError::OpenTierNotLast {
                    field: place_of_tier_before(&place, position),
                });
            }
        };
        if up_to.is_some_and(|up_to| up_to.compare(floor) != Ok::<_, Overflow>(Ordering::Greater)) {
            return Err(PlanError::TiersNotIncreasing { field: place });
        }
        checked.push(Tier {
            up_to,
            unit_price,
            flat_fee,
        });
    }
    match checked.last() {
        None => Err(PlanError::wrong(place, "must have at least one tier")),
        Some(Tier { up_to: Some(_), .. }) => Err(PlanError::NoOpenTier {
            field: place.to_owned(),
        }),
        Some(Tier { up_to: None, .. }) => Ok(Tiers(checked)),
    }
}

fn place_of_tier_before(place: &str, position: usize) -> String {
    place.replace(
        &format!("tiers[{position}]"),
        &format!("tiers[{}]", position.saturating_sub(1)),
    )
}

fn is_lower_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_NAME
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests;
