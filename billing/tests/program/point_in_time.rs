//! Back to an instant between two writes, by the commands that an operator has: PostgreSQL by a base and its archived log, of
//! a server of the test's own, and SQLite by the archive of a server that is killed meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use springtide_billing::store::Store;
use springtide_proto::metering::Witness;
use springtide_runtime::clock::{Clock as _, SystemClock};
use springtide_runtime::identity::TenantRole;

use super::books::{self, Acknowledged, TENTH};
use super::kills::{Traffic, end_traffic, register_all, start_traffic};
use super::postgres_server::Server;
use super::server::{POSTGRES, Program, binary, record_of, register_tenant, sqlite_url};

async fn report(program: &Program, turn: &str) {
    let records = vec![record_of("acme", turn, "2026-10-11T00:00:00Z", Witness::Worker)];
    program.report(TenantRole::Worker, records).await;
}

/// What a command says; and whether it did what it should.
fn point_in_time(arguments: &[&str]) -> (bool, String, String) {
    let output = binary().arg("point-in-time").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.success(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Until when an archive has all; `None` while it has no base.
fn reached(archive: &Path) -> Option<Timestamp> {
    let (_, said, _) = point_in_time(&["reach", "--archive", path(archive)]);
    let last: Value = serde_json::from_str(said.lines().last()?).unwrap();
    last["until"].as_str()?.parse().ok()
}

/// Waits until an archive has all of some instant.
async fn until_it_reaches(archive: &Path, instant: Timestamp) {
    let whole = async {
        while reached(archive).is_none_or(|until| until <= instant) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), whole)
        .await
        .expect("the archive must go on");
}

/// Waits until all that is acknowledged by now is in the archive; an instant at which it is, and to which the archive reaches.
async fn archived(archive: &Path) -> Timestamp {
    until_it_reaches(archive, SystemClock.now()).await;
    let instant = SystemClock.now();
    until_it_reaches(archive, instant).await;
    instant
}

fn acknowledged(traffic: &Traffic) -> Acknowledged {
    traffic.acknowledged.lock().unwrap().clone()
}

async fn until(traffic: &Traffic, batches: usize) {
    let count = || {
        let turns = acknowledged(traffic);
        turns.values().map(std::collections::BTreeSet::len).sum::<usize>()
    };
    while count() < batches {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Restores an instant, or all, into a new file; what must hold of it is looked at by the command and here.
async fn restored(archive: &Path, at: Option<Timestamp>, expected: &Acknowledged) {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("billing.db");
    let mut arguments = vec!["restore", "--archive", path(archive), "--to", path(&to)];
    let at = at.map(|at| at.to_string());
    if let Some(at) = &at {
        arguments.extend(["--at", at]);
    }
    let (is_restored, said, words) = point_in_time(&arguments);
    assert!(is_restored, "{words}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["restored"]["verified"]["drift"], 0, "{said}");
    let store = Store::connect(&sqlite_url(folder.path()), false).await.unwrap();
    assert_eq!(books::held(&store).await, *expected, "at {at:?}");
    books::check(&store, expected).await;
    let (is_restored, _, words) = point_in_time(&arguments);
    assert!(!is_restored && words.contains("is there already"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_goes_back_to_exactly_what_was_acknowledged_by_an_instant_also_when_its_server_was_killed() {
    let archive = tempfile::tempdir().unwrap();
    let mut program = Program::start_archived(archive.path()).await;
    register_all(&program).await;
    let mut turns = Vec::new();
    let mut all = Acknowledged::new();
    for (round, month) in ["2021-11", "2021-12", "2022-01"].into_iter().enumerate() {
        let traffic = Arc::new(Traffic::beginning_at(round * 1_000_000));
        let senders = start_traffic(&[program.connector(), program.connector()], &traffic);
        until(&traffic, 200).await;
        program.kill_and_start().await;
        until(&traffic, 400).await;
        end_traffic(&traffic, senders).await;
        let issued = program.command(&["close", "--period", month, "--issue"]);
        assert!(issued.status.success(), "beside the server");
        for (key, its) in acknowledged(&traffic) {
            all.entry(key).or_default().extend(its);
        }
        turns.push((archived(archive.path()).await, all.clone()));
    }
    for (at, expected) in &turns {
        restored(archive.path(), Some(*at), expected).await;
    }
    report(&program, "last").await;
    program.kill();
    let lost = program.database_url.clone();
    program.start_again().await;
    archived(archive.path()).await;
    program.kill();
    let key = ("acme".to_owned(), "2026-10".to_owned());
    all.entry(key).or_default().insert("last".to_owned());
    std::fs::remove_file(lost.trim_start_matches("sqlite://")).unwrap();
    restored(archive.path(), None, &all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_goes_back_to_an_instant_between_two_writes_and_takes_what_came_later_again() {
    if std::env::var(POSTGRES).is_err() {
        eprintln!("skipped: {POSTGRES} names no server");
        return;
    }
    let mut server = Server::new().expect("PostgreSQL's programs must be installed");
    server.start(&server.folder.path().join("data"));
    let program = Program::start_on(tempfile::tempdir().unwrap(), server.url()).await;
    register_tenant(&program, "acme", TENTH).await;
    report(&program, "t1").await;
    let (base, log) = (
        server.folder.path().join("base"),
        server.folder.path().join("log"),
    );
    let billing = env!("CARGO_BIN_EXE_springtide-billing");
    let (url, to) = (server.url(), path(&base).to_owned());
    server.run(
        billing,
        &["point-in-time", "base", "--database-url", &url, "--to", &to],
    );
    report(&program, "t2").await;
    program.json(&[
        "invoice", "--tenant", "acme", "--period", "2026-10", "--issue", "--format", "json",
    ]);
    let instant = server
        .ask("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
        .await;
    report(&program, "t3").await;
    let last = server.ask("SELECT pg_walfile_name(pg_switch_wal())").await;
    let archived = "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver";
    while server.ask(archived).await < last {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(program);
    server.stop();

    let restored = server.folder.path().join("restored");
    let arguments = [
        "point-in-time",
        "restore",
        "--base",
        &to,
        "--archive",
        path(&log),
        "--at",
        &instant,
        "--to",
        path(&restored),
    ];
    let said: Value = serde_json::from_slice(&server.output(billing, &arguments).stdout).unwrap();
    assert_eq!(said["restored"]["verified"]["drift"], 0, "{said}");
    assert_eq!(said["restored"]["verified"]["bills"], 1, "{said}");
    assert!(said["restored"]["lastTransaction"].is_string(), "{said}");
    for (changed, with, why) in [
        (7, "2000-01-01T00:00:00Z", "take an older one"),
        (7, "2100-01-01T00:00:00Z", "leave --at out"),
    ] {
        let again = server.folder.path().join(&with[..4]);
        let mut arguments = arguments;
        arguments[changed] = with;
        arguments[9] = path(&again);
        let refused = server.output(billing, &arguments);
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && words.contains(why), "{words}");
    }
    let refused = server.output(billing, &arguments);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not empty"));

    server.start(&restored);
    let store = Store::connect(&server.url(), false).await.unwrap();
    let held = books::held(&store).await;
    let turns: Vec<_> = held.values().flatten().map(String::as_str).collect();
    assert_eq!(
        turns,
        ["t1", "t2"],
        "what was committed by then, and nothing later"
    );
    assert_eq!(books::check(&store, &held).await, 1, "with its bill");
    let program = Program::start_on(tempfile::tempdir().unwrap(), server.url()).await;
    for turn in ["t1", "t2", "t3"] {
        report(&program, turn).await;
    }
    let held = books::held(&store).await;
    assert_eq!(
        held.values().flatten().count(),
        3,
        "spools that send again double nothing"
    );
    books::check(&store, &held).await;
}
