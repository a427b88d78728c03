//! Bills of random plans and changes of plan, usage and service: the same on both databases to the last digit, and what a naive computation
//! from the contract's text says.

mod cases;
mod naive;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use prost::Message as _;
use serde_json::Value;
use springtide_proto::ids::{BootId, PodName, PoolId, TenantId};
use springtide_proto::metering::{Delivery, Dimension, Record, UsageEvent, Witness};
use springtide_proto::time::timestamp_to_wire;
use springtide_runtime::identity::TenantRole;

use super::closing::issuer;
use super::support::*;
use crate::bill::document::Document;
use crate::bill::issue;
use crate::bill::issue::Issuer;
use crate::bill::notes::correct;
use crate::bill::verify::verify_tenant;
use crate::digest::{Digest, canonical_json};
use crate::metering::examine::{Reporter, examine};
use crate::metering::report::{Examined, Verdict};
use crate::rating::period::{Period, first_instant_of, zone_named};
use crate::service_level::hour::Counts;
use crate::service_level::report::{MinutesReport, ReportedMinute};
use crate::store::{AccountDetails, ExclusionOutcome, NewExclusion, PlanVersion, PutPlan, Registration};
use cases::{Case, CaseEvent};

/// How many cases are drawn, unless `SPRINGTIDE_RANDOM_BILLS` says another number.
const CASES: usize = 300;
/// Tenants that share a batch of usage.
const TOGETHER: usize = 100;
/// Numbers of events that come after the bill.
const LATE: usize = 1_000;

fn cases() -> Vec<Case> {
    let number = std::env::var("SPRINGTIDE_RANDOM_BILLS").map_or(CASES, |text| text.parse().unwrap());
    // Each run draws others; what failed is printed whole.
    let seed = random().to_le_bytes();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed, seed].concat());
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = cases::case();
    (0..number)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect()
}

/// The bills of the cases, each of a tenant of its own.
async fn bills(bench: &Bench, cases: &[Case]) -> Vec<Document> {
    let mut documents = Vec::new();
    for (group, cases) in cases.chunks(TOGETHER).enumerate() {
        let names: Vec<_> = (0..cases.len())
            .map(|case| format!("case-{group}-{case}"))
            .collect();
        let mut records = Vec::new();
        for (name, case) in names.iter().zip(cases) {
            for (number, (from, plan)) in case.plans.iter().enumerate() {
                assign(bench, name, (number, case.registered), *from, plan).await;
            }
            if let Some(closed) = case.closed {
                assert!(bench.store.close_account(&uid(name), closed).await.unwrap());
            }
            exclude(bench, name, case).await;
            for (number, event) in case.events.iter().enumerate() {
                records.push(report_of(name, number, event));
            }
            let modules = case.modules.iter().enumerate();
            records.extend(modules.map(|(number, change)| report_of_module(name, number, change)));
            if !case.minutes.is_empty() {
                bench
                    .store
                    .take_minutes(&minutes_of(name, case))
                    .await
                    .unwrap()
                    .unwrap();
            }
        }
        for batch in records.chunks(10_000) {
            for verdict in bench.store.ingest(batch, afterwards()).await.unwrap() {
                assert_eq!(verdict, Verdict::Accepted);
            }
        }
        for (name, case) in names.iter().zip(cases) {
            let account = bench.store.account_of_uid(&uid(name)).await.unwrap().unwrap();
            let (document, _) = issue(&bench.store, &account, period_of(case), afterwards())
                .await
                .unwrap();
            documents.push(document);
            agrees(bench, name, case).await;
        }
    }
    documents
}

/// The bill, and a note on half of its usage once more that came late, come out again when they are priced again.
async fn agrees(bench: &Bench, name: &str, case: &Case) {
    let account = bench.store.account_of_uid(&uid(name)).await.unwrap().unwrap();
    let late = case.events.iter().step_by(2).enumerate();
    let late: Vec<_> = late
        .map(|(number, event)| report_of(name, LATE + number, event))
        .collect();
    bench.store.ingest(&late, afterwards()).await.unwrap();
    let issuer = Issuer {
        now: afterwards(),
        ..issuer()
    };
    correct(&bench.store, &account, period_of(case), issuer)
        .await
        .unwrap();
    let drift = verify_tenant(&bench.store, &account, afterwards()).await.unwrap();
    assert_eq!(drift, [], "{case:#?}");
}

/// Puts a plan, and assigns it in time to count from a date on; the first one when the contract begins.
async fn assign(
    bench: &Bench,
    tenant: &str,
    (number, registered): (usize, Timestamp),
    from: Date,
    plan: &Value,
) {
    let (zone, spec) = (plan["timeZone"].as_str().unwrap(), canonical_json(plan));
    let name = format!("{tenant}-{number}");
    let before = if number == 0 {
        registered
    } else {
        let midnight = first_instant_of(from, &zone_named(zone).unwrap()).unwrap();
        midnight - SignedDuration::from_nanos(1)
    };
    let version = PlanVersion {
        name: name.clone(),
        uid: name.clone(),
        generation: 1,
        digest: Digest::of(spec.as_bytes()),
        spec,
    };
    assert_eq!(
        bench.store.put_plan(&version, before).await.unwrap(),
        PutPlan::Stored
    );
    let details = AccountDetails {
        rate_plan: name,
        ..details(tenant)
    };
    let registration = bench.store.register(&details, before).await.unwrap();
    assert_eq!(registration, Registration::Done);
}

async fn exclude(bench: &Bench, name: &str, case: &Case) {
    let account = bench.store.account_of_uid(&uid(name)).await.unwrap().unwrap();
    for (from, to) in &case.exclusions {
        let exclusion = NewExclusion {
            from: *from,
            to: *to,
            reason: "maintenance".into(),
            approver: "jo".into(),
        };
        let done = bench
            .store
            .exclude(account.ledger, &exclusion, afterwards())
            .await;
        assert!(matches!(done, Ok(ExclusionOutcome::Done(_))), "{done:?}");
    }
}

fn period_of(case: &Case) -> Period {
    Period::of_date(case.month).unwrap()
}

/// When all of it is over.
fn afterwards() -> Timestamp {
    at("2028-03-05T00:00:00Z")
}

fn report_of(name: &str, number: usize, event: &CaseEvent) -> Examined {
    let dimension = |(key, value): (&&str, &&str)| Dimension {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
    };
    let usage = UsageEvent {
        meter: event.meter.to_owned(),
        event_time: Some(timestamp_to_wire(event.time)),
        dimensions: event.dimensions.iter().map(dimension).collect(),
        ..usage_event(name, &format!("event-{number}"), &event.quantity)
    };
    examined(name, &usage)
}

fn report_of_module(name: &str, number: usize, (at, module, active): &(Timestamp, &str, bool)) -> Examined {
    let quantity = if *active { "1" } else { "0" };
    let event = module_event(name, &format!("module-{number}"), quantity, &at.to_string());
    let dimension = Dimension {
        key: "module".into(),
        value: (*module).to_owned(),
    };
    let usage = UsageEvent {
        dimensions: vec![dimension],
        ..event
    };
    examined(name, &usage)
}

fn examined(name: &str, usage: &UsageEvent) -> Examined {
    let record = Record {
        usage_event: usage.encode_to_vec().into(),
        witness: Witness::Worker.into(),
        delivery: Delivery::Unspecified.into(),
        reporter: "worker".into(),
        boot_id: "boot".into(),
    };
    let peer = Reporter {
        tenant: TenantId::parse(name).unwrap(),
        role: Some(TenantRole::Worker),
    };
    examine(record, &peer, afterwards())
}

fn minutes_of(name: &str, case: &Case) -> MinutesReport {
    let minute = |&(at, counts): &(Timestamp, Counts)| {
        let hour = at.as_second().div_euclid(3_600) * 3_600;
        Ok(ReportedMinute {
            pool: PoolId::parse("web").unwrap(),
            boot_id: BootId::parse("boot").unwrap(),
            hour,
            minute: usize::try_from((at.as_second() - hour) / 60).unwrap(),
            counts,
        })
    };
    MinutesReport {
        party: details(name).party,
        reporter: PodName::parse("gateway").unwrap(),
        is_probe: false,
        minutes: case.minutes.iter().map(minute).collect(),
    }
}

/// What a bill says, without what depends on the order in which bills were issued.
fn content(document: &Document) -> String {
    let mut plain = document.to_json();
    for field in ["number", "previousDigest", "digest"] {
        plain[field] = Value::Null;
    }
    canonical_json(&plain)
}

fn agrees_with_naive(case: &Case, document: &Document) {
    let exponent = usize::try_from(naive::exponent(&case.plans[0].1)).unwrap();
    let minor = |amount: &str| {
        let digits: i128 = amount.replace('.', "").parse().unwrap();
        assert_eq!(
            amount.split_once('.').map_or(0, |(_, places)| places.len()),
            exponent
        );
        digits
    };
    let lines = document
        .lines
        .iter()
        .map(|line| (line.line.kind().to_owned(), minor(&line.line.amount)));
    let (expected, total) = naive::bill(case);
    assert_eq!(lines.collect::<Vec<_>>(), expected, "{case:#?}");
    assert_eq!(minor(&document.total), total, "{case:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_bills_are_what_the_contract_says_and_the_same_on_both_databases() {
    let cases = cases();
    let on_sqlite = bills(&Bench::sqlite().await, &cases).await;
    for (case, document) in cases.iter().zip(&on_sqlite) {
        agrees_with_naive(case, document);
    }
    let Some(postgres) = Bench::postgres().await else {
        return;
    };
    let on_postgres = bills(&postgres, &cases).await;
    for (one, other) in on_sqlite.iter().zip(&on_postgres) {
        assert_eq!(content(one), content(other));
    }
}
