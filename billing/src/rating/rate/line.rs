//! One line of a bill, with all that went into it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::number::Exact;
use super::super::plan::{Filter, Window};

/// One line of a bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Of the plan's charge, surcharge, module or tax; else of the rule.
    pub name: String,
    /// By what it came about.
    #[serde(flatten)]
    pub rule: Rule,
    /// How many units, where units are priced.
    pub quantity: Option<Exact>,
    /// What each of them costs.
    pub unit_price: Option<Exact>,
    /// Rounded once, half away from zero, to the currency's exponent; a decimal with all its digits.
    pub amount: String,
    /// Shown, and not part of the total.
    pub informational: bool,
    /// Which part of the month it is for; absent: the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<PartOfMonth>,
}

/// A part of the month that the contract, or the plan, covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartOfMonth {
    /// First instant.
    pub start: Timestamp,
    /// First instant after it.
    pub end: Timestamp,
    /// Seconds by which fees are prorated.
    pub seconds: i64,
    /// Seconds of the month.
    pub of_seconds: i64,
}

/// By what a line came about. Amounts are decimals with all the currency's digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Rule {
    /// Usage.
    Charge {
        /// What was counted.
        meter: String,
        /// Which of it.
        #[serde(rename = "where")]
        filter: Filter,
        /// Q: what was counted.
        counted: Exact,
        /// What of it is free.
        included: Exact,
        /// B: what of it is priced, over all lines of the charge.
        billable: Exact,
        /// The price that applies.
        price: LinePrice,
    },
    /// Usage at certain times.
    Surcharge {
        /// On which charge.
        charge: String,
        /// Its meter.
        meter: String,
        /// Which of it.
        #[serde(rename = "where")]
        filter: Filter,
        /// Q of the charge.
        counted: Exact,
        /// When it applies.
        windows: Vec<Window>,
    },
    /// A fee for a part of the service.
    Module {
        /// For a whole month.
        monthly_fee: Exact,
        /// Seconds for which it was taken.
        seconds: i64,
        /// Seconds of the month.
        of_seconds: i64,
    },
    /// Less of all lines before it.
    Discount {
        /// Of their sum.
        percent: Exact,
        /// Their sum.
        of: String,
    },
    /// Up to what is committed.
    Minimum {
        /// What is committed, for this part.
        commitment: String,
        /// What the lines before come to.
        fees: String,
    },
    /// Down to what may be billed.
    Cap {
        /// What may be billed, for this part.
        cap: String,
        /// What the lines before come to.
        fees: String,
    },
    /// For a service level that was missed.
    Credit {
        /// Which objective, and what it came to.
        #[serde(flatten)]
        cause: CreditCause,
        /// The bound that it fell below.
        below: Exact,
        /// Of the fees.
        percent: Exact,
        /// The fees.
        of: String,
    },
    /// On fees less credit.
    Tax {
        /// Of the base.
        percent: Exact,
        /// The base holds it.
        inclusive: bool,
        /// The base.
        of: String,
    },
}

/// Which objective was missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "objective", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum CreditCause {
    /// Good slices of those counted.
    Availability {
        /// Good ones.
        good: u64,
        /// All that count.
        counted: u64,
    },
    /// Fast answers of all.
    ResponseTime {
        /// Fast ones.
        fast: u64,
        /// All of them.
        counted: u64,
    },
}

/// The price of a charge's line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all_fields = "camelCase")]
pub enum LinePrice {
    /// Each unit costs the same.
    PerUnit,
    /// The part in one tier.
    Graduated(TierPrice),
    /// All of it, by the tier in which it lies.
    Volume(TierPrice),
    /// Whole packages.
    Package {
        /// Units in one.
        size: Exact,
    },
}

/// A tier with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TierPrice {
    /// 1 is the lowest.
    pub tier: u32,
    /// Where it begins: above this.
    pub above: Exact,
    /// Where it ends, inclusive.
    pub up_to: Option<Exact>,
    /// Once, if anything is priced.
    pub flat_fee: Exact,
}

impl Line {
    /// Kind of the line, as machines know it.
    pub fn kind(&self) -> &'static str {
        match &self.rule {
            Rule::Charge { .. } => "charge",
            Rule::Surcharge { .. } => "surcharge",
            Rule::Module { .. } => "module",
            Rule::Discount { .. } => "discount",
            Rule::Minimum { .. } => "minimum",
            Rule::Cap { .. } => "cap",
            Rule::Credit { .. } => "credit",
            Rule::Tax { .. } => "tax",
        }
    }

    /// The tier that a line of a charge prices, if the charge has tiers.
    pub fn tier(&self) -> Option<&TierPrice> {
        match &self.rule {
            Rule::Charge {
                price: LinePrice::Graduated(tier) | LinePrice::Volume(tier),
                ..
            } => Some(tier),
            _ => None,
        }
    }
}
