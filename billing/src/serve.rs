//! The server: gRPC with mutual TLS, REST and portal over plain HTTP (an ingress ends TLS), and the admin port.

mod archive;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use springtide_proto::metering::metering_server::MeteringServer;
use springtide_proto::tenancy::tenancy_server::TenancyServer;
use springtide_runtime::admin::{AdminArgs, Health, SharedRegistry};
use springtide_runtime::clock::{Clock, SystemClock};
use springtide_runtime::tls::TlsArgs;
use springtide_runtime::{admin, shutdown};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;

use crate::bill::audit;
use crate::drop_old_events::drop_old_events;
use crate::grpc::metering::MeteringService;
use crate::grpc::tenancy::TenancyService;
use crate::metering::MAX_MESSAGE;
use crate::metering::writer::UsageWriter;
use crate::metrics::{Metrics, ReplicaMetrics};
use crate::openid_connect::{OpenIdConnect, Settings};
use crate::service_level::ServiceMetrics;
use crate::service_level::watch::Watch;
use crate::service_level::webhook::Webhooks;
use crate::store::{Confinement, Store, StoreError, TenantStores, with_causes};
use crate::watch_budgets::watch_budgets;
use crate::web;

/// Name of the database in readiness.
const DATABASE: &str = "database";
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// How often it is seen to that there is room ahead for what will be recorded.
const MONTHS_INTERVAL: Duration = Duration::from_hours(6);

/// Where the server listens.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Address of metering and tenancy (gRPC, mutual TLS)
    #[arg(
        long,
        env = "SPRINGTIDE_LISTEN",
        default_value = "0.0.0.0:7445",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,
    /// Address of REST and the portal (plain HTTP)
    #[arg(
        long,
        env = "SPRINGTIDE_HTTP_LISTEN",
        default_value = "0.0.0.0:8081",
        value_name = "ADDRESS"
    )]
    pub http_listen: SocketAddr,
    /// Address of the back office, where the provider's own people approve drafts (plain HTTP); there is none without it. On
    /// 127.0.0.1 only who may forward a port to the Pod reaches it, as by `kubectl port-forward`
    #[arg(long, env = "SPRINGTIDE_OFFICE_LISTEN", value_name = "ADDRESS")]
    pub office_listen: Option<SocketAddr>,
    /// A read replica of a PostgreSQL database, as postgres://USER:PASSWORD@HOST/NAME: what tenants read comes from there
    /// while it has what they wrote last, and else from the database itself
    #[arg(long, env = "READ_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub read_database_url: Option<String>,
    /// Folder in which a SQLite database is archived, to go back to any second of it (`point-in-time`); on another disk than
    /// the database
    #[arg(long, env = "SPRINGTIDE_ARCHIVE", value_name = "FOLDER")]
    pub archive: Option<PathBuf>,
    /// How long the archive goes back, in days
    #[arg(
        long,
        env = "SPRINGTIDE_ARCHIVE_DAYS",
        value_name = "DAYS",
        default_value_t = 14,
        value_parser = clap::value_parser!(u16).range(1..=3650)
    )]
    pub archive_days: u16,
    /// A file that says at which OpenID providers client firms sign in; by tokens alone without it
    #[arg(long, env = "SPRINGTIDE_OPENID_CONNECT", value_name = "FILE")]
    pub openid_connect: Option<PathBuf>,
    /// Certificates.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Admin port.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// Serves until the process is told to end; what was taken by then is durable.
pub async fn serve(args: ServeArgs, database_url: &str) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let openid_connect = openid_connect(args.openid_connect.as_deref(), &clock)?;
    let shutdown = shutdown::on_signal().context("signals cannot be caught")?;
    let health = Health::default();
    health.starting(DATABASE);
    let registry = SharedRegistry::default();
    let metrics = Metrics::default();
    metrics.register(&mut registry.lock());
    let service_metrics = ServiceMetrics::default();
    service_metrics.register(&mut registry.lock());
    admin::serve(&args.admin, health.clone(), registry.clone(), shutdown.clone())
        .await
        .context("the admin port cannot listen")?;
    let tls = args.tls.load().context("mutual TLS cannot start")?;
    let grpc = listen(args.listen).await?;
    let http = listen(args.http_listen).await?;
    let office = match args.office_listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let is_archived = args.archive.is_some();
    let Some(store) = open_store(database_url, is_archived, &health, &shutdown).await? else {
        return Ok(());
    };
    let archiving = archive::archiving(&store, &args, &clock, &registry).await?;

    let (writer, writing) = UsageWriter::start(store.clone(), clock.clone(), metrics.clone())
        .context("no thread can be started that writes usage")?;
    let (reporter, grpc_health) = tonic_health::server::health_reporter();
    let probing = tokio::spawn(probe(
        store.clone(),
        health,
        metrics.clone(),
        reporter,
        shutdown.clone(),
    ));
    let mut loops = background(&store, &clock, &metrics, service_metrics, &shutdown)?;
    let replica = args.read_database_url.as_deref().map(|url| {
        let metrics = ReplicaMetrics::default();
        metrics.register(&mut registry.lock());
        (url, metrics)
    });
    let stores = tenant_stores(&store, replica).await?;
    loops.spawn(stores.clone().watch_replica(shutdown.clone()));
    let mut web_state = web::WebState::new(
        stores.clone(),
        clock.clone(),
        Arc::new(web::SystemSecrets::default()),
        writer.clone(),
    );
    if let Some(providers) = openid_connect {
        web_state = web_state.with_openid_connect(providers);
    }
    let office = office.map(|office| serve_http(office, web::office_router(web_state.clone()), &shutdown));
    let serving_http = serve_http(http, web::router(web_state), &shutdown);
    tracing::info!(grpc = %args.listen, http = %args.http_listen, office = ?args.office_listen, "billing serves");
    let metering = MeteringService {
        writer,
        clock: clock.clone(),
        metrics,
        store: store.clone(),
    };
    let served = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .add_service(grpc_health)
        .add_service(reflection()?)
        .add_service(MeteringServer::new(metering).max_decoding_message_size(MAX_MESSAGE))
        .add_service(TenancyServer::new(TenancyService {
            store: store.clone(),
            clock,
        }))
        .serve_with_incoming_shutdown(
            tls.incoming(grpc, shutdown.clone()),
            shutdown.clone().cancelled_owned(),
        )
        .await;
    shutdown.cancel();
    for serving in office.into_iter().chain([serving_http]) {
        serving
            .await
            .context("the HTTP server failed")?
            .context("the HTTP server failed")?;
    }
    // The services are gone, and with them the writer's last handle: its tasks end when their queues are empty.
    writing.await.context("the writer failed")?;
    probing.await.context("the probe failed")?;
    while let Some(ended) = loops.join_next().await {
        ended.context("a task in the background failed")?;
    }
    stores.close().await;
    store.close().await;
    if let Some((archiving, writers_ended)) = archiving {
        writers_ended.cancel();
        archiving.await.context("the archive failed")?;
    }
    served.context("the gRPC server failed")
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))
}

fn serve_http(
    listener: TcpListener,
    routes: axum::Router,
    shutdown: &CancellationToken,
) -> JoinHandle<std::io::Result<()>> {
    let shutdown = shutdown.clone();
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move {
        axum::serve(listener, service)
            .with_graceful_shutdown(shutdown.cancelled_owned())
            .await
    })
}

/// The providers of the file, if there is one. None of them is asked: billing starts without them.
fn openid_connect(file: Option<&Path>, clock: &Arc<dyn Clock>) -> anyhow::Result<Option<OpenIdConnect>> {
    let Some(file) = file else {
        return Ok(None);
    };
    let settings = Settings::read(file).context("OpenID Connect cannot be set up")?;
    let providers = OpenIdConnect::new(settings, clock.clone()).context("OpenID Connect cannot be set up")?;
    Ok(Some(providers))
}

/// What goes on beside the servers, until shutdown.
fn background(
    store: &Store,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
    service_metrics: ServiceMetrics,
    shutdown: &CancellationToken,
) -> anyhow::Result<JoinSet<()>> {
    let parts = || (store.clone(), clock.clone(), metrics.clone(), shutdown.clone());
    let watch = Watch {
        store: store.clone(),
        clock: clock.clone(),
        metrics: service_metrics,
        webhooks: Webhooks::new().context("webhooks cannot be sent")?,
    };
    let mut loops = JoinSet::new();
    loops.spawn(watch.run(shutdown.clone()));
    loops.spawn(make_months(store.clone(), clock.clone(), shutdown.clone()));
    let (store, clock, metrics, shutdown) = parts();
    loops.spawn(watch_budgets(store, clock, metrics, shutdown));
    let (store, clock, metrics, shutdown) = parts();
    loops.spawn(drop_old_events(store, clock, metrics, shutdown));
    let (store, clock, metrics, shutdown) = parts();
    loops.spawn(audit::run(store, clock, metrics, shutdown));
    Ok(loops)
}

/// Where tenants read; says what an administrator has to do where the database does not keep them apart.
async fn tenant_stores(
    store: &Store,
    replica: Option<(&str, ReplicaMetrics)>,
) -> anyhow::Result<TenantStores> {
    let (stores, confinement) = TenantStores::open(store.clone())
        .await
        .context("reads of tenants cannot be confined")?;
    match confinement {
        Confinement::Unconfined { remedy } => tracing::warn!(
            remedy,
            "the database does not keep reads of a tenant to its own rows; its administrator can change that, and then \
             billing must be started again"
        ),
        Confinement::Confined { is_unbound: true, .. } => tracing::warn!(
            "billing's own role in the database is a superuser or bypasses row level security; reads of tenants are \
             confined, but give billing a role that owns its database and no more"
        ),
        Confinement::Confined { .. } | Confinement::Sqlite => {}
    }
    match replica {
        Some((url, metrics)) => stores
            .with_replica(url, metrics)
            .context("the read replica cannot be used"),
        None => Ok(stores),
    }
}

fn reflection() -> anyhow::Result<
    impl tonic::codegen::Service<
        http::Request<tonic::body::Body>,
        Response = http::Response<tonic::body::Body>,
        Error = std::convert::Infallible,
        Future = impl Send + 'static,
    > + tonic::server::NamedService
    + Clone
    + Send
    + Sync
    + 'static,
> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(springtide_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .context("the contracts cannot be described")
}

/// Connects and migrates; tries again while the database is away. `None` at shutdown.
async fn open_store(
    url: &str,
    is_archived: bool,
    health: &Health,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<Store>> {
    loop {
        let opened = async {
            let store = Store::connect_to_serve(url, is_archived).await?;
            store.migrate().await?;
            Ok::<_, StoreError>(store)
        };
        let error = match opened.await {
            Ok(store) => return Ok(Some(store)),
            Err(
                error @ (StoreError::Scheme
                | StoreError::Migrate(sqlx::migrate::MigrateError::VersionMissing(_))),
            ) => {
                return Err(error).context("the database cannot be used");
            }
            Err(error) => error,
        };
        let chain = with_causes(&error);
        tracing::warn!(error = %chain, "the database is away, trying again");
        health.not_ready(DATABASE, chain);
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(PROBE_INTERVAL) => {}
        }
    }
}

/// Makes room ahead for what will be recorded. Without it nothing is lost: there is a place for what has none.
async fn make_months(store: Store, clock: Arc<dyn Clock>, shutdown: CancellationToken) {
    loop {
        if let Err(error) = store.make_months(clock.now()).await {
            tracing::error!(error = %with_causes(&error), "the months to come could not be made");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(MONTHS_INTERVAL) => {}
        }
    }
}

/// Keeps readiness true to the database.
async fn probe(
    store: Store,
    health: Health,
    metrics: Metrics,
    reporter: HealthReporter,
    shutdown: CancellationToken,
) {
    let mut was_ready = false;
    loop {
        let answered = tokio::time::timeout(PROBE_INTERVAL, store.number_of_invoices()).await;
        let is_ready = matches!(answered, Ok(Ok(_)));
        match answered {
            Ok(Ok(invoices)) => {
                metrics.invoices_issued(invoices);
                health.ready(DATABASE);
            }
            Ok(Err(error)) => health.not_ready(DATABASE, with_causes(&error)),
            Err(_) => health.not_ready(DATABASE, "does not answer"),
        }
        if is_ready != was_ready {
            tracing::info!(is_ready, "readiness of the database changed");
            let status = if is_ready {
                tonic_health::ServingStatus::Serving
            } else {
                tonic_health::ServingStatus::NotServing
            };
            for service in [
                "",
                "springtide.metering.v1.Metering",
                "springtide.tenancy.v1.Tenancy",
            ] {
                reporter.set_service_status(service, status).await;
            }
            was_ready = is_ready;
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(PROBE_INTERVAL) => {}
        }
    }
}
