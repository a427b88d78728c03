//! Verification: the database alone must show that events = buckets = lines = bill = journal, and that no bill was changed,
//! taken away or put in. What does not agree is *drift*, and is named with both figures.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::document::Document;
use super::money::{Entry, issue_entries, payment_entries, sum_of_lines, written};
use super::schedule::schedule_of;
use super::slots::Slots;
use super::state::InvoiceState;
use super::{BillError, read};
use crate::digest::Digest;
use crate::metering::examine::FUTURE_TOLERANCE;
use crate::rating::number::Exact;
use crate::rating::period::{Bounds, Period};
use crate::rating::rate::Rule;
use crate::store::{Account, KIND_CREDIT, LegalEntity, Posting, Store, StoredInvoice};

/// Bills of the chain that are read at a time.
const PAGE: i64 = 500;

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

/// The digest is that of the text, and the next bill is chained to it.
async fn check_link(
    store: &Store,
    invoice: &StoredInvoice,
    findings: &mut Findings,
) -> Result<(), BillError> {
    let digest = Digest::of(invoice.document.as_bytes()).to_string();
    findings.same("digest", ("invoice", digest), ("chain", invoice.digest.clone()));
    let (last, last_digest) = store.end_of_chain(&invoice.entity).await?;
    let chained_to = if invoice.sequence == last {
        Some(last_digest)
    } else {
        let next = store
            .invoices_after(&invoice.entity, invoice.sequence, 1)
            .await?
            .pop();
        next.and_then(|next| previous_digest_in(&next))
    };
    findings.same(
        "digest that the next bill is chained to",
        ("chain", chained_to.unwrap_or_else(|| "none".to_owned())),
        ("invoice", invoice.digest.clone()),
    );
    Ok(())
}

fn previous_digest_in(invoice: &StoredInvoice) -> Option<String> {
    let document: serde_json::Value = serde_json::from_str(&invoice.document).ok()?;
    Some(document.get("previousDigest")?.as_str()?.to_owned())
}

/// The document says what its row says, and its total is the sum of its lines.
fn check_document(account: &Account, invoice: &StoredInvoice, document: &Document, findings: &mut Findings) {
    let row = |value: &str| ("row", value.to_owned());
    let said = |value: String| ("invoice", value);
    let number = document.number.clone().unwrap_or_default();
    findings.same("number", row(&invoice.number), said(number));
    findings.same("period", row(&invoice.period), said(document.period.clone()));
    let span = |start: Timestamp, end: Timestamp| format!("{start}..{end}");
    let Bounds { start, end } = invoice.bounds;
    findings.same(
        "bounds of the period",
        row(&span(start, end)),
        said(span(document.period_start, document.period_end)),
    );
    findings.same(
        "legal entity",
        row(&invoice.entity),
        said(document.issuer.entity.clone()),
    );
    findings.same("kind", row(&invoice.kind), said(document.kind.clone()));
    findings.same(
        "statement",
        row(&invoice.statement.to_string()),
        said(document.statement.to_string()),
    );
    findings.same(
        "tenant",
        row(account.details.party.tenant_uid.as_str()),
        said(document.tenant_uid.clone()),
    );
    let sum =
        sum_of_lines(document).map_or_else(|error| error.to_string(), |sum| written(sum, &document.currency));
    findings.same("total", ("lines", sum), said(document.total.clone()));
}

/// What was posted is what the bill and its states say.
async fn check_journal(
    store: &Store,
    invoice: &StoredInvoice,
    document: &Document,
    findings: &mut Findings,
) -> Result<(), BillError> {
    let postings = store.postings(&invoice.number).await?;
    let states = store.states(&invoice.number).await?;
    let was_paid = states.iter().any(|record| record.state == InvoiceState::Paid);
    let mut expected = BTreeMap::from([("issue", issue_entries(document))]);
    if was_paid {
        expected.insert("payment", payment_entries(document));
    }
    let none = Posting::default();
    for name in ["issue", "payment"] {
        let posted = postings.get(name);
        let Some(entries) = expected.remove(name) else {
            findings.same(
                name,
                (
                    "journal",
                    if posted.is_some() { "posted" } else { "not posted" }.to_owned(),
                ),
                ("invoice", "not posted".to_owned()),
            );
            continue;
        };
        let presence = if posted.is_some() { "posted" } else { "not posted" };
        findings.same(
            name,
            ("journal", presence.to_owned()),
            ("invoice", "posted".to_owned()),
        );
        let wanted = entries.map(by_account).unwrap_or_default();
        let accounts = &posted.unwrap_or(&none).accounts;
        let names: BTreeSet<_> = wanted.keys().chain(accounts.keys()).cloned().collect();
        for account in names {
            let of = |sums: &BTreeMap<String, i64>| {
                written(sums.get(&account).copied().unwrap_or(0), &document.currency)
            };
            findings.same(
                &format!("{name}: {account}"),
                ("journal", of(accounts)),
                ("invoice", of(&wanted)),
            );
        }
    }
    Ok(())
}

fn by_account(entries: Vec<Entry>) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for Entry { account, amount } in entries {
        *sums.entry(account.name().to_owned()).or_insert(0) += amount;
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

/// What charges counted is what the buckets hold, up to the bill's statement.
async fn check_lines(
    store: &Store,
    invoice: &StoredInvoice,
    document: &Document,
    findings: &mut Findings,
) -> Result<(), BillError> {
    let gone = |entry: &&super::document::DocumentLine| {
        entry
            .correction
            .as_ref()
            .is_some_and(|correction| correction.corrected.is_none())
    };
    let lines: Vec<_> = document.lines.iter().filter(|entry| !gone(entry)).collect();
    let mut seen = BTreeSet::new();
    for entry in &lines {
        let Rule::Charge {
            meter,
            filter,
            counted,
            ..
        } = &entry.line.rule
        else {
            continue;
        };
        let Some(plan) = document.plan_behind(&entry.line) else {
            continue;
        };
        let bounds = plan.bounds();
        // Tiers of one charge counted the same.
        if !seen.insert((entry.line.name.clone(), bounds.start)) {
            continue;
        }
        let slots = Slots::of(bounds, &[]);
        let usage = store
            .summed_usage(invoice.ledger, &slots, invoice.statement)
            .await?;
        let mut sum = Exact::ZERO;
        for used in usage
            .iter()
            .filter(|used| used.meter == *meter && filter.admits(&used.dimensions))
        {
            sum = sum.plus(used.quantity).map_err(crate::store::StoreError::from)?;
        }
        findings.same(
            &format!("{meter} of {:?}", entry.line.name),
            ("buckets", sum.to_string()),
            ("lines", counted.to_string()),
        );
    }
    Ok(())
}

/// What does not agree in the chains as a whole, one of each legal entity: numbers without a gap, digests, and each bill
/// chained to the one before. With it how many bills there are.
pub async fn verify_chain(store: &Store) -> Result<(i64, Vec<Drift>), BillError> {
    let (mut bills, mut found) = (0, Vec::new());
    for entity in store.entities().await? {
        let (its, drift) = verify_chain_of(store, &entity).await?;
        bills += its;
        found.extend(drift);
    }
    Ok((bills, found))
}

async fn verify_chain_of(store: &Store, entity: &LegalEntity) -> Result<(i64, Vec<Drift>), BillError> {
    let mut findings = Findings {
        tenant: String::new(),
        period: None,
        number: None,
        found: Vec::new(),
    };
    let (mut sequence, mut digest) = (0, String::new());
    loop {
        let page = store.invoices_after(&entity.name, sequence, PAGE).await?;
        if page.is_empty() {
            break;
        }
        for invoice in page {
            findings.number = Some(invoice.number.clone());
            findings.period = Some(invoice.period.clone());
            findings.same(
                "sequence",
                ("row", invoice.sequence.to_string()),
                ("chain", (sequence + 1).to_string()),
            );
            let (beginning, ending) = (format!("{}-", entity.prefix), format!("-{:06}", invoice.sequence));
            if !invoice.number.starts_with(&beginning) || !invoice.number.ends_with(&ending) {
                let expected = format!("{beginning}…{ending}");
                findings.same("number", ("row", invoice.number.clone()), ("chain", expected));
            }
            let text = Digest::of(invoice.document.as_bytes()).to_string();
            findings.same("digest", ("invoice", text), ("chain", invoice.digest.clone()));
            let previous = previous_digest_in(&invoice).unwrap_or_else(|| "none".to_owned());
            findings.same(
                "digest of the bill before",
                ("invoice", previous),
                ("chain", digest),
            );
            sequence = invoice.sequence;
            digest = invoice.digest;
        }
    }
    findings.number = None;
    findings.period = None;
    let (last, last_digest) = store.end_of_chain(&entity.name).await?;
    findings.same(
        "end of the chain",
        ("chain", format!("{last} {last_digest}")),
        ("invoice", format!("{sequence} {digest}")),
    );
    Ok((sequence, findings.found))
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
