//! Pods that came and went, by the API server's audit log.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use super::read_lines;

/// Annotations by which the operator says which report of load a pod is for.
const LOAD_ROSE_AT: &str = "springtide.dev/load-rose-at";
const LOAD_ROSE_BY: &str = "springtide.dev/load-rose-by";

/// A Pod that was created or deleted.
#[derive(Clone, Debug)]
pub struct PodEvent {
    /// create or delete.
    pub verb: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The only UID that it may have had, by a deletion's own words.
    pub uid: Option<String>,
    /// When the API server had the request.
    pub at: Timestamp,
    /// When it had answered.
    pub(crate) answered: Timestamp,
    /// By the operator, not by another part of Kubernetes.
    pub by_operator: bool,
    /// What it was created for.
    pub(crate) rise: Option<Rise>,
}

/// Which report of load a pod is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rise {
    pub(crate) tenant: String,
    pub(crate) by: String,
    pub(crate) at: Timestamp,
}

/// Pods that were created or deleted in tenants' namespaces, in order.
pub fn read_pod_events(file: &Path) -> anyhow::Result<Vec<PodEvent>> {
    let lines: Vec<Value> = read_lines(file)?;
    let mut pods: Vec<_> = lines
        .iter()
        .filter_map(|line| {
            let text = |path: &str| line.pointer(path).and_then(Value::as_str);
            let done = line
                .pointer("/responseStatus/code")
                .and_then(Value::as_i64)
                .is_some_and(|code| code < 300);
            let by_operator = text("/user/username")?.contains("springtide-system:springtide-operator");
            let whole = text("/objectRef/subresource").is_none();
            let verb = text("/verb").filter(|verb| matches!(*verb, "create" | "delete"))?;
            let namespace = text("/objectRef/namespace")?;
            let tenant = namespace.strip_prefix("tenant-")?;
            let at = text("/requestReceivedTimestamp")?.parse().ok()?;
            let name = text("/objectRef/name").or_else(|| text("/requestObject/metadata/name"));
            let is_pod = text("/objectRef/resource") == Some("pods");
            (done && whole && is_pod).then(|| PodEvent {
                verb: verb.to_owned(),
                by_operator,
                namespace: namespace.to_owned(),
                name: name.unwrap_or_default().to_owned(),
                uid: text("/requestObject/preconditions/uid").map(str::to_owned),
                rise: rise(line, tenant),
                answered: text("/stageTimestamp")
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(at),
                at,
            })
        })
        .collect();
    pods.sort_by_key(|pod| pod.at);
    Ok(pods)
}

fn rise(line: &Value, tenant: &str) -> Option<Rise> {
    let annotations = line.pointer("/requestObject/metadata/annotations")?;
    Some(Rise {
        tenant: tenant.to_owned(),
        by: annotations[LOAD_ROSE_BY].as_str()?.to_owned(),
        at: annotations[LOAD_ROSE_AT].as_str()?.parse().ok()?,
    })
}

/// When the API server was asked for the first Pod for each rise.
pub(crate) fn first_pods(pods: &[PodEvent]) -> BTreeMap<&Rise, Timestamp> {
    let mut first = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod.verb == "create") {
        if let Some(rise) = &pod.rise {
            first.entry(rise).or_insert(pod.at);
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_annotations_of_a_pod_say_what_it_is_for() {
        let of = |annotations: Value| {
            rise(
                &serde_json::json!({"requestObject": {"metadata": {"annotations": annotations}}}),
                "acme",
            )
        };
        let said =
            of(serde_json::json!({LOAD_ROSE_AT: "2026-11-11T00:00:00.010203Z", LOAD_ROSE_BY: "web-1"}));
        assert_eq!(said.unwrap().by, "web-1");
        assert_eq!(
            of(serde_json::json!({"springtide.dev/created-for": "Minimum"})),
            None
        );
    }
}
