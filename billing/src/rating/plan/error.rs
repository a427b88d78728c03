//! Why a plan is refused.

use super::super::number::NotADecimal;

/// Why a plan is refused: what is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The text is no JSON.
    #[error("the plan is not JSON: {0}")]
    Json(String),
    /// A field that does nothing here.
    #[error("{field} is not a field of a rate plan: a field exists only when it does something")]
    UnknownField {
        /// Where.
        field: String,
    },
    /// A model that does nothing here.
    #[error("{field}: the model {model:?} is not known; there are PerUnit, Graduated, Volume and Package")]
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
    /// Two items of one name: their lines could not be told apart.
    #[error("two {0} are named {1:?}")]
    NamedTwice(&'static str, String),
    /// A tier that begins where, or before, the one before it began.
    #[error("{field}.upTo does not lie above the tier before it: the tiers overlap")]
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
        "{field}: the last tier has an upTo, so that what lies above it has no price (a gap); leave upTo out there"
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
    /// A surcharge on what is not there.
    #[error("{field} names the charge {charge:?}, which the plan does not have")]
    UnknownCharge {
        /// Where.
        field: String,
        /// As it was given.
        charge: String,
    },
    /// A window on a calendar that is not there.
    #[error("{field} names the calendar {calendar:?}, which the plan does not have")]
    UnknownCalendar {
        /// Where.
        field: String,
        /// As it was given.
        calendar: String,
    },
    /// Bills would have to be both.
    #[error("cap {cap} is below minimumCommitment {minimum}: no bill could keep both")]
    CapBelowMinimum {
        /// The cap.
        cap: String,
        /// The minimum.
        minimum: String,
    },
}

impl PlanError {
    pub(in super::super) fn wrong(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::Wrong {
            field: field.into(),
            rule: rule.into(),
        }
    }
}
