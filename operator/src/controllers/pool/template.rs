//! The Pod of a worker, and the Service of its pool.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, EnvVar,
    EnvVarSource, HTTPGetAction, ObjectFieldSelector, Pod, PodSecurityContext, PodSpec, Probe,
    ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext, Service, ServicePort,
    ServiceSpec, Toleration, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Resource as _;
use kube::api::ObjectMeta;

use crate::autoscale::Binding;
use crate::fleet::LoadRise;
use crate::names::{
    ADMIN_PORT, CAPACITY_VARIABLE, CONVERSATION_PORT, CREATED_FOR_ANNOTATION, DO_NOT_DISRUPT_ANNOTATION,
    LOAD_ROSE_AT_ANNOTATION, LOAD_ROSE_BY_ANNOTATION, NAME_LABEL, POOL_LABEL, SAFE_TO_EVICT_ANNOTATION,
    SERVING_LABEL, TEMPLATE_LABEL, TENANT_LABEL, TOKEN_KEYS_SECRET, WORKER, WORKER_TLS_SECRET, pool_service,
    tenant_namespace, worker_pod,
};

use super::size::limits;
use super::validate::ValidPool;

/// Of the digest of a template, so many bytes tell templates apart.
const DIGEST_BYTES: usize = 5;
/// The user that every part runs as.
const USER: i64 = 65_532;
/// SIGTERM until SIGKILL: the drain deadline, and this to flush the spool.
pub(super) const FLUSH_SECONDS: u64 = 30;
/// A worker leaves a node that is lost after this; another is started at once.
const NODE_LOST_SECONDS: i64 = 15;

/// Labels of every worker of the pool.
pub(super) fn labels(valid: &ValidPool<'_>) -> BTreeMap<String, String> {
    BTreeMap::from([
        (TENANT_LABEL.to_owned(), valid.key.tenant.to_string()),
        (POOL_LABEL.to_owned(), valid.key.pool.to_string()),
        (NAME_LABEL.to_owned(), "springtide-worker".to_owned()),
    ])
}

/// Selector of the pool's workers, as text.
pub(super) fn selector(valid: &ValidPool<'_>) -> String {
    format!(
        "{TENANT_LABEL}={},{POOL_LABEL}={}",
        valid.key.tenant, valid.key.pool
    )
}

/// What every worker of the pool runs, and its digest: a worker of another digest is outdated.
pub(super) fn template(valid: &ValidPool<'_>) -> (PodSpec, String) {
    let spec = pod_spec(valid);
    let text = serde_json::to_vec(&spec).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &text);
    let bytes = digest.as_ref().iter().take(DIGEST_BYTES);
    let digest = bytes.fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    (spec, digest)
}

/// Why a worker is created, as its Pod says it: the API server's audit log then tells how long each step in load took.
pub(super) fn creation(binding: Binding, rise: Option<&LoadRise>) -> BTreeMap<String, String> {
    let mut said = BTreeMap::from([(CREATED_FOR_ANNOTATION.to_owned(), binding.as_str().to_owned())]);
    if let Some(rise) = rise
        && let Some(measured) = rise.measured
    {
        said.insert(LOAD_ROSE_AT_ANNOTATION.to_owned(), format!("{measured:.6}"));
        said.insert(LOAD_ROSE_BY_ANNOTATION.to_owned(), rise.by.to_string());
    }
    said
}

/// The worker with that ordinal.
pub(super) fn pod(
    valid: &ValidPool<'_>,
    (spec, digest): (&PodSpec, &str),
    ordinal: u32,
    creation: BTreeMap<String, String>,
) -> Pod {
    let mut labels = labels(valid);
    labels.insert(TEMPLATE_LABEL.to_owned(), digest.to_owned());
    labels.insert(SERVING_LABEL.to_owned(), "true".to_owned());
    // Once for its whole life: a worker without conversations is removed by its pool, not by whoever takes nodes away.
    let mut annotations = creation;
    annotations.insert(SAFE_TO_EVICT_ANNOTATION.to_owned(), "false".to_owned());
    annotations.insert(DO_NOT_DISRUPT_ANNOTATION.to_owned(), "true".to_owned());
    Pod {
        metadata: ObjectMeta {
            name: Some(worker_pod(valid.key.pool.as_str(), ordinal)),
            labels: Some(labels),
            annotations: Some(annotations),
            ..owned(valid)
        },
        spec: Some(spec.clone()),
        status: None,
    }
}

/// Metadata of what a pool has once, and that goes with it.
pub(super) fn owned(valid: &ValidPool<'_>) -> ObjectMeta {
    ObjectMeta {
        name: Some(pool_service(valid.key.pool.as_str())),
        namespace: Some(tenant_namespace(valid.key.tenant.as_str())),
        labels: Some(labels(valid)),
        owner_references: valid.pool.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

/// The headless Service by which gateways find workers while no operator answers.
pub(super) fn service(valid: &ValidPool<'_>) -> Service {
    Service {
        metadata: owned(valid),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(labels(valid)),
            ports: Some(vec![ServicePort {
                name: Some("conversation".to_owned()),
                port: i32::from(CONVERSATION_PORT),
                target_port: Some(IntOrString::Int(i32::from(CONVERSATION_PORT))),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn pod_spec(valid: &ValidPool<'_>) -> PodSpec {
    let grace = valid.pool.spec.drain.deadline.0.as_secs() + FLUSH_SECONDS;
    PodSpec {
        service_account_name: Some(WORKER.to_owned()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        restart_policy: Some("Always".to_owned()),
        termination_grace_period_seconds: i64::try_from(grace).ok(),
        security_context: Some(pod_security()),
        tolerations: Some(vec![node_lost("not-ready"), node_lost("unreachable")]),
        topology_spread_constraints: Some(vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(LabelSelector {
                match_labels: Some(labels(valid)),
                ..LabelSelector::default()
            }),
            ..TopologySpreadConstraint::default()
        }]),
        containers: vec![container(valid)],
        volumes: Some(volumes(valid)),
        ..PodSpec::default()
    }
}

fn container(valid: &ValidPool<'_>) -> Container {
    let worker = &valid.pool.spec.worker;
    let port = |name: &str, port: u16| ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(port),
        ..ContainerPort::default()
    };
    let mount = |name: &str, path: String| VolumeMount {
        name: name.to_owned(),
        mount_path: path,
        read_only: (name != "spool").then_some(true),
        ..VolumeMount::default()
    };
    let mut mounts = vec![
        mount("spool", "/var/spool/springtide".to_owned()),
        mount("tls", "/etc/springtide/tls".to_owned()),
        mount("token-keys", "/etc/springtide/token-keys".to_owned()),
    ];
    for (index, name) in valid.pool.spec.knowledge.config_maps.iter().enumerate() {
        mounts.push(mount(
            &format!("knowledge-{index}"),
            format!("/etc/springtide/knowledge/{name}"),
        ));
    }
    Container {
        name: WORKER.to_owned(),
        image: Some(worker.image.clone()),
        image_pull_policy: Some(valid.installation.image_pull_policy.clone()),
        env: Some(environment(valid)),
        ports: Some(vec![
            port("conversation", CONVERSATION_PORT),
            port("admin", ADMIN_PORT),
        ]),
        resources: Some(ResourceRequirements {
            requests: Some(worker.resources.requests.clone()),
            limits: Some(limits(&worker.resources)),
            ..ResourceRequirements::default()
        }),
        // Gateways go by the operator's word; readiness is for people and for rollouts.
        readiness_probe: Some(readiness(5)),
        security_context: Some(container_security()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

fn environment(valid: &ValidPool<'_>) -> Vec<EnvVar> {
    let seconds = |duration: crate::api::GoDuration| duration.0.as_secs().to_string();
    let mut environment = downward();
    environment.extend([
        variable("SPRINGTIDE_TENANT", valid.key.tenant.to_string()),
        variable(
            "SPRINGTIDE_TENANT_UID",
            valid.tenant_uid.clone().unwrap_or_default(),
        ),
        variable("SPRINGTIDE_POOL", valid.key.pool.to_string()),
        variable(CAPACITY_VARIABLE, valid.policy.capacity.to_string()),
        variable("SPRINGTIDE_FLEET", valid.installation.fleet.clone()),
        variable("SPRINGTIDE_BILLING", valid.installation.billing.clone()),
        variable("SPRINGTIDE_IDLE_AFTER", valid.idle_after.to_string()),
        variable(
            "SPRINGTIDE_DRAIN_DEADLINE",
            seconds(valid.pool.spec.drain.deadline),
        ),
        variable("SPRINGTIDE_LISTEN", format!("0.0.0.0:{CONVERSATION_PORT}")),
        variable("SPRINGTIDE_ADMIN_LISTEN", format!("0.0.0.0:{ADMIN_PORT}")),
    ]);
    environment
}

fn volumes(valid: &ValidPool<'_>) -> Vec<Volume> {
    let secret = |name: &str, secret: &str| Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    let spool = EmptyDirVolumeSource::default();
    let mut volumes = vec![
        Volume {
            name: "spool".to_owned(),
            empty_dir: Some(spool),
            ..Volume::default()
        },
        secret("tls", WORKER_TLS_SECRET),
        secret("token-keys", TOKEN_KEYS_SECRET),
    ];
    for (index, name) in valid.pool.spec.knowledge.config_maps.iter().enumerate() {
        volumes.push(Volume {
            name: format!("knowledge-{index}"),
            config_map: Some(ConfigMapVolumeSource {
                name: name.clone(),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        });
    }
    volumes
}

fn node_lost(what: &str) -> Toleration {
    Toleration {
        key: Some(format!("node.kubernetes.io/{what}")),
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        toleration_seconds: Some(NODE_LOST_SECONDS),
        ..Toleration::default()
    }
}

/// Security of every Pod that the operator makes.
pub(in crate::controllers) fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

/// Security of every container that the operator makes.
pub(in crate::controllers) fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            ..Capabilities::default()
        }),
        ..SecurityContext::default()
    }
}

/// Ready when the admin port says so.
pub(in crate::controllers) fn readiness(period_seconds: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some("/readyz".to_owned()),
            port: IntOrString::Int(i32::from(ADMIN_PORT)),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        // A busy machine answers late: that is no reason to take a part out of service.
        timeout_seconds: Some(4),
        failure_threshold: Some(4),
        ..Probe::default()
    }
}

/// A variable of that value.
pub(in crate::controllers) fn variable(name: &str, value: String) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value),
        ..EnvVar::default()
    }
}

/// Who the Pod is.
pub(in crate::controllers) fn downward() -> Vec<EnvVar> {
    let fields = [
        ("POD_NAME", "metadata.name"),
        ("POD_UID", "metadata.uid"),
        ("POD_IP", "status.podIP"),
        ("NODE_NAME", "spec.nodeName"),
    ];
    let field = |(name, path): (&str, &str)| EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    fields.into_iter().map(field).collect()
}
