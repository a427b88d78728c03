mod late;
mod limits;
mod manual;
mod never_beyond;
mod nodes;
mod pods;
mod replaced;
mod upkeep;

use http::Method;
use serde_json::{Value, json};
use springtide_proto::fleet::GatewayCommand;
use springtide_proto::fleet::gateway_command::Command;

use super::*;
use crate::controllers::testing::{Cached, Scenario, acme, key, web};
use crate::fleet::PoolKey;
use crate::fleet::testing::{TestWorker, gateway};

const POOL: &str = "/apis/springtide.dev/v1alpha1/namespaces/tenant-acme/botpools/web";
const PODS: &str = "/namespaces/tenant-acme/pods";

/// Scales in at once, so that a test need not wait.
fn at_once(min: u32) -> Value {
    json!({"min": min, "max": 10, "downWindow": "0s", "maxDownPercentPerMinute": 100})
}

fn scenario() -> Scenario {
    Scenario::new(Cached {
        tenants: vec![acme()],
        ..Cached::default()
    })
}

async fn reconciled(scenario: &Scenario, pool: &BotPool) -> Option<Duration> {
    tried(scenario, pool).await.unwrap()
}

/// Returns when what goes on beside it has come to its end, too.
async fn tried(scenario: &Scenario, pool: &BotPool) -> Result<Option<Duration>, PoolError> {
    scenario.know(pool);
    let reconciled = reconcile(Arc::new(pool.clone()), scenario.context.clone()).await;
    scenario.until_quiet().await;
    reconciled
}

fn created(scenario: &Scenario) -> Vec<String> {
    let calls = scenario.api.calls(&Method::POST, PODS);
    calls
        .iter()
        .map(|call| call.body["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

/// What the pool's workers run now.
async fn template_of(pool: &BotPool) -> String {
    let scratch = scenario();
    reconciled(&scratch, pool).await;
    let call = scratch.api.calls(&Method::POST, PODS)[0].clone();
    call.body["metadata"]["labels"]["springtide.dev/template"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Two workers of what the pool runs now, attached and asked.
async fn two_serve(scenario: &Scenario, pool: &BotPool) -> [TestWorker; 2] {
    let template = template_of(pool).await;
    let fleet = &scenario.context.fleet;
    scenario.show_worker("web-0", "u0", true, &template);
    scenario.show_worker("web-1", "u1", true, &template);
    [("web-0", "u0"), ("web-1", "u1")].map(|(pod, uid)| TestWorker::attach(fleet, &key(), pod, uid))
}

#[tokio::test]
async fn a_pool_makes_its_minimum_under_deterministic_names() {
    let scenario = scenario();
    reconciled(&scenario, &web(at_once(2))).await;
    assert_eq!(created(&scenario), ["web-0", "web-1"]);
    assert_eq!(scenario.api.calls(&Method::PATCH, "/services/pool-web").len(), 1);
    assert_eq!(scenario.api.get(POOL).unwrap()["status"]["startingReplicas"], 2);
}

#[tokio::test]
async fn what_was_created_is_not_created_again_while_the_watch_lags() {
    let scenario = scenario();
    for _ in 0..3 {
        reconciled(&scenario, &web(at_once(2))).await;
    }
    assert_eq!(created(&scenario).len(), 2);
}

#[tokio::test]
async fn a_name_that_another_leader_took_counts_as_created() {
    let scenario = scenario();
    scenario.api.put(
        "/api/v1/namespaces/tenant-acme/pods/web-0",
        json!({"metadata": {}}),
    );
    for _ in 0..2 {
        reconciled(&scenario, &web(at_once(1))).await;
    }
    assert_eq!(
        created(&scenario),
        ["web-0"],
        "tried once, refused, and no other name is tried"
    );
}

#[tokio::test]
async fn waiting_conversations_start_workers_in_the_same_reconcile() {
    let scenario = scenario();
    let _commands = gateway(&scenario.context.fleet, &key(), "g1", 50);
    reconciled(&scenario, &web(at_once(1))).await;
    assert_eq!(created(&scenario).len(), 3);
    assert_eq!(scenario.context.live.pool(&key()).unwrap().binding, "Load");
}

#[tokio::test]
async fn a_workers_pod_says_what_it_was_created_for() {
    let scenario = scenario();
    reconciled(&scenario, &web(at_once(1))).await;
    let said = |call: &crate::controllers::testing::Call| call.body["metadata"]["annotations"].clone();
    let first = said(&scenario.api.calls(&Method::POST, PODS)[0]);
    assert_eq!(first["springtide.dev/created-for"], "Minimum");
    assert_eq!(first["springtide.dev/load-rose-at"], Value::Null);
}

#[tokio::test]
async fn a_missing_config_map_keeps_workers_from_being_started_and_is_named() {
    let scenario = scenario();
    let mut pool = web(at_once(1));
    pool.spec.knowledge.config_maps = vec!["faq".to_owned()];
    reconciled(&scenario, &pool).await;
    assert!(created(&scenario).is_empty());
    let condition = scenario.condition(POOL, "KnowledgeReady");
    assert_eq!(
        (&condition["status"], &condition["reason"]),
        (&json!("False"), &json!("ConfigMapMissing"))
    );
    assert!(condition["message"].as_str().unwrap().contains("faq"));
    scenario.api.put(
        "/api/v1/namespaces/tenant-acme/configmaps/faq",
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata"}),
    );
    reconciled(&scenario, &pool).await;
    assert_eq!(created(&scenario), ["web-0"]);
}

#[tokio::test]
async fn a_pool_without_its_tenant_starts_nothing_and_says_so() {
    let scenario = Scenario::new(Cached::default());
    reconciled(&scenario, &web(at_once(1))).await;
    assert!(created(&scenario).is_empty());
    assert_eq!(scenario.condition(POOL, "Available")["reason"], "TenantMissing");
}

#[tokio::test]
async fn a_worker_leaves_only_after_it_acknowledged_and_is_empty() {
    let scenario = scenario();
    let pool = web(at_once(1));
    let fleet = &scenario.context.fleet;
    let [mut stays, mut leaves] = two_serve(&scenario, &pool).await;
    stays.report(fleet, 9, 0, true);
    leaves.report(fleet, 1, 0, true);

    reconciled(&scenario, &pool).await;
    let epoch = leaves.cordoned().expect("the less busy one is told to leave");
    assert_eq!(stays.cordoned(), None);
    let deleted = || scenario.api.calls(&Method::DELETE, PODS);
    leaves.report(fleet, 0, 0, false);
    reconciled(&scenario, &pool).await;
    assert!(deleted().is_empty(), "it has not acknowledged");
    leaves.acknowledge(fleet, epoch);
    leaves.report(fleet, 0, 2, false);
    reconciled(&scenario, &pool).await;
    assert!(deleted().is_empty(), "two usage records are in its spool");
    leaves.report(fleet, 0, 0, false);
    reconciled(&scenario, &pool).await;
    assert_eq!(deleted().len(), 1);
    assert!(deleted()[0].path.ends_with("/web-1"));
    assert_eq!(deleted()[0].body["preconditions"]["uid"], "u1");
    reconciled(&scenario, &pool).await;
    assert_eq!(deleted().len(), 1, "and only once");
}

#[tokio::test]
async fn a_worker_that_leaves_is_kept_when_it_is_needed_again() {
    let scenario = scenario();
    let pool = web(at_once(1));
    let fleet = &scenario.context.fleet;
    let [mut stays, mut leaves] = two_serve(&scenario, &pool).await;
    stays.report(fleet, 5, 0, true);
    leaves.report(fleet, 1, 0, true);
    reconciled(&scenario, &pool).await;
    assert!(leaves.cordoned().is_some());
    stays.report(fleet, 20, 0, true);
    reconciled(&scenario, &pool).await;
    let called_back = || fleet.with_book(|book| book.view(&key(), fleet.now()).worker("u1").unwrap().cordon);
    assert!(created(&scenario).is_empty(), "no new one is started");
    assert_eq!(called_back(), Some(None));
    // What it said before it heard that.
    leaves.report(fleet, 1, 0, false);
    reconciled(&scenario, &pool).await;
    assert!(created(&scenario).is_empty());
    assert_eq!(called_back(), Some(None), "it is not told to leave again");
}

#[tokio::test]
async fn nothing_leaves_while_a_worker_is_not_heard() {
    let scenario = scenario();
    let pool = web(at_once(0));
    let template = template_of(&web(at_once(1))).await;
    let fleet = &scenario.context.fleet;
    scenario.show_worker("web-0", "u0", true, &template);
    scenario.show_worker("web-1", "u1", true, &template);
    let mut heard = TestWorker::attach(fleet, &key(), "web-0", "u0");
    reconciled(&scenario, &pool).await;
    assert_eq!(heard.cordoned(), None);
    assert!(scenario.api.calls(&Method::DELETE, PODS).is_empty());
    assert!(created(&scenario).is_empty());
    assert_eq!(scenario.condition(POOL, "ScalingActive")["status"], "False");
}

#[tokio::test]
async fn who_is_not_heard_is_known_with_the_age_of_its_last_report_which_is_no_demand() {
    let scenario = scenario();
    let pool = web(at_once(1));
    let template = template_of(&pool).await;
    let fleet = &scenario.context.fleet;
    for (name, uid) in [("web-0", "u0"), ("web-1", "u1")] {
        scenario.show_worker(name, uid, true, &template);
    }
    let mut worker = TestWorker::attach(fleet, &key(), "web-0", "u0");
    worker.report(fleet, 20, 0, true);
    fleet.skip(Duration::from_secs(7));
    reconciled(&scenario, &pool).await;
    let live = scenario.context.live.pool(&key()).unwrap();
    assert_eq!((live.active, live.decision.binding), (0, Binding::MissingData));
    let silent = live
        .silent
        .iter()
        .map(|peer| (peer.pod.as_str(), peer.age.map(|age| age.as_secs())));
    assert_eq!(silent.collect::<Vec<_>>(), [("web-0", Some(7)), ("web-1", None)]);
}

#[tokio::test]
async fn a_worker_that_takes_more_than_its_pod_was_given_moves_its_pool_nowhere() {
    let scenario = scenario();
    let pool = web(at_once(1));
    let template = template_of(&pool).await;
    let fleet = &scenario.context.fleet;
    let given = json!({"spec": {"containers": [{
        "name": "worker", "env": [{"name": "SPRINGTIDE_CAPACITY", "value": "10"}],
    }]}});
    scenario.show_worker_with(("web-0", "u0", true, &template), given);
    // It takes 20, as the pool gives now: the watch had not shown its Pod yet.
    let mut claims = TestWorker::attach(fleet, &key(), "web-0", "u0");
    claims.report(fleet, 20, 0, true);
    reconciled(&scenario, &pool).await;
    let live = scenario.context.live.pool(&key()).unwrap();
    assert_eq!((live.active, live.silent.len()), (0, 1));
    assert!(created(&scenario).is_empty());
}

#[tokio::test]
async fn gateways_hear_of_workers_that_answer_although_one_never_does() {
    let scenario = scenario();
    let pool = web(at_once(2));
    let template = template_of(&pool).await;
    let fleet = &scenario.context.fleet;
    let mut told = gateway(fleet, &key(), "g1", 0);
    scenario.show_worker("web-0", "u0", true, &template);
    scenario.show_worker("web-1", "u1", true, &template);
    let mut answers = TestWorker::attach(fleet, &key(), "web-0", "u0");
    answers.report(fleet, 0, 0, true);
    let _never = TestWorker::attach_unanswered(fleet, &key(), "web-1", "u1");
    let endpoints = |told: &mut futures::channel::mpsc::Receiver<springtide_proto::fleet::GatewayCommand>| {
        let mut known = 0;
        while let Ok(command) = told.try_recv() {
            if let Some(springtide_proto::fleet::gateway_command::Command::Endpoints(endpoints)) =
                command.command
            {
                known = endpoints.endpoints.len();
            }
        }
        known
    };
    reconciled(&scenario, &pool).await;
    assert_eq!(
        endpoints(&mut told),
        0,
        "a new leader waits for those that should be heard"
    );
    fleet.skip(Duration::from_secs(11));
    reconciled(&scenario, &pool).await;
    assert_eq!(endpoints(&mut told), 1);
}

#[tokio::test]
async fn a_suspended_pool_is_emptied() {
    let scenario = scenario();
    let mut pool = web(at_once(1));
    pool.spec.suspend = true;
    let fleet = &scenario.context.fleet;
    scenario.show_worker("web-0", "u0", true, "any");
    let mut worker = TestWorker::attach(fleet, &key(), "web-0", "u0");
    worker.report(fleet, 4, 0, true);
    reconciled(&scenario, &pool).await;
    assert!(worker.cordoned().is_some());
}

#[tokio::test]
async fn a_status_that_has_not_changed_is_not_written() {
    let scenario = scenario();
    let pool = web(at_once(1));
    reconciled(&scenario, &pool).await;
    let written = scenario.api.get(POOL).unwrap();
    let mut known = pool.clone();
    known.status = serde_json::from_value(written["status"].clone()).unwrap();
    reconciled(&scenario, &known).await;
    assert_eq!(
        scenario.api.calls(&Method::PATCH, "/botpools/web/status").len(),
        1
    );
}

#[tokio::test]
async fn a_pool_outside_a_tenants_namespace_waits_for_an_edit() {
    let scenario = scenario();
    let mut pool = web(at_once(1));
    pool.metadata.namespace = Some("default".to_owned());
    let error = reconcile(Arc::new(pool.clone()), scenario.context.clone())
        .await
        .unwrap_err();
    assert!(matches!(error, PoolError::Invalid(_)));
    assert_eq!(after_error(&pool, &error, &scenario.context), None);
}
