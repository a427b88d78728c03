//! What must hold of billing's books whatever was done to the programs that write them.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt as _;
use serde_json::Value;
use springtide_billing::bill;
use springtide_billing::digest::Digest;
use springtide_billing::rating::number::Exact;
use springtide_billing::rating::period::{Bounds, Period, zone_named};
use springtide_billing::store::{Account, Store, StoredInvoice};

/// A plan by which a bill's total is a tenth of its interactions.
pub(crate) const TENTH: &str = r#"{"currency":"CNY","timeZone":"UTC","charges":[{"name":"answers","meter":"interactions",
    "model":"PerUnit","unitPrice":"0.10"}]}"#;

/// Turns that were acknowledged, by tenant and month.
pub(crate) type Acknowledged = BTreeMap<(String, String), BTreeSet<String>>;

/// All bills, as (number, digest, document), by number.
pub(crate) async fn bills(store: &Store) -> Vec<(String, String, String)> {
    let mut bills = Vec::new();
    for account in store.accounts().await.unwrap() {
        let invoices = store.invoices(account.ledger).await.unwrap();
        bills.extend(
            invoices
                .into_iter()
                .map(|invoice| (invoice.number, invoice.digest, invoice.document)),
        );
    }
    bills.sort_unstable();
    bills
}

/// Numbers without a gap, each bill chained to the one before, each the text that its digest says.
pub(crate) async fn check_chain(store: &Store) -> usize {
    let bills = bills(store).await;
    let mut previous = String::new();
    for (position, (number, digest, text)) in (1..).zip(&bills) {
        let (_, sequence) = number.rsplit_once('-').unwrap();
        assert_eq!(sequence.parse::<usize>().unwrap(), position, "no gap");
        let document: Value = serde_json::from_str(text).unwrap();
        assert_eq!(
            document["previousDigest"],
            previous.as_str(),
            "{number} is chained"
        );
        assert_eq!(Digest::of(text.as_bytes()).to_string(), *digest, "{number}");
        previous.clone_from(digest);
    }
    let issued = store.number_of_invoices().await.unwrap();
    assert_eq!(
        usize::try_from(issued).unwrap(),
        bills.len(),
        "every number is a bill"
    );
    bills.len()
}

/// The turns that are there, by tenant and month of UTC.
pub(crate) async fn held(store: &Store) -> Acknowledged {
    let all = Bounds {
        start: "2000-01-01T00:00:00Z".parse().unwrap(),
        end: "2100-01-01T00:00:00Z".parse().unwrap(),
    };
    let mut held = Acknowledged::new();
    for account in store.accounts().await.unwrap() {
        let tenant = account.details.party.tenant.as_str();
        let mut events = store.export(account.ledger, tenant, &all);
        while let Some(event) = events.try_next().await.unwrap() {
            let event = serde_json::to_value(&event).unwrap();
            let month = event["time"].as_str().unwrap()[..7].to_owned();
            let turns = held.entry((tenant.to_owned(), month)).or_default();
            turns.insert(event["turn"].as_str().unwrap().to_owned());
        }
    }
    held
}

/// Every acknowledged event is there once, in one statement, and bills with the notes on them are what landed up to theirs. How
/// many of both there are.
pub(crate) async fn check(store: &Store, acknowledged: &Acknowledged) -> usize {
    let accounts = store.accounts().await.unwrap();
    for ((tenant, month), turns) in acknowledged {
        let is_its = |account: &&Account| account.details.party.tenant.as_str() == tenant;
        let account = accounts.iter().find(is_its).unwrap();
        let period: Period = month.parse().unwrap();
        let bounds = period.bounds(&zone_named("UTC").unwrap()).unwrap();
        let events = store.export(account.ledger, account.details.party.tenant.as_str(), &bounds);
        let exported: Vec<_> = events
            .map_ok(|event| serde_json::to_value(&event).unwrap())
            .try_collect()
            .await
            .unwrap();
        let found: BTreeSet<_> = exported
            .iter()
            .map(|event| event["turn"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(found, *turns, "{tenant}, {month}: none is lost and none invented");
        assert_eq!(
            exported.len(),
            turns.len(),
            "{tenant}, {month}: none is there twice"
        );
        let usage = store.usage(account.ledger, &bounds).await.unwrap();
        let sum = |until: i64| {
            let landed = usage.iter().filter(|landed| landed.statement <= until);
            landed.fold(Exact::ZERO, |sum, landed| {
                sum.plus(landed.usage.quantity).unwrap()
            })
        };
        let count = Exact::new(i128::try_from(turns.len()).unwrap(), 0);
        assert_eq!(
            sum(i64::MAX),
            count,
            "{tenant}, {month}: statements add up to what was acknowledged"
        );
        let invoice = store.invoice_of_period(account.ledger, month).await.unwrap();
        if let Some(invoice) = invoice {
            let all = store.invoices(account.ledger).await.unwrap();
            let mut its: Vec<_> = all
                .into_iter()
                .filter(|note| corrects(note).is_some_and(|number| number == invoice.number))
                .collect();
            its.push(invoice);
            let landed_until = its.iter().map(|bill| bill.statement).max().unwrap();
            let total = its.iter().fold(Exact::ZERO, |sum, bill| {
                let document = bill::read(bill).unwrap();
                sum.plus(Exact::parse(&document.total).unwrap()).unwrap()
            });
            let times_ten = (0..9).fold(total, |sum, _| sum.plus(total).unwrap());
            assert_eq!(
                times_ten,
                sum(landed_until),
                "{tenant}, {month}: the bill and its notes"
            );
        }
    }
    check_chain(store).await
}

/// How many notes on bills there are.
pub(crate) async fn notes(store: &Store) -> usize {
    let bills = bills(store).await;
    let texts = bills
        .iter()
        .map(|(_, _, text)| serde_json::from_str(text).unwrap());
    texts
        .filter(|document: &Value| document["corrects"].is_string())
        .count()
}

/// Number of the bill that a note is on.
fn corrects(note: &StoredInvoice) -> Option<String> {
    bill::read(note).unwrap().corrects
}
