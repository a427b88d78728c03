//! An API server that answers as it is told.

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::explained::record;
use crate::plugin::arguments::{ExplainPool, Format};
use crate::plugin::cluster::Cluster;
use crate::plugin::{PluginError, PoolName, explain_pool};

const PODS: &str = "/api/v1/namespaces/springtide-system/pods";
const POOLS: &str = "/apis/springtide.dev/v1alpha1/botpools";

/// Answers by the beginning of the path, the longest first.
fn cluster(answers: &[(&str, u16, Value)]) -> Cluster {
    let answers: Vec<_> = answers
        .iter()
        .map(|(path, code, body)| ((*path).to_owned(), *code, body.to_string()))
        .collect();
    let service = tower::service_fn(move |request: Request<Body>| {
        let asked = request.uri().path().to_owned();
        let known = answers.iter().find(|(path, ..)| asked == *path);
        let (code, body) = known.map_or((404, "{}".to_owned()), |(_, code, body)| (*code, body.clone()));
        async move {
            let response = Response::builder().status(code);
            Ok::<_, tower::BoxError>(response.body(Body::from(body.into_bytes()))?)
        }
    });
    let client = Client::new(service, "tenant-acme");
    Cluster::new(
        client,
        "https://api.example".to_owned(),
        "springtide-system".to_owned(),
    )
}

fn proxy(pod: &str) -> String {
    format!("{PODS}/{pod}:9090/proxy/debug/pools")
}

fn pods(names: &[&str]) -> Value {
    let items: Vec<_> = names
        .iter()
        .map(|name| json!({"metadata": {"name": name}}))
        .collect();
    json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items})
}

fn botpools(items: &[Value]) -> Value {
    json!({"apiVersion": "springtide.dev/v1alpha1", "kind": "BotPoolList", "metadata": {}, "items": items})
}

fn botpool(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "springtide.dev/v1alpha1", "kind": "BotPool", "metadata": {"name": name, "namespace": namespace},
        "spec": {"worker": {"image": "w", "conversations": 20}, "scaling": {"max": 9}}
    })
}

fn follows() -> Value {
    json!({"error": {"reason": "NOT_LEADER", "message": "this replica does not lead; ask another", "field": ""}})
}

async fn explained(cluster: &Cluster, name: &str) -> Result<String, String> {
    let asked = ExplainPool {
        name: name.to_owned(),
        namespace: None,
        output: None,
    };
    let now = "2026-11-10T12:00:00Z".parse().unwrap();
    explain_pool(cluster, &asked, now)
        .await
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn the_replica_that_leads_is_found_behind_those_that_follow() {
    let (follower, leader) = (proxy("operator-a"), proxy("operator-b"));
    let object = "/apis/springtide.dev/v1alpha1/namespaces/tenant-acme/botpools/web";
    let cluster = cluster(&[
        (PODS, 200, pods(&["operator-a", "operator-b"])),
        (&follower, 503, follows()),
        (&leader, 200, json!([record()])),
        (object, 200, botpool("tenant-acme", "web")),
    ]);
    for name in ["web", "acme/web", "bp/web"] {
        let text = explained(&cluster, name).await.unwrap();
        assert!(text.starts_with("acme/web: 6 workers wanted (Load)"), "{text}");
    }
    let asked = ExplainPool {
        name: "web".to_owned(),
        namespace: Some("tenant-acme".to_owned()),
        output: Some(Format::Json),
    };
    let text = explain_pool(&cluster, &asked, "2026-11-10T12:00:00Z".parse().unwrap()).await;
    let value: Value = serde_json::from_str(&text.unwrap()).unwrap();
    assert_eq!(value, serde_json::to_value(record()).unwrap());
}

#[tokio::test]
async fn without_a_leader_it_says_what_each_replica_answered() {
    let follower = proxy("operator-a");
    let cluster = cluster(&[(PODS, 200, pods(&["operator-a"])), (&follower, 503, follows())]);
    let error = explained(&cluster, "web").await.unwrap_err();
    assert!(
        error.contains("no operator leads now")
            && error.contains("\n  operator-a: this replica does not lead; ask another\n"),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_permission_is_named_as_a_rule() {
    let forbidden =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "message": "no"});
    let pod = proxy("operator-a");
    let refused = cluster(&[(PODS, 200, pods(&["operator-a"])), (&pod, 403, forbidden.clone())]);
    assert_eq!(
        explained(&refused, "web").await.unwrap_err(),
        "you have no permission to get pods/proxy in springtide-system; ask for this rule in a Role or ClusterRole:\n\
         - apiGroups: [\"\"]\n  resources: [pods/proxy]\n  verbs: [get]"
    );
    let error = explained(&cluster(&[(PODS, 403, forbidden)]), "web")
        .await
        .unwrap_err();
    assert!(error.contains("to list pods in springtide-system"), "{error}");
    let error = explained(
        &cluster(&[(PODS, 401, json!({"kind": "Status", "code": 401}))]),
        "web",
    )
    .await
    .unwrap_err();
    assert!(error.contains("log in again"), "{error}");
    let error = explained(&cluster(&[(PODS, 200, pods(&[]))]), "web")
        .await
        .unwrap_err();
    assert!(error.contains("--system-namespace"), "{error}");
}

#[tokio::test]
async fn a_pool_that_is_not_there_is_answered_with_those_that_are() {
    let leader = proxy("operator-a");
    let found = [botpool("tenant-acme", "web"), botpool("tenant-bloom", "chat")];
    let cluster = cluster(&[
        (PODS, 200, pods(&["operator-a"])),
        (&leader, 200, json!([])),
        (POOLS, 200, botpools(&found)),
    ]);
    let error = explained(&cluster, "acme/shop").await.unwrap_err();
    assert_eq!(
        error,
        "there is no pool acme/shop; there are: acme/web, bloom/chat"
    );
    let error = explained(&cluster, "bloom/chat").await.unwrap_err();
    assert!(
        error.contains("has not decided pool bloom/chat")
            && error.contains("kubectl describe -n tenant-bloom bp/chat"),
        "{error}"
    );
}

#[test]
fn a_pool_is_named_with_its_tenant_or_in_its_namespace() {
    let name =
        |name, namespace, default| PoolName::new(name, namespace, default).map(|name| name.to_string());
    assert_eq!(name("web", Some("tenant-acme"), "default").unwrap(), "acme/web");
    assert_eq!(name("acme/web", None, "tenant-bloom").unwrap(), "acme/web");
    assert_eq!(name("web", None, "default").unwrap(), "web");
    assert!(matches!(
        name("web", Some("default"), "default"),
        Err(PluginError::Namespace { .. })
    ));
    assert!(matches!(
        name("acme/web", Some("tenant-bloom"), "default"),
        Err(PluginError::TwoTenants { .. })
    ));
}
