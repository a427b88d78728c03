//! What a tenant's namespace consists of.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{
    LimitRange, LimitRangeItem, LimitRangeSpec, Namespace, ResourceQuota, ResourceQuotaSpec, Service,
    ServiceAccount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::ObjectMeta;
use kube::{Resource as _, ResourceExt as _};
use springtide_proto::ids::TenantId;

use crate::api::Tenant;
use crate::controllers::context::Installation;
use crate::names::{GATEWAY, TENANT_LABEL, WORKER, tenant_namespace};

use super::dereference::Seen;
use super::{TenantError, gateways, policies};

/// Pods beyond the tenant's limit that a namespace may hold: gateways, and workers that are leaving.
const QUOTA_MARGIN: u32 = 20;

/// What is to be there.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) tenant: TenantId,
    pub(super) uid: String,
    pub(super) namespace: Namespace,
    pub(super) quota: ResourceQuota,
    pub(super) limits: LimitRange,
    pub(super) policies: Vec<NetworkPolicy>,
    pub(super) accounts: Vec<ServiceAccount>,
    pub(super) gateways: Deployment,
    pub(super) service: Service,
    pub(super) budget: PodDisruptionBudget,
}

pub(super) fn build(
    tenant: &Tenant,
    seen: &Seen,
    installation: &Installation,
) -> Result<Prepared, TenantError> {
    let name = TenantId::parse(tenant.name_any()).map_err(|error| TenantError::Invalid(error.message))?;
    if jiff::tz::TimeZone::get(&tenant.spec.time_zone).is_err() {
        let message = format!(
            "spec.timeZone {:?} is not known; use an IANA name such as Asia/Shanghai",
            tenant.spec.time_zone
        );
        return Err(TenantError::Invalid(message));
    }
    Ok(Prepared {
        uid: tenant.uid().unwrap_or_default(),
        namespace: namespace(tenant),
        quota: quota(tenant),
        limits: limits(tenant),
        policies: policies::policies(tenant, installation),
        accounts: [WORKER, GATEWAY]
            .map(|account| service_account(tenant, account))
            .into(),
        gateways: gateways::deployment(tenant, seen.plan.as_deref(), installation),
        service: gateways::service(tenant),
        budget: gateways::budget(tenant),
        tenant: name,
    })
}

/// Labels of everything of the tenant.
pub(super) fn labels(tenant: &Tenant) -> BTreeMap<String, String> {
    BTreeMap::from([(TENANT_LABEL.to_owned(), tenant.name_any())])
}

/// Metadata of an object in the tenant's namespace that goes with the Tenant.
pub(super) fn owned(tenant: &Tenant, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(tenant_namespace(&tenant.name_any())),
        labels: Some(labels(tenant)),
        owner_references: tenant.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

fn namespace(tenant: &Tenant) -> Namespace {
    let mut labels = labels(tenant);
    labels.insert(
        "pod-security.kubernetes.io/enforce".to_owned(),
        "restricted".to_owned(),
    );
    Namespace {
        metadata: ObjectMeta {
            name: Some(tenant_namespace(&tenant.name_any())),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

fn quota(tenant: &Tenant) -> ResourceQuota {
    let pods = tenant
        .spec
        .capacity
        .limit
        .saturating_mul(2)
        .saturating_add(QUOTA_MARGIN);
    let none = || Quantity("0".to_owned());
    let hard = BTreeMap::from([
        ("pods".to_owned(), Quantity(pods.to_string())),
        ("services.loadbalancers".to_owned(), none()),
        ("services.nodeports".to_owned(), none()),
    ]);
    ResourceQuota {
        metadata: owned(tenant, "springtide"),
        spec: Some(ResourceQuotaSpec {
            hard: Some(hard),
            ..ResourceQuotaSpec::default()
        }),
        status: None,
    }
}

/// What a container takes at most that names no limit.
pub const LIMIT_CPU: &str = "2";
/// The same of memory.
pub const LIMIT_MEMORY: &str = "512Mi";

fn limits(tenant: &Tenant) -> LimitRange {
    let of = |cpu: &str, memory: &str| {
        let quantity = |text: &str| Quantity(text.to_owned());
        Some(BTreeMap::from([
            ("cpu".to_owned(), quantity(cpu)),
            ("memory".to_owned(), quantity(memory)),
        ]))
    };
    LimitRange {
        metadata: owned(tenant, "springtide"),
        spec: Some(LimitRangeSpec {
            limits: vec![LimitRangeItem {
                type_: "Container".to_owned(),
                default: of(LIMIT_CPU, LIMIT_MEMORY),
                default_request: of("50m", "64Mi"),
                ..LimitRangeItem::default()
            }],
        }),
    }
}

fn service_account(tenant: &Tenant, name: &str) -> ServiceAccount {
    ServiceAccount {
        metadata: owned(tenant, name),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
