//! Billing's program, with certificates of an authority of its own.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use springtide_proto::ids::TenantId;
use springtide_proto::metering::Witness;
use springtide_proto::metering::metering_client::MeteringClient;
use springtide_runtime::authority::Authority;
use springtide_runtime::clock::{Clock as _, SystemClock};
use springtide_runtime::identity::{PeerIdentity, SystemRole, TenantRole};
use tonic::transport::Channel;

const LARGEST: usize = 64 << 20;
const START: Duration = Duration::from_mins(1);

pub(crate) struct Program {
    child: Child,
    authority: Authority,
    address: String,
    http: String,
    _folder: tempfile::TempDir,
}

/// A tenant's worker and gateway.
pub(super) struct Clients {
    worker: MeteringClient<Channel>,
    gateway: MeteringClient<Channel>,
}

impl Clients {
    pub(super) fn of(&self, witness: Witness) -> &MeteringClient<Channel> {
        if witness == Witness::Worker {
            &self.worker
        } else {
            &self.gateway
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Program {
    pub(crate) async fn start(program: &Path, database_url: &str) -> anyhow::Result<Self> {
        springtide_runtime::install_crypto_provider();
        let folder = tempfile::tempdir()?;
        let now = SystemClock.now();
        let ca = Authority::generate(now)?;
        let authority = Authority::from_pem(&ca.certificate, &ca.key)?;
        let own = authority.issue(&PeerIdentity::System(SystemRole::Billing), now)?;
        std::fs::write(folder.path().join("tls.crt"), &own.certificate)?;
        std::fs::write(folder.path().join("tls.key"), &own.key)?;
        std::fs::write(folder.path().join("ca.crt"), authority.certificate())?;
        let free = || anyhow::Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string());
        let (address, http) = (free()?, free()?);
        // It ends with this process, however that ends.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .arg("serve")
            .args(["--listen", &address, "--http-listen", &http])
            .args(["--admin-listen", "127.0.0.1:0", "--log", "warn"])
            .arg("--tls-dir")
            .arg(folder.path())
            .args(["--database-url", database_url])
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .stdin(Stdio::null())
            .spawn()
            .context("billing's program cannot start")?;
        let program = Self {
            child,
            authority,
            address,
            http,
            _folder: folder,
        };
        tokio::time::timeout(START, async {
            while program.clients("bench").await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await
        .context("billing did not listen")?;
        Ok(program)
    }

    pub(super) async fn clients(&self, tenant: &str) -> anyhow::Result<Clients> {
        let tenant = TenantId::parse(tenant)?;
        let client = async |role| {
            let identity = PeerIdentity::tenant(&tenant, role);
            let material = self.authority.material(&identity, SystemClock.now())?;
            let billing = PeerIdentity::System(SystemRole::Billing);
            let channel = material.connect(&self.address, &billing).await?;
            anyhow::Ok(MeteringClient::new(channel).max_decoding_message_size(LARGEST))
        };
        Ok(Clients {
            worker: client(TenantRole::Worker).await?,
            gateway: client(TenantRole::Gateway).await?,
        })
    }

    /// Where it serves REST and the portal.
    pub(crate) fn http(&self) -> &str {
        &self.http
    }

    /// Processor time so far, as far as it can be read.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        crate::resources::cpu_seconds_of(self.child.id()).unwrap_or_default()
    }
}
