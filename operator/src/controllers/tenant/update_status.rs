//! Writes what was found, where it changed.

use kube::{Api, ResourceExt as _};

use crate::api::{Tenant, TenantStatus};
use crate::controllers::apply::apply_status;
use crate::controllers::conditions::{is_true, merge};
use crate::controllers::context::{Context, reference};
use crate::names::tenant_namespace;

use super::TenantError;
use super::apply::Applied;
use super::dereference::Seen;
use super::findings::findings;

/// `true` if the tenant is ready.
pub(super) async fn update_status(
    context: &Context,
    tenant: &Tenant,
    seen: &Seen,
    applied: &Applied,
) -> Result<bool, TenantError> {
    let known = tenant.status.clone().unwrap_or_default();
    let found = findings(tenant, seen, applied);
    let (conditions, news) = merge(
        &known.conditions,
        found,
        tenant.metadata.generation,
        context.clock.now(),
    );
    let status = TenantStatus {
        conditions,
        namespace: Some(tenant_namespace(&tenant.name_any())),
    };
    if status != known {
        let tenants: Api<Tenant> = Api::all(context.client.clone());
        apply_status(&tenants, &tenant.name_any(), &status).await?;
        context.events.publish_news(&reference(tenant), &news);
    }
    Ok(is_true(&status.conditions, "Ready"))
}
