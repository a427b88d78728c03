//! From review to the notes on an issued bill.

use jiff::SignedDuration;

use super::support::*;
use crate::bill::close::{CloseOrder, CloseReport, Grace, approve, close};
use crate::bill::document::Document;
use crate::bill::issue::Issuer;
use crate::bill::notes::{act, correct, credit_invoice};
use crate::bill::review::Finding;
use crate::bill::run::Progress;
use crate::bill::state::{Act, InvoiceState, TaxState};
use crate::bill::{BillError, issue, read};
use crate::store::{
    Account, DEFAULT_ENTITY, PlanVersion, PutPlan, Store, StoredInvoice, TaxRegistration, in_transaction,
};

pub(super) const NO_GRACE: Grace = Grace {
    length: SignedDuration::ZERO,
    before_end: false,
};

pub(super) fn issuer() -> Issuer<'static> {
    Issuer {
        actor: "jo",
        note: "because",
        now: now(),
    }
}

pub(super) async fn change(store: &Store, text: &'static str) -> Result<(), sqlx::Error> {
    in_transaction!(store, transaction => {
        sqlx::raw_sql(text).execute(&mut *transaction).await?;
        transaction.commit().await
    })
}

/// An account that was there before November.
pub(super) async fn early(bench: &Bench, tenant: &str) -> Account {
    bench.store.put_plan(&plan(1, "0.10"), now()).await.unwrap();
    let registered = at("2026-10-05T00:00:00Z");
    bench.store.register(&details(tenant), registered).await.unwrap();
    bench.store.account_of_uid(&uid(tenant)).await.unwrap().unwrap()
}

async fn issued(bench: &Bench, account: &Account) -> StoredInvoice {
    issue(&bench.store, account, november_period(), now())
        .await
        .unwrap();
    let stored = bench.store.invoice_of_period(account.ledger, "2026-11").await;
    stored.unwrap().unwrap()
}

async fn corrected(bench: &Bench, account: &Account) -> Option<Document> {
    correct(&bench.store, account, november_period(), issuer())
        .await
        .unwrap()
}

async fn states_of(bench: &Bench, number: &str) -> Vec<InvoiceState> {
    let states = bench.store.states(number).await.unwrap();
    states.into_iter().map(|record| record.state).collect()
}

pub(super) async fn closed(store: &Store, issue: bool) -> CloseReport {
    let order = CloseOrder {
        period: november_period(),
        issue,
        grace: NO_GRACE,
        issuer: issuer(),
    };
    close(store, order, &Progress::default()).await.unwrap()
}

pub(super) async fn what_comes_after_a_bill_is_a_note_with_the_difference_by_the_bills_own_plan(
    bench: Bench,
) {
    let account = bench.account("acme").await;
    bench.report(vec![by_worker(&interaction("acme", "t1"))]).await;
    let bill = issued(&bench, &account).await;
    assert_eq!(corrected(&bench, &account).await, None, "nothing came");
    assert_eq!(bench.store.number_of_invoices().await.unwrap(), 1);

    // Deleted, and made again with another price.
    let another = PlanVersion {
        uid: "another".into(),
        ..plan(1, "9.00")
    };
    assert_eq!(
        bench.store.put_plan(&another, now()).await.unwrap(),
        PutPlan::Stored
    );
    let late = ["t2", "t3"].map(|turn| by_worker(&interaction("acme", turn)));
    bench.report(late.into()).await;
    let note = corrected(&bench, &account).await.unwrap();
    assert_eq!(
        (note.kind.as_str(), note.corrects.as_deref(), note.total.as_str()),
        ("correction", Some(bill.number.as_str()), "0.20")
    );
    assert_eq!(note.number.as_deref(), Some("SPT-2026-000002"));
    let line = note.lines[0].correction.clone().unwrap();
    assert_eq!(
        (line.billed.as_str(), line.corrected.as_deref()),
        ("0.10", Some("0.30"))
    );
    assert_eq!(note.plans[0].uid, plan(1, "0.10").uid);
    assert_eq!(corrected(&bench, &account).await, None, "it is corrected");

    // Taken back below what the bill and its note came to.
    let undone = springtide_proto::metering::Delivery::Undelivered;
    let taken_back = ["t1", "t2", "t3"].map(|turn| by_gateway(&interaction("acme", turn), undone));
    bench.report(taken_back.into()).await;
    let second = corrected(&bench, &account).await.unwrap();
    assert_eq!(
        (second.total.as_str(), second.corrects.as_deref()),
        ("-0.30", Some(bill.number.as_str()))
    );
    assert_eq!(second.due_on, None, "nothing is owed on it");
    let all = bench.store.invoices(account.ledger).await.unwrap();
    let ordinals: Vec<_> = all.iter().map(|one| (one.kind.as_str(), one.ordinal)).collect();
    assert_eq!(ordinals, [("correction", 2), ("correction", 1), ("regular", 0)]);
    assert!(all.contains(&bill), "the bill is as it was");
}

pub(super) async fn a_credit_note_takes_back_a_bill_with_its_notes_and_ends_corrections(bench: Bench) {
    let account = bench.account("acme").await;
    bench.report(vec![by_worker(&interaction("acme", "t1"))]).await;
    let bill = issued(&bench, &account).await;
    bench.report(vec![by_worker(&interaction("acme", "t2"))]).await;
    let correction = corrected(&bench, &account).await.unwrap();
    let correction = bench
        .store
        .any_invoice(&correction.number.unwrap())
        .await
        .unwrap()
        .unwrap();
    let refused = credit_invoice(&bench.store, &account, &correction, issuer()).await;
    assert!(matches!(refused, Err(BillError::CreditOfNote { .. })));
    let note = credit_invoice(&bench.store, &account, &bill, issuer())
        .await
        .unwrap();
    assert_eq!(
        (note.kind.as_str(), note.total.as_str(), note.reason.as_deref()),
        ("credit", "-0.20", Some("because"))
    );
    for number in [&bill.number, &correction.number] {
        let states = states_of(&bench, number).await;
        assert_eq!(states, [InvoiceState::Issued, InvoiceState::Credited]);
    }
    bench.report(vec![by_worker(&interaction("acme", "t3"))]).await;
    let refused = correct(&bench.store, &account, november_period(), issuer()).await;
    assert!(matches!(refused, Err(BillError::Credited { .. })));
    let refused = credit_invoice(&bench.store, &account, &bill, issuer()).await;
    assert!(matches!(refused, Err(BillError::Credited { .. })));
    assert_eq!(bench.store.number_of_invoices().await.unwrap(), 3);
}

pub(super) async fn a_month_that_other_zone_data_bounds_otherwise_is_not_corrected(bench: Bench) {
    let account = bench.account("acme").await;
    let bill = issued(&bench, &account).await;
    let disarm = bench.store.dialect(
        "DROP TRIGGER invoice_never_changes",
        "ALTER TABLE invoice DISABLE TRIGGER invoice_never_changes",
    );
    change(&bench.store, disarm).await.unwrap();
    let older = "UPDATE invoice SET document = replace(document, '\"timeZoneData\":\"2', '\"timeZoneData\":\"older than 2')";
    change(&bench.store, older).await.unwrap();
    bench.report(vec![by_worker(&interaction("acme", "t1"))]).await;
    let note = corrected(&bench, &account).await.expect("the same bounds");
    assert!(note.notes[0].contains("older than 2"), "{:?}", note.notes);
    let otherwise =
        "UPDATE invoice SET document = replace(document, '2026-10-31T16:00:00Z', '2026-10-31T15:00:00Z')";
    change(&bench.store, otherwise).await.unwrap();
    let refused = correct(&bench.store, &account, november_period(), issuer()).await;
    let said = refused.unwrap_err().to_string();
    assert!(
        said.contains(&bill.number) && said.contains("older than 2"),
        "{said}"
    );
}

pub(super) async fn a_bill_goes_only_where_its_state_lets_it_and_a_payment_is_posted_once(bench: Bench) {
    let account = bench.account("acme").await;
    bench.report(vec![by_worker(&interaction("acme", "t1"))]).await;
    let bill = issued(&bench, &account).await;
    let does = async |what| act(&bench.store, &bill, what, "jo", "because", now()).await;
    assert!(matches!(does(Act::Resolve).await, Err(BillError::State { .. })));
    assert_eq!(does(Act::Dispute).await.unwrap(), InvoiceState::Disputed);
    assert_eq!(does(Act::Resolve).await.unwrap(), InvoiceState::Issued);
    let (one, two) = tokio::join!(does(Act::Pay), does(Act::Pay));
    assert_eq!(
        usize::from(one.is_ok()) + usize::from(two.is_ok()),
        1,
        "{one:?} {two:?}"
    );
    let postings = bench.store.postings(&bill.number).await.unwrap();
    assert_eq!(postings["issue"].accounts["receivable"], 10);
    assert_eq!(postings["payment"].accounts["receivable"], -10);
    assert_eq!(postings["payment"].accounts["cash"], 10);
    assert_eq!(
        states_of(&bench, &bill.number).await,
        [
            InvoiceState::Issued,
            InvoiceState::Disputed,
            InvoiceState::Issued,
            InvoiceState::Paid
        ]
    );
}

pub(super) async fn the_tax_offices_numbers_stand_beside_the_bill_in_legal_order(bench: Bench) {
    let account = bench.account("acme").await;
    let bill = issued(&bench, &account).await;
    let note = async |state, tax_number: &str, red_letter: &str| {
        let registration = TaxRegistration {
            state,
            tax_number: tax_number.into(),
            red_letter_number: red_letter.into(),
            actor: "jo".into(),
            note: String::new(),
            at: now(),
        };
        bench
            .store
            .register_tax(&bill.number, &registration)
            .await
            .unwrap()
    };
    assert!(!note(TaxState::Reversed, "", "r").await);
    assert!(note(TaxState::Requested, "", "").await);
    assert!(note(TaxState::Registered, "24117000000012345678", "").await);
    assert!(note(TaxState::Reversed, "24117000000012345678", "24117000000099999999").await);
    let known = bench.store.tax_registrations(&bill.number).await.unwrap();
    assert_eq!(known.len(), 3);
    assert_eq!(known[1].tax_number, "24117000000012345678");
    let same = bench.store.any_invoice(&bill.number).await.unwrap().unwrap();
    assert_eq!(same, bill);
}

pub(super) async fn the_database_itself_refuses_to_change_what_became_of_a_bill(bench: Bench) {
    let account = bench.account("acme").await;
    bench.report(vec![by_worker(&interaction("acme", "t1"))]).await;
    closed(&bench.store, false).await;
    let bill = issued(&bench, &account).await;
    let registration = TaxRegistration {
        state: TaxState::Requested,
        tax_number: String::new(),
        red_letter_number: String::new(),
        actor: "jo".into(),
        note: String::new(),
        at: now(),
    };
    assert!(
        bench
            .store
            .register_tax(&bill.number, &registration)
            .await
            .unwrap()
    );
    for (table, column) in [
        ("invoice_plan", "name"),
        ("invoice_review", "actor"),
        ("invoice_state", "actor"),
        ("tax_registration", "actor"),
        ("journal_posting", "currency"),
        ("journal_entry", "account"),
    ] {
        for text in [
            format!("UPDATE {table} SET {column} = {column}"),
            format!("DELETE FROM {table}"),
        ] {
            let refusal = change(&bench.store, text.leak()).await.unwrap_err().to_string();
            assert!(refusal.contains("never change"), "{table}: {refusal}");
        }
        if matches!(bench.store, Store::Postgres(_)) {
            let text = format!("TRUNCATE {table} CASCADE");
            assert!(change(&bench.store, text.leak()).await.is_err());
        }
    }
}

pub(super) async fn the_database_itself_refuses_a_posting_that_does_not_balance(bench: Bench) {
    let account = bench.account("acme").await;
    bench.report(vec![by_worker(&interaction("acme", "t1"))]).await;
    issued(&bench, &account).await;
    let entry =
        "INSERT INTO journal_entry (number, posting, position, account, amount) VALUES ('SPT-2026-000001', ";
    let posting = "INSERT INTO journal_posting (number, posting, currency, recorded_at) VALUES ('SPT-2026-000001', 'payment', 'CNY', 1);";
    for (rows, said) in [
        (
            format!("{entry} 'payment', 1, 'cash', 5); {posting}"),
            "sums to zero",
        ),
        (
            format!("{entry} 'payment', 1, 'cash', 5); {entry} 'payment', 2, 'clearing', -5); {posting}"),
            "sums to zero",
        ),
        (format!("{entry} 'issue', 9, 'cash', 5)"), "nothing is added"),
        (format!("{entry} 'payment', 1, 'cash', 5)"), "FOREIGN KEY"),
    ] {
        let refusal = change(&bench.store, rows.clone().leak())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            refusal.to_lowercase().contains(&said.to_lowercase()),
            "{rows}: {refusal}"
        );
    }
}

pub(super) async fn only_what_was_reviewed_is_approved(bench: Bench) {
    let account = early(&bench, "acme").await;
    let period = november_period();
    let approval = async || approve(&bench.store, &account, period, NO_GRACE, issuer(), None).await;
    assert!(matches!(approval().await, Err(BillError::NoReview { .. })));
    let report = closed(&bench.store, false).await;
    assert_eq!(
        report.in_review[0].findings,
        [Finding::FirstBill, Finding::NoUsage]
    );
    bench.report(vec![by_worker(&interaction("acme", "t1"))]).await;
    let said = approval().await.unwrap_err().to_string();
    assert!(said.contains("answers 0.10 instead of 0.00"), "{said}");
    assert_eq!(bench.store.number_of_invoices().await.unwrap(), 0);

    closed(&bench.store, false).await;
    closed(&bench.store, false).await;
    assert_eq!(bench.store.waiting_reviews("2026-11").await.unwrap().len(), 1);
    // Another month's bill counts the open statement on; what was reviewed is the same.
    let october = "2026-10".parse().unwrap();
    issue(&bench.store, &account, october, now()).await.unwrap();
    let (document, is_new) = approval().await.unwrap();
    assert_eq!((document.total.as_str(), is_new), ("0.10", true));
    assert_eq!(bench.store.waiting_reviews("2026-11").await.unwrap(), []);
    let by = bench.store.states(&document.number.unwrap()).await.unwrap();
    assert_eq!(by[0].actor, "jo");
}

pub(super) async fn who_stays_without_usage_is_not_striking(bench: Bench) {
    let account = early(&bench, "acme").await;
    let findings = async || closed(&bench.store, false).await.in_review.remove(0).findings;
    assert_eq!(findings().await, [Finding::FirstBill, Finding::NoUsage]);
    issue(&bench.store, &account, "2026-10".parse().unwrap(), now())
        .await
        .unwrap();
    assert_eq!(findings().await, [], "October had none, either");
}

pub(super) async fn a_period_is_not_closed_before_its_end_and_grace(bench: Bench) {
    let account = early(&bench, "acme").await;
    let end = november().end;
    let after = |seconds: i64| end.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    let hour = SignedDuration::from_hours(1);
    let closing = async |now, before_end| {
        let grace = Grace {
            length: hour,
            before_end,
        };
        let issuer = Issuer { now, ..issuer() };
        let order = CloseOrder {
            period: november_period(),
            issue: true,
            grace,
            issuer,
        };
        close(&bench.store, order, &Progress::default()).await
    };
    let said = closing(after(3_599), false).await.unwrap_err().to_string();
    assert!(said.contains("2026-11-30T17:00:00Z"), "{said}");
    assert_eq!(bench.store.number_of_invoices().await.unwrap(), 0);
    assert_eq!(closing(after(-10), true).await.unwrap().issued, 1);
    let later = closing(after(3_600), false).await.unwrap();
    assert_eq!((later.issued, later.issued_before), (0, 1));
    assert_eq!(bench.store.invoices(account.ledger).await.unwrap().len(), 1);
}

pub(super) async fn a_month_that_ends_later_elsewhere_holds_up_no_bill(bench: Bench) {
    early(&bench, "acme").await;
    let spec = r#"{"currency":"USD","timeZone":"America/Los_Angeles","charges":[]}"#;
    bench.register_with_plan("west", spec).await;
    let order = CloseOrder {
        period: november_period(),
        issue: true,
        grace: NO_GRACE,
        issuer: Issuer {
            now: november().end,
            ..issuer()
        },
    };
    let report = close(&bench.store, order, &Progress::default()).await.unwrap();
    assert_eq!(report.issued, 1);
    let refused: Vec<_> = report
        .refused
        .iter()
        .map(|refusal| refusal.tenant.as_str())
        .collect();
    assert_eq!(refused, ["west"]);
}

pub(super) async fn close_runs_at_once_and_again_issue_each_bill_once(bench: Bench) {
    const TENANTS: usize = 70;
    for tenant in 0..TENANTS {
        early(&bench, &format!("tenant-{tenant}")).await;
    }
    let stores = [bench.store.clone(), bench.again().await, bench.again().await];
    let mut runs = tokio::task::JoinSet::new();
    for store in stores {
        runs.spawn(async move { closed(&store, true).await });
    }
    let reports = runs.join_all().await;
    let issued: u64 = reports.iter().map(|report| report.issued).sum();
    assert_eq!(issued, TENANTS as u64);
    assert!(reports.iter().all(|report| report.refused.is_empty()));
    let again = closed(&bench.store, true).await;
    assert_eq!((again.issued, again.issued_before), (0, TENANTS as u64));
    let (bills, drift) = crate::bill::verify::verify_chain(&bench.store).await.unwrap();
    assert_eq!((bills, drift), (i64::try_from(TENANTS).unwrap(), Vec::new()));
}

pub(super) async fn a_tenant_without_a_plan_holds_up_no_other(bench: Bench) {
    let mut planless = details("planless");
    planless.rate_plan = "missing".into();
    bench
        .store
        .register(&planless, at("2026-10-05T00:00:00Z"))
        .await
        .unwrap();
    early(&bench, "acme").await;
    let report = closed(&bench.store, true).await;
    assert_eq!(report.issued, 1);
    assert_eq!(report.refused.len(), 1);
    assert!(report.refused[0].reason.contains("\"missing\""));
    let stored = bench.store.invoices_after(DEFAULT_ENTITY, 0, 10).await.unwrap();
    assert_eq!(read(&stored[0]).unwrap().tenant, "acme");
}
