//! The process: what every replica runs, whether or not it leads.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kube::Client;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use ring::rand::SecureRandom as _;
use springtide_proto::fleet::fleet_server::FleetServer;
use springtide_runtime::authority::Authority;
use springtide_runtime::clock::{Clock, SystemClock};
use springtide_runtime::identity::{PeerIdentity, SystemRole};
use springtide_runtime::tls::TlsMaterial;
use springtide_runtime::{admin, shutdown};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::calls;
use crate::cli::RunArguments;
use crate::controllers::billing::RemoteBilling;
use crate::controllers::context::{Installation, Random};
use crate::controllers::identities;
use crate::controllers::live::LiveBoard;
use crate::controllers::metrics::Metrics;
use crate::controllers::pool_metrics::PoolMetrics;
use crate::election::{Election, Settings, Standing};
use crate::fleet::{Fleet, FleetMetrics, FleetSettings, Prober};
use crate::lead::{Leader, lead_when_elected};
use crate::names::LEASE;
use crate::watched::Watched;

const LEASE_DURATION: Duration = Duration::from_secs(3);
const RENEW_DEADLINE: Duration = Duration::from_secs(2);
const RETRY_PERIOD: Duration = Duration::from_millis(400);
const IDENTITY_RETRY: Duration = Duration::from_secs(2);

/// Runs until SIGTERM.
pub async fn run(arguments: RunArguments) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signal()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let config = kube::Config::infer()
        .await
        .context("no cluster is configured: run in a Pod, or set KUBECONFIG")?;
    // For watches, on which nothing may come for minutes.
    let watching = Client::try_from(config.clone())?;
    let client = calls::client(config.clone(), calls::LIMIT)?;
    let health = admin::Health::default();
    health.starting("identity");
    health.starting("fleet");
    let (registry, live, metrics) = (
        admin::SharedRegistry::default(),
        LiveBoard::default(),
        Metrics::default(),
    );
    let fleet_metrics = register(&registry, &metrics, &live);
    let routes = admin::router(health.clone(), registry).merge(crate::admin::routes(live.clone()));
    let admin = admin::serve_router(&arguments.admin, routes, shutdown.clone()).await?;

    let Some(authority) = until_identified(&client, &arguments.namespace, clock.as_ref(), &shutdown).await
    else {
        return Ok(());
    };
    let tls = authority.material(&PeerIdentity::System(SystemRole::Operator), clock.now())?;
    health.ready("identity");

    let settings = election_settings(&arguments);
    let (standing, elected) = hold_election(config, settings, clock.clone(), shutdown.clone()).await?;
    let (steps, step_queue) = mpsc::unbounded_channel();
    let prober = Some(Prober::new(tls.clone(), clock.clone()));
    let fleet = Fleet::new(
        FleetSettings {
            leader: standing.leader.clone(),
            address: standing.address.clone(),
            prober,
            clock: clock.clone(),
            steps,
        },
        fleet_metrics,
    );
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("{} is taken", arguments.listen))?;
    let served = tokio::spawn(serve_fleet(
        tls.clone(),
        listener,
        fleet.clone(),
        shutdown.clone(),
    ));
    health.ready("fleet");

    let billing = tls.channel(&arguments.billing, &PeerIdentity::System(SystemRole::Billing))?;
    let leader = Leader {
        client,
        watched: Watched::start(&watching, &arguments.namespace),
        fleet,
        billing: Arc::new(RemoteBilling::new(billing)),
        authority: Arc::new(authority),
        clock,
        random: machine_random(),
        instance: arguments.pod.pod_name.to_string(),
        boot_id: springtide_runtime::clock::new_boot_id(),
        installation: installation(&arguments),
        live,
        metrics,
    };
    Box::pin(lead_when_elected(leader, standing, step_queue, &shutdown)).await;
    tokio::task::spawn_blocking(move || elected.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the election panicked"))?;
    served.await??;
    admin.await?;
    Ok(())
}

/// The election has a thread and a connection of its own: however busy the rest is, the lease is renewed in time.
async fn hold_election(
    mut config: kube::Config,
    settings: Settings,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) -> anyhow::Result<(Standing, std::thread::JoinHandle<()>)> {
    // It does its own retries, bounded by its deadlines.
    config.default_retry = false;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("election".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                let candidate = Client::try_from(config).map(|client| Election::new(client, settings, clock));
                let (election, standing) = match candidate {
                    Ok((election, standing)) => (Ok(election), Ok(standing)),
                    Err(error) => (Err(()), Err(error)),
                };
                if sender.send(standing).is_ok()
                    && let Ok(election) = election
                {
                    election.run(shutdown).await;
                }
            });
        })?;
    Ok((receiver.await??, thread))
}

fn register(registry: &admin::SharedRegistry, metrics: &Metrics, live: &LiveBoard) -> FleetMetrics {
    let mut registry: parking_lot::MutexGuard<'_, Registry> = Mutex::lock(registry);
    let fleet = FleetMetrics::default();
    metrics.register(&mut registry);
    registry.register_collector(Box::new(PoolMetrics::new(live.clone())));
    fleet.register(&mut registry);
    fleet
}

/// The CA, made by whichever replica is first; and billing's identity, so that billing need not wait for a leader.
async fn until_identified(
    client: &Client,
    namespace: &str,
    clock: &dyn Clock,
    shutdown: &CancellationToken,
) -> Option<Authority> {
    loop {
        let made = async {
            let authority = identities::authority(client, namespace, clock.now()).await?;
            identities::billing(client, namespace, &authority, clock.now()).await?;
            Ok::<_, identities::IdentityError>(authority)
        };
        match made.await {
            Ok(authority) => return Some(authority),
            Err(error) => tracing::warn!(error = ?anyhow::Error::from(error), "no identity yet"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return None,
            () = tokio::time::sleep(IDENTITY_RETRY) => {}
        }
    }
}

async fn serve_fleet(
    tls: TlsMaterial,
    listener: TcpListener,
    fleet: Fleet,
    shutdown: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let incoming = tls.incoming(listener, shutdown.clone());
    tonic::transport::Server::builder()
        // Who falls silent is noticed by what it does not say; this only clears away what nobody holds any more. A peer that is
        // merely slow to answer would have to attach anew, and be slower.
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .add_service(FleetServer::new(fleet))
        .serve_with_incoming_shutdown(incoming, shutdown.cancelled_owned())
        .await
}

fn election_settings(arguments: &RunArguments) -> Settings {
    let address = std::net::SocketAddr::new(arguments.pod.pod_ip, arguments.listen.port());
    Settings {
        namespace: arguments.namespace.clone(),
        lease: LEASE.to_owned(),
        identity: format!("{}@{address}", arguments.pod.pod_name),
        lease_duration: LEASE_DURATION,
        renew_deadline: RENEW_DEADLINE,
        retry_period: RETRY_PERIOD,
    }
}

fn installation(arguments: &RunArguments) -> Installation {
    Installation {
        system_namespace: arguments.namespace.clone(),
        gateway_image: arguments.gateway_image.clone(),
        gateway_replicas: arguments.gateway_replicas,
        answer_within: arguments.answer_within,
        max_workers: arguments.max_workers,
        probe_doors: arguments.probe_doors,
        creations_per_second: arguments.creations_per_second,
        creations_burst: arguments.creations_burst,
        image_pull_policy: arguments.image_pull_policy.clone(),
        fleet: arguments.fleet.clone(),
        billing: arguments.billing.clone(),
    }
}

fn machine_random() -> Random {
    let random = ring::rand::SystemRandom::new();
    Arc::new(move |bytes| random.fill(bytes))
}
