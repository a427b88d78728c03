//! What a client firm takes away: usage, minutes of service and exclusions in the form that `springtide-billing rate` reads,
//! bills as FOCUS, and the plan that a bill was rated by. From them anybody computes the bill again.

pub mod exclusions;
pub mod focus;
pub mod minutes;
pub mod usage;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::bill::document::Document;
use crate::bill::plans::{PlanPart, PlansInPeriod, plans_of_bill};
use crate::bill::schedule::schedule_of;
use crate::bill::{BillError, read};
use crate::metering::decide::LedgerId;
use crate::metering::meters::{MODULES, is_built_in};
use crate::rating::period::{Bounds, Period};
use crate::rating::rate::ModuleChange;
use crate::service_level::burn::Minute;
use crate::store::{Account, Landed, NewExclusion, StatementUsage, Store, StoreError};

/// Annotation of a plan's manifest: the first instant that it prices.
pub const PRICES_FROM: &str = "springtide.dev/prices-from";
/// Annotation of a plan's manifest: the first instant that it no longer prices.
pub const PRICES_TO: &str = "springtide.dev/prices-to";

/// What a bill counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BilledUsage {
    /// In quarters of an hour, without what says when modules were taken and dropped.
    pub usage: Vec<StatementUsage>,
    /// When they were, from before the period too, to the instant: in the order of time.
    pub modules: Vec<ModuleChange>,
}

/// Usage as a period's bill counts it: what landed up to its statement once it is issued, and all that is there before.
pub async fn billed_usage(
    store: &Store,
    account: &Account,
    period: Period,
) -> Result<BilledUsage, BillError> {
    if let Some(bill) = bill_of_period(store, account, period).await? {
        return usage_of_bill(store, account, &bill).await;
    }
    let plans = schedule_of(store, account).await?.plans(period)?;
    usage_until(store, account, &plans, (i64::MAX, None)).await
}

/// The bill of a period, if it is issued.
async fn bill_of_period(
    store: &Store,
    account: &Account,
    period: Period,
) -> Result<Option<Document>, BillError> {
    let invoice = store
        .invoice_of_period(account.ledger, &period.to_string())
        .await?;
    invoice.as_ref().map(read).transpose()
}

/// Usage as an issued bill or note counts it: what landed up to its statement.
pub async fn usage_of_bill(
    store: &Store,
    account: &Account,
    bill: &Document,
) -> Result<BilledUsage, BillError> {
    let number = bill.number.as_deref().unwrap_or("of the draft");
    let plans = plans_of_bill(store, bill, number).await?;
    usage_until(store, account, &plans, (bill.statement, bill.issued_at)).await
}

fn bounds_of(bill: &Document) -> Bounds {
    Bounds {
        start: bill.period_start,
        end: bill.period_end,
    }
}

/// `closed`: the bill's statement, and when it was issued. What no plan of the period knows is on no bill: whoever computes the
/// bill again by those plans could not take it.
async fn usage_until(
    store: &Store,
    account: &Account,
    plans: &PlansInPeriod,
    (statement, issued_at): (i64, Option<Timestamp>),
) -> Result<BilledUsage, BillError> {
    let bounds = plans.bounds;
    let is_named = |meter: &str| {
        let mut charges = plans.parts().flat_map(|part| &part.known.plan.charges);
        charges.any(|charge| charge.meter == meter)
    };
    let mut usage = store.usage(account.ledger, &bounds).await?;
    usage.retain(|landed| {
        let meter = landed.usage.meter.as_str();
        let is_counted = meter != MODULES && (is_built_in(meter) || is_named(meter));
        landed.statement <= statement && is_counted
    });
    let modules = store
        .module_changes(account.ledger, bounds.end, issued_at)
        .await?;
    Ok(BilledUsage { usage, modules })
}

/// The minutes of service of a period, as its bill has them; see [`minutes_of`].
pub async fn billed_minutes(
    store: &Store,
    account: &Account,
    period: Period,
) -> Result<Vec<Minute>, BillError> {
    if let Some(bill) = bill_of_period(store, account, period).await? {
        return minutes_of_bill(store, account, &bill).await;
    }
    let bounds = schedule_of(store, account).await?.bounds(period)?;
    Ok(minutes_of(store, account.ledger, &bounds, Landed::EVER).await?)
}

/// The minutes of service of a bill or note: those that landed up to its statement; none where no gateway had reported one before
/// it.
pub async fn minutes_of_bill(
    store: &Store,
    account: &Account,
    bill: &Document,
) -> Result<Vec<Minute>, BillError> {
    let (bounds, landed) = (bounds_of(bill), Landed::up_to(bill.statement));
    if bill.service.is_none() {
        return Ok(store.service_minutes(account.ledger, &bounds, landed).await?);
    }
    Ok(minutes_of(store, account.ledger, &bounds, landed).await?)
}

/// The minutes that gateways reported within the bounds and that landed in these statements. A time of which none reported any
/// is bad as a whole, where they did before; so that a file can say so, it then has the last minute that was reported before.
pub async fn minutes_of(
    store: &Store,
    ledger: LedgerId,
    bounds: &Bounds,
    landed: Landed,
) -> Result<Vec<Minute>, StoreError> {
    let minutes = store.service_minutes(ledger, bounds, landed).await?;
    if minutes.is_empty() {
        return Ok(Vec::from_iter(
            store.last_minute(ledger, bounds.start, landed).await?,
        ));
    }
    Ok(minutes)
}

/// The exclusions that touch a period, in the order of time. None changes once its bill is issued.
pub async fn exclusions_of(
    store: &Store,
    account: &Account,
    period: Period,
) -> Result<Vec<NewExclusion>, BillError> {
    let bounds = match bill_of_period(store, account, period).await? {
        Some(bill) => bounds_of(&bill),
        None => schedule_of(store, account).await?.bounds(period)?,
    };
    exclusions_within(store, account, &bounds).await
}

/// Those that touch the period of a bill or note.
pub async fn exclusions_of_bill(
    store: &Store,
    account: &Account,
    bill: &Document,
) -> Result<Vec<NewExclusion>, BillError> {
    exclusions_within(store, account, &bounds_of(bill)).await
}

async fn exclusions_within(
    store: &Store,
    account: &Account,
    bounds: &Bounds,
) -> Result<Vec<NewExclusion>, BillError> {
    let recorded = store.exclusions(account.ledger, bounds).await?;
    Ok(recorded.into_iter().map(|recorded| recorded.exclusion).collect())
}

/// What computes a month's bill again, or its draft, from the files: `as_of` is until when its service was looked at, where that
/// is before its end.
pub fn rate_command(account: &Account, period: Period, zone: &TimeZone, as_of: Option<Timestamp>) -> String {
    let is_within = |instant: &Timestamp| Period::containing(*instant, zone) == Ok(period);
    let from = Some(account.registered_at).filter(is_within);
    let to = account.closed_at.filter(is_within);
    let options = [
        from.map(|from| format!(" --contract-from {from}")),
        to.map(|to| format!(" --contract-to {to}")),
        as_of.map(|as_of| format!(" --as-of {as_of}")),
    ];
    format!(
        "springtide-billing rate --plan plan.json --usage usage.csv --minutes minutes.csv --exclusions exclusions.csv --period {period}{}",
        options.into_iter().flatten().collect::<String>()
    )
}

/// Until when the service of a bill or draft was looked at, where that is before the end of its period.
pub fn as_of(document: &Document, now: Timestamp) -> Option<Timestamp> {
    let looked = document.issued_at.unwrap_or(now);
    (looked < document.period_end).then_some(looked)
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
