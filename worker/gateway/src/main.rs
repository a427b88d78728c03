//! The gateway's wiring: see the library.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use springtide_gateway::attach::Attachment;
use springtide_gateway::config::Config;
use springtide_gateway::http::{Door, LONGEST_WAIT, router};
use springtide_gateway::metrics::Metrics;
use springtide_gateway::rateable::Rateable;
use springtide_gateway::relay::Relay;
use springtide_gateway::service::ServiceMinutes;
use springtide_gateway::service::book::Book;
use springtide_gateway::service::keep::MinuteKeeper;
use springtide_gateway::sessions::Sessions;
use springtide_gateway::shared_pool::SharedPool;
use springtide_gateway::workers::Workers;
use springtide_proto::fleet::GatewayHello;
use springtide_proto::metering::Witness;
use springtide_runtime::admin::{self, Health};
use springtide_runtime::clock::{Clock as _, SystemClock};
use springtide_runtime::identity::{PeerIdentity, SystemRole};
use springtide_runtime::pod::PodIdentity;
use springtide_runtime::probe::{PROBE_KEY_FILE, ProbeKey};
use springtide_runtime::reporter::Reporter;
use springtide_runtime::spool::Spool;
use springtide_runtime::tls::TlsMaterial;
use springtide_runtime::{shutdown, telemetry};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often silent conversations are looked for and gauges are set.
const SWEEP: Duration = Duration::from_secs(1);
/// After SIGTERM new connections are taken for this long, until everybody knows that this pod goes.
const LINGER: Duration = Duration::from_secs(2);
/// Longest wait for turns that are under way.
const TURNS_UNDER_WAY: Duration = Duration::from_secs(12);
/// A minute of service is closed this long after its last turn must have ended.
const CLOSE_SLACK: Duration = Duration::from_secs(1);
/// Longest wait for billing when the gateway ends.
const FLUSH: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    springtide_runtime::install_crypto_provider();
    let config = Config::parse();
    let _telemetry = telemetry::init("springtide-gateway", &config.telemetry)?;
    run(config)
        .await
        .inspect_err(|error| tracing::error!(error = format!("{error:#}"), "gateway failed"))
}

async fn run(config: Config) -> anyhow::Result<()> {
    let signalled = shutdown::on_signal()?;
    let (stopped, closing) = (CancellationToken::new(), CancellationToken::new());
    let pod = config.pod.identity()?;
    let tls = config.tls.load()?;
    let health = Health::default();
    let metrics = Metrics::default();
    let registry = Arc::new(Mutex::new(Registry::default()));
    metrics.register(&mut registry.lock());
    let relay = Arc::new(relay(&config, &pod, &tls, metrics.clone()).await?);
    let billing = tls.channel(&config.billing, &PeerIdentity::System(SystemRole::Billing))?;
    let keeper = MinuteKeeper {
        minutes: relay.minutes.clone(),
        spool: relay.spool.clone(),
        billing: billing.clone(),
        tenant: config.tenant.clone(),
        tenant_uid: config.tenant_uid.clone(),
        pod: pod.clone(),
        clock: Arc::new(SystemClock),
        closed: Arc::new(Notify::new()),
    };
    let reporter = Reporter {
        spool: relay.spool.clone(),
        billing,
        witness: Witness::Gateway,
        pod: pod.clone(),
        counts: Arc::default(),
        hurry: CancellationToken::new(),
    };
    let attachment = Attachment {
        hello: hello(&config, &pod),
        relay: relay.clone(),
        tls,
        fleet: config.fleet.clone(),
        clock: Arc::new(SystemClock),
    };
    let listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("{} cannot be opened", config.listen))?;
    admin::serve(&config.admin, health.clone(), registry, stopped.clone())
        .await
        .context("the admin port cannot be opened")?;
    tokio::spawn(reporter.clone().run(stopped.clone()));
    tokio::spawn(keeper.clone().run(stopped.clone()));
    // One that ends takes over nothing more: its own spool goes with its Pod.
    tokio::spawn(
        relay
            .clone()
            .take_over_records(pod.name.clone(), signalled.clone()),
    );
    tokio::spawn(attachment.run(stopped.clone()));
    tokio::spawn(sweep(
        relay.clone(),
        metrics,
        config.idle_after,
        health.clone(),
        stopped.clone(),
    ));
    let routes = router(Door {
        relay: relay.clone(),
        clock: Arc::new(SystemClock),
        probe_key: probe_key(&config),
    });
    tracing::info!(address = %listener.local_addr()?, "customers come in");
    let mut served = tokio::spawn(
        axum::serve(listener, routes)
            .with_graceful_shutdown(closing.clone().cancelled_owned())
            .into_future(),
    );

    tokio::select! {
        () = signalled.cancelled() => {}
        died = &mut served => died.context("the server panicked")?.context("the server ended")?,
    }
    health.not_ready("intake", "ending");
    tokio::time::sleep(LINGER).await;
    closing.cancel();
    if tokio::time::timeout(TURNS_UNDER_WAY, served).await.is_err() {
        tracing::info!("connections are still open; their turns go on at another gateway");
    }
    relay.end_all().await;
    let (usage, minutes) = tokio::join!(reporter.flush(FLUSH), keeper.flush(FLUSH));
    if !usage || !minutes {
        tracing::warn!(
            spooled = relay.spool.depth(),
            minutes_taken = minutes,
            "billing did not take all usage records and minutes; they stay in the spool"
        );
    }
    stopped.cancel();
    tracing::info!("ended");
    Ok(())
}

/// Without the key no probe is known as one: the operator then takes the door for failing, and says so.
fn probe_key(config: &Config) -> Option<ProbeKey> {
    match std::fs::read(config.tls.tls_dir.join(PROBE_KEY_FILE)) {
        Ok(key) => Some(ProbeKey::new(&key)),
        Err(error) => {
            tracing::warn!(%error, "no key for the operator's probes");
            None
        }
    }
}

async fn relay(
    config: &Config,
    pod: &PodIdentity,
    tls: &TlsMaterial,
    metrics: Metrics,
) -> anyhow::Result<Relay> {
    let spool = Spool::open(&config.spool_dir).await?;
    spool.close_minutes_of_others(&pod.boot_id).await?;
    let close_after = LONGEST_WAIT + config.turn_timeout + CLOSE_SLACK;
    let book = Book::new(pod.boot_id.clone(), config.channels.pools(), close_after);
    let pools = config
        .channels
        .pools()
        .into_iter()
        .map(|pool| (pool, SharedPool::new(config.waiting_room)));
    Ok(Relay {
        tenant: config.tenant.clone(),
        tenant_uid: config.tenant_uid.clone(),
        channels: config.channels.clone(),
        pools: pools.collect(),
        sessions: Sessions::default(),
        rateable: Rateable::default(),
        workers: Workers::new(tls.clone(), &config.tenant),
        spool,
        metrics,
        minutes: Arc::new(ServiceMinutes::new(book, config.answer_within)),
        letting_go: TaskTracker::new(),
        turn_timeout: config.turn_timeout,
        idle_after: config.idle_after,
    })
}

fn hello(config: &Config, pod: &PodIdentity) -> GatewayHello {
    GatewayHello {
        tenant: config.tenant.to_string(),
        pod: pod.name.to_string(),
        pod_uid: pod.uid.to_string(),
        boot_id: pod.boot_id.to_string(),
        node: pod.node.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pools: config.channels.pools().iter().map(ToString::to_string).collect(),
        lost_leader: String::new(),
    }
}

async fn sweep(
    relay: Arc<Relay>,
    metrics: Metrics,
    idle_after: Duration,
    health: Health,
    stopped: CancellationToken,
) {
    let mut tick = tokio::time::interval(SWEEP);
    loop {
        let now: Instant = tokio::select! {
            () = stopped.cancelled() => return,
            now = tick.tick() => now,
        };
        relay.sessions.park_silent(now, idle_after);
        let (mut waiting, mut active) = (0, 0);
        for (id, pool) in &relay.pools {
            waiting += u64::try_from(pool.look(|pool| pool.waiting(now).0)).unwrap_or_default();
            active += relay.sessions.tally(id).1;
        }
        metrics.gauges(waiting, active, relay.spool.depth());
        if relay.spool.is_failing() && relay.spool.probe().await.is_err() {
            health.not_ready("spool", "it cannot be written (is the disk full?)");
        } else {
            health.ready("spool");
            relay.end_silent(SystemClock.now()).await;
        }
    }
}
