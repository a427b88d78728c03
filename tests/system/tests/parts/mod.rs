//! A tenant's worker and gateway in this process, wired as in the cluster: mutual TLS between them, spools on disk. Only the
//! operator is played by the test: it says which workers there are.
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use springtide_engine::{Bundle, Entry};
use springtide_gateway::config::Channels;
use springtide_gateway::http::{Door, router};
use springtide_gateway::metrics::Metrics as GatewayMetrics;
use springtide_gateway::pool::Worker as KnownWorker;
use springtide_gateway::relay::{Relay, SharedPool};
use springtide_gateway::sessions::Sessions;
use springtide_gateway::workers::Workers;
use springtide_proto::conversation::conversation_server::ConversationServer;
use springtide_proto::ids::{PodUid, PoolId, TenantId, TenantUid};
use springtide_runtime::authority::Authority;
use springtide_runtime::clock::{Clock as _, SystemClock};
use springtide_runtime::identity::{PeerIdentity, TenantRole};
use springtide_runtime::spool::Spool;
use springtide_worker::conversations::{Conversations, Intake};
use springtide_worker::keys::TokenKeys;
use springtide_worker::knowledge::Knowledge;
use springtide_worker::metrics::Metrics as WorkerMetrics;
use springtide_worker::service::Service;
use springtide_worker::turn::Answering;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) struct Worker {
    pub(crate) uid: PodUid,
    pub(crate) answering: Arc<Answering>,
    pub(crate) address: String,
    capacity: u32,
    server: tokio::task::JoinHandle<()>,
}

impl Worker {
    /// As SIGKILL would: connections break, nothing is said.
    pub(crate) fn kill(&self) {
        self.server.abort();
    }
}

pub(crate) struct Tenant {
    ca: Authority,
    folder: tempfile::TempDir,
}

pub(crate) struct Gateway {
    pub(crate) relay: Arc<Relay>,
    pub(crate) url: String,
}

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn uid() -> TenantUid {
    TenantUid::parse("uid-acme").unwrap()
}

fn web() -> PoolId {
    PoolId::parse("web").unwrap()
}

fn knowledge() -> Knowledge {
    let entry = |id: &str, question: &str| Entry {
        id: id.into(),
        question: question.into(),
        similar: vec![],
        answer: format!("关于{question}。"),
    };
    let knowledge = Knowledge::default();
    knowledge.replace(
        Bundle::compile(vec![
            entry("refund", "退款多久到账"),
            entry("invoice", "怎么开发票"),
        ])
        .unwrap(),
    );
    knowledge
}

impl Tenant {
    pub(crate) fn new() -> Self {
        let ca = Authority::generate(SystemClock.now()).unwrap();
        Self {
            ca: Authority::from_pem(&ca.certificate, &ca.key).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) async fn worker(&self, name: &str, capacity: u32) -> Worker {
        self.worker_with_spool(name, capacity, &self.folder.path().join(name))
            .await
    }

    pub(crate) async fn worker_with_spool(&self, name: &str, capacity: u32, spool: &Path) -> Worker {
        let conversations = Arc::new(Conversations::new(capacity));
        conversations.set_intake(Intake::Open);
        let answering = Arc::new(Answering {
            tenant: acme(),
            tenant_uid: uid(),
            pool: web(),
            knowledge: knowledge(),
            keys: TokenKeys::from_generations(vec![(1, vec![7; 32])])
                .unwrap()
                .unwrap(),
            conversations,
            spool: Spool::open(spool).await.unwrap(),
            clock: Arc::new(SystemClock),
            random: Arc::new(ring::rand::SystemRandom::new()),
            turns_answered: 0.into(),
        });
        let service = Service {
            answering: answering.clone(),
            metrics: WorkerMetrics::default(),
            turns: TaskTracker::new(),
        };
        let tls = self
            .ca
            .material(
                &PeerIdentity::tenant(&acme(), TenantRole::Worker),
                SystemClock.now(),
            )
            .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        // The connections must end with the server, as those of a killed process do.
        let (killed, incoming) = (CancellationToken::new(), CancellationToken::new());
        let guard = killed.clone().drop_guard();
        let streams = tls.incoming(listener, incoming.clone());
        let server = tokio::spawn(async move {
            let _guard = guard;
            let serving = tonic::transport::Server::builder().add_service(ConversationServer::new(service));
            drop(
                serving
                    .serve_with_incoming_shutdown(streams, std::future::pending())
                    .await,
            );
            incoming.cancel();
        });
        Worker {
            uid: PodUid::parse(format!("pod-{name}")).unwrap(),
            answering,
            address,
            capacity,
            server,
        }
    }

    pub(crate) async fn gateway(&self, workers: &[&Worker]) -> Gateway {
        self.gateway_with_spool(workers, &self.folder.path().join("gateway"))
            .await
    }

    pub(crate) async fn gateway_with_spool(&self, workers: &[&Worker], spool: &Path) -> Gateway {
        let tls = self
            .ca
            .material(
                &PeerIdentity::tenant(&acme(), TenantRole::Gateway),
                SystemClock.now(),
            )
            .unwrap();
        let pools: HashMap<_, _> = [(web(), SharedPool::new(2))].into();
        let channels: Channels = "web=web".parse().unwrap();
        let relay = Arc::new(Relay {
            tenant: acme(),
            tenant_uid: uid(),
            channels,
            pools,
            sessions: Sessions::default(),
            workers: Workers::new(tls, &acme()),
            spool: Spool::open(spool).await.unwrap(),
            metrics: GatewayMetrics::default(),
            idle_after: Duration::from_mins(3),
            letting_go: TaskTracker::new(),
            turn_timeout: Duration::from_secs(5),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = router(Door {
            relay: relay.clone(),
            clock: Arc::new(SystemClock),
        });
        tokio::spawn(axum::serve(listener, routes).into_future());
        let gateway = Gateway { relay, url };
        gateway.know(workers);
        gateway
    }
}

impl Gateway {
    /// What the operator would say.
    pub(crate) fn know(&self, workers: &[&Worker]) {
        let known = workers.iter().map(|worker| KnownWorker {
            pod: worker.uid.clone(),
            address: worker.address.clone(),
            capacity: worker.capacity,
            active: worker.answering.conversations.active(),
            accepting: worker.answering.conversations.intake() == Intake::Open,
        });
        self.relay.pools[&web()].change(|pool| pool.replace_workers(known.collect()));
    }
}
