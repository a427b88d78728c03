//! For how long each tenant's events are kept.

use std::collections::BTreeMap;

use jiff::Timestamp;
use springtide_runtime::clock::ManualClock;

use super::support::*;
use crate::bill::issue;
use crate::bill::notes::act;
use crate::bill::state::Act;
use crate::drop_old_events::drop_due;
use crate::metering::report::Verdict;
use crate::metering::retention::{DropPlan, KeptDays};
use crate::metrics::Metrics;
use crate::store::{AccountDetails, DroppedByRule, KeptQuery, Landed, Registration};

async fn account_kept_for(bench: &Bench, tenant: &str, days: u32) {
    let details = AccountDetails {
        usage_kept: KeptDays::new(days).unwrap(),
        ..details(tenant)
    };
    let registered = bench
        .store
        .register(&details, at("2026-10-01T00:00:00Z"))
        .await
        .unwrap();
    assert_eq!(registered, Registration::Done);
    let account = bench.store.account_of_uid(&uid(tenant)).await.unwrap().unwrap();
    assert_eq!(account.details.usage_kept.get(), days);
}

async fn record(bench: &Bench, tenant: &str, turn: &str, recorded: &str) {
    let turn = by_worker(&interaction(tenant, turn));
    let verdicts = bench.store.ingest(&[turn], at(recorded)).await.unwrap();
    assert_eq!(verdicts, [Verdict::Accepted]);
}

async fn drop_at(bench: &Bench, now: &str) -> DroppedByRule {
    let clock = ManualClock::new(at(now));
    drop_due(&bench.store, &clock, &Metrics::default(), "billing")
        .await
        .unwrap()
}

/// Events that are there, by tenant.
async fn left(bench: &Bench) -> BTreeMap<String, i64> {
    let mut left = BTreeMap::new();
    for (ledger, tenant) in bench.store.names_of_ledgers().await.unwrap() {
        let ever = Timestamp::MAX.min(at("2200-01-01T00:00:00Z"));
        let events = bench
            .store
            .events_recorded_before(ever, Some(ledger))
            .await
            .unwrap();
        left.insert(tenant, events);
    }
    left
}

fn counts(expected: &[(&str, i64)]) -> BTreeMap<String, i64> {
    let owned = expected
        .iter()
        .map(|(tenant, events)| ((*tenant).to_owned(), *events));
    owned.collect()
}

async fn make_months(bench: &Bench) {
    for month in ["2026-10-15T00:00:00Z", "2027-02-15T00:00:00Z"] {
        bench.store.make_months(at(month)).await.unwrap();
    }
}

pub(super) async fn events_go_by_each_tenants_contract_and_their_keys_sums_and_modules_stay(bench: Bench) {
    make_months(&bench).await;
    account_kept_for(&bench, "acme", 35).await;
    account_kept_for(&bench, "beta", 70).await;
    for tenant in ["acme", "beta"] {
        record(&bench, tenant, "november", "2026-11-15T00:00:00Z").await;
        record(&bench, tenant, "december", "2026-12-15T00:00:00Z").await;
    }
    let taken = module_event("acme", "taken", "1", "2026-11-16T00:00:00Z");
    let taken_at = at("2026-11-16T00:00:00Z");
    bench.store.ingest(&[by_anyone(&taken)], taken_at).await.unwrap();
    let is_sqlite = matches!(bench.store, crate::store::Store::Sqlite(_));

    let dropped = drop_at(&bench, "2027-01-04T23:59:59Z").await;
    assert!(
        dropped.ledgers.is_empty(),
        "November is not old enough: {dropped:?}"
    );
    let dropped = drop_at(&bench, "2027-01-05T00:00:00Z").await;
    assert_eq!((dropped.months, dropped.events), (0, 2), "acme's, one by one");
    assert_eq!(left(&bench).await, counts(&[("acme", 1), ("beta", 2)]));
    let dropped = drop_at(&bench, "2027-02-10T00:00:00Z").await;
    // Of November beta's alone are left, and it goes whole where it can; of December acme's go.
    let expected = if is_sqlite { (0, 2) } else { (1, 1) };
    assert_eq!((dropped.months, dropped.events), expected);
    assert_eq!(dropped.ledgers.len(), 2);
    assert_eq!(left(&bench).await, counts(&[("acme", 0), ("beta", 1)]));

    let ledger = bench.store.ledgers_named("acme").await.unwrap()[0].0;
    let facts = bench
        .store
        .facts(ledger, november(), true, Landed::EVER)
        .await
        .unwrap();
    assert_eq!(facts.module_changes.len(), 1, "what says of modules stays");
    assert_eq!(bench.interactions("acme").await, count(2));
    let again = by_worker(&interaction("acme", "november"));
    assert_eq!(bench.report(vec![again]).await, [Verdict::Duplicate]);
    let since = bench.store.events_kept_since(ledger).await.unwrap();
    assert_eq!(since, at("2027-01-01T00:00:00Z"));
    let audit = bench.store.audit(ledger, 10).await.unwrap();
    assert_eq!(audit.len(), 2, "a line for each drop: {audit:?}");
    assert_eq!(bench.store.audit_of_provider(10).await.unwrap().len(), 2);
}

pub(super) async fn what_is_kept_beside_events_goes_with_them(bench: Bench) {
    make_months(&bench).await;
    account_kept_for(&bench, "acme", 35).await;
    account_kept_for(&bench, "beta", 70).await;
    for (month, recorded) in [("11", "2026-11-15T00:00:00Z"), ("12", "2026-12-15T00:00:00Z")] {
        for tenant in ["acme", "beta"] {
            let id = format!("{tenant}-{month}");
            let records = [
                usage_event(tenant, &id, "1"),
                usage_event(tenant, &id, "2"),
                usage_event(tenant, &format!("{id}-wrong"), "-1"),
            ];
            let records = records.map(|event| by_anyone(&event));
            bench.store.ingest(&records, at(recorded)).await.unwrap();
        }
    }
    let kept = async |tenant: &str| {
        let query = KeptQuery {
            tenant: Some(tenant.to_owned()),
            ..KeptQuery::default()
        };
        let kept = bench.store.kept(&query).await.unwrap();
        kept.into_iter()
            .map(|kept| (kept.reason, kept.at))
            .collect::<Vec<_>>()
    };
    assert_eq!((kept("acme").await.len(), kept("beta").await.len()), (4, 4));
    drop_at(&bench, "2027-01-05T00:00:00Z").await;
    let left = kept("acme").await;
    assert_eq!(left.len(), 2, "a conflict and a rejection: {left:?}");
    assert!(left.iter().all(|(_, at_)| *at_ == at("2026-12-15T00:00:00Z")));
    assert_eq!(kept("beta").await.len(), 4);
}

pub(super) async fn what_was_dropped_is_due_no_more_and_a_second_server_stands_back(bench: Bench) {
    make_months(&bench).await;
    account_kept_for(&bench, "acme", 35).await;
    record(&bench, "acme", "old", "2026-11-15T00:00:00Z").await;
    let now = at("2027-01-20T00:00:00Z");
    let plan = async || DropPlan::new(&bench.store.retention_rules().await.unwrap(), now);
    assert_eq!(plan().await.due.len(), 1);
    let held = bench.store.try_retention().await.unwrap().unwrap();
    if !matches!(bench.store, crate::store::Store::Sqlite(_)) {
        assert_eq!(
            drop_at(&bench, "2027-01-20T00:00:00Z").await,
            DroppedByRule::default()
        );
        assert_eq!(
            left(&bench).await,
            counts(&[("acme", 1)]),
            "another server does it"
        );
    }
    held.give_back().await;
    drop_at(&bench, "2027-01-20T00:00:00Z").await;
    assert_eq!(plan().await.due.len(), 0);
    assert_eq!(left(&bench).await, counts(&[("acme", 0)]));
}

pub(super) async fn events_of_a_disputed_bill_stay_and_those_of_other_tenants_go(bench: Bench) {
    make_months(&bench).await;
    bench.account("acme").await;
    for tenant in ["acme", "beta"] {
        account_kept_for(&bench, tenant, 35).await;
        record(&bench, tenant, "old", "2026-11-15T00:00:00Z").await;
    }
    let account = bench.store.account_of_uid(&uid("acme")).await.unwrap().unwrap();
    let (bill, _) = issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    let stored = bench
        .store
        .any_invoice(&bill.number.unwrap())
        .await
        .unwrap()
        .unwrap();
    act(&bench.store, &stored, Act::Dispute, "jo", "", now())
        .await
        .unwrap();
    drop_at(&bench, "2027-06-01T00:00:00Z").await;
    assert_eq!(left(&bench).await, counts(&[("acme", 1), ("beta", 0)]));
    act(&bench.store, &stored, Act::Resolve, "jo", "", now())
        .await
        .unwrap();
    drop_at(&bench, "2027-06-01T00:00:00Z").await;
    assert_eq!(left(&bench).await, counts(&[("acme", 0), ("beta", 0)]));
}

pub(super) async fn an_event_that_has_no_months_place_goes_as_well(bench: Bench) {
    make_months(&bench).await;
    account_kept_for(&bench, "acme", 35).await;
    record(&bench, "acme", "far", "2031-05-05T00:00:00Z").await;
    drop_at(&bench, "2031-06-20T00:00:00Z").await;
    assert_eq!(left(&bench).await, counts(&[("acme", 1)]));
    let dropped = drop_at(&bench, "2031-07-06T00:00:00Z").await;
    assert_eq!(dropped.events, 1);
    assert_eq!(left(&bench).await, counts(&[("acme", 0)]));
}
