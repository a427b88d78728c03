use serde_json::json;

use super::*;
use crate::controllers::testing::{Cached, Scenario};

const PLAN: &str = "/apis/springtide.dev/v1alpha1/rateplans/standard";

fn plan() -> RatePlan {
    serde_json::from_value(json!({
        "apiVersion": "springtide.dev/v1alpha1", "kind": "RatePlan",
        "metadata": {"name": "standard", "uid": "u", "generation": 3},
        "spec": {
            "currency": "CNY", "timeZone": "Asia/Shanghai",
            "charges": [{"name": "answers", "meter": "interactions", "where": {"outcome": ["resolved"]}, "model": "PerUnit", "unitPrice": "0.10"}],
        },
    }))
    .unwrap()
}

fn scenario() -> Scenario {
    let scenario = Scenario::new(Cached::default());
    scenario.know(&plan());
    scenario
}

#[tokio::test]
async fn billing_gets_the_plan_in_the_shape_of_the_resource() {
    let scenario = scenario();
    reconcile(Arc::new(plan()), scenario.context.clone())
        .await
        .unwrap();
    let sent = scenario.billing.plans.lock()[0].clone();
    assert_eq!((sent.name.as_str(), sent.generation), ("standard", 3));
    let spec: serde_json::Value = serde_json::from_str(&sent.spec_json).unwrap();
    assert_eq!(
        spec["charges"][0],
        json!({"name": "answers", "meter": "interactions", "where": {"outcome": ["resolved"]}, "model": "PerUnit", "included": "0", "unitPrice": "0.10"})
    );
    assert_eq!(scenario.condition(PLAN, "Accepted")["status"], "True");
    assert_eq!(scenario.api.get(PLAN).unwrap()["status"]["digest"], "digest");
}

#[tokio::test]
async fn a_refused_plan_shows_billings_sentence_and_waits_for_an_edit() {
    let scenario = scenario();
    scenario
        .billing
        .fail(Reason::PlanChanged, "a bill used this plan; make another");
    let action = reconcile(Arc::new(plan()), scenario.context.clone())
        .await
        .unwrap();
    assert_eq!(action, Action::await_change());
    let condition = scenario.condition(PLAN, "Accepted");
    assert_eq!(
        (&condition["status"], &condition["message"]),
        (&json!("False"), &json!("a bill used this plan; make another"))
    );
}

#[tokio::test]
async fn billing_being_away_is_tried_again() {
    let scenario = scenario();
    scenario.billing.fail(Reason::Unavailable, "away");
    let error = reconcile(Arc::new(plan()), scenario.context.clone())
        .await
        .unwrap_err();
    let first = error_policy(Arc::new(plan()), &error, scenario.context.clone());
    let second = error_policy(Arc::new(plan()), &error, scenario.context.clone());
    assert_eq!(
        (first, second),
        (
            Action::requeue(Duration::from_millis(500)),
            Action::requeue(Duration::from_secs(1))
        )
    );
    assert_eq!(scenario.condition(PLAN, "Accepted")["status"], "Unknown");
}
