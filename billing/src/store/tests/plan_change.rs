//! A change of plan within a month: each side is billed by its plan.

use springtide_proto::metering::UsageEvent;

use super::closing::{closed, issuer};
use super::service::{minute, take};
use super::support::*;
use crate::bill::document::Document;
use crate::bill::forecast::forecast;
use crate::bill::notes::{correct, credit_invoice};
use crate::bill::schedule::schedule_of;
use crate::bill::verify::{verify_chain, verify_tenant};
use crate::bill::{BillError, draft, issue};
use crate::digest::Digest;
use crate::export::billed_usage;
use crate::metering::decide::LedgerId;
use crate::rating::currency::Currency;
use crate::store::{
    Account, AccountDetails, ExclusionOutcome, NewExclusion, PlanVersion, PutPlan, Registration, Store,
    StoredInvoice,
};

/// A plan of one charge, with a fee that is prorated.
fn plan_of(name: &str, generation: i64, zone: &str, currency: &str, price: &str) -> PlanVersion {
    let spec = format!(
        r#"{{"charges":[{{"included":"3","meter":"interactions","model":"PerUnit","name":"answers","unitPrice":"{price}"}}],"currency":"{currency}","modules":[{{"monthlyFee":"300.00","name":"voice"}}],"timeZone":"{zone}"}}"#
    );
    let digest = Digest::of(spec.as_bytes());
    PlanVersion {
        name: name.into(),
        uid: format!("uid-of-{name}"),
        generation,
        spec,
        digest,
    }
}

async fn put(bench: &Bench, plan: &PlanVersion) -> PutPlan {
    bench
        .store
        .put_plan(plan, at("2026-10-01T00:00:00Z"))
        .await
        .unwrap()
}

async fn assign(bench: &Bench, plan: &str, time: &str) -> Registration {
    let details = AccountDetails {
        rate_plan: plan.into(),
        ..details("acme")
    };
    bench.store.register(&details, at(time)).await.unwrap()
}

async fn acme(bench: &Bench) -> Account {
    bench.store.account_of_uid(&uid("acme")).await.unwrap().unwrap()
}

async fn answer(bench: &Bench, turn: &str, time: &str) {
    let mut interaction = interaction("acme", turn);
    interaction.arrived_at = at(time);
    bench.report(vec![by_worker(&interaction)]).await;
}

/// On "one" of Shanghai since October, and on "two" of Berlin from 11 November on; with answers before and after.
async fn changed(bench: &Bench) -> Account {
    put(bench, &plan_of("one", 1, "Asia/Shanghai", "CNY", "1.00")).await;
    put(bench, &plan_of("two", 1, "Europe/Berlin", "CNY", "10.00")).await;
    assign(bench, "one", "2026-10-01T00:00:00Z").await;
    assign(bench, "two", "2026-11-10T12:00:00Z").await;
    for number in 0..8 {
        answer(
            bench,
            &format!("before-{number}"),
            "2026-11-10T22:59:59.999999999Z",
        )
        .await;
    }
    for number in 0..5 {
        answer(bench, &format!("after-{number}"), "2026-11-10T23:00:00Z").await;
    }
    acme(bench).await
}

fn shown(document: &Document) -> Vec<(&str, Option<&str>, &str)> {
    document
        .lines
        .iter()
        .map(|entry| {
            let plan = document.plan_behind(&entry.line).map(|plan| plan.name.as_str());
            (entry.line.name.as_str(), plan, entry.line.amount.as_str())
        })
        .collect()
}

pub(super) async fn each_side_of_a_change_is_billed_by_its_plan_corrected_by_it_and_verified(bench: Bench) {
    let account = changed(&bench).await;
    let drafted = draft(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    let (document, _) = issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    // Of 727 hours (Berlin ends it 7 hours later than Shanghai) 247 are before: one of three answers is free, and two after.
    let expected = [
        ("answers", Some("one"), "7.00"),
        ("voice", Some("one"), "101.93"),
        ("answers", Some("two"), "30.00"),
        ("voice", Some("two"), "198.07"),
    ];
    assert_eq!(shown(&document), expected);
    assert_eq!(shown(&drafted), expected);
    let plans: Vec<_> = document
        .plans
        .iter()
        .map(|plan| {
            (
                plan.name.as_str(),
                plan.generation,
                plan.from.to_string(),
                plan.to.to_string(),
            )
        })
        .collect();
    assert_eq!(
        plans,
        [
            (
                "one",
                1,
                "2026-10-31T16:00:00Z".into(),
                "2026-11-10T23:00:00Z".into()
            ),
            (
                "two",
                1,
                "2026-11-10T23:00:00Z".into(),
                "2026-11-30T23:00:00Z".into()
            ),
        ]
    );
    let stored = bench
        .store
        .invoice_of_period(account.ledger, "2026-11")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored.bounds.end, at("2026-11-30T23:00:00Z"));
    for name in ["one", "two"] {
        let other = plan_of(name, 1, "UTC", "CNY", "5.00");
        assert_eq!(put(&bench, &other).await, PutPlan::Changed, "a bill used {name}");
        let edited = PlanVersion {
            generation: 2,
            ..other
        };
        assert_eq!(put(&bench, &edited).await, PutPlan::Changed);
    }

    late_usage_is_corrected(&bench, &account, &document, &stored).await;
}

async fn late_usage_is_corrected(
    bench: &Bench,
    account: &Account,
    document: &Document,
    stored: &StoredInvoice,
) {
    // What comes later, by the versions of the bill, on both sides.
    answer(bench, "late-before", "2026-11-01T00:00:00Z").await;
    answer(bench, "late-after", "2026-11-30T22:59:59Z").await;
    answer(bench, "december", "2026-11-30T23:00:00Z").await;
    assign(bench, "one", "2026-11-20T12:00:00Z").await;
    let note = correct(&bench.store, account, november_period(), issuer())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        shown(&note),
        [
            ("answers", Some("one"), "1.00"),
            ("answers", Some("two"), "10.00")
        ]
    );
    assert_eq!(note.plans, document.plans);
    let again = correct(&bench.store, account, november_period(), issuer())
        .await
        .unwrap();
    assert_eq!(again, None, "it is corrected");
    let december = draft(
        &bench.store,
        account,
        "2026-12".parse().unwrap(),
        at("2027-01-05T00:00:00Z"),
    )
    .await
    .unwrap();
    assert_eq!(
        december.period_start, document.period_end,
        "no hour is lost or billed twice"
    );
    assert_eq!(counted_of(&december.lines[0].line), count(1));
    assert_eq!(verify_tenant(&bench.store, account, now()).await.unwrap(), []);
    credit_invoice(&bench.store, account, stored, issuer())
        .await
        .unwrap();
    assert_eq!(verify_tenant(&bench.store, account, now()).await.unwrap(), []);
    assert_eq!(verify_chain(&bench.store).await.unwrap(), (3, Vec::new()));
}

pub(super) async fn assignments_are_kept_and_the_same_plan_again_is_none(bench: Bench) {
    let account = changed(&bench).await;
    assign(&bench, "two", "2026-11-12T00:00:00Z").await;
    // By the clock of Shanghai it is the thirteenth.
    assign(&bench, "one", "2026-11-12T20:00:00Z").await;
    assign(&bench, "two", "2026-11-12T20:00:01Z").await;
    let kept = bench.store.assignments(account.ledger).await.unwrap();
    let shown: Vec<_> = kept
        .iter()
        .map(|one| (one.plan.as_str(), one.from.to_string(), one.recorded_by.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            ("one", "2026-10-01".into(), "operator"),
            ("two", "2026-11-11".into(), "operator"),
            ("one", "2026-11-14".into(), "operator"),
            ("two", "2026-11-13".into(), "operator"),
        ]
    );
    assert_eq!(kept[1].recorded_at, at("2026-11-10T12:00:00Z"));
    assert_eq!(acme(&bench).await.details.rate_plan, "two");
    let schedule = schedule_of(&bench.store, &account).await.unwrap();
    let names: Vec<_> = schedule
        .parts(november_period())
        .unwrap()
        .iter()
        .map(|part| part.known.version.name.clone())
        .collect();
    assert_eq!(
        names,
        ["one", "two"],
        "what was taken back on its day never counted"
    );
    let all = bench.store.all_assignments().await.unwrap();
    assert_eq!(all[&account.ledger], kept);
}

pub(super) async fn a_plan_of_another_currency_begins_only_with_a_month(bench: Bench) {
    let account = changed(&bench).await;
    put(&bench, &plan_of("dollars", 1, "UTC", "USD", "1.00")).await;
    let (from, to) = (
        Currency::from_code("CNY").unwrap(),
        Currency::from_code("USD").unwrap(),
    );
    assert_eq!(
        assign(&bench, "dollars", "2026-11-20T12:00:00Z").await,
        Registration::OtherCurrency {
            from,
            to,
            date: jiff::civil::date(2026, 11, 21)
        }
    );
    assert_eq!(
        acme(&bench).await.details.rate_plan,
        "two",
        "nothing was recorded"
    );
    assert_eq!(
        assign(&bench, "dollars", "2026-11-30T12:00:00Z").await,
        Registration::Done
    );
    let of = async |period: &str| {
        let document = draft(&bench.store, &account, period.parse().unwrap(), now())
            .await
            .unwrap();
        (document.currency, document.period_start.to_string())
    };
    assert_eq!(of("2026-11").await, ("CNY".into(), "2026-10-31T16:00:00Z".into()));
    assert_eq!(of("2026-12").await, ("USD".into(), "2026-12-01T00:00:00Z".into()));
    // A plan that comes after its assignment is seen only when it is rated.
    assign(&bench, "later", "2026-12-09T12:00:00Z").await;
    put(&bench, &plan_of("later", 1, "UTC", "CNY", "1.00")).await;
    let refused = draft(&bench.store, &account, "2026-12".parse().unwrap(), now()).await;
    assert!(matches!(refused, Err(BillError::Rating(_))), "{refused:?}");
}

pub(super) async fn a_month_that_was_billed_early_keeps_its_bounds_and_the_next_adjoins_it(bench: Bench) {
    put(&bench, &plan_of("one", 1, "Asia/Shanghai", "CNY", "1.00")).await;
    put(&bench, &plan_of("two", 1, "Europe/Berlin", "CNY", "10.00")).await;
    assign(&bench, "one", "2026-10-01T00:00:00Z").await;
    let account = acme(&bench).await;
    let early = at("2026-11-20T00:00:00Z");
    let (bill, _) = issue(&bench.store, &account, november_period(), early)
        .await
        .unwrap();
    assign(&bench, "two", "2026-11-21T00:00:00Z").await;
    let december = draft(&bench.store, &account, "2026-12".parse().unwrap(), now())
        .await
        .unwrap();
    assert_eq!(bill.period_end, at("2026-11-30T16:00:00Z"));
    assert_eq!(
        (december.period_start, december.plans[0].name.as_str()),
        (bill.period_end, "two")
    );
    assert_eq!(verify_tenant(&bench.store, &account, now()).await.unwrap(), []);
}

pub(super) async fn a_forecast_goes_on_by_the_plan_that_is_to_come(bench: Bench) {
    changed(&bench).await;
    let account = acme(&bench).await;
    // Eight answers so far, one of them free; all later ones are of plan two, whatever it is that they come to.
    let then = at("2026-11-10T22:45:00Z");
    let schedule = schedule_of(&bench.store, &account).await.unwrap();
    let forecast = forecast(&bench.store, &account, &schedule, november_period(), then)
        .await
        .unwrap()
        .unwrap();
    let total: f64 = forecast.total.parse().unwrap();
    let expected = forecast.quantities["interactions"]
        .to_string()
        .parse::<f64>()
        .unwrap();
    assert!(expected > 100.0, "the month goes on: {expected}");
    assert!(
        (total - (7.0 + 300.0 + 10.0 * (expected - 8.0 - 2.0))).abs() < 1.0,
        "{forecast:?}"
    );
}

pub(super) async fn usage_of_a_meter_that_left_the_plan_is_not_among_what_its_bill_is_computed_from(
    bench: Bench,
) {
    let with_storage = PlanVersion {
        spec: r#"{"charges":[{"meter":"storage_gb","model":"PerUnit","name":"storage","unitPrice":"1.00"}],"currency":"CNY","timeZone":"UTC"}"#
            .into(),
        ..plan_of("before", 1, "UTC", "CNY", "1.00")
    };
    put(&bench, &with_storage).await;
    put(&bench, &plan_of("now", 1, "UTC", "CNY", "1.00")).await;
    assign(&bench, "before", "2026-10-01T00:00:00Z").await;
    assign(&bench, "now", "2026-10-31T12:00:00Z").await;
    let stored = |id: &str, time: &str| UsageEvent {
        meter: "storage_gb".into(),
        dimensions: Vec::new(),
        ..module_event("acme", id, "3", time)
    };
    let (before, later) = (
        stored("one", "2026-10-20T00:00:00Z"),
        stored("two", "2026-11-20T00:00:00Z"),
    );
    bench.report(vec![by_anyone(&before), by_anyone(&later)]).await;
    let account = acme(&bench).await;
    let rows = async |period: &str| {
        let billed = billed_usage(&bench.store, &account, period.parse().unwrap()).await;
        billed.unwrap().usage.len()
    };
    assert_eq!((rows("2026-10").await, rows("2026-11").await), (1, 0));
}

pub(super) async fn a_forecast_charges_no_module_that_was_dropped(bench: Bench) {
    changed(&bench).await;
    let account = acme(&bench).await;
    let then = at("2026-11-10T22:45:00Z");
    let total = async || {
        let schedule = schedule_of(&bench.store, &account).await.unwrap();
        let made = forecast(&bench.store, &account, &schedule, november_period(), then).await;
        made.unwrap().unwrap().total.parse::<f64>().unwrap()
    };
    let taken = total().await;
    let dropped = module_event("acme", "dropped", "0", "2026-10-20T00:00:00Z");
    bench.report(vec![by_anyone(&dropped)]).await;
    assert!((taken - total().await - 300.0).abs() < 0.005, "{taken}");
}

/// Accounts whose bills are issued in one transaction.
const TOGETHER: usize = 24;

pub(super) async fn an_exclusion_that_was_accepted_is_on_the_bill_whenever_it_came(bench: Bench) {
    let mut accounts = Vec::new();
    put(&bench, &plan(1, "0.10")).await;
    for tenant in 0..TOGETHER {
        let tenant = format!("tenant-{tenant}");
        let early = at("2026-10-05T00:00:00Z");
        bench.store.register(&details(&tenant), early).await.unwrap();
        take(
            &bench.store,
            &tenant,
            vec![minute("a", "2026-11-11T00:00:00Z", 10, 0)],
        )
        .await;
        let account = bench.store.account_of_uid(&uid(&tenant)).await.unwrap().unwrap();
        accounts.push(account);
    }
    let ledgers: Vec<_> = accounts.iter().map(|account| account.ledger).collect();
    let excluding = tokio::spawn(exclude_until_issued(bench.store.clone(), ledgers));
    let report = closed(&bench.store, true).await;
    assert_eq!(usize::try_from(report.issued).unwrap(), TOGETHER, "{report:?}");
    let accepted = excluding.await.unwrap();
    for (account, accepted) in accounts.iter().zip(accepted) {
        let bill = bench
            .store
            .invoice_of_period(account.ledger, "2026-11")
            .await
            .unwrap()
            .unwrap();
        let service = crate::bill::read(&bill).unwrap().service.unwrap();
        assert_eq!(
            service.exclusions.len(),
            accepted,
            "{}",
            account.details.party.tenant
        );
    }
}

/// Records one exclusion after the other of each ledger until its bill is there; how many were accepted of each.
async fn exclude_until_issued(store: Store, ledgers: Vec<LedgerId>) -> Vec<usize> {
    let exclusion = NewExclusion {
        from: at("2026-11-03T18:00:00Z"),
        to: at("2026-11-03T20:00:00Z"),
        reason: "maintenance".into(),
        approver: "ops".into(),
    };
    let mut accepted = vec![0; ledgers.len()];
    let mut open: Vec<_> = ledgers.into_iter().enumerate().collect();
    while !open.is_empty() {
        let mut left = Vec::new();
        for (place, ledger) in open {
            if let ExclusionOutcome::Done(_) = store.exclude(ledger, &exclusion, now()).await.unwrap() {
                accepted[place] += 1;
                left.push((place, ledger));
            }
        }
        open = left;
    }
    accepted
}
