//! What a worker's Pod asks of its node, and Pods that no node takes.

use super::*;

/// The first Pod that is created for a pool.
async fn first_pod(pool: &BotPool) -> Value {
    let scenario = scenario();
    reconciled(&scenario, pool).await;
    scenario.api.calls(&Method::POST, PODS)[0].body.clone()
}

#[tokio::test]
async fn a_worker_leaves_a_node_that_is_lost_within_seconds() {
    let pod = first_pod(&web(at_once(1))).await;
    let tolerations = pod["spec"]["tolerations"].as_array().unwrap();
    for lost in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = tolerations.iter().find(|toleration| toleration["key"] == lost);
        // Kubernetes adds one of five minutes for each that is missing.
        let tolerated = tolerated.expect(lost);
        assert_eq!(tolerated["operator"], "Exists");
        assert_eq!(tolerated["effect"], "NoExecute");
        assert_eq!(tolerated["tolerationSeconds"], 15);
    }
}

#[tokio::test]
async fn the_workers_of_a_pool_are_spread_over_nodes_as_far_as_there_are_any() {
    let pod = first_pod(&web(at_once(1))).await;
    let spread = pod["spec"]["topologySpreadConstraints"].as_array().unwrap();
    assert_eq!(spread.len(), 1);
    assert_eq!(spread[0]["topologyKey"], "kubernetes.io/hostname");
    assert_eq!(spread[0]["maxSkew"], 1);
    assert_eq!(
        spread[0]["whenUnsatisfiable"], "ScheduleAnyway",
        "one node that is left takes all of them"
    );
    let selected = spread[0]["labelSelector"]["matchLabels"].as_object().unwrap();
    assert_eq!(selected["springtide.dev/pool"], "web");
    for (label, value) in selected {
        assert_eq!(
            pod["metadata"]["labels"][label], *value,
            "it selects the Pod itself: {label}"
        );
    }
}

#[tokio::test]
async fn a_worker_is_given_the_time_to_drain_and_to_flush_before_it_is_killed() {
    for (deadline, drain) in [("0s", 0), ("2m", 120), ("15m", 900)] {
        let mut pool = web(at_once(1));
        pool.spec.drain = serde_json::from_value(json!({"deadline": deadline})).unwrap();
        let pod = first_pod(&pool).await;
        let environment = pod["spec"]["containers"][0]["env"].as_array().unwrap();
        let told = environment
            .iter()
            .find(|variable| variable["name"] == "SPRINGTIDE_DRAIN_DEADLINE");
        assert_eq!(told.unwrap()["value"], drain.to_string());
        let grace = pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap();
        // A worker flushes for 20 s, and turns that are under way end before.
        assert!(grace >= drain + 30, "{grace} s for a deadline of {drain} s");
    }
}

/// A pool that wants all 50 that its tenant may have.
fn wants_fifty() -> (Scenario, BotPool) {
    let mut tenant = acme();
    tenant.spec.capacity.limit = 50;
    let scenario = Scenario::new(Cached {
        tenants: vec![tenant],
        ..Cached::default()
    });
    let mut pool = web(at_once(50));
    pool.spec.scaling.max = 50;
    (scenario, pool)
}

/// The watch shows that no node takes what was created since the last call.
fn no_node_takes(scenario: &Scenario, shown: &mut usize, template: &str) {
    let refused =
        json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"});
    for name in created(scenario).into_iter().skip(*shown) {
        let status = json!({"status": {"conditions": [refused]}});
        scenario.show_worker_with((&name, &format!("uid-of-{name}"), false, template), status);
        *shown += 1;
    }
}

#[tokio::test]
async fn what_no_node_takes_stays_pending_in_a_bounded_number_and_is_not_created_again() {
    let (scenario, pool) = wants_fifty();
    let template = template_of(&web(at_once(1))).await;
    let mut shown = 0;
    for _ in 0..20 {
        reconciled(&scenario, &pool).await;
        no_node_takes(&scenario, &mut shown, &template);
        scenario.context.fleet.skip(Duration::from_secs(10));
    }
    assert_eq!(shown, 16, "as many as start at once, before any was refused");
    assert!(scenario.api.calls(&Method::DELETE, PODS).is_empty());

    // A node takes most of them: of what is missing, a few more show a node autoscaler that it is.
    for ordinal in 0..12 {
        let (name, uid) = (format!("web-{ordinal}"), format!("uid-of-web-{ordinal}"));
        scenario.show_worker(&name, &uid, true, &template);
        TestWorker::attach(&scenario.context.fleet, &key(), &name, &uid);
    }
    for _ in 0..20 {
        reconciled(&scenario, &pool).await;
        no_node_takes(&scenario, &mut shown, &template);
    }
    assert_eq!(shown, 16 + 6, "ten are pending");
    assert!(scenario.api.calls(&Method::DELETE, PODS).is_empty());
}
