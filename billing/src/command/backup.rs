//! `backup` and `restore`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use springtide_runtime::clock::{Clock as _, SystemClock};

use super::export::Lines;
use crate::store::{Manifest, Store};

#[derive(Args, Debug)]
pub(super) struct BackupArgs {
    /// Folder that is made for it; it must be empty if it is there
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
}

#[derive(Args, Debug)]
pub(super) struct RestoreArgs {
    /// Folder of a backup
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,
}

impl BackupArgs {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let manifest = store
            .back_up(&self.to, SystemClock.now())
            .await
            .context("there is no backup")?;
        say("backedUp", &manifest)
    }
}

impl RestoreArgs {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let manifest = store
            .restore(&self.from, SystemClock.now())
            .await
            .context("nothing was restored")?;
        store.close().await;
        say("restored", &manifest)
    }
}

fn say(what: &str, manifest: &Manifest) -> anyhow::Result<()> {
    let rows: u64 = manifest.tables.iter().map(|table| table.rows).sum();
    let mut out = Lines::new();
    out.write(&json!({what: {"tables": manifest.tables.len(), "rows": rows}}))?;
    out.finish()
}
