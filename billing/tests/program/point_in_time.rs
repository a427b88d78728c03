//! PostgreSQL taken back to an instant between two writes: a base backup and the write-ahead log since, as operators keep
//! them. The server is the test's own, as its settings are not those of the server for tests.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use springtide_billing::store::Store;
use springtide_proto::metering::Witness;
use springtide_runtime::identity::TenantRole;
use sqlx::{Connection as _, PgConnection};

use super::books::{self, TENTH};
use super::server::{POSTGRES, Program, free_address, record_of, register_tenant};

/// A server that keeps its write-ahead log.
struct Server {
    bin: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
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
    fn new() -> Option<Self> {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?.map_while(Result::ok);
        let bin = versions
            .map(|entry| entry.path().join("bin"))
            .filter(|bin| bin.join("initdb").is_file())
            .max()?;
        let folder = tempfile::tempdir().unwrap();
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
    fn run(&self, program: &str, arguments: &[&str]) {
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
        let status = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "{} {arguments:?}", program.display());
    }

    fn start(&mut self, data: &Path) {
        let folder = self.folder.path().display();
        let options = format!(
            "-p {} -k {folder} -c listen_addresses=127.0.0.1 -c wal_level=replica -c archive_mode=on -c 'archive_command=cp %p {folder}/log/%f'",
            self.port
        );
        let log = self.folder.path().join("server.log");
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

    fn stop(&mut self) {
        if let Some(data) = self.data.take() {
            self.run(
                "pg_ctl",
                &["-D", data.to_str().unwrap(), "-m", "immediate", "-w", "stop"],
            );
        }
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    async fn ask(&self, question: &'static str) -> String {
        let mut connection = PgConnection::connect(&self.url()).await.unwrap();
        let (answer,): (String,) = sqlx::query_as(question).fetch_one(&mut connection).await.unwrap();
        answer
    }

    /// Waits until a question is answered `true`.
    async fn until(&self, question: &'static str) {
        let holds = async {
            while self.ask(question).await != "true" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), holds)
            .await
            .expect(question);
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

async fn report(program: &Program, turn: &str) {
    let records = vec![record_of("acme", turn, "2026-10-11T00:00:00Z", Witness::Worker)];
    program.report(TenantRole::Worker, records).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_goes_back_to_an_instant_between_two_writes_and_takes_what_came_later_again() {
    if std::env::var(POSTGRES).is_err() {
        eprintln!("skipped: {POSTGRES} names no server");
        return;
    }
    let mut server = Server::new().expect("PostgreSQL's programs must be installed");
    server.start(&server.folder.path().join("data"));
    let program = Program::start_on(tempfile::tempdir().unwrap(), server.url()).await;
    register_tenant(&program, "acme", TENTH).await;
    report(&program, "t1").await;
    let base = server.folder.path().join("base");
    let port = server.port.to_string();
    server.run(
        "pg_basebackup",
        &[
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "postgres",
            "-c",
            "fast",
            "-D",
            base.to_str().unwrap(),
        ],
    );
    report(&program, "t2").await;
    program.json(&[
        "invoice", "--tenant", "acme", "--period", "2026-10", "--issue", "--format", "json",
    ]);
    let instant = server.ask("SELECT clock_timestamp()::text").await;
    report(&program, "t3").await;
    let last = server.ask("SELECT pg_walfile_name(pg_switch_wal())").await;
    let archived = "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver";
    while server.ask(archived).await < last {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(program);
    server.stop();

    let log = server.folder.path().join("log");
    let settings = format!(
        "restore_command = 'cp {}/%f %p'\nrecovery_target_time = '{instant}'\nrecovery_target_action = 'promote'\n",
        log.display()
    );
    let auto = base.join("postgresql.auto.conf");
    let before = fs::read_to_string(&auto).unwrap();
    fs::write(&auto, before + &settings).unwrap();
    fs::write(base.join("recovery.signal"), "").unwrap();
    server.start(&base);
    server.until("SELECT (NOT pg_is_in_recovery())::text").await;

    let store = Store::connect(&server.url(), false).await.unwrap();
    let held = books::held(&store).await;
    let turns: Vec<_> = held.values().flatten().map(String::as_str).collect();
    assert_eq!(
        turns,
        ["t1", "t2"],
        "what was committed by then, and nothing later"
    );
    assert_eq!(books::check(&store, &held).await, 1, "with its bill");
    let program = Program::start_on(tempfile::tempdir().unwrap(), server.url()).await;
    for turn in ["t1", "t2", "t3"] {
        report(&program, turn).await;
    }
    let held = books::held(&store).await;
    assert_eq!(
        held.values().flatten().count(),
        3,
        "spools that send again double nothing"
    );
    books::check(&store, &held).await;
}
