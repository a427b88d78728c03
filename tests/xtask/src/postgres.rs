//! A temporary PostgreSQL: its own folder, a free port on loopback or an address of the cluster, gone when dropped or when
//! this process dies. It runs
//! as the user `postgres` where we are root, since PostgreSQL refuses root. Each test makes its own database in it.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, process};

use anyhow::{Context, Result, bail};

use crate::clock::{Look, wait_until};
use crate::cluster::in_netns;
use crate::command::{output, tail};
use crate::guard::Guard;
use crate::workspace::is_root;

/// Environment variable that gives tests the administrator's address of the server.
pub(crate) const VARIABLE: &str = "SPRINGTIDE_TEST_POSTGRES";

/// Who may come from the cluster: its services, nodes and pods, which no address outside this machine is.
const CLUSTER_CLIENTS: &str = "host all all 10.96.0.0/14 trust\n";

/// Where a server listens.
struct Place<'a> {
    netns: Option<&'a str>,
    address: &'a str,
    port: u16,
    settings: &'a [(&'a str, &'a str)],
}

/// Durability is not under test in tests; many of them at once are.
const FOR_TESTS: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("max_connections", "400"),
];

/// A running server.
pub(crate) struct Postgres {
    address: String,
    folder: PathBuf,
    _guard: Guard,
}

impl Postgres {
    /// Starts a server from the programs in `bin`, on a free port of loopback.
    pub(crate) fn start(bin: &Path) -> Result<Self> {
        Self::start_with(bin, FOR_TESTS)
    }

    /// The same with other settings.
    pub(crate) fn start_with(bin: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let place = Place {
            netns: None,
            address: "127.0.0.1",
            port,
            settings,
        };
        Self::start_at(bin, &place)
    }

    /// Starts a server that the cluster's pods reach, at `address` in the network namespace `netns`.
    pub(crate) fn start_for_cluster(bin: &Path, netns: &str, address: &str, port: u16) -> Result<Self> {
        Self::start_at(
            bin,
            &Place {
                netns: Some(netns),
                address,
                port,
                settings: FOR_TESTS,
            },
        )
    }

    fn start_at(bin: &Path, place: &Place<'_>) -> Result<Self> {
        let Place {
            netns, address, port, ..
        } = *place;
        let folder = new_folder(port)?;
        let data = folder.join("data");
        let as_user = if is_root() {
            "setpriv --reuid=postgres --regid=postgres --clear-groups"
        } else {
            ""
        };
        let script =
            format!("cd /; {as_user} \"$0\" -D \"$1/data\" stop -m immediate >/dev/null 2>&1; rm -rf \"$1\"");
        let stop = bin.join("pg_ctl");
        let words = [
            "sh".as_ref(),
            "-c".as_ref(),
            script.as_ref(),
            stop.as_os_str(),
            folder.as_os_str(),
        ];
        let guard = Guard::new::<&OsStr>(&words)?;
        let mut init = server_program(bin, "initdb", &folder, None);
        init.arg("--pgdata")
            .arg(&data)
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"]);
        output(init.args(["--locale=C.UTF-8", "--no-sync", "--no-instructions"]))?;
        let rules = data.join("pg_hba.conf");
        let listed = fs::read_to_string(&rules).context("cannot read PostgreSQL's list of clients")?;
        fs::write(&rules, listed + CLUSTER_CLIENTS).context("cannot write PostgreSQL's list of clients")?;
        let log = folder.join("log");
        spawn(bin, &folder, &data, place, &log)?;
        wait_until("PostgreSQL", Duration::from_secs(30), || {
            let program = bin.join("pg_isready").display().to_string();
            let words = [
                program,
                "--quiet".to_owned(),
                format!("--host={address}"),
                format!("--port={port}"),
            ];
            let ready = in_netns(netns, &words).status()?;
            Ok(Look::holds(ready.success()))
        })
        .with_context(|| tail(&fs::read_to_string(&log).unwrap_or_default(), 10))?;
        Ok(Self {
            address: format!("postgres://postgres@{address}:{port}/postgres"),
            folder,
            _guard: guard,
        })
    }

    /// Where the server may write files.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The administrator's address.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

fn spawn(bin: &Path, folder: &Path, data: &Path, place: &Place<'_>, log: &Path) -> Result<()> {
    let Place {
        netns,
        address,
        port,
        settings,
    } = *place;
    let mut server = server_program(bin, "pg_ctl", folder, netns);
    let first = format!("-p {port} -k {} -c listen_addresses={address}", folder.display());
    let others = settings.iter().map(|(name, value)| format!("-c {name}={value}"));
    let words: Vec<_> = std::iter::once(first).chain(others).collect();
    let words = words.join(" ");
    server
        .arg("-D")
        .arg(data)
        .arg("-l")
        .arg(log)
        .args(["-w", "-o", &words, "start"]);
    // pg_ctl hands its pipes to the server, which would keep us waiting for their end.
    let status = server
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !status.success() {
        bail!(
            "PostgreSQL did not start:\n{}",
            tail(&fs::read_to_string(log).unwrap_or_default(), 10)
        );
    }
    Ok(())
}

fn server_program(bin: &Path, name: &str, folder: &Path, netns: Option<&str>) -> Command {
    let program = bin.join(name).display().to_string();
    let as_user = [
        "setpriv",
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
    ]
    .map(str::to_owned);
    let mut words = if is_root() { as_user.to_vec() } else { Vec::new() };
    words.push(program);
    let mut command = in_netns(netns, &words);
    command.current_dir(folder);
    command
}

fn new_folder(port: u16) -> Result<PathBuf> {
    let folder = env::temp_dir().join(format!("springtide-postgres-{}-{port}", process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    if is_root() {
        output(Command::new("chown").arg("postgres:postgres").arg(&folder))?;
    }
    Ok(folder)
}
