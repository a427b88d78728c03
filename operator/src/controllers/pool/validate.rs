//! From the resource to what is known to make sense.

use kube::ResourceExt;
use springtide_proto::ids::{PoolId, TenantId};

use crate::api::{BotPool, ServiceLevelSpec};
use crate::autoscale::{Policy, ServiceLevel};
use crate::controllers::context::Installation;
use crate::fleet::PoolKey;
use crate::names::tenant_of_namespace;

use super::PoolError;
use super::dereference::Seen;
use super::manual::{ManualState, manual};

/// A pool that can be decided.
#[derive(Debug)]
pub(super) struct ValidPool<'a> {
    pub(super) pool: &'a BotPool,
    pub(super) key: &'a PoolKey,
    pub(super) policy: Policy,
    pub(super) manual: Option<ManualState>,
    pub(super) tenant_uid: Option<String>,
    pub(super) idle_after: u64,
    pub(super) installation: &'a Installation,
}

/// Which pool of which tenant this is.
pub(super) fn key(pool: &BotPool) -> Result<PoolKey, PoolError> {
    let namespace = pool.namespace().unwrap_or_default();
    let tenant = tenant_of_namespace(&namespace)
        .and_then(|tenant| TenantId::parse(tenant).ok())
        .ok_or_else(|| {
            PoolError::Invalid(format!(
                "a pool lives in its tenant's namespace, tenant-NAME; {namespace} is none: create it there"
            ))
        })?;
    let pool = PoolId::parse(pool.name_any()).map_err(|error| PoolError::Invalid(error.message))?;
    Ok(PoolKey { tenant, pool })
}

pub(super) fn validate<'a>(
    pool: &'a BotPool,
    key: &'a PoolKey,
    seen: &Seen,
    installation: &'a Installation,
) -> Result<ValidPool<'a>, PoolError> {
    let scaling = &pool.spec.scaling;
    let headroom_percent = scaling
        .headroom
        .percent
        .parse::<f64>()
        .ok()
        .filter(|percent| *percent >= 0.0);
    let headroom_percent = headroom_percent.ok_or_else(|| {
        PoolError::Invalid(format!(
            "scaling.headroom.percent is {:?}; give a decimal such as \"10\"",
            scaling.headroom.percent
        ))
    })?;
    let service_level = service_level(&scaling.service_level)?;
    let tenant = seen.tenant.as_deref();
    let leaving = tenant.is_some_and(|tenant| tenant.metadata.deletion_timestamp.is_some());
    Ok(ValidPool {
        pool,
        key,
        policy: Policy {
            capacity: pool.spec.worker.conversations.max(1),
            min: scaling.min,
            max: scaling.max,
            headroom_workers: scaling.headroom.workers,
            headroom_percent,
            service_level,
            down_window: scaling.down_window.0,
            max_down_percent_per_minute: scaling.max_down_percent_per_minute,
            suspended: pool.spec.suspend || leaving,
        },
        manual: manual(pool, seen.time),
        tenant_uid: tenant.and_then(ResourceExt::uid),
        idle_after: tenant.map_or(180, |tenant| tenant.spec.idle_after.0.as_secs()),
        installation,
    })
}

fn service_level(spec: &ServiceLevelSpec) -> Result<ServiceLevel, PoolError> {
    let share = spec.share.parse::<f64>().ok();
    let share = share
        .filter(|share| *share > 0.0 && *share < 1.0)
        .ok_or_else(|| {
            PoolError::Invalid(format!(
                "scaling.serviceLevel.share is {:?}; give a decimal above 0 and below 1 such as \"0.999\"",
                spec.share
            ))
        })?;
    Ok(ServiceLevel {
        share,
        within: spec.within.0,
    })
}
