//! What a client firm takes away: usage in the form that `springtide-billing rate` reads, bills as FOCUS, and the plan that a
//! bill was rated by. From usage and plan anybody computes the bill again.

pub mod focus;
pub mod minutes;
pub mod usage;

use serde_json::{Value, json};

use crate::bill::{BillError, plan_of, read};
use crate::rating::period::Period;
use crate::store::{Account, PlanVersion, StatementUsage, Store, StoreError};

/// Usage as a period's bill counts it: what landed up to its statement once it is issued, and all that is there before.
pub async fn billed_usage(
    store: &Store,
    account: &Account,
    period: Period,
) -> Result<Vec<StatementUsage>, BillError> {
    let plan = plan_of(store, account).await?;
    let bounds = period.bounds(&plan.plan.zone)?;
    let usage = store.usage(account.ledger, &bounds).await?;
    let invoice = store
        .invoice_of_period(account.ledger, &period.to_string())
        .await?;
    let closed = invoice.map_or(i64::MAX, |invoice| invoice.statement);
    Ok(usage
        .into_iter()
        .filter(|landed| landed.statement <= closed)
        .collect())
}

/// The version of the plan by which a period is billed: that of its bill, or the one that stands now.
pub async fn plan_of_period(
    store: &Store,
    account: &Account,
    period: Period,
) -> Result<PlanVersion, BillError> {
    let Some(invoice) = store
        .invoice_of_period(account.ledger, &period.to_string())
        .await?
    else {
        return Ok(plan_of(store, account).await?.version);
    };
    let plan = read(&invoice)?.plan;
    let version = store.plan_version(&plan.name, &plan.uid, plan.generation).await?;
    version.ok_or_else(|| StoreError::unreadable("plan").into())
}

/// A version of a plan as a manifest.
pub fn plan_manifest(version: &PlanVersion) -> Result<Value, StoreError> {
    let spec: Value = serde_json::from_str(&version.spec).map_err(|_| StoreError::unreadable("plan"))?;
    Ok(json!({
        "apiVersion": "springtide.dev/v1alpha1",
        "kind": "RatePlan",
        "metadata": {"name": version.name},
        "spec": spec,
    }))
}

/// A text that a spreadsheet does not take for a formula.
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '@', '\t', '\r']) || text.starts_with('-') && text.parse::<f64>().is_err()
    {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn no_text_is_taken_for_a_formula_and_numbers_stay_numbers() {
        for formula in ["=1+1", "+1", "@SUM(A1)", "-cmd|' /C calc'!A0", "\t=1"] {
            assert_eq!(harmless(formula), format!("'{formula}"));
        }
        for plain in ["-5.00", "standard/answers", "安可"] {
            assert_eq!(harmless(plain), plain);
        }
    }
}
