//! `springtide-billing rate`: what is on standard output, and what is said of files that are wrong.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const PLAN: &str = r#"
kind: RatePlan
metadata: {name: standard-2026}
spec:
  currency: CNY
  timeZone: Asia/Shanghai
  charges:
  - name: answers
    meter: interactions
    model: Graduated
    included: "1000"
    tiers: [{upTo: "10000", unitPrice: "0.10"}, {upTo: "100000", unitPrice: "0.08", flatFee: "0"}, {unitPrice: "0.05"}]
  surcharges:
  - {name: evening peak, charge: answers, unitPrice: "0.02", windows: [{days: [Sat, Sun], from: "20:00", to: "24:00"}, {calendar: shopping}]}
  calendars: {shopping: ["2026-11-11", "2026-12-12"]}
  modules: [{name: voice, monthlyFee: "500.00"}]
  minimumCommitment: "1000.00"
  cap: "50000.00"
  discount: {percent: "0"}
  tax: {name: VAT, percent: "6", inclusive: false}
  sla:
    availability: {objective: "99.9", slice: 5m, badShare: "0.05", minimumRequests: 10, noData: Up, credits: [{below: "99.9", percent: "10"}, {below: "99", percent: "25"}, {below: "95", percent: "100"}], creditCap: "100"}
"#;
const USAGE: &str = "time,meter,quantity,outcome
2026-11-10T15:59:59Z,interactions,57500,resolved
2026-11-11T00:00:00+08:00,interactions,4000,abandoned
2026-11-30T16:00:00Z,interactions,900000,resolved
";

/// Minutes of all November; those of the first 11 slices of five minutes were bad.
fn minutes() -> String {
    let first: jiff::Timestamp = "2026-10-31T16:00:00Z".parse().unwrap();
    let mut text = String::from("minute,good,bad\n");
    for minute in 0..30 * 24 * 60 {
        let at = first + jiff::SignedDuration::from_mins(minute);
        let (good, bad) = if minute < 55 { (0, 10) } else { (10, 0) };
        writeln!(text, "{at},{good},{bad}").unwrap();
    }
    text
}

fn rate(folder: &Path, plan: &str, usage: &str, more: &[&str]) -> Output {
    std::fs::write(folder.join("plan.yaml"), plan).unwrap();
    std::fs::write(folder.join("usage.csv"), usage).unwrap();
    std::fs::write(folder.join("minutes.csv"), minutes()).unwrap();
    Command::new(env!("CARGO_BIN_EXE_springtide-billing"))
        .current_dir(folder)
        .args([
            "rate",
            "--plan",
            "plan.yaml",
            "--usage",
            "usage.csv",
            "--period",
            "2026-11",
        ])
        .args(more)
        .output()
        .unwrap()
}

fn json(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn lines(bill: &Value) -> Vec<(&str, &str)> {
    let lines = bill["lines"].as_array().unwrap().iter();
    lines
        .map(|line| (line["kind"].as_str().unwrap(), line["amount"].as_str().unwrap()))
        .collect()
}

#[test]
fn the_worked_bill_of_the_contract_comes_out_of_files_and_standard_output_is_json_alone() {
    let folder = tempfile::tempdir().unwrap();
    let more = ["--minutes", "minutes.csv", "--format", "json"];
    let bill = json(&rate(folder.path(), PLAN, USAGE, &more));
    let expected = [
        ("charge", "1000.00"),
        ("charge", "4040.00"),
        ("surcharge", "80.00"),
        ("module", "500.00"),
        ("credit", "-562.00"),
        ("tax", "303.48"),
    ];
    assert_eq!(lines(&bill), expected);
    assert_eq!(
        (&bill["currency"], &bill["total"]),
        (&"CNY".into(), &"5361.48".into())
    );
    for line in bill["lines"].as_array().unwrap() {
        for field in [
            "kind",
            "rule",
            "quantity",
            "unit_price",
            "amount",
            "explanation",
            "informational",
        ] {
            assert!(line.get(field).is_some(), "{field} of {line}");
        }
    }
    let without = json(&rate(folder.path(), PLAN, USAGE, &["--format", "json"]));
    assert_eq!(without["total"], "5957.20", "no minutes, no credit");
    let early = [
        "--minutes",
        "minutes.csv",
        "--as-of",
        "2026-10-31T17:00:00Z",
        "--format",
        "json",
    ];
    let early = json(&rate(folder.path(), PLAN, USAGE, &early));
    assert!(
        lines(&early).contains(&("credit", "-5620.00")),
        "of 12 slices one was good"
    );
}

#[test]
fn a_file_that_is_wrong_is_named_with_its_line_and_nothing_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let row = |row: &str| format!("time,meter,quantity\n2026-11-01T00:00:00Z,interactions,1\n{row}\n");
    for (plan, usage, expected) in [
        (
            PLAN.to_owned(),
            row("2026-11-01T00:00:00Z,interactions,-1"),
            "usage.csv, line 3: quantity \"-1\" must not be negative",
        ),
        (
            PLAN.to_owned(),
            row("2026-11-01T00:00:00Z,interactions,NaN"),
            "usage.csv, line 3: quantity \"NaN\" is not a decimal",
        ),
        (
            PLAN.to_owned(),
            row("yesterday,interactions,1"),
            "usage.csv, line 3",
        ),
        (
            PLAN.to_owned(),
            row("2026-11-01T00:00:00Z,Inter actions,1"),
            "usage.csv, line 3: meter",
        ),
        (
            PLAN.to_owned(),
            row("2026-11-01T00:00:00Z,interaction,1"),
            "usage.csv, line 3: meter interaction is not known",
        ),
        (
            PLAN.to_owned(),
            row("2026-11-01T00:00:00Z,interactions"),
            "usage.csv",
        ),
        (
            PLAN.to_owned(),
            "time,quantity\n".to_owned(),
            "there is no column \"meter\"",
        ),
        (
            PLAN.replace("\"50000.00\"", "\"999\""),
            USAGE.to_owned(),
            "cap 999 is below minimumCommitment 1000",
        ),
        (
            PLAN.replace("\"0.10\"", "\"-0.10\""),
            USAGE.to_owned(),
            "must not be negative",
        ),
        (
            PLAN.replace("currency: CNY", "currency: XAU"),
            USAGE.to_owned(),
            "currency \"XAU\"",
        ),
        (
            "kind: Tenant".to_owned(),
            USAGE.to_owned(),
            "must hold exactly one RatePlan",
        ),
    ] {
        let output = rate(folder.path(), &plan, &usage, &["--format", "json"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.contains(expected),
            "wanted {expected}: {said}"
        );
        assert_eq!(output.stdout, b"");
    }
}

#[test]
fn a_contract_that_begins_or_ends_within_the_month_is_billed_for_its_part() {
    let folder = tempfile::tempdir().unwrap();
    let total = |more: &[&str]| {
        let bill = json(&rate(
            folder.path(),
            PLAN,
            "time,meter,quantity\n",
            &[more, &["--format", "json"]].concat(),
        ));
        bill["total"].as_str().unwrap().to_owned()
    };
    // The minimum of 1,000 and 6 % tax, for 30, 10 and 5 of 30 days.
    assert_eq!(total(&[]), "1060.00");
    assert_eq!(total(&["--contract-from", "2026-11-21"]), "353.33");
    assert_eq!(
        total(&["--contract-from", "2026-11-21", "--contract-to", "2026-11-25"]),
        "176.67"
    );
}

#[test]
fn a_meter_that_is_built_in_or_that_the_plan_names_is_taken_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let usage = "time,meter,quantity\n2026-11-01T00:00:00Z,METER,1\n";
    let plan = PLAN.replace("meter: interactions", "meter: storage_gb");
    for (plan, meter, is_taken) in [
        (PLAN, "conversations", true),
        (PLAN, "handoffs", true),
        (PLAN, "unanswered", true),
        (PLAN, "storage_gb", false),
        (&plan, "storage_gb", true),
    ] {
        let output = rate(folder.path(), plan, &usage.replace("METER", meter), &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), is_taken, "{meter}: {said}");
    }
}

#[test]
fn exclusions_leave_their_slices_out_and_a_wrong_one_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let rated = |exclusions: &str| {
        std::fs::write(folder.path().join("exclusions.csv"), exclusions).unwrap();
        let more = [
            "--minutes",
            "minutes.csv",
            "--exclusions",
            "exclusions.csv",
            "--format",
            "json",
        ];
        rate(folder.path(), PLAN, USAGE, &more)
    };
    // The first 55 minutes of November are bad.
    let all = "from,to,reason\n2026-10-31T16:00:00Z,2026-10-31T16:55:00Z,agreed\n";
    assert_eq!(
        json(&rated(all))["total"],
        "5957.20",
        "nothing that is bad is left"
    );
    assert_eq!(json(&rated("from,to\n"))["total"], "5361.48");
    for (wrong, expected) in [
        (
            "from,to\n2026-11-01T00:00:00Z,2026-11-01T00:00:00Z\n",
            "exclusions.csv, line 2",
        ),
        ("from,to\nx,2026-11-01T00:00:00Z\n", "exclusions.csv, line 2"),
        ("from\n2026-11-01T00:00:00Z\n", "there is no column \"to\""),
    ] {
        let output = rated(wrong);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{said}");
    }
}
