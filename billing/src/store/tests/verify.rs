//! Verification: each tampering is named, and stops the tenant's bills.

use super::closing::{NO_GRACE, change, issuer};
use super::support::*;
use crate::bill::close::{CloseOrder, close};
use crate::bill::issue;
use crate::bill::notes::{act, correct, credit_invoice};
use crate::bill::run::Progress;
use crate::bill::state::Act;
use crate::bill::verify::{Repricing, note, verify_chain, verify_settled, verify_tenant};
use crate::store::{Account, Store};

/// A tenant with a bill that was paid, a correction, and another month's bill that was credited.
async fn books(bench: &Bench, tenant: &str) -> Account {
    let account = bench.account(tenant).await;
    bench.report(vec![by_worker(&interaction(tenant, "t1"))]).await;
    let (bill, _) = issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    bench.report(vec![by_worker(&interaction(tenant, "t2"))]).await;
    correct(&bench.store, &account, november_period(), issuer())
        .await
        .unwrap()
        .unwrap();
    let bill = bench
        .store
        .any_invoice(&bill.number.unwrap())
        .await
        .unwrap()
        .unwrap();
    act(&bench.store, &bill, Act::Pay, "jo", "", now()).await.unwrap();
    let october = "2026-10".parse().unwrap();
    let (bill, _) = issue(&bench.store, &account, october, now()).await.unwrap();
    let bill = bench
        .store
        .any_invoice(&bill.number.unwrap())
        .await
        .unwrap()
        .unwrap();
    credit_invoice(&bench.store, &account, &bill, issuer())
        .await
        .unwrap();
    account
}

async fn found(store: &Store, account: &Account) -> Vec<String> {
    let found = verify_settled(store, account, now(), Repricing::All)
        .await
        .unwrap();
    found.drift.iter().map(ToString::to_string).collect()
}

pub(super) async fn honest_books_agree(bench: Bench) {
    let (acme, other) = (books(&bench, "acme").await, books(&bench, "other").await);
    for account in [&acme, &other] {
        assert_eq!(found(&bench.store, account).await, Vec::<String>::new());
    }
    assert_eq!(verify_chain(&bench.store).await.unwrap(), (8, Vec::new()));
}

pub(super) async fn a_bucket_that_was_changed_is_named_with_both_figures_and_stops_that_tenant_alone(
    bench: Bench,
) {
    let (acme, other) = (books(&bench, "acme").await, books(&bench, "other").await);
    let tamper = bench.store.dialect(
        "UPDATE usage_bucket SET quantity = '5000000000' WHERE ledger_id = 1 AND statement = 1",
        "UPDATE usage_bucket SET quantity = 5 WHERE ledger_id = 1 AND statement = 1",
    );
    assert_eq!(acme.ledger, 1);
    change(&bench.store, tamper).await.unwrap();
    let drift = found(&bench.store, &acme).await;
    for said in [
        "acme 2026-11 SPT-2026-000001 interactions of \"answers\": buckets 5, lines 1",
        "acme 2026-11 interactions: events 2, buckets 6",
    ] {
        assert!(drift.iter().any(|drift| drift == said), "{said}: {drift:?}");
    }
    for account in [&acme, &other] {
        let drift = verify_tenant(&bench.store, account, now()).await.unwrap();
        note(&bench.store, account, &drift, now()).await.unwrap();
    }
    let order = CloseOrder {
        period: "2026-09".parse().unwrap(),
        issue: true,
        grace: NO_GRACE,
        issuer: issuer(),
    };
    // Registered later than September, but usage makes a bill due.
    for tenant in ["acme", "other"] {
        let mut turn = interaction(tenant, "september");
        turn.arrived_at = at("2026-09-10T00:00:00Z");
        bench.report(vec![by_worker(&turn)]).await;
    }
    let report = close(&bench.store, order, &Progress::default()).await.unwrap();
    assert_eq!((report.issued, report.refused.len()), (1, 1));
    assert_eq!(report.refused[0].tenant, "acme");
    assert!(report.refused[0].reason.contains("events 2, buckets 6"));

    let mend = bench.store.dialect(
        "UPDATE usage_bucket SET quantity = '1000000000' WHERE ledger_id = 1 AND statement = 1",
        "UPDATE usage_bucket SET quantity = 1 WHERE ledger_id = 1 AND statement = 1",
    );
    change(&bench.store, mend).await.unwrap();
    let drift = verify_tenant(&bench.store, &acme, now()).await.unwrap();
    note(&bench.store, &acme, &drift, now()).await.unwrap();
    assert_eq!(
        close(&bench.store, order, &Progress::default())
            .await
            .unwrap()
            .issued,
        1
    );
}

pub(super) async fn a_bill_that_was_changed_or_taken_away_is_named(bench: Bench) {
    let (acme, other) = (books(&bench, "acme").await, books(&bench, "other").await);
    let disarm = bench.store.dialect(
        "PRAGMA foreign_keys = OFF; DROP TRIGGER invoice_never_changes; DROP TRIGGER invoice_never_deleted",
        "ALTER TABLE invoice DISABLE TRIGGER ALL",
    );
    change(&bench.store, disarm).await.unwrap();
    let tamper = "UPDATE invoice SET document = replace(document, '\"total\":\"0.10\"', '\"total\":\"0.01\"') WHERE number = 'SPT-2026-000001'";
    change(&bench.store, tamper).await.unwrap();
    let drift = found(&bench.store, &acme).await.join("\n");
    for said in [
        "acme 2026-11 SPT-2026-000001 digest: ",
        "acme 2026-11 SPT-2026-000001 total: lines 0.10, invoice 0.01",
        "acme 2026-11 SPT-2026-000001 issue: receivable: journal 0.10, invoice 0.01",
    ] {
        assert!(drift.contains(said), "{said}: {drift}");
    }
    assert_eq!(found(&bench.store, &other).await, Vec::<String>::new());
    let (_, drift) = verify_chain(&bench.store).await.unwrap();
    assert_eq!(drift[0].number.as_deref(), Some("SPT-2026-000001"));

    let hide = "UPDATE invoice SET sequence = 99 WHERE number = 'SPT-2026-000006'";
    change(&bench.store, hide).await.unwrap();
    let (_, drift) = verify_chain(&bench.store).await.unwrap();
    let drift: Vec<_> = drift.iter().map(ToString::to_string).collect();
    assert!(
        drift
            .iter()
            .any(|drift| drift == "2026-10 SPT-2026-000007 sequence: row 7, chain 6"),
        "{drift:?}"
    );
    assert!(!found(&bench.store, &other).await.is_empty());
}

pub(super) async fn a_journal_row_that_was_changed_is_named(bench: Bench) {
    let account = books(&bench, "acme").await;
    let disarm = bench.store.dialect(
        "DROP TRIGGER journal_entry_never_changes",
        "ALTER TABLE journal_entry DISABLE TRIGGER ALL",
    );
    change(&bench.store, disarm).await.unwrap();
    let tamper = "UPDATE journal_entry SET amount = amount + 3 WHERE number = 'SPT-2026-000001' AND posting = 'payment' AND account = 'cash'";
    change(&bench.store, tamper).await.unwrap();
    assert_eq!(
        found(&bench.store, &account).await,
        ["acme 2026-11 SPT-2026-000001 payment: cash: journal 0.13, invoice 0.10"]
    );
}

pub(super) async fn usage_that_stands_in_another_quarter_of_an_hour_is_named(bench: Bench) {
    let account = books(&bench, "acme").await;
    let tamper = "UPDATE usage_bucket SET start_second = start_second + 900 WHERE statement = 1";
    change(&bench.store, tamper).await.unwrap();
    let quarter = interaction("acme", "t1").arrived_at.as_second() / 900 * 900;
    let quarter = jiff::Timestamp::from_second(quarter).unwrap();
    assert_eq!(
        found(&bench.store, &account).await,
        [format!(
            "acme 2026-11 interactions in the quarter of an hour from {quarter}: events 2, buckets 1"
        )]
    );
}

pub(super) async fn events_that_retention_dropped_are_no_drift(bench: Bench) {
    let account = books(&bench, "acme").await;
    change(&bench.store, "DELETE FROM event").await.unwrap();
    let drift = found(&bench.store, &account).await;
    assert_eq!(drift, ["acme 2026-11 interactions: events 0, buckets 2"]);
    bench.store.note_events_dropped(november().end).await.unwrap();
    bench.store.note_events_dropped(november().start).await.unwrap();
    assert_eq!(found(&bench.store, &account).await, Vec::<String>::new());
}
