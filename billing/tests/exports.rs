//! What a client firm takes away, by the program itself: from plan and usage it computes its bill again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jiff::Timestamp;
use prost::Message as _;
use serde_json::Value;
use springtide_billing::bill::issue;
use springtide_billing::digest::{Digest, canonical_json};
use springtide_billing::locale::Locale;
use springtide_billing::metering::examine::{Reporter, examine};
use springtide_billing::metering::report::{Party, Verdict};
use springtide_billing::store::{AccountDetails, PlanVersion, Store};
use springtide_proto::metering::{Dimension, Record, UsageEvent, Witness};
use springtide_proto::time::timestamp_to_wire;
use springtide_runtime::identity::TenantRole;

const SPEC: &str = r#"{"currency":"CNY","timeZone":"Asia/Shanghai","charges":[
    {"name":"answers","meter":"interactions","model":"Graduated","included":"100",
        "tiers":[{"upTo":"1000","unitPrice":"0.103"},{"unitPrice":"0.0817"}]},
    {"name":"resolved","meter":"interactions","where":{"outcome":"resolved"},"model":"PerUnit","unitPrice":"0.013"},
    {"name":"tickets","meter":"handoffs","model":"Package","size":"7","price":"1.99"}],
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
    let url = format!("sqlite://{}/billing.db", folder.display());
    let store = Store::connect(&url, true).await.unwrap();
    store.migrate().await.unwrap();
    let spec: Value = serde_json::from_str(SPEC).unwrap();
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
        .map(|number| examine(record(number), &peer, now))
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
