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

/// The caller hung up before it was answered.
const HUNG_UP: i64 = 504;

/// Pods that were created or deleted in tenants' namespaces, in order.
///
/// What a caller did not wait for, because its term ended, may be done all the same: see [`without_unproven`].
pub fn read_pod_events(file: &Path) -> anyhow::Result<Vec<PodEvent>> {
    let lines: Vec<Value> = read_lines(file)?;
    let mut pods: Vec<_> = lines
        .iter()
        .filter_map(|line| {
            let text = |path: &str| line.pointer(path).and_then(Value::as_str);
            let code = line.pointer("/responseStatus/code").and_then(Value::as_i64)?;
            let done = code < 300 || code == HUNG_UP;
            let by_operator = text("/user/username")?.contains("springtide-system:springtide-operator");
            let whole = text("/objectRef/subresource").is_none();
            let verb = text("/verb").filter(|verb| matches!(*verb, "create" | "delete"))?;
            let namespace = text("/objectRef/namespace")?;
            let tenant = namespace.strip_prefix("tenant-")?;
            let at = text("/requestReceivedTimestamp")?.parse().ok()?;
            let name = text("/objectRef/name").or_else(|| text("/requestObject/metadata/name"));
            let is_pod = text("/objectRef/resource") == Some("pods");
            let pod = || PodEvent {
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
            };
            (done && whole && is_pod).then(|| (pod(), code == HUNG_UP))
        })
        .collect();
    pods.sort_by_key(|(pod, _)| pod.at);
    Ok(without_unproven(pods))
}

/// Without deletes of which nothing shows that they were done: that another finished them, or that the name was free again. And of
/// what was done once more, only the last.
fn without_unproven(pods: Vec<(PodEvent, bool)>) -> Vec<PodEvent> {
    let mut next: BTreeMap<(String, String), (String, bool)> = BTreeMap::new();
    let mut kept = Vec::with_capacity(pods.len());
    for (pod, hung_up) in pods.into_iter().rev() {
        let of = (pod.namespace.clone(), pod.name.clone());
        let later = next
            .get(&of)
            .map(|(verb, by_operator)| (verb.as_str(), *by_operator));
        let counts = match (hung_up, pod.verb.as_str()) {
            (true, "delete") => matches!(later, Some(("delete", false) | ("create", true))),
            (true, _) => later != Some(("create", true)),
            (false, _) => true,
        };
        if counts {
            next.insert(of, (pod.verb.clone(), pod.by_operator));
            kept.push(pod);
        }
    }
    kept.reverse();
    kept
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

    #[test]
    fn what_was_hung_up_on_counts_once_and_a_delete_only_if_something_shows_that_it_was_done() {
        let line = |second: u32, verb: &str, name: &str, code: u16, user: &str| {
            serde_json::json!({
                "verb": verb, "user": {"username": user}, "responseStatus": {"code": code},
                "objectRef": {"resource": "pods", "namespace": "tenant-t", "name": name},
                "requestReceivedTimestamp": format!("2026-11-10T10:00:{second:02}Z"),
            })
        };
        let (operator, other) = (
            "system:serviceaccount:springtide-system:springtide-operator",
            "kwok",
        );
        let lines = [
            line(1, "create", "p-0", 504, operator),
            line(2, "create", "p-0", 201, operator),
            line(3, "delete", "p-0", 504, operator),
            line(4, "delete", "p-0", 200, other),
            line(5, "create", "p-1", 504, operator),
            line(6, "create", "p-1", 409, operator),
            line(7, "delete", "p-1", 504, operator),
        ];
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("audit.log");
        let lines: Vec<_> = lines.iter().map(Value::to_string).collect();
        std::fs::write(&file, lines.join("\n")).unwrap();
        let events = read_pod_events(&file).unwrap();
        let seen: Vec<_> = events
            .iter()
            .map(|pod| (pod.at.as_second() % 60, pod.verb.as_str(), pod.name.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                (2, "create", "p-0"),
                (3, "delete", "p-0"),
                (4, "delete", "p-0"),
                (5, "create", "p-1")
            ]
        );
    }
}
