//! A tenant's workers and gateways in this process, wired as in the cluster: mutual TLS between them, spools on disk, usage
//! reported. Two others are played: the *operator*, by whoever says which workers there are ([`Gateway::know`]), and
//! *billing*, which hands on what it is told ([`billing`]), as to its own store ([`books`]).

pub mod billing;
pub mod books;
mod worker;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use springtide_gateway::http::{Door, router};
use springtide_gateway::metrics::Metrics as GatewayMetrics;
use springtide_gateway::pool::Worker as KnownWorker;
use springtide_gateway::rateable::Rateable;
use springtide_gateway::relay::Relay;
use springtide_gateway::service::ServiceMinutes;
use springtide_gateway::service::book::Book;
use springtide_gateway::sessions::Sessions;
use springtide_gateway::shared_pool::SharedPool;
use springtide_gateway::workers::Workers;
use springtide_proto::ids::{BootId, PodName, PodUid, PoolId, TenantId, TenantUid};
use springtide_proto::metering::Witness;
use springtide_runtime::authority::Authority;
use springtide_runtime::clock::{Clock as _, SystemClock, new_boot_id};
use springtide_runtime::identity::{PeerIdentity, SystemRole, TenantRole};
use springtide_runtime::pod::PodIdentity;
use springtide_runtime::probe::ProbeKey;
use springtide_runtime::reporter::Reporter;
use springtide_runtime::spool::Spool;
use springtide_runtime::tls::TlsMaterial;
use springtide_worker::conversations::Intake;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use worker::Worker;

/// A question that one entry answers: "refund".
pub const REFUND: &str = "退款多久到账";
/// A question that one entry answers: "invoice".
pub const INVOICE: &str = "怎么开发票";
/// A question that is answered by a list of two, "north" and "south".
pub const SHIPPING: &str = "仓库几点发货";

/// What the operator signs its probes with.
pub const PROBE_KEY: &[u8] = b"probe key of acme";
/// Answers within this are fast: here all of them are.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);

/// What the tenant's gateways are told by their flags.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Conversations that may wait.
    pub waiting_room: usize,
    /// Within this an assigned turn is answered.
    pub turn_timeout: Duration,
    /// Silence after which a conversation is parked.
    pub idle_after: Duration,
}

impl Default for Settings {
    /// A small waiting room, so that tests see it full.
    fn default() -> Self {
        Self {
            waiting_room: 2,
            turn_timeout: Duration::from_secs(5),
            idle_after: Duration::from_mins(3),
        }
    }
}

/// One client firm.
pub struct Tenant {
    ca: Authority,
    id: TenantId,
    uid: TenantUid,
    pool: PoolId,
    settings: Settings,
    folder: tempfile::TempDir,
    billing: Option<String>,
    gateways: AtomicUsize,
}

/// A running gateway.
pub struct Gateway {
    /// What it does.
    pub relay: Arc<Relay>,
    /// "http://HOST:PORT" of its door.
    pub url: String,
    pool: PoolId,
    reporter: Option<Reporter>,
    _stopped: DropGuard,
}

impl Tenant {
    /// The tenant "acme", with what it writes in a folder for temporary files, and nobody who takes its usage.
    pub fn new() -> anyhow::Result<Self> {
        Self::within(&std::env::temp_dir(), Settings::default())
    }

    /// The same with its spools in a new folder within `folder`, gone when it is dropped.
    pub fn within(folder: &Path, settings: Settings) -> anyhow::Result<Self> {
        let ca = Authority::generate(SystemClock.now())?;
        Ok(Self {
            ca: Authority::from_pem(&ca.certificate, &ca.key)?,
            id: TenantId::parse("acme")?,
            uid: TenantUid::parse("uid-acme")?,
            pool: PoolId::parse("web")?,
            settings,
            folder: tempfile::tempdir_in(folder)?,
            billing: None,
            gateways: AtomicUsize::new(0),
        })
    }

    /// Workers and gateways that start from now on report their usage to `take`.
    pub async fn report_to(&mut self, take: billing::Take) -> anyhow::Result<()> {
        let tls = self.material(&PeerIdentity::System(SystemRole::Billing))?;
        self.billing = Some(billing::serve(tls, take).await?);
        Ok(())
    }

    /// A worker with a spool of its own; it accepts at once.
    pub async fn worker(&self, name: &str, capacity: u32) -> anyhow::Result<Worker> {
        self.worker_with_spool(name, capacity, &self.spool_of(name)).await
    }

    /// The same, with its spool there.
    pub async fn worker_with_spool(&self, name: &str, capacity: u32, spool: &Path) -> anyhow::Result<Worker> {
        Worker::start(self, name, capacity, spool).await
    }

    /// Where a worker or gateway of that name has its spool.
    pub fn spool_of(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A gateway that knows these workers.
    pub async fn gateway(&self, workers: &[&Worker]) -> anyhow::Result<Gateway> {
        let name = format!("gateway-{}", self.gateways.fetch_add(1, Ordering::Relaxed));
        self.gateway_with_spool(workers, &self.spool_of(&name)).await
    }

    /// The same, with its spool there.
    pub async fn gateway_with_spool(&self, workers: &[&Worker], spool: &Path) -> anyhow::Result<Gateway> {
        let tls = self.material(&PeerIdentity::tenant(&self.id, TenantRole::Gateway))?;
        let pools = [(self.pool.clone(), SharedPool::new(self.settings.waiting_room))];
        let boot_id = BootId::parse(new_boot_id())?;
        let book = Book::new(boot_id, vec![self.pool.clone()], self.settings.turn_timeout);
        let relay = Arc::new(Relay {
            tenant: self.id.clone(),
            tenant_uid: self.uid.clone(),
            channels: "web=web".parse().map_err(anyhow::Error::msg)?,
            pools: HashMap::from(pools),
            sessions: Sessions::default(),
            rateable: Rateable::default(),
            workers: Workers::new(tls.clone(), &self.id),
            spool: Spool::open(spool).await?,
            metrics: GatewayMetrics::default(),
            minutes: Arc::new(ServiceMinutes::new(book, ANSWER_WITHIN)),
            idle_after: self.settings.idle_after,
            letting_go: TaskTracker::new(),
            turn_timeout: self.settings.turn_timeout,
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let routes = router(Door {
            relay: relay.clone(),
            clock: Arc::new(SystemClock),
            probe_key: Some(ProbeKey::new(PROBE_KEY)),
        });
        let stopped = CancellationToken::new();
        let pod = started("gateway")?;
        let reporter = self.reporter(&tls, &relay.spool, Witness::Gateway, pod.clone())?;
        if let Some(reporter) = &reporter {
            tokio::spawn(reporter.clone().run(stopped.clone()));
        }
        tokio::spawn(relay.clone().take_over_records(pod.name, stopped.clone()));
        tokio::spawn(axum::serve(listener, routes).into_future());
        let gateway = Gateway {
            relay,
            url,
            pool: self.pool.clone(),
            reporter,
            _stopped: stopped.drop_guard(),
        };
        gateway.know(workers);
        Ok(gateway)
    }

    fn material(&self, identity: &PeerIdentity) -> anyhow::Result<TlsMaterial> {
        Ok(self.ca.material(identity, SystemClock.now())?)
    }

    fn reporter(
        &self,
        tls: &TlsMaterial,
        spool: &Spool,
        witness: Witness,
        pod: PodIdentity,
    ) -> anyhow::Result<Option<Reporter>> {
        let Some(billing) = &self.billing else {
            return Ok(None);
        };
        Ok(Some(Reporter {
            spool: spool.clone(),
            billing: tls.channel(billing, &PeerIdentity::System(SystemRole::Billing))?,
            witness,
            pod,
            counts: Arc::default(),
            hurry: CancellationToken::new(),
        }))
    }
}

impl Gateway {
    /// What the operator would say.
    pub fn know(&self, workers: &[&Worker]) {
        let known: Vec<_> = workers
            .iter()
            .map(|worker| KnownWorker {
                pod: worker.uid.clone(),
                address: worker.address.clone(),
                capacity: worker.capacity,
                active: worker.answering.conversations.active(),
                accepting: worker.answering.conversations.intake() == Intake::Open,
            })
            .collect();
        let Some(pool) = self.relay.pools.get(&self.pool) else {
            return;
        };
        self.relay
            .workers
            .retain(|address| known.iter().any(|worker| worker.address == address));
        pool.change(|pool| pool.replace_workers(known));
    }

    /// What the operator would say of the tenant's limit.
    pub fn at_contract_limit(&self, is_there: bool) {
        if let Some(pool) = self.relay.pools.get(&self.pool) {
            pool.change(|pool| pool.at_contract_limit = is_there);
        }
    }

    /// Turns that it counted: good and bad ones. What did not keep the service, as a client's own error, is neither.
    pub fn served(&self) -> (u64, u64) {
        let minutes = self.relay.minutes.unkept();
        minutes.iter().fold((0, 0), |(good, bad), minute| {
            (good + minute.counts.good, bad + minute.counts.bad)
        })
    }

    /// Waits until billing has its usage, at most `deadline`; says whether it has.
    pub async fn flush(&self, deadline: Duration) -> bool {
        match &self.reporter {
            Some(reporter) => reporter.flush(deadline).await,
            None => self.relay.spool.depth() == 0,
        }
    }
}

/// A new start of the process in that Pod.
fn started(pod: &str) -> anyhow::Result<PodIdentity> {
    Ok(PodIdentity {
        name: PodName::parse(pod)?,
        uid: PodUid::parse(format!("pod-{pod}"))?,
        boot_id: BootId::parse(new_boot_id())?,
        node: String::new(),
    })
}
