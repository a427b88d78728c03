//! The worker's wiring: see the library.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use springtide_proto::conversation::conversation_server::ConversationServer;
use springtide_proto::fleet::WorkerHello;
use springtide_proto::metering::Witness;
use springtide_runtime::admin::{self, Health};
use springtide_runtime::clock::SystemClock;
use springtide_runtime::identity::{PeerIdentity, SystemRole};
use springtide_runtime::pod::PodIdentity;
use springtide_runtime::reporter::Reporter;
use springtide_runtime::spool::Spool;
use springtide_runtime::tls::TlsMaterial;
use springtide_runtime::{shutdown, telemetry};
use springtide_worker::attach::Attachment;
use springtide_worker::config::Config;
use springtide_worker::conversations::Conversations;
use springtide_worker::drain::Drain;
use springtide_worker::hand_over::HandOver;
use springtide_worker::keys::TokenKeys;
use springtide_worker::knowledge::{self, Knowledge};
use springtide_worker::metrics::Metrics;
use springtide_worker::service::Service;
use springtide_worker::turn::Answering;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often silent conversations are looked for and gauges are set.
const SWEEP: Duration = Duration::from_secs(1);
/// Largest gRPC message, in bytes: a turn is far smaller.
const MAX_MESSAGE: usize = 64 * 1024;
/// Longest wait for billing when the worker ends.
const FLUSH: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    springtide_runtime::install_crypto_provider();
    let config = Config::parse();
    let _telemetry = telemetry::init("springtide-worker", &config.telemetry)?;
    run(config)
        .await
        .inspect_err(|error| tracing::error!(error = format!("{error:#}"), "worker failed"))
}

async fn run(config: Config) -> anyhow::Result<()> {
    let signalled = shutdown::on_signal()?;
    let stopped = CancellationToken::new();
    let pod = config.pod.identity()?;
    let tls = config.tls.load()?;
    let health = Health::default();
    health.starting("knowledge");
    let conversations = Arc::new(Conversations::new(config.capacity));
    let answering = Arc::new(answering(&config, conversations.clone()).await?);
    let metrics = Metrics::default();
    let registry = Arc::new(Mutex::new(Registry::default()));
    metrics.register(&mut registry.lock());
    let turns = TaskTracker::new();
    let hand_over = HandOver::new(pod.clone(), answering.spool.clone(), conversations.clone());
    let service = Service {
        answering: answering.clone(),
        metrics: metrics.clone(),
        turns: turns.clone(),
        hand_over: Arc::new(hand_over),
    };

    admin::serve(&config.admin, health.clone(), registry, stopped.clone())
        .await
        .context("the admin port cannot be opened")?;
    let followed = knowledge::follow(
        config.knowledge_dir.clone(),
        answering.knowledge.clone(),
        conversations.clone(),
        health.clone(),
        stopped.clone(),
    );
    tokio::spawn(followed);
    let reporter = reporter(&config, &tls, &answering, pod.clone())?;
    tokio::spawn(reporter.clone().run(stopped.clone()));
    let drain = Arc::new(Drain::new(conversations.clone()));
    let attachment = Attachment {
        hello: hello(&config, &pod),
        answering: answering.clone(),
        drain: drain.clone(),
        idle_after: config.idle_after,
        tls: tls.clone(),
        fleet: config.fleet.clone(),
    };
    tokio::spawn(attachment.run(stopped.clone()));
    tokio::spawn(sweep(
        answering.clone(),
        metrics,
        config.idle_after,
        stopped.clone(),
    ));
    let served = tokio::spawn(serve(config.listen, tls, service, stopped.clone()));

    let died = tokio::select! {
        () = signalled.cancelled() => None,
        died = served => Some(died),
    };
    if let Some(died) = died {
        died.context("the server panicked")?.context("the server ended")?;
    }
    let deadlines = (config.drain_deadline, FLUSH);
    if !drain.end(&turns, &reporter, deadlines).await {
        tracing::warn!(
            spooled = answering.spool.depth(),
            "neither billing nor a gateway took all usage records; they stay in the spool"
        );
    }
    stopped.cancel();
    tracing::info!("ended");
    Ok(())
}

async fn answering(config: &Config, conversations: Arc<Conversations>) -> anyhow::Result<Answering> {
    Ok(Answering {
        tenant: config.tenant.clone(),
        tenant_uid: config.tenant_uid.clone(),
        pool: config.pool.clone(),
        knowledge: Knowledge::default(),
        keys: TokenKeys::from_folder(&config.token_keys_dir)?,
        conversations,
        spool: Spool::open(&config.spool_dir).await?,
        clock: Arc::new(SystemClock),
        random: Arc::new(ring::rand::SystemRandom::new()),
        turns_answered: AtomicU64::new(0),
    })
}

fn reporter(
    config: &Config,
    tls: &TlsMaterial,
    answering: &Answering,
    pod: PodIdentity,
) -> anyhow::Result<Reporter> {
    Ok(Reporter {
        spool: answering.spool.clone(),
        billing: tls.channel(&config.billing, &PeerIdentity::System(SystemRole::Billing))?,
        witness: Witness::Worker,
        pod,
        counts: Arc::default(),
        hurry: CancellationToken::new(),
    })
}

fn hello(config: &Config, pod: &PodIdentity) -> WorkerHello {
    WorkerHello {
        tenant: config.tenant.to_string(),
        pool: config.pool.to_string(),
        pod: pod.name.to_string(),
        pod_uid: pod.uid.to_string(),
        boot_id: pod.boot_id.to_string(),
        address: std::net::SocketAddr::new(config.pod.pod_ip, config.listen.port()).to_string(),
        node: pod.node.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        capacity: config.capacity,
        lost_leader: String::new(),
    }
}

async fn serve(
    listen: std::net::SocketAddr,
    tls: TlsMaterial,
    service: Service,
    stopped: CancellationToken,
) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("{listen} cannot be opened"))?;
    let (health_reporter, health_service) = tonic_health::server::health_reporter();
    health_reporter.set_serving::<ConversationServer<Service>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(springtide_proto::DESCRIPTORS)
        .build_v1()?;
    tracing::info!(address = %listener.local_addr()?, "conversations are served");
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .add_service(health_service)
        .add_service(reflection)
        .add_service(ConversationServer::new(service).max_decoding_message_size(MAX_MESSAGE))
        .serve_with_incoming_shutdown(tls.incoming(listener, stopped.clone()), stopped.cancelled_owned())
        .await?;
    Ok(())
}

async fn sweep(
    answering: Arc<Answering>,
    metrics: Metrics,
    idle_after: Duration,
    stopped: CancellationToken,
) {
    let mut tick = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            () = stopped.cancelled() => return,
            now = tick.tick() => {
                // First the record that a conversation ended, and then it no longer counts: a worker may go once none does.
                if !answering.spool.is_failing() {
                    answering.end_silent(idle_after).await;
                } else if answering.spool.probe().await.is_ok() {
                    tracing::info!("the spool can be written again");
                }
                answering.conversations.park_silent(now, idle_after);
                metrics.gauges(answering.conversations.active(), answering.spool.depth());
            }
        }
    }
}
