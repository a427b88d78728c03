//! Tenants read from a streaming replica, and never miss what they wrote.

use std::time::Duration;

use springtide_billing::metrics::ReplicaMetrics;
use springtide_billing::store::{Store, TenantStores};
use springtide_proto::metering::Witness;
use springtide_runtime::identity::TenantRole;
use tokio_util::sync::CancellationToken;

use super::books::TENTH;
use super::postgres_server::Server;
use super::server::{POSTGRES, Program, binary, record_of, register_tenant, sqlite_url};

/// Waits for a level.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waiting)
        .await
        .expect(what);
}

struct Bench {
    stores: TenantStores,
    metrics: ReplicaMetrics,
}

impl Bench {
    /// What a request of that tenant reads as its setting, and whether the replica said it.
    async fn read(&self, ledger: i64) -> (Option<String>, bool) {
        let (before, _) = self.metrics.reads();
        let store = self.stores.of(ledger).await.unwrap();
        let setting = store.settings(ledger).await.unwrap().remove("budget");
        (setting, self.metrics.reads().0 > before)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_read_from_the_replica_once_it_has_what_they_wrote_and_from_the_primary_when_it_is_away() {
    if std::env::var(POSTGRES).is_err() {
        eprintln!("skipped: {POSTGRES} names no server");
        return;
    }
    let mut primary = Server::new().expect("PostgreSQL's programs must be installed");
    primary.start(&primary.folder.path().join("data"));
    let program = Program::start_on(tempfile::tempdir().unwrap(), primary.url()).await;
    for tenant in ["acme", "other"] {
        register_tenant(&program, tenant, TENTH).await;
    }
    program
        .report(
            TenantRole::Worker,
            vec![record_of("acme", "t1", "2026-10-11T00:00:00Z", Witness::Worker)],
        )
        .await;
    let (mut replica, folder) = primary.replica();
    replica.start(&folder);

    let store = Store::connect(&primary.url(), false).await.unwrap();
    let acme = store.account_of_uid("uid-acme").await.unwrap().unwrap().ledger;
    let other = store.account_of_uid("uid-other").await.unwrap().unwrap().ledger;
    let metrics = ReplicaMetrics::default();
    let (stores, _) = TenantStores::open(store).await.unwrap();
    let stores = stores.with_replica(&replica.url(), metrics.clone()).unwrap();
    let shutdown = CancellationToken::new();
    let watching = tokio::spawn(stores.clone().watch_replica(shutdown.clone()));
    let bench = Bench { stores, metrics };
    until("it is usable", async || bench.metrics.is_usable()).await;
    assert_eq!(bench.read(acme).await, (None, true));

    // While the replica stands still, its own write is read from the primary, by every request and server.
    replica.ask("SELECT pg_wal_replay_pause()::text").await;
    let writing = bench.stores.of(acme).await.unwrap();
    writing.set_setting(acme, "budget", "5").await.unwrap();
    let at_once = writing.settings(acme).await.unwrap();
    assert_eq!(at_once["budget"], "5", "also within the request");
    assert_eq!(bench.read(acme).await, (Some("5".into()), false));
    let elsewhere = Store::connect(&primary.url(), false).await.unwrap();
    let (elsewhere, _) = TenantStores::open(elsewhere).await.unwrap();
    let elsewhere = elsewhere
        .with_replica(&replica.url(), bench.metrics.clone())
        .unwrap();
    let read = elsewhere.of(acme).await.unwrap().settings(acme).await.unwrap();
    assert_eq!(read["budget"], "5", "another server knows of it");
    assert_eq!(
        bench.read(other).await,
        (None, true),
        "who wrote nothing misses nothing"
    );
    let taken = bench.stores.of(acme).await.unwrap();
    taken.note_write().await.unwrap();

    replica.ask("SELECT pg_wal_replay_resume()::text").await;
    until("it has caught up", async || {
        bench.read(acme).await == (Some("5".into()), true)
    })
    .await;

    // A replica that goes is missed by nobody, and used again when it is back.
    replica.stop();
    assert_eq!(bench.read(acme).await, (Some("5".into()), false));
    assert!(!bench.metrics.is_usable());
    replica.start(&folder);
    until("it is back", async || {
        bench.read(acme).await == (Some("5".into()), true)
    })
    .await;

    // One that is none any more has no say.
    replica.run("pg_ctl", &["-D", folder.to_str().unwrap(), "-w", "promote"]);
    until("it is found out", async || !bench.metrics.is_usable()).await;
    assert_eq!(bench.read(acme).await, (Some("5".into()), false));
    shutdown.cancel();
    watching.await.unwrap();
    for stores in [bench.stores, elsewhere] {
        stores.close().await;
    }
}

#[tokio::test]
async fn a_replica_of_a_database_file_is_refused_with_what_to_do() {
    let program = Program::start().await;
    let folder = tempfile::tempdir().unwrap();
    let output = binary()
        .args(["serve", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
        .args(["--admin-listen", "127.0.0.1:0", "--tls-dir", &program.tls_dir()])
        .args(["--database-url", &sqlite_url(folder.path())])
        .args(["--read-database-url", "postgres://127.0.0.1:1/x"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("leave --read-database-url out"), "{said}");
}
