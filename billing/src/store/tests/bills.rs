//! Closing, issuing, and what comes after.

use std::collections::BTreeSet;

use springtide_proto::metering::Delivery;

use super::support::*;
use crate::bill::issue::Issuer;
use crate::bill::notes::correct;
use crate::bill::summary::{by_meter, summed_by_time};
use crate::bill::{BillError, bill, draft, issue, read};
use crate::digest::Digest;
use crate::rating::number::Exact;
use crate::store::{Landed, Store, in_transaction};

pub(super) async fn a_bill_is_issued_once_however_often_and_from_wherever_it_is_asked_for(bench: Bench) {
    let account = bench.account("acme").await;
    bench.report(vec![by_worker(&interaction("acme", "t1"))]).await;
    let stores = [bench.store.clone(), bench.again().await];
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8_usize {
        let (store, account) = (stores[task % 2].clone(), account.clone());
        tasks.spawn(async move { issue(&store, &account, november_period(), now()).await.unwrap() });
    }
    let issued = tasks.join_all().await;
    assert_eq!(issued.iter().filter(|(_, is_new)| *is_new).count(), 1);
    let numbers: BTreeSet<_> = issued
        .iter()
        .map(|(document, _)| document.number.clone())
        .collect();
    assert_eq!(numbers, BTreeSet::from([Some("SPT-2026-000001".to_owned())]));
    assert_eq!(bench.store.invoices(account.ledger).await.unwrap().len(), 1);
}

pub(super) async fn numbers_have_no_gap_and_each_bill_is_chained_to_the_one_before(bench: Bench) {
    let mut tasks = tokio::task::JoinSet::new();
    for tenant in 0..12 {
        let account = bench.account(&format!("tenant-{tenant}")).await;
        let store = bench.store.clone();
        tasks.spawn(async move { issue(&store, &account, november_period(), now()).await.unwrap().0 });
    }
    let mut documents = tasks.join_all().await;
    documents.sort_by(|one, two| one.number.cmp(&two.number));
    let mut before = String::new();
    for (position, document) in documents.iter().enumerate() {
        assert_eq!(document.number, Some(format!("SPT-2026-{:06}", position + 1)));
        assert_eq!(document.previous_digest.as_ref(), Some(&before));
        before = document.digest.clone().unwrap();
    }
    assert_eq!(bench.store.number_of_invoices().await.unwrap(), 12);
}

async fn change(store: &Store, text: &'static str) -> Result<(), sqlx::Error> {
    in_transaction!(store, transaction => {
        sqlx::query(text).execute(&mut *transaction).await?;
        transaction.commit().await
    })
}

pub(super) async fn the_database_itself_refuses_to_change_an_issued_bill(bench: Bench) {
    let account = bench.account("acme").await;
    let (before, _) = issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    for text in [
        "UPDATE invoice SET document = '{}'",
        "UPDATE invoice SET digest = digest",
        "DELETE FROM invoice",
    ] {
        let refusal = change(&bench.store, text).await.unwrap_err().to_string();
        assert!(
            refusal.contains("an issued invoice never changes"),
            "{text}: {refusal}"
        );
    }
    if matches!(bench.store, Store::Postgres(_)) {
        assert!(change(&bench.store, "TRUNCATE invoice").await.is_err());
    }
    assert_eq!(
        bill(&bench.store, &account, november_period(), now())
            .await
            .unwrap(),
        before
    );
}

pub(super) async fn late_usage_keeps_its_period_and_lands_in_a_later_statement(bench: Bench) {
    let account = bench.account("acme").await;
    bench.report(vec![by_worker(&interaction("acme", "t1"))]).await;
    let (before, _) = issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    bench.report(vec![by_worker(&interaction("acme", "late"))]).await;
    let (after, is_new) = issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    assert_eq!((after, is_new), (before.clone(), false));
    assert_eq!(before.total, "0.10");
    assert_eq!(bench.sum("acme", "interactions", Some(1)).await, count(1));
    assert_eq!(
        bench.sum("acme", "interactions", Some(2)).await,
        count(1),
        "in November, but in the next statement"
    );
    let month = ([november().start], november().end);
    let summed = |landed| summed_by_time(&bench.store, account.ledger, (&month.0, month.1), landed);
    let usage = summed(Landed::EVER).await.unwrap();
    let late = summed(Landed::after(before.statement)).await.unwrap();
    let sums = by_meter(&usage, &late).unwrap();
    assert_eq!((sums[0].quantity, sums[0].late), (count(2), count(1)));
}

pub(super) async fn undelivered_after_the_close_leaves_the_bill_and_lands_below_zero(bench: Bench) {
    let account = bench.account("acme").await;
    let turn = interaction("acme", "t1");
    bench.report(vec![by_worker(&turn)]).await;
    let (document, _) = issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    bench.report(vec![by_gateway(&turn, Delivery::Undelivered)]).await;
    assert_eq!(
        bench.sum("acme", "interactions", Some(2)).await,
        Exact::new(-1, 0)
    );
    assert_eq!(bench.interactions("acme").await, Exact::ZERO);
    bench.report(vec![by_gateway(&turn, Delivery::Delivered)]).await;
    assert_eq!(bench.sum("acme", "interactions", Some(2)).await, Exact::ZERO);
    assert_eq!(
        bill(&bench.store, &account, november_period(), now())
            .await
            .unwrap(),
        document
    );
}

pub(super) async fn nothing_is_lost_or_doubled_when_closing_while_reports_come(bench: Bench) {
    let account = bench.account("acme").await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4 {
        let store = if task % 2 == 0 {
            bench.store.clone()
        } else {
            bench.again().await
        };
        tasks.spawn(async move {
            for batch in 0..15 {
                let records: Vec<_> = (0..10)
                    .map(|turn| by_worker(&interaction("acme", &format!("{task}-{batch}-{turn}"))))
                    .collect();
                store.ingest(&records, now()).await.unwrap();
            }
        });
    }
    // While they come.
    tokio::task::yield_now().await;
    let (document, _) = issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    tasks.join_all().await;
    let billed = counted_of(&document.lines[0].line);
    let late = bench
        .sum("acme", "interactions", Some(document.statement + 1))
        .await;
    assert_eq!(
        bench.sum("acme", "interactions", Some(document.statement)).await,
        billed,
        "the bill has all of its statement"
    );
    assert_eq!(billed.plus(late).unwrap(), count(600));
}

pub(super) async fn a_bill_reads_back_with_the_digest_of_its_text(bench: Bench) {
    let account = bench.account("acme").await;
    bench
        .report(
            (0..5)
                .map(|turn| by_worker(&interaction("acme", &format!("t{turn}"))))
                .collect(),
        )
        .await;
    let (document, _) = issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    let stored = bench
        .store
        .invoice_numbered(account.ledger, "SPT-2026-000001")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored.digest, Digest::of(stored.document.as_bytes()).to_string());
    assert_eq!(read(&stored).unwrap(), document);
    assert_eq!(
        document.sealed(),
        (stored.document.clone(), stored.digest.clone())
    );
    assert_eq!(document.total, "0.50");
    assert_eq!(document.due_on, Some(jiff::civil::date(2026, 12, 31)));
    assert!(
        document.lines[0].explanation.contains("5 × 0.10 = 0.50 CNY"),
        "{}",
        document.lines[0].explanation
    );
    let other = bench.register("other").await;
    assert_eq!(
        bench
            .store
            .invoice_numbered(other.ledger, "SPT-2026-000001")
            .await
            .unwrap(),
        None,
        "of another tenant"
    );
}

pub(super) async fn a_draft_is_what_the_bill_will_be(bench: Bench) {
    let account = bench.account("acme").await;
    bench.report(vec![by_worker(&interaction("acme", "t1"))]).await;
    let draft = draft(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    assert_eq!(
        bench.store.invoices(account.ledger).await.unwrap(),
        [],
        "a draft is not stored"
    );
    let (document, _) = issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    let issued = draft.issued(
        document.number.clone().unwrap(),
        document.issued_at.unwrap(),
        document.due_on,
        document.previous_digest.clone().unwrap(),
    );
    assert_eq!(issued.sealed().1, document.digest.unwrap());
}

pub(super) async fn without_a_plan_there_is_no_bill_and_no_number_is_used(bench: Bench) {
    let account = bench.register("acme").await;
    let refused = issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap_err();
    assert!(matches!(refused, BillError::NoPlan { .. }));
    assert_eq!(bench.store.number_of_invoices().await.unwrap(), 0);
    let account = bench.account("acme").await;
    let (document, _) = issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    assert_eq!(document.number.as_deref(), Some("SPT-2026-000001"));
}

pub(super) async fn a_module_is_billed_for_the_time_for_which_events_say_that_it_was_taken(bench: Bench) {
    let spec = r#"{"currency":"CNY","timeZone":"Asia/Shanghai","charges":[],"modules":[{"name":"voice","monthlyFee":"300.00"}]}"#;
    bench.register_with_plan("acme", spec).await;
    let account = bench.store.account_of_uid(&uid("acme")).await.unwrap().unwrap();
    let total = async || {
        draft(&bench.store, &account, november_period(), now())
            .await
            .unwrap()
            .total
    };
    assert_eq!(total().await, "300.00", "without any event it is taken");
    let report = async |id: &str, quantity: &str, time: &str| {
        bench
            .report(vec![by_anyone(&module_event("acme", id, quantity, time))])
            .await;
    };
    report("dropped", "0", "2026-11-10T16:00:00Z").await;
    assert_eq!(total().await, "100.00", "ten of thirty days");
    report("taken", "1", "2026-11-20T16:00:00Z").await;
    assert_eq!(total().await, "200.00", "and ten more");
    report("before", "0", "2026-10-20T16:00:00Z").await;
    report("again", "1", "2026-11-05T16:00:00Z").await;
    assert_eq!(
        total().await,
        "150.00",
        "from the fifth to the tenth, and from the twentieth"
    );
}

pub(super) async fn a_module_that_is_dropped_after_the_bill_is_corrected_by_a_note_and_is_not_in_what_the_bill_was_made_of(
    bench: Bench,
) {
    let spec = r#"{"currency":"CNY","timeZone":"Asia/Shanghai","charges":[],"modules":[{"name":"voice","monthlyFee":"300.00"}]}"#;
    bench.register_with_plan("acme", spec).await;
    let account = bench.store.account_of_uid(&uid("acme")).await.unwrap().unwrap();
    let (bill, _) = issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    let dropped = module_event("acme", "dropped", "0", "2026-11-10T16:00:00Z");
    let later = now().checked_add(jiff::SignedDuration::from_secs(1)).unwrap();
    bench.store.ingest(&[by_anyone(&dropped)], later).await.unwrap();
    let recorded = async |until| {
        let changes = bench
            .store
            .module_changes(account.ledger, bill.period_end, until)
            .await
            .unwrap();
        changes
            .into_iter()
            .map(|change| (change.at, change.active))
            .collect::<Vec<_>>()
    };
    assert_eq!(recorded(bill.issued_at).await, []);
    assert_eq!(recorded(None).await, [(at("2026-11-10T16:00:00Z"), false)]);
    let issuer = Issuer {
        actor: "jo",
        note: "",
        now: later,
    };
    let note = correct(&bench.store, &account, november_period(), issuer)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((note.total.as_str(), bill.total.as_str()), ("-200.00", "300.00"));
}
