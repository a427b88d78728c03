//! A worker. It has a runtime of its own, so that a kill ends all that it does where it stands, as SIGKILL would.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use springtide_engine::{Bundle, Entry};
use springtide_proto::conversation::conversation_server::ConversationServer;
use springtide_proto::ids::PodUid;
use springtide_proto::metering::Witness;
use springtide_runtime::clock::SystemClock;
use springtide_runtime::identity::{PeerIdentity, TenantRole};
use springtide_runtime::reporter::Reporter;
use springtide_runtime::spool::Spool;
use springtide_runtime::tls::TlsMaterial;
use springtide_worker::conversations::{Conversations, Intake};
use springtide_worker::drain::Drain;
use springtide_worker::hand_over::HandOver;
use springtide_worker::keys::TokenKeys;
use springtide_worker::knowledge::Knowledge;
use springtide_worker::metrics::Metrics;
use springtide_worker::service::Service;
use springtide_worker::turn::Answering;
use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{INVOICE, REFUND, Tenant, started};

/// Longest wait for billing when the worker ends.
const FLUSH: Duration = Duration::from_secs(20);

/// A running worker.
pub struct Worker {
    /// UID of its Pod.
    pub uid: PodUid,
    /// What it does.
    pub answering: Arc<Answering>,
    /// Where conversations are served.
    pub address: String,
    pub(super) capacity: u32,
    turns: TaskTracker,
    drain: Arc<Drain>,
    reporter: Option<Reporter>,
    stopped: CancellationToken,
    inside: Handle,
    runtime: Mutex<Option<OwnRuntime>>,
}

impl Worker {
    pub(super) async fn start(
        tenant: &Tenant,
        name: &str,
        capacity: u32,
        spool: &Path,
    ) -> anyhow::Result<Self> {
        let runtime = OwnRuntime::start()?;
        let inside = runtime.inside.clone();
        let tls = tenant.material(&PeerIdentity::tenant(&tenant.id, TenantRole::Worker))?;
        let folder = spool.to_owned();
        let spool = inside.spawn(async move { Spool::open(&folder).await }).await??;
        let pod = started(name)?;
        let reporter = tenant.reporter(&tls, &spool, Witness::Worker, pod.clone())?;
        let answering = Arc::new(answering(tenant, capacity, spool)?);
        let (turns, stopped) = (TaskTracker::new(), CancellationToken::new());
        let hand_over = HandOver::new(pod, answering.spool.clone(), answering.conversations.clone());
        let service = Service {
            answering: answering.clone(),
            metrics: Metrics::default(),
            turns: turns.clone(),
            hand_over: Arc::new(hand_over),
        };
        let address = inside.spawn(serve(tls, service, stopped.clone())).await??;
        if let Some(reporter) = &reporter {
            inside.spawn(reporter.clone().run(stopped.clone()));
        }
        let drain = Arc::new(Drain::new(answering.conversations.clone()));
        answering.conversations.set_intake(Intake::Open);
        Ok(Self {
            uid: PodUid::parse(format!("pod-{name}"))?,
            answering,
            address,
            capacity,
            turns,
            drain,
            reporter,
            stopped,
            inside,
            runtime: Mutex::new(Some(runtime)),
        })
    }

    /// Takes nothing new, and gives up what is left after `deadline`.
    pub fn cordon(&self, deadline: Duration) {
        let _inside = self.inside.enter();
        self.drain.cordon(deadline);
    }

    /// As SIGTERM would: gives up what it has, finishes its turns, waits until billing has its usage, and ends. Says whether
    /// billing has it.
    pub async fn stop(&self) -> anyhow::Result<bool> {
        let reporter = self.reporter.as_ref().context("nobody takes its usage")?;
        let emptied = self
            .drain
            .end(&self.turns, reporter, (Duration::ZERO, FLUSH))
            .await;
        self.stopped.cancel();
        self.kill();
        Ok(emptied)
    }

    /// Waits until billing has its usage, at most `deadline`; says whether it has.
    pub async fn flush(&self, deadline: Duration) -> bool {
        match &self.reporter {
            Some(reporter) => reporter.flush(deadline).await,
            None => self.answering.spool.depth() == 0,
        }
    }

    /// It was neither stopped nor killed.
    pub fn runs(&self) -> bool {
        self.runtime.lock().is_some()
    }

    /// As SIGKILL would: connections break, nothing is said.
    pub fn kill(&self) {
        self.runtime.lock().take();
    }
}

/// Ends with all that runs in it when it is dropped, without waiting.
struct OwnRuntime {
    inside: Handle,
    runtime: Option<Runtime>,
}

impl OwnRuntime {
    fn start() -> std::io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        Ok(Self {
            inside: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn answering(tenant: &Tenant, capacity: u32, spool: Spool) -> anyhow::Result<Answering> {
    Ok(Answering {
        tenant: tenant.id.clone(),
        tenant_uid: tenant.uid.clone(),
        pool: tenant.pool.clone(),
        knowledge: knowledge()?,
        keys: TokenKeys::from_generations(vec![(1, vec![7; 32])])?.context("no token key")?,
        conversations: Arc::new(Conversations::new(capacity)),
        spool,
        clock: Arc::new(SystemClock),
        random: Arc::new(ring::rand::SystemRandom::new()),
        turns_answered: 0.into(),
    })
}

fn knowledge() -> anyhow::Result<Knowledge> {
    let entry = |id: &str, question: &str| Entry {
        id: id.into(),
        question: question.into(),
        similar: vec![],
        answer: format!("关于{question}。"),
    };
    let knowledge = Knowledge::default();
    knowledge.replace(Bundle::compile(vec![
        entry("refund", REFUND),
        entry("invoice", INVOICE),
        entry("north", "北仓库几点发货"),
        entry("south", "南仓库几点发货"),
    ])?);
    Ok(knowledge)
}

/// Serves until `stopped`, in the runtime that it is called in; says where.
async fn serve(tls: TlsMaterial, service: Service, stopped: CancellationToken) -> anyhow::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let streams = tls.incoming(listener, stopped.clone());
    let serving = tonic::transport::Server::builder().add_service(ConversationServer::new(service));
    tokio::spawn(async move {
        if let Err(error) = serving
            .serve_with_incoming_shutdown(streams, stopped.cancelled())
            .await
        {
            tracing::error!(%error, "a worker's server ended");
        }
    });
    Ok(address)
}
