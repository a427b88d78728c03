//! A PostgreSQL server of a test's own.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use sqlx::{Connection as _, PgConnection};

use super::server::free_address;

/// A server that keeps its write-ahead log.
pub(crate) struct Server {
    bin: PathBuf,
    pub(crate) folder: Arc<tempfile::TempDir>,
    pub(crate) port: u16,
    /// Where it runs now.
    data: Option<PathBuf>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Server {
    /// `None` where PostgreSQL's programs are not installed.
    pub(crate) fn new() -> Option<Self> {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?.map_while(Result::ok);
        let bin = versions
            .map(|entry| entry.path().join("bin"))
            .filter(|bin| bin.join("initdb").is_file())
            .max()?;
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let server = Self {
            bin,
            folder,
            port: free_address().port(),
            data: None,
        };
        fs::create_dir(server.folder.path().join("log")).unwrap();
        if is_root() {
            let folder = server.folder.path();
            assert!(
                Command::new("chown")
                    .args(["-R", "postgres"])
                    .arg(folder)
                    .status()
                    .unwrap()
                    .success()
            );
        }
        let data = server.folder.path().join("data");
        server.run(
            "initdb",
            &[
                "-U",
                "postgres",
                "-A",
                "trust",
                "-N",
                "-D",
                data.to_str().unwrap(),
            ],
        );
        Some(server)
    }

    /// Not as root, which PostgreSQL refuses.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) {
        let status = self
            .command(program, arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "{program} {arguments:?}");
    }

    /// The same, with what it says.
    pub(crate) fn output(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program, arguments).output().unwrap()
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let program = self.bin.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                .arg(&program);
            command
        } else {
            Command::new(&program)
        };
        command.args(arguments).current_dir(self.folder.path());
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn start(&mut self, data: &Path) {
        let folder = self.folder.path().display();
        let options = format!(
            "-p {} -k {folder} -c listen_addresses=127.0.0.1 -c wal_level=replica -c archive_mode=on -c 'archive_command=cp %p {folder}/log/%f'",
            self.port
        );
        let log = self.folder.path().join(format!("server-{}.log", self.port));
        self.run(
            "pg_ctl",
            &[
                "-D",
                data.to_str().unwrap(),
                "-l",
                log.to_str().unwrap(),
                "-w",
                "-o",
                &options,
                "start",
            ],
        );
        self.data = Some(data.to_owned());
    }

    /// A base backup of it into a folder.
    pub(crate) fn back_up(&self, folder: &Path, more: &[&str]) {
        let port = self.port.to_string();
        let common = [
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "postgres",
            "-c",
            "fast",
            "-D",
            folder.to_str().unwrap(),
        ];
        self.run("pg_basebackup", &[&common, more].concat());
    }

    /// A streaming replica of it, on a port of its own; it is not started yet. With it the folder that it runs in.
    pub(crate) fn replica(&self) -> (Self, PathBuf) {
        let folder = self.folder.path().join("replica");
        self.back_up(&folder, &["-R"]);
        let replica = Self {
            bin: self.bin.clone(),
            folder: self.folder.clone(),
            port: free_address().port(),
            data: None,
        };
        (replica, folder)
    }

    pub(crate) fn stop(&mut self) {
        if let Some(data) = self.data.take() {
            self.run(
                "pg_ctl",
                &["-D", data.to_str().unwrap(), "-m", "immediate", "-w", "stop"],
            );
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    pub(crate) async fn ask(&self, question: &'static str) -> String {
        let mut connection = PgConnection::connect(&self.url()).await.unwrap();
        let (answer,): (String,) = sqlx::query_as(question).fetch_one(&mut connection).await.unwrap();
        answer
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}
