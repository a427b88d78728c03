//! The end of a tenant: pools drain, gateways flush and go, the namespace goes, the account is closed. In this order, each
//! step only when the one before is done, so that no usage is lost.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};

use crate::api::Tenant;
use crate::controllers::apply::{delete, patch_guarded};
use crate::controllers::context::{Context, reference};
use crate::controllers::pods::PodOwner;
use crate::names::{GATEWAY, TENANT_FINALIZER, tenant_namespace};

use super::TenantError;
use super::dereference::{NamespaceState, namespace_state};

const NEXT_LOOK: Duration = Duration::from_secs(1);

/// Adds the finalizer: the account in billing is outside the cluster.
pub(super) async fn protect(context: &Context, tenant: &Tenant) -> Result<(), TenantError> {
    if tenant
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == TENANT_FINALIZER)
    {
        return Ok(());
    }
    let mut finalizers = tenant.finalizers().to_vec();
    finalizers.push(TENANT_FINALIZER.to_owned());
    set_finalizers(context, tenant, &finalizers).await
}

/// One step of the end.
pub(super) async fn finalize(context: &Context, tenant: &Tenant) -> Result<Action, TenantError> {
    if !tenant
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == TENANT_FINALIZER)
    {
        return Ok(Action::await_change());
    }
    let (name, namespace) = (tenant.name_any(), tenant_namespace(&tenant.name_any()));
    match namespace_state(context, tenant).await? {
        NamespaceState::Ours => {
            // Its pools see that the tenant is going, and empty themselves.
            if workers_left(context, &namespace) {
                return Ok(Action::requeue(NEXT_LOOK));
            }
            let deployments: Api<Deployment> = Api::namespaced(context.client.clone(), &namespace);
            delete(&deployments, GATEWAY, None).await?;
            if !context.stores.pods.of(&PodOwner::Tenant(name)).is_empty() {
                return Ok(Action::requeue(NEXT_LOOK));
            }
            let namespaces: Api<Namespace> = Api::all(context.client.clone());
            delete(&namespaces, &namespace, None).await?;
            Ok(Action::requeue(NEXT_LOOK))
        }
        NamespaceState::Terminating => Ok(Action::requeue(NEXT_LOOK)),
        NamespaceState::Missing | NamespaceState::Foreign => close(context, tenant).await,
    }
}

fn workers_left(context: &Context, namespace: &str) -> bool {
    context.stores.pools.of(namespace).iter().any(|pool| {
        let owner = PodOwner::Pool {
            namespace: namespace.to_owned(),
            pool: pool.name_any(),
        };
        !context.stores.pods.of(&owner).is_empty()
    })
}

async fn close(context: &Context, tenant: &Tenant) -> Result<Action, TenantError> {
    if let Err(error) = context
        .billing
        .close_tenant(&tenant.uid().unwrap_or_default())
        .await
    {
        let message = format!(
            "billing did not close the account, and is asked again: {}",
            error.message
        );
        context
            .events
            .publish(&reference(tenant), true, "AccountOpen", &message);
        return Ok(Action::requeue(context.backoff("close", &tenant.name_any())));
    }
    let rest: Vec<_> = tenant
        .finalizers()
        .iter()
        .filter(|finalizer| *finalizer != TENANT_FINALIZER)
        .cloned()
        .collect();
    set_finalizers(context, tenant, &rest).await?;
    Ok(Action::await_change())
}

async fn set_finalizers(
    context: &Context,
    tenant: &Tenant,
    finalizers: &[String],
) -> Result<(), TenantError> {
    let tenants: Api<Tenant> = Api::all(context.client.clone());
    patch_guarded(
        &tenants,
        tenant,
        serde_json::json!({"metadata": {"finalizers": finalizers}}),
    )
    .await?;
    Ok(())
}
