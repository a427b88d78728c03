//! The edge: what is read from the cluster.

use std::fmt::Debug;
use std::time::Duration;

use http::{Request, StatusCode};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::arguments::Connection;
use super::error::PluginError;
use super::{Found, PoolName};
use crate::admin::PoolRecord;
use crate::api::{BotPool, Promotion, Tenant};
use crate::autoscale::Baseline;
use crate::names::{ADMIN_PORT, NAME_LABEL, tenant_of_namespace};

/// A cluster, with the permissions of who calls.
pub(super) struct Cluster {
    client: Client,
    url: String,
    system_namespace: String,
}

/// What we want to do, for those who lack the permission.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    verb: &'static str,
    resource: &'static str,
    group: &'static str,
    namespace: Option<&'a str>,
}

const OURS: &str = "springtide.dev";
/// For a connection, and for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

impl Cluster {
    /// The cluster of the kubeconfig.
    pub(super) async fn connect(connection: &Connection) -> Result<Self, PluginError> {
        let config = config(connection).await?;
        let url = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|error| PluginError::Kubeconfig {
            problem: chain(&error),
        })?;
        Ok(Self::new(client, url, connection.system_namespace.clone()))
    }

    pub(super) fn new(client: Client, url: String, system_namespace: String) -> Self {
        Self {
            client,
            url,
            system_namespace,
        }
    }

    /// The namespace of the context.
    pub(super) fn default_namespace(&self) -> &str {
        self.client.default_namespace()
    }

    /// What the leader decided: each replica is asked until one leads.
    pub(super) async fn records(&self) -> Result<Vec<Found>, PluginError> {
        let namespace = self.system_namespace.as_str();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let labelled = ListParams::default().labels(&format!("{NAME_LABEL}=springtide-operator"));
        let list = Wanted {
            verb: "list",
            resource: "pods",
            group: "",
            namespace: Some(namespace),
        };
        let pods = pods
            .list(&labelled)
            .await
            .map_err(|error| self.failed(list, &error))?;
        if pods.items.is_empty() {
            return Err(PluginError::NoOperator {
                namespace: namespace.to_owned(),
            });
        }
        let mut answers = Vec::new();
        for pod in pods {
            let name = pod.name_any();
            let asked = self.ask(&name, "/debug/pools").await;
            let (code, text) = asked.map_err(|error| self.failed(list, &error))?;
            if code.is_success() {
                return read(&name, &text);
            }
            if !may_be_elsewhere(code) {
                let get = Wanted {
                    verb: "get",
                    resource: "pods/proxy",
                    ..list
                };
                return Err(self.refused(get, code, &text));
            }
            answers.push((name, said(&text)));
        }
        Err(PluginError::NoLeader {
            namespace: namespace.to_owned(),
            answers,
        })
    }

    /// What a Pod answers. Its errors are its own, and no `Status` of the API server.
    async fn ask(&self, pod: &str, path: &str) -> kube::Result<(StatusCode, String)> {
        let namespace = &self.system_namespace;
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{ADMIN_PORT}/proxy{path}");
        let request = Request::get(path).body(Body::empty());
        let response = self.client.send(request.map_err(kube::Error::HttpError)?).await?;
        let code = response.status();
        let bytes = response.into_body().collect_bytes().await?;
        Ok((code, String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// What load a pool usually has, as the leader learned it; none of a leader that is older than this, or gone since.
    pub(super) async fn baseline(&self, found: &Found) -> Option<Baseline> {
        let PoolRecord { tenant, pool, .. } = &found.record;
        let path = format!("/debug/pools/{tenant}/{pool}");
        let (code, text) = self.ask(&found.leader, &path).await.ok()?;
        let record: PoolRecord = serde_json::from_str(&text).ok().filter(|_| code.is_success())?;
        Baseline::decode(&record.baseline?.0).ok()
    }

    /// The time zone of a tenant; none if it cannot be read.
    pub(super) async fn time_zone(&self, tenant: &str) -> Option<String> {
        let tenants: Api<Tenant> = Api::all(self.client.clone());
        let tenant = tenants.get_opt(tenant).await.ok()??;
        Some(tenant.spec.time_zone)
    }

    /// The objects of all pools.
    pub(super) async fn pools(&self) -> Result<Vec<BotPool>, PluginError> {
        self.all("botpools").await
    }

    /// All promotions.
    pub(super) async fn promotions(&self) -> Result<Vec<Promotion>, PluginError> {
        self.all("promotions").await
    }

    async fn all<K>(&self, resource: &'static str) -> Result<Vec<K>, PluginError>
    where
        K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let list = Wanted {
            verb: "list",
            resource,
            group: OURS,
            namespace: None,
        };
        let found = Api::<K>::all(self.client.clone())
            .list(&ListParams::default())
            .await;
        Ok(found.map_err(|error| self.failed(list, &error))?.items)
    }

    /// A pool's object.
    pub(super) async fn pool(&self, namespace: &str, name: &str) -> Result<Option<BotPool>, PluginError> {
        let pools: Api<BotPool> = Api::namespaced(self.client.clone(), namespace);
        let get = Wanted {
            verb: "get",
            resource: "botpools",
            group: OURS,
            namespace: Some(namespace),
        };
        pools
            .get_opt(name)
            .await
            .map_err(|error| self.failed(get, &error))
    }

    /// Why there is no record of a pool: it was not decided, or it does not exist.
    pub(super) async fn not_decided(&self, name: &PoolName, records: &[Found]) -> PluginError {
        let pools: Api<BotPool> = Api::all(self.client.clone());
        let list = Wanted {
            verb: "list",
            resource: "botpools",
            group: OURS,
            namespace: None,
        };
        let pools = match pools.list(&ListParams::default()).await {
            Ok(pools) => pools,
            // Who may not look at all pools still learns which were decided.
            Err(kube::Error::Api(status)) if status.code == StatusCode::FORBIDDEN.as_u16() => {
                return PluginError::NotFound {
                    what: "pool",
                    name: name.to_string(),
                    names: records.iter().map(Found::name).collect(),
                };
            }
            Err(error) => return self.failed(list, &error),
        };
        let mut names = Vec::new();
        for pool in pools {
            let namespace = pool.namespace().unwrap_or_default();
            let tenant = tenant_of_namespace(&namespace).unwrap_or(&namespace);
            if name.is(tenant, &pool.name_any()) {
                return PluginError::NotDecided {
                    tenant: tenant.to_owned(),
                    pool: pool.name_any(),
                };
            }
            names.push(format!("{tenant}/{}", pool.name_any()));
        }
        PluginError::NotFound {
            what: "pool",
            name: name.to_string(),
            names,
        }
    }

    /// A promotion's object.
    pub(super) async fn promotion(&self, name: &str) -> Result<Promotion, PluginError> {
        let promotions: Api<Promotion> = Api::all(self.client.clone());
        let wanted = |verb| Wanted {
            verb,
            resource: "promotions",
            group: OURS,
            namespace: None,
        };
        let found = promotions.get_opt(name).await;
        if let Some(promotion) = found.map_err(|error| self.failed(wanted("get"), &error))? {
            return Ok(promotion);
        }
        let all = promotions.list(&ListParams::default()).await;
        let all = all.map_err(|error| self.failed(wanted("list"), &error))?;
        Err(PluginError::NotFound {
            what: "promotion",
            name: name.to_owned(),
            names: all.iter().map(kube::ResourceExt::name_any).collect(),
        })
    }

    fn failed(&self, wanted: Wanted<'_>, error: &kube::Error) -> PluginError {
        let kube::Error::Api(status) = error else {
            return PluginError::Unreachable {
                url: self.url.clone(),
                problem: chain(error),
            };
        };
        let code = StatusCode::from_u16(status.code).unwrap_or_default();
        self.refused(wanted, code, &status.message)
    }

    fn refused(&self, wanted: Wanted<'_>, code: StatusCode, text: &str) -> PluginError {
        match code {
            StatusCode::UNAUTHORIZED => PluginError::Unauthorized {
                url: self.url.clone(),
            },
            StatusCode::FORBIDDEN => PluginError::Forbidden {
                verb: wanted.verb,
                resource: wanted.resource,
                group: wanted.group,
                place: wanted
                    .namespace
                    .map_or_else(String::new, |namespace| format!(" in {namespace}")),
            },
            StatusCode::NOT_FOUND if wanted.group == OURS => PluginError::NotInstalled {
                resource: wanted.resource,
            },
            _ => PluginError::Api { problem: said(text) },
        }
    }
}

/// Nothing is asked again by the client itself: a replica that follows answers 503, and then the next one is asked.
async fn config(connection: &Connection) -> Result<Config, PluginError> {
    let mut config = of_kubeconfig(connection).await?;
    config.default_retry = false;
    config.connect_timeout = Some(PATIENCE);
    config.read_timeout = Some(PATIENCE);
    Ok(config)
}

async fn of_kubeconfig(connection: &Connection) -> Result<Config, PluginError> {
    let options = KubeConfigOptions {
        context: connection.context.clone(),
        ..KubeConfigOptions::default()
    };
    let unusable = |error: &dyn std::error::Error| PluginError::Kubeconfig {
        problem: chain(error),
    };
    match &connection.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|error| unusable(&error))?;
            let config = Config::from_custom_kubeconfig(file, &options).await;
            config.map_err(|error| unusable(&error))
        }
        None if connection.context.is_some() => {
            let config = Config::from_kubeconfig(&options).await;
            config.map_err(|error| unusable(&error))
        }
        None => Config::infer().await.map_err(|error| unusable(&error)),
    }
}

/// A follower answers 503, and so does the API server for a Pod that it cannot reach.
fn may_be_elsewhere(code: StatusCode) -> bool {
    code.is_server_error() || code == StatusCode::NOT_FOUND
}

/// The message of our own error bodies and of those of the API server, or all that was said.
fn said(text: &str) -> String {
    let body = serde_json::from_str::<Value>(text).ok();
    let message = body.as_ref().and_then(|body| {
        let ours = body.pointer("/error/message");
        ours.or_else(|| body.pointer("/message"))?.as_str()
    });
    message.unwrap_or(text).trim().to_owned()
}

fn read(pod: &str, text: &str) -> Result<Vec<Found>, PluginError> {
    let no_record = |error: serde_json::Error| PluginError::NoRecord {
        pod: pod.to_owned(),
        problem: error.to_string(),
    };
    let values: Vec<Value> = serde_json::from_str(text).map_err(no_record)?;
    let found = values.into_iter().map(|value| {
        let record: PoolRecord = serde_json::from_value(value.clone())?;
        Ok(Found {
            record,
            value,
            leader: pod.to_owned(),
        })
    });
    found.collect::<Result<_, _>>().map_err(no_record)
}

/// An error with what it came from, where that says more.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}
