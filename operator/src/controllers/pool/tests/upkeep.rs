//! What only keeps things fresh, and what waits: neither holds up a decision.

use futures::FutureExt as _;

use super::*;

/// The pool as it is after an earlier leader decided it.
async fn decided_before(pool: &BotPool) -> (Scenario, BotPool) {
    let earlier = scenario();
    earlier.api.put(
        "/api/v1/namespaces/tenant-acme/configmaps/faq",
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata"}),
    );
    reconciled(&earlier, pool).await;
    let mut decided = pool.clone();
    let written = earlier.api.get(POOL).unwrap();
    decided.status = serde_json::from_value(written["status"].clone()).unwrap();
    let later = scenario();
    while later.context.may_keep_up() {}
    (later, decided)
}

#[tokio::test]
async fn under_a_new_leader_what_only_keeps_things_fresh_holds_up_no_decision() {
    let mut pool = web(at_once(2));
    pool.spec.knowledge.config_maps = vec!["faq".to_owned()];
    let (scenario, pool) = decided_before(&pool).await;
    reconciled(&scenario, &pool).await;
    assert_eq!(
        created(&scenario).len(),
        2,
        "the ConfigMap that was found is believed"
    );
    assert!(
        scenario
            .api
            .calls(&Method::PATCH, "/services/pool-web")
            .is_empty()
    );
    *scenario.context.upkeep.lock() =
        crate::autoscale::TokenBucket::new(1.0, 2.0, scenario.context.fleet.now());
    reconciled(&scenario, &pool).await;
    assert_eq!(scenario.api.calls(&Method::PATCH, "/services/pool-web").len(), 1);
    assert_eq!(
        scenario.condition(POOL, "KnowledgeReady")["reason"],
        "ConfigMapMissing",
        "it was looked for"
    );
}

#[tokio::test]
async fn knowledge_that_was_found_for_other_files_is_looked_for_before_a_worker_is_started() {
    let (scenario, mut pool) = decided_before(&web(at_once(2))).await;
    pool.spec.knowledge.config_maps = vec!["faq".to_owned()];
    pool.metadata.generation = Some(2);
    reconciled(&scenario, &pool).await;
    assert!(created(&scenario).is_empty());
}

#[tokio::test]
async fn counts_alone_are_not_written_while_there_is_other_upkeep() {
    let scenario = scenario();
    let mut pool = web(at_once(1));
    let template = template_of(&pool).await;
    let fleet = &scenario.context.fleet;
    scenario.show_worker("web-0", "u0", true, &template);
    let mut worker = TestWorker::attach(fleet, &key(), "web-0", "u0");
    worker.report(fleet, 1, 0, true);
    reconciled(&scenario, &pool).await;
    pool.status = serde_json::from_value(scenario.api.get(POOL).unwrap()["status"].clone()).unwrap();
    // A new leader's first look.
    scenario.context.memories.lock().clear();
    reconciled(&scenario, &pool).await;
    scenario.context.memories.lock().clear();
    while scenario.context.may_keep_up() {}
    worker.report(fleet, 2, 0, true);
    reconciled(&scenario, &pool).await;
    let active = |scenario: &Scenario| scenario.api.get(POOL).unwrap()["status"]["active"].clone();
    assert_eq!(active(&scenario), 1);
    *scenario.context.upkeep.lock() = crate::autoscale::TokenBucket::new(1.0, 10.0, fleet.now());
    reconciled(&scenario, &pool).await;
    assert_eq!(active(&scenario), 2);
}

#[tokio::test]
async fn a_settled_pool_is_looked_at_less_often_and_one_with_anything_under_way_soon() {
    let scenario = scenario();
    let mut pool = web(at_once(1));
    let template = template_of(&pool).await;
    let fleet = &scenario.context.fleet;
    scenario.show_worker("web-0", "u0", true, &template);
    let mut worker = TestWorker::attach(fleet, &key(), "web-0", "u0");
    worker.report(fleet, 1, 0, true);
    reconciled(&scenario, &pool).await;
    pool.status = serde_json::from_value(scenario.api.get(POOL).unwrap()["status"].clone()).unwrap();
    assert_eq!(reconciled(&scenario, &pool).await, Some(SETTLED));
    worker.report(fleet, 20, 0, true);
    let _commands = gateway(fleet, &key(), "g1", 5);
    assert_ne!(
        reconciled(&scenario, &pool).await,
        Some(SETTLED),
        "a worker is starting"
    );
}

#[tokio::test]
async fn no_worker_is_started_before_its_tenant_has_what_it_runs_with() {
    let mut tenant = acme();
    tenant.status = Some(crate::api::TenantStatus::default());
    let scenario = Scenario::new(Cached {
        tenants: vec![tenant],
        ..Cached::default()
    });
    reconciled(&scenario, &web(at_once(1))).await;
    assert!(created(&scenario).is_empty());
    assert_eq!(scenario.condition(POOL, "Available")["reason"], "TenantNotReady");
}

#[tokio::test]
async fn a_worker_that_the_api_server_refuses_is_said_and_said_no_more_when_it_is_taken() {
    let scenario = scenario();
    let pool = web(at_once(1));
    scenario.api.refuse(Some("/pods"));
    let refused = tried(&scenario, &pool).await;
    assert!(refused.is_err(), "it is tried again");
    let reason = || scenario.condition(POOL, "WorkersStarting")["reason"].clone();
    assert_eq!(reason(), "CreationRefused");
    scenario.api.refuse(None);
    scenario.context.fleet.skip(Duration::from_secs(1));
    reconciled(&scenario, &pool).await;
    assert_ne!(reason(), "CreationRefused");
}

#[tokio::test]
async fn a_worker_is_created_though_its_status_waits_and_of_what_waits_the_latest_is_written_once() {
    let scenario = scenario();
    let (calls, statuses) = (&scenario.context.calls, "/botpools/web/status");
    let others: Vec<_> = std::iter::from_fn(|| calls.to_tell().now_or_never().flatten()).collect();
    assert!(!others.is_empty());
    for workers in [1, 2] {
        let pool = web(at_once(workers));
        scenario.know(&pool);
        reconcile(Arc::new(pool), scenario.context.clone()).await.unwrap();
        scenario.context.fleet.skip(Duration::from_secs(5));
    }
    assert_eq!(created(&scenario), ["web-0", "web-1"]);
    assert!(scenario.api.calls(&Method::PATCH, statuses).is_empty());
    drop(others);
    scenario.until_quiet().await;
    let written = scenario.api.calls(&Method::PATCH, statuses);
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].body["status"]["desired"], 2);
}

#[tokio::test]
async fn a_pool_is_decided_again_while_its_status_is_under_way() {
    let scenario = scenario();
    scenario.api.be_silent_at("/status");
    for workers in [1, 2] {
        let pool = web(at_once(workers));
        scenario.know(&pool);
        let deciding = reconcile(Arc::new(pool), scenario.context.clone());
        let again = tokio::time::timeout(Duration::from_secs(5), deciding).await;
        assert!(again.expect("it waits for its status").unwrap().is_some());
        scenario.context.fleet.skip(Duration::from_secs(5));
    }
    assert_eq!(created(&scenario), ["web-0", "web-1"]);
}

/// One worker stays, and `web-1` was told to leave and has drained: its Pod is to be deleted.
async fn one_has_drained(scenario: &Scenario, pool: &BotPool) -> [TestWorker; 2] {
    let fleet = &scenario.context.fleet;
    let [mut stays, mut leaves] = two_serve(scenario, pool).await;
    stays.report(fleet, 9, 0, true);
    leaves.report(fleet, 1, 0, true);
    reconciled(scenario, pool).await;
    let epoch = leaves.cordoned().unwrap();
    leaves.acknowledge(fleet, epoch);
    leaves.report(fleet, 0, 0, false);
    [stays, leaves]
}

#[tokio::test]
async fn a_worker_is_created_while_another_is_being_deleted_which_is_not_called_back() {
    let scenario = scenario();
    let pool = web(at_once(1));
    let _workers = one_has_drained(&scenario, &pool).await;
    scenario.api.be_silent_at("/pods/web-1");
    for (name, waiting) in [("g1", 0), ("g2", 50)] {
        let _commands = gateway(&scenario.context.fleet, &key(), name, waiting);
        let deciding = reconcile(Arc::new(pool.clone()), scenario.context.clone());
        let again = tokio::time::timeout(Duration::from_secs(5), deciding).await;
        again.expect("it waits for the deletion").unwrap();
    }
    assert!(!created(&scenario).is_empty());
    let fleet = &scenario.context.fleet;
    let cordon = fleet.with_book(|book| book.view(&key(), fleet.now()).worker("u1").unwrap().cordon);
    assert!(cordon.flatten().is_some());
}

#[tokio::test]
async fn a_worker_whose_deletion_failed_is_deleted_later_and_the_failure_is_told() {
    let scenario = scenario();
    let pool = web(at_once(1));
    let _workers = one_has_drained(&scenario, &pool).await;
    let deletions = || scenario.api.calls(&Method::DELETE, "/pods/web-1").len();
    scenario.api.refuse(Some("/pods/web-1"));
    reconciled(&scenario, &pool).await;
    assert!(tried(&scenario, &pool).await.is_err());
    assert_eq!(deletions(), 1, "tried again after a pause");
    scenario.api.refuse(None);
    reconciled(&scenario, &pool).await;
    assert_eq!(deletions(), 2);
    reconciled(&scenario, &pool).await;
    assert_eq!(deletions(), 2, "and only once");
}

#[tokio::test]
async fn what_was_being_changed_when_a_term_was_interrupted_is_changed_when_it_goes_on() {
    let scenario = scenario();
    let pool = web(at_once(1));
    let term = scenario.context.beside.until_dropped();
    let _workers = one_has_drained(&scenario, &pool).await;
    scenario.api.be_silent_at("/pods/web-1");
    reconcile(Arc::new(pool.clone()), scenario.context.clone())
        .await
        .unwrap();
    drop(term);
    // Nothing is under way any more, though the API server never answered.
    scenario.until_quiet().await;
    scenario.api.set_unreachable(false);
    let _term = scenario.context.beside.until_dropped();
    reconciled(&scenario, &pool).await;
    assert_eq!(scenario.api.calls(&Method::DELETE, "/pods/web-1").len(), 1);
}

#[tokio::test]
async fn under_a_new_leader_a_budget_is_written_at_once_only_where_more_workers_serve_than_it_found() {
    let (scenario, pool) = decided_before(&web(at_once(1))).await;
    let template = template_of(&pool).await;
    scenario.show_worker("web-0", "u0", true, &template);
    let mut worker = TestWorker::attach(&scenario.context.fleet, &key(), "web-0", "u0");
    worker.report(&scenario.context.fleet, 1, 0, true);
    let budgets = || scenario.api.calls(&Method::PATCH, "/poddisruptionbudgets/").len();
    reconciled(&scenario, &pool).await;
    assert_eq!(budgets(), 0);
    let _commands = gateway(&scenario.context.fleet, &key(), "g1", 50);
    reconciled(&scenario, &pool).await;
    assert!(!created(&scenario).is_empty());
    assert_eq!(budgets(), 1);
}
