//! Reads what a tenant refers to.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};

use crate::api::{RatePlan, Tenant};
use crate::controllers::context::Context;
use crate::names::{GATEWAY, TENANT_LABEL, tenant_namespace};

use super::TenantError;

/// The tenant's namespace as it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NamespaceState {
    /// There is none.
    Missing,
    /// It is the tenant's.
    Ours,
    /// It exists, and is not labelled as the tenant's.
    Foreign,
    /// It is being deleted.
    Terminating,
}

/// All that a reconcile sees.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) namespace: NamespaceState,
    pub(super) gateways_wanted: i32,
    pub(super) gateways_available: i32,
    pub(super) gateways_image: Option<String>,
    pub(super) plan: Option<Arc<RatePlan>>,
}

/// The image that gateways run.
pub(super) fn image_of(gateways: &Deployment) -> Option<String> {
    let pod = gateways.spec.as_ref()?.template.spec.as_ref()?;
    pod.containers.first()?.image.clone()
}

pub(super) async fn dereference(context: &Context, tenant: &Tenant) -> Result<Seen, TenantError> {
    let namespace = tenant_namespace(&tenant.name_any());
    let deployments: Api<Deployment> = Api::namespaced(context.client.clone(), &namespace);
    let gateways = deployments.get_opt(GATEWAY).await.map_err(read_error)?;
    let status = gateways.as_ref().and_then(|gateways| gateways.status.as_ref());
    let spec = gateways.as_ref().and_then(|gateways| gateways.spec.as_ref());
    Ok(Seen {
        namespace: namespace_state(context, tenant).await?,
        gateways_wanted: spec.and_then(|spec| spec.replicas).unwrap_or(0),
        gateways_available: status.and_then(|status| status.available_replicas).unwrap_or(0),
        gateways_image: gateways.as_ref().and_then(image_of),
        plan: context.stores.plans.get(&ObjectRef::new(&tenant.spec.rate_plan)),
    })
}

pub(super) async fn namespace_state(
    context: &Context,
    tenant: &Tenant,
) -> Result<NamespaceState, TenantError> {
    let name = tenant.name_any();
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    let Some(namespace) = namespaces
        .get_opt(&tenant_namespace(&name))
        .await
        .map_err(read_error)?
    else {
        return Ok(NamespaceState::Missing);
    };
    if namespace.labels().get(TENANT_LABEL) != Some(&name) {
        return Ok(NamespaceState::Foreign);
    }
    let terminating = namespace.metadata.deletion_timestamp.is_some();
    Ok(if terminating {
        NamespaceState::Terminating
    } else {
        NamespaceState::Ours
    })
}

pub(super) fn read_error(source: kube::Error) -> TenantError {
    TenantError::Read(Box::new(source))
}
