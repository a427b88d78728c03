//! `kubectl springtide`: says to people why a pool has its size, and what a promotion comes to.
//!
//! - *record*: the live decision of a pool with all its terms, as the leader's admin port shows it ([`PoolRecord`]).
//! - *binding*: the term or bound that a decision came down to; each has a sentence (`binding`).
//! - *edge*: what talks to the cluster (`cluster`); all else is pure, and turns what was read into text.
//!
//! - *what-if*: the operator's own decision, simulated here from the pools as they are now.
//!
//! It writes nothing. It reads with the permissions of who calls it, and asks the operator through the API server.
//!
//! [`PoolRecord`]: crate::admin::PoolRecord

mod arguments;
mod binding;
mod cluster;
mod conditions;
mod error;
mod pool;
mod promotion;
#[cfg(test)]
mod tests;
mod text;
mod what_if;

use jiff::Timestamp;
use kube::ResourceExt as _;
use springtide_runtime::clock::Clock;

pub use self::arguments::Arguments;
pub use self::error::PluginError;

use self::arguments::{Command, ExplainPool, Format, Subject, WhatIfArguments};
use self::cluster::Cluster;
use self::what_if::Tried;
use crate::admin::PoolRecord;
use crate::api::{BotPool, Promotion};
use crate::controllers::promotion::validate::{Pools, validate};
use crate::names::{tenant_namespace, tenant_of_namespace};
use crate::simulate;

/// Does what is asked for; the text to print.
pub async fn run(arguments: &Arguments, clock: &impl Clock) -> Result<String, PluginError> {
    let cluster = Cluster::connect(&arguments.connection).await?;
    match &arguments.command {
        Command::Explain(Subject::Pool(pool)) => explain_pool(&cluster, pool, clock.now()).await,
        Command::Explain(Subject::Promo(promo)) => {
            let promotion = cluster.promotion(&promo.name).await?;
            Ok(promotion::explain(&promotion, clock.now()))
        }
        Command::WhatIf(asked) => what_if(&cluster, asked, clock.now()).await,
    }
}

async fn explain_pool(cluster: &Cluster, asked: &ExplainPool, now: Timestamp) -> Result<String, PluginError> {
    let namespace = asked.namespace.as_deref();
    let name = PoolName::new(&asked.name, namespace, cluster.default_namespace())?;
    let records = cluster.records().await?;
    let Some(found) = name.find(&records)? else {
        return Err(cluster.not_decided(&name, &records).await);
    };
    if asked.output == Some(Format::Json) {
        return Ok(format!("{:#}\n", found.value));
    }
    let record = &found.record;
    let object = cluster
        .pool(&tenant_namespace(&record.tenant), &record.pool)
        .await?;
    Ok(pool::explain(record, object.as_ref(), now))
}

async fn what_if(cluster: &Cluster, asked: &WhatIfArguments, now: Timestamp) -> Result<String, PluginError> {
    let path = &asked.promotion;
    let text = std::fs::read_to_string(path).map_err(|source| PluginError::File {
        path: path.clone(),
        source,
    })?;
    let refused = |source| PluginError::WhatIf {
        path: path.clone(),
        source,
    };
    let mut promotion = simulate::read_promotion(&text).map_err(|error| refused(error.into()))?;
    let records = cluster.records().await?;
    let applied = cluster.promotions().await?;
    let same = applied
        .iter()
        .find(|known| known.name_any() == promotion.name_any());
    promotion.status = same.and_then(|known| known.status.clone());
    let mut attempts = Vec::new();
    for name in pools_to_try(cluster, asked, &promotion).await? {
        let attempt = async {
            let pool = live_pool(cluster, &name, &records).await?;
            let outcome = simulate::what_if(&pool.object, &promotion, &applied, &pool.seen, now, asked.hours);
            Ok::<_, PluginError>(Tried {
                outcome: outcome.map_err(refused)?,
                record: pool.record,
                seen: pool.seen,
                knows_zone: pool.knows_zone,
            })
        };
        attempts.push((name.to_string(), attempt.await));
    }
    if attempts.iter().all(|(_, attempt)| attempt.is_err())
        && let Some((_, Err(error))) = attempts.drain(..).next()
    {
        return Err(error);
    }
    Ok(match asked.output {
        Some(Format::Json) => format!("{:#}\n", what_if::values(&promotion, &attempts)),
        None => what_if::sections(&promotion, &attempts, now),
    })
}

/// The pool that was asked for, or all that the promotion is for.
async fn pools_to_try(
    cluster: &Cluster,
    asked: &WhatIfArguments,
    promotion: &Promotion,
) -> Result<Vec<PoolName>, PluginError> {
    if let Some(pool) = &asked.pool {
        let namespace = asked.namespace.as_deref();
        return Ok(vec![PoolName::new(pool, namespace, cluster.default_namespace())?]);
    }
    let valid = validate(promotion).map_err(|error| PluginError::WhatIf {
        path: asked.promotion.clone(),
        source: simulate::WhatIfError::Promotion(simulate::PromotionError::Invalid(error.to_string())),
    })?;
    let labels = match valid.pools {
        Pools::Named(keys) => {
            let names = keys.into_iter().map(|key| PoolName {
                tenant: Some(key.tenant.to_string()),
                pool: key.pool.to_string(),
            });
            return Ok(names.collect());
        }
        Pools::Labelled(labels) => labels,
    };
    let all = cluster.pools().await?;
    let has_all = |pool: &&BotPool| {
        labels
            .iter()
            .all(|(name, value)| pool.labels().get(name) == Some(value))
    };
    let matching = all.iter().filter(has_all).filter_map(|pool| {
        let namespace = pool.namespace()?;
        Some(PoolName {
            tenant: Some(tenant_of_namespace(&namespace)?.to_owned()),
            pool: pool.name_any(),
        })
    });
    let matching: Vec<_> = matching.collect();
    if matching.is_empty() {
        return Err(PluginError::NoneSelected {
            labels: labels
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        });
    }
    Ok(matching)
}

/// A pool with all that is known of it.
struct KnownPool {
    object: BotPool,
    record: PoolRecord,
    seen: simulate::SeenPool,
    knows_zone: bool,
}

async fn live_pool(cluster: &Cluster, name: &PoolName, records: &[Found]) -> Result<KnownPool, PluginError> {
    let Some(found) = name.find(records)? else {
        return Err(cluster.not_decided(name, records).await);
    };
    let namespace = tenant_namespace(&found.record.tenant);
    let Some(object) = cluster.pool(&namespace, &found.record.pool).await? else {
        return Err(cluster.not_decided(name, &[]).await);
    };
    let zone = cluster.time_zone(&found.record.tenant).await;
    let baseline = cluster.baseline(&found).await.unwrap_or_default();
    let seen = what_if::seen(&found.record, &object, zone.as_deref().unwrap_or("UTC"), baseline);
    Ok(KnownPool {
        object,
        record: found.record,
        seen,
        knows_zone: zone.is_some(),
    })
}

/// A pool as somebody names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PoolName {
    /// Whose, where that was said.
    tenant: Option<String>,
    pool: String,
}

/// A record, and all that the operator said.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    record: PoolRecord,
    value: serde_json::Value,
    /// The Pod that leads.
    leader: String,
}

impl PoolName {
    /// `TENANT/POOL`, or a pool in a namespace. The namespace of the context says whose it is only if it is a tenant's.
    fn new(name: &str, namespace: Option<&str>, default: &str) -> Result<Self, PluginError> {
        // As kubectl names objects.
        let name = ["bp/", "botpool/", "botpools/"]
            .iter()
            .find_map(|kind| name.strip_prefix(kind))
            .unwrap_or(name);
        let named = match namespace {
            Some(namespace) => {
                let tenant = tenant_of_namespace(namespace).ok_or_else(|| PluginError::Namespace {
                    namespace: namespace.to_owned(),
                })?;
                Some(tenant)
            }
            None => None,
        };
        match name.split_once('/') {
            Some((tenant, _)) if named.is_some_and(|named| named != tenant) => Err(PluginError::TwoTenants {
                name: name.to_owned(),
                namespace: namespace.unwrap_or_default().to_owned(),
            }),
            Some((tenant, pool)) => Ok(Self {
                tenant: Some(tenant.to_owned()),
                pool: pool.to_owned(),
            }),
            None => Ok(Self {
                tenant: named.or_else(|| tenant_of_namespace(default)).map(str::to_owned),
                pool: name.to_owned(),
            }),
        }
    }

    fn is(&self, tenant: &str, pool: &str) -> bool {
        self.pool == pool && self.tenant.as_ref().is_none_or(|ours| ours == tenant)
    }

    /// The record of it, if there is one.
    fn find(&self, records: &[Found]) -> Result<Option<Found>, PluginError> {
        let all = records
            .iter()
            .filter(|found| self.is(&found.record.tenant, &found.record.pool));
        match *all.collect::<Vec<_>>() {
            [] => Ok(None),
            [found] => Ok(Some(found.clone())),
            ref several => Err(PluginError::Ambiguous {
                name: self.pool.clone(),
                pools: several.iter().map(|found| found.name()).collect(),
            }),
        }
    }
}

impl std::fmt::Display for PoolName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.tenant {
            Some(tenant) => write!(formatter, "{tenant}/{}", self.pool),
            None => write!(formatter, "{}", self.pool),
        }
    }
}

impl Found {
    fn name(&self) -> String {
        format!("{}/{}", self.record.tenant, self.record.pool)
    }
}
