//! Charges and the surcharges on them.

use jiff::Timestamp;
use jiff::civil::DateTime;

use super::line::{LinePrice, Rule, TierPrice};
use super::{Bill, Item, Part, RatingError, Share, Usage};
use crate::rating::number::{Exact, Overflow};
use crate::rating::plan::{Charge, Model, RatePlan, Surcharge, Tier, Tiers};

/// Q of each charge and surcharge.
struct Counted {
    charges: Vec<Exact>,
    surcharges: Vec<Exact>,
}

/// What a charge's line prices, and for how much exactly.
struct Priced {
    price: LinePrice,
    quantity: Exact,
    unit_price: Exact,
    cost: Exact,
}

pub(super) fn charges(
    usage: &[Usage],
    part: &Part<'_>,
    share: &Share,
    bill: &mut Bill,
) -> Result<(), RatingError> {
    let plan = part.plan;
    let counted = count(usage, part)?;
    for (charge, counted) in plan.charges.iter().zip(&counted.charges) {
        if counted.is_negative() {
            return Err(RatingError::NegativeUsage {
                charge: charge.name.clone(),
                quantity: *counted,
            });
        }
        one_charge(charge, *counted, share, bill)?;
    }
    for (surcharge, within) in plan.surcharges.iter().zip(counted.surcharges) {
        let position = surcharge.charge;
        if let (Some(charge), Some(counted)) = (plan.charges.get(position), counted.charges.get(position)) {
            one_surcharge(surcharge, charge, *counted, within, bill)?;
        }
    }
    Ok(())
}

/// One pass over the usage of the part.
fn count(usage: &[Usage], part: &Part<'_>) -> Result<Counted, RatingError> {
    let RatePlan {
        charges,
        surcharges,
        zone,
        ..
    } = part.plan;
    let mut counted = Counted {
        charges: vec![Exact::ZERO; charges.len()],
        surcharges: vec![Exact::ZERO; surcharges.len()],
    };
    // Usage comes in the order of time: neighbours share their local time.
    let mut last: Option<(Timestamp, DateTime)> = None;
    for used in usage.iter().filter(|used| part.bounds.contain(used.bucket_start)) {
        let mut local = None;
        for (position, charge) in charges.iter().enumerate() {
            if used.meter != charge.meter || !charge.filter.admits(&used.dimensions) {
                continue;
            }
            add(&mut counted.charges, position, used.quantity)
                .map_err(RatingError::overflow(&charge.name))?;
            for (index, surcharge) in surcharges.iter().enumerate() {
                if surcharge.charge != position {
                    continue;
                }
                let at = *local.get_or_insert_with(|| match last {
                    Some((instant, at)) if instant == used.bucket_start => at,
                    _ => zone.to_datetime(used.bucket_start),
                });
                last = Some((used.bucket_start, at));
                if surcharge.applies(at) {
                    add(&mut counted.surcharges, index, used.quantity)
                        .map_err(RatingError::overflow(&surcharge.name))?;
                }
            }
        }
    }
    Ok(counted)
}

fn add(sums: &mut [Exact], position: usize, quantity: Exact) -> Result<(), Overflow> {
    if let Some(sum) = sums.get_mut(position) {
        *sum = sum.plus(quantity)?;
    }
    Ok(())
}

fn one_charge(charge: &Charge, counted: Exact, share: &Share, bill: &mut Bill) -> Result<(), RatingError> {
    let overflow = RatingError::overflow(&charge.name);
    let included = included_of(charge, share).map_err(&overflow)?;
    let less = counted.minus(included).map_err(&overflow)?;
    let billable = if less.is_negative() { Exact::ZERO } else { less };
    for priced in priced(&charge.model, billable).map_err(&overflow)? {
        let Priced {
            price,
            quantity,
            unit_price,
            cost,
        } = priced;
        bill.add(Item {
            name: &charge.name,
            rule: Rule::Charge {
                meter: charge.meter.clone(),
                filter: charge.filter.clone(),
                counted,
                included,
                billable,
                price,
            },
            quantity: Some(quantity),
            unit_price: Some(unit_price),
            minor: cost.rounded(bill.currency.exponent()).map_err(&overflow)?,
            informational: false,
        })?;
    }
    Ok(())
}

/// What is free: prorated to whole units for a part of the month.
fn included_of(charge: &Charge, share: &Share) -> Result<Exact, Overflow> {
    if share.is_whole() {
        return Ok(charge.included);
    }
    Ok(Exact::new(share.prorated(charge.included, 0)?, 0))
}

/// The lines of a charge. Without anything to price there is one line of 0.
fn priced(model: &Model, billable: Exact) -> Result<Vec<Priced>, Overflow> {
    match model {
        Model::PerUnit { unit_price } => Ok(vec![Priced {
            price: LinePrice::PerUnit,
            quantity: billable,
            unit_price: *unit_price,
            cost: billable.times(*unit_price)?,
        }]),
        Model::Package { size, price } => {
            let packages = billable.packages_of(*size)?;
            Ok(vec![Priced {
                price: LinePrice::Package { size: *size },
                quantity: packages,
                unit_price: *price,
                cost: packages.times(*price)?,
            }])
        }
        Model::Graduated(tiers) => graduated(tiers, billable),
        Model::Volume(tiers) => volume(tiers, billable).map(|priced| priced.into_iter().collect()),
    }
}

/// Each tier that is entered prices the part of `billable` that lies in it.
fn graduated(tiers: &Tiers, billable: Exact) -> Result<Vec<Priced>, Overflow> {
    let mut lines = Vec::new();
    let mut above = Exact::ZERO;
    for (tier, step) in (1..).zip(tiers.as_slice()) {
        if tier > 1 && billable.compare(above)?.is_le() {
            break;
        }
        let top = match step.up_to {
            Some(up_to) if billable.compare(up_to)?.is_gt() => up_to,
            Some(_) | None => billable,
        };
        let quantity = top.minus(above)?;
        lines.push(Priced {
            price: LinePrice::Graduated(tier_price(tier, above, step)),
            quantity,
            unit_price: step.unit_price,
            cost: cost_in(step, quantity)?,
        });
        above = top;
    }
    Ok(lines)
}

/// The tier in which all of `billable` lies prices all of it.
fn volume(tiers: &Tiers, billable: Exact) -> Result<Option<Priced>, Overflow> {
    let mut above = Exact::ZERO;
    for (tier, step) in (1..).zip(tiers.as_slice()) {
        if let Some(up_to) = step.up_to
            && billable.compare(up_to)?.is_gt()
        {
            above = up_to;
            continue;
        }
        return Ok(Some(Priced {
            price: LinePrice::Volume(tier_price(tier, above, step)),
            quantity: billable,
            unit_price: step.unit_price,
            cost: cost_in(step, billable)?,
        }));
    }
    // Unreachable: the last tier is open.
    Ok(None)
}

fn tier_price(tier: u32, above: Exact, step: &Tier) -> TierPrice {
    TierPrice {
        tier,
        above,
        up_to: step.up_to,
        flat_fee: step.flat_fee,
    }
}

/// With the flat fee, if there is anything.
fn cost_in(step: &Tier, quantity: Exact) -> Result<Exact, Overflow> {
    if quantity.is_zero() {
        return Ok(Exact::ZERO);
    }
    quantity.times(step.unit_price)?.plus(step.flat_fee)
}

fn one_surcharge(
    surcharge: &Surcharge,
    charge: &Charge,
    counted: Exact,
    within: Exact,
    bill: &mut Bill,
) -> Result<(), RatingError> {
    if within.is_negative() {
        return Err(RatingError::NegativeUsage {
            charge: surcharge.name.clone(),
            quantity: within,
        });
    }
    let overflow = RatingError::overflow(&surcharge.name);
    let cost = within.times(surcharge.unit_price).map_err(&overflow)?;
    bill.add(Item {
        name: &surcharge.name,
        rule: Rule::Surcharge {
            charge: charge.name.clone(),
            meter: charge.meter.clone(),
            filter: charge.filter.clone(),
            counted,
            windows: surcharge.windows.clone(),
        },
        quantity: Some(within),
        unit_price: Some(surcharge.unit_price),
        minor: cost.rounded(bill.currency.exponent()).map_err(&overflow)?,
        informational: false,
    })
}
