//! Makes it so.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, ResourceExt as _};
use springtide_proto::error::ApiError;
use springtide_proto::tenancy::RegisterTenantRequest;
use springtide_runtime::identity::{PeerIdentity, TenantRole};

use crate::api::Tenant;
use crate::autoscale::Moment;
use crate::controllers::apply::{apply as write, apply_namespaced, create};
use crate::controllers::context::Context;
use crate::controllers::identities;
use crate::names::{
    GATEWAY_TLS_SECRET, PORTAL_TOKEN_SECRET, TOKEN_KEYS_SECRET, WORKER_TLS_SECRET, tenant_namespace,
};

use super::TenantError;
use super::build::{Prepared, owned};
use super::dereference::{NamespaceState, Seen};

/// What was done.
#[derive(Clone, Debug)]
pub(super) struct Applied {
    /// The namespace and all that is in it were written.
    pub(super) provisioned: bool,
    /// What billing said: whether it knows the plan.
    pub(super) registered: Option<Result<bool, ApiError>>,
}

/// A tenant that was provisioned and registered.
#[derive(Debug)]
pub struct Done {
    uid: String,
    generation: Option<i64>,
    at: Moment,
    applied: Applied,
}

/// What was done for this generation of the tenant of late is not done again: its gateways' Pods come and go often, and all
/// that is in its namespace is some twenty writes.
pub(super) async fn unless_done(
    context: &Context,
    tenant: &Tenant,
    prepared: &Prepared,
    seen: &Seen,
) -> Result<Applied, TenantError> {
    let (name, now) = (tenant.name_any(), context.fleet.now());
    let done = {
        let mut tenants = context.tenants_done.lock();
        let gateways = i32::try_from(context.installation.gateway_replicas);
        let stands = seen.namespace == NamespaceState::Ours && gateways == Ok(seen.gateways_wanted);
        let holds = |done: &Done| {
            let same = done.uid == prepared.uid && done.generation == tenant.metadata.generation;
            same && stands && done.at + super::SAFETY > now
        };
        if !tenants.get(&name).is_some_and(holds) {
            tenants.remove(&name);
        }
        tenants.get(&name).map(|done| done.applied.clone())
    };
    if let Some(applied) = done {
        return Ok(applied);
    }
    let applied = apply(context, tenant, prepared, seen).await?;
    if applied.provisioned && matches!(applied.registered, Some(Ok(true))) {
        let done = Done {
            uid: prepared.uid.clone(),
            generation: tenant.metadata.generation,
            at: now,
            applied: applied.clone(),
        };
        context.tenants_done.lock().insert(name, done);
    }
    Ok(applied)
}

async fn apply(
    context: &Context,
    tenant: &Tenant,
    prepared: &Prepared,
    seen: &Seen,
) -> Result<Applied, TenantError> {
    if matches!(
        seen.namespace,
        NamespaceState::Foreign | NamespaceState::Terminating
    ) {
        return Ok(Applied {
            provisioned: false,
            registered: None,
        });
    }
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    write(&namespaces, &prepared.namespace).await?;
    write_policies(context, prepared).await?;
    let token = write_secrets(context, tenant, prepared).await?;
    apply_namespaced(&context.client, &prepared.service).await?;
    apply_namespaced(&context.client, &prepared.budget).await?;
    apply_namespaced(&context.client, &prepared.gateways).await?;
    let request = registration(tenant, prepared, &token);
    Ok(Applied {
        provisioned: true,
        registered: Some(context.billing.register_tenant(request).await),
    })
}

async fn write_policies(context: &Context, prepared: &Prepared) -> Result<(), TenantError> {
    apply_namespaced(&context.client, &prepared.quota).await?;
    apply_namespaced(&context.client, &prepared.limits).await?;
    for policy in &prepared.policies {
        apply_namespaced(&context.client, policy).await?;
    }
    for account in &prepared.accounts {
        apply_namespaced(&context.client, account).await?;
    }
    Ok(())
}

/// Identities, keys and the portal's token, which it returns.
async fn write_secrets(
    context: &Context,
    tenant: &Tenant,
    prepared: &Prepared,
) -> Result<Vec<u8>, TenantError> {
    let namespace = tenant_namespace(&tenant.name_any());
    let now = context.clock.now();
    for (role, name) in [
        (TenantRole::Worker, WORKER_TLS_SECRET),
        (TenantRole::Gateway, GATEWAY_TLS_SECRET),
    ] {
        let identity = PeerIdentity::tenant(&prepared.tenant, role);
        identities::ensure(
            &context.client,
            &namespace,
            name,
            &context.authority,
            &identity,
            now,
        )
        .await?;
    }
    made_once(context, tenant, TOKEN_KEYS_SECRET, "1", random(context)?.to_vec()).await?;
    let token = random(context)?
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    made_once(context, tenant, PORTAL_TOKEN_SECRET, "token", token.into_bytes()).await
}

/// What is in the Secret under `key`: `content`, unless it was made before.
async fn made_once(
    context: &Context,
    tenant: &Tenant,
    name: &str,
    key: &str,
    content: Vec<u8>,
) -> Result<Vec<u8>, TenantError> {
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &tenant_namespace(&tenant.name_any()));
    let mut found = identities::read(&secrets, name).await?;
    if found.is_none() {
        let secret = Secret {
            metadata: owned(tenant, name),
            data: Some([(key.to_owned(), ByteString(content))].into()),
            ..Secret::default()
        };
        found = create(&secrets, &secret).await?;
    }
    if found.is_none() {
        found = identities::read(&secrets, name).await?;
    }
    let data = found.and_then(|secret| secret.data).unwrap_or_default();
    Ok(data.get(key).map(|bytes| bytes.0.clone()).unwrap_or_default())
}

fn random(context: &Context) -> Result<[u8; 32], TenantError> {
    let mut bytes = [0; 32];
    (context.random)(&mut bytes).map_err(|_| TenantError::Random)?;
    Ok(bytes)
}

fn registration(tenant: &Tenant, prepared: &Prepared, token: &[u8]) -> RegisterTenantRequest {
    let spec = &tenant.spec;
    let legal_name = if spec.billing.legal_name.is_empty() {
        &spec.display_name
    } else {
        &spec.billing.legal_name
    };
    RegisterTenantRequest {
        tenant_uid: prepared.uid.clone(),
        tenant: prepared.tenant.to_string(),
        display_name: spec.display_name.clone(),
        time_zone: spec.time_zone.clone(),
        rate_plan: spec.rate_plan.clone(),
        legal_name: legal_name.clone(),
        tax_id: spec.billing.tax_id.clone(),
        billing_email: spec.billing.email.clone(),
        payment_days: spec.billing.payment_days,
        portal_token_sha256: ring::digest::digest(&ring::digest::SHA256, token)
            .as_ref()
            .to_vec(),
        locale: spec.locales.first().cloned().unwrap_or_default(),
        usage_days: spec.retention.usage.map_or(0, |days| days.0),
    }
}
