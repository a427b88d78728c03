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
