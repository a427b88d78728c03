//! From the resource to what is known to make sense.

use kube::ResourceExt;
use springtide_proto::ids::{PoolId, TenantId};

use crate::api::BotPool;
use crate::autoscale::Policy;
use crate::controllers::conditions::is_true;
use crate::controllers::context::Installation;
use crate::controllers::tenant::IDENTITIES_READY;
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
    /// The tenant's namespace has all that a worker's Pod names.
    pub(super) provisioned: bool,
    pub(super) idle_after: u64,
    pub(super) installation: &'a Installation,
}

/// Which pool of which tenant this is.
pub(in crate::controllers) fn key(pool: &BotPool) -> Result<PoolKey, PoolError> {
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
    let policy = pool.policy().map_err(PoolError::Invalid)?;
    let tenant = seen.tenant.as_deref();
    let leaving = tenant.is_some_and(|tenant| tenant.metadata.deletion_timestamp.is_some());
    Ok(ValidPool {
        pool,
        key,
        policy: Policy {
            suspended: policy.suspended || leaving,
            ..policy
        },
        manual: manual(pool, seen.time),
        tenant_uid: tenant.and_then(ResourceExt::uid),
        provisioned: tenant
            .and_then(|tenant| tenant.status.as_ref())
            .is_some_and(|status| is_true(&status.conditions, IDENTITIES_READY)),
        idle_after: tenant.map_or(180, |tenant| tenant.spec.idle_after.0.as_secs()),
        installation,
    })
}
