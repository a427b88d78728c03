//! What every reconcile is given.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::reflector::Store;
use kube::{Client, Resource};
use parking_lot::Mutex;
use springtide_runtime::authority::Authority;
use springtide_runtime::clock::Clock;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

use crate::api::{Promotion, RatePlan, Tenant};
use crate::autoscale::{CreationPace, Moment, TokenBucket};
use crate::fleet::{Fleet, PoolKey};

use super::billing::Billing;
use super::checkpoint::{Checkpoints, ShownCheckpoints};
use super::events::EventSink;
use super::live::LiveBoard;
use super::metrics::Metrics;
use super::nodes::NodeIndex;
use super::pods::PodIndex;
use super::pool::PoolMemory;
use super::pools::Pools;
use super::tenant::Done;

/// Fills with random bytes.
pub type Random = Arc<dyn Fn(&mut [u8]) -> Result<(), ring::error::Unspecified> + Send + Sync>;

/// Names, images and addresses that the installation chose.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Namespace of the operator and billing.
    pub system_namespace: String,
    /// Image of the gateways.
    pub gateway_image: String,
    /// Gateways of one tenant.
    pub gateway_replicas: u32,
    /// The tenants' public doors are probed.
    pub probe_doors: bool,
    /// Workers that the whole cluster may have.
    pub max_workers: Option<u32>,
    /// Workers created in a second over all pools, in the long run.
    pub creations_per_second: u32,
    /// Workers created at once over all pools.
    pub creations_burst: u32,
    /// Answers within this count as fast.
    pub answer_within: std::time::Duration,
    /// imagePullPolicy of gateways and workers.
    pub image_pull_policy: String,
    /// "HOST:PORT" of the fleet service.
    pub fleet: String,
    /// "HOST:PORT" of billing.
    pub billing: String,
}

/// All that is watched.
#[derive(Clone)]
pub struct Stores {
    /// Tenants.
    pub tenants: Store<Tenant>,
    /// Pools.
    pub pools: Pools,
    /// Promotions.
    pub promotions: Store<Promotion>,
    /// Plans.
    pub plans: Store<RatePlan>,
    /// Pods of tenants.
    pub pods: PodIndex,
    /// Nodes that go.
    pub nodes: NodeIndex,
    /// What leaders learned, as it is kept.
    pub checkpoints: ShownCheckpoints,
}

/// What every reconcile is given.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What is watched.
    pub stores: Stores,
    /// Workers and gateways.
    pub fleet: Fleet,
    /// Accounts and plans.
    pub billing: Arc<dyn Billing>,
    /// Issues identities.
    pub authority: Arc<Authority>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Random,
    /// What the installation chose.
    pub installation: Installation,
    /// Events.
    pub events: EventSink,
    /// Counts.
    pub metrics: Metrics,
    /// What is true now.
    pub live: LiveBoard,
    /// What guards against caches that lag behind, and what is learned, by pool.
    pub memories: Mutex<HashMap<PoolKey, Arc<tokio::sync::Mutex<PoolMemory>>>>,
    /// What earlier leaders learned, and what was kept for later ones.
    pub checkpoints: Checkpoints,
    /// One decision of a tenant's pools at a time: what one is granted, another sees.
    pub grants: Mutex<HashMap<springtide_proto::ids::TenantId, Arc<tokio::sync::Mutex<()>>>>,
    /// How many calls pools have at the API server.
    pub calls: Calls,
    /// What goes on beside decisions.
    pub beside: Beside,
    /// How fast workers are created, over all pools.
    pub pace: Mutex<CreationPace>,
    /// How fast all that only keeps things fresh is done, over all pools: it must not crowd out what a decision needs.
    pub upkeep: Mutex<TokenBucket>,
    /// Tenants for which nothing is to be written now, by name.
    pub tenants_done: Mutex<HashMap<String, Done>>,
    /// Attempts that failed in a row, by kind and name.
    pub failures: Mutex<HashMap<(&'static str, String), u32>>,
}

/// Calls of pools to the API server at once, each kind by itself, first come, first served: however slowly it answers, a worker is
/// created behind no status, and no pool waits to be decided because others wait for answers.
pub struct Calls {
    creating: Semaphore,
    changing: Semaphore,
    telling: Semaphore,
}

impl Calls {
    /// None are under way.
    pub fn new() -> Self {
        Self {
            creating: Semaphore::new(CREATING_AT_ONCE),
            changing: Semaphore::new(CHANGING_AT_ONCE),
            telling: Semaphore::new(TELLING_AT_ONCE),
        }
    }

    /// For a call without which a worker is not created.
    pub async fn to_create(&self) -> Option<SemaphorePermit<'_>> {
        // An error says that it was closed, which nobody does.
        self.creating.acquire().await.ok()
    }

    /// For any other change.
    pub async fn to_change(&self) -> Option<SemaphorePermit<'_>> {
        self.changing.acquire().await.ok()
    }

    /// For a status, which can wait. It is to be kept for a pause that is as long as the call took.
    pub async fn to_tell(&self) -> Option<SemaphorePermit<'_>> {
        self.telling.acquire().await.ok()
    }
}

/// Work that goes on beside decisions and ends when we lead no longer: nothing is written after that.
#[derive(Default)]
pub struct Beside(Mutex<CancellationToken>);

impl Beside {
    /// What is begun from now on ends when the guard is dropped.
    pub fn until_dropped(&self) -> DropGuard {
        let ends = CancellationToken::new();
        *self.0.lock() = ends.clone();
        ends.drop_guard()
    }

    /// Begins it; without a result where it was ended.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> AbortOnDropHandle<Option<T>> {
        let ends = self.0.lock().clone();
        AbortOnDropHandle::new(tokio::spawn(async move { ends.run_until_cancelled(work).await }))
    }
}

impl Default for Calls {
    fn default() -> Self {
        Self::new()
    }
}

const CREATING_AT_ONCE: usize = 64;
const CHANGING_AT_ONCE: usize = 32;
/// With the pauses between them, two are under way on average: hundreds a second of an API server that answers within milliseconds,
/// and few of one that is busy, of which a status takes more than the creation of a worker.
const TELLING_AT_ONCE: usize = 4;
/// Requests of upkeep in a second, and at once.
const UPKEEP_PER_SECOND: f64 = 20.0;
const UPKEEP_BURST: f64 = 20.0;
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(30);

impl Context {
    /// Whether the API server may be asked now for what only keeps things fresh. What is refused is asked for again later, so
    /// the more pools there are the older it gets.
    pub fn may_keep_up(&self) -> bool {
        self.upkeep.lock().take(self.fleet.now())
    }

    /// The upkeep of a new term.
    pub fn upkeep(now: Moment) -> Mutex<TokenBucket> {
        Mutex::new(TokenBucket::new(UPKEEP_PER_SECOND, UPKEEP_BURST, now))
    }

    /// The memory of a pool.
    pub fn memory(&self, key: &PoolKey) -> Arc<tokio::sync::Mutex<PoolMemory>> {
        self.memories.lock().entry(key.clone()).or_default().clone()
    }

    /// Held while a pool of the tenant is decided.
    pub fn grant(&self, tenant: &springtide_proto::ids::TenantId) -> Arc<tokio::sync::Mutex<()>> {
        self.grants.lock().entry(tenant.clone()).or_default().clone()
    }

    /// The wait before the next attempt, twice as long after each failure.
    pub fn backoff(&self, kind: &'static str, name: &str) -> Duration {
        let mut failures = self.failures.lock();
        let failed = failures.entry((kind, name.to_owned())).or_insert(0);
        let wait = FIRST_RETRY.saturating_mul(1 << (*failed).min(10)).min(LAST_RETRY);
        *failed += 1;
        wait
    }

    /// An attempt succeeded.
    pub fn succeeded(&self, kind: &'static str, name: &str) {
        self.failures.lock().remove(&(kind, name.to_owned()));
    }
}

/// The reference by which Events name an object.
pub fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    object.object_ref(&())
}
