//! Which nodes go.
//!
//! - *going*: a node that takes no more Pods because somebody drains it, or a node autoscaler takes it away. A node that is
//!   lost is not going: its Pods are deleted by others, and its workers are not heard.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt as _;
use kube::runtime::watcher;
use parking_lot::RwLock;

/// Taints of node autoscalers and clouds that are about to take a node away. They need not cordon it.
const GOING_TAINTS: [&str; 4] = [
    "ToBeDeletedByClusterAutoscaler",
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
    "cloud.google.com/impending-node-termination",
];

/// The nodes that go; of the others nothing is kept.
#[derive(Clone, Debug, Default)]
pub struct NodeIndex(Arc<RwLock<Arc<BTreeSet<String>>>>);

impl NodeIndex {
    /// Their names.
    pub fn going(&self) -> Arc<BTreeSet<String>> {
        self.0.read().clone()
    }

    /// Takes an event of the watch into account; the nodes that go now and did not, or did and do not any more. `fresh`
    /// collects a list under way.
    pub fn take(&self, event: watcher::Event<Node>, fresh: &mut BTreeSet<String>) -> Vec<String> {
        match event {
            watcher::Event::Init => fresh.clear(),
            watcher::Event::InitApply(node) => {
                if is_going(&node) {
                    fresh.insert(node.name_any());
                }
            }
            watcher::Event::InitDone => {
                let before = std::mem::replace(&mut *self.0.write(), Arc::new(std::mem::take(fresh)));
                return before.symmetric_difference(&self.going()).cloned().collect();
            }
            watcher::Event::Apply(node) => return self.set(node.name_any(), is_going(&node)),
            watcher::Event::Delete(node) => return self.set(node.name_any(), false),
        }
        Vec::new()
    }

    /// A node goes, or does not; itself, if that is news.
    pub fn set(&self, node: String, going: bool) -> Vec<String> {
        let mut all = self.0.write();
        if all.contains(&node) == going {
            return Vec::new();
        }
        let all = Arc::make_mut(&mut all);
        if going {
            all.insert(node.clone());
        } else {
            all.remove(&node);
        }
        vec![node]
    }
}

fn is_going(node: &Node) -> bool {
    let Some(spec) = &node.spec else { return false };
    let mut taints = spec.taints.iter().flatten();
    spec.unschedulable == Some(true) || taints.any(|taint| GOING_TAINTS.contains(&taint.key.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use watcher::Event;

    use super::*;

    fn node(name: &str, spec: &Value) -> Node {
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
    }

    fn tainted(key: &str) -> Value {
        json!({"taints": [{"key": key, "effect": "NoSchedule"}]})
    }

    #[test]
    fn a_node_goes_when_it_is_cordoned_or_about_to_be_taken_away_but_not_when_it_is_lost_or_reserved() {
        let going = [
            json!({"unschedulable": true}),
            tainted("ToBeDeletedByClusterAutoscaler"),
            tainted("karpenter.sh/disrupted"),
        ];
        for spec in going {
            assert!(is_going(&node("n", &spec)), "{spec}");
        }
        let staying = [
            json!({}),
            json!({"unschedulable": false}),
            tainted("node.kubernetes.io/unreachable"),
            tainted("dedicated"),
        ];
        for spec in staying {
            assert!(!is_going(&node("n", &spec)), "{spec}");
        }
    }

    #[test]
    fn a_change_is_told_once_whether_it_comes_as_an_event_or_with_a_list() {
        let (index, mut fresh) = (NodeIndex::default(), BTreeSet::new());
        let (cordoned, open) = (json!({"unschedulable": true}), json!({}));
        let mut take = |event| index.take(event, &mut fresh);
        take(Event::Init);
        take(Event::InitApply(node("a", &cordoned)));
        take(Event::InitApply(node("b", &open)));
        assert_eq!(take(Event::InitDone), ["a"]);
        assert_eq!(take(Event::Apply(node("a", &cordoned))), [""; 0]);
        assert_eq!(take(Event::Apply(node("b", &cordoned))), ["b"]);
        assert_eq!(take(Event::Apply(node("a", &open))), ["a"]);
        assert_eq!(take(Event::Delete(node("b", &cordoned))), ["b"]);
        take(Event::Init);
        take(Event::InitApply(node("a", &open)));
        assert_eq!(take(Event::InitDone), [""; 0]);
        assert!(index.going().is_empty());
    }
}
