//! Charges: a meter, what of it counts, and how that is priced.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use springtide_proto::rated::{COMMENT, METER_RATINGS};

use super::super::fields::Fields;
use super::super::number::{Exact, Overflow};
use super::{MAX_NAME, PlanError};

const MAX_TIERS: usize = 32;
const MAX_FILTER_VALUES: usize = 64;
const MAX_FILTER_KEYS: usize = 16;

/// Dimensions that tell one event from another.
const IDENTIFYING_DIMENSIONS: [&str; 3] = ["answer_id", "conversation", "turn"];

/// The dimension tells one event of that meter from another: it says which customer it was, or what one wrote. Usage is not summed
/// by it, so no plan can price by it.
pub fn is_identifying(meter: &str, dimension: &str) -> bool {
    IDENTIFYING_DIMENSIONS.contains(&dimension) || (meter == METER_RATINGS && dimension == COMMENT)
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
    /// The tier in which the quantity lies prices all of it.
    Volume(Tiers),
    /// Whole packages, also for the last part of one.
    Package {
        /// Units in one; above zero.
        size: Exact,
        /// Of one package.
        price: Exact,
    },
}

/// Tiers whose bounds rise and of which the last, and only the last, is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiers(Vec<Tier>);

/// One step of a tiered price.
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

pub(super) fn charge_of(charge: &Value, position: usize) -> Result<Charge, PlanError> {
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
        .map(|filter| filter_of(filter, &meter, &fields.place("where")))
        .transpose()?;
    let included = fields.decimal("included")?.unwrap_or(Exact::ZERO);
    let model = model_of(&mut fields)?;
    fields.finish()?;
    Ok(Charge {
        name,
        meter,
        filter: filter.unwrap_or_default(),
        included,
        model,
    })
}

fn model_of(fields: &mut Fields<'_>) -> Result<Model, PlanError> {
    let tiers = |fields: &mut Fields<'_>| {
        let place = fields.place("tiers");
        tiers_of(fields.list("tiers", MAX_TIERS)?, &place)
    };
    match fields.text("model", MAX_NAME)? {
        "PerUnit" => Ok(Model::PerUnit {
            unit_price: fields.required_decimal("unitPrice")?,
        }),
        "Graduated" => tiers(fields).map(Model::Graduated),
        "Volume" => tiers(fields).map(Model::Volume),
        "Package" => {
            let size = fields.required_decimal("size")?;
            if size.is_zero() {
                return Err(PlanError::wrong(fields.place("size"), "must be above 0"));
            }
            let price = fields.required_decimal("price")?;
            Ok(Model::Package { size, price })
        }
        model => Err(PlanError::UnknownModel {
            field: fields.place("model"),
            model: model.to_owned(),
        }),
    }
}

fn filter_of(filter: &Value, meter: &str, place: &str) -> Result<Filter, PlanError> {
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
        if is_identifying(meter, key) {
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
        let unit_price = fields.required_decimal("unitPrice")?;
        let flat_fee = fields.decimal("flatFee")?.unwrap_or(Exact::ZERO);
        fields.finish()?;
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

pub(super) fn is_lower_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_NAME
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
