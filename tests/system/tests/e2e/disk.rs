//! A disk that is full: the spool refuses what it cannot keep, says so, and loses nothing that it took; customers are told
//! to come again, and are answered as soon as there is room.
use std::path::Path;
use std::process::Command;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use springtide_proto::metering::Delivery;
use springtide_runtime::spool::{Spool, SpoolError};
use springtide_tests::load::Client;
use springtide_tests::parts::{REFUND, Tenant, Worker};

/// A small disk of its own; gone when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        mount(
            &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"],
            folder.path(),
        );
        Self(folder)
    }

    fn grow(&self, size: &str) {
        mount(&["-o", &format!("remount,size={size}")], self.0.path());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a reader may still be closing its files.
        drop(Command::new("umount").arg("--lazy").arg(self.0.path()).status());
    }
}

fn mount(words: &[&str], folder: &Path) {
    assert!(
        Command::new("mount")
            .args(words)
            .arg(folder)
            .status()
            .unwrap()
            .success()
    );
}

/// Mounting needs the rights that the cluster needs, too.
fn may_mount() -> bool {
    let may = std::env::var_os("SPRINGTIDE_CLUSTER_STATE").is_some();
    if !may {
        assert!(
            std::env::var("CI").is_err(),
            "run by `cargo xtask test`, which is root"
        );
        println!("skipped: run `cargo xtask test`");
    }
    may
}

/// Sends one turn of a conversation of its own.
async fn ask(client: &Client, number: u32) -> (StatusCode, Value) {
    let path = format!("/v1/conversations/c{number}/turns");
    let turn = json!({"turn_id": "t1", "text": REFUND}).to_string();
    let (status, body) = client.request(Method::POST, &path, turn).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

/// Customers ask until the disk is full; what the first one is told who is not answered.
async fn fill(client: &Client) -> (u32, StatusCode, Value) {
    let mut answered = 0;
    loop {
        let (status, body) = ask(client, answered).await;
        if status != StatusCode::OK {
            assert!(answered > 0, "{body}");
            return (answered, status, body);
        }
        answered += 1;
        assert!(answered < 3_000, "a disk of 512 KiB never filled");
    }
}

/// With room the same turn is answered, and all that ever was is on the disk.
async fn goes_on(client: &Client, worker: &Worker, disk: &SmallDisk, answered: u32) {
    let (status, reply) = ask(client, answered).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    worker.kill();
    let again = Spool::open(disk.0.path()).await.unwrap();
    assert!(
        again.depth() > u64::from(answered),
        "{} of {answered}",
        again.depth()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_of_a_gateway_whose_disk_is_full_are_told_to_come_again_and_nothing_is_lost() {
    if !may_mount() {
        return;
    }
    let (disk, tenant) = (SmallDisk::new("512k"), Tenant::new().unwrap());
    let worker = tenant.worker("one", 5_000).await.unwrap();
    let gateway = tenant
        .gateway_with_spool(&[&worker], disk.0.path())
        .await
        .unwrap();
    let client = Client::new(&gateway.url).unwrap();
    let (answered, status, refusal) = fill(&client).await;
    let reason = refusal["error"]["reason"].as_str();
    assert_eq!(
        (status, reason),
        (StatusCode::SERVICE_UNAVAILABLE, Some("SPOOL_UNAVAILABLE")),
        "{refusal}"
    );
    disk.grow("8m");
    goes_on(&client, &worker, &disk, answered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_of_a_worker_whose_disk_is_full_wait_for_another_and_nothing_is_lost() {
    if !may_mount() {
        return;
    }
    let (disk, tenant) = (SmallDisk::new("512k"), Tenant::new().unwrap());
    let worker = tenant
        .worker_with_spool("one", 5_000, disk.0.path())
        .await
        .unwrap();
    let gateway = tenant.gateway(&[&worker]).await.unwrap();
    let client = Client::new(&gateway.url).unwrap();
    let (answered, status, told) = fill(&client).await;
    // Another worker may have room on its disk: until one is there, they wait.
    assert_eq!(
        (status, told["waiting"].as_bool()),
        (StatusCode::ACCEPTED, Some(true)),
        "{told}"
    );
    disk.grow("8m");
    gateway.know(&[&worker]);
    goes_on(&client, &worker, &disk, answered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_on_a_full_disk_refuses_and_says_so_and_keeps_every_record_it_took() {
    if !may_mount() {
        return;
    }
    let disk = SmallDisk::new("512k");
    let spool = Spool::open(disk.0.path()).await.unwrap();
    let mut taken = Vec::new();
    let refused = loop {
        match spool.append(vec![7; 4_000], Delivery::Delivered, false).await {
            Ok(sequence) => taken.push(sequence),
            Err(error) => break error,
        }
        assert!(taken.len() < 1_000, "a disk of 512 KiB never filled");
    };
    assert!(matches!(refused, SpoolError::Write(_)), "{refused:?}");
    assert!(
        !taken.is_empty() && spool.is_failing(),
        "{} records taken",
        taken.len()
    );
    let kept = |records: Vec<springtide_runtime::spool::SpooledRecord>| {
        records
            .into_iter()
            .map(|record| record.sequence)
            .collect::<Vec<_>>()
    };
    assert_eq!(kept(spool.oldest(1_000).await.unwrap()), taken);
    disk.grow("8m");
    spool.probe().await.unwrap();
    assert!(!spool.is_failing(), "with room it works again");
    taken.push(
        spool
            .append(vec![8; 10], Delivery::Delivered, false)
            .await
            .unwrap(),
    );
    let again = Spool::open(disk.0.path()).await.unwrap();
    assert_eq!(
        kept(again.oldest(1_000).await.unwrap()),
        taken,
        "also after a restart"
    );
}
