//! A temporary PostgreSQL: its own folder, a free port on loopback, gone when dropped or when this process dies. It runs
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
use crate::command::{output, tail};
use crate::guard::Guard;
use crate::workspace::is_root;

/// Environment variable that gives tests the administrator's address of the server.
pub(crate) const VARIABLE: &str = "SPRINGTIDE_TEST_POSTGRES";

/// A running server.
pub(crate) struct Postgres {
    address: String,
    _guard: Guard,
}

impl Postgres {
    /// Starts a server from the programs in `bin`.
    pub(crate) fn start(bin: &Path) -> Result<Self> {
        let folder = new_folder()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
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
        let mut init = server_program(bin, "initdb", &folder);
        init.arg("--pgdata")
            .arg(&data)
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"]);
        output(init.args(["--locale=C.UTF-8", "--no-sync", "--no-instructions"]))?;
        let log = folder.join("log");
        spawn(bin, &folder, &data, port, &log)?;
        wait_until("PostgreSQL", Duration::from_secs(30), || {
            let ready = Command::new(bin.join("pg_isready"))
                .args(["--quiet", "--host=127.0.0.1"])
                .arg(format!("--port={port}"))
                .status()?;
            Ok(Look::holds(ready.success()))
        })
        .with_context(|| tail(&fs::read_to_string(&log).unwrap_or_default(), 10))?;
        Ok(Self {
            address: format!("postgres://postgres@127.0.0.1:{port}/postgres"),
            _guard: guard,
        })
    }

    /// The administrator's address.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

/// Durability is not under test here; many tests at once are.
fn spawn(bin: &Path, folder: &Path, data: &Path, port: u16, log: &Path) -> Result<()> {
    let mut server = server_program(bin, "pg_ctl", folder);
    let settings = format!(
        "-p {port} -k {} -c listen_addresses=127.0.0.1 -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=400",
        folder.display()
    );
    server
        .arg("-D")
        .arg(data)
        .arg("-l")
        .arg(log)
        .args(["-w", "-o", &settings, "start"]);
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

fn server_program(bin: &Path, name: &str, folder: &Path) -> Command {
    let program = bin.join(name);
    let mut command = if is_root() {
        let mut as_user = Command::new("setpriv");
        as_user
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
            .arg(program);
        as_user
    } else {
        Command::new(program)
    };
    command.current_dir(folder);
    command
}

fn new_folder() -> Result<PathBuf> {
    let folder = env::temp_dir().join(format!("springtide-postgres-{}", process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    if is_root() {
        output(Command::new("chown").arg("postgres:postgres").arg(&folder))?;
    }
    Ok(folder)
}
