//! Verification: the database alone must show that events = buckets = lines = bill = journal, that each bill comes out again
//! when it is priced again, and that no bill was changed, taken away or put in. What does not agree is *drift*, and is named
//! with both figures.

mod bills;
mod chain;
mod compare;
mod pricing;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::document::Document;
use super::schedule::schedule_of;
use super::{BillError, read};
use crate::metering::examine::FUTURE_TOLERANCE;
use crate::rating::period::{Bounds, Period};
use crate::store::{Account, KIND_CREDIT, MeterFigures, Store, StoreError};
use bills::{check_document, check_journal, check_lines};
use chain::check_link;
pub use chain::verify_chain;
use pricing::{Issued, check_price};

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
    /// Which meter, account, field or line.
    pub what: String,
    /// The one figure, with where it stands.
    pub one: Figure,
    /// The other.
    pub other: Figure,
}

/// A figure with where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// "events", "buckets", "lines", "invoice", "rated" (priced again), "journal", "row", "chain".
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

/// A bill that comes out otherwise when it is priced again, where local times decide what is priced and this program knows
/// other rules of zones than the one that made the bill: nobody can say from here which of the two is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotComparable {
    /// Whose.
    pub tenant: String,
    /// Of which month.
    pub period: String,
    /// Which bill.
    pub number: String,
    /// Version of the time-zone data of the bill.
    pub time_zone_data: String,
    /// Of this program.
    pub known: &'static str,
}

impl std::fmt::Display for NotComparable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            tenant,
            period,
            number,
            time_zone_data,
            known,
        } = self;
        write!(
            f,
            "{tenant} {period} {number} cannot be compared: it was rated with time-zone data {time_zone_data}, and comes out otherwise with {known}"
        )
    }
}

/// Which bills are priced again; each is a read of its month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repricing {
    /// All.
    All,
    /// Those that were issued since the month before the current one began.
    Recent,
}

/// What verification of a tenant's books came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// What does not agree.
    pub drift: Vec<Drift>,
    /// How many bills and notes were priced again.
    pub priced: u64,
    /// Those of which that says nothing.
    pub not_comparable: Vec<NotComparable>,
}

impl Verified {
    /// With what was found of another tenant.
    pub fn add(&mut self, other: Self) {
        let Self {
            drift,
            priced,
            not_comparable,
        } = other;
        self.drift.extend(drift);
        self.priced += priced;
        self.not_comparable.extend(not_comparable);
    }
}

/// Collects what is found of one tenant.
#[derive(Default)]
struct Findings {
    tenant: String,
    period: Option<String>,
    number: Option<String>,
    found: Verified,
}

impl Findings {
    fn of(tenant: &str) -> Self {
        Self {
            tenant: tenant.to_owned(),
            ..Self::default()
        }
    }

    fn events_and_buckets(&mut self, what: &str, figures: MeterFigures) {
        let (events, buckets) = (figures.events().to_string(), figures.buckets().to_string());
        self.same(what, ("events", events), ("buckets", buckets));
    }

    fn same(&mut self, what: &str, one: (&'static str, String), other: (&'static str, String)) {
        if one.1 == other.1 {
            return;
        }
        let figure = |(of, value): (&'static str, String)| Figure { of, value };
        self.found.drift.push(Drift {
            tenant: self.tenant.clone(),
            period: self.period.clone(),
            number: self.number.clone(),
            what: what.to_owned(),
            one: figure(one),
            other: figure(other),
        });
    }
}

/// What does not agree in a tenant's books, all bills priced again.
pub async fn verify_tenant(
    store: &Store,
    account: &Account,
    now: Timestamp,
) -> Result<Vec<Drift>, BillError> {
    Ok(verify_books(store, account, now, Repricing::All).await?.drift)
}

async fn verify_books(
    store: &Store,
    account: &Account,
    now: Timestamp,
    repricing: Repricing,
) -> Result<Verified, BillError> {
    let mut findings = Findings::of(account.details.party.tenant.as_str());
    let schedule = schedule_of(store, account).await?;
    let current = schedule.containing(now)?;
    let previous = current.previous()?;
    let since = match repricing {
        Repricing::All => Timestamp::MIN,
        Repricing::Recent => schedule.bounds(previous)?.start,
    };
    let mut periods = check_bills(store, account, since, &mut findings).await?;
    for period in [previous, current] {
        periods.entry(period).or_insert(schedule.bounds(period)?);
    }
    check_events(store, account, periods, &mut findings).await?;
    Ok(findings.found)
}

/// Bills and notes in the order of their periods, and of each in that of their issue; those issued since an instant are priced
/// again. With it the periods that they are of.
async fn check_bills(
    store: &Store,
    account: &Account,
    since: Timestamp,
    findings: &mut Findings,
) -> Result<BTreeMap<Period, Bounds>, BillError> {
    let mut periods = BTreeMap::new();
    // Of the same period.
    let mut earlier: Vec<Document> = Vec::new();
    for invoice in store.invoices(account.ledger).await?.iter().rev() {
        if findings.period.as_ref() != Some(&invoice.period) {
            earlier.clear();
        }
        findings.period = Some(invoice.period.clone());
        findings.number = Some(invoice.number.clone());
        check_link(store, invoice, findings).await?;
        let Ok(document) = read(invoice) else {
            findings.same(
                "document",
                ("invoice", "not readable".to_owned()),
                ("chain", invoice.digest.clone()),
            );
            continue;
        };
        check_document(account, invoice, &document, findings);
        check_journal(store, invoice, &document, findings).await?;
        if invoice.kind != KIND_CREDIT {
            check_lines(store, invoice, &document, findings).await?;
        }
        if invoice.issued_at >= since {
            let issued = Issued {
                invoice,
                document: &document,
                earlier: &earlier,
            };
            check_price(store, account, issued, findings).await?;
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
        earlier.push(document);
    }
    findings.number = None;
    Ok(periods)
}

/// Events against buckets, of periods whose events are all there.
async fn check_events(
    store: &Store,
    account: &Account,
    periods: BTreeMap<Period, Bounds>,
    findings: &mut Findings,
) -> Result<(), BillError> {
    // Of older periods events may be gone; their buckets and bills are kept. An event is recorded at most an hour before it
    // happens.
    let kept_since = store.events_kept_since(account.ledger).await?;
    let whole_since = kept_since.saturating_add(FUTURE_TOLERANCE).unwrap_or(kept_since);
    for (period, bounds) in periods
        .into_iter()
        .filter(|(_, bounds)| bounds.start >= whole_since)
    {
        findings.period = Some(period.to_string());
        for (meter, quarters) in store.meter_figures(account.ledger, &bounds).await? {
            let mut all = MeterFigures::default();
            for figures in quarters.values() {
                all = all.plus(*figures).map_err(StoreError::from)?;
            }
            let moved = quarters.iter().find(|(_, figures)| !figures.agree());
            match moved.filter(|_| all.agree()) {
                None => findings.events_and_buckets(&meter, all),
                // The month has all, but what stands in another quarter of an hour may have another price.
                Some((start, figures)) => {
                    let start = Timestamp::from_second(*start).unwrap_or_default();
                    let what = format!("{meter} in the quarter of an hour from {start}");
                    findings.events_and_buckets(&what, *figures);
                }
            }
        }
    }
    Ok(())
}

/// The books of a tenant, but what is on its way while they are read is no drift: what is found must be found again.
pub async fn verify_settled(
    store: &Store,
    account: &Account,
    now: Timestamp,
    repricing: Repricing,
) -> Result<Verified, BillError> {
    let mut found = verify_books(store, account, now, repricing).await?;
    if !found.drift.is_empty() {
        let again = verify_books(store, account, now, repricing).await?;
        found.drift.retain(|drift| again.drift.contains(drift));
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
