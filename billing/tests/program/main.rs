//! The program itself: a server with mutual TLS, killed and started again, and the other commands beside it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod backup;
mod books;
mod kills;
mod openid_connect;
mod point_in_time;
mod postgres_server;
mod replica;
mod server;

use serde_json::Value;
use springtide_proto::metering::metering_client::MeteringClient;
use springtide_proto::metering::record_result::Status;
use springtide_proto::metering::{ReportMinutesRequest, ReportRequest, ServiceMinute, Witness};
use springtide_runtime::identity::{PeerIdentity, TenantRole};

use server::{Program, acme, binary, record, register, sqlite_url};

#[tokio::test]
async fn usage_survives_kills_and_ends_on_one_bill_and_in_one_export() {
    let mut program = Program::start().await;
    let workers: Vec<_> = ["t1", "t2", "t3", "t4"]
        .iter()
        .map(|turn| record(turn, Witness::Worker))
        .collect();
    assert_eq!(
        program.report(TenantRole::Worker, workers.clone()).await,
        [Status::Accepted; 4]
    );
    program.kill_and_start().await;
    assert_eq!(
        program.report(TenantRole::Worker, workers).await,
        [Status::Duplicate; 4]
    );
    assert_eq!(
        program
            .report(TenantRole::Gateway, vec![record("t1", Witness::Gateway)])
            .await,
        [Status::Duplicate]
    );
    register(&program).await;

    let export = program.command(&[
        "export", "--tenant", "acme", "--period", "2026-10", "--format", "jsonl",
    ]);
    let lines: Vec<Value> = export
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 4);
    let first = lines.iter().find(|line| line["turn"] == "t1").unwrap();
    assert_eq!(first["witnesses"], serde_json::json!(["gateway", "worker"]));

    let draft = program.json(&[
        "invoice", "--tenant", "acme", "--period", "2026-10", "--format", "json",
    ]);
    assert_eq!(
        (&draft["state"], &draft["total"]),
        // Registered after October, so that nothing of what a month includes is for it.
        (&"draft".into(), &"0.36".into())
    );
    let issued = program.json(&[
        "invoice", "--tenant", "acme", "--period", "2026-10", "--issue", "--format", "json",
    ]);
    assert_eq!(
        (&issued["number"], &issued["total"]),
        (&"SPT-2026-000001".into(), &"0.36".into())
    );
    let closed = program.json(&["close", "--period", "2026-10", "--issue", "--format", "json"]);
    assert_eq!(
        (&closed["issued"], &closed["issuedBefore"]),
        (&0.into(), &1.into())
    );
    let all = program.json(&["invoices", "--period", "2026-10", "--format", "json"]);
    assert_eq!(all, Value::from(vec![issued.clone()]));
    program.kill_and_start().await;
    assert_eq!(
        program.json(&[
            "invoice", "--tenant", "acme", "--period", "2026-10", "--format", "json"
        ]),
        issued
    );
}

#[test]
fn errors_are_a_sentence_on_standard_error_and_a_code() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite_url(folder.path());
    let run = |arguments: &[&str]| {
        binary()
            .args(arguments)
            .args(["--database-url", &url])
            .output()
            .unwrap()
    };
    let failing = |arguments: &[&str], sentence: &str| {
        let output = run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && output.stdout.is_empty(),
            "{arguments:?}"
        );
        assert!(said.contains(sentence), "{arguments:?}: {said}");
    };
    failing(
        &["export", "--tenant", "acme", "--period", "2026-10"],
        "no database file",
    );
    assert!(run(&["migrate"]).status.success());
    failing(
        &["export", "--tenant", "acme", "--period", "2026-10"],
        "no tenant \"acme\" is registered",
    );
    failing(
        &["invoice", "--tenant", "acme", "--period", "October"],
        "write year and month as \"2026-11\"",
    );
    failing(&["invoice", "--period", "2026-10"], "--tenant");
    let none = run(&["invoices", "--period", "2026-10", "--format", "json"]);
    assert_eq!(
        (none.status.success(), none.stdout.as_slice()),
        (true, &b"[]\n"[..])
    );
}

#[test]
fn the_help_names_every_command() {
    let help = binary().arg("--help").output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    for command in [
        "serve",
        "export",
        "approve",
        "close",
        "correct",
        "invoice",
        "invoices",
        "kept",
        "backup",
        "restore",
        "migrate",
        "reviews",
        "verify",
        "DATABASE_URL",
    ] {
        assert!(text.contains(command), "{command}");
    }
}

#[tokio::test]
async fn minutes_come_out_as_csv_after_a_kill_and_an_excluded_span_is_listed() {
    let mut program = Program::start().await;
    register(&program).await;
    let minute = |second: i64, good: u64, bad: u64| ServiceMinute {
        pool: "web".into(),
        boot_id: "boot".into(),
        minute: Some(prost_types::Timestamp {
            seconds: 1_791_676_800 + second,
            nanos: 0,
        }),
        good,
        bad,
        fast: good,
        slow: 0,
    };
    let channel = program
        .channel(PeerIdentity::tenant(&acme(), TenantRole::Gateway))
        .await;
    let request = ReportMinutesRequest {
        tenant_uid: "uid-acme".into(),
        tenant: "acme".into(),
        reporter: "gateway-0".into(),
        minutes: vec![minute(60, 0, 0), minute(0, 5, 1)],
    };
    MeteringClient::new(channel)
        .report_minutes(request)
        .await
        .unwrap();
    program.kill_and_start().await;
    let minutes = program.command(&["minutes", "--tenant", "acme", "--period", "2026-10"]);
    let expected = "minute,good,bad,fast,slow\n2026-10-11T00:00:00Z,5,1,5,0\n2026-10-11T00:01:00Z,0,0,0,0\n";
    assert_eq!(String::from_utf8(minutes.stdout).unwrap(), expected);

    let span = [
        "--tenant",
        "acme",
        "--from",
        "2026-10-03T02:00:00+08:00",
        "--to",
        "2026-10-03T04:00:00+08:00",
    ];
    let why = ["--reason", "停机维护", "--approver", "ops"];
    let excluded = program.command(&[&["exclude"], &span[..], &why].concat());
    assert_eq!(excluded.stdout, b"1\n");
    let listed = program.json(&["exclusions", "--tenant", "acme"]);
    assert_eq!(
        (&listed["from"], &listed["reason"], &listed["revokedAt"]),
        (&"2026-10-02T18:00:00Z".into(), &"停机维护".into(), &Value::Null)
    );
    program.command(&["invoice", "--tenant", "acme", "--period", "2026-10", "--issue"]);
    let refused = program.command(&[
        "revoke-exclusion",
        "--tenant",
        "acme",
        "--id",
        "1",
        "--approver",
        "ops",
    ]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("SPT-2026-000001"));

    let target = program.command(&[
        "alerts",
        "set",
        "--tenant",
        "acme",
        "--url",
        "http://acme.example/",
    ]);
    assert!(
        String::from_utf8_lossy(&target.stderr).contains("https"),
        "{target:?}"
    );
    let target = program.command(&[
        "alerts",
        "set",
        "--tenant",
        "acme",
        "--url",
        "https://acme.example/",
    ]);
    assert_eq!(target.stdout.len(), 65, "a secret, this once");
    let shown = program.json(&["alerts", "show", "--tenant", "acme"]);
    assert_eq!(
        shown,
        serde_json::json!({"url": "https://acme.example/", "raised": [], "complaints": []})
    );
}

#[tokio::test]
async fn a_stream_answers_each_batch_in_its_order_and_ends_at_one_that_is_refused_as_a_whole() {
    let program = Program::start().await;
    let channel = program
        .channel(PeerIdentity::tenant(&acme(), TenantRole::Worker))
        .await;
    let batch = |turns: &[&str]| ReportRequest {
        records: turns.iter().map(|turn| record(turn, Witness::Worker)).collect(),
    };
    let batches = [
        batch(&["t1", "t2"]),
        batch(&["t2"]),
        batch(&["t3"]),
        batch(&[]),
        batch(&["t4"]),
    ];
    let mut answers = MeteringClient::new(channel)
        .report_stream(tokio_stream::iter(batches))
        .await
        .unwrap()
        .into_inner();
    for expected in [
        vec![Status::Accepted, Status::Accepted],
        vec![Status::Duplicate],
        vec![Status::Accepted],
    ] {
        let answer = answers.message().await.unwrap().unwrap();
        let statuses: Vec<_> = answer
            .results
            .iter()
            .map(springtide_proto::metering::RecordResult::status)
            .collect();
        assert_eq!(statuses, expected);
    }
    let refused = answers.message().await.unwrap_err();
    assert!(
        refused.message().contains("records must be 1 to 10000"),
        "{refused}"
    );
}
