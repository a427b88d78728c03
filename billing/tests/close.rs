//! A close run of the real program, killed in the middle as a power cut would, and run again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use springtide_billing::bill::verify::verify_chain;
use springtide_billing::digest::Digest;
use springtide_billing::locale::Locale;
use springtide_billing::metering::report::Party;
use springtide_billing::metering::retention::KeptDays;
use springtide_billing::store::{AccountDetails, DEFAULT_ENTITY, PlanVersion, Store};

const TENANTS: usize = 200;
const SPEC: &str = r#"{"charges":[{"meter":"interactions","model":"PerUnit","name":"answers","unitPrice":"0.10"}],"currency":"CNY","timeZone":"Asia/Shanghai"}"#;

fn command(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_springtide-billing"));
    command
        .args(arguments)
        .args(["--database-url", url])
        .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn close(url: &str) -> Command {
    command(url, &["close", "--period", "2026-08", "--issue"])
}

async fn filled(url: &str) -> Store {
    let store = Store::connect(url, true).await.unwrap();
    store.migrate().await.unwrap();
    let at: Timestamp = "2026-08-01T00:00:00Z".parse().unwrap();
    let plan = PlanVersion {
        name: "standard".into(),
        uid: "p".into(),
        generation: 1,
        spec: SPEC.into(),
        digest: Digest::of(SPEC.as_bytes()),
    };
    store.put_plan(&plan, at).await.unwrap();
    for tenant in 0..TENANTS {
        let details = AccountDetails {
            party: Party {
                tenant_uid: format!("uid-{tenant}").parse().unwrap(),
                tenant: format!("tenant-{tenant}").parse().unwrap(),
            },
            display_name: String::new(),
            time_zone: "Asia/Shanghai".into(),
            rate_plan: "standard".into(),
            legal_name: String::new(),
            tax_id: String::new(),
            billing_email: String::new(),
            payment_days: 30,
            portal_token: Digest::of(format!("{tenant}").as_bytes()),
            locale: Locale::En,
            usage_kept: KeptDays::default(),
        };
        store.register(&details, at).await.unwrap();
    }
    store
}

/// Kills runs at later and later moments until one comes to its end; then runs two at once.
async fn killed_again_and_again(url: &str) {
    let store = filled(url).await;
    let mut kills = 0;
    loop {
        let before = store.number_of_invoices().await.unwrap();
        let mut run = close(url).spawn().unwrap();
        // Until it issued more, or ended: levels, not times.
        let status = loop {
            if let Some(status) = run.try_wait().unwrap() {
                break Some(status);
            }
            if store.number_of_invoices().await.unwrap() > before {
                run.kill().unwrap();
                run.wait().unwrap();
                break None;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        match status {
            None => kills += 1,
            Some(status) => {
                assert!(status.success());
                break;
            }
        }
    }
    assert!(kills > 0, "no run was killed in the middle");
    let mut two = [close(url).spawn().unwrap(), close(url).spawn().unwrap()];
    assert!(two.iter_mut().all(|run| run.wait().unwrap().success()));
    let (bills, drift) = verify_chain(&store).await.unwrap();
    assert_eq!((bills, drift), (i64::try_from(TENANTS).unwrap(), Vec::new()));
    let whose: BTreeSet<_> = store
        .invoices_after(DEFAULT_ENTITY, 0, i64::MAX)
        .await
        .unwrap()
        .into_iter()
        .map(|bill| bill.ledger)
        .collect();
    assert_eq!(whose.len(), TENANTS, "one bill for each tenant");
    let mut verify = command(url, &["verify", "--format", "json"]);
    let output = verify.stdout(Stdio::piped()).output().unwrap();
    assert!(output.status.success());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["billsInChain"], TENANTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_run_killed_again_and_again_issues_each_bill_once_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    killed_again_and_again(&format!("sqlite://{}/billing.db", folder.path().display())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_run_killed_again_and_again_issues_each_bill_once_on_postgresql() {
    use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
    let Ok(admin) = std::env::var("SPRINGTIDE_TEST_POSTGRES") else {
        assert!(std::env::var("CI").is_err(), "CI must name a server");
        return;
    };
    let name = format!("close_{}", std::process::id());
    let mut connection = PgConnection::connect(&admin).await.unwrap();
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create).execute(&mut connection).await.unwrap();
    let (server, _) = admin.rsplit_once('/').unwrap();
    killed_again_and_again(&format!("{server}/{name}")).await;
}
