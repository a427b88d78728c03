//! A tenant's gateways.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EmptyDirVolumeSource, EnvVar, PodSpec, PodTemplateSpec, SecretVolumeSource,
    Service, ServicePort, ServiceSpec, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;
use kube::api::ObjectMeta;

use crate::api::{GoDuration, RatePlan, Tenant};
use crate::controllers::context::Installation;
use crate::controllers::pool::{container_security, downward, pod_security, readiness, variable};
use crate::fleet::WAITING_ROOM;
use crate::names::{ADMIN_PORT, GATEWAY, GATEWAY_APPLICATION, GATEWAY_PORT, GATEWAY_TLS_SECRET, NAME_LABEL};

use super::build::{labels, owned};

const GRACE_SECONDS: i64 = 60;

pub(super) fn deployment(
    tenant: &Tenant,
    plan: Option<&RatePlan>,
    installation: &Installation,
) -> Deployment {
    Deployment {
        metadata: owned(tenant, GATEWAY),
        spec: Some(DeploymentSpec {
            replicas: i32::try_from(installation.gateway_replicas).ok(),
            selector: LabelSelector {
                match_labels: Some(selector(tenant)),
                ..LabelSelector::default()
            },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(IntOrString::Int(1)),
                }),
            }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(selector(tenant)),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod_spec(tenant, plan, installation)),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

pub(super) fn service(tenant: &Tenant) -> Service {
    Service {
        metadata: owned(tenant, GATEWAY),
        spec: Some(ServiceSpec {
            selector: Some(selector(tenant)),
            ports: Some(vec![ServicePort {
                name: Some("http".to_owned()),
                port: 80,
                target_port: Some(IntOrString::Int(i32::from(GATEWAY_PORT))),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

pub(super) fn budget(tenant: &Tenant) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: owned(tenant, GATEWAY),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(selector(tenant)),
                ..LabelSelector::default()
            }),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}

fn selector(tenant: &Tenant) -> std::collections::BTreeMap<String, String> {
    let mut labels = labels(tenant);
    labels.insert(NAME_LABEL.to_owned(), GATEWAY_APPLICATION.to_owned());
    labels
}

fn pod_spec(tenant: &Tenant, plan: Option<&RatePlan>, installation: &Installation) -> PodSpec {
    let port = |name: &str, port: u16| ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(port),
        ..ContainerPort::default()
    };
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let tls = SecretVolumeSource {
        secret_name: Some(GATEWAY_TLS_SECRET.to_owned()),
        ..SecretVolumeSource::default()
    };
    let spool = EmptyDirVolumeSource::default();
    PodSpec {
        service_account_name: Some(GATEWAY.to_owned()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        security_context: Some(pod_security()),
        topology_spread_constraints: Some(vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(LabelSelector {
                match_labels: Some(selector(tenant)),
                ..LabelSelector::default()
            }),
            ..TopologySpreadConstraint::default()
        }]),
        containers: vec![Container {
            name: GATEWAY.to_owned(),
            image: Some(installation.gateway_image.clone()),
            image_pull_policy: Some(installation.image_pull_policy.clone()),
            env: Some(environment(tenant, plan, installation)),
            ports: Some(vec![port("http", GATEWAY_PORT), port("admin", ADMIN_PORT)]),
            readiness_probe: Some(readiness(1)),
            security_context: Some(container_security()),
            volume_mounts: Some(vec![
                mount("spool", "/var/spool/springtide", false),
                mount("tls", "/etc/springtide/tls", true),
            ]),
            ..Container::default()
        }],
        volumes: Some(vec![
            Volume {
                name: "spool".to_owned(),
                empty_dir: Some(spool),
                ..Volume::default()
            },
            Volume {
                name: "tls".to_owned(),
                secret: Some(tls),
                ..Volume::default()
            },
        ]),
        ..PodSpec::default()
    }
}

/// Within this an answer is fast: what the tenant's plan promises, or what the installation says.
fn answer_within(plan: Option<&RatePlan>, installation: &Installation) -> Duration {
    let promised = plan.and_then(|plan| plan.spec.sla.as_ref()?.response_time.as_ref());
    promised
        .and_then(|promised| promised.within.parse::<GoDuration>().ok())
        .map_or(installation.answer_within, |within| within.0)
}

fn environment(tenant: &Tenant, plan: Option<&RatePlan>, installation: &Installation) -> Vec<EnvVar> {
    let channels = tenant
        .spec
        .channels
        .iter()
        .map(|(name, channel)| format!("{name}={}", channel.pool));
    let mut environment = downward();
    environment.extend([
        variable("SPRINGTIDE_TENANT", tenant.name_any()),
        variable("SPRINGTIDE_TENANT_UID", tenant.uid().unwrap_or_default()),
        variable("SPRINGTIDE_FLEET", installation.fleet.clone()),
        variable("SPRINGTIDE_BILLING", installation.billing.clone()),
        variable("SPRINGTIDE_CHANNELS", channels.collect::<Vec<_>>().join(",")),
        variable(
            "SPRINGTIDE_IDLE_AFTER",
            tenant.spec.idle_after.0.as_secs().to_string(),
        ),
        variable(
            "SPRINGTIDE_ANSWER_WITHIN",
            answer_within(plan, installation).as_secs_f64().to_string(),
        ),
        // A gateway that says that more wait is not believed.
        variable("SPRINGTIDE_WAITING_ROOM", WAITING_ROOM.to_string()),
        variable("SPRINGTIDE_LISTEN", format!("0.0.0.0:{GATEWAY_PORT}")),
        variable("SPRINGTIDE_ADMIN_LISTEN", format!("0.0.0.0:{ADMIN_PORT}")),
    ]);
    environment
}
