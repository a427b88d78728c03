//! The gRPC service and its state.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use springtide_proto::epoch::Epoch;
use springtide_proto::fleet::fleet_server::Fleet as FleetService;
use springtide_proto::fleet::{
    GatewayCommand, GatewayMessage, NotLeader, WorkerCommand, WorkerMessage, gateway_command, worker_command,
};
use springtide_proto::ids::{PodName, TenantId};
use springtide_runtime::clock::Clock;
use springtide_runtime::tls::peer_identity;
// A channel of tokio's takes room for 32 messages when it is made, and there are two for each of thousands of streams.
use futures::channel::mpsc as small;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tonic::{Request, Response, Status, Streaming};

use crate::autoscale::Moment;
use crate::election::LeaderHint;

use super::{Book, PoolKey, Prober, SILENCE_PERIOD};

/// Commands under way on one stream; a peer that does not take them is cut off.
pub(super) const COMMANDS: usize = 256;
/// A follower that knows of no leader keeps a peer no longer than this: another one has taken over by then.
const KEPT: Duration = Duration::from_secs(5);
/// The moment at which a process begins: what an earlier leader saw was at most so long before.
const BEGINNING: Duration = Duration::from_hours(1);

/// What the fleet service is made from.
pub struct FleetSettings {
    /// Who leads.
    pub leader: watch::Receiver<LeaderHint>,
    /// "HOST:PORT" of this fleet service, as others are told it.
    pub address: String,
    /// Asks workers; none in tests.
    pub prober: Option<Prober>,
    /// The time, by which the clocks of workers and gateways are judged.
    pub clock: Arc<dyn Clock>,
    /// Pools to be decided anew.
    pub steps: mpsc::UnboundedSender<PoolKey>,
}

/// The fleet service.
#[derive(Clone)]
pub struct Fleet(Arc<Inner>);

pub(super) struct Inner {
    pub(super) settings: FleetSettings,
    pub(super) metrics: FleetMetrics,
    origin: Instant,
    #[cfg(test)]
    skipped: Mutex<Duration>,
    book: Mutex<Option<Book>>,
    /// Streams are taken, and stay.
    is_open: watch::Sender<bool>,
    tenants: Mutex<HashMap<TenantId, String>>,
}

/// Counts of the fleet service.
#[derive(Clone, Debug, Default)]
pub struct FleetMetrics {
    pub(super) refused: Family<PeerLabels, Counter>,
    pub(super) attached: Family<PeerLabels, Counter>,
}

/// Worker or gateway.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct PeerLabels {
    pub(super) peer: &'static str,
}

impl FleetMetrics {
    /// Registers them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "springtide_fleet_reports_refused",
            "Messages that cannot be true",
            self.refused.clone(),
        );
        registry.register(
            "springtide_fleet_streams_opened",
            "Streams that were taken",
            self.attached.clone(),
        );
    }
}

impl Fleet {
    /// Without a term it turns everyone away.
    pub fn new(settings: FleetSettings, metrics: FleetMetrics) -> Self {
        Self(Arc::new(Inner {
            settings,
            metrics,
            origin: Instant::now(),
            #[cfg(test)]
            skipped: Mutex::default(),
            book: Mutex::new(None),
            is_open: watch::Sender::new(false),
            tenants: Mutex::new(HashMap::new()),
        }))
    }

    /// Begins a term with an empty book.
    pub fn begin(&self, term: u64) {
        *self.0.book.lock() = Some(Book::new(term, self.now()));
        self.0.is_open.send_replace(true);
    }

    /// Goes on in another term of ours with what is in the book: nobody else led in between, so it holds.
    pub fn resume(&self, term: u64) {
        self.with_book(|book| book.resume(term));
    }

    /// Ends the term: everyone is turned away.
    pub fn end(&self) {
        self.0.is_open.send_replace(false);
        *self.0.book.lock() = None;
    }

    /// The moment now.
    pub fn now(&self) -> Moment {
        self.0.now()
    }

    #[cfg(test)]
    pub(super) fn inner(&self) -> Arc<Inner> {
        self.0.clone()
    }

    /// Lets time pass.
    #[cfg(test)]
    pub(crate) fn skip(&self, time: Duration) {
        *self.0.skipped.lock() += time;
    }

    /// Works on the book; `None` while we do not lead.
    pub fn with_book<T>(&self, work: impl FnOnce(&mut Book) -> T) -> Option<T> {
        self.0.with_book(work)
    }

    /// Has a pool decided anew at once.
    pub fn request_decision(&self, key: &PoolKey) {
        self.0.step(key);
    }

    /// Has the pools decided anew of which a worker or gateway fell silent, for as long as the term lasts.
    pub async fn watch_silence(&self) {
        let mut looks = tokio::time::interval(SILENCE_PERIOD);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            for key in self.fell_silent() {
                self.request_decision(&key);
            }
        }
    }

    /// Pools of which a worker or gateway fell silent since this was asked last.
    pub(super) fn fell_silent(&self) -> BTreeSet<PoolKey> {
        let now = self.now();
        self.with_book(|book| book.fell_silent(now)).unwrap_or_default()
    }

    /// The UID of a Tenant object, which probes must name.
    pub fn know_tenant(&self, tenant: &TenantId, uid: &str) {
        self.0.tenants.lock().insert(tenant.clone(), uid.to_owned());
    }

    /// Forgets a tenant that is gone.
    pub fn forget_tenant(&self, tenant: &TenantId) {
        self.0.tenants.lock().remove(tenant);
    }
}

impl Inner {
    pub(super) fn now(&self) -> Moment {
        let now = BEGINNING + self.origin.elapsed();
        #[cfg(test)]
        let now = now + *self.skipped.lock();
        now
    }

    pub(super) fn with_book<T>(&self, work: impl FnOnce(&mut Book) -> T) -> Option<T> {
        self.book.lock().as_mut().map(work)
    }

    /// Whether streams are taken: not before a term begins, and until it ends. While our lease is in question they stay.
    pub(super) fn open(&self) -> watch::Receiver<bool> {
        self.is_open.subscribe()
    }

    /// A message that cannot be true: it changes nothing.
    pub(super) fn refuse(&self, peer: &PeerLabels, pod: &PodName, why: &dyn std::fmt::Display) {
        self.metrics.refused.get_or_create(peer).inc();
        tracing::warn!(%pod, %why, "message refused");
    }

    pub(super) fn step(&self, key: &PoolKey) {
        // A closed channel means that the process ends.
        drop(self.settings.steps.send(key.clone()));
    }

    pub(super) fn tenant_uid(&self, tenant: &TenantId) -> Option<String> {
        self.tenants.lock().get(tenant).cloned()
    }

    /// Returns when streams are taken, or when it is known where to send a peer that has lost `lost`, or who leads is not known for
    /// long: thousands of peers ask once while nobody leads, not again and again.
    pub(super) async fn open_or_known(&self, is_open: &mut watch::Receiver<bool>, lost: &str) {
        let mut leader = self.settings.leader.clone();
        let asked = leader.borrow().changes;
        // We ourselves take the stream as soon as our term begins.
        let is_nobody = |address: &str| address.is_empty() || address == self.settings.address;
        let is_known =
            |hint: &LeaderHint| !is_nobody(&hint.address) && (hint.address != lost || hint.changes != asked);
        tokio::select! {
            _ = is_open.wait_for(|is_open| *is_open) => {}
            _ = leader.wait_for(is_known) => {}
            () = tokio::time::sleep(KEPT) => {}
        }
    }

    fn not_leader(&self) -> NotLeader {
        let LeaderHint {
            address,
            transitions,
            changes: _,
        } = self.settings.leader.borrow().clone();
        NotLeader {
            address,
            epoch: Some(
                Epoch {
                    transitions,
                    sequence: 0,
                }
                .into(),
            ),
        }
    }

    pub(super) fn worker_turned_away(&self) -> WorkerCommand {
        WorkerCommand {
            command: Some(worker_command::Command::NotLeader(self.not_leader())),
        }
    }

    pub(super) fn gateway_turned_away(&self) -> GatewayCommand {
        GatewayCommand {
            command: Some(gateway_command::Command::NotLeader(self.not_leader())),
        }
    }
}

type CommandStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl FleetService for Fleet {
    type AttachWorkerStream = CommandStream<WorkerCommand>;
    type AttachGatewayStream = CommandStream<GatewayCommand>;

    async fn attach_worker(
        &self,
        request: Request<Streaming<WorkerMessage>>,
    ) -> Result<Response<Self::AttachWorkerStream>, Status> {
        let peer = peer_identity(&request)?;
        let (sender, receiver) = small::channel(COMMANDS);
        tokio::spawn(super::worker_stream::serve(
            self.0.clone(),
            peer,
            request.into_inner(),
            sender,
        ));
        Ok(Response::new(Box::pin(receiver)))
    }

    async fn attach_gateway(
        &self,
        request: Request<Streaming<GatewayMessage>>,
    ) -> Result<Response<Self::AttachGatewayStream>, Status> {
        let peer = peer_identity(&request)?;
        let (sender, receiver) = small::channel(COMMANDS);
        tokio::spawn(super::gateway_stream::serve(
            self.0.clone(),
            peer,
            request.into_inner(),
            sender,
        ));
        Ok(Response::new(Box::pin(receiver)))
    }
}
