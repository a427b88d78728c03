//! One bill: its document, what it posted, and what its lines counted.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Findings;
use crate::bill::BillError;
use crate::bill::document::Document;
use crate::bill::money::{by_account, issue_entries, payment_entries, sum_of_lines, written};
use crate::bill::slots::Slots;
use crate::bill::state::InvoiceState;
use crate::rating::number::Exact;
use crate::rating::period::Bounds;
use crate::rating::rate::Rule;
use crate::store::{Account, Landed, Posting, Store, StoredInvoice};

/// The document says what its row says, and its total is the sum of its lines.
pub(super) fn check_document(
    account: &Account,
    invoice: &StoredInvoice,
    document: &Document,
    findings: &mut Findings,
) {
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
pub(super) async fn check_journal(
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
        let wanted = entries
            .and_then(|entries| by_account(entries, document))
            .unwrap_or_default();
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

/// What charges counted is what the buckets hold, up to the bill's statement.
pub(super) async fn check_lines(
    store: &Store,
    invoice: &StoredInvoice,
    document: &Document,
    findings: &mut Findings,
) -> Result<(), BillError> {
    let mut seen = BTreeSet::new();
    for entry in document.lines.iter().filter(|entry| entry.is_there()) {
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
            .summed_usage(invoice.ledger, &slots, Landed::up_to(invoice.statement))
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
