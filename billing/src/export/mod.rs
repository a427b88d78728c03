//! What a client firm takes away: usage in the form that `springtide-billing rate` reads, bills as FOCUS, and the plan that a
//! bill was rated by. From usage and plan anybody computes the bill again.

pub mod focus;
pub mod minutes;
pub mod usage;

use serde_json::{Value, json};

use crate::bill::document::Document;
use crate::bill::plans::{PlanPart, PlansInPeriod, plans_of_bill};
use crate::bill::schedule::schedule_of;
use crate::bill::{BillError, read};
use crate::rating::period::{Bounds, Period};
use crate::store::{Account, StatementUsage, Store, StoreError};

/// Annotation of a plan's manifest: the first instant that it prices.
pub const PRICES_FROM: &str = "springtide.dev/prices-from";
/// Annotation of a plan's manifest: the first instant that it no longer prices.
pub const PRICES_TO: &str = "springtide.dev/prices-to";

/// Usage as a period's bill counts it: what landed up to its statement once it is issued, and all that is there before.
pub async fn billed_usage(
    store: &Store,
    account: &Account,
    period: Period,
) -> Result<Vec<StatementUsage>, BillError> {
    let bounds = schedule_of(store, account).await?.bounds(period)?;
    let invoice = store
        .invoice_of_period(account.ledger, &period.to_string())
        .await?;
    let closed = invoice.map_or(i64::MAX, |invoice| invoice.statement);
    usage_until(store, account, bounds, closed).await
}

/// Usage as an issued bill or note counts it: what landed up to its statement.
pub async fn usage_of_bill(
    store: &Store,
    account: &Account,
    bill: &Document,
) -> Result<Vec<StatementUsage>, BillError> {
    let bounds = Bounds {
        start: bill.period_start,
        end: bill.period_end,
    };
    usage_until(store, account, bounds, bill.statement).await
}

async fn usage_until(
    store: &Store,
    account: &Account,
    bounds: Bounds,
    closed: i64,
) -> Result<Vec<StatementUsage>, BillError> {
    let usage = store.usage(account.ledger, &bounds).await?;
    Ok(usage
        .into_iter()
        .filter(|landed| landed.statement <= closed)
        .collect())
}

/// The plans by which a period is billed: those of its bill, or those that stand now.
pub async fn plans_of_period(
    store: &Store,
    account: &Account,
    period: Period,
) -> Result<PlansInPeriod, BillError> {
    let invoice = store
        .invoice_of_period(account.ledger, &period.to_string())
        .await?;
    match invoice {
        Some(invoice) => plans_of_bill(store, &read(&invoice)?, &invoice.number).await,
        None => schedule_of(store, account).await?.plans(period),
    }
}

/// The plans of a period as manifests: one that prices a whole month of its zone as it is, and else a list with annotations
/// that say from when to when each one does.
pub fn plan_manifests(plans: &PlansInPeriod, period: Period) -> Result<Value, StoreError> {
    let parts: Vec<_> = plans.parts().collect();
    if let [only] = parts.as_slice()
        && period.bounds(&only.known.plan.zone) == Ok(plans.bounds)
    {
        return manifest(only, false);
    }
    let manifests = parts.into_iter().map(|part| manifest(part, true));
    Ok(json!({
        "apiVersion": "v1",
        "kind": "List",
        "items": manifests.collect::<Result<Vec<_>, _>>()?,
    }))
}

fn manifest(part: &PlanPart, with_times: bool) -> Result<Value, StoreError> {
    let version = &part.known.version;
    let spec: Value = serde_json::from_str(&version.spec).map_err(|_| StoreError::unreadable("plan"))?;
    let mut metadata = json!({"name": version.name});
    if with_times {
        metadata["annotations"] = json!({PRICES_FROM: part.bounds.start, PRICES_TO: part.bounds.end});
    }
    Ok(json!({
        "apiVersion": "springtide.dev/v1alpha1",
        "kind": "RatePlan",
        "metadata": metadata,
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
