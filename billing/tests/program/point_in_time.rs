//! PostgreSQL taken back to an instant between two writes: a base backup and the write-ahead log since, as operators keep
//! them. The server is the test's own, as its settings are not those of the server for tests.

use std::fs;
use std::time::Duration;

use springtide_billing::store::Store;
use springtide_proto::metering::Witness;
use springtide_runtime::identity::TenantRole;

use super::books::{self, TENTH};
use super::postgres_server::Server;
use super::server::{POSTGRES, Program, record_of, register_tenant};

async fn report(program: &Program, turn: &str) {
    let records = vec![record_of("acme", turn, "2026-10-11T00:00:00Z", Witness::Worker)];
    program.report(TenantRole::Worker, records).await;
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
    let base = server.folder.path().join("base");
    server.back_up(&base, &[]);
    report(&program, "t2").await;
    program.json(&[
        "invoice", "--tenant", "acme", "--period", "2026-10", "--issue", "--format", "json",
    ]);
    let instant = server.ask("SELECT clock_timestamp()::text").await;
    report(&program, "t3").await;
    let last = server.ask("SELECT pg_walfile_name(pg_switch_wal())").await;
    let archived = "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver";
    while server.ask(archived).await < last {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(program);
    server.stop();

    let log = server.folder.path().join("log");
    let settings = format!(
        "restore_command = 'cp {}/%f %p'\nrecovery_target_time = '{instant}'\nrecovery_target_action = 'promote'\n",
        log.display()
    );
    let auto = base.join("postgresql.auto.conf");
    let before = fs::read_to_string(&auto).unwrap();
    fs::write(&auto, before + &settings).unwrap();
    fs::write(base.join("recovery.signal"), "").unwrap();
    server.start(&base);
    server.until("SELECT (NOT pg_is_in_recovery())::text").await;

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
