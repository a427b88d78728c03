//! Bills priced again: what was changed with all that hangs on it is found, and what came after a bill is not.

use jiff::{SignedDuration, Timestamp};
use springtide_runtime::clock::ManualClock;

use super::closing::{change, early, issuer};
use super::forge::forge;
use super::service::{minute, take};
use super::support::*;
use crate::bill::document::Document;
use crate::bill::issue::Issuer;
use crate::bill::notes::{correct, credit_invoice};
use crate::bill::verify::{Repricing, verify_chain, verify_settled, verify_tenant};
use crate::bill::{audit, issue};
use crate::export::{minutes_of_bill, usage_of_bill};
use crate::locale::Locale;
use crate::metrics::Metrics;
use crate::rating::number::Exact;
use crate::rating::rate::Rule;
use crate::store::{Account, AccountDetails, Store};

/// Answers, a module, and a service level.
const SPEC: &str = r#"{"currency":"CNY","timeZone":"Asia/Shanghai",
    "charges":[{"name":"answers","meter":"interactions","model":"PerUnit","unitPrice":"0.10"}],
    "modules":[{"name":"voice","monthlyFee":"300.00"}],
    "sla":{"availability":{"objective":"99.9","slice":"5m","badShare":"0.05","minimumRequests":1,"noData":"Up",
        "credits":[{"below":"99.9","percent":"10"}]}},
    "tax":{"name":"VAT","percent":"6"}}"#;
/// Answers that cost more in the evening.
const BY_THE_CLOCK: &str = r#"{"currency":"CNY","timeZone":"Asia/Shanghai",
    "charges":[{"name":"answers","meter":"interactions","model":"PerUnit","unitPrice":"0.10"}],
    "surcharges":[{"name":"evening","charge":"answers","unitPrice":"0.02","windows":[{"from":"20:00","to":"24:00"}]}]}"#;

async fn found(store: &Store, account: &Account) -> Vec<String> {
    let drift = verify_tenant(store, account, now()).await.unwrap();
    drift.iter().map(ToString::to_string).collect()
}

async fn agree(bench: &Bench, account: &Account, after: &str) {
    assert_eq!(
        found(&bench.store, account).await,
        Vec::<String>::new(),
        "{after}"
    );
}

async fn read_back(bench: &Bench, tenant: &str) -> Account {
    bench.store.account_of_uid(&uid(tenant)).await.unwrap().unwrap()
}

/// An account since October with a plan of its own.
async fn with_plan(bench: &Bench, tenant: &str, spec: &str) -> Account {
    bench.register_with_plan(tenant, spec).await;
    read_back(bench, tenant).await
}

async fn issued(bench: &Bench, account: &Account, at: Timestamp) -> Document {
    issue(&bench.store, account, november_period(), at)
        .await
        .unwrap()
        .0
}

async fn corrected(bench: &Bench, account: &Account, at: Timestamp) -> Document {
    let issuer = Issuer { now: at, ..issuer() };
    let note = correct(&bench.store, account, november_period(), issuer).await;
    note.unwrap().expect("something differs")
}

fn later(minutes: i64) -> Timestamp {
    now().checked_add(SignedDuration::from_mins(minutes)).unwrap()
}

fn priced(amount: &'static str) -> impl Fn(&mut Document) {
    move |document| amount.clone_into(&mut document.lines[0].line.amount)
}

pub(super) async fn an_amount_that_was_changed_with_all_that_hangs_on_it_is_found_with_both_figures(
    bench: Bench,
) {
    let account = early(&bench, "acme").await;
    bench.report(vec![by_worker(&interaction("acme", "t1"))]).await;
    let bill = issued(&bench, &account, now()).await.number.unwrap();
    let late = ["t2", "t3"].map(|turn| by_worker(&interaction("acme", turn)));
    bench.report(late.into()).await;
    let note = corrected(&bench, &account, now()).await.number.unwrap();
    let is_found = async |expected: &[&str]| {
        assert_eq!(verify_chain(&bench.store).await.unwrap().1, []);
        assert_eq!(found(&bench.store, &account).await, expected);
    };
    is_found(&[]).await;

    forge(&bench, &bill, priced("0.20")).await;
    // What the note takes from the whole month is what stands before it.
    is_found(&[
        "acme 2026-11 SPT-2026-000001 answers: rated 0.10, invoice 0.20",
        "acme 2026-11 SPT-2026-000001 total: rated 0.10, invoice 0.20",
        "acme 2026-11 SPT-2026-000002 answers: rated 0.10, invoice 0.20",
        "acme 2026-11 SPT-2026-000002 total: rated 0.10, invoice 0.20",
    ])
    .await;
    forge(&bench, &bill, priced("0.10")).await;
    is_found(&[]).await;

    forge(&bench, &note, priced("0.30")).await;
    is_found(&[
        "acme 2026-11 SPT-2026-000002 answers: rated 0.20, invoice 0.30",
        "acme 2026-11 SPT-2026-000002 total: rated 0.20, invoice 0.30",
    ])
    .await;
    forge(&bench, &note, priced("0.20")).await;

    let stored = bench.store.any_invoice(&bill).await.unwrap().unwrap();
    let credit = credit_invoice(&bench.store, &account, &stored, issuer())
        .await
        .unwrap();
    is_found(&[]).await;
    forge(&bench, &credit.number.unwrap(), priced("-0.10")).await;
    is_found(&[
        "acme 2026-11 SPT-2026-000003 answers: rated -0.30, invoice -0.10",
        "acme 2026-11 SPT-2026-000003 total: rated -0.30, invoice -0.10",
    ])
    .await;
}

pub(super) async fn a_rule_that_was_changed_and_a_plan_that_is_not_as_it_was_are_found(bench: Bench) {
    let account = early(&bench, "acme").await;
    bench.report(vec![by_worker(&interaction("acme", "t1"))]).await;
    let bill = issued(&bench, &account, now()).await.number.unwrap();
    let free = |free: i128| {
        move |document: &mut Document| match &mut document.lines[0].line.rule {
            Rule::Charge { included, .. } => *included = Exact::new(free, 0),
            other => panic!("no charge: {other:?}"),
        }
    };
    forge(&bench, &bill, free(5)).await;
    let expected = "acme 2026-11 SPT-2026-000001 answers, included: rated 0, invoice 5";
    assert_eq!(found(&bench.store, &account).await, [expected]);
    forge(&bench, &bill, free(0)).await;
    agree(&bench, &account, "it is as it was").await;

    let dearer = r#"UPDATE rate_plan SET spec = replace(spec, '"0.10"', '"0.20"')"#;
    change(&bench.store, dearer).await.unwrap();
    forge(&bench, &bill, priced("0.20")).await;
    let drift = found(&bench.store, &account).await;
    assert_eq!(drift.len(), 1, "{drift:?}");
    assert!(
        drift[0]
            .starts_with("acme 2026-11 SPT-2026-000001 price: rated the version of rate plan \"standard\""),
        "{drift:?}"
    );
}

pub(super) async fn what_comes_after_a_bill_or_a_note_is_no_drift_of_it(bench: Bench) {
    let account = with_plan(&bench, "acme", SPEC).await;
    let served = async |boot: &str, time: &str, bad| {
        take(&bench.store, "acme", vec![minute(boot, time, 10, bad)]).await
    };
    bench.report(vec![by_worker(&interaction("acme", "t1"))]).await;
    let first = "2026-11-11T00:00:00Z";
    assert_eq!(served("a", first, 0).await.len(), 1);
    let bill = issued(&bench, &account, now()).await;
    agree(&bench, &account, "the bill").await;
    let (usage, minutes) = (
        usage_of_bill(&bench.store, &account, &bill).await.unwrap(),
        minutes_of_bill(&bench.store, &account, &bill).await.unwrap(),
    );
    assert_eq!((usage.usage.len(), minutes.len()), (1, 1));

    bench.report(vec![by_worker(&interaction("acme", "t2"))]).await;
    // In the same hour of the same gateway, and in the same minute of another.
    served("a", "2026-11-11T00:05:00Z", 0).await;
    served("b", first, 10).await;
    let dropped = module_event("acme", "dropped", "0", "2026-11-10T16:00:00Z");
    bench
        .store
        .ingest(&[by_anyone(&dropped)], later(90))
        .await
        .unwrap();
    let english = AccountDetails {
        locale: Locale::En,
        legal_name: "Acme Ltd".into(),
        ..account.details.clone()
    };
    bench.store.register(&english, later(91)).await.unwrap();
    bench.store.close_account(&uid("acme"), later(92)).await.unwrap();
    let account = read_back(&bench, "acme").await;
    agree(&bench, &account, "what came after it").await;
    assert_eq!(usage_of_bill(&bench.store, &account, &bill).await.unwrap(), usage);
    assert_eq!(
        minutes_of_bill(&bench.store, &account, &bill).await.unwrap(),
        minutes
    );

    let note = corrected(&bench, &account, later(93)).await;
    let names: Vec<_> = note.lines.iter().map(|entry| entry.line.name.as_str()).collect();
    assert_eq!(names, ["answers", "voice", "service credit", "VAT"]);
    agree(&bench, &account, "a note on it").await;
    served("a", "2026-11-11T00:10:00Z", 9).await;
    let taken = module_event("acme", "taken", "1", "2026-11-20T16:00:00Z");
    bench
        .store
        .ingest(&[by_anyone(&taken)], later(200))
        .await
        .unwrap();
    agree(&bench, &account, "what came after the note").await;
    corrected(&bench, &account, later(201)).await;
    agree(&bench, &account, "a note after a note").await;
    let stored = bench
        .store
        .any_invoice(&bill.number.unwrap())
        .await
        .unwrap()
        .unwrap();
    credit_invoice(&bench.store, &account, &stored, issuer())
        .await
        .unwrap();
    bench.report(vec![by_worker(&interaction("acme", "t3"))]).await;
    agree(&bench, &account, "all of it taken back").await;
    assert_eq!(verify_chain(&bench.store).await.unwrap(), (4, Vec::new()));
}

pub(super) async fn a_bill_of_a_month_that_ran_on_comes_out_as_of_its_issue(bench: Bench) {
    let account = with_plan(&bench, "acme", SPEC).await;
    bench.report(vec![by_worker(&interaction("acme", "t1"))]).await;
    take(
        &bench.store,
        "acme",
        vec![minute("a", "2026-11-11T00:00:00Z", 10, 0)],
    )
    .await;
    let bill = issued(&bench, &account, at("2026-11-20T00:00:00Z")).await;
    take(
        &bench.store,
        "acme",
        vec![minute("a", "2026-11-21T00:00:00Z", 10, 0)],
    )
    .await;
    bench
        .store
        .close_account(&uid("acme"), at("2026-11-25T00:00:00Z"))
        .await
        .unwrap();
    let account = read_back(&bench, "acme").await;
    agree(&bench, &account, "it went on, and its contract ended").await;
    let note = corrected(&bench, &account, now()).await;
    assert!(
        note.lines.iter().any(|entry| entry.line.part.is_some()),
        "of a part of the month"
    );
    assert_ne!(note.service, bill.service);
    agree(&bench, &account, "a note on all of it").await;
}

pub(super) async fn what_was_recorded_around_a_bill_may_be_on_it_or_not(bench: Bench) {
    let mut accounts = Vec::new();
    for (tenant, before, recorded, total) in [
        // By a clock that is ahead, or while the run that issued it was going on.
        ("ahead", true, later(30), "106.00"),
        // By one that is behind.
        ("behind", false, later(-30), "318.00"),
        // Both know when.
        ("before", true, later(-120), "106.00"),
        ("wrong", false, later(-120), "318.00"),
    ] {
        let account = with_plan(&bench, tenant, &SPEC.replace("0.10", "0.00")).await;
        let dropped = by_anyone(&module_event(tenant, "dropped", "0", "2026-11-10T16:00:00Z"));
        if before {
            bench
                .store
                .ingest(std::slice::from_ref(&dropped), recorded)
                .await
                .unwrap();
        }
        assert_eq!(issued(&bench, &account, now()).await.total, total, "{tenant}");
        if !before {
            bench.store.ingest(&[dropped], recorded).await.unwrap();
        }
        accounts.push(account);
    }
    let wrong = accounts.pop().unwrap();
    for account in &accounts {
        agree(&bench, account, account.details.party.tenant.as_str()).await;
    }
    assert_eq!(
        found(&bench.store, &wrong).await,
        [
            "wrong 2026-11 SPT-2026-000004 voice: rated 100.00, invoice 300.00",
            "wrong 2026-11 SPT-2026-000004 VAT: rated 6.00, invoice 18.00",
            "wrong 2026-11 SPT-2026-000004 total: rated 106.00, invoice 318.00",
        ]
    );
}

pub(super) async fn other_time_zone_data_are_no_drift_but_where_local_times_matter_not_comparable(
    bench: Bench,
) {
    let (plain, by_clock) = (
        early(&bench, "plain").await,
        with_plan(&bench, "clock", BY_THE_CLOCK).await,
    );
    for account in [&plain, &by_clock] {
        let tenant = account.details.party.tenant.as_str();
        bench.report(vec![by_worker(&interaction(tenant, "t1"))]).await;
        let number = issued(&bench, account, now()).await.number.unwrap();
        forge(&bench, &number, |document| {
            "2000a".clone_into(&mut document.time_zone_data);
        })
        .await;
    }
    let looked = async |account: &Account| {
        let found = verify_settled(&bench.store, account, now(), Repricing::All)
            .await
            .unwrap();
        let said: Vec<_> = found.drift.iter().map(ToString::to_string).collect();
        (said, found.not_comparable.len(), found.priced)
    };
    for account in [&plain, &by_clock] {
        assert_eq!(
            looked(account).await,
            (Vec::new(), 0, 1),
            "it comes out all the same"
        );
    }
    forge(&bench, "SPT-2026-000001", priced("0.20")).await;
    forge(&bench, "SPT-2026-000002", priced("0.20")).await;
    let (drift, not_comparable, _) = looked(&plain).await;
    assert_eq!((drift.len(), not_comparable), (2, 0), "{drift:?}");
    assert_eq!(looked(&by_clock).await, (Vec::new(), 1, 1));
    let said = verify_settled(&bench.store, &by_clock, now(), Repricing::All)
        .await
        .unwrap();
    let said = said.not_comparable[0].to_string();
    assert!(
        said.starts_with("clock 2026-11 SPT-2026-000002 ") && said.contains("2000a"),
        "{said}"
    );
}

pub(super) async fn the_audit_that_goes_on_prices_recent_bills_again_and_all_while_there_is_drift(
    bench: Bench,
) {
    let account = early(&bench, "acme").await;
    bench.report(vec![by_worker(&interaction("acme", "t1"))]).await;
    let number = issued(&bench, &account, now()).await.number.unwrap();
    forge(&bench, &number, priced("0.20")).await;
    let clock = ManualClock::new(at("2027-03-05T00:00:00Z"));
    let metrics = Metrics::default();
    let figures = async || {
        audit::one(&bench.store, &account, &clock, &metrics)
            .await
            .unwrap()
            .len()
    };
    assert_eq!(figures().await, 0, "it is old");
    // The last day of the month after it.
    clock.set(at("2026-12-31T15:59:59Z"));
    assert_eq!(figures().await, 2);
    clock.set(at("2027-03-05T00:00:00Z"));
    assert_eq!(figures().await, 2, "what was found does not end by growing old");
    assert!(bench.store.drift(account.ledger).await.unwrap().is_some());
    forge(&bench, &number, priced("0.10")).await;
    assert_eq!(figures().await, 0);
    assert_eq!(bench.store.drift(account.ledger).await.unwrap(), None);
}
