//! From a plan and the usage of a period to the lines of a bill.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::currency::Currency;
use super::number::{Exact, Overflow};
use super::period::Bounds;
use super::plan::{Charge, Filter, Model, RatePlan, Tiers};

/// Usage of one meter with equal dimensions in one quarter of an hour. Corrections may make it negative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// When the quarter of an hour begins.
    pub bucket_start: Timestamp,
    /// What was counted.
    pub meter: String,
    /// By what it can be narrowed.
    pub dimensions: BTreeMap<String, String>,
    /// How much.
    pub quantity: Exact,
}

/// Why usage cannot be rated. Such a bill is not made at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RatingError {
    /// A sum or product that cannot be kept exactly.
    #[error("charge {charge:?} cannot be computed")]
    Overflow {
        /// Which.
        charge: String,
        /// What overflowed.
        source: Overflow,
    },
    /// More was taken back than was counted: buckets and events have drifted apart.
    #[error("the usage of charge {charge:?} is {quantity}, below zero")]
    NegativeUsage {
        /// Which.
        charge: String,
        /// How much.
        quantity: Exact,
    },
}

/// The lines of a bill and their sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rated {
    /// In the order of the plan's charges and their tiers.
    pub lines: Vec<Line>,
    /// In the currency's smallest unit.
    pub total: i128,
}

/// One line of a bill, with all that went into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Name of the charge.
    pub charge: String,
    /// What was counted.
    pub meter: String,
    /// Which of it.
    #[serde(rename = "where")]
    pub filter: Filter,
    /// Q: what was counted in the period.
    pub counted: Exact,
    /// What of it is free.
    pub included: Exact,
    /// B: what of it is priced, over all lines of the charge.
    pub billable: Exact,
    /// What of B this line prices.
    pub quantity: Exact,
    /// The price that applies.
    pub price: LinePrice,
    /// Rounded to the currency's exponent, as a decimal with all its digits.
    pub amount: String,
}

/// The rule by which a line is priced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum LinePrice {
    /// Each unit costs the same.
    PerUnit {
        /// Of one unit.
        unit_price: Exact,
    },
    /// The part in one tier.
    Graduated {
        /// 1 is the lowest.
        tier: u32,
        /// Where it begins: above this.
        above: Exact,
        /// Where it ends, inclusive.
        up_to: Option<Exact>,
        /// Of one unit.
        unit_price: Exact,
        /// Once.
        flat_fee: Exact,
    },
    /// Nothing is left to price.
    Nothing,
}

/// Rates the part of `usage` that lies within `bounds`; the rest is left out.
pub fn rate(plan: &RatePlan, bounds: &Bounds, usage: &[Usage]) -> Result<Rated, RatingError> {
    let mut rated = Rated {
        lines: Vec::new(),
        total: 0,
    };
    for charge in &plan.charges {
        let overflow = |source| RatingError::Overflow {
            charge: charge.name.clone(),
            source,
        };
        let counted = counted(charge, bounds, usage).map_err(overflow)?;
        if counted.is_negative() {
            return Err(RatingError::NegativeUsage {
                charge: charge.name.clone(),
                quantity: counted,
            });
        }
        for (line, minor) in lines_of(charge, counted, plan.currency).map_err(overflow)? {
            rated.total = rated.total.checked_add(minor).ok_or_else(|| overflow(Overflow))?;
            rated.lines.push(line);
        }
    }
    Ok(rated)
}

fn counted(charge: &Charge, bounds: &Bounds, usage: &[Usage]) -> Result<Exact, Overflow> {
    let mine = |usage: &&Usage| {
        usage.meter == charge.meter
            && bounds.contain(usage.bucket_start)
            && charge.filter.admits(&usage.dimensions)
    };
    usage
        .iter()
        .filter(mine)
        .try_fold(Exact::ZERO, |sum, usage| sum.plus(usage.quantity))
}

/// The lines of a charge with their amounts in smallest units.
fn lines_of(charge: &Charge, counted: Exact, currency: Currency) -> Result<Vec<(Line, i128)>, Overflow> {
    let less = counted.minus(charge.included)?;
    let billable = if less.is_negative() { Exact::ZERO } else { less };
    let parts = match &charge.model {
        _ if billable.is_zero() => vec![(LinePrice::Nothing, Exact::ZERO, Exact::ZERO)],
        Model::PerUnit { unit_price } => {
            vec![(
                LinePrice::PerUnit {
                    unit_price: *unit_price,
                },
                billable,
                billable.times(*unit_price)?,
            )]
        }
        Model::Graduated(tiers) => tier_parts(tiers, billable)?,
    };
    let line = |(price, quantity, exact): (LinePrice, Exact, Exact)| {
        let minor = exact.rounded(currency.exponent())?;
        let Charge {
            name,
            meter,
            filter,
            included,
            model: _,
        } = charge;
        let line = Line {
            charge: name.clone(),
            meter: meter.clone(),
            filter: filter.clone(),
            counted,
            included: *included,
            billable,
            quantity,
            price,
            amount: currency.amount(minor).padded(currency.decimals()),
        };
        Ok((line, minor))
    };
    parts.into_iter().map(line).collect()
}

/// For each tier that is entered: its price, the part of `billable` that lies in it, and what that costs exactly.
fn tier_parts(tiers: &Tiers, billable: Exact) -> Result<Vec<(LinePrice, Exact, Exact)>, Overflow> {
    let mut parts = Vec::new();
    let mut above = Exact::ZERO;
    for (tier, step) in (1..).zip(tiers.as_slice()) {
        if billable.compare(above)?.is_le() {
            break;
        }
        let top = match step.up_to {
            Some(up_to) if billable.compare(up_to)?.is_gt() => up_to,
            Some(_) | None => billable,
        };
        let part = top.minus(above)?;
        let cost = part.times(step.unit_price)?.plus(step.flat_fee)?;
        let (up_to, unit_price, flat_fee) = (step.up_to, step.unit_price, step.flat_fee);
        parts.push((
            LinePrice::Graduated {
                tier,
                above,
                up_to,
                unit_price,
                flat_fee,
            },
            part,
            cost,
        ));
        above = top;
    }
    Ok(parts)
}

#[cfg(test)]
mod tests;
