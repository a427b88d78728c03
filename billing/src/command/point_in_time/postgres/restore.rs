//! Back to an instant: a base is copied, the log replayed on it, and what came out is verified. The server that does so hears
//! nobody else and archives nothing; the operator starts the real one.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Child, Command};

use anyhow::{Context as _, bail, ensure};
use serde_json::json;

use super::super::programs::{Programs, run, sync_all};
use super::super::{RestoreArgs, verified};
use super::base::{BaseInfo, make_empty, read_info};
use super::{DATA, replay};
use crate::store::Store;

/// PostgreSQL's own settings of one server.
const OWN_SETTINGS: &str = "postgresql.auto.conf";
/// What it cannot start without, which some packages keep elsewhere.
const SETTINGS: &str = "postgresql.conf";
const SIGNAL: &str = "recovery.signal";

pub(in super::super) async fn restore(base: &Path, args: RestoreArgs) -> anyhow::Result<()> {
    let own = fs::metadata("/proc/self").context("/proc cannot be read")?;
    ensure!(
        own.uid() != 0,
        "PostgreSQL does not run as root: run this as the user that it runs as, as by `sudo -u postgres`"
    );
    let info = read_info(base)?;
    if let Some(at) = args.at {
        ensure!(
            at >= info.usable_from,
            "that base was made at {}, after that instant: take an older one",
            info.usable_from
        );
    }
    let restore_command = match (&args.restore_command, &args.archive) {
        (Some(command), _) => command.clone(),
        (None, Some(archive)) => {
            let whole = fs::canonicalize(archive);
            replay::copy_from(&whole.with_context(|| format!("{} cannot be read", archive.display()))?)
        }
        (None, None) => bail!("--archive is missing"),
    };
    let programs = args.programs.of(&info.major);
    let from = base.join(DATA);
    eprintln!("verifying the base");
    let mut verify = programs.command("pg_verifybackup");
    verify.arg(&from);
    run(verify, "pg_verifybackup").await?;
    make_empty(&args.to)?;
    eprintln!("copying the base");
    let (copy_from, copy_to) = (from.clone(), args.to.clone());
    tokio::task::spawn_blocking(move || copy_all(&copy_from, &copy_to))
        .await?
        .with_context(|| format!("the base cannot be copied to {}", args.to.display()))?;
    let settings = replay::settings(&restore_command, args.at);
    replay_and_verify(&args.to, &programs, &info, &settings).await
}

/// A folder with all that is in it, with the permissions that PostgreSQL wants.
fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

async fn replay_and_verify(
    data: &Path,
    programs: &Programs,
    info: &BaseInfo,
    settings: &str,
) -> anyhow::Result<()> {
    let written = |path: &Path| format!("{} cannot be written", path.display());
    let own_settings = data.join(OWN_SETTINGS);
    let before = fs::read_to_string(&own_settings).unwrap_or_default();
    fs::write(&own_settings, format!("{before}{settings}")).with_context(|| written(&own_settings))?;
    for name in [SETTINGS, SIGNAL] {
        let path = data.join(name);
        if !path.exists() {
            fs::write(&path, "").with_context(|| written(&path))?;
        }
    }
    let door = tempfile::tempdir().context("a temporary folder cannot be made")?;
    eprintln!("replaying the write-ahead log");
    let command = server(data, door.path(), programs)?;
    let (child, replayed) = tokio::task::spawn_blocking(move || replay::start(command)).await??;
    let said = json!({
        "to": data.display().to_string(), "base": info.usable_from, "files": replayed.files,
        "lastTransaction": replayed.last_transaction,
    });
    let verified = verify(door.path(), info, said).await;
    stop(child, data, programs).await?;
    // It will not replay again; what told it to is of no use to the real server.
    fs::write(&own_settings, before).with_context(|| written(&own_settings))?;
    let folder = data.to_owned();
    tokio::task::spawn_blocking(move || sync_all(&folder)).await??;
    verified
}

/// The server that replays: reached through a folder that only this user may enter.
fn server(data: &Path, door: &Path, programs: &Programs) -> anyhow::Result<Command> {
    let rules = door.join("pg_hba.conf");
    fs::write(&rules, "local all all trust\n").context("a temporary file cannot be written")?;
    let mut command = programs.command("postgres");
    command.arg("-D").arg(data);
    for (name, value) in [
        ("listen_addresses", String::new()),
        ("unix_socket_directories", door.display().to_string()),
        ("hba_file", rules.display().to_string()),
        ("port", "5432".to_owned()),
        ("archive_mode", "off".to_owned()),
        // Nobody reads before all is replayed, so the primary's limits need not be known.
        ("hot_standby", "off".to_owned()),
        ("logging_collector", "off".to_owned()),
        ("log_destination", "stderr".to_owned()),
        ("log_min_messages", "log".to_owned()),
        ("lc_messages", "C".to_owned()),
        ("ssl", "off".to_owned()),
    ] {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    Ok(command)
}

async fn verify(door: &Path, info: &BaseInfo, said: serde_json::Value) -> anyhow::Result<()> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let url = format!(
        "postgres:///?host={}&port=5432&dbname={}&user={}",
        encoded(&door.display().to_string()),
        encoded(&info.database),
        encoded(&info.user)
    );
    let opened = Store::connect(&url, false).await;
    let store = opened.context("the restored database cannot be opened")?;
    let verified = verified(&store, said).await;
    store.close().await;
    verified
}

async fn stop(mut child: Child, data: &Path, programs: &Programs) -> anyhow::Result<()> {
    let mut command = programs.command("pg_ctl");
    command.arg("stop").arg("-D").arg(data).args(["-m", "fast", "-w"]);
    let stopped = run(command, "pg_ctl").await;
    if stopped.is_err() {
        // It may have ended already.
        drop(child.kill());
    }
    let waiting = tokio::task::spawn_blocking(move || child.wait());
    waiting.await?.context("postgres cannot be waited for")?;
    stopped
}
