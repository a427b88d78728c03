//! Watches of Pods that are behind.

use kube::runtime::watcher;

use super::*;
use crate::controllers::pods::Owned;

fn path(name: &str) -> String {
    format!("/api/v1{PODS}/{name}")
}

fn pod(name: &str, uid: &str) -> Value {
    json!({"metadata": {
        "name": name, "namespace": "tenant-acme", "uid": uid,
        "labels": {"springtide.dev/tenant": "acme", "springtide.dev/pool": "web"},
    }})
}

/// The API server has it, and the watch has not shown it.
fn is_there(scenario: &Scenario, name: &str, uid: &str) {
    scenario.api.put(&path(name), pod(name, uid));
}

/// Reconciles again and again, as the safety poll does.
async fn settled(scenario: &Scenario, pool: &BotPool) {
    for _ in 0..4 {
        reconciled(scenario, pool).await;
    }
}

fn counted(scenario: &Scenario) -> u32 {
    let live = scenario.context.live.pool(&key()).unwrap();
    live.decision.observation.have()
}

#[tokio::test]
async fn a_leader_whose_watch_is_behind_that_of_the_one_before_creates_nothing_beyond_what_is_wanted() {
    let scenario = scenario();
    let pool = web(at_once(2));
    let template = template_of(&pool).await;
    // The leader before made more, and then removed those that had come first: their names are free.
    scenario.show_worker("web-0", "u0", true, &template);
    scenario.api.remove(&path("web-0"));
    is_there(&scenario, "web-4", "u4");
    is_there(&scenario, "web-5", "u5");
    settled(&scenario, &pool).await;
    assert_eq!(created(&scenario), Vec::<String>::new());
    assert_eq!(counted(&scenario), 2);

    settled(&scenario, &web(at_once(3))).await;
    assert_eq!(created(&scenario), ["web-1"]);
}

#[tokio::test]
async fn a_worker_counts_whose_name_was_another_ones_that_the_watch_still_shows() {
    let scenario = scenario();
    let pool = web(at_once(2));
    let template = template_of(&pool).await;
    scenario.show_worker("web-0", "u0", true, &template);
    is_there(&scenario, "web-0", "another");
    settled(&scenario, &pool).await;
    assert_eq!(created(&scenario), ["web-1"]);
    assert_eq!(counted(&scenario), 2);
}

#[tokio::test]
async fn a_worker_that_the_watch_does_not_show_for_long_is_looked_for_before_another_is_created() {
    let scenario = scenario();
    let pool = web(at_once(3));
    let template = template_of(&pool).await;
    for (name, uid) in [("web-1", "u1"), ("web-2", "u2")] {
        scenario.show_worker(name, uid, false, &template);
    }
    let ends = json!({"metadata": {"deletionTimestamp": "2026-11-10T12:00:00Z"}});
    scenario.show_worker_with(("web-0", "u0", false, &template), ends);
    settled(&scenario, &pool).await;
    assert_eq!(created(&scenario), ["web-3"]);

    // The name of the one that ended is free, and its end is shown; what came after it is not.
    scenario.api.remove(&path("web-0"));
    let ended = watcher::Event::Delete(serde_json::from_value(pod("web-0", "u0")).unwrap());
    scenario.context.stores.pods.take(ended, &mut Owned::new());
    scenario.context.fleet.skip(Duration::from_secs(31));
    settled(&scenario, &pool).await;
    assert_eq!(created(&scenario), ["web-3"], "it is there");
    assert_eq!(counted(&scenario), 3);

    // One that somebody deleted before it was shown is not waited for.
    scenario.api.remove(&path("web-3"));
    scenario.context.fleet.skip(Duration::from_secs(31));
    settled(&scenario, &pool).await;
    assert_eq!(created(&scenario), ["web-3", "web-0"]);
}

/// What the watch shows of it, as of that version.
fn shown(scenario: &Scenario, name: &str, uid: &str, version: u64, template: &str) {
    let version = json!({"metadata": {"resourceVersion": version.to_string()}});
    scenario.show_worker_with((name, uid, true, template), version);
}

#[tokio::test]
async fn a_worker_is_waited_for_by_its_uid_while_the_watch_shows_others_that_had_its_name_before() {
    let scenario = scenario();
    let template = template_of(&web(at_once(2))).await;
    settled(&scenario, &web(at_once(2))).await;
    assert_eq!(created(&scenario), ["web-0", "web-1"]);
    // Of the leader before: it came and went before those were made, and the watch comes to it only now.
    let stored = scenario.api.get(&path("web-0")).unwrap();
    shown(&scenario, "web-0", "earlier", 1, &template);
    scenario.api.put(&path("web-0"), stored);
    settled(&scenario, &web(at_once(2))).await;
    let ended = watcher::Event::Delete(serde_json::from_value(pod("web-0", "earlier")).unwrap());
    scenario.context.stores.pods.take(ended, &mut Owned::new());
    settled(&scenario, &web(at_once(2))).await;
    assert_eq!(created(&scenario), ["web-0", "web-1"]);
    assert_eq!(counted(&scenario), 2);
}

#[tokio::test]
async fn what_came_and_went_before_the_last_look_is_no_worker() {
    let scenario = scenario();
    let template = template_of(&web(at_once(1))).await;
    // It came, and went.
    is_there(&scenario, "web-7", "earlier");
    is_there(&scenario, "web-7", "earlier");
    scenario.api.remove(&path("web-7"));
    settled(&scenario, &web(at_once(1))).await;
    assert_eq!(created(&scenario), ["web-0"]);
    shown(&scenario, "web-7", "earlier", 1, &template);
    scenario.api.remove(&path("web-7"));
    settled(&scenario, &web(at_once(1))).await;
    assert_eq!(counted(&scenario), 1);
    assert!(scenario.api.calls(&Method::DELETE, PODS).is_empty());
}

#[tokio::test]
async fn a_name_whose_pod_is_just_going_is_left_to_it() {
    let scenario = scenario();
    let going = json!({"metadata": {
        "name": "web-0", "namespace": "tenant-acme", "uid": "u0", "deletionTimestamp": "2026-11-10T12:00:00Z",
        "labels": {"springtide.dev/tenant": "acme", "springtide.dev/pool": "web"},
    }});
    scenario.api.put(&path("web-0"), going);
    settled(&scenario, &web(at_once(1))).await;
    assert_eq!(created(&scenario), ["web-1"]);
    assert_eq!(counted(&scenario), 1);
}
