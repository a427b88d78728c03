//! Debian packages: installs what is absent, removes nothing, asks nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::command::exists;
use crate::progress::Step;
use crate::workspace::{is_root, root};

/// A program (or file) that we need, and the package that brings it.
pub(crate) type Need = (&'static str, &'static str);

/// What the cluster needs.
pub(crate) const CLUSTER: &[Need] = &[
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("/usr/lib/cni/ptp", "containernetworking-plugins"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("socat", "socat"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("strip", "binutils"),
];
/// What the tests of the portal and of PDFs need.
pub(crate) const BROWSER: &[Need] = &[
    ("chromium", "chromium"),
    ("chromedriver", "chromium-driver"),
    ("pdftotext", "poppler-utils"),
];
/// What the OpenID provider of the portal's tests runs on.
const NODE: &[Need] = &[("node", "nodejs"), ("npm", "npm")];
const POSTGRES: &str = "postgresql-15";
/// Debian's PostgreSQL package starts a server of its own unless this file says no.
const POSTGRES_SETTINGS: &str = "/etc/postgresql-common/createcluster.conf";

/// Installs what is absent of `needs`.
pub(crate) fn ensure(step: &Step, needs: &[Need]) -> Result<()> {
    let there = |program: &str| {
        if program.starts_with('/') {
            Path::new(program).exists()
        } else {
            exists(program)
        }
    };
    let missing: Vec<&str> = needs
        .iter()
        .filter(|(program, _)| !there(program))
        .map(|(_, package)| *package)
        .collect();
    install(step, &missing)
}

/// Installs the OpenID provider of the portal's tests, in the versions of its lock file; nothing where that was done.
pub(crate) fn ensure_openid_provider(step: &Step) -> Result<()> {
    let folder = root()?.join("tests/openid-provider");
    // npm writes the former as a copy of the latter, less what is not installed.
    let (installed, locked) = (
        folder.join("node_modules/.package-lock.json"),
        folder.join("package-lock.json"),
    );
    let age = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    if age(&installed).is_some_and(|installed| age(&locked) <= Some(installed)) && exists("node") {
        return Ok(());
    }
    ensure(step, NODE)?;
    let mut npm = Command::new("npm");
    npm.current_dir(&folder)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    step.run(&mut npm)
}

/// Installs PostgreSQL where there is none, without its auto-started server.
pub(crate) fn ensure_postgres(step: &Step) -> Result<()> {
    if postgres_programs().is_some() {
        return Ok(());
    }
    if is_root() && !Path::new(POSTGRES_SETTINGS).exists() {
        fs::create_dir_all("/etc/postgresql-common")?;
        fs::write(POSTGRES_SETTINGS, "create_main_cluster = false\n")?;
    }
    install(step, &[POSTGRES])
}

/// The folder of the newest PostgreSQL's server programs.
pub(crate) fn postgres_programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.map_while(Result::ok);
    let complete = versions
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").is_file());
    complete.max()
}

fn install(step: &Step, packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !is_root() || !exists("apt-get") {
        bail!("not installed here: {list}; install these packages, or run this as root on Debian or Ubuntu");
    }
    step.note(&format!("installing {list}"));
    step.run(apt().arg("update"))?;
    step.run(
        apt()
            .args(["install", "--yes", "--no-remove", "--no-install-recommends"])
            .args(packages),
    )?;
    Ok(())
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt.args([
        "-o",
        "DPkg::Lock::Timeout=300",
        "-o",
        "Dpkg::Options::=--force-confold",
        "--quiet=2",
    ]);
    apt
}
