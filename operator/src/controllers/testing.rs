//! A cluster for tests: an API server in memory, billing that answers as it is told, and a context over both.

mod billing;
mod events;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::client::Body;
use kube::runtime::reflector::{self, Lookup, Store};
use kube::runtime::watcher;
use parking_lot::Mutex;
use serde_json::{Value, json};
use springtide_proto::ids::{PoolId, TenantId};
use springtide_runtime::authority::Authority;
use springtide_runtime::clock::ManualClock;
use tokio::sync::{mpsc, watch};

use crate::api::{BotPool, Promotion, RatePlan, Tenant};
use crate::autoscale::CreationPace;
use crate::election::LeaderHint;
use crate::fleet::{Fleet, FleetMetrics, FleetSettings, PoolKey};

use super::checkpoint::{Checkpoints, ShownCheckpoints};
use super::context::{Beside, Calls, Context, Installation, Stores};
use super::events::EventSink;
use super::live::LiveBoard;
use super::metrics::Metrics;
use super::nodes::NodeIndex;
use super::pods::PodIndex;
use super::pools::{PoolNames, Pools};

pub(crate) use billing::FakeBilling;

/// The time in all scenarios.
pub(crate) const NOW: &str = "2026-11-10T12:00:00Z";

/// A write that the API server was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Value,
}

/// An API server in memory.
#[derive(Clone, Default)]
pub(crate) struct FakeApi(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    calls: Vec<Call>,
    version: u64,
    silent_at: Option<&'static str>,
    refuses: Option<&'static str>,
}

impl FakeApi {
    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move {
                let silent_at = api.0.lock().silent_at;
                if silent_at.is_some_and(|end| request.uri().path().ends_with(end)) {
                    std::future::pending::<()>().await;
                }
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await?;
                let selector = parts.uri.query().unwrap_or_default();
                let (status, answer) = match api.list(&parts.method, parts.uri.path(), selector) {
                    Some(list) => (StatusCode::OK, list),
                    None => api.answer(&parts.method, parts.uri.path(), &body),
                };
                let response = Response::builder()
                    .status(status)
                    .body(Body::from(serde_json::to_vec(&answer)?))?;
                Ok::<_, tower::BoxError>(response)
            }
        });
        Client::new(service, "default")
    }

    pub(crate) fn put(&self, path: &str, object: Value) {
        let given = object["metadata"].clone();
        let mut state = self.0.lock();
        state.store(path, object);
        let stored = &mut state.objects.get_mut(path).unwrap()["metadata"];
        for field in ["resourceVersion", "uid"] {
            if !given[field].is_null() {
                stored[field] = given[field].clone();
            }
        }
    }

    pub(crate) fn remove(&self, path: &str) {
        self.0.lock().objects.remove(path);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.0.lock().objects.get(path).cloned()
    }

    /// All objects whose paths begin so, by path.
    pub(crate) fn all(&self, beginning: &str) -> BTreeMap<String, Value> {
        let state = self.0.lock();
        let found = state
            .objects
            .iter()
            .filter(|(path, _)| path.starts_with(beginning));
        found
            .map(|(path, object)| (path.clone(), object.clone()))
            .collect()
    }

    /// Creations in collections of that name, and deletions of what is named so, are refused, as by admission.
    pub(crate) fn refuse(&self, collection: Option<&'static str>) {
        self.0.lock().refuses = collection;
    }

    pub(crate) fn set_unreachable(&self, unreachable: bool) {
        self.0.lock().silent_at = unreachable.then_some("");
    }

    /// Calls to paths that end so are never answered.
    pub(crate) fn be_silent_at(&self, end: &'static str) {
        self.0.lock().silent_at = Some(end);
    }

    /// Writes of that method to paths that contain `part`.
    pub(crate) fn calls(&self, method: &Method, part: &str) -> Vec<Call> {
        let state = self.0.lock();
        state
            .calls
            .iter()
            .filter(|call| call.method == *method && call.path.contains(part))
            .cloned()
            .collect()
    }

    /// The Pods of a pool.
    fn list(&self, method: &Method, path: &str, query: &str) -> Option<Value> {
        let pool = query.split_once("springtide.dev%2Fpool%3D")?.1;
        if *method != Method::GET || !path.ends_with("/pods") {
            return None;
        }
        let state = self.0.lock();
        let of_pool = state.objects.iter().filter(|(name, pod)| {
            name.starts_with(path) && pod["metadata"]["labels"]["springtide.dev/pool"] == pool
        });
        let items: Vec<_> = of_pool.map(|(_, pod)| pod.clone()).collect();
        let version = json!({"resourceVersion": state.version.to_string()});
        Some(json!({"apiVersion": "v1", "kind": "PodList", "metadata": version, "items": items}))
    }

    fn answer(&self, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Value) {
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let mut state = self.0.lock();
        if *method != Method::GET {
            state.calls.push(Call {
                method: method.clone(),
                path: path.to_owned(),
                body: body.clone(),
            });
        }
        let object = path.trim_end_matches("/status").to_owned();
        let exists = state.objects.contains_key(&object);
        match method.as_str() {
            "GET" => state
                .objects
                .get(&object)
                .map_or_else(|| failure(404), |found| (StatusCode::OK, found.clone())),
            "POST" if state.refuses.is_some_and(|collection| path.ends_with(collection)) => failure(422),
            "POST" => {
                let name = body["metadata"]["name"].as_str().unwrap_or_default();
                let object = format!("{path}/{name}");
                if state.objects.contains_key(&object) {
                    failure(409)
                } else {
                    (StatusCode::CREATED, state.store(&object, body))
                }
            }
            "PUT" | "PATCH" if state.is_outdated(&object, &body) => failure(409),
            "PUT" if !exists => failure(404),
            "PUT" => (StatusCode::OK, state.store(&object, body)),
            "PATCH" => {
                let mut merged = state.objects.get(&object).cloned().unwrap_or_else(|| json!({}));
                // A status is applied as a whole: what its one writer leaves out is gone.
                if object != path {
                    merged["status"] = Value::Null;
                }
                merge(&mut merged, &body);
                (StatusCode::OK, state.store(&object, merged))
            }
            "DELETE" if state.refuses.is_some_and(|name| path.ends_with(name)) => failure(422),
            "DELETE" if state.is_another(&object, &body) => failure(409),
            "DELETE" => match state.objects.remove(&object) {
                Some(found) => (StatusCode::OK, found),
                None => failure(404),
            },
            _ => failure(405),
        }
    }
}

impl State {
    fn store(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        let known = self
            .objects
            .get(path)
            .and_then(|known| known["metadata"]["uid"].as_str().map(str::to_owned));
        object["metadata"]["name"] = path.rsplit('/').next().unwrap_or_default().into();
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        object["metadata"]["uid"] = known.unwrap_or_else(|| format!("uid-{}", self.version)).into();
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    /// The object has another UID than the one that is to be deleted.
    fn is_another(&self, path: &str, body: &Value) -> bool {
        let Some(uid) = body["preconditions"]["uid"].as_str() else {
            return false;
        };
        let known = self.objects.get(path);
        known.is_some_and(|known| known["metadata"]["uid"] != uid)
    }

    fn is_outdated(&self, path: &str, body: &Value) -> bool {
        let Some(version) = body["metadata"]["resourceVersion"].as_str() else {
            return false;
        };
        self.objects
            .get(path)
            .is_none_or(|known| known["metadata"]["resourceVersion"] != version)
    }
}

fn failure(code: u16) -> (StatusCode, Value) {
    let reason = match code {
        404 => "NotFound",
        409 => "AlreadyExists",
        422 => "Invalid",
        _ => "MethodNotAllowed",
    };
    let status =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code});
    (StatusCode::from_u16(code).unwrap(), status)
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                if value.is_null() {
                    into.remove(key);
                } else {
                    merge(into.entry(key).or_insert_with(|| json!({})), value);
                }
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// A cluster with a leader.
pub(crate) struct Scenario {
    pub(crate) api: FakeApi,
    pub(crate) billing: Arc<FakeBilling>,
    pub(crate) context: Arc<Context>,
    pub(crate) clock: ManualClock,
    _steps: mpsc::UnboundedReceiver<PoolKey>,
}

/// What is in the caches of a scenario.
#[derive(Default)]
pub(crate) struct Cached {
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) pools: Vec<BotPool>,
    pub(crate) plans: Vec<RatePlan>,
    pub(crate) promotions: Vec<Promotion>,
}

impl Scenario {
    pub(crate) fn new(cached: Cached) -> Self {
        Self::on(&FakeApi::default(), cached)
    }

    /// A leader of a cluster that there is already.
    pub(crate) fn on(api: &FakeApi, cached: Cached) -> Self {
        springtide_runtime::install_crypto_provider();
        let (api, billing) = (api.clone(), Arc::new(FakeBilling::default()));
        let clock = ManualClock::new(NOW.parse().unwrap());
        let (steps, step_queue) = mpsc::unbounded_channel();
        let settings = FleetSettings {
            leader: watch::channel(LeaderHint::default()).1,
            address: String::new(),
            prober: None,
            clock: Arc::new(clock.clone()),
            steps,
        };
        let fleet = Fleet::new(settings, FleetMetrics::default());
        fleet.begin(7);
        let ca = Authority::generate(NOW.parse().unwrap()).unwrap();
        let live = LiveBoard::default();
        live.begin();
        let context = Arc::new(Context {
            client: api.client(),
            stores: Stores {
                tenants: store(cached.tenants.into_iter().map(provisioned).collect()),
                pools: pools(cached.pools),
                promotions: store(cached.promotions),
                plans: store(cached.plans),
                pods: PodIndex::default(),
                nodes: NodeIndex::default(),
                checkpoints: ShownCheckpoints::default(),
            },
            fleet,
            billing: billing.clone(),
            authority: Arc::new(Authority::from_pem(&ca.certificate, &ca.key).unwrap()),
            clock: Arc::new(clock.clone()),
            random: Arc::new(|bytes| {
                bytes.fill(7);
                Ok(())
            }),
            installation: Installation {
                system_namespace: "springtide-system".to_owned(),
                gateway_image: "springtide.dev/gateway:0.1.0".to_owned(),
                gateway_replicas: 2,
                answer_within: std::time::Duration::from_millis(800),
                max_workers: None,
                probe_doors: false,
                creations_per_second: 50,
                creations_burst: 100,
                image_pull_policy: "IfNotPresent".to_owned(),
                fleet: "springtide-fleet.springtide-system.svc:7444".to_owned(),
                billing: "springtide-billing.springtide-system.svc:7445".to_owned(),
            },
            events: EventSink::new(api.client(), "test".to_owned()).0,
            metrics: Metrics::default(),
            live,
            memories: Mutex::new(HashMap::new()),
            checkpoints: Checkpoints::default(),
            grants: Mutex::new(HashMap::new()),
            tenants_done: Mutex::default(),
            upkeep: Context::upkeep(std::time::Duration::ZERO),
            calls: Calls::default(),
            beside: Beside::default(),
            pace: Mutex::new(CreationPace::new(50, 100, std::time::Duration::ZERO)),
            failures: Mutex::new(HashMap::new()),
        });
        Self {
            api,
            billing,
            context,
            clock,
            _steps: step_queue,
        }
    }

    /// The watch shows a Pod of the pool web of acme.
    pub(crate) fn show_worker(&self, name: &str, uid: &str, ready: bool, template: &str) {
        self.show_worker_with((name, uid, ready, template), json!({}));
    }

    /// The same, and more: what is given is merged into it.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "so that a test can write json!(…) in place"
    )]
    pub(crate) fn show_worker_with(
        &self,
        (name, uid, ready, template): (&str, &str, bool, &str),
        more: Value,
    ) {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": "tenant-acme", "uid": uid, "creationTimestamp": NOW,
                "labels": {
                    "springtide.dev/tenant": "acme", "springtide.dev/pool": "web", "springtide.dev/template": template,
                    "springtide.dev/serving": "true",
                },
            },
            "status": {"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
        });
        merge(&mut pod, &more);
        self.api.put(
            &format!("/api/v1/namespaces/tenant-acme/pods/{name}"),
            pod.clone(),
        );
        let pod: Pod = serde_json::from_value(pod).unwrap();
        self.context.stores.pods.insert(&pod);
    }

    /// Returns when nothing goes on beside the decisions of the pool.
    pub(crate) async fn until_quiet(&self) {
        let memory = self.context.memory(&key());
        let quiet = async {
            while !memory.lock().await.is_quiet() {
                tokio::task::yield_now().await;
            }
        };
        let ended = tokio::time::timeout(std::time::Duration::from_secs(10), quiet).await;
        ended.expect("something still goes on");
    }

    /// The API server knows the object, as the caches do.
    pub(crate) fn know<K>(&self, object: &K)
    where
        K: kube::Resource<DynamicType = ()> + serde::Serialize,
    {
        let collection = K::url_path(&(), object.meta().namespace.as_deref());
        let path = format!("{collection}/{}", object.meta().name.clone().unwrap_or_default());
        if self.api.get(&path).is_none() {
            self.api.put(&path, serde_json::to_value(object).unwrap());
        }
    }

    pub(crate) fn condition(&self, path: &str, type_: &str) -> Value {
        let object = self.api.get(path).unwrap_or_default();
        let conditions = object["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        conditions
            .into_iter()
            .find(|condition| condition["type"] == type_)
            .unwrap_or_default()
    }
}

pub(crate) fn key() -> PoolKey {
    PoolKey {
        tenant: TenantId::parse("acme").unwrap(),
        pool: PoolId::parse("web").unwrap(),
    }
}

pub(crate) fn acme() -> Tenant {
    let tenant = json!({
        "apiVersion": "springtide.dev/v1alpha1", "kind": "Tenant",
        "metadata": {"name": "acme", "uid": "tenant-uid", "generation": 1, "finalizers": [crate::names::TENANT_FINALIZER]},
        "spec": {
            "displayName": "安可商城", "timeZone": "Asia/Shanghai", "ratePlan": "standard",
            "capacity": {"limit": 20}, "channels": {"web": {"pool": "web"}},
        },
    });
    serde_json::from_value(tenant).unwrap()
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "so that a test can write json!(…) in place"
)]
pub(crate) fn web(scaling: Value) -> BotPool {
    let pool = json!({
        "apiVersion": "springtide.dev/v1alpha1", "kind": "BotPool",
        "metadata": {"name": "web", "namespace": "tenant-acme", "uid": "pool-uid", "generation": 1, "resourceVersion": "1"},
        "spec": {
            "worker": {"image": "springtide.dev/worker:0.1.0", "conversations": 20},
            "scaling": scaling,
        },
    });
    serde_json::from_value(pool).unwrap()
}

/// Unless a test says what is known of it, a tenant has its identities.
fn provisioned(mut tenant: Tenant) -> Tenant {
    let ready = json!({
        "type": "IdentitiesReady", "status": "True", "reason": "Issued", "message": "", "lastTransitionTime": NOW,
    });
    let status = || serde_json::from_value(json!({"conditions": [ready]})).unwrap();
    tenant.status.get_or_insert_with(status);
    tenant
}

fn pools(objects: Vec<BotPool>) -> Pools {
    let names = PoolNames::default();
    for pool in &objects {
        names.take(&watcher::Event::Apply(pool.clone()));
    }
    Pools::new(store(objects), names)
}

fn store<K>(objects: Vec<K>) -> Store<K>
where
    K: Lookup<DynamicType = ()> + Clone + 'static,
{
    let (reader, mut writer) = reflector::store();
    writer.apply_watcher_event(&watcher::Event::Init);
    for object in objects {
        writer.apply_watcher_event(&watcher::Event::InitApply(object));
    }
    writer.apply_watcher_event(&watcher::Event::InitDone);
    reader
}
