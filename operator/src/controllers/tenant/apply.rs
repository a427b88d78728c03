//! Makes it so.

use std::time::Duration;

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
use super::dereference::{NamespaceState, Seen, image_of};

/// What was done.
#[derive(Clone, Debug)]
pub(super) struct Applied {
    /// The namespace and all that is in it were written.
    pub(super) provisioned: bool,
    /// What billing said: whether it knows the plan.
    pub(super) registered: Option<Result<bool, ApiError>>,
    /// From when on it is done again, where it is done.
    pub(super) until: Option<Moment>,
}

/// A tenant that was provisioned and registered.
#[derive(Debug)]
pub struct Done {
    uid: String,
    generation: Option<i64>,
    until: Moment,
    applied: Applied,
}

impl Done {
    fn of(tenant: &Tenant, prepared: &Prepared, applied: &Applied, until: Moment) -> Self {
        Self {
            uid: prepared.uid.clone(),
            generation: tenant.metadata.generation,
            until,
            applied: Applied {
                until: Some(until),
                ..applied.clone()
            },
        }
    }
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
    let gateways = i32::try_from(context.installation.gateway_replicas);
    let stands = seen.namespace == NamespaceState::Ours && gateways == Ok(seen.gateways_wanted);
    let done = {
        let mut tenants = context.tenants_done.lock();
        // What an earlier leader saw to is seen to later: a new one has more urgent things to do, and not for all tenants at once.
        if stands && !tenants.contains_key(&name) && is_as_left(tenant, prepared, seen) {
            let until = now + spread(&prepared.uid);
            tenants.insert(name.clone(), Done::of(tenant, prepared, &LEFT, until));
        }
        let holds = |done: &&Done| {
            let same = done.uid == prepared.uid && done.generation == tenant.metadata.generation;
            same && stands && done.until > now
        };
        tenants.get(&name).filter(holds).map(|done| done.applied.clone())
    };
    if let Some(applied) = done {
        return Ok(applied);
    }
    let applied = apply(context, tenant, prepared, seen).await?;
    if !applied.provisioned || !matches!(applied.registered, Some(Ok(true))) {
        return Ok(applied);
    }
    let until = now + super::SAFETY + spread(&prepared.uid);
    let done = Done::of(tenant, prepared, &applied, until);
    let applied = done.applied.clone();
    context.tenants_done.lock().insert(name, done);
    Ok(applied)
}

/// As a tenant is that an earlier leader left ready.
const LEFT: Applied = Applied {
    provisioned: true,
    registered: Some(Ok(true)),
    until: None,
};

/// An earlier leader, with the same image of gateways, left this generation of the tenant ready.
fn is_as_left(tenant: &Tenant, prepared: &Prepared, seen: &Seen) -> bool {
    let conditions = tenant.status.iter().flat_map(|status| &status.conditions);
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready.any(|ready| ready.observed_generation == tenant.metadata.generation)
        && seen.gateways_image.is_some()
        && seen.gateways_image == image_of(&prepared.gateways)
}

/// Tenants that were provisioned together are not all written again together.
fn spread(uid: &str) -> Duration {
    let sum = uid
        .bytes()
        .fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    super::SAFETY / 256 * (sum % 256)
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
            until: None,
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
        until: None,
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
