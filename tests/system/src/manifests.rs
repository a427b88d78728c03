//! Tenants, pools, plans and promotions to apply.

use serde_json::{Value, json};

/// One client firm to take on.
#[derive(Clone, Debug)]
pub struct TenantManifest<'a> {
    /// Name.
    pub name: &'a str,
    /// As people read it.
    pub display_name: &'a str,
    /// Name of its RatePlan.
    pub rate_plan: &'a str,
    /// Workers over all pools.
    pub limit: u32,
    /// Knowledge, in parts.
    pub knowledge: &'a [String],
    /// Its one pool, named web.
    pub pool: PoolManifest,
}

/// The pool `web` of a tenant.
#[derive(Clone, Copy, Debug)]
pub struct PoolManifest {
    /// Conversations a worker.
    pub conversations: u32,
    /// Fewest and most workers.
    pub min: u32,
    /// See min.
    pub max: u32,
    /// Seconds that load must have been lower before a worker leaves.
    pub down_window_seconds: u32,
    /// Seconds that a worker that leaves has for its conversations.
    pub drain_seconds: u32,
}

impl TenantManifest<'_> {
    /// One file for one `kubectl apply`: namespace, tenant, knowledge, pool.
    pub fn to_yaml(&self) -> String {
        let Self {
            name,
            display_name,
            rate_plan,
            limit,
            knowledge,
            pool,
        } = self;
        let namespace = format!("tenant-{name}");
        let config_map_name = |place: usize| format!("{name}-knowledge-{}", place + 1);
        let mut documents = vec![
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {"springtide.dev/tenant": name}}}),
            json!({
                "apiVersion": "springtide.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": name},
                "spec": {
                    "displayName": display_name, "timeZone": "Asia/Shanghai", "locales": ["zh-CN", "en"], "ratePlan": rate_plan,
                    "billing": {"legalName": format!("{display_name}有限公司"), "email": format!("finance@{name}.example"), "paymentDays": 30},
                    "capacity": {"limit": limit}, "channels": {"web": {"pool": "web"}}, "idleAfter": "60s",
                },
            }),
        ];
        let names: Vec<_> = (0..knowledge.len()).map(config_map_name).collect();
        for (part, map) in knowledge.iter().zip(&names) {
            documents.push(json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": map, "namespace": namespace},
                "data": {"knowledge.jsonl": part},
            }));
        }
        documents.push(pool.to_json(name, &names));
        join(&documents)
    }
}

impl PoolManifest {
    /// The pool alone.
    pub fn to_json(&self, tenant: &str, knowledge: &[String]) -> Value {
        let Self {
            conversations,
            min,
            max,
            down_window_seconds,
            drain_seconds,
        } = self;
        json!({
            "apiVersion": "springtide.dev/v1alpha1", "kind": "BotPool",
            "metadata": {"name": "web", "namespace": format!("tenant-{tenant}")},
            "spec": {
                "worker": {
                    "image": "springtide.dev/worker:0.1.0", "conversations": conversations,
                    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
                },
                "knowledge": {"configMaps": knowledge},
                "scaling": {
                    "min": min, "max": max, "headroom": {"workers": 1}, "downWindow": format!("{down_window_seconds}s"),
                    "maxDownPercentPerMinute": 100, "manual": {"mode": "Floor", "ttl": "10m"},
                },
                "drain": {"deadline": format!("{drain_seconds}s")},
            },
        })
    }
}

/// A plan as a client would be offered it: the first thousand free, then cheaper with volume.
pub fn rate_plan(name: &str) -> String {
    join(&[json!({
        "apiVersion": "springtide.dev/v1alpha1", "kind": "RatePlan", "metadata": {"name": name},
        "spec": {
            "currency": "CNY", "timeZone": "Asia/Shanghai",
            "charges": [{
                "name": "answers", "meter": "interactions", "model": "Graduated", "included": "1000",
                "tiers": [{"upTo": "5000", "unitPrice": "0.10"}, {"upTo": "100000", "unitPrice": "0.08"}, {"unitPrice": "0.05"}],
            }],
        },
    })])
}

/// A plan that charges little for answers, and for conversations by what they came to.
pub fn outcome_plan(name: &str) -> String {
    join(&[json!({
        "apiVersion": "springtide.dev/v1alpha1", "kind": "RatePlan", "metadata": {"name": name},
        "spec": {
            "currency": "CNY", "timeZone": "Asia/Shanghai",
            "charges": [
                {"name": "answers", "meter": "interactions", "model": "PerUnit", "unitPrice": "0.01"},
                {"name": "conversations", "meter": "conversations", "model": "PerUnit", "unitPrice": "0"},
                {"name": "resolved", "meter": "conversations", "where": {"outcome": "resolved"}, "model": "PerUnit", "unitPrice": "0.50"},
            ],
        },
    })])
}

/// A promotion of one pool, in UTC wall time; windows are of whole minutes. Its floor does not rise slowly, for a course is short:
/// all is asked for when the load of the hour before is known best.
pub fn promotion(
    name: &str,
    tenant: &str,
    start: jiff::Timestamp,
    end: jiff::Timestamp,
    ready_by_seconds: u32,
    boost: &Value,
) -> String {
    let wall = |at: jiff::Timestamp| at.strftime("%Y-%m-%dT%H:%M").to_string();
    join(&[json!({
        "apiVersion": "springtide.dev/v1alpha1", "kind": "Promotion", "metadata": {"name": name},
        "spec": {
            "pools": [{"tenant": tenant, "pool": "web"}],
            "window": {"start": wall(start), "end": wall(end), "timeZone": "UTC"},
            "boost": boost, "readyBy": format!("{ready_by_seconds}s"), "ramp": "0s",
        },
    })])
}

/// Documents of one file; JSON is YAML.
fn join(documents: &[Value]) -> String {
    documents.iter().fold(String::new(), |file, document| {
        file + "---\n" + &document.to_string() + "\n"
    })
}
