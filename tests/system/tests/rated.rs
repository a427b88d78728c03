//! Customers rate their chats at real gateways: billing's own store shows how satisfied they are, and its tenant hears of a burst
//! of complaints.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it cannot go on"
)]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::{Value, json};
use springtide_billing::bill::draft;
use springtide_billing::bill::schedule::schedule_of;
use springtide_billing::satisfaction::look::BurstLooks;
use springtide_billing::satisfaction::sums::satisfaction_within;
use springtide_billing::service_level::ServiceMetrics;
use springtide_billing::service_level::watch::Watch;
use springtide_billing::service_level::webhook::{SIGNATURE, Webhooks, signature};
use springtide_billing::store::AlertTarget;
use springtide_runtime::clock::{Clock as _, ManualClock, SystemClock};
use springtide_tests::load::{Client, Sent};
use springtide_tests::parts::books::Books;
use springtide_tests::parts::{Gateway, REFUND, Tenant};
use tokio_util::task::TaskTracker;

const PLAN: &str = r#"{"charges":[{"meter":"interactions","model":"PerUnit","name":"answers","unitPrice":"0.10"}],"currency":"CNY","timeZone":"Asia/Shanghai"}"#;
const FLUSH: Duration = Duration::from_secs(20);
/// Within this a burst is told.
const AT_ONCE: SignedDuration = SignedDuration::from_secs(60);

async fn ask(client: &Client, conversation: &str, text: &str) {
    match client.turn(conversation, "t1", text, "").await {
        Sent::Reply(_) => {}
        other => panic!("{other:?}"),
    }
}

async fn rate(client: &Client, conversation: &str, body: Value) {
    let path = format!("/v1/conversations/{conversation}/rating");
    let answer = client.request(Method::POST, &path, body.to_string()).await;
    assert_eq!(answer.unwrap().0, StatusCode::NO_CONTENT);
}

/// Scores of the month, the worst first, and what there is to pay.
async fn month(books: &Books, now: Timestamp) -> (Vec<String>, String) {
    let account = books.account().await.unwrap();
    let schedule = schedule_of(&books.store, &account).await.unwrap();
    let period = schedule.containing(now).unwrap();
    let bounds = schedule.bounds(period).unwrap();
    let satisfaction = satisfaction_within(&books.store, account.ledger, &bounds);
    let said = satisfaction.await.unwrap().all.to_json().unwrap();
    let scores = ["1", "2", "3", "4", "5"].map(|score| said["scores"][score].as_str().unwrap().to_owned());
    let bill = draft(&books.store, &account, period, now).await.unwrap();
    (scores.into(), bill.total)
}

/// Where the tenant is told; what it was told, with signatures.
async fn receiver() -> (AlertTarget, Arc<Mutex<Vec<(String, String)>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = AlertTarget {
        url: format!("http://{}/alerts", listener.local_addr().unwrap()),
        secret: b"secret".to_vec(),
    };
    let received = Arc::new(Mutex::new(Vec::new()));
    let state = received.clone();
    let take = move |headers: HeaderMap, body: String| async move {
        let signature = headers[SIGNATURE].to_str().unwrap().to_owned();
        state.lock().push((signature, body));
        StatusCode::NO_CONTENT
    };
    let routes = Router::new().route("/alerts", post(take));
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (target, received)
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_rate_and_their_firm_sees_it_and_hears_of_a_burst_of_complaints_within_a_minute() {
    springtide_runtime::install_crypto_provider();
    let mut tenant = Tenant::new().unwrap();
    let books = Books::of(&mut tenant, PLAN).await.unwrap();
    let worker = tenant.worker("one", 20).await.unwrap();
    let gateways = [
        tenant.gateway(&[&worker]).await.unwrap(),
        tenant.gateway(&[&worker]).await.unwrap(),
    ];
    let clients = gateways
        .each_ref()
        .map(|gateway| Client::new(&gateway.url).unwrap());
    let take = async || {
        for gateway in &gateways {
            assert!(Gateway::flush(gateway, FLUSH).await);
        }
        assert!(worker.flush(FLUSH).await);
        let now = SystemClock.now();
        books.take(now).await.unwrap();
        now
    };

    // Some are glad, and one becomes so.
    for (number, score) in [5, 4, 1].into_iter().enumerate() {
        let (client, conversation) = (&clients[number % 2], format!("glad-{number}"));
        ask(client, &conversation, REFUND).await;
        rate(client, &conversation, json!({"score": score})).await;
    }
    rate(&clients[0], "glad-2", json!({"score": 5, "comment": "谢谢"})).await;
    let now = take().await;
    assert_eq!(
        month(&books, now).await,
        (
            ["0", "0", "0", "1", "2"].map(str::to_owned).into(),
            "0.30".to_owned()
        )
    );

    // Five complain about one answer, at either gateway.
    let (target, received) = receiver().await;
    let account = books.account().await.unwrap();
    books
        .store
        .set_alert_target(account.ledger, &target, now)
        .await
        .unwrap();
    for number in 0..5 {
        let (client, conversation) = (&clients[number % 2], format!("upset-{number}"));
        ask(client, &conversation, REFUND).await;
        let comment = format!("第 {number} 天了，打 138 0013 8000 没人接");
        rate(client, &conversation, json!({"score": 1, "comment": comment})).await;
    }
    let reached = take().await;
    assert_eq!(month(&books, reached).await.0, ["5", "0", "0", "1", "2"]);

    // As the server does it, by a clock that is given.
    let clock = ManualClock::new(reached);
    let watch = Watch {
        store: books.store.clone(),
        clock: Arc::new(clock.clone()),
        metrics: ServiceMetrics::default(),
        webhooks: Webhooks::new().unwrap(),
    };
    let mut looks = BurstLooks::default();
    let mut told_after = None;
    for second in (2..=120).step_by(2) {
        let now = reached + SignedDuration::from_secs(second);
        clock.set(now);
        looks.look_if_due(&watch, now).await;
        let sending = TaskTracker::new();
        watch.send_due(now, &sending).await.unwrap();
        sending.close();
        sending.wait().await;
        if !received.lock().is_empty() {
            told_after = told_after.or(Some((now, SignedDuration::from_secs(second))));
        }
    }
    let (told_at, told_after) = told_after.unwrap();
    assert!(told_after <= AT_ONCE, "{told_after}");
    let received = received.lock().clone();
    assert_eq!(received.len(), 1, "once: {received:?}");
    let (signed, body) = &received[0];
    assert_eq!(*signed, signature(&target, body, told_at));
    let message: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (
            &message["alert"],
            &message["state"],
            &message["complaints"]["topic"]
        ),
        (&json!("complaints"), &json!("raised"), &json!("refund"))
    );
    assert_eq!(message["complaints"]["complaints"], 5);
    let examples = message["examples"].as_array().unwrap();
    let conversations: Vec<_> = examples.iter().map(|example| &example["conversation"]).collect();
    assert_eq!(
        conversations,
        ["upset-4", "upset-3", "upset-2", "upset-1", "upset-0"]
    );
    assert_eq!(examples[0]["comment"], "第 4 天了，打 *** 没人接");
}
