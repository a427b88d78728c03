//! Tenants read from a streaming replica, and never miss what they wrote.

use std::path::PathBuf;
use std::time::Duration;

use springtide_billing::metering::decide::LedgerId;
use springtide_billing::metrics::ReplicaMetrics;
use springtide_billing::store::{Holder, Store, TenantStores};
use springtide_proto::metering::Witness;
use springtide_runtime::identity::TenantRole;
use tokio::task::JoinHandle;
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

/// A primary with two tenants, a replica of it, and what a server of the portal has of both.
struct Bench {
    stores: TenantStores,
    metrics: ReplicaMetrics,
    acme: LedgerId,
    other: LedgerId,
    replica: Server,
    replica_folder: PathBuf,
    _program: Program,
    primary: Server,
}

impl Bench {
    /// `None` where no server is named: then this machine has no PostgreSQL to try with.
    async fn start() -> Option<Self> {
        if std::env::var(POSTGRES).is_err() {
            eprintln!("skipped: {POSTGRES} names no server");
            return None;
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
        let (mut replica, replica_folder) = primary.replica();
        replica.start(&replica_folder);
        let store = Store::connect(&primary.url(), false).await.unwrap();
        let acme = store.account_of_uid("uid-acme").await.unwrap().unwrap().ledger;
        let other = store.account_of_uid("uid-other").await.unwrap().unwrap().ledger;
        let metrics = ReplicaMetrics::default();
        let stores = portal(&primary, &replica, metrics.clone()).await;
        Some(Self {
            stores,
            metrics,
            acme,
            other,
            replica,
            replica_folder,
            _program: program,
            primary,
        })
    }

    /// What a request of that tenant reads as its setting, and whether the replica said it.
    async fn read(&self, ledger: LedgerId) -> (Option<String>, bool) {
        let (before, _) = self.metrics.reads();
        let store = self.stores.of(ledger).await.unwrap();
        let setting = store.settings(ledger).await.unwrap().remove("budget");
        (setting, self.metrics.reads().0 > before)
    }

    /// Sees whether the replica is usable, until it is told to end.
    fn watch(&self) -> (CancellationToken, JoinHandle<()>) {
        let shutdown = CancellationToken::new();
        let watching = tokio::spawn(self.stores.clone().watch_replica(shutdown.clone()));
        (shutdown, watching)
    }
}

/// What one more server of the portal has.
async fn portal(primary: &Server, replica: &Server, metrics: ReplicaMetrics) -> TenantStores {
    let store = Store::connect(&primary.url(), false).await.unwrap();
    let (stores, _) = TenantStores::open(store).await.unwrap();
    stores.with_replica(&replica.url(), metrics).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_read_from_the_replica_once_it_has_what_they_wrote_and_from_the_primary_when_it_is_away() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    let (acme, other) = (bench.acme, bench.other);
    let (shutdown, watching) = bench.watch();
    until("it is usable", async || bench.metrics.is_usable()).await;
    assert_eq!(bench.read(acme).await, (None, true));

    // While the replica stands still, its own write is read from the primary, by every request and server.
    bench.replica.ask("SELECT pg_wal_replay_pause()::text").await;
    let writing = bench.stores.of(acme).await.unwrap();
    writing.set_setting(acme, "budget", "5").await.unwrap();
    let at_once = writing.settings(acme).await.unwrap();
    assert_eq!(at_once["budget"], "5", "also within the request");
    assert_eq!(bench.read(acme).await, (Some("5".into()), false));
    let elsewhere = portal(&bench.primary, &bench.replica, bench.metrics.clone()).await;
    let read = elsewhere.of(acme).await.unwrap().settings(acme).await.unwrap();
    assert_eq!(read["budget"], "5", "another server knows of it");
    assert_eq!(
        bench.read(other).await,
        (None, true),
        "who wrote nothing misses nothing"
    );
    // Posted usage is written by another way; that it was is noted by this one.
    let taken = bench.stores.of(acme).await.unwrap();
    let then = "2026-11-11T00:00:00Z".parse().unwrap();
    taken
        .note(acme, &Holder::of_account(), "report usage", "1 events", then)
        .await
        .unwrap();

    bench.replica.ask("SELECT pg_wal_replay_resume()::text").await;
    until("it has caught up", async || {
        bench.read(acme).await == (Some("5".into()), true)
    })
    .await;

    // A replica that goes is missed by nobody, and used again when it is back.
    bench.replica.stop();
    assert_eq!(bench.read(acme).await, (Some("5".into()), false));
    assert!(!bench.metrics.is_usable());
    bench.replica.start(&bench.replica_folder);
    until("it is back", async || {
        bench.read(acme).await == (Some("5".into()), true)
    })
    .await;
    shutdown.cancel();
    watching.await.unwrap();
    for stores in [bench.stores, elsewhere] {
        stores.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_promoted_has_no_say_from_then_on_and_is_never_found_usable() {
    let Some(bench) = Bench::start().await else {
        return;
    };
    // Opened first: what that writes is there before the last write.
    let anew = ReplicaMetrics::default();
    let portal = portal(&bench.primary, &bench.replica, anew.clone()).await;
    let writing = bench.stores.of(bench.acme).await.unwrap();
    writing.set_setting(bench.acme, "budget", "5").await.unwrap();
    let (shutdown, watching) = bench.watch();
    until("it has all that was written", async || {
        bench.read(bench.acme).await == (Some("5".into()), true)
    })
    .await;
    shutdown.cancel();
    watching.await.unwrap();

    // It is a server of its own, with another history. Nobody has looked since.
    let folder = bench.replica_folder.to_str().unwrap();
    bench.replica.run("pg_ctl", &["-D", folder, "-w", "promote"]);
    assert!(bench.metrics.is_usable());
    let elsewhere = Store::connect(&bench.replica.url(), false).await.unwrap();
    elsewhere.set_setting(bench.acme, "budget", "99").await.unwrap();
    assert_eq!(bench.read(bench.acme).await, (Some("5".into()), false));
    assert!(!bench.metrics.is_usable(), "and it is said");

    // A look finds the same, although it lacks nothing that the primary has, and a server that starts now does not use it.
    let shutdown = CancellationToken::new();
    let watching = tokio::spawn(portal.clone().watch_replica(shutdown.clone()));
    let first = last_look(&bench.replica).await;
    until("it looks again, so that the first look is over", async || {
        last_look(&bench.replica).await > first
    })
    .await;
    assert!(!anew.is_usable());
    shutdown.cancel();
    watching.await.unwrap();
    for stores in [bench.stores, portal] {
        stores.close().await;
    }
}

/// When somebody last looked whether that server is a usable replica; waits until somebody has.
async fn last_look(server: &Server) -> String {
    let looks = "SELECT coalesce(max(query_start)::text, '') FROM pg_stat_activity
        WHERE query LIKE '%pg_last_wal_replay_lsn%' AND pid <> pg_backend_pid()";
    until("somebody looks", async || !server.ask(looks).await.is_empty()).await;
    server.ask(looks).await
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
