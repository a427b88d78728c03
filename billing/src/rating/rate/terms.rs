//! Lines on the whole of a part or bill: modules, discount, minimum, cap, credit, tax.

use jiff::Timestamp;

use super::credit::{ServiceOutcome, best_credit};
use super::line::Rule;
use super::{Account, Bill, Item, ModuleChange, Part, RatingError, Share, seconds_of};
use crate::rating::number::Exact;
use crate::rating::period::Bounds;
use crate::rating::plan::{Module, RatePlan, ServiceLevel, Tax};

pub(super) fn modules(account: &Account<'_>, part: &Part<'_>, bill: &mut Bill) -> Result<(), RatingError> {
    let of_seconds = seconds_of(account.period);
    for module in &part.plan.modules {
        let seconds = part.contract.map_or(0, |contract| {
            active_seconds(module, account.module_changes, contract)
        });
        let overflow = RatingError::overflow(&module.name);
        let minor = module
            .monthly_fee
            .ratio_rounded(seconds.into(), of_seconds.into(), bill.currency.exponent())
            .map_err(overflow)?;
        let whole = [(0, Exact::ZERO), (of_seconds, Exact::new(1, 0))];
        bill.add(Item {
            name: &module.name,
            rule: Rule::Module {
                monthly_fee: module.monthly_fee,
                seconds,
                of_seconds,
            },
            quantity: whole
                .into_iter()
                .find_map(|(all, quantity)| (all == seconds).then_some(quantity)),
            unit_price: Some(module.monthly_fee),
            minor,
            informational: false,
        })?;
    }
    Ok(())
}

/// Seconds within `bounds` for which a module was taken. The state at their start is that of the latest change before;
/// without any change before, it is what the first one changes from; without any, active.
fn active_seconds(module: &Module, changes: &[ModuleChange], bounds: Bounds) -> i64 {
    let mut mine = changes
        .iter()
        .filter(|change| change.module == module.name)
        .peekable();
    let mut active = mine.peek().is_none_or(|first| !first.active);
    let mut since = bounds.start;
    let mut seconds = 0;
    let mut until = |at: Timestamp, was_active: bool| {
        let at = at.clamp(bounds.start, bounds.end);
        if was_active {
            seconds += at.as_second() - since.as_second();
        }
        since = at;
    };
    for change in mine {
        until(change.at, active);
        active = change.active;
    }
    until(bounds.end, active);
    seconds
}

pub(super) fn discount(plan: &RatePlan, before: i128, bill: &mut Bill) -> Result<(), RatingError> {
    let percent = plan.discount_percent;
    if percent.is_zero() {
        return Ok(());
    }
    let sum = bill.total - before;
    let less = bill
        .percent_of(sum, percent)
        .map_err(RatingError::overflow("discount"))?;
    bill.add(Item {
        name: "discount",
        rule: Rule::Discount {
            percent,
            of: bill.money(sum),
        },
        quantity: None,
        unit_price: None,
        minor: -less,
        informational: false,
    })
}

pub(super) fn minimum(
    plan: &RatePlan,
    share: &Share,
    before: i128,
    bill: &mut Bill,
) -> Result<(), RatingError> {
    let Some(minimum) = plan.minimum else {
        return Ok(());
    };
    let committed = share
        .prorated(minimum, bill.currency.exponent())
        .map_err(RatingError::overflow("minimum commitment"))?;
    let fees = bill.total - before;
    if fees >= committed {
        return Ok(());
    }
    bill.add(Item {
        name: "minimum commitment",
        rule: Rule::Minimum {
            commitment: bill.money(committed),
            fees: bill.money(fees),
        },
        quantity: None,
        unit_price: None,
        minor: committed - fees,
        informational: false,
    })
}

pub(super) fn cap(plan: &RatePlan, share: &Share, before: i128, bill: &mut Bill) -> Result<(), RatingError> {
    let Some(cap) = plan.cap else {
        return Ok(());
    };
    let most = share
        .prorated(cap, bill.currency.exponent())
        .map_err(RatingError::overflow("cap"))?;
    let fees = bill.total - before;
    if fees <= most {
        return Ok(());
    }
    bill.add(Item {
        name: "cap",
        rule: Rule::Cap {
            cap: bill.money(most),
            fees: bill.money(fees),
        },
        quantity: None,
        unit_price: None,
        minor: most - fees,
        informational: false,
    })
}

/// What is given back for service levels that were missed; of several the highest percentage.
pub(super) fn credit(
    levels: &ServiceLevel,
    outcome: &ServiceOutcome,
    fees: i128,
    bill: &mut Bill,
) -> Result<(), RatingError> {
    let overflow = RatingError::overflow("service credit");
    let Some(best) = best_credit(levels, outcome).map_err(&overflow)? else {
        return Ok(());
    };
    let less = bill.percent_of(fees, best.percent).map_err(&overflow)?;
    bill.add(Item {
        name: "service credit",
        rule: Rule::Credit {
            cause: best.cause,
            below: best.below,
            percent: best.percent,
            of: bill.money(fees),
        },
        quantity: None,
        unit_price: None,
        minor: -less,
        informational: false,
    })
}

/// On all lines so far, which are fees and credit.
pub(super) fn tax(tax: &Tax, bill: &mut Bill) -> Result<(), RatingError> {
    let base = bill.total;
    let overflow = RatingError::overflow(&tax.name);
    let minor = if tax.inclusive {
        Exact::new(100, 0).plus(tax.percent).and_then(|gross| {
            bill.currency
                .amount(base)
                .times(tax.percent)?
                .quotient_rounded(gross, bill.currency.exponent())
        })
    } else {
        bill.percent_of(base, tax.percent)
    };
    bill.add(Item {
        name: &tax.name,
        rule: Rule::Tax {
            percent: tax.percent,
            inclusive: tax.inclusive,
            of: bill.money(base),
        },
        quantity: None,
        unit_price: None,
        minor: minor.map_err(overflow)?,
        informational: tax.inclusive,
    })
}
