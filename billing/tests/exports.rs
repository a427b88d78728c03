//! What a client firm takes away, by the program itself: from plan and usage it computes its bill again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jiff::Timestamp;
use prost::Message as _;
use serde_json::Value;
use springtide_billing::bill::document::Document;
use springtide_billing::bill::{draft, issue};
use springtide_billing::digest::{Digest, canonical_json};
use springtide_billing::locale::Locale;
use springtide_billing::metering::examine::{Reporter, examine};
use springtide_billing::metering::report::{Party, Verdict};
use springtide_billing::metering::retention::KeptDays;
use springtide_billing::service_level::hour::Counts;
use springtide_billing::service_level::report::{MinutesReport, ReportedMinute};
use springtide_billing::store::{AccountDetails, NewExclusion, PlanVersion, Store};
use springtide_proto::ended::{ConversationEnd, Outcome};
use springtide_proto::metering::{Dimension, Record, UsageEvent, Witness};
use springtide_proto::time::timestamp_to_wire;
use springtide_runtime::identity::TenantRole;

const SPEC: &str = r#"{"currency":"CNY","timeZone":"Asia/Shanghai","charges":[
    {"name":"answers","meter":"interactions","model":"Graduated","included":"100",
        "tiers":[{"upTo":"1000","unitPrice":"0.103"},{"unitPrice":"0.0817"}]},
    {"name":"resolved","meter":"interactions","where":{"outcome":"resolved"},"model":"PerUnit","unitPrice":"0.013"},
    {"name":"tickets","meter":"handoffs","model":"Package","size":"7","price":"1.99"},
    {"name":"conversations","meter":"conversations","where":{"outcome":"resolved"},"model":"PerUnit","unitPrice":"0.017"}],
    "surcharges":[{"name":"evening","charge":"answers","unitPrice":"0.021","windows":[{"days":["Sat","Sun"],"from":"20:00","to":"24:00"}]}],
    "modules":[{"name":"voice","monthlyFee":"55.50"}],"discount":{"percent":"3.5"},
    "tax":{"name":"VAT","percent":"6","inclusive":false}}"#;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn party() -> Party {
    Party {
        tenant_uid: "uid-acme".parse().unwrap(),
        tenant: "acme".parse().unwrap(),
    }
}

/// A store with a plan, an account, and November's usage: many quarters of an hour, two outcomes, fractions.
async fn filled(folder: &Path) -> (Store, String) {
    filled_with(folder, SPEC).await
}

/// The same by another plan.
async fn filled_with(folder: &Path, spec: &str) -> (Store, String) {
    let url = format!("sqlite://{}/billing.db", folder.display());
    let store = Store::connect(&url, true).await.unwrap();
    store.migrate().await.unwrap();
    let spec: Value = serde_json::from_str(spec).unwrap();
    let spec = canonical_json(&spec);
    let (name, uid) = ("standard".to_owned(), "u".to_owned());
    let digest = Digest::of(spec.as_bytes());
    let before = at("2026-09-01T00:00:00Z");
    store
        .put_plan(
            &PlanVersion {
                name,
                uid,
                generation: 4,
                spec,
                digest,
            },
            before,
        )
        .await
        .unwrap();
    let details = AccountDetails {
        party: party(),
        display_name: "Acme".into(),
        time_zone: "Asia/Shanghai".into(),
        rate_plan: "standard".into(),
        legal_name: "安可商城有限公司".into(),
        tax_id: "91310000XXXXXXXXXX".into(),
        billing_email: String::new(),
        payment_days: 30,
        portal_token: Digest::of(b"token"),
        locale: Locale::ZhCn,
        usage_kept: KeptDays::default(),
    };
    store.register(&details, before).await.unwrap();
    take(&store, 0, 4000).await;
    (store, url)
}

async fn take(store: &Store, from: u32, to: u32) {
    let peer = Reporter {
        tenant: party().tenant,
        role: Some(TenantRole::Worker),
    };
    let now = at("2026-12-01T02:00:00Z");
    let records: Vec<_> = (from..to)
        .map(record)
        .chain((from..to).step_by(3).map(ended))
        .map(|record| examine(record, &peer, now))
        .collect();
    let verdicts = store.ingest(&records, now).await.unwrap();
    assert!(
        verdicts.iter().all(|verdict| *verdict == Verdict::Accepted),
        "{:?}",
        verdicts.first()
    );
}

fn record(number: u32) -> Record {
    let second = at("2026-10-31T16:00:00Z").as_second() + i64::from(number) * 641;
    let (meter, quantity) = if number.is_multiple_of(11) {
        ("handoffs", "1")
    } else {
        ("interactions", ["1", "2.5", "0.125"][number as usize % 3])
    };
    let dimension = |key: &str, value: &str| Dimension {
        key: key.into(),
        value: value.into(),
    };
    let outcome = if number.is_multiple_of(4) {
        "resolved"
    } else {
        "open, \"late\""
    };
    let event = UsageEvent {
        tenant_uid: "uid-acme".into(),
        tenant: "acme".into(),
        source: "test".into(),
        id: number.to_string(),
        meter: meter.into(),
        quantity: quantity.into(),
        event_time: Some(timestamp_to_wire(Timestamp::from_second(second).unwrap())),
        dimensions: vec![
            dimension("channel", ["web", "app"][number as usize % 2]),
            dimension("outcome", outcome),
        ],
        reversal_of: String::new(),
    };
    Record {
        usage_event: event.encode_to_vec().into(),
        witness: Witness::Worker.into(),
        delivery: 0,
        reporter: "pod".into(),
        boot_id: "boot".into(),
    }
}

/// That a conversation ended.
fn ended(number: u32) -> Record {
    let second = at("2026-10-31T16:00:00Z").as_second() + i64::from(number) * 640;
    let end = ConversationEnd {
        last_message_at: Timestamp::from_second(second).unwrap(),
        outcome: Outcome::ALL[usize::from(number.is_multiple_of(5))],
        channel: ["web", "app"][number as usize % 2].into(),
        pool: "web".parse().unwrap(),
        conversation: format!("c{number}").parse().unwrap(),
        tenant: party().tenant,
        tenant_uid: party().tenant_uid,
    };
    Record {
        usage_event: end.encode().into(),
        ..record(number)
    }
}

fn run(url: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_springtide-billing"));
    command.env_remove("DATABASE_URL").args(arguments);
    if let Some(url) = url {
        command.args(["--database-url", url]);
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn export(url: &str, folder: &Path, format: &str, name: &str) -> PathBuf {
    let path = folder.join(name);
    let output = run(
        Some(url),
        &[
            "export", "--tenant", "acme", "--period", "2026-11", "--format", format,
        ],
    );
    std::fs::write(&path, output.stdout).unwrap();
    path
}

fn amounts(bill: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let lines = bill["lines"].as_array().unwrap().iter();
    lines
        .map(|line| (text(&line["kind"]), text(&line["amount"])))
        .collect()
}

#[tokio::test]
async fn a_client_computes_its_bill_again_to_the_cent_from_the_plan_and_usage_it_takes_away() {
    let folder = tempfile::tempdir().unwrap();
    let (store, url) = filled(folder.path()).await;
    let account = store.account_of_uid("uid-acme").await.unwrap().unwrap();
    let (document, _) = issue(
        &store,
        &account,
        "2026-11".parse().unwrap(),
        at("2026-12-01T03:00:00Z"),
    )
    .await
    .unwrap();
    // What lands after the bill was issued is not on it, and not in what it is computed from.
    take(&store, 4000, 4010).await;
    let plan = export(&url, folder.path(), "plan", "plan.json");
    let usage = export(&url, folder.path(), "csv", "usage.csv");
    let (plan, usage) = (plan.display().to_string(), usage.display().to_string());
    let output = run(
        None,
        &[
            "rate", "--plan", &plan, "--usage", &usage, "--period", "2026-11", "--format", "json",
        ],
    );
    let again: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(again["total"].as_str().unwrap(), document.total);
    assert_eq!(amounts(&again), amounts(&document.to_json()));
    assert!(
        document.lines.len() >= 8 && document.lines.iter().all(|line| line.line.amount != "0.00"),
        "{:?}",
        amounts(&again)
    );
}

/// Of another zone, from 16 November there.
async fn change_plan(store: &Store) {
    let spec: Value = serde_json::from_str(
        &SPEC
            .replace("Asia/Shanghai", "Europe/Berlin")
            .replace("0.103", "0.2"),
    )
    .unwrap();
    let spec = canonical_json(&spec);
    let plan = PlanVersion {
        name: "premium".into(),
        uid: "u2".into(),
        generation: 1,
        digest: Digest::of(spec.as_bytes()),
        spec,
    };
    let then = at("2026-11-15T12:00:00Z");
    store.put_plan(&plan, then).await.unwrap();
    let mut details = store.account_of_uid("uid-acme").await.unwrap().unwrap().details;
    details.rate_plan = "premium".into();
    store.register(&details, then).await.unwrap();
}

#[tokio::test]
async fn a_bill_over_a_change_of_plan_comes_out_again_from_the_plans_of_its_parts() {
    let folder = tempfile::tempdir().unwrap();
    let (store, url) = filled(folder.path()).await;
    change_plan(&store).await;
    let account = store.account_of_uid("uid-acme").await.unwrap().unwrap();
    let plan = export(&url, folder.path(), "plan", "draft.json");
    let drafted = std::fs::read_to_string(plan).unwrap();
    let (document, _) = issue(
        &store,
        &account,
        "2026-11".parse().unwrap(),
        at("2026-12-01T03:00:00Z"),
    )
    .await
    .unwrap();
    assert_eq!(document.period_end, at("2026-11-30T23:00:00Z"), "of Berlin");
    let plan = export(&url, folder.path(), "plan", "plan.json");
    assert_eq!(std::fs::read_to_string(&plan).unwrap(), drafted);
    let usage = export(&url, folder.path(), "csv", "usage.csv");
    let (plan, usage) = (plan.display().to_string(), usage.display().to_string());
    let rate = [
        "rate", "--plan", &plan, "--usage", &usage, "--format", "json", "--period",
    ];
    let again = run(None, &[&rate[..], &["2026-11"]].concat());
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again["total"].as_str().unwrap(), document.total);
    assert_eq!(amounts(&again), amounts(&document.to_json()));
    let focus = std::fs::read_to_string(export(&url, folder.path(), "focus", "focus.csv")).unwrap();
    for sku in ["standard/answers", "premium/answers"] {
        assert!(focus.contains(sku), "{sku}: {focus}");
    }
    // The plans say which month they are of.
    let mut other = Command::new(env!("CARGO_BIN_EXE_springtide-billing"));
    let output = other.args(rate).arg("2026-12").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("another month than 2026-12"),
        "{said}"
    );
}

#[tokio::test]
async fn a_bill_goes_into_a_file_as_pdf_and_as_focus() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, url) = filled(folder.path()).await;
    let path = folder.path().join("bill.pdf");
    let bill = [
        "invoice", "--tenant", "acme", "--period", "2026-11", "--format", "pdf", "--output",
    ];
    run(Some(&url), &[&bill[..], &[&path.display().to_string()]].concat());
    let bytes = std::fs::read(&path).unwrap();
    assert!(
        bytes.starts_with(b"%PDF-") && bytes.len() > 5_000,
        "{} bytes",
        bytes.len()
    );
    let focus = std::fs::read_to_string(export(&url, folder.path(), "focus", "focus.csv")).unwrap();
    assert!(
        focus.starts_with("BilledCost,") && focus.lines().count() >= 9,
        "{focus}"
    );
}

/// The same plan with a service level.
fn spec_with_service() -> String {
    let service = r#""sla":{"availability":{"objective":"99.9","slice":"5m","badShare":"0.05","minimumRequests":1,"noData":"Up",
        "credits":[{"below":"99.9","percent":"10"},{"below":"99.8","percent":"25"}]}},"tax""#;
    SPEC.replace(r#""tax""#, service)
}

/// Minutes of a span, all reported; bad between the second two instants.
async fn serve(store: &Store, (from, to): (&str, &str), (bad_from, bad_to): (&str, &str)) {
    let minutes = (at(from).as_second()..at(to).as_second()).step_by(60);
    let is_bad = |second| at(bad_from).as_second() <= second && second < at(bad_to).as_second();
    let minute = |second: i64| {
        let bad = u64::from(is_bad(second)) * 9;
        Ok(ReportedMinute {
            pool: "web".parse().unwrap(),
            boot_id: "boot".parse().unwrap(),
            hour: second.div_euclid(3600) * 3600,
            minute: usize::try_from(second.rem_euclid(3600) / 60).unwrap(),
            counts: Counts {
                good: 60,
                bad,
                fast: 60,
                slow: bad,
            },
        })
    };
    let report = MinutesReport {
        party: party(),
        reporter: "gateway-0".parse().unwrap(),
        is_probe: false,
        minutes: minutes.map(minute).collect(),
    };
    store.take_minutes(&report).await.unwrap().unwrap();
}

async fn module(store: &Store, quantity: &str, time: &str) {
    let event = UsageEvent {
        tenant_uid: "uid-acme".into(),
        tenant: "acme".into(),
        source: "modules".into(),
        id: time.into(),
        meter: "modules".into(),
        quantity: quantity.into(),
        event_time: Some(timestamp_to_wire(at(time))),
        dimensions: vec![Dimension {
            key: "module".into(),
            value: "voice".into(),
        }],
        reversal_of: String::new(),
    };
    let record = Record {
        usage_event: event.encode_to_vec().into(),
        ..record(0)
    };
    let peer = Reporter {
        tenant: party().tenant,
        role: Some(TenantRole::Worker),
    };
    let now = at("2026-12-01T02:00:00Z");
    let verdicts = store.ingest(&[examine(record, &peer, now)], now).await.unwrap();
    assert_eq!(verdicts, [Verdict::Accepted]);
}

/// What `rate` makes of the files that a client takes away of November.
fn rated_again(url: &str, folder: &Path, more: &[&str]) -> Value {
    let files = [
        ("--plan", "plan", "plan.json"),
        ("--usage", "csv", "usage.csv"),
        ("--minutes", "minutes", "minutes.csv"),
        ("--exclusions", "exclusions", "exclusions.csv"),
    ];
    let mut arguments: Vec<_> = ["rate", "--period", "2026-11", "--format", "json"]
        .map(str::to_owned)
        .into();
    for (option, format, name) in files {
        let path = export(url, folder, format, name).display().to_string();
        arguments.extend([option.to_owned(), path]);
    }
    arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    serde_json::from_slice(&run(None, &arguments).stdout).unwrap()
}

fn amount_of<'a>(document: &'a Document, kind: &str) -> &'a str {
    let mut lines = document.lines.iter().map(|entry| &entry.line);
    lines
        .find(|line| line.kind() == kind)
        .map_or("none", |line| &line.amount)
}

const NOVEMBER: (&str, &str) = ("2026-10-31T16:00:00Z", "2026-11-30T16:00:00Z");

#[tokio::test]
async fn a_client_computes_credit_exclusions_and_modules_again_to_the_cent() {
    let folder = tempfile::tempdir().unwrap();
    let (store, url) = filled_with(folder.path(), &spec_with_service()).await;
    // The hour from 12:00 was bad, of which all but a few minutes are excluded; 40 minutes nobody reported.
    let bad = ("2026-11-11T12:00:00Z", "2026-11-11T13:00:00Z");
    serve(&store, (NOVEMBER.0, "2026-11-18T19:00:00Z"), bad).await;
    serve(&store, ("2026-11-18T19:40:00Z", NOVEMBER.1), bad).await;
    let account = store.account_of_uid("uid-acme").await.unwrap().unwrap();
    let exclusion = NewExclusion {
        from: at("2026-11-11T12:03:20Z"),
        to: at("2026-11-11T12:57:00Z"),
        reason: "机房维护, agreed".into(),
        approver: "王经理".into(),
    };
    let now = at("2026-12-01T02:00:00Z");
    store.exclude(account.ledger, &exclusion, now).await.unwrap();
    // Before the month, and not at a quarter of an hour.
    module(&store, "0", "2026-09-20T03:04:05Z").await;
    module(&store, "1", "2026-11-05T10:07:03Z").await;
    module(&store, "0", "2026-11-20T13:41:31Z").await;
    let period = "2026-11".parse().unwrap();
    let (document, _) = issue(&store, &account, period, at("2026-12-01T03:00:00Z"))
        .await
        .unwrap();
    assert_eq!(amount_of(&document, "module"), "28.03");
    assert!(
        amount_of(&document, "credit").starts_with('-'),
        "{:?}",
        amounts(&document.to_json())
    );
    let again = rated_again(&url, folder.path(), &[]);
    assert_eq!(again["total"].as_str().unwrap(), document.total);
    assert_eq!(amounts(&again), amounts(&document.to_json()));
    // It is the exclusion that makes it ten percent and not 25.
    let none = folder.path().join("none.csv");
    std::fs::write(&none, "from,to\n").unwrap();
    let files =
        ["plan.json", "usage.csv", "minutes.csv"].map(|name| folder.path().join(name).display().to_string());
    let [plan, usage, minutes] = &files;
    let without = [
        "rate",
        "--plan",
        plan,
        "--usage",
        usage,
        "--minutes",
        minutes,
        "--period",
        "2026-11",
        "--format",
        "json",
        "--exclusions",
        &none.display().to_string(),
    ];
    let without: Value = serde_json::from_slice(&run(None, &without).stdout).unwrap();
    assert_ne!(without["total"].as_str().unwrap(), document.total);
}

#[tokio::test]
async fn a_month_of_which_nobody_reported_a_minute_is_credited_again_as_on_the_bill() {
    let folder = tempfile::tempdir().unwrap();
    let (store, url) = filled_with(folder.path(), &spec_with_service()).await;
    serve(
        &store,
        ("2026-10-20T00:00:00Z", "2026-10-20T02:00:00Z"),
        (NOVEMBER.1, NOVEMBER.1),
    )
    .await;
    let account = store.account_of_uid("uid-acme").await.unwrap().unwrap();
    let period = "2026-11".parse().unwrap();
    let (document, _) = issue(&store, &account, period, at("2026-12-01T03:00:00Z"))
        .await
        .unwrap();
    assert!(
        amount_of(&document, "credit").starts_with('-'),
        "{:?}",
        amounts(&document.to_json())
    );
    let again = rated_again(&url, folder.path(), &[]);
    assert_eq!(amounts(&again), amounts(&document.to_json()));
    let minutes = std::fs::read_to_string(folder.path().join("minutes.csv")).unwrap();
    assert_eq!(
        minutes,
        "minute,good,bad,fast,slow\n2026-10-20T01:59:00Z,60,0,60,0\n"
    );
}

#[tokio::test]
async fn a_month_that_nobody_ever_served_before_is_credited_nothing_again_whatever_comes_later() {
    let folder = tempfile::tempdir().unwrap();
    let (store, url) = filled_with(folder.path(), &spec_with_service()).await;
    let account = store.account_of_uid("uid-acme").await.unwrap().unwrap();
    let period = "2026-11".parse().unwrap();
    let (document, _) = issue(&store, &account, period, at("2026-12-01T03:00:00Z"))
        .await
        .unwrap();
    assert_eq!(amount_of(&document, "credit"), "none");
    serve(
        &store,
        ("2026-12-02T00:00:00Z", "2026-12-02T02:00:00Z"),
        (NOVEMBER.1, NOVEMBER.1),
    )
    .await;
    let again = rated_again(&url, folder.path(), &[]);
    assert_eq!(amounts(&again), amounts(&document.to_json()));
}

#[tokio::test]
async fn the_month_that_runs_comes_out_again_as_of_the_instant_that_the_portal_names() {
    let folder = tempfile::tempdir().unwrap();
    let (store, url) = filled_with(folder.path(), &spec_with_service()).await;
    let now = "2026-11-16T00:00:00Z";
    serve(&store, (NOVEMBER.0, now), (NOVEMBER.1, NOVEMBER.1)).await;
    let account = store.account_of_uid("uid-acme").await.unwrap().unwrap();
    let document = draft(&store, &account, "2026-11".parse().unwrap(), at(now))
        .await
        .unwrap();
    assert_eq!(amount_of(&document, "credit"), "none", "all was good");
    let again = rated_again(&url, folder.path(), &["--as-of", now]);
    assert_eq!(amounts(&again), amounts(&document.to_json()));
    let without = rated_again(&url, folder.path(), &[]);
    assert_ne!(
        amounts(&without),
        amounts(&document.to_json()),
        "what is to come counts as bad"
    );
}
