//! The conditions of a pool.

use crate::controllers::conditions::{Finding, Holds};
use crate::controllers::live::SilentPeer;

use super::build::Prepared;
use super::dereference::Seen;
use super::workers::Worker;

/// Whether all knowledge is there.
pub(super) const KNOWLEDGE_READY: &str = "KnowledgeReady";
/// Reason: it is.
pub(super) const KNOWLEDGE_FOUND: &str = "Found";

/// `refused` is why the API server refuses to create a worker.
pub(super) fn findings(prepared: &Prepared<'_>, seen: &Seen, refused: Option<&str>) -> Vec<Finding> {
    vec![
        available(prepared, seen),
        scaling_active(prepared, seen),
        knowledge_ready(prepared, seen),
        workers_starting(prepared, seen, refused),
        override_active(prepared),
        capacity_granted(prepared, seen),
    ]
}

fn available(prepared: &Prepared<'_>, seen: &Seen) -> Finding {
    let (ready, desired) = (prepared.live.ready, prepared.decision.desired);
    if seen.tenant.is_none() {
        let message = format!(
            "there is no Tenant {}; create it, and the pool starts",
            prepared.valid.key.tenant
        );
        return Finding::good("Available", false, "TenantMissing", message);
    }
    if !prepared.valid.provisioned {
        let message = format!(
            "workers start when Tenant {} has its identities; see its conditions",
            prepared.valid.key.tenant
        );
        return Finding::good("Available", false, "TenantNotReady", message);
    }
    let message = format!("{ready} of {desired} workers answer");
    if prepared.valid.policy.suspended {
        return Finding::neutral("Available", false, "Suspended", "the pool is suspended");
    }
    let reason = if ready >= desired {
        "WorkersAnswer"
    } else {
        "WorkersMissing"
    };
    Finding::good("Available", ready > 0 || desired == 0, reason, message)
}

fn scaling_active(prepared: &Prepared<'_>, seen: &Seen) -> Finding {
    let silent = &prepared.workers.silent;
    if silent.is_empty() && seen.silent_gateways.is_empty() {
        return Finding::good(
            "ScalingActive",
            true,
            "DataComplete",
            "every worker and gateway is heard",
        );
    }
    let message = format!(
        "nothing is scaled in while data is missing: {}",
        not_heard(silent, seen.silent_gateways.len())
    );
    Finding::good("ScalingActive", false, "DataMissing", message)
}

fn not_heard(workers: &[SilentPeer], gateways: usize) -> String {
    let named = workers
        .iter()
        .take(3)
        .map(|worker| worker.pod.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    let more = if workers.len() > 3 { ", …" } else { "" };
    let workers = match workers.len() {
        0 => None,
        1 => Some(format!("worker {named} is not heard")),
        count => Some(format!("{count} workers ({named}{more}) are not heard")),
    };
    let gateways = match gateways {
        0 => None,
        1 => Some("a gateway is not heard".to_owned()),
        count => Some(format!("{count} gateways are not heard")),
    };
    workers.into_iter().chain(gateways).collect::<Vec<_>>().join("; ")
}

fn knowledge_ready(prepared: &Prepared<'_>, seen: &Seen) -> Finding {
    if !seen.missing_knowledge.is_empty() {
        let names = seen.missing_knowledge.join(", ");
        let message = format!("ConfigMap {names} is missing in this namespace; create it, and workers start");
        return Finding::good(KNOWLEDGE_READY, false, "ConfigMapMissing", message);
    }
    let refused = counted(prepared).find_map(|worker| {
        let because = &worker.view.as_ref()?.not_accepting_because;
        (!because.is_empty()).then(|| format!("worker {} takes no conversations: {because}", worker.pod.name))
    });
    match refused {
        Some(message) => Finding::good(KNOWLEDGE_READY, false, "WorkerRefuses", message),
        None => Finding::good(KNOWLEDGE_READY, true, KNOWLEDGE_FOUND, "all knowledge is there"),
    }
}

fn workers_starting(prepared: &Prepared<'_>, seen: &Seen, refused: Option<&str>) -> Finding {
    if let Some(why) = refused {
        let message = format!("the API server refuses to create a worker: {why}");
        return Finding::neutral("WorkersStarting", true, "CreationRefused", message).alarming(true);
    }
    let starting = prepared.decision.observation.starting;
    if let Some((name, (reason, message))) = prepared
        .workers
        .starting
        .iter()
        .find_map(|worker| Some((&worker.pod.name, worker.pod.stuck.clone()?)))
    {
        let message = format!("worker {name} does not start: {reason}: {message}");
        return Finding::neutral("WorkersStarting", true, reason, message).alarming(true);
    }
    if let Some((name, why)) = seen
        .pods
        .iter()
        .find_map(|pod| Some((&pod.name, pod.unschedulable.as_ref()?)))
    {
        let message = format!("no node takes worker {name}: {why}");
        return Finding::neutral("WorkersStarting", true, "Unschedulable", message).alarming(true);
    }
    match starting {
        0 => Finding::neutral("WorkersStarting", false, "AllStarted", "no worker is starting"),
        _ => Finding::neutral("WorkersStarting", true, "Starting", "workers are starting"),
    }
}

fn override_active(prepared: &Prepared<'_>) -> Finding {
    match prepared.valid.manual.as_ref().filter(|manual| !manual.lapsed) {
        Some(manual) => {
            let message = format!(
                "{:?} {} by {}, lapses at {}",
                manual.manual.mode,
                manual.manual.workers,
                manual.set_by,
                crate::controllers::conditions::whole_seconds(manual.manual.lapses_at)
            );
            Finding::neutral("OverrideActive", Holds::True, "Scaled", message)
        }
        None => Finding::neutral("OverrideActive", Holds::False, "None", "no manual override holds"),
    }
}

/// What the tenant's limit, or its share of a cluster that is short, takes from what is wanted.
fn capacity_granted(prepared: &Prepared<'_>, seen: &Seen) -> Finding {
    let (type_, wanted, granted) = ("CapacityGranted", prepared.decision.demand, seen.tenant_share);
    if wanted <= granted {
        return Finding::good(type_, true, "Granted", "all that is wanted is granted");
    }
    let (reason, cause) = if seen.scarce {
        let capacity = seen.tenant.as_ref().map(|tenant| &tenant.spec.capacity);
        let (guaranteed, weight) = capacity.map_or((0, 1), |capacity| (capacity.guaranteed, capacity.weight));
        (
            "FairShare",
            format!(
                "the cluster is short, and this pool is left {granted}; the tenant's guarantee is {guaranteed}, its weight {weight}"
            ),
        )
    } else {
        let cause = format!(
            "the tenant's limit, shared by its pools, leaves {granted} to this one; raise spec.capacity.limit of the Tenant"
        );
        ("TenantLimit", cause)
    };
    // Without what is wanted, which changes with each conversation: a condition that is written anew each time tells nobody more.
    let message = format!("fewer workers are granted than are wanted: {cause}");
    Finding::good(type_, false, reason, message)
}

fn counted<'a>(prepared: &'a Prepared<'_>) -> impl Iterator<Item = &'a Worker> {
    let workers = &prepared.workers;
    workers
        .refusing
        .iter()
        .chain(&workers.starting)
        .chain(&workers.ready)
}
