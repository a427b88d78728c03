//! From a plan, the usage of a period and its service minutes to the lines of a bill.
//!
//! A *period* is one month; a *part* is a stretch of it under one plan: the whole month, or one side of a change of plan.
//! Fees of a part that the contract does not cover for the whole month are prorated by seconds. The *fees* F are all that
//! the parts cost; credit and tax are computed once, on the fees of the whole bill, by the last part's plan.

mod charge;
mod credit;
mod line;
mod terms;

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::currency::Currency;
use super::number::{Exact, Overflow};
use super::period::Bounds;
use super::plan::RatePlan;
pub use credit::{BadCause, BadTime, Exclusion, MinuteCounts, Service, ServiceOutcome, Slices, TimeLeftOut};
pub use line::{CreditCause, Line, LinePrice, PartOfMonth, Rule, TierPrice};

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

/// A module was taken or dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleChange {
    /// When; of several at one instant the last in the list stands.
    pub at: Timestamp,
    /// Which.
    pub module: String,
    /// Taken, or dropped.
    pub active: bool,
}

/// A stretch of the period under one plan.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// By which plan.
    pub plan: &'a RatePlan,
    /// Whose usage it prices; parts adjoin, and together they are the period.
    pub bounds: Bounds,
    /// What of it the contract covers; fees without usage are prorated by it. `None`: nothing.
    pub contract: Option<Bounds>,
}

/// All that a bill is made of.
#[derive(Clone, Debug)]
pub struct Account<'a> {
    /// The month.
    pub period: Bounds,
    /// In the order of time; at least one, of one currency.
    pub parts: Vec<Part<'a>>,
    /// In any order; what lies outside the period is left out.
    pub usage: &'a [Usage],
    /// In the order of time, from before the period too.
    pub module_changes: &'a [ModuleChange],
    /// Minutes that gateways reported; `None`: nothing was ever reported.
    pub service: Option<&'a Service>,
    /// When service is owed: outside, nothing that was not reported is bad.
    pub owed: Bounds,
    /// Service is looked at up to here.
    pub as_of: Timestamp,
}

impl<'a> Account<'a> {
    /// A whole month under one plan, without service minutes.
    pub fn whole(plan: &'a RatePlan, period: Bounds, usage: &'a [Usage]) -> Self {
        let part = Part {
            plan,
            bounds: period,
            contract: Some(period),
        };
        Self {
            period,
            parts: vec![part],
            usage,
            module_changes: &[],
            service: None,
            owed: period,
            as_of: period.end,
        }
    }

    /// What the contract covers of the period.
    fn contract(&self) -> Option<Bounds> {
        let covered = || self.parts.iter().filter_map(|part| part.contract);
        let start = covered().map(|bounds| bounds.start).min()?;
        let end = covered().map(|bounds| bounds.end).max()?;
        Some(Bounds { start, end })
    }
}

/// Why usage cannot be rated. Such a bill is not made at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RatingError {
    /// A sum or product that cannot be kept exactly.
    #[error("{item:?} cannot be computed")]
    Overflow {
        /// Which line's item.
        item: String,
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
    /// One bill has one currency.
    #[error("a bill cannot change from {from:?} to {to:?} within a month")]
    CurrencyChanges {
        /// Of the first part.
        from: Currency,
        /// Of a later one.
        to: Currency,
    },
    /// A month without a part.
    #[error("there is no plan for any part of the period")]
    NoPart,
}

impl RatingError {
    fn overflow(item: &str) -> impl Fn(Overflow) -> Self {
        move |source| Self::Overflow {
            item: item.to_owned(),
            source,
        }
    }
}

/// The lines of a bill and their sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rated {
    /// Part by part: charges, surcharges, modules, discount, minimum, cap; then credit, then tax.
    pub lines: Vec<Line>,
    /// Sum of all lines that are not informational, in the currency's smallest unit.
    pub total: i128,
    /// How the service was, if minutes were reported.
    pub service: Option<ServiceOutcome>,
}

/// Rates a period.
pub fn rate(account: &Account<'_>) -> Result<Rated, RatingError> {
    let last = account.parts.last().ok_or(RatingError::NoPart)?;
    let currency = last.plan.currency;
    let mut bill = Bill::new(currency);
    for part in &account.parts {
        if part.plan.currency != currency {
            return Err(RatingError::CurrencyChanges {
                from: part.plan.currency,
                to: currency,
            });
        }
        rate_part(account, part, &mut bill)?;
    }
    let fees = bill.total;
    let levels = &last.plan.service_level;
    let outcome = match (account.service, account.contract()) {
        (Some(service), Some(contract)) => {
            let owed = contract.within(account.owed);
            let computed = credit::outcome(levels, service, account.period, owed, account.as_of);
            Some(computed.map_err(RatingError::overflow("credit"))?)
        }
        _ => None,
    };
    if let Some(outcome) = &outcome {
        terms::credit(levels, outcome, fees, &mut bill)?;
    }
    if let Some(tax) = &last.plan.tax {
        terms::tax(tax, &mut bill)?;
    }
    Ok(Rated {
        lines: bill.lines,
        total: bill.total,
        service: outcome,
    })
}

fn rate_part(account: &Account<'_>, part: &Part<'_>, bill: &mut Bill) -> Result<(), RatingError> {
    let share = Share::of(part, account.period);
    bill.part = share.shown();
    let before = bill.total;
    charge::charges(account.usage, part, &share, bill)?;
    terms::modules(account, part, bill)?;
    terms::discount(part.plan, before, bill)?;
    terms::minimum(part.plan, &share, before, bill)?;
    terms::cap(part.plan, &share, before, bill)?;
    bill.part = None;
    Ok(())
}

/// Which seconds of the month a part's fees are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    bounds: Bounds,
    contract: Option<Bounds>,
    seconds: i64,
    of_seconds: i64,
}

impl Share {
    fn of(part: &Part<'_>, period: Bounds) -> Self {
        Self {
            bounds: part.bounds,
            contract: part.contract,
            seconds: part.contract.map_or(0, seconds_of),
            of_seconds: seconds_of(period),
        }
    }

    fn is_whole(&self) -> bool {
        self.seconds == self.of_seconds
    }

    /// What is said on lines, if it is not the whole month.
    fn shown(&self) -> Option<PartOfMonth> {
        if self.is_whole() {
            return None;
        }
        let Bounds { start, end } = self.contract.unwrap_or(self.bounds);
        Some(PartOfMonth {
            start,
            end,
            seconds: self.seconds,
            of_seconds: self.of_seconds,
        })
    }

    /// The part's share of what a whole month has, in units of 10^-`exponent`, half away from zero.
    fn prorated(&self, whole: Exact, exponent: u32) -> Result<i128, Overflow> {
        whole.ratio_rounded(self.seconds.into(), self.of_seconds.into(), exponent)
    }
}

fn seconds_of(bounds: Bounds) -> i64 {
    bounds.end.as_second() - bounds.start.as_second()
}

/// The lines so far, and their sum.
#[derive(Debug)]
struct Bill {
    currency: Currency,
    part: Option<PartOfMonth>,
    lines: Vec<Line>,
    total: i128,
}

/// A line before its amount is written.
#[derive(Debug)]
struct Item<'a> {
    name: &'a str,
    rule: Rule,
    quantity: Option<Exact>,
    unit_price: Option<Exact>,
    /// In smallest units.
    minor: i128,
    informational: bool,
}

impl Bill {
    fn new(currency: Currency) -> Self {
        Self {
            currency,
            part: None,
            lines: Vec::new(),
            total: 0,
        }
    }

    fn add(&mut self, item: Item<'_>) -> Result<(), RatingError> {
        let Item {
            name,
            rule,
            quantity,
            unit_price,
            minor,
            informational,
        } = item;
        if !informational {
            let sum = self.total.checked_add(minor).ok_or(Overflow);
            self.total = sum.map_err(RatingError::overflow(name))?;
        }
        self.lines.push(Line {
            name: name.to_owned(),
            rule,
            quantity,
            unit_price,
            amount: self.money(minor),
            informational,
            part: self.part.clone(),
        });
        Ok(())
    }

    /// An amount as it is written on the bill.
    fn money(&self, minor: i128) -> String {
        self.currency.amount(minor).padded(self.currency.decimals())
    }

    /// A percentage of an amount in smallest units, rounded.
    fn percent_of(&self, minor: i128, percent: Exact) -> Result<i128, Overflow> {
        self.currency
            .amount(minor)
            .times(percent)?
            .times(Exact::new(1, 2))?
            .rounded(self.currency.exponent())
    }
}

#[cfg(test)]
mod tests;
