//! PostgreSQL's own programs: where they are, and what they say when they fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use clap::Args;

/// Where packages of several versions put them.
const PACKAGED: &str = "/usr/lib/postgresql";

#[derive(Args, Clone, Debug)]
pub(super) struct ProgramsArgs {
    /// Folder of PostgreSQL's programs (pg_basebackup, postgres); else they are looked for in /usr/lib/postgresql/VERSION/bin
    /// and in PATH
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
}

/// The programs of one version.
pub(super) struct Programs(Option<PathBuf>);

impl ProgramsArgs {
    /// Those of a major version.
    pub(super) fn of(&self, major: &str) -> Programs {
        let packaged = Path::new(PACKAGED).join(major).join("bin");
        let packaged = packaged.join("postgres").is_file().then_some(packaged);
        Programs(self.programs.clone().or(packaged))
    }
}

impl Programs {
    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(match &self.0 {
            Some(folder) => folder.join(name),
            None => name.into(),
        });
        command.stdin(Stdio::null()).env("LC_ALL", "C");
        command
    }
}

/// Runs a program to its end; its words go to standard error as they come.
pub(super) async fn run(mut command: Command, name: &'static str) -> anyhow::Result<()> {
    command.stdout(Stdio::null());
    let running = tokio::task::spawn_blocking(move || command.status());
    let status = running
        .await?
        .with_context(|| format!("{name} cannot be run; --programs says where PostgreSQL's programs are"))?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}

/// Makes a folder's contents durable, all the way down.
pub(super) fn sync_all(path: &Path) -> std::io::Result<()> {
    let kind = fs::symlink_metadata(path)?.file_type();
    if kind.is_dir() {
        for entry in fs::read_dir(path)? {
            sync_all(&entry?.path())?;
        }
    }
    if kind.is_dir() || kind.is_file() {
        fs::File::open(path)?.sync_all()?;
    }
    Ok(())
}
