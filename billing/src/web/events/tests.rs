use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::digest::Digest;
use crate::store::{PlanVersion, PutPlan};
use crate::web::tests::{Bench, bench, now};

/// With a plan that names the meter `storage`.
async fn bench_with_storage() -> Bench {
    let bench = bench().await;
    name_meter(&bench, "storage", 2).await;
    bench
}

/// Acme's plan, made anew with one meter more: bills used the one before, which never changes.
async fn name_meter(bench: &Bench, meter: &str, again: i64) {
    let charge = |name: &str, meter: &str| json!({"meter": meter, "model": "PerUnit", "name": name, "unitPrice": "0.10"});
    let charges = [charge("<answers>", "interactions"), charge("more", meter)];
    let spec = json!({"charges": charges, "currency": "CNY", "timeZone": "Asia/Shanghai"}).to_string();
    let plan = PlanVersion {
        name: "standard".into(),
        uid: format!("u-{again}"),
        generation: 1,
        digest: Digest::of(spec.as_bytes()),
        spec,
    };
    assert_eq!(bench.store.put_plan(&plan, now()).await.unwrap(), PutPlan::Stored);
}

const ONE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

fn event(id: &str, quantity: &Value) -> Value {
    json!({
        "specversion": "1.0", "type": "dev.springtide.usage", "source": "shop", "id": id,
        "time": "2026-11-11T08:00:00+08:00", "traceparent": "an extension",
        "data": {"meter": "storage", "quantity": quantity, "dimensions": {"class": "hot"}},
    })
}

async fn post(bench: &Bench, tenant: &str, token: &str, kind: &str, body: &Value) -> (StatusCode, Value) {
    let request = Request::post(format!("/api/v1/tenants/{tenant}/events"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", kind)
        .body(Body::from(body.to_string()))
        .unwrap();
    let (status, _, text) = bench.send(request).await;
    (status, serde_json::from_str(&text).unwrap())
}

async fn storage(bench: &Bench) -> Value {
    let (_, usage) = bench
        .api("/api/v1/tenants/acme/usage?period=2026-11", "token-acme")
        .await;
    let meters = usage["meters"].as_array().unwrap().clone();
    let storage = meters.into_iter().find(|meter| meter["meter"] == "storage");
    storage.map_or(Value::Null, |meter| meter["quantity"].clone())
}

fn statuses(answer: &Value) -> Vec<&str> {
    let results = answer["results"].as_array().unwrap();
    results
        .iter()
        .map(|result| result["status"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn an_event_is_counted_once_however_often_it_is_posted_and_is_on_the_bill_at_once() {
    let bench = bench_with_storage().await;
    let first = event("a", &json!("2.5"));
    for expected in ["accepted", "duplicate"] {
        let (status, answer) = post(&bench, "acme", "token-acme", ONE, &first).await;
        assert_eq!((status, statuses(&answer)), (StatusCode::OK, vec![expected]));
        assert_eq!(
            (&answer["results"][0]["source"], &answer["results"][0]["id"]),
            (&json!("shop"), &json!("a"))
        );
    }
    assert_eq!(storage(&bench).await, "2.5");
    let other = event("a", &json!("3"));
    let (_, answer) = post(
        &bench,
        "acme",
        "token-acme",
        &format!("{ONE}; charset=utf-8"),
        &other,
    )
    .await;
    assert_eq!(answer["results"][0]["reason"], "EVENT_CONFLICT");
    assert_eq!(storage(&bench).await, "2.5", "the first one stands");
}

#[tokio::test]
async fn what_is_wrong_with_one_event_of_a_batch_is_said_of_it_alone() {
    let bench = bench_with_storage().await;
    let with = |name: &str, value: Value| {
        let mut event = event(&format!("wrong-{name}"), &json!(1));
        event[name] = value;
        event
    };
    let data = |value: Value| with("data", value);
    let mut events = vec![event("good-1", &json!(2))];
    let wrong = [
        (json!({"poison": true}), "event is not a CloudEvent"),
        (json!(7), "event is not a CloudEvent"),
        (event("negative", &json!("-1")), "quantity"),
        (event("float", &json!(1.5)), "event is not a CloudEvent"),
        (event("absurd", &json!("1e999")), "quantity"),
        (event("huge", &json!("1000000000000000000000")), "quantity"),
        (with("specversion", json!("0.3")), "specversion"),
        (with("type", json!("")), "type"),
        (with("time", json!(null)), "time is missing"),
        (
            with("time", json!("2126-01-01T00:00:00Z")),
            "event_time lies more than an hour ahead",
        ),
        (
            with("time", json!("1969-12-31T23:59:59Z")),
            "event_time lies before 1970",
        ),
        (with("datacontenttype", json!("text/xml")), "data must be JSON"),
        (
            data(json!({"meter": "Storage GB!", "quantity": 1})),
            "meter must be",
        ),
        (
            data(json!({"meter": "storage", "quantity": 1, "surprise": 1})),
            "event is not a CloudEvent",
        ),
        (
            data(json!({"meter": "modules", "quantity": 0, "dimensions": {"module": "voice"}})),
            "meter modules is what the provider alone reports",
        ),
        (
            data(json!({"meter": "interaction", "quantity": 1})),
            "meter interaction is not known",
        ),
        (
            with("source", json!("interaction")),
            "source interaction is what workers and gateways alone report",
        ),
    ];
    events.extend(wrong.iter().map(|(event, _)| event.clone()));
    events.push(event("good-2", &json!("3")));
    let (status, answer) = post(&bench, "acme", "token-acme", BATCH, &Value::from(events)).await;
    assert_eq!(status, StatusCode::OK);
    let results = answer["results"].as_array().unwrap();
    for ((event, message), result) in wrong.iter().zip(&results[1..]) {
        assert_eq!(result["status"], "rejected", "{event}");
        assert_eq!(result["reason"], "EVENT_REJECTED", "{event}");
        let said = result["message"].as_str().unwrap();
        assert!(said.contains(message), "{event}: {said}");
    }
    assert_eq!(results.first().unwrap()["status"], "accepted");
    assert_eq!(results.last().unwrap()["status"], "accepted");
    assert_eq!(storage(&bench).await, "5");
    let kept = bench
        .store
        .kept(&crate::store::KeptQuery::default())
        .await
        .unwrap();
    assert_eq!(
        kept.iter().map(|kept| kept.times).sum::<i64>(),
        17,
        "all are kept"
    );
}

#[tokio::test]
async fn a_batch_of_ten_thousand_is_taken_and_one_more_or_none_is_refused_by_name() {
    let bench = bench_with_storage().await;
    let batch = |count: usize| {
        (0..count)
            .map(|id| event(&id.to_string(), &json!(1)))
            .collect::<Vec<_>>()
    };
    for count in [0, 10_001] {
        let (status, answer) = post(&bench, "acme", "token-acme", BATCH, &Value::from(batch(count))).await;
        assert_eq!(
            (status, &answer["error"]["field"]),
            (StatusCode::BAD_REQUEST, &json!("events")),
            "{answer}"
        );
    }
    let (status, answer) = post(&bench, "acme", "token-acme", BATCH, &Value::from(batch(10_000))).await;
    assert_eq!((status, statuses(&answer).len()), (StatusCode::OK, 10_000));
    assert_eq!(storage(&bench).await, "10000");
}

#[tokio::test]
async fn events_are_taken_with_the_tenants_own_token_alone_and_as_cloudevents_alone() {
    let bench = bench_with_storage().await;
    let event = event("a", &json!(1));
    for (tenant, token, kind, expected) in [
        ("acme", "token-other", ONE, StatusCode::NOT_FOUND),
        ("acme", "wrong", ONE, StatusCode::UNAUTHORIZED),
        ("nobody", "token-acme", ONE, StatusCode::NOT_FOUND),
        ("acme", "token-acme", "application/json", StatusCode::BAD_REQUEST),
        ("acme", "token-acme", BATCH, StatusCode::BAD_REQUEST),
    ] {
        let (status, _) = post(&bench, tenant, token, kind, &event).await;
        assert_eq!(status, expected, "{tenant} {token} {kind}");
    }
    assert_eq!(storage(&bench).await, Value::Null);
}

#[tokio::test]
async fn an_event_of_a_meter_that_nobody_knows_is_kept_until_a_plan_names_it_and_counts_then() {
    let bench = bench().await;
    let (_, answer) = post(&bench, "acme", "token-acme", ONE, &event("a", &json!("2.5"))).await;
    let result = &answer["results"][0];
    assert_eq!(
        (&result["status"], &result["reason"]),
        (&json!("rejected"), &json!("EVENT_REJECTED"))
    );
    assert!(
        result["message"]
            .as_str()
            .unwrap()
            .starts_with("meter storage is not known"),
        "{result}"
    );
    assert_eq!(storage(&bench).await, Value::Null);
    let page = bench.store.rejected(Some("acme"), None, None, 10).await.unwrap();
    let again = async || {
        let outcome = crate::command::replay(&bench.store, &page, now(), false)
            .await
            .unwrap();
        outcome[0].1.name()
    };
    assert_eq!(again().await, "rejected");
    name_meter(&bench, "other", 2).await;
    assert_eq!(again().await, "rejected");
    name_meter(&bench, "storage", 3).await;
    assert_eq!(again().await, "accepted");
    assert_eq!(storage(&bench).await, "2.5");
    // What a plan named once stays known.
    name_meter(&bench, "third", 4).await;
    let (_, answer) = post(&bench, "acme", "token-acme", ONE, &event("b", &json!(1))).await;
    assert_eq!(statuses(&answer), ["accepted"]);
}

#[tokio::test]
async fn who_reports_usage_is_noted_with_how_much_it_was() {
    let bench = bench_with_storage().await;
    let events = [event("a", &json!(1)), event("b", &json!(1))];
    post(&bench, "acme", "token-acme", BATCH, &Value::from(events.to_vec())).await;
    let noted = bench.store.audit(1, 1).await.unwrap().remove(0);
    assert_eq!(
        (noted.action.as_str(), noted.object.as_str()),
        ("report usage", "2 events")
    );
    assert_eq!((noted.actor.as_str(), noted.role.as_str()), ("", "admin"));
}
