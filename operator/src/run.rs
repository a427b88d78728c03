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

use crate::cli::RunArguments;
use crate::controllers::billing::RemoteBilling;
use crate::controllers::context::{Installation, Random};
use crate::controllers::identities;
use crate::controllers::live::LiveBoard;
use crate::controllers::metrics::Metrics;
use crate::election::{Election, Settings, Standing};
use crate::fleet::{Fleet, FleetMetrics, FleetSettings, Prober};
use crate::lead::{Leader, lead_when_elected};
use crate::names::LEASE;

const LEASE_DURATION: Duration = Duration::from_secs(4);
const RENEW_DEADLINE: Duration = Duration::from_secs(3);
const RETRY_PERIOD: Duration = Duration::from_millis(500);
const IDENTITY_RETRY: Duration = Duration::from_secs(2);

/// Runs until SIGTERM.
pub async fn run(arguments: RunArguments) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signal()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let config = kube::Config::infer()
        .await
        .context("no cluster is configured: run in a Pod, or set KUBECONFIG")?;
    let client = Client::try_from(config.clone())?;
    // The election does its own retries, bounded by its deadlines.
    let mut election_config = config;
    election_config.default_retry = false;
    let election_client = Client::try_from(election_config)?;

    let health = admin::Health::default();
    health.starting("identity");
    health.starting("fleet");
    let (registry, live, metrics) = (
        admin::SharedRegistry::default(),
        LiveBoard::default(),
        Metrics::default(),
    );
    let fleet_metrics = register(&registry, &metrics);
    let routes = admin::router(health.clone(), registry).merge(crate::admin::routes(live.clone()));
    let admin = admin::serve_router(&arguments.admin, routes, shutdown.clone()).await?;

    let Some(authority) = until_identified(&client, &arguments.namespace, clock.as_ref(), &shutdown).await
    else {
        return Ok(());
    };
    let tls = authority.material(&PeerIdentity::System(SystemRole::Operator), clock.now())?;
    health.ready("identity");

    let settings = election_settings(&arguments);
    let (election, standing) = Election::new(election_client, settings, clock.clone());
    let (steps, step_queue) = mpsc::unbounded_channel();
    let prober = Some(Prober::new(tls.clone(), clock.clone()));
    let fleet = Fleet::new(
        FleetSettings {
            term: standing.term.clone(),
            leader: standing.leader.clone(),
            prober,
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
        fleet,
        billing: Arc::new(RemoteBilling::new(billing)),
        authority: Arc::new(authority),
        clock,
        random: machine_random(),
        instance: arguments.pod.pod_name.to_string(),
        installation: installation(&arguments),
        live,
        metrics,
    };
    run_to_the_end(election, standing, leader, step_queue, shutdown).await;
    served.await??;
    admin.await?;
    Ok(())
}

async fn run_to_the_end(
    election: Election,
    standing: Standing,
    leader: Leader,
    steps: mpsc::UnboundedReceiver<crate::fleet::PoolKey>,
    shutdown: CancellationToken,
) {
    let elected = tokio::spawn(election.run(shutdown.clone()));
    tokio::select! {
        () = lead_when_elected(leader, standing, steps) => {}
        () = shutdown.cancelled() => {}
    }
    if let Err(error) = elected.await {
        tracing::error!(%error, "election ended");
    }
}

fn register(registry: &admin::SharedRegistry, metrics: &Metrics) -> FleetMetrics {
    let mut registry: parking_lot::MutexGuard<'_, Registry> = Mutex::lock(registry);
    let fleet = FleetMetrics::default();
    metrics.register(&mut registry);
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
        .http2_keepalive_interval(Some(Duration::from_secs(2)))
        .http2_keepalive_timeout(Some(Duration::from_secs(2)))
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
        image_pull_policy: arguments.image_pull_policy.clone(),
        fleet: arguments.fleet.clone(),
        billing: arguments.billing.clone(),
    }
}

fn machine_random() -> Random {
    let random = ring::rand::SystemRandom::new();
    Arc::new(move |bytes| random.fill(bytes))
}
