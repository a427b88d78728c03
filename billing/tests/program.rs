//! The program itself: a server with mutual TLS, killed and started again, and the other commands beside it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
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
use tonic::transport::Channel;

const SPEC: &str = r#"{"currency":"CNY","timeZone":"Asia/Shanghai","charges":[{"name":"answers","meter":"interactions",
    "model":"Graduated","included":"1","tiers":[{"upTo":"2","unitPrice":"0.10"},{"unitPrice":"0.08"}]}]}"#;

/// A server with its folder: certificates, database.
struct Program {
    folder: tempfile::TempDir,
    authority: Authority,
    listen: SocketAddr,
    admin: SocketAddr,
    child: Child,
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_springtide-billing"));
    command
        .env_remove("DATABASE_URL")
        .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
        .stdin(Stdio::null());
    command
}

fn database_url(folder: &Path) -> String {
    format!("sqlite://{}/billing.db", folder.display())
}

fn start(folder: &Path, listen: SocketAddr, admin: SocketAddr) -> Child {
    binary()
        .arg("serve")
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
            &database_url(folder),
            "--log",
            "warn",
        ])
        .spawn()
        .unwrap()
}

impl Program {
    async fn start() -> Self {
        springtide_runtime::install_crypto_provider();
        let folder = tempfile::tempdir().unwrap();
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
        let (listen, admin) = (free_address(), free_address());
        let child = start(folder.path(), listen, admin);
        let program = Self {
            folder,
            authority,
            listen,
            admin,
            child,
        };
        program.until_ready().await;
        program
    }

    /// Ends it without a word, as a power cut would, and starts it again.
    async fn kill_and_start(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = start(self.folder.path(), self.listen, self.admin);
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

    async fn channel(&self, identity: PeerIdentity) -> Channel {
        let material = self.authority.material(&identity, SystemClock.now()).unwrap();
        material
            .connect(
                &self.listen.to_string(),
                &PeerIdentity::System(SystemRole::Billing),
            )
            .await
            .unwrap()
    }

    async fn report(&self, role: TenantRole, records: Vec<Record>) -> Vec<Status> {
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

    fn command(&self, arguments: &[&str]) -> Output {
        binary()
            .args(arguments)
            .args(["--database-url", &database_url(self.folder.path())])
            .output()
            .unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
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

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn record(turn: &str, witness: Witness) -> Record {
    let interaction = Interaction {
        tenant: acme(),
        tenant_uid: TenantUid::parse("uid-acme").unwrap(),
        pool: PoolId::parse("web").unwrap(),
        conversation: ConversationId::parse("c1").unwrap(),
        turn: TurnId::parse(turn).unwrap(),
        channel: "web".into(),
        arrived_at: "2026-10-11T00:00:00Z".parse().unwrap(),
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

async fn register(program: &Program) {
    let channel = program.channel(PeerIdentity::System(SystemRole::Operator)).await;
    let mut tenancy = TenancyClient::new(channel);
    let plan = PutRatePlanRequest {
        name: "standard".into(),
        uid: "p".into(),
        generation: 1,
        spec_json: SPEC.into(),
    };
    tenancy.put_rate_plan(plan).await.unwrap();
    let account = RegisterTenantRequest {
        tenant_uid: "uid-acme".into(),
        tenant: "acme".into(),
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

#[tokio::test]
async fn usage_survives_kills_and_ends_on_one_bill_and_in_one_export() {
    let mut program = Program::start().await;
    let workers: Vec<_> = ["t1", "t2", "t3", "t4"]
        .iter()
        .map(|turn| record(turn, Witness::Worker))
        .collect();
    assert_eq!(
        program.report(TenantRole::Worker, workers.clone()).await,
        [Status::Accepted; 4]
    );
    program.kill_and_start().await;
    assert_eq!(
        program.report(TenantRole::Worker, workers).await,
        [Status::Duplicate; 4]
    );
    assert_eq!(
        program
            .report(TenantRole::Gateway, vec![record("t1", Witness::Gateway)])
            .await,
        [Status::Duplicate]
    );
    register(&program).await;

    let export = program.command(&[
        "export", "--tenant", "acme", "--period", "2026-10", "--format", "jsonl",
    ]);
    let lines: Vec<Value> = export
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0]["witnesses"], serde_json::json!(["gateway", "worker"]));

    let draft = program.json(&[
        "invoice", "--tenant", "acme", "--period", "2026-10", "--format", "json",
    ]);
    assert_eq!(
        (&draft["state"], &draft["total"]),
        // Registered after October, so that nothing of what a month includes is for it.
        (&"draft".into(), &"0.36".into())
    );
    let issued = program.json(&[
        "invoice", "--tenant", "acme", "--period", "2026-10", "--issue", "--format", "json",
    ]);
    assert_eq!(
        (&issued["number"], &issued["total"]),
        (&"SPT-2026-000001".into(), &"0.36".into())
    );
    let closed = program.json(&["close", "--period", "2026-10", "--issue", "--format", "json"]);
    assert_eq!(
        (&closed["issued"], &closed["issuedBefore"]),
        (&0.into(), &1.into())
    );
    let all = program.json(&["invoices", "--period", "2026-10", "--format", "json"]);
    assert_eq!(all, Value::from(vec![issued.clone()]));
    program.kill_and_start().await;
    assert_eq!(
        program.json(&[
            "invoice", "--tenant", "acme", "--period", "2026-10", "--format", "json"
        ]),
        issued
    );
}

#[test]
fn errors_are_a_sentence_on_standard_error_and_a_code() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(folder.path());
    let run = |arguments: &[&str]| {
        binary()
            .args(arguments)
            .args(["--database-url", &url])
            .output()
            .unwrap()
    };
    let failing = |arguments: &[&str], sentence: &str| {
        let output = run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && output.stdout.is_empty(),
            "{arguments:?}"
        );
        assert!(said.contains(sentence), "{arguments:?}: {said}");
    };
    failing(
        &["export", "--tenant", "acme", "--period", "2026-10"],
        "no database file",
    );
    assert!(run(&["migrate"]).status.success());
    failing(
        &["export", "--tenant", "acme", "--period", "2026-10"],
        "no tenant \"acme\" is registered",
    );
    failing(
        &["invoice", "--tenant", "acme", "--period", "October"],
        "write year and month as \"2026-11\"",
    );
    failing(&["invoice", "--period", "2026-10"], "--tenant");
    let none = run(&["invoices", "--period", "2026-10", "--format", "json"]);
    assert_eq!(
        (none.status.success(), none.stdout.as_slice()),
        (true, &b"[]\n"[..])
    );
}

#[test]
fn the_help_names_every_command() {
    let help = binary().arg("--help").output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    for command in [
        "serve",
        "export",
        "approve",
        "close",
        "correct",
        "invoice",
        "invoices",
        "kept",
        "migrate",
        "reviews",
        "verify",
        "DATABASE_URL",
    ] {
        assert!(text.contains(command), "{command}");
    }
}
