//! A base backup.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::postgres::PgConnectOptions;

use super::super::BaseArgs;
use super::super::programs::{run, sync_all};
use super::super::urls::without_password;
use super::{BASE, DATA};
use crate::command::export::Lines;
use crate::store::Store;
use crate::store::archiving::Archiving;

/// What a base is of.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BaseInfo {
    /// PostgreSQL's major version.
    pub(super) major: String,
    /// The first instant that it can restore.
    pub(super) usable_from: Timestamp,
    pub(super) database: String,
    pub(super) user: String,
}

pub(in super::super) async fn base(store: &Store, database_url: &str, args: BaseArgs) -> anyhow::Result<()> {
    let archiving = store.archiving().await?;
    ensure!(
        matches!(archiving, Archiving::Postgres(_)),
        "of a SQLite database the server makes bases itself: `serve --archive FOLDER`"
    );
    let findings = archiving.findings();
    for finding in &findings {
        eprintln!("{finding}");
    }
    ensure!(
        !findings.iter().any(crate::store::archiving::Finding::is_needed),
        "a base would be of no use: nothing later could be replayed on it"
    );
    let major = archiving.major().context("PostgreSQL does not say its version")?;
    let folder = args.to;
    make_empty(&folder)?;
    let programs = args.programs.of(&major);
    let data = folder.join(DATA);
    let (url, password) = without_password(database_url);
    let mut copy = programs.command("pg_basebackup");
    copy.arg("--pgdata").arg(&data).args([
        "--format=plain",
        "--wal-method=stream",
        "--checkpoint=fast",
        "--label=springtide",
        "--progress",
        "--verbose",
    ]);
    copy.arg(format!("--dbname={url}"));
    if let Some(password) = password {
        copy.env("PGPASSWORD", password);
    }
    eprintln!("copying PostgreSQL's files");
    run(copy, "pg_basebackup").await?;
    // After all that was copied; an instant before it would need an older base.
    let usable_from = store.now().await?;
    eprintln!("verifying the copy");
    let mut verify = programs.command("pg_verifybackup");
    verify.arg(&data);
    run(verify, "pg_verifybackup").await?;
    let info = info_of(major, usable_from, database_url)?;
    write_info(&folder, &info)?;
    let mut out = Lines::new();
    out.write(&json!({"base": {"to": folder.display().to_string(), "usableFrom": info.usable_from}}))?;
    out.finish()
}

fn info_of(major: String, usable_from: Timestamp, database_url: &str) -> anyhow::Result<BaseInfo> {
    let options: PgConnectOptions = database_url.parse()?;
    let user = options.get_username().to_owned();
    Ok(BaseInfo {
        major,
        usable_from,
        database: options.get_database().unwrap_or(&user).to_owned(),
        user,
    })
}

fn write_info(folder: &Path, info: &BaseInfo) -> anyhow::Result<()> {
    let path = folder.join(BASE);
    fs::write(&path, serde_json::to_vec_pretty(info)?)
        .and_then(|()| sync_all(&path))
        .and_then(|()| fs::File::open(folder)?.sync_all())
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// Makes a folder, which may be there if nothing is in it.
pub(super) fn make_empty(folder: &Path) -> anyhow::Result<()> {
    let made = fs::create_dir_all(folder).and_then(|()| Ok(fs::read_dir(folder)?.next().is_none()));
    let is_empty = made.with_context(|| format!("{} cannot be made", folder.display()))?;
    ensure!(is_empty, "the folder {} is not empty", folder.display());
    Ok(())
}

pub(super) fn read_info(folder: &Path) -> anyhow::Result<BaseInfo> {
    let path = folder.join(BASE);
    let text = fs::read(&path).with_context(|| {
        format!(
            "{} cannot be read: {} is no base that `point-in-time base` finished",
            path.display(),
            folder.display()
        )
    })?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not understood", path.display()))
}
