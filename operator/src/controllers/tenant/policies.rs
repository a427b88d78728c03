//! Network policies: everything is denied but what the wiring needs.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::api::Tenant;
use crate::controllers::context::Installation;
use crate::names::{ADMIN_PORT, BILLING_PORT, CONVERSATION_PORT, FLEET_PORT, GATEWAY_PORT, NAME_LABEL};

use super::build::owned;

const DNS_PORT: u16 = 53;

pub(super) fn policies(tenant: &Tenant, installation: &Installation) -> Vec<NetworkPolicy> {
    let policy = |name: &str, spec: NetworkPolicySpec| NetworkPolicy {
        metadata: owned(tenant, name),
        spec: Some(spec),
    };
    let both = || Some(vec!["Ingress".to_owned(), "Egress".to_owned()]);
    let admin = ingress(Some(vec![system(installation, None)]), ADMIN_PORT);
    let everyone = NetworkPolicySpec {
        pod_selector: Some(LabelSelector::default()),
        policy_types: both(),
        ..NetworkPolicySpec::default()
    };
    let gateway = NetworkPolicySpec {
        pod_selector: Some(named("springtide-gateway")),
        policy_types: both(),
        ingress: Some(vec![ingress(None, GATEWAY_PORT), admin.clone()]),
        egress: Some(
            [
                vec![egress(local("springtide-worker"), CONVERSATION_PORT)],
                common(installation),
            ]
            .concat(),
        ),
    };
    let from = vec![
        local("springtide-gateway"),
        system(installation, Some("springtide-operator")),
    ];
    let worker = NetworkPolicySpec {
        pod_selector: Some(named("springtide-worker")),
        policy_types: both(),
        ingress: Some(vec![ingress(Some(from), CONVERSATION_PORT), admin]),
        egress: Some(common(installation)),
    };
    vec![
        policy("default-deny", everyone),
        policy("gateway", gateway),
        policy("worker", worker),
    ]
}

/// What every part of a tenant may reach: operator, billing, names.
fn common(installation: &Installation) -> Vec<NetworkPolicyEgressRule> {
    let dns = |protocol: &str| NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        ..port(DNS_PORT)
    };
    vec![
        egress(system(installation, Some("springtide-operator")), FLEET_PORT),
        egress(system(installation, Some("springtide-billing")), BILLING_PORT),
        NetworkPolicyEgressRule {
            ports: Some(vec![dns("UDP"), dns("TCP")]),
            to: None,
        },
    ]
}

fn ingress(from: Option<Vec<NetworkPolicyPeer>>, to_port: u16) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from,
        ports: Some(vec![port(to_port)]),
    }
}

fn egress(to: NetworkPolicyPeer, to_port: u16) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: Some(vec![to]),
        ports: Some(vec![port(to_port)]),
    }
}

fn port(number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some("TCP".to_owned()),
        port: Some(IntOrString::Int(i32::from(number))),
        end_port: None,
    }
}

fn named(application: &str) -> LabelSelector {
    matching(NAME_LABEL, application)
}

fn matching(label: &str, value: &str) -> LabelSelector {
    let labels = BTreeMap::from([(label.to_owned(), value.to_owned())]);
    LabelSelector {
        match_labels: Some(labels),
        ..LabelSelector::default()
    }
}

fn local(application: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(named(application)),
        ..NetworkPolicyPeer::default()
    }
}

fn system(installation: &Installation, application: Option<&str>) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(matching(
            "kubernetes.io/metadata.name",
            &installation.system_namespace,
        )),
        pod_selector: application.map(named),
        ip_block: None,
    }
}
