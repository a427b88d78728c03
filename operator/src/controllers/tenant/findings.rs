//! The conditions of a tenant.

use kube::ResourceExt as _;

use crate::api::Tenant;
use crate::controllers::conditions::{Finding, Holds};
use crate::names::{TENANT_LABEL, tenant_namespace};

use super::IDENTITIES_READY;
use super::apply::Applied;
use super::dereference::{NamespaceState, Seen};

pub(super) fn findings(tenant: &Tenant, seen: &Seen, applied: &Applied) -> Vec<Finding> {
    let mut findings = vec![
        namespace_ready(tenant, seen),
        identities_ready(applied),
        gateways_ready(seen, applied),
        rate_plan_found(tenant, seen, applied),
        registered(applied),
    ];
    let missing: Vec<_> = findings
        .iter()
        .filter(|finding| finding.holds != Holds::True)
        .collect();
    let ready = match missing.first() {
        None => Finding::good(
            "Ready",
            true,
            "AllReady",
            "customers are answered and usage is billed",
        ),
        Some(first) => Finding::good("Ready", false, first.reason.clone(), first.message.clone()),
    };
    findings.push(ready);
    findings
}

fn namespace_ready(tenant: &Tenant, seen: &Seen) -> Finding {
    let name = tenant.name_any();
    let namespace = tenant_namespace(&name);
    match seen.namespace {
        NamespaceState::Missing | NamespaceState::Ours => Finding::good(
            "NamespaceReady",
            true,
            "Ready",
            format!("{namespace} is the tenant's namespace"),
        ),
        NamespaceState::Foreign => {
            let message = format!(
                "namespace {namespace} exists and is not labelled as this tenant's; to give it to the tenant: kubectl label namespace {namespace} {TENANT_LABEL}={name}"
            );
            Finding::good("NamespaceReady", false, "NamespaceForeign", message)
        }
        NamespaceState::Terminating => {
            let message = format!("namespace {namespace} is being deleted; it is made anew when it is gone");
            Finding::good("NamespaceReady", false, "NamespaceTerminating", message)
        }
    }
}

fn identities_ready(applied: &Applied) -> Finding {
    if applied.provisioned {
        Finding::good(
            IDENTITIES_READY,
            true,
            "Issued",
            "workers and gateways have their certificates and keys",
        )
    } else {
        Finding::good(
            IDENTITIES_READY,
            Holds::Unknown,
            "NoNamespace",
            "there is no namespace for them",
        )
    }
}

fn gateways_ready(seen: &Seen, applied: &Applied) -> Finding {
    if !applied.provisioned {
        return Finding::good(
            "GatewaysReady",
            Holds::Unknown,
            "NoNamespace",
            "there is no namespace for them",
        );
    }
    let (available, wanted) = (seen.gateways_available, seen.gateways_wanted);
    let message = format!("{available} of {wanted} gateways answer");
    let reason = if available > 0 {
        "GatewaysAnswer"
    } else {
        "GatewaysMissing"
    };
    Finding::good("GatewaysReady", available > 0, reason, message)
}

fn rate_plan_found(tenant: &Tenant, seen: &Seen, applied: &Applied) -> Finding {
    let plan = &tenant.spec.rate_plan;
    if seen.plan.is_none() {
        let message = format!("there is no RatePlan {plan}; create it, or name another in spec.ratePlan");
        return Finding::good("RatePlanFound", false, "RatePlanMissing", message);
    }
    match &applied.registered {
        Some(Ok(true)) => Finding::good(
            "RatePlanFound",
            true,
            "Found",
            format!("billing knows the plan {plan}"),
        ),
        Some(Ok(false)) => {
            let message =
                format!("billing has not accepted RatePlan {plan}; its condition Accepted says why");
            Finding::good("RatePlanFound", false, "RatePlanNotAccepted", message)
        }
        Some(Err(_)) | None => Finding::good(
            "RatePlanFound",
            Holds::Unknown,
            "NotAsked",
            "billing was not reached",
        ),
    }
}

fn registered(applied: &Applied) -> Finding {
    match &applied.registered {
        Some(Ok(_)) => Finding::good(
            "Registered",
            true,
            "Registered",
            "billing has an account for the tenant",
        ),
        Some(Err(error)) => {
            let message = format!(
                "billing did not take the account, and is asked again: {}",
                error.message
            );
            Finding::good("Registered", false, error.reason.as_str(), message)
        }
        None => Finding::good(
            "Registered",
            Holds::Unknown,
            "NoNamespace",
            "there is no namespace for the portal's token",
        ),
    }
}
