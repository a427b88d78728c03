//! Accounts, plans, sessions, tables.

use jiff::SignedDuration;

use super::entities::until_waiting;
use super::support::*;
use crate::bill::issue;
use crate::digest::Digest;
use crate::metering::report::Verdict;
use crate::store::{PlanVersion, PutPlan, Registration, Store, StoreError};

pub(super) async fn a_plan_version_that_a_bill_used_never_changes(bench: Bench) {
    let account = bench.account("acme").await;
    let put = async |plan: &PlanVersion| bench.store.put_plan(plan, now()).await.unwrap();
    assert_eq!(
        put(&plan(1, "0.20")).await,
        PutPlan::Stored,
        "no bill used it yet"
    );
    let (document, _) = issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    assert_eq!(put(&plan(1, "0.20")).await, PutPlan::Stored, "the same again");
    assert_eq!(put(&plan(1, "0.30")).await, PutPlan::Changed);
    assert_eq!(
        bench.store.newest_plan("standard").await.unwrap().unwrap(),
        plan(1, "0.20")
    );
    assert_eq!(
        put(&plan(2, "0.30")).await,
        PutPlan::Changed,
        "an edit of what a bill used"
    );
    assert_eq!(
        put(&plan(2, "0.20")).await,
        PutPlan::Stored,
        "the same under another generation"
    );
    assert_eq!(put(&plan(1, "0.20")).await, PutPlan::Stored, "by a stale replica");
    let recreated = PlanVersion {
        uid: "another-object".into(),
        ..plan(1, "0.30")
    };
    assert_eq!(
        put(&recreated).await,
        PutPlan::Stored,
        "another object of that name"
    );
    let again = crate::bill::bill(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    assert_eq!(again, document);
}

/// Two replicas put a new object, one of them as it was edited since, and a bill is made in between. Of PostgreSQL alone: SQLite
/// has one writer at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_contents_that_are_put_at_once_the_one_that_a_bill_used_stays() {
    let Some(bench) = Bench::postgres().await else {
        return;
    };
    let account = bench.account("acme").await;
    issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    let of = |price| PlanVersion {
        uid: "just-made".into(),
        ..plan(1, price)
    };
    let (first, second) = (of("0.30"), of("0.40"));
    let mut replica = bench.admin().await;
    sqlx::raw_sql("BEGIN").execute(&mut replica).await.unwrap();
    sqlx::query("INSERT INTO rate_plan (name, uid, generation, spec, digest, recorded_at) VALUES ($1, $2, 1, $3, $4, 1)")
        .bind(&first.name)
        .bind(&first.uid)
        .bind(&first.spec)
        .bind(&first.digest.as_bytes()[..])
        .execute(&mut replica)
        .await
        .unwrap();
    let store = bench.store.clone();
    let putting = tokio::spawn(async move { store.put_plan(&second, now()).await.unwrap() });
    until_waiting(&bench, 1).await;
    let used = "INSERT INTO invoice_plan SELECT number, 'standard', 'just-made', 1 FROM invoice; COMMIT";
    sqlx::raw_sql(used).execute(&mut replica).await.unwrap();
    assert_eq!(putting.await.unwrap(), PutPlan::Changed);
    let kept = bench
        .store
        .plan_version(&first.name, &first.uid, 1)
        .await
        .unwrap();
    assert_eq!(kept, Some(first));
}

pub(super) async fn the_newest_generation_of_the_newest_object_is_the_plan(bench: Bench) {
    let put = async |uid: &str, generation, price, second: i64| {
        let plan = PlanVersion {
            uid: uid.into(),
            ..plan(generation, price)
        };
        let at = now().checked_add(SignedDuration::from_secs(second)).unwrap();
        assert_eq!(bench.store.put_plan(&plan, at).await.unwrap(), PutPlan::Stored);
    };
    put("old", 9, "0.90", 0).await;
    put("new", 2, "0.20", 1).await;
    // A stale replica puts an old generation, and an old object, again.
    put("new", 1, "0.10", 2).await;
    put("old", 9, "0.90", 3).await;
    let plan = bench.store.newest_plan("standard").await.unwrap().unwrap();
    assert_eq!((plan.uid.as_str(), plan.generation), ("new", 2));
    assert_eq!(bench.store.newest_plan("other").await.unwrap(), None);
}

pub(super) async fn registering_is_idempotent_and_a_uid_keeps_its_name(bench: Bench) {
    let first = bench.register("acme").await;
    assert_eq!(bench.register("acme").await, first);
    let mut changed = details("acme");
    changed.display_name = "Acme".into();
    bench.store.register(&changed, now()).await.unwrap();
    let again = bench.store.account_of_uid(&uid("acme")).await.unwrap().unwrap();
    assert_eq!(
        (again.ledger, again.details.display_name.as_str()),
        (first.ledger, "Acme")
    );
    let mut stolen = details("mallory");
    stolen.party.tenant_uid = details("acme").party.tenant_uid;
    assert_eq!(
        bench.store.register(&stolen, now()).await.unwrap(),
        Registration::OtherName
    );
    assert_eq!(bench.store.accounts().await.unwrap().len(), 1);
    let token = Digest::of(b"token of acme");
    assert_eq!(
        bench
            .store
            .account_of_token(token)
            .await
            .unwrap()
            .map(|account| account.ledger),
        Some(first.ledger)
    );
    assert_eq!(
        bench.store.account_of_token(Digest::of(b"other")).await.unwrap(),
        None
    );
}

pub(super) async fn a_closed_account_still_takes_usage_and_an_old_name_is_another_account(bench: Bench) {
    let old = bench.register("acme").await;
    assert!(bench.store.close_account(&uid("acme"), now()).await.unwrap());
    assert!(bench.store.close_account(&uid("acme"), now()).await.unwrap());
    assert!(!bench.store.close_account("nobody", now()).await.unwrap());
    assert_eq!(
        bench.report(vec![by_worker(&interaction("acme", "t1"))]).await,
        [Verdict::Accepted]
    );
    let mut reborn = details("acme");
    reborn.party.tenant_uid = "another-uid".parse().unwrap();
    bench.store.register(&reborn, now()).await.unwrap();
    let named = bench.store.accounts_named("acme").await.unwrap();
    assert_eq!(named.len(), 2);
    assert_ne!(named[0].ledger, old.ledger, "the open one comes first");
    assert!(
        bench
            .store
            .usage(named[0].ledger, &november())
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(bench.store.usage(old.ledger, &november()).await.unwrap().len(), 1);
}

pub(super) async fn a_session_opens_until_it_lapses_or_is_closed(bench: Bench) {
    let account = bench.register("acme").await;
    let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
    let later = |seconds| now().checked_add(SignedDuration::from_secs(seconds)).unwrap();
    bench
        .store
        .open_session(
            one,
            account.ledger,
            &crate::store::Holder::of_account(),
            now(),
            later(60),
        )
        .await
        .unwrap();
    assert_eq!(
        bench.store.session(one, later(59)).await.unwrap(),
        Some((account.ledger, crate::store::Holder::of_account()))
    );
    assert_eq!(bench.store.session(one, later(60)).await.unwrap(), None);
    assert_eq!(bench.store.session(two, now()).await.unwrap(), None);
    bench.store.close_session(one).await.unwrap();
    assert_eq!(bench.store.session(one, now()).await.unwrap(), None);
}

pub(super) async fn migrating_twice_changes_nothing_and_an_empty_database_says_so(bench: Bench) {
    bench.register("acme").await;
    bench.store.migrate().await.unwrap();
    bench.store.check_migrated().await.unwrap();
    assert_eq!(bench.store.accounts().await.unwrap().len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/other.db", folder.path().display());
    assert!(matches!(
        Store::connect(&url, false).await,
        Err(StoreError::NoFile(_))
    ));
    let empty = Store::connect(&url, true).await.unwrap();
    assert!(matches!(
        empty.check_migrated().await,
        Err(StoreError::NotMigrated)
    ));
    assert!(matches!(
        Store::connect("mysql://x", false).await,
        Err(StoreError::Scheme)
    ));
}
