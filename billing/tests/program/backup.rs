//! Backups that are taken while usage comes in, restored into a database of either kind.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use springtide_billing::store::Store;

use super::books::{self, Acknowledged, TENTH};
use super::kills::{Traffic, end_traffic, register_all, start_traffic};
use super::server::{Program, binary, postgres_url, register_tenant, sqlite_url};

/// Runs a command on a database; what it says on standard error if it fails.
fn run(arguments: &[&str], database_url: &str) -> Result<(), String> {
    let output = binary()
        .args(arguments)
        .args(["--database-url", database_url])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        Ok(())
    } else {
        Err(said)
    }
}

fn path(folder: &Path) -> &str {
    folder.to_str().unwrap()
}

async fn store(url: &str) -> Store {
    Store::connect(url, false).await.unwrap()
}

fn acknowledged(traffic: &Traffic) -> Acknowledged {
    traffic.acknowledged.lock().unwrap().clone()
}

async fn until(traffic: &Traffic, batches: usize) {
    while acknowledged(traffic)
        .values()
        .map(std::collections::BTreeSet::len)
        .sum::<usize>()
        < batches
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Usage and bills before, usage meanwhile; then everything that was ever sent comes again to the restored database.
async fn a_backup_under_load_is_restored(program: Program, targets: Vec<String>) {
    register_all(&program).await;
    let traffic = Arc::new(Traffic::default());
    let connectors = [program.connector(), program.connector()];
    let senders = start_traffic(&connectors, &traffic);
    until(&traffic, 300).await;
    run(
        &["close", "--period", "2021-11", "--issue"],
        &program.database_url,
    )
    .unwrap();
    let before = acknowledged(&traffic);
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    let backing = {
        let (url, to) = (program.database_url.clone(), path(&backup).to_owned());
        tokio::task::spawn_blocking(move || run(&["backup", "--to", &to], &url))
    };
    backing.await.unwrap().unwrap();
    let bills = books::bills(&store(&program.database_url).await).await;
    assert!(
        run(&["backup", "--to", path(&backup)], &program.database_url)
            .unwrap_err()
            .contains("not empty")
    );
    until(&traffic, 600).await;
    end_traffic(&traffic, senders).await;
    for target in targets {
        run(&["restore", "--from", path(&backup)], &target).unwrap();
        let refused = run(&["restore", "--from", path(&backup)], &target).unwrap_err();
        assert!(refused.contains("the database is not empty"), "{refused}");
        let restored = store(&target).await;
        assert_eq!(books::bills(&restored).await, bills, "bills are the same bytes");
        let rows = books::held(&restored).await;
        for (key, turns) in &before {
            assert!(
                rows[key].is_superset(turns),
                "{key:?}: what was acknowledged before is in the backup"
            );
        }
        books::check(&restored, &rows).await;
        let server = Program::start_on(tempfile::tempdir().unwrap(), target).await;
        let again = Arc::new(Traffic::default());
        register_tenant(&server, "delta", TENTH).await;
        let senders = start_traffic(&[server.connector(), server.connector()], &again);
        until(&again, 900).await;
        end_traffic(&again, senders).await;
        run(&["close", "--period", "2021-12", "--issue"], &server.database_url).unwrap();
        let mut all = acknowledged(&again);
        for (key, turns) in rows {
            all.entry(key).or_default().extend(turns);
        }
        let issued = books::check(&store(&server.database_url).await, &all).await;
        assert!(issued > bills.len(), "numbers and chain go on");
    }
}

async fn targets(folder: &Path) -> Vec<String> {
    let mut targets = vec![sqlite_url(folder)];
    targets.extend(postgres_url().await);
    targets
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_sqlite_under_load_is_restored_into_either_database_and_usage_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    a_backup_under_load_is_restored(Program::start().await, targets(folder.path()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_postgres_under_load_is_restored_into_either_database_and_usage_goes_on() {
    let Some(url) = postgres_url().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start_on(tempfile::tempdir().unwrap(), url).await;
    a_backup_under_load_is_restored(program, targets(folder.path()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_was_changed_restores_nothing() {
    let program = Program::start().await;
    register_all(&program).await;
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    run(&["backup", "--to", path(&backup)], &program.database_url).unwrap();
    let (file, target) = (backup.join("account.jsonl"), sqlite_url(folder.path()));
    let text = std::fs::read_to_string(&file).unwrap();
    let cut = text.split_inclusive('\n').next().unwrap();
    for changed in [text.replace("acme", "acne"), cut.to_owned()] {
        std::fs::write(&file, changed).unwrap();
        let refused = run(&["restore", "--from", path(&backup)], &target).unwrap_err();
        assert!(refused.contains("not what the manifest says"), "{refused}");
        assert!(store(&target).await.accounts().await.unwrap().is_empty());
    }
    std::fs::write(&file, text).unwrap();
    run(&["restore", "--from", path(&backup)], &target).unwrap();
    assert_eq!(store(&target).await.accounts().await.unwrap().len(), 3);
    std::fs::remove_file(backup.join("manifest.json")).unwrap();
    assert!(
        run(&["restore", "--from", path(&backup)], &target)
            .unwrap_err()
            .contains("manifest.json")
    );
}
