use http::Method;

use super::*;
use crate::controllers::pool;
use crate::fleet::testing::TestWorker;

const PROMOTION: &str = "/apis/springtide.dev/v1alpha1/promotions/double-11";

/// The API server's object, as a watch would show it.
fn stored(scenario: &Scenario) -> Promotion {
    let mut stored = scenario.api.get(PROMOTION).unwrap();
    stored["apiVersion"] = json!("springtide.dev/v1alpha1");
    stored["kind"] = json!("Promotion");
    serde_json::from_value(stored).unwrap()
}

fn status(scenario: &Scenario) -> Value {
    scenario.api.get(PROMOTION).unwrap()["status"].clone()
}

async fn reconciled(scenario: &Scenario) -> Action {
    reconcile(Arc::new(stored(scenario)), scenario.context.clone())
        .await
        .unwrap()
}

async fn decided(scenario: &Scenario, pool: &crate::api::BotPool) -> LivePool {
    scenario.know(pool);
    pool::reconcile(Arc::new(pool.clone()), scenario.context.clone())
        .await
        .unwrap();
    scenario.until_quiet().await;
    scenario.context.live.pool(&key()).unwrap()
}

/// Tenant acme with its pool web, decided once, and the promotion.
async fn scenario(promotion: &Promotion) -> Scenario {
    let scenario = Scenario::new(Cached {
        tenants: vec![acme()],
        pools: vec![web(json!({"max": 10}))],
        promotions: vec![promotion.clone()],
        ..Cached::default()
    })
    .with_events();
    scenario.know(promotion);
    decided(&scenario, &web(json!({"max": 10}))).await;
    scenario
}

#[tokio::test]
async fn a_promotion_holds_its_floor_until_it_has_cooled_down() {
    let promotion = promotion(json!({}));
    let scenario = scenario(&promotion).await;
    assert_eq!(scenario.context.clock.now().to_string(), NOW);
    let held = async |now: Timestamp| {
        scenario.clock.set(now);
        reconciled(&scenario).await;
        let live = decided(&scenario, &web(json!({"max": 10}))).await;
        (live.floor, live.binding)
    };
    assert_eq!(held(at(30)).await.0, 1, "half an hour before");
    assert_eq!(
        held(at(15)).await,
        (4, "Promotion"),
        "half of the ramp, but for the time that the last need"
    );
    assert_eq!(held(at(10)).await, (6, "Promotion"));
    assert_eq!(held(at(0)).await, (6, "Promotion"));
    let end =
        |minutes| "2026-11-11T16:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes);
    assert_eq!(held(end(0)).await.0, 6);
    assert_eq!(held(end(3)).await.0, 3, "three steps of a fifth of six");
    assert_eq!(held(end(5)).await.0, 1);
    assert_eq!(status(&scenario)["phase"], "Over");
}

#[tokio::test]
async fn what_the_clusters_maximum_does_not_allow_is_said_before_the_cluster_is_short() {
    let promotion = promotion(json!({}));
    let mut scenario = scenario(&promotion).await;
    Arc::get_mut(&mut scenario.context)
        .unwrap()
        .installation
        .max_workers = Some(4);
    scenario.clock.set(at(3_000));
    reconciled(&scenario).await;
    let condition = scenario.condition(PROMOTION, "PrewarmReady");
    let message = condition["message"].as_str().unwrap();
    assert!(message.contains("lacks 2 of 6 workers: the cluster"), "{message}");
}

#[tokio::test]
async fn a_promotion_tells_others_what_it_is_going_to_have() {
    let promotion = promotion(json!({}));
    let scenario = scenario(&promotion).await;
    scenario.clock.set(at(3_000));
    reconciled(&scenario).await;
    let ahead = scenario.context.live.ahead_of_others("another");
    let [(name, ahead)] = ahead.as_slice() else {
        panic!("{ahead:?}");
    };
    assert_eq!((name.as_str(), &ahead.wanted), ("double-11", &vec![(key(), 6)]));
    assert_eq!(ahead.span.0, at(10));
}

#[tokio::test]
async fn only_workers_that_answered_their_synthetic_conversation_are_ready() {
    let promotion = promotion(json!({"boost": {"workers": 2}}));
    let scenario = scenario(&promotion).await;
    scenario.clock.set(at(5));
    // From now on the pool keeps what it has.
    reconciled(&scenario).await;
    let fleet = &scenario.context.fleet;
    let created = scenario.api.calls(&Method::POST, "/pods").remove(0);
    let template = created.body["metadata"]["labels"]["springtide.dev/template"]
        .as_str()
        .unwrap();
    for (pod, uid) in [("web-0", "u0"), ("web-1", "u1")] {
        scenario.show_worker(pod, uid, true, template);
    }
    let _answered = TestWorker::attach(fleet, &key(), "web-0", "u0");
    let starting = TestWorker::attach_unanswered(fleet, &key(), "web-1", "u1");
    let ready = async || {
        decided(&scenario, &web(json!({"max": 10}))).await;
        reconciled(&scenario).await;
        let condition = scenario.condition(PROMOTION, "PrewarmReady");
        (
            status(&scenario)["pools"][0]["ready"].clone(),
            condition["status"].clone(),
        )
    };
    assert_eq!(
        ready().await,
        (json!(1), json!("False")),
        "one accepts, but was not asked yet"
    );
    starting.answer(fleet);
    assert_eq!(ready().await, (json!(2), json!("True")));
}

#[tokio::test]
async fn each_milestone_is_said_once_even_when_the_leader_changes() {
    let promotion = promotion(json!({}));
    let first = scenario(&promotion).await;
    let said = async |scenario: &Scenario| {
        let events = scenario.events().await;
        let milestones = events
            .into_iter()
            .filter(|(reason, _)| reason.starts_with("PromotionOpen"));
        milestones
            .map(|(reason, note)| format!("{reason}: {note}"))
            .collect::<Vec<_>>()
    };
    for minutes in [61, 60, 60, 31] {
        first.clock.set(at(minutes));
        reconciled(&first).await;
    }
    let at_60 = "PromotionOpensIn60m: the window opens in 60 minutes: 0 of 6 workers answer, 6 are missing";
    assert_eq!(said(&first).await, [at_60]);
    assert_eq!(status(&first)["announced"], json!(["60m"]));

    // Another leader, which knows what the API server knows.
    let second = scenario(&stored(&first)).await;
    for minutes in [31, 29, 10, 1, 0, 0, -1] {
        second.clock.set(at(minutes));
        reconciled(&second).await;
    }
    assert_eq!(
        said(&second).await,
        [
            "PromotionOpensIn30m: the window opens in 29 minutes: 0 of 6 workers answer, 6 are missing",
            "PromotionOpensIn10m: the window opens in 10 minutes: 0 of 6 workers answer, 6 are missing",
            "PromotionOpened: the window is open: 0 of 6 workers answer, 6 are missing",
        ]
    );
    assert_eq!(status(&second)["announced"], json!(["60m", "30m", "10m", "open"]));
}

#[tokio::test]
async fn nothing_is_said_twice_while_the_cache_lags_behind() {
    let promotion = promotion(json!({}));
    let scenario = scenario(&promotion).await;
    scenario.clock.set(at(30));
    for _ in 0..3 {
        // The object of the beginning: its status is empty.
        reconcile(Arc::new(promotion.clone()), scenario.context.clone())
            .await
            .unwrap();
    }
    let events = scenario.events().await;
    let said = events
        .iter()
        .filter(|(reason, _)| reason == "PromotionOpensIn30m");
    assert_eq!(said.count(), 1, "{events:?}");
    assert_eq!(
        scenario
            .api
            .calls(&Method::PATCH, "/promotions/double-11/status")
            .len(),
        1
    );
}

#[tokio::test]
async fn that_percent_counts_from_the_last_hour_is_said_in_status_condition_and_event() {
    let promotion = promotion(json!({"boost": {"percent": "200", "of": "SameSlotBaseline"}}));
    let scenario = scenario(&promotion).await;
    scenario.clock.set(at(15));
    reconciled(&scenario).await;
    assert_eq!(status(&scenario)["pools"][0]["baselineFrom"], "LastHour");
    let condition = scenario.condition(PROMOTION, "BaselineLearned");
    assert_eq!(
        (&condition["status"], &condition["reason"]),
        (&json!("False"), &json!("LastHour"))
    );
    let events = scenario.events().await;
    for reason in ["LastHour", "PrewarmBegan"] {
        let said = events.iter().find(|(event, _)| event == reason);
        assert!(
            said.is_some_and(|(_, note)| note.contains("the highest load of the last hour in acme/web")),
            "{events:?}"
        );
    }
}

#[tokio::test]
async fn pools_are_chosen_by_their_labels_and_let_go_when_they_are_not_chosen_any_more() {
    let mut labelled = web(json!({"max": 10}));
    labelled.metadata.labels = Some([("line".to_owned(), "retail".to_owned())].into());
    let mut other = web(json!({"max": 10}));
    other.metadata.name = Some("voice".to_owned());
    let by = |line: &str| promotion(json!({"selector": {"matchLabels": {"line": line}}}));
    let scenario = Scenario::new(Cached {
        tenants: vec![acme()],
        pools: vec![labelled.clone(), other],
        promotions: vec![by("retail")],
        ..Cached::default()
    });
    scenario.know(&by("retail"));
    decided(&scenario, &labelled).await;
    scenario.clock.set(at(5));
    let plans = async |promotion: Promotion| {
        reconcile(Arc::new(promotion), scenario.context.clone())
            .await
            .unwrap();
        scenario.context.live.plans(&key()).len()
    };
    assert_eq!(plans(by("retail")).await, 1);
    assert_eq!(
        status(&scenario)["pools"].as_array().unwrap().len(),
        1,
        "and not voice"
    );
    assert_eq!(plans(by("wholesale")).await, 0);
    assert_eq!(scenario.condition(PROMOTION, "PoolsFound")["reason"], "NoPools");
}

#[tokio::test]
async fn a_new_leader_holds_what_status_says_before_it_has_decided_any_pool() {
    let promotion = promotion(json!({"boost": {"percent": "200"}}));
    let first = scenario(&promotion).await;
    first.clock.set(at(15));
    first.api.put(PROMOTION, {
        let mut stored = first.api.get(PROMOTION).unwrap();
        stored["status"] = json!({
            "phase": "Prewarming", "prewarmAt": at(20).to_string(), "start": start().to_string(), "pools": [
                {"tenant": "acme", "pool": "web", "baseline": 40, "baselineFrom": "CurrentLoad", "wanted": 8, "floor": 4, "ready": 1},
            ],
        });
        stored
    });
    let second = Scenario::new(Cached {
        tenants: vec![acme()],
        pools: vec![web(json!({"max": 10}))],
        promotions: vec![promotion],
        ..Cached::default()
    });
    second.clock.set(at(15));
    let action = reconcile(Arc::new(stored(&first)), second.context.clone())
        .await
        .unwrap();
    assert_eq!(action, Action::requeue(SOON));
    let plans = second.context.live.plans(&key());
    assert!(plans[0].floor >= 4 && plans[0].keeps, "{plans:?}");
    assert!(
        second.api.calls(&Method::PATCH, "/promotions").is_empty(),
        "nothing is written before it is known"
    );
}

#[tokio::test]
async fn a_promotion_that_cannot_be_planned_says_so_in_status_and_waits_for_an_edit() {
    let promotion =
        promotion(json!({"recur": {"cron": "0 25 * * FRI", "duration": "4h", "timeZone": "UTC"}}));
    let scenario = scenario(&promotion).await;
    let promotion = Arc::new(promotion);
    let error = reconcile(promotion.clone(), scenario.context.clone())
        .await
        .unwrap_err();
    assert!(matches!(error, PromotionError::Invalid(_)));
    let action = error_policy(promotion, &error, scenario.context.clone());
    assert_eq!(action, Action::await_change());
    let condition = scenario.condition(PROMOTION, "PrewarmReady");
    assert_eq!(
        (&condition["status"], &condition["reason"]),
        (&json!("False"), &json!("Invalid"))
    );
    assert!(condition["message"].as_str().unwrap().contains("0 25 * * FRI"));
    let events = scenario.events().await;
    assert!(events.iter().any(|(reason, _)| reason == "Invalid"), "{events:?}");
}

/// One slot of the pool web, watched every 20 seconds; what happens at each look is given.
async fn watch_slot(scenario: &Scenario, begin: Timestamp, each: impl Fn(i64)) {
    for second in (0..=900).step_by(20) {
        scenario.clock.set(begin + SignedDuration::from_secs(second));
        each(second);
        decided(scenario, &web(json!({"max": 10}))).await;
    }
}

#[tokio::test]
async fn a_pool_learns_from_complete_slots_alone_and_not_while_a_window_is_open() {
    let (begin, week) = (at(30), SignedDuration::from_hours(7 * 24));
    let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
    let expected = |scenario: &Scenario| {
        let live = scenario.context.live.pool(&key()).unwrap();
        live.baseline.expected(begin + week * 2, &shanghai)
    };
    let promotion = promotion(json!({}));
    let complete = scenario(&promotion).await;
    for later in [SignedDuration::ZERO, week] {
        watch_slot(&complete, begin + later, |_| {}).await;
    }
    assert_eq!(expected(&complete), Some((0.0, 0.0)));

    let missing = scenario(&promotion).await;
    missing.show_worker("web-9", "u9", true, "any");
    let worker = TestWorker::attach(&missing.context.fleet, &key(), "web-9", "u9");
    for later in [SignedDuration::ZERO, week] {
        watch_slot(&missing, begin + later, |second| {
            if second == 440 {
                worker.detach(&missing.context.fleet);
            }
        })
        .await;
    }
    assert_eq!(expected(&missing), None, "a worker was not heard");

    let open = scenario(&promotion).await;
    let plan = crate::autoscale::Plan {
        promotion: "double-11".to_owned(),
        open: true,
        ..Default::default()
    };
    open.context.live.ask("double-11", [(key(), plan)].into());
    for later in [SignedDuration::ZERO, week] {
        watch_slot(&open, begin + later, |_| {}).await;
    }
    assert_eq!(expected(&open), None, "its load is not what it usually is");
}

#[tokio::test]
async fn a_promotion_that_is_edited_into_nonsense_holds_what_it_held_until_its_window_is_over_and_not_longer()
{
    let mut nonsense =
        promotion(json!({"recur": {"cron": "0 25 * * FRI", "duration": "4h", "timeZone": "UTC"}}));
    nonsense.status = serde_json::from_value(json!({
        "phase": "Open", "start": start().to_string(), "end": (start() + SignedDuration::from_hours(1)).to_string(),
        "wanted": 6, "ready": 6,
        "pools": [{"tenant": "acme", "pool": "web", "wanted": 6, "floor": 6, "ready": 6}],
    }))
    .unwrap();
    let scenario = scenario(&nonsense).await;
    let nonsense = Arc::new(nonsense);
    let asked = async |minutes: i64| {
        scenario.clock.set(at(-minutes));
        let error = reconcile(nonsense.clone(), scenario.context.clone())
            .await
            .unwrap_err();
        let action = error_policy(nonsense.clone(), &error, scenario.context.clone());
        let plans = scenario.context.live.plans(&key());
        (
            plans.first().map(|plan| (plan.floor, plan.keeps, plan.open)),
            action,
        )
    };
    let half = Duration::from_mins(30);
    assert_eq!(asked(30).await, (Some((6, true, true)), Action::requeue(half)));
    assert_eq!(asked(60).await, (None, Action::await_change()));
}

#[tokio::test]
async fn what_is_gone_is_forgotten_and_a_pool_that_is_made_again_starts_anew() {
    let promotion = promotion(json!({}));
    let scenario = scenario(&promotion).await;
    let plan = || crate::autoscale::Plan {
        floor: 3,
        ..Default::default()
    };
    for name in ["double-11", "gone"] {
        scenario.context.live.ask(name, [(key(), plan())].into());
        let ahead = crate::autoscale::Ahead {
            span: (start(), start()),
            missing: 5,
            wanted: Vec::new(),
        };
        scenario.context.live.plans_ahead(name, Some(ahead));
    }
    decided(&scenario, &web(json!({"max": 10}))).await;
    crate::controllers::gone::forget_gone(&scenario.context);
    assert_eq!(
        scenario.context.live.plans(&key()).len(),
        1,
        "of the promotion that exists"
    );
    assert!(scenario.context.live.ahead_of_others("double-11").is_empty());
    assert!(scenario.context.live.pool(&key()).is_some(), "the pool exists");

    let service = "/services/pool-web";
    assert_eq!(scenario.api.calls(&http::Method::PATCH, service).len(), 1);
    scenario.api.remove("/api/v1/namespaces/tenant-acme/pods/web-0");
    let mut again = web(json!({"max": 10}));
    again.metadata.uid = Some("another-uid".to_owned());
    decided(&scenario, &again).await;
    assert_eq!(
        scenario.api.calls(&http::Method::PATCH, service).len(),
        2,
        "the first one's Service went with it"
    );

    let elsewhere = Scenario::new(Cached::default());
    elsewhere
        .context
        .live
        .put(&key(), scenario.context.live.pool(&key()).unwrap());
    elsewhere.context.memory(&key());
    crate::controllers::gone::forget_gone(&elsewhere.context);
    assert!(elsewhere.context.live.pool(&key()).is_none());
    assert!(elsewhere.context.memories.lock().is_empty());
}
