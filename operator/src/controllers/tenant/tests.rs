use http::Method;
use serde_json::{Value, json};
use springtide_proto::error::Reason;

use super::*;
use crate::api::RatePlan;
use crate::controllers::testing::{Cached, Scenario, acme};

const TENANT: &str = "/apis/springtide.dev/v1alpha1/tenants/acme";
const NAMESPACE: &str = "/api/v1/namespaces/tenant-acme";
const GATEWAYS: &str = "/apis/apps/v1/namespaces/tenant-acme/deployments/gateway";

fn scenario() -> Scenario {
    let plan: RatePlan = serde_json::from_value(json!({
        "apiVersion": "springtide.dev/v1alpha1", "kind": "RatePlan", "metadata": {"name": "standard"},
        "spec": {"currency": "CNY", "timeZone": "Asia/Shanghai", "charges": []},
    }))
    .unwrap();
    Scenario::new(Cached {
        plans: vec![plan],
        ..Cached::default()
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "so that a test can write json!(…) in place"
)]
fn namespace(labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"labels": labels}})
}

async fn reconciled(scenario: &Scenario) -> Action {
    scenario.know(&acme());
    reconcile(Arc::new(acme()), scenario.context.clone())
        .await
        .unwrap()
}

fn going() -> Tenant {
    let mut tenant = acme();
    tenant.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
        "2026-11-10T12:00:00Z".parse().unwrap(),
    ));
    tenant.metadata.resource_version = None;
    tenant
}

#[tokio::test]
async fn a_tenant_is_provisioned_into_a_namespace_of_its_own_and_registered() {
    let scenario = scenario();
    reconciled(&scenario).await;
    assert_eq!(
        scenario.api.get(NAMESPACE).unwrap()["metadata"]["labels"]["springtide.dev/tenant"],
        "acme"
    );
    for path in [
        "/api/v1/namespaces/tenant-acme/resourcequotas/springtide",
        "/api/v1/namespaces/tenant-acme/limitranges/springtide",
        "/api/v1/namespaces/tenant-acme/serviceaccounts/worker",
        "/api/v1/namespaces/tenant-acme/serviceaccounts/gateway",
        "/api/v1/namespaces/tenant-acme/secrets/springtide-worker-tls",
        "/api/v1/namespaces/tenant-acme/secrets/springtide-gateway-tls",
        "/api/v1/namespaces/tenant-acme/secrets/springtide-token-keys",
        "/api/v1/namespaces/tenant-acme/services/gateway",
        "/apis/networking.k8s.io/v1/namespaces/tenant-acme/networkpolicies/default-deny",
        "/apis/policy/v1/namespaces/tenant-acme/poddisruptionbudgets/gateway",
        GATEWAYS,
    ] {
        assert!(scenario.api.get(path).is_some(), "{path}");
    }
    let registered = scenario.billing.registered.lock()[0].clone();
    let token = "07".repeat(32);
    let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    assert_eq!(registered.portal_token_sha256, digest.as_ref());
    assert_eq!(
        (registered.tenant_uid.as_str(), registered.legal_name.as_str()),
        ("tenant-uid", "安可商城")
    );
    assert_eq!(registered.usage_days, 0, "for ever: the Tenant says nothing");
    assert_eq!(scenario.condition(TENANT, "RatePlanFound")["status"], "True");
    assert_eq!(scenario.condition(TENANT, "Ready")["reason"], "GatewaysMissing");
}

#[tokio::test]
async fn what_was_written_of_late_is_not_written_again_unless_gateways_are_gone() {
    let scenario = scenario();
    let writes = || {
        let calls = scenario.api.calls(&Method::PATCH, "/namespaces/tenant-acme");
        calls.len() + scenario.billing.registered.lock().len()
    };
    reconciled(&scenario).await;
    let once = writes();
    reconciled(&scenario).await;
    assert_eq!(writes(), once);
    scenario.api.remove(GATEWAYS);
    reconciled(&scenario).await;
    assert!(writes() > once);
    assert!(scenario.api.get(GATEWAYS).is_some());
}

#[tokio::test]
async fn what_an_earlier_leader_left_ready_is_written_later_unless_gateways_are_to_run_another_image() {
    for writes_at_once in [false, true] {
        let scenario = scenario();
        let mut tenant = acme();
        tenant.status = serde_json::from_value(json!({"conditions": [{
            "type": "Ready", "status": "True", "reason": "AllReady", "message": "", "observedGeneration": 1,
            "lastTransitionTime": "2026-11-10T11:00:00Z",
        }]}))
        .unwrap();
        scenario.know(&tenant);
        scenario
            .api
            .put(NAMESPACE, namespace(json!({"springtide.dev/tenant": "acme"})));
        let mut image = scenario.context.installation.gateway_image.clone();
        if writes_at_once {
            image += "-before";
        }
        scenario.api.put(GATEWAYS, json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "status": {"availableReplicas": 2},
            "spec": {"replicas": 2, "selector": {}, "template": {"spec": {"containers": [{"name": "gateway", "image": image}]}}},
        }));
        let writes = || scenario.billing.registered.lock().len();
        let look = async || {
            reconcile(Arc::new(tenant.clone()), scenario.context.clone())
                .await
                .unwrap()
        };
        look().await;
        assert_eq!(writes(), usize::from(writes_at_once), "{image}");
        scenario.context.fleet.skip(SAFETY);
        look().await;
        assert_eq!(writes(), 1, "{image}");
    }
}

#[tokio::test]
async fn keys_and_tokens_are_made_once() {
    let scenario = scenario();
    for _ in 0..2 {
        scenario.context.tenants_done.lock().clear();
        reconciled(&scenario).await;
    }
    for name in ["springtide-token-keys", "springtide-portal-token"] {
        let made = scenario.api.calls(&Method::POST, "/secrets");
        assert_eq!(
            made.iter()
                .filter(|call| call.body["metadata"]["name"] == name)
                .count(),
            1,
            "{name}"
        );
    }
    assert_eq!(
        scenario
            .api
            .calls(&Method::PATCH, "/secrets/springtide-worker-tls")
            .len(),
        1,
        "and certificates are kept"
    );
}

#[tokio::test]
async fn a_certificate_is_renewed_at_two_thirds_of_its_life() {
    let scenario = scenario();
    reconciled(&scenario).await;
    let days = |days: i64| {
        scenario.clock.set(
            "2026-11-10T12:00:00Z".parse::<jiff::Timestamp>().unwrap()
                + jiff::SignedDuration::from_hours(24 * days),
        );
    };
    let issued = || {
        scenario
            .api
            .calls(&Method::PATCH, "/secrets/springtide-worker-tls")
            .len()
    };
    let look_anew = || scenario.context.tenants_done.lock().clear();
    days(264);
    look_anew();
    reconciled(&scenario).await;
    assert_eq!(issued(), 1);
    days(265);
    look_anew();
    reconciled(&scenario).await;
    assert_eq!(issued(), 2);
}

#[tokio::test]
async fn a_namespace_that_is_not_labelled_for_the_tenant_is_left_alone() {
    let scenario = scenario();
    scenario.api.put(NAMESPACE, namespace(json!({})));
    reconciled(&scenario).await;
    assert!(
        scenario
            .api
            .calls(&Method::PATCH, "/namespaces/tenant-acme")
            .is_empty()
    );
    assert!(scenario.api.calls(&Method::POST, "/secrets").is_empty());
    let condition = scenario.condition(TENANT, "NamespaceReady");
    assert_eq!(condition["status"], "False");
    assert!(
        condition["message"]
            .as_str()
            .unwrap()
            .contains("kubectl label namespace tenant-acme")
    );
}

#[tokio::test]
async fn a_labelled_namespace_is_adopted() {
    let scenario = scenario();
    scenario
        .api
        .put(NAMESPACE, namespace(json!({"springtide.dev/tenant": "acme"})));
    reconciled(&scenario).await;
    assert!(scenario.api.get(GATEWAYS).is_some());
}

#[tokio::test]
async fn billing_being_away_holds_up_no_gateway() {
    let scenario = scenario();
    scenario.billing.fail(Reason::Unavailable, "connection refused");
    scenario.api.put(GATEWAYS, json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 2, "selector": {}, "template": {}}, "status": {"availableReplicas": 2}}));
    let action = reconciled(&scenario).await;
    assert_eq!(scenario.condition(TENANT, "GatewaysReady")["status"], "True");
    assert_eq!(scenario.condition(TENANT, "Registered")["status"], "False");
    assert_eq!(action, Action::requeue(UNREADY), "and it is asked again");
}

#[tokio::test]
async fn a_tenant_goes_in_order_workers_gateways_namespace_account() {
    let pool = crate::controllers::testing::web(json!({"max": 3}));
    let scenario = Scenario::new(Cached {
        pools: vec![pool],
        ..Cached::default()
    });
    scenario.api.put(TENANT, serde_json::to_value(going()).unwrap());
    scenario
        .api
        .put(NAMESPACE, namespace(json!({"springtide.dev/tenant": "acme"})));
    scenario.api.put(GATEWAYS, json!({}));
    scenario.show_worker("web-0", "u0", true, "any");
    let step = async || {
        reconcile(Arc::new(going()), scenario.context.clone())
            .await
            .unwrap()
    };
    step().await;
    assert!(scenario.api.get(GATEWAYS).is_some(), "a worker is left");
    let gone: k8s_openapi::api::core::v1::Pod = serde_json::from_value(json!({
        "metadata": {"name": "web-0", "namespace": "tenant-acme", "labels": {"springtide.dev/tenant": "acme", "springtide.dev/pool": "web"}},
    }))
    .unwrap();
    scenario.context.stores.pods.take(
        kube::runtime::watcher::Event::Delete(gone),
        &mut crate::controllers::pods::Owned::new(),
    );
    step().await;
    assert!(scenario.api.get(GATEWAYS).is_none() && scenario.api.get(NAMESPACE).is_none());
    scenario.billing.fail(Reason::Unavailable, "away");
    step().await;
    assert!(scenario.billing.closed.lock().is_empty());
    *scenario.billing.error.lock() = None;
    step().await;
    assert_eq!(*scenario.billing.closed.lock(), ["tenant-uid"]);
    assert_eq!(
        scenario.api.get(TENANT).unwrap()["metadata"]["finalizers"],
        json!([])
    );
}

/// What the tenant's gateways take for a fast answer.
async fn fast_within(sla: Value) -> String {
    let plan: RatePlan = serde_json::from_value(json!({
        "apiVersion": "springtide.dev/v1alpha1", "kind": "RatePlan", "metadata": {"name": "standard"},
        "spec": {"currency": "CNY", "timeZone": "Asia/Shanghai", "charges": [], "sla": sla},
    }))
    .unwrap();
    let scenario = Scenario::new(Cached {
        plans: vec![plan],
        ..Cached::default()
    });
    reconciled(&scenario).await;
    let gateways = scenario.api.get(GATEWAYS).unwrap();
    let environment = &gateways["spec"]["template"]["spec"]["containers"][0]["env"];
    let variables = environment.as_array().unwrap().iter();
    let mut found = variables.filter(|variable| variable["name"] == "SPRINGTIDE_ANSWER_WITHIN");
    found.next().unwrap()["value"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_answer_is_fast_by_what_the_plan_promises_or_else_by_what_the_installation_says() {
    assert_eq!(fast_within(json!({})).await, "0.8");
    for (within, seconds) in [("500ms", "0.5"), ("2s", "2")] {
        let promised = json!({"responseTime": {"within": within, "credits": []}});
        assert_eq!(fast_within(promised).await, seconds, "{within}");
    }
}
