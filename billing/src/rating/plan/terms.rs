//! What a plan says of the whole bill: modules, discount, minimum, cap, tax.

use serde_json::Value;

use super::super::fields::Fields;
use super::super::number::Exact;
use super::{MAX_NAME, PlanError};

/// A part of the service with a fee of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// For people and in events; unique in the plan.
    pub name: String,
    /// For a whole month.
    pub monthly_fee: Exact,
}

/// A tax on fees less credits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tax {
    /// As "VAT".
    pub name: String,
    /// Of the base; with `inclusive` the base holds it already.
    pub percent: Exact,
    /// Shown, not added.
    pub inclusive: bool,
}

pub(super) fn module_of(module: &Value, position: usize) -> Result<Module, PlanError> {
    let mut fields = Fields::of(module, format!("modules[{position}]"))?;
    let name = fields.text("name", MAX_NAME)?.to_owned();
    let monthly_fee = fields.required_decimal("monthlyFee")?;
    fields.finish()?;
    Ok(Module { name, monthly_fee })
}

/// The percentage of `discount`; 0 if there is none.
pub(super) fn discount_of(discount: &Value) -> Result<Exact, PlanError> {
    let mut fields = Fields::of(discount, "discount")?;
    let missing = || PlanError::wrong("discount.percent", "is missing");
    let percent = fields.percent("percent")?.ok_or_else(missing)?;
    fields.finish()?;
    Ok(percent)
}

pub(super) fn tax_of(tax: &Value) -> Result<Tax, PlanError> {
    let mut fields = Fields::of(tax, "tax")?;
    let name = fields.text("name", MAX_NAME)?.to_owned();
    let missing = || PlanError::wrong("tax.percent", "is missing");
    let percent = fields.percent("percent")?.ok_or_else(missing)?;
    let inclusive = fields.flag("inclusive")?.unwrap_or(false);
    fields.finish()?;
    Ok(Tax {
        name,
        percent,
        inclusive,
    })
}
