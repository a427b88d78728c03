//! Workers that others take the place of: outdated, refusing or lost ones.

use super::*;

#[tokio::test]
async fn a_lost_worker_is_replaced_and_its_load_is_no_demand() {
    let scenario = scenario();
    let pool = web(at_once(1));
    let template = template_of(&pool).await;
    let fleet = &scenario.context.fleet;
    scenario.show_worker("web-0", "u0", false, &template);
    let mut lost = TestWorker::attach(fleet, &key(), "web-0", "u0");
    lost.report(fleet, 20, 0, true);
    lost.detach(fleet);
    reconciled(&scenario, &pool).await;
    assert_eq!(created(&scenario), ["web-1"]);
}

#[tokio::test]
async fn workers_that_fall_silent_are_made_up_for_while_their_pods_seem_ready_as_far_as_others_cannot_take_the_load()
 {
    let scenario = scenario();
    let pool = web(at_once(1));
    let [mut heard, mut lost] = two_serve(&scenario, &pool).await;
    let fleet = &scenario.context.fleet;
    heard.report(fleet, 15, 0, true);
    lost.report(fleet, 15, 0, true);
    reconciled(&scenario, &pool).await;
    lost.detach(fleet);
    reconciled(&scenario, &pool).await;
    assert!(created(&scenario).is_empty(), "the other takes what is known of");
    let _commands = gateway(fleet, &key(), "g1", 6);
    reconciled(&scenario, &pool).await;
    assert_eq!(created(&scenario), ["web-2"]);
    assert_eq!(scenario.context.live.pool(&key()).unwrap().binding, "LostWorkers");
}

#[tokio::test]
async fn a_worker_that_refuses_for_long_is_replaced_and_leaves_when_another_answers() {
    let scenario = scenario();
    let pool = web(at_once(1));
    let template = template_of(&pool).await;
    let fleet = &scenario.context.fleet;
    scenario.show_worker("web-0", "u0", true, &template);
    let mut refuses = TestWorker::attach(fleet, &key(), "web-0", "u0");
    refuses.refuse(fleet, 3);
    reconciled(&scenario, &pool).await;
    assert!(created(&scenario).is_empty(), "that may pass");
    for _ in 0..11 {
        fleet.skip(Duration::from_secs(1));
        refuses.refuse(fleet, 3);
    }
    reconciled(&scenario, &pool).await;
    assert_eq!(created(&scenario), ["web-1"]);
    assert_eq!(refuses.cordoned(), None, "it serves what it has");
    scenario.show_worker("web-1", "u1", true, &template);
    let mut answers = TestWorker::attach(fleet, &key(), "web-1", "u1");
    answers.report(fleet, 0, 0, true);
    refuses.refuse(fleet, 3);
    reconciled(&scenario, &pool).await;
    assert!(refuses.cordoned().is_some());
    assert_eq!(created(&scenario).len(), 1);
}

#[tokio::test]
async fn workers_of_an_older_template_that_cannot_start_make_way_for_the_new_one_at_once() {
    let scenario = scenario();
    let pool = web(at_once(3));
    for (name, uid) in [("web-0", "u0"), ("web-1", "u1"), ("web-2", "u2")] {
        scenario.show_worker(name, uid, false, "an image that does not exist");
    }
    reconciled(&scenario, &pool).await;
    assert_eq!(scenario.api.calls(&Method::DELETE, PODS).len(), 3);
    assert_eq!(created(&scenario), ["web-3", "web-4", "web-5"]);
}

#[tokio::test]
async fn outdated_workers_are_replaced_one_by_one() {
    let scenario = scenario();
    let pool = web(at_once(2));
    let fleet = &scenario.context.fleet;
    scenario.show_worker("web-0", "u0", true, "old");
    scenario.show_worker("web-1", "u1", true, "old");
    let mut first = TestWorker::attach(fleet, &key(), "web-0", "u0");
    let mut second = TestWorker::attach(fleet, &key(), "web-1", "u1");
    for _ in 0..2 {
        reconciled(&scenario, &pool).await;
    }
    assert_eq!(created(&scenario), ["web-2"], "one more than desired, no more");
    assert_eq!((first.cordoned(), second.cordoned()), (None, None));
    scenario.show_worker("web-2", "u2", true, &template_of(&pool).await);
    let mut third = TestWorker::attach(fleet, &key(), "web-2", "u2");
    reconciled(&scenario, &pool).await;
    let told = [first.cordoned(), second.cordoned()].iter().flatten().count();
    assert_eq!((told, third.cordoned()), (1, None));
}

/// Which leaves: a worker of an older template with conversations, or one of the newest without any.
async fn leaves_of_busy_outdated_and_idle_current(scenario: &Scenario, pool: &BotPool) -> [bool; 2] {
    let fleet = &scenario.context.fleet;
    scenario.show_worker("web-0", "u0", true, "old");
    scenario.show_worker("web-1", "u1", true, &template_of(pool).await);
    let mut outdated = TestWorker::attach(fleet, &key(), "web-0", "u0");
    let mut current = TestWorker::attach(fleet, &key(), "web-1", "u1");
    outdated.report(fleet, 5, 0, true);
    reconciled(scenario, pool).await;
    [outdated.cordoned().is_some(), current.cordoned().is_some()]
}

#[tokio::test]
async fn a_busy_outdated_worker_leaves_when_another_takes_its_place_and_not_because_fewer_are_needed() {
    let pool = web(at_once(1));
    let fewer = leaves_of_busy_outdated_and_idle_current(&scenario(), &pool).await;
    assert_eq!(fewer, [false, true], "two were there, and one is needed");
    let mut decided = pool.clone();
    decided.status = serde_json::from_value(json!({"desired": 1})).unwrap();
    let replaced = leaves_of_busy_outdated_and_idle_current(&scenario(), &decided).await;
    assert_eq!(
        replaced,
        [true, false],
        "one was decided, and a second took its place"
    );
}

#[tokio::test]
async fn a_tenants_share_is_reclaimed_from_idle_workers_though_others_are_outdated() {
    let scenario = scenario();
    let mut pool = web(at_once(2));
    pool.status = serde_json::from_value(json!({"desired": 2})).unwrap();
    scenario.context.live.grant([(key().tenant, 1)].into());
    let reclaimed = leaves_of_busy_outdated_and_idle_current(&scenario, &pool).await;
    assert_eq!(reclaimed, [false, true]);
}

#[tokio::test]
async fn replacing_outdated_workers_raises_nothing_under_a_new_leader_or_while_data_is_missing() {
    for heard in [true, false] {
        let scenario = scenario();
        // Its window is cold, so what stands is held.
        let pool = web(json!({"min": 1, "max": 10}));
        let template = template_of(&pool).await;
        for (name, uid) in [("web-0", "u0"), ("web-1", "u1")] {
            scenario.show_worker(name, uid, true, "old");
            if heard {
                TestWorker::attach(&scenario.context.fleet, &key(), name, uid);
            }
        }
        for _ in 0..4 {
            reconciled(&scenario, &pool).await;
            for name in created(&scenario) {
                scenario.show_worker(&name, &format!("uid-of-{name}"), false, &template);
            }
        }
        assert_eq!(
            scenario.context.live.pool(&key()).unwrap().desired,
            2,
            "heard: {heard}"
        );
        assert_eq!(created(&scenario).len(), usize::from(heard));
    }
}
