//! Legal entities: numbers, chains, and who issues what.

use std::time::Duration;

use super::closing::{change, issuer};
use super::support::*;
use crate::bill::document::{Document, DocumentIssuer};
use crate::bill::issue::{Order, issue_all};
use crate::bill::notes::{correct, credit_invoice};
use crate::bill::schedule::schedule_of;
use crate::bill::verify::{verify_chain, verify_tenant};
use crate::bill::{issue, read};
use crate::rating::period::Period;
use crate::store::{Account, DEFAULT_ENTITY, IssueOutcome, LegalEntity, SetEntity};

fn shanghai() -> LegalEntity {
    LegalEntity {
        name: "shanghai".into(),
        prefix: "SH".into(),
        legal_name: "春潮（上海）科技有限公司".into(),
        tax_id: "91310115XXXXXXXXXX".into(),
        address: "上海市浦东新区".into(),
    }
}

async fn with_shanghai(bench: &Bench) {
    assert_eq!(
        bench.store.set_entity(&shanghai()).await.unwrap(),
        SetEntity::Done
    );
}

/// An account of that entity, as it is read back.
async fn account(bench: &Bench, tenant: &str, entity: &str) -> Account {
    let account = bench.account(tenant).await;
    assert!(bench.store.assign_entity(account.ledger, entity).await.unwrap());
    read_back(bench, tenant).await
}

async fn read_back(bench: &Bench, tenant: &str) -> Account {
    bench.store.account_of_uid(&uid(tenant)).await.unwrap().unwrap()
}

async fn bill(bench: &Bench, account: &Account, period: &str) -> Document {
    let period: Period = period.parse().unwrap();
    issue(&bench.store, account, period, now()).await.unwrap().0
}

pub(super) async fn each_entity_has_numbers_without_a_gap_and_a_chain_of_its_own(bench: Bench) {
    with_shanghai(&bench).await;
    let (acme, other) = (
        account(&bench, "acme", "shanghai").await,
        bench.account("other").await,
    );
    let mut bills = Vec::new();
    for period in ["2026-09", "2026-10"] {
        for account in [&acme, &other] {
            bills.push(bill(&bench, account, period).await);
        }
    }
    let numbers: Vec<_> = bills.iter().map(|bill| bill.number.as_deref().unwrap()).collect();
    assert_eq!(
        numbers,
        [
            "SH-2026-000001",
            "SPT-2026-000001",
            "SH-2026-000002",
            "SPT-2026-000002"
        ]
    );
    assert_eq!(bills[0].issuer, DocumentIssuer::from(&shanghai()));
    assert_eq!(bills[1].issuer, DocumentIssuer::default());
    assert_eq!(bills[0].previous_digest.as_deref(), Some(""));
    let first = bench.store.any_invoice("SH-2026-000001").await.unwrap().unwrap();
    assert_eq!(
        bills[2].previous_digest.as_ref(),
        Some(&first.digest),
        "its own chain"
    );
    assert_eq!(verify_chain(&bench.store).await.unwrap(), (4, Vec::new()));
    assert_eq!(bench.store.number_of_invoices().await.unwrap(), 4);
    for account in [&acme, &other] {
        assert_eq!(verify_tenant(&bench.store, account, now()).await.unwrap(), []);
    }
    let folder = tempfile::tempdir().unwrap();
    bench.store.back_up(folder.path(), now()).await.unwrap();
    let restored = Bench::sqlite().await;
    restored.store.restore(folder.path(), now()).await.unwrap();
    assert_eq!(
        restored.store.entities().await.unwrap(),
        bench.store.entities().await.unwrap()
    );
    assert_eq!(verify_chain(&restored.store).await.unwrap(), (4, Vec::new()));
}

pub(super) async fn an_account_that_goes_to_another_entity_has_its_next_bill_from_there_and_notes_from_where_the_bill_was(
    bench: Bench,
) {
    with_shanghai(&bench).await;
    let before = bench.account("acme").await;
    assert_eq!(before.entity, LegalEntity::default());
    bench.report(vec![by_worker(&interaction("acme", "t1"))]).await;
    let first = bill(&bench, &before, "2026-11").await;
    assert_eq!(first.number.as_deref(), Some("SPT-2026-000001"));
    let after = account_given(&bench, &before, "shanghai").await;
    assert_eq!(
        bill(&bench, &after, "2026-10").await.number.as_deref(),
        Some("SH-2026-000001")
    );

    bench.report(vec![by_worker(&interaction("acme", "t2"))]).await;
    let note = correct(&bench.store, &after, november_period(), issuer())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(note.number.as_deref(), Some("SPT-2026-000002"));
    assert_eq!(note.issuer, first.issuer);
    let stored = bench.store.any_invoice("SPT-2026-000001").await.unwrap().unwrap();
    let note = credit_invoice(&bench.store, &after, &stored, issuer())
        .await
        .unwrap();
    assert_eq!(note.number.as_deref(), Some("SPT-2026-000003"));
    assert_eq!(verify_chain(&bench.store).await.unwrap(), (4, Vec::new()));
    assert_eq!(verify_tenant(&bench.store, &after, now()).await.unwrap(), []);

    let renamed = LegalEntity {
        legal_name: "春潮".into(),
        ..shanghai()
    };
    bench.store.set_entity(&renamed).await.unwrap();
    let stored = bench.store.any_invoice("SH-2026-000001").await.unwrap().unwrap();
    assert_eq!(
        read(&stored).unwrap().issuer,
        DocumentIssuer::from(&shanghai()),
        "what was issued stays"
    );
    assert!(!bench.store.assign_entity(after.ledger, "nobody").await.unwrap());
    bench.register("acme").await;
    assert_eq!(
        read_back(&bench, "acme").await.entity,
        renamed,
        "registering again changes nothing of it"
    );
}

async fn account_given(bench: &Bench, account: &Account, entity: &str) -> Account {
    assert!(bench.store.assign_entity(account.ledger, entity).await.unwrap());
    bench
        .store
        .account_of_ledger(account.ledger)
        .await
        .unwrap()
        .unwrap()
}

pub(super) async fn a_bill_that_is_said_to_be_another_entitys_is_named(bench: Bench) {
    with_shanghai(&bench).await;
    let acme = account(&bench, "acme", "shanghai").await;
    bill(&bench, &acme, "2026-10").await;
    // As somebody does who may do all that the database can.
    let text = bench.store.dialect(
        "DROP TRIGGER invoice_never_changes; UPDATE invoice SET entity = 'springtide'",
        "ALTER TABLE invoice DISABLE TRIGGER USER; UPDATE invoice SET entity = 'springtide'",
    );
    change(&bench.store, text).await.unwrap();
    let (_, drift) = verify_chain(&bench.store).await.unwrap();
    let said: Vec<_> = drift.iter().map(|drift| drift.what.as_str()).collect();
    assert_eq!(said, ["end of the chain", "number", "end of the chain"]);
    let drift = verify_tenant(&bench.store, &acme, now()).await.unwrap();
    assert!(
        drift.iter().any(|drift| drift.what == "legal entity"),
        "{drift:?}"
    );
}

pub(super) async fn a_prefix_is_one_entitys_and_stays_once_a_bill_has_it(bench: Bench) {
    with_shanghai(&bench).await;
    let taken = LegalEntity {
        name: "beijing".into(),
        ..shanghai()
    };
    let by = "shanghai".to_owned();
    assert_eq!(
        bench.store.set_entity(&taken).await.unwrap(),
        SetEntity::PrefixTaken { by }
    );
    let moved = LegalEntity {
        prefix: "SHA".into(),
        ..shanghai()
    };
    assert_eq!(
        bench.store.set_entity(&moved).await.unwrap(),
        SetEntity::Done,
        "no bill has it yet"
    );
    let acme = account(&bench, "acme", "shanghai").await;
    bill(&bench, &acme, "2026-10").await;
    let prefix = "SHA".to_owned();
    assert_eq!(
        bench.store.set_entity(&shanghai()).await.unwrap(),
        SetEntity::PrefixUsed { prefix }
    );
    assert_eq!(verify_chain(&bench.store).await.unwrap(), (1, Vec::new()));
}

/// Issues a period's bills of several accounts in one transaction, in their order.
async fn issue_together(bench: &Bench, accounts: [&Account; 2], period: Period) {
    let mut plans = Vec::new();
    for account in accounts {
        plans.push(
            schedule_of(&bench.store, account)
                .await
                .unwrap()
                .plans(period)
                .unwrap(),
        );
    }
    let orders = accounts.iter().zip(&plans).map(|(account, plans)| Order {
        account,
        plans,
        review: None,
    });
    let orders: Vec<_> = orders.collect();
    let outcomes = issue_all(&bench.store, period, &orders, issuer()).await.unwrap();
    for outcome in outcomes {
        assert!(matches!(outcome, IssueOutcome::Issued(_)), "{outcome:?}");
    }
}

/// Longest that issuers of a test may take; PostgreSQL ends a circle of waits after a second.
const BOUND: Duration = Duration::from_mins(1);

/// Gives each account to the entity that the other one of its pair is of.
async fn swap(bench: &Bench, pairs: [[&str; 2]; 2]) {
    for [one, other] in pairs {
        let (first, second) = (read_back(bench, one).await, read_back(bench, other).await);
        account_given(bench, &first, &second.entity.name).await;
        account_given(bench, &second, &first.entity.name).await;
    }
}

pub(super) async fn concurrent_issuers_of_several_entities_do_not_wait_for_each_other_in_a_circle(
    bench: Bench,
) {
    with_shanghai(&bench).await;
    for (tenant, entity) in [
        ("one", "shanghai"),
        ("two", DEFAULT_ENTITY),
        ("three", "shanghai"),
        ("four", DEFAULT_ENTITY),
    ] {
        account(&bench, tenant, entity).await;
    }
    let all_months = async {
        for month in 1..=10 {
            let period: Period = format!("2026-{month:02}").parse().unwrap();
            let (one, two) = (read_back(&bench, "one").await, read_back(&bench, "two").await);
            let (three, four) = (read_back(&bench, "three").await, read_back(&bench, "four").await);
            futures::join!(
                issue_together(&bench, [&one, &two], period),
                issue_together(&bench, [&four, &three], period),
                swap(&bench, [["one", "four"], ["two", "three"]]),
            );
        }
    };
    tokio::time::timeout(BOUND, Box::pin(all_months)).await.unwrap();
    assert_eq!(verify_chain(&bench.store).await.unwrap(), (40, Vec::new()));
}

/// Waits until so many of the database's connections wait for a lock.
pub(super) async fn until_waiting(bench: &Bench, number: i64) {
    let mut connection = bench.admin().await;
    let text = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    loop {
        let (waiting,): (i64,) = sqlx::query_as(text).fetch_one(&mut connection).await.unwrap();
        if waiting >= number {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Of PostgreSQL alone: SQLite has one writer at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issuers_take_the_chains_of_several_entities_in_one_order() {
    let Some(bench) = Bench::postgres().await else {
        return;
    };
    with_shanghai(&bench).await;
    let (one, three) = (
        account(&bench, "one", "shanghai").await,
        account(&bench, "three", "shanghai").await,
    );
    let (two, four) = (bench.account("two").await, bench.account("four").await);
    let period: Period = "2026-10".parse().unwrap();
    // Somebody has the first chain until both issuers have come as far as they can: then one of them that took the other
    // chain before would hold what the first needs next.
    let mut holder = bench.admin().await;
    sqlx::raw_sql("BEGIN; SELECT 1 FROM invoice_chain WHERE entity = 'shanghai' FOR UPDATE")
        .execute(&mut holder)
        .await
        .unwrap();
    let both = async {
        futures::join!(
            issue_together(&bench, [&one, &two], period),
            async {
                until_waiting(&bench, 1).await;
                issue_together(&bench, [&four, &three], period).await;
            },
            async {
                until_waiting(&bench, 2).await;
                sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
            },
        )
    };
    tokio::time::timeout(BOUND, Box::pin(both)).await.unwrap();
    assert_eq!(verify_chain(&bench.store).await.unwrap(), (4, Vec::new()));
}
