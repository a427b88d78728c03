//! Tenants and pools on the API server, and the credentials of the operator and of the simulated parts.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DynamicObject, GroupVersionKind, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use serde_json::{Value, json};
use springtide_runtime::tls::TlsMaterial;

use crate::cluster::Cluster;
use crate::course::SYSTEM;
use crate::manifests::rate_plan;

use super::Size;
use super::fleet::{Pool, Tenant};
use super::steps::CAPACITY;

const RATE_PLAN: &str = "standard-2026";
const KNOWLEDGE: &str = "faq";
/// The conversations of tenants' workers are at ports from this on.
const FIRST_PORT: u16 = 20_000;
/// Requests to the API server at once.
const AT_ONCE: usize = 8;
const PROVISIONED: Duration = Duration::from_mins(20);

/// A kubeconfig in which the operator has the permissions of its chart, and no others; with the API server at that address, if one
/// is given.
pub(super) async fn operators_kubeconfig(cluster: &Cluster, door: Option<&str>) -> anyhow::Result<String> {
    let token = cluster
        .kubectl(&[
            "create",
            "token",
            "springtide-operator",
            "-n",
            SYSTEM,
            "--duration",
            "12h",
        ])
        .await?;
    let view = cluster
        .kubectl(&["config", "view", "--raw", "-o", "json"])
        .await?;
    let mut config: Value = serde_json::from_str(&view)?;
    let user = config
        .pointer_mut("/users/0/user")
        .context("a kubeconfig has a user")?;
    *user = json!({"token": token.trim()});
    if let Some(door) = door {
        let server = config
            .pointer_mut("/clusters/0/cluster/server")
            .context("a kubeconfig has a cluster")?;
        *server = json!(door);
    }
    Ok(config.to_string())
}

/// Names of the tenants, and of the pools of each.
pub(super) fn names(size: &Size) -> Vec<(String, Vec<String>)> {
    let tenant = |number: u32| {
        let pools = (number..size.pools).step_by(usize::try_from(size.tenants).unwrap_or(1));
        let pools = pools.enumerate().map(|(place, _)| format!("p{place}"));
        (format!("t{number}"), pools.collect())
    };
    (0..size.tenants).map(tenant).collect()
}

/// Makes the tenants on the API server.
pub(super) async fn take_on(client: &Client, size: &Size) -> anyhow::Result<()> {
    let plan: Value = serde_saphyr::from_str(&rate_plan(RATE_PLAN))?;
    create(client, plan).await?;
    let all = futures::stream::iter(names(size)).map(|(tenant, pools)| {
        let (client, workers) = (client.clone(), size.workers_per_pool);
        async move {
            for object in tenant_manifests(&tenant, &pools, workers) {
                create(&client, object).await?;
            }
            anyhow::Ok(())
        }
    });
    all.buffer_unordered(AT_ONCE)
        .try_collect::<Vec<_>>()
        .await
        .map(drop)
}

/// With the identities that the operator issued to them.
pub(super) async fn with_identities(client: &Client, size: &Size) -> anyhow::Result<Vec<Arc<Tenant>>> {
    let all =
        futures::stream::iter(names(size).into_iter().enumerate()).map(|(place, (name, pools))| async move {
            let namespace = format!("tenant-{name}");
            let waiting = Arc::<tokio::sync::Notify>::default();
            let pool = |pool: &String| Arc::new(Pool::new(&name, pool.clone(), CAPACITY, waiting.clone()));
            anyhow::Ok(Arc::new(Tenant {
                worker_tls: identity(client, &namespace, "springtide-worker-tls").await?,
                gateway_tls: identity(client, &namespace, "springtide-gateway-tls").await?,
                port: FIRST_PORT + u16::try_from(place)?,
                pools: pools.iter().map(pool).collect(),
                waiting: waiting.clone(),
                name,
            }))
        });
    all.buffered(AT_ONCE).try_collect().await
}

/// What a Secret of the operator says who one is, once it is there.
pub(super) async fn identity(client: &Client, namespace: &str, name: &str) -> anyhow::Result<TlsMaterial> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let read = async {
        loop {
            if let Some(secret) = secrets.get_opt(name).await? {
                return anyhow::Ok(secret);
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    let secret = tokio::time::timeout(PROVISIONED, read)
        .await
        .with_context(|| format!("the operator made no Secret {namespace}/{name}"))??;
    let data = secret.data.unwrap_or_default();
    let text = |key: &str| -> anyhow::Result<&str> {
        let bytes = data
            .get(key)
            .with_context(|| format!("{namespace}/{name} has no {key}"))?;
        Ok(std::str::from_utf8(&bytes.0)?)
    };
    Ok(TlsMaterial::from_pem(
        text("tls.crt")?,
        text("tls.key")?,
        text("ca.crt")?,
    )?)
}

fn tenant_manifests(tenant: &str, pools: &[String], workers: u32) -> Vec<Value> {
    let namespace = format!("tenant-{tenant}");
    let channels: serde_json::Map<_, _> = pools
        .iter()
        .map(|pool| (pool.clone(), json!({"pool": pool})))
        .collect();
    let limit = u32::try_from(pools.len())
        .unwrap_or(u32::MAX)
        .saturating_mul(workers * 3);
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {"springtide.dev/tenant": tenant}}}),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": KNOWLEDGE, "namespace": namespace},
            "data": {"knowledge.jsonl": ""},
        }),
        json!({
            "apiVersion": "springtide.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": tenant},
            "spec": {
                "displayName": tenant, "timeZone": "Asia/Shanghai", "locales": ["zh-CN"], "ratePlan": RATE_PLAN,
                "billing": {"legalName": tenant, "email": "finance@tenant.example", "paymentDays": 30},
                "capacity": {"limit": limit}, "channels": channels,
            },
        }),
    ]
}

/// A pool with so many workers at least.
pub(super) async fn make_pool(client: &Client, tenant: &str, pool: &str, workers: u32) -> anyhow::Result<()> {
    let manifest = json!({
        "apiVersion": "springtide.dev/v1alpha1", "kind": "BotPool",
        "metadata": {"name": pool, "namespace": format!("tenant-{tenant}")},
        "spec": {
            "worker": {
                "image": "springtide.dev/worker:0.1.0", "conversations": CAPACITY,
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
            },
            "knowledge": {"configMaps": [KNOWLEDGE]},
            "scaling": {"min": workers, "max": workers * 3, "downWindow": "10s", "maxDownPercentPerMinute": 100},
            "drain": {"deadline": "60s"},
        },
    });
    create(client, manifest).await
}

async fn create(client: &Client, object: Value) -> anyhow::Result<()> {
    let object: DynamicObject = serde_json::from_value(object)?;
    let types = object.types.clone().context("an object says what it is")?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(&types)?);
    let api: Api<DynamicObject> = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let what = format!(
        "{} {}",
        types.kind,
        object.metadata.name.clone().unwrap_or_default()
    );
    api.create(&PostParams::default(), &object)
        .await
        .with_context(|| format!("cannot create {what}"))
        .map(drop)
}
