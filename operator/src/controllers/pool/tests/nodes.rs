//! Nodes that go, workers that end by themselves, and the budget that keeps others from taking them.

use super::*;
use std::time::Duration;

const BUDGET: &str = "/apis/policy/v1/namespaces/tenant-acme/poddisruptionbudgets/pool-web";

/// A pool with workers of the template that it asks for: (name, node, active conversations), each answering.
async fn serving(workers: &[(&str, &str, u32)]) -> (Scenario, Vec<TestWorker>) {
    let scenario = scenario().with_events();
    let template = template_of(&web(at_once(1))).await;
    let mut attached = Vec::new();
    for (name, node, active) in workers {
        attached.push(show(&scenario, (name, node, *active), &template));
    }
    (scenario, attached)
}

fn show(scenario: &Scenario, (name, node, active): (&str, &str, u32), template: &str) -> TestWorker {
    let uid = format!("uid-of-{name}");
    let on = json!({"spec": {"nodeName": node, "containers": []}});
    scenario.show_worker_with((name, &uid, true, template), on);
    let mut worker = TestWorker::attach(&scenario.context.fleet, &key(), name, &uid);
    worker.report(&scenario.context.fleet, active, 0, true);
    worker
}

fn goes(scenario: &Scenario, node: &str) {
    scenario.context.stores.nodes.set(node.to_owned(), true);
}

fn told_to_leave(workers: &mut [TestWorker]) -> Vec<bool> {
    workers
        .iter_mut()
        .map(|worker| worker.cordoned().is_some())
        .collect()
}

fn deleted(scenario: &Scenario) -> Vec<String> {
    let calls = scenario.api.calls(&Method::DELETE, PODS);
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    calls.iter().map(|call| name(&call.path)).collect()
}

fn released(scenario: &Scenario) -> Vec<String> {
    let calls = scenario.api.calls(&Method::PATCH, "/pods/");
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    calls.iter().map(|call| name(&call.path)).collect()
}

/// As if nobody had evicted released Pods for that long.
async fn nobody_evicted_for(scenario: &Scenario, span: Duration) {
    let memory = scenario.context.memory(&key());
    for since in memory.lock().await.moving.released.values_mut() {
        *since -= span;
    }
}

async fn events(scenario: &Scenario, reason: &str) -> Vec<String> {
    let all = scenario.events().await.into_iter();
    all.filter(|(known, _)| known == reason)
        .map(|(_, note)| note)
        .collect()
}

/// As if nothing had come in the place of moving workers for that long.
async fn nothing_came_for(scenario: &Scenario, span: Duration) {
    let memory = scenario.context.memory(&key());
    memory.lock().await.moving.progress -= span;
}

#[tokio::test]
async fn a_worker_on_a_node_that_goes_leaves_when_another_answers_in_its_place_and_not_before() {
    let pool = web(at_once(2));
    let (scenario, mut workers) = serving(&[("web-0", "n1", 7), ("web-1", "n1", 3)]).await;
    let template = template_of(&pool).await;
    reconciled(&scenario, &pool).await;
    assert!(created(&scenario).is_empty());

    goes(&scenario, "n1");
    for _ in 0..3 {
        reconciled(&scenario, &pool).await;
    }
    assert_eq!(created(&scenario), ["web-2", "web-3"]);
    assert_eq!(
        told_to_leave(&mut workers),
        [false, false],
        "nobody answers in their place"
    );
    let said = events(&scenario, "NodeDraining").await;
    assert_eq!(said, ["2 workers move from n1, which takes no more pods"]);

    let mut third = show(&scenario, ("web-2", "n2", 0), &template);
    reconciled(&scenario, &pool).await;
    assert_eq!(
        told_to_leave(&mut workers),
        [false, true],
        "one for one, the least busy first"
    );
    let mut fourth = show(&scenario, ("web-3", "n2", 0), &template);
    reconciled(&scenario, &pool).await;
    assert_eq!(told_to_leave(&mut workers), [true, false]);
    assert_eq!((third.cordoned(), fourth.cordoned()), (None, None));
    assert_eq!(created(&scenario).len(), 2, "and nothing more is started");
    assert_eq!(scenario.context.live.pool(&key()).unwrap().desired, 2);
}

#[tokio::test]
async fn a_worker_that_was_drained_from_its_node_is_deleted_and_not_called_back() {
    let pool = web(at_once(1));
    let (scenario, mut workers) = serving(&[("web-0", "n1", 2), ("web-1", "n2", 2)]).await;
    goes(&scenario, "n1");
    reconciled(&scenario, &pool).await;
    let epoch = workers[0].cordoned().expect("another answers already");
    let fleet = &scenario.context.fleet;
    workers[1].report(fleet, 20, 0, true);
    reconciled(&scenario, &pool).await;
    assert_eq!(created(&scenario), ["web-2"], "another is started instead");
    workers[0].acknowledge(fleet, epoch);
    workers[0].report(fleet, 0, 0, false);
    for _ in 0..2 {
        reconciled(&scenario, &pool).await;
    }
    assert_eq!(
        released(&scenario),
        ["web-0"],
        "so whoever drains the node evicts it"
    );
    assert!(deleted(&scenario).is_empty(), "its name is not free before");
    nobody_evicted_for(&scenario, Duration::from_secs(30)).await;
    reconciled(&scenario, &pool).await;
    assert_eq!(deleted(&scenario), ["web-0"]);
}

#[tokio::test]
async fn what_has_not_answered_yet_on_a_node_that_goes_is_released_and_not_counted() {
    let pool = web(at_once(1));
    let scenario = scenario();
    let on = json!({"spec": {"nodeName": "n1", "containers": []}});
    scenario.show_worker_with(("web-0", "u0", false, &template_of(&pool).await), on);
    goes(&scenario, "n1");
    for _ in 0..2 {
        reconciled(&scenario, &pool).await;
    }
    assert_eq!(released(&scenario), ["web-0"]);
    assert_eq!(created(&scenario), ["web-1"]);
    let fleet = &scenario.context.fleet;
    let mut late = TestWorker::attach(fleet, &key(), "web-0", "u0");
    reconciled(&scenario, &pool).await;
    assert!(late.cordoned().is_some(), "nobody is given to it any more");
}

#[tokio::test]
async fn when_less_is_needed_the_workers_on_a_node_that_goes_are_the_first_to_leave() {
    let pool = web(at_once(1));
    let (scenario, mut workers) = serving(&[("web-0", "n2", 1), ("web-1", "n1", 9)]).await;
    goes(&scenario, "n1");
    reconciled(&scenario, &pool).await;
    assert_eq!(told_to_leave(&mut workers), [false, true], "busy as it is");
    assert!(created(&scenario).is_empty());
}

#[tokio::test]
async fn within_the_tenants_limit_workers_move_one_after_the_other() {
    let mut tenant = acme();
    tenant.spec.capacity.limit = 2;
    let scenario = Scenario::new(Cached {
        tenants: vec![tenant],
        ..Cached::default()
    });
    let pool = web(at_once(2));
    let template = template_of(&pool).await;
    let mut workers = [("web-0", "n1", 5), ("web-1", "n1", 4)].map(|one| show(&scenario, one, &template));
    goes(&scenario, "n1");
    for _ in 0..3 {
        reconciled(&scenario, &pool).await;
    }
    assert_eq!(told_to_leave(&mut workers), [false, true]);
    assert_eq!(created(&scenario), ["web-2"]);
    show(&scenario, ("web-2", "n2", 0), &template);
    reconciled(&scenario, &pool).await;
    assert_eq!(told_to_leave(&mut workers), [true, false]);
    reconciled(&scenario, &pool).await;
    assert_eq!(created(&scenario), ["web-2", "web-3"]);
}

#[tokio::test]
async fn where_no_worker_can_be_started_elsewhere_those_on_a_node_that_goes_leave_all_the_same() {
    let pool = web(at_once(1));
    let (scenario, mut workers) = serving(&[("web-0", "n1", 4)]).await;
    goes(&scenario, "n1");
    reconciled(&scenario, &pool).await;
    nothing_came_for(&scenario, Duration::from_secs(119)).await;
    reconciled(&scenario, &pool).await;
    assert_eq!(told_to_leave(&mut workers), [false]);
    nothing_came_for(&scenario, Duration::from_secs(1)).await;
    for _ in 0..2 {
        reconciled(&scenario, &pool).await;
    }
    assert_eq!(told_to_leave(&mut workers), [true]);
    let said = events(&scenario, "NotReplaced").await;
    assert_eq!(
        said,
        [
            "1 worker leaves n1 without another in its place: none answered within 120 s; customers may have to wait"
        ]
    );
}

#[tokio::test]
async fn a_worker_that_nobody_hears_does_not_keep_its_node() {
    let pool = web(at_once(1));
    let scenario = scenario();
    let on = json!({"spec": {"nodeName": "n1", "containers": []}});
    scenario.show_worker_with(("web-0", "u0", true, &template_of(&pool).await), on);
    goes(&scenario, "n1");
    reconciled(&scenario, &pool).await;
    assert!(released(&scenario).is_empty());
    nothing_came_for(&scenario, Duration::from_mins(2)).await;
    reconciled(&scenario, &pool).await;
    assert_eq!(released(&scenario), ["web-0"]);
    nobody_evicted_for(&scenario, Duration::from_secs(30)).await;
    reconciled(&scenario, &pool).await;
    assert_eq!(deleted(&scenario), ["web-0"]);
}

#[tokio::test]
async fn records_that_billing_does_not_take_hold_a_worker_but_not_its_node() {
    for node in ["n1", "n2"] {
        let pool = web(at_once(0));
        let (scenario, mut workers) = serving(&[("web-0", node, 0)]).await;
        let fleet = &scenario.context.fleet;
        goes(&scenario, "n1");
        let patches = || scenario.api.calls(&Method::PATCH, "/pods/web-0");
        for (overdue, released) in [(120 + 29, 0), (120 + 30, usize::from(node == "n1"))] {
            let since = fleet.now().saturating_sub(Duration::from_secs(overdue));
            fleet.with_book(|book| book.cordon(&key(), "uid-of-web-0", Duration::from_mins(2), since));
            workers[0].report(fleet, 0, 3, false);
            for _ in 0..2 {
                reconciled(&scenario, &pool).await;
            }
            assert_eq!(
                patches().len(),
                released,
                "on {node}, {overdue} s after its cordon"
            );
        }
        assert!(deleted(&scenario).is_empty());
        for patch in patches() {
            let metadata = &patch.body["metadata"];
            assert_eq!(metadata["uid"], "uid-of-web-0");
            assert_eq!(metadata["labels"], json!({"springtide.dev/serving": null}));
            let eviction = &metadata["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"];
            assert_eq!(eviction, "true");
            assert!(events(&scenario, "UsageHeld").await[0].contains("web-0 on n1 has 3 usage records"));
        }
    }
}

#[tokio::test]
async fn a_worker_that_ends_by_itself_is_replaced_at_once_and_not_called_back() {
    let pool = web(at_once(1));
    let (scenario, mut workers) = serving(&[("web-0", "n1", 4)]).await;
    let fleet = &scenario.context.fleet;
    reconciled(&scenario, &pool).await;
    workers[0].report_end(fleet, 4);
    for _ in 0..2 {
        reconciled(&scenario, &pool).await;
    }
    assert_eq!(created(&scenario), ["web-1"]);
    let _commands = gateway(fleet, &key(), "g1", 30);
    reconciled(&scenario, &pool).await;
    assert!(created(&scenario).len() > 1, "others are started, too");
    let view = fleet.with_book(|book| book.view(&key(), fleet.now())).unwrap();
    assert!(view.worker("uid-of-web-0").unwrap().cordon.is_some());
    assert!(
        deleted(&scenario).is_empty(),
        "it has the time to finish its conversations"
    );
}

#[tokio::test]
async fn a_pod_that_somebody_deletes_is_replaced_at_once() {
    let pool = web(at_once(1));
    let (scenario, _workers) = serving(&[("web-0", "n1", 4)]).await;
    let terminating = json!({"metadata": {"deletionTimestamp": crate::controllers::testing::NOW}});
    scenario.show_worker_with(("web-0", "uid-of-web-0", true, "any"), terminating);
    reconciled(&scenario, &pool).await;
    assert_eq!(created(&scenario), ["web-1"]);
}

#[tokio::test]
async fn every_worker_is_protected_from_its_creation_and_a_budget_that_fits_is_not_written_again() {
    let scenario = scenario();
    let pool = web(at_once(2));
    for _ in 0..3 {
        reconciled(&scenario, &pool).await;
    }
    let pod = &scenario.api.calls(&Method::POST, PODS)[0].body["metadata"];
    assert_eq!(pod["labels"]["springtide.dev/serving"], "true");
    let annotations = &pod["annotations"];
    assert_eq!(
        annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"],
        "false"
    );
    assert_eq!(annotations["karpenter.sh/do-not-disrupt"], "true");
    let budget = scenario.api.get(BUDGET).unwrap();
    assert_eq!(budget["spec"]["minAvailable"], 2);
    let selected = &budget["spec"]["selector"]["matchLabels"];
    let labels = selected.as_object().unwrap().iter();
    for (label, value) in labels {
        assert_eq!(pod["labels"][label], *value, "{label}");
    }
    assert_eq!(budget["metadata"]["ownerReferences"][0]["kind"], "BotPool");
    assert_eq!(scenario.api.calls(&Method::PATCH, BUDGET).len(), 1);
}
