//! A server in a process of its own, with certificates and a database, and short words for what is sent to it.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use springtide_proto::event::{Interaction, InteractionKind};
use springtide_proto::ids::{ConversationId, PoolId, TenantId, TenantUid, TurnId};
use springtide_proto::metering::metering_client::MeteringClient;
use springtide_proto::metering::record_result::Status;
use springtide_proto::metering::{Delivery, Record, ReportRequest, Witness};
use springtide_proto::tenancy::tenancy_client::TenancyClient;
use springtide_proto::tenancy::{PutRatePlanRequest, RegisterTenantRequest};
use springtide_runtime::authority::Authority;
use springtide_runtime::clock::{Clock as _, SystemClock};
use springtide_runtime::identity::{PeerIdentity, SystemRole, TenantRole};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tonic::transport::Channel;

/// Names an administrator's URL of a PostgreSQL server, as postgres://postgres@127.0.0.1:5432/postgres.
pub(crate) const POSTGRES: &str = "SPRINGTIDE_TEST_POSTGRES";
const SPEC: &str = r#"{"currency":"CNY","timeZone":"Asia/Shanghai","charges":[{"name":"answers","meter":"interactions",
    "model":"Graduated","included":"1","tiers":[{"upTo":"2","unitPrice":"0.10"},{"unitPrice":"0.08"}]}]}"#;

/// A server with its folder (certificates, and SQLite's file) and its database.
pub(crate) struct Program {
    folder: Arc<tempfile::TempDir>,
    authority: Arc<Authority>,
    pub(crate) database_url: String,
    listen: SocketAddr,
    admin: SocketAddr,
    archive: Option<PathBuf>,
    child: Child,
}

/// Makes channels to a server, also while it is down.
#[derive(Clone)]
pub(crate) struct Connector {
    authority: Arc<Authority>,
    listen: SocketAddr,
}

impl Connector {
    /// `None` while it is down.
    pub(crate) async fn channel(&self, identity: &PeerIdentity) -> Option<Channel> {
        let material = self.authority.material(identity, SystemClock.now()).unwrap();
        let billing = PeerIdentity::System(SystemRole::Billing);
        material.connect(&self.listen.to_string(), &billing).await.ok()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_springtide-billing"));
    command
        .env_remove("DATABASE_URL")
        .env_remove("READ_DATABASE_URL")
        .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
        .stdin(Stdio::null());
    command
}

pub(crate) fn sqlite_url(folder: &Path) -> String {
    format!("sqlite://{}/billing.db", folder.display())
}

fn start(
    folder: &Path,
    database_url: &str,
    [listen, admin]: [SocketAddr; 2],
    archive: Option<&Path>,
) -> Child {
    let mut command = binary();
    command.arg("serve");
    if let Some(archive) = archive {
        command.arg("--archive").arg(archive);
    }
    command
        .args([
            "--listen",
            &listen.to_string(),
            "--http-listen",
            "127.0.0.1:0",
            "--admin-listen",
            &admin.to_string(),
        ])
        .args([
            "--tls-dir",
            &folder.display().to_string(),
            "--database-url",
            database_url,
            "--log",
            "warn",
        ])
        .spawn()
        .unwrap()
}

/// The URL of a new database on the server for tests. `None`, with a word about it, where none is named; in CI that is a
/// failure.
pub(crate) async fn postgres_url() -> Option<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let Ok(admin) = std::env::var(POSTGRES) else {
        assert!(
            std::env::var("CI").is_err(),
            "{POSTGRES} must name a server in CI"
        );
        eprintln!("skipped: {POSTGRES} names no server");
        return None;
    };
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("program_{}_{number}", std::process::id());
    let mut connection = PgConnection::connect(&admin).await.unwrap();
    for text in [
        format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        format!("CREATE DATABASE {name}"),
    ] {
        let statement = sqlx::query(AssertSqlSafe(text));
        statement.execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    let (server, _) = admin.rsplit_once('/').unwrap();
    Some(format!("{server}/{name}"))
}

impl Program {
    /// On SQLite.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database_url = sqlite_url(folder.path());
        Self::start_on(folder, database_url).await
    }

    /// On SQLite, archived into a folder.
    pub(crate) async fn start_archived(archive: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database_url = sqlite_url(folder.path());
        Self::start_as(folder, database_url, Some(archive.to_owned())).await
    }

    pub(crate) async fn start_on(folder: tempfile::TempDir, database_url: String) -> Self {
        Self::start_as(folder, database_url, None).await
    }

    async fn start_as(folder: tempfile::TempDir, database_url: String, archive: Option<PathBuf>) -> Self {
        springtide_runtime::install_crypto_provider();
        let now = SystemClock.now();
        let ca = Authority::generate(now).unwrap();
        let authority = Authority::from_pem(&ca.certificate, &ca.key).unwrap();
        let own = authority
            .issue(&PeerIdentity::System(SystemRole::Billing), now)
            .unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("tls.crt", &own.certificate);
        write("tls.key", &own.key);
        write("ca.crt", authority.certificate());
        Self::serve(Arc::new(folder), Arc::new(authority), database_url, archive).await
    }

    /// Another replica of it, on the same database.
    pub(crate) async fn beside(&self) -> Self {
        Self::serve(
            self.folder.clone(),
            self.authority.clone(),
            self.database_url.clone(),
            None,
        )
        .await
    }

    async fn serve(
        folder: Arc<tempfile::TempDir>,
        authority: Arc<Authority>,
        database_url: String,
        archive: Option<PathBuf>,
    ) -> Self {
        let (listen, admin) = (free_address(), free_address());
        let child = start(folder.path(), &database_url, [listen, admin], archive.as_deref());
        let program = Self {
            folder,
            authority,
            database_url,
            listen,
            admin,
            archive,
            child,
        };
        program.until_ready().await;
        program
    }

    /// Where its certificates are.
    pub(crate) fn tls_dir(&self) -> String {
        self.folder.path().display().to_string()
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector {
            authority: self.authority.clone(),
            listen: self.listen,
        }
    }

    /// Ends it without a word, as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it without a word and starts it again.
    pub(crate) async fn kill_and_start(&mut self) {
        self.kill();
        self.start_again().await;
    }

    pub(crate) async fn start_again(&mut self) {
        self.child = start(
            self.folder.path(),
            &self.database_url,
            [self.listen, self.admin],
            self.archive.as_deref(),
        );
        self.until_ready().await;
    }

    async fn until_ready(&self) {
        let client = by_hand::Client { address: self.admin };
        let ready = async {
            while client.status("/readyz").await != Some(200) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), ready)
            .await
            .expect("it must become ready");
    }

    pub(crate) async fn channel(&self, identity: PeerIdentity) -> Channel {
        self.connector().channel(&identity).await.unwrap()
    }

    pub(crate) async fn report(&self, role: TenantRole, records: Vec<Record>) -> Vec<Status> {
        let channel = self.channel(PeerIdentity::tenant(&acme(), role)).await;
        let response = MeteringClient::new(channel)
            .report(ReportRequest { records })
            .await
            .unwrap();
        response
            .into_inner()
            .results
            .iter()
            .map(springtide_proto::metering::RecordResult::status)
            .collect()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        binary()
            .args(arguments)
            .args(["--database-url", &self.database_url])
            .output()
            .unwrap()
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.command(arguments);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// One HTTP request by hand: the status of an answer is all that is asked.
mod by_hand {
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    pub(super) struct Client {
        pub(super) address: SocketAddr,
    }

    impl Client {
        pub(super) async fn status(&self, path: &str) -> Option<u16> {
            let mut stream = tokio::net::TcpStream::connect(self.address).await.ok()?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            answer.split(' ').nth(1)?.parse().ok()
        }
    }
}

pub(crate) fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

pub(crate) fn record(turn: &str, witness: Witness) -> Record {
    record_of("acme", turn, "2026-10-11T00:00:00Z", witness)
}

pub(crate) fn record_of(tenant: &str, turn: &str, arrived_at: &str, witness: Witness) -> Record {
    let interaction = Interaction {
        tenant: TenantId::parse(tenant).unwrap(),
        tenant_uid: TenantUid::parse(format!("uid-{tenant}")).unwrap(),
        pool: PoolId::parse("web").unwrap(),
        conversation: ConversationId::parse("c1").unwrap(),
        turn: TurnId::parse(turn).unwrap(),
        channel: "web".into(),
        arrived_at: arrived_at.parse().unwrap(),
        kind: InteractionKind::Answer,
        answer_id: None,
    };
    let delivery = if witness == Witness::Gateway {
        Delivery::Delivered
    } else {
        Delivery::Unspecified
    };
    Record {
        usage_event: interaction.encode().into(),
        witness: witness.into(),
        delivery: delivery.into(),
        reporter: "pod-0".into(),
        boot_id: "boot".into(),
    }
}

/// The client firm of most tests, with a plan.
pub(crate) async fn register(program: &Program) {
    register_tenant(program, "acme", SPEC).await;
}

pub(crate) async fn register_tenant(program: &Program, tenant: &str, spec: &str) {
    let channel = program.channel(PeerIdentity::System(SystemRole::Operator)).await;
    let mut tenancy = TenancyClient::new(channel);
    let plan = PutRatePlanRequest {
        name: "standard".into(),
        uid: "p".into(),
        generation: 1,
        spec_json: spec.into(),
    };
    tenancy.put_rate_plan(plan).await.unwrap();
    let account = RegisterTenantRequest {
        tenant_uid: format!("uid-{tenant}"),
        tenant: tenant.into(),
        display_name: "安可商城".into(),
        time_zone: "Asia/Shanghai".into(),
        rate_plan: "standard".into(),
        legal_name: "安可商城有限公司".into(),
        portal_token_sha256: vec![1; 32],
        locale: "zh-CN".into(),
        ..RegisterTenantRequest::default()
    };
    assert!(
        tenancy
            .register_tenant(account)
            .await
            .unwrap()
            .into_inner()
            .rate_plan_found
    );
}
