//! A disk that is full: the spool refuses what it cannot keep, says so, and loses nothing that it took.
use std::path::Path;
use std::process::Command;

use springtide_proto::metering::Delivery;
use springtide_runtime::spool::{Spool, SpoolError};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_on_a_full_disk_refuses_and_says_so_and_keeps_every_record_it_took() {
    // Mounting needs the rights that the cluster needs, too.
    if std::env::var_os("SPRINGTIDE_CLUSTER_STATE").is_none() {
        assert!(
            std::env::var("CI").is_err(),
            "run by `cargo xtask test`, which is root"
        );
        println!("skipped: run `cargo xtask test`");
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
