//! Verification: the database alone must show that events = buckets = lines = bill = journal, and that no bill was changed,
//! taken away or put in. What does not agree is *drift*, and is named with both figures.

mod bills;
mod chain;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::schedule::schedule_of;
use super::{BillError, read};
use crate::metering::examine::FUTURE_TOLERANCE;
use crate::rating::period::{Bounds, Period};
use crate::store::{Account, KIND_CREDIT, Store};
use bills::{check_document, check_journal, check_lines};
use chain::check_link;
pub use chain::verify_chain;

/// Two figures that should be the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// Whose; empty: the chain's as a whole.
    pub tenant: String,
    /// Of which month.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<String>,
    /// Of which bill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Which meter, account or field.
    pub what: String,
    /// The one figure, with where it stands.
    pub one: Figure,
    /// The other.
    pub other: Figure,
}

/// A figure with where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// "events", "buckets", "lines", "invoice", "journal", "chain".
    pub of: &'static str,
    /// As it is written there.
    pub value: String,
}

impl std::fmt::Display for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [Some(&self.tenant), self.period.as_ref(), self.number.as_ref()];
        for part in parts.into_iter().flatten().filter(|part| !part.is_empty()) {
            write!(f, "{part} ")?;
        }
        let Self { what, one, other, .. } = self;
        write!(
            f,
            "{what}: {} {}, {} {}",
            one.of, one.value, other.of, other.value
        )
    }
}

/// Collects drift of one tenant.
struct Findings {
    tenant: String,
    period: Option<String>,
    number: Option<String>,
    found: Vec<Drift>,
}

impl Findings {
    fn same(&mut self, what: &str, one: (&'static str, String), other: (&'static str, String)) {
        if one.1 == other.1 {
            return;
        }
        let figure = |(of, value): (&'static str, String)| Figure { of, value };
        self.found.push(Drift {
            tenant: self.tenant.clone(),
            period: self.period.clone(),
            number: self.number.clone(),
            what: what.to_owned(),
            one: figure(one),
            other: figure(other),
        });
    }
}

/// What does not agree in a tenant's books.
pub async fn verify_tenant(
    store: &Store,
    account: &Account,
    now: Timestamp,
) -> Result<Vec<Drift>, BillError> {
    let mut findings = Findings {
        tenant: account.details.party.tenant.to_string(),
        period: None,
        number: None,
        found: Vec::new(),
    };
    let mut periods: BTreeMap<Period, Bounds> = BTreeMap::new();
    let invoices = store.invoices(account.ledger).await?;
    for invoice in &invoices {
        findings.period = Some(invoice.period.clone());
        findings.number = Some(invoice.number.clone());
        check_link(store, invoice, &mut findings).await?;
        let Ok(document) = read(invoice) else {
            findings.same(
                "document",
                ("invoice", "not readable".to_owned()),
                ("chain", invoice.digest.clone()),
            );
            continue;
        };
        check_document(account, invoice, &document, &mut findings);
        check_journal(store, invoice, &document, &mut findings).await?;
        if invoice.kind != KIND_CREDIT {
            check_lines(store, invoice, &document, &mut findings).await?;
        }
        if let Ok(period) = invoice.period.parse() {
            periods.insert(
                period,
                Bounds {
                    start: document.period_start,
                    end: document.period_end,
                },
            );
        }
    }
    findings.number = None;
    let schedule = schedule_of(store, account).await?;
    let current = schedule.containing(now)?;
    for period in [current.previous()?, current] {
        periods.entry(period).or_insert(schedule.bounds(period)?);
    }
    // Of older periods events may be gone; their buckets and bills are kept. An event is recorded at most an hour before it
    // happens.
    let kept_since = store.events_kept_since().await?;
    let whole_since = kept_since.saturating_add(FUTURE_TOLERANCE).unwrap_or(kept_since);
    for (period, bounds) in periods
        .into_iter()
        .filter(|(_, bounds)| bounds.start >= whole_since)
    {
        findings.period = Some(period.to_string());
        for (meter, figures) in store.meter_figures(account.ledger, &bounds).await? {
            findings.same(
                &meter,
                ("events", figures.events().to_string()),
                ("buckets", figures.buckets().to_string()),
            );
        }
    }
    Ok(findings.found)
}

/// The same, but what is on its way while it is read is no drift: what is found must be found again.
pub async fn verify_settled(
    store: &Store,
    account: &Account,
    now: Timestamp,
) -> Result<Vec<Drift>, BillError> {
    let mut found = verify_tenant(store, account, now).await?;
    if !found.is_empty() {
        let again = verify_tenant(store, account, now).await?;
        found.retain(|drift| again.contains(drift));
    }
    Ok(found)
}

/// Keeps for issuing what was found of a tenant: nothing is issued to it while there is drift.
pub async fn note(
    store: &Store,
    account: &Account,
    found: &[Drift],
    now: Timestamp,
) -> Result<(), BillError> {
    let text: Vec<_> = found.iter().map(ToString::to_string).collect();
    let text = (!text.is_empty()).then(|| text.join("; "));
    if store.drift(account.ledger).await? != text {
        store.note_drift(account.ledger, text.as_deref(), now).await?;
    }
    Ok(())
}
