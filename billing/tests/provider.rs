//! What the provider's people do by commands: modules that a client firm takes and drops, and the audit of who did what.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use springtide_billing::digest::Digest;
use springtide_billing::locale::Locale;
use springtide_billing::metering::report::Party;
use springtide_billing::metering::retention::KeptDays;
use springtide_billing::store::{AccountDetails, PlanVersion, Store};

const SPEC: &str = r#"{"charges":[],"currency":"CNY","modules":[{"monthlyFee":"30.00","name":"voice"}],"timeZone":"Asia/Shanghai"}"#;

/// An account whose plan has the module voice, by its database's URL.
async fn provided(folder: &Path) -> String {
    let url = format!("sqlite://{}/billing.db", folder.display());
    let store = Store::connect(&url, true).await.unwrap();
    store.migrate().await.unwrap();
    let before = "2024-01-01T00:00:00Z".parse().unwrap();
    let plan = PlanVersion {
        name: "standard".into(),
        uid: "u".into(),
        generation: 1,
        digest: Digest::of(SPEC.as_bytes()),
        spec: SPEC.into(),
    };
    store.put_plan(&plan, before).await.unwrap();
    let details = AccountDetails {
        party: Party {
            tenant_uid: "uid-acme".parse().unwrap(),
            tenant: "acme".parse().unwrap(),
        },
        display_name: "Acme".into(),
        time_zone: "Asia/Shanghai".into(),
        rate_plan: "standard".into(),
        legal_name: "Acme".into(),
        tax_id: String::new(),
        billing_email: String::new(),
        payment_days: 30,
        portal_token: Digest::of(b"token"),
        locale: Locale::En,
        usage_kept: KeptDays::default(),
    };
    store.register(&details, before).await.unwrap();
    store.close().await;
    url
}

fn run(url: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_springtide-billing"))
        .env_remove("DATABASE_URL")
        .env("USER", "ops")
        .args(arguments)
        .args(["--database-url", url])
        .output()
        .unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn refused(output: &Output, expected: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(expected), "{said}");
}

/// Who, what and of what, the newest first.
fn audit(url: &str, more: &[&str]) -> Vec<[String; 3]> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    lines(&run(url, &[&["audit"], more].concat()))
        .iter()
        .map(|entry| ["actor", "action", "object"].map(|name| text(entry, name)))
        .collect()
}

#[tokio::test]
async fn a_module_is_taken_and_dropped_once_however_often_it_is_said_and_its_months_wait_for_a_correction() {
    let folder = tempfile::tempdir().unwrap();
    let url = provided(folder.path()).await;
    let change = |what: &str, module: &str, at: &str| {
        run(
            &url,
            &[
                "modules", what, "--tenant", "acme", "--module", module, "--at", at, "--actor", "jo",
            ],
        )
    };
    let dropped = lines(&change("drop", "voice", "2024-05-10T16:00:00Z")).remove(0);
    assert_eq!(
        (&dropped["status"], &dropped["taken"]),
        (&json!("accepted"), &json!(false))
    );
    assert_eq!(dropped["correct"], json!([]));
    let again = lines(&change("drop", "voice", "2024-05-10T16:00:00Z")).remove(0);
    assert_eq!(again["status"], "duplicate");
    let bill = [
        "invoice", "--tenant", "acme", "--period", "2024-05", "--format", "json",
    ];
    let total = |output: &Output| serde_json::from_slice::<Value>(&output.stdout).unwrap()["total"].clone();
    assert_eq!(total(&run(&url, &bill)), "9.68", "ten of 31 days");
    assert_eq!(total(&run(&url, &[&bill[..], &["--issue"]].concat())), "9.68");
    let taken = lines(&change("take", "voice", "2024-05-20T16:00:00Z")).remove(0);
    assert_eq!(taken["correct"], json!(["2024-05"]), "the bill was issued");
    let output = run(
        &url,
        &[
            "correct", "--tenant", "acme", "--period", "2024-05", "--actor", "jo",
        ],
    );
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("10.64"),
        "eleven days more: {said}"
    );
    refused(
        &change("take", "vioce", "2024-05-20T16:00:00Z"),
        "no plan of acme names a module \"vioce\"; they name: voice",
    );
    refused(
        &change("take", "voice", "2124-05-20T16:00:00Z"),
        "more than an hour ahead",
    );
    let listed = lines(&run(&url, &["modules", "list", "--tenant", "acme"]));
    let expected = |at: &str, taken| json!({"module": "voice", "at": at, "taken": taken});
    assert_eq!(
        listed,
        [
            expected("2024-05-10T16:00:00Z", false),
            expected("2024-05-20T16:00:00Z", true)
        ]
    );
    let noted = audit(&url, &["--tenant", "acme"]);
    let expected = ["operator: jo", "take module", "voice from 2024-05-20T16:00:00Z"].map(str::to_owned);
    assert!(noted.contains(&expected), "{noted:?}");
}

#[tokio::test]
async fn what_commands_read_and_change_of_an_account_is_noted_in_its_audit_with_who_did_it() {
    let folder = tempfile::tempdir().unwrap();
    let url = provided(folder.path()).await;
    let tenant = ["--tenant", "acme"];
    let of_acme: [(&[&str], &str, &str); 9] = [
        (
            &["export", "--period", "2024-05"],
            "export interactions",
            "2024-05",
        ),
        (
            &["export", "--period", "2024-05", "--format", "csv"],
            "export usage",
            "2024-05",
        ),
        (
            &["export", "--period", "2024-05", "--format", "minutes"],
            "export minutes",
            "2024-05",
        ),
        (
            &["export", "--period", "2024-05", "--format", "exclusions"],
            "export exclusions",
            "2024-05",
        ),
        (&["kept"], "read kept records", "all reasons"),
        (
            &["alerts", "set", "--url", "https://alerts.example/secret"],
            "set alerts",
            "",
        ),
        (&["alerts", "remove"], "remove alerts", ""),
        (
            &["entities", "assign", "--entity", "springtide"],
            "assign legal entity",
            "springtide",
        ),
        (
            &["replay", "--reason", "EVENT_REJECTED"],
            "replay rejected records",
            "EVENT_REJECTED",
        ),
    ];
    for (arguments, action, object) in of_acme {
        for (more, actor) in [
            (&["--actor", "jo"][..], "operator: jo"),
            (&[][..], "operator: ops"),
        ] {
            // Set again: what was removed cannot be.
            if action == "remove alerts" {
                run(
                    &url,
                    &[
                        "alerts",
                        "set",
                        "--url",
                        "https://alerts.example/",
                        "--tenant",
                        "acme",
                    ],
                );
            }
            let output = run(&url, &[arguments, &tenant, more].concat());
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let noted = audit(&url, &["--tenant", "acme", "--limit", "1"]);
            assert_eq!(noted, [[actor, action, object].map(str::to_owned)]);
        }
    }
}

#[tokio::test]
async fn what_commands_do_of_no_account_is_noted_in_the_providers_own_audit() {
    let folder = tempfile::tempdir().unwrap();
    let url = provided(folder.path()).await;
    let set = [
        "entities",
        "set",
        "--name",
        "berlin",
        "--prefix",
        "BER",
        "--legal-name",
        "Springtide GmbH",
    ];
    let of_nobody: [(&[&str], &str, &str); 5] = [
        (&set, "set legal entity", "berlin"),
        (&["kept"], "read kept records", "all tenants: all reasons"),
        (
            &["kept", "--tenant", "nobody"],
            "read kept records",
            "nobody: all reasons",
        ),
        (&["replay"], "replay rejected records", "all tenants: all reasons"),
        (
            &["drop-events", "--before", "2020-01-01"],
            "drop events",
            "recorded before 2020-01-01T00:00:00Z",
        ),
    ];
    for (arguments, action, object) in of_nobody {
        let output = run(&url, &[arguments, &["--actor", "jo"]].concat());
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(
            audit(&url, &["--limit", "1"]),
            [["operator: jo", action, object].map(str::to_owned)]
        );
    }
    let before = audit(&url, &[]).len();
    run(&url, &["replay", "--dry-run"]);
    assert_eq!(
        audit(&url, &[]).len(),
        before,
        "what changes nothing is not noted"
    );
    refused(&run(&url, &["kept", "--actor", " "]), "printable characters");
}
