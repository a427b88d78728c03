//! Alerts of service, from minutes to a tenant's own receiver.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use springtide_runtime::clock::ManualClock;
use tokio_util::task::TaskTracker;

use super::service::{minute, take};
use super::support::{Bench, at, now};
use crate::digest::Digest;
use crate::service_level::ServiceMetrics;
use crate::service_level::watch::Watch;
use crate::service_level::webhook::{SIGNATURE, Webhooks, signature};
use crate::store::{Account, AlertTarget, PlanVersion, Store};

/// A receiver: what it was sent, and what it answers.
#[derive(Clone)]
struct Receiver {
    url: String,
    received: Arc<Mutex<Vec<(String, String)>>>,
    answers: Arc<Mutex<StatusCode>>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            url: format!("http://{}/alerts", listener.local_addr().unwrap()),
            received: Arc::default(),
            answers: Arc::new(Mutex::new(StatusCode::NO_CONTENT)),
        };
        let state = receiver.clone();
        let take = move |headers: HeaderMap, body: String| async move {
            let signature = headers[SIGNATURE].to_str().unwrap().to_owned();
            state.received.lock().push((signature, body));
            *state.answers.lock()
        };
        let routes = Router::new().route("/alerts", post(take));
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        receiver
    }

    fn target(&self) -> AlertTarget {
        AlertTarget {
            url: self.url.clone(),
            secret: b"secret".to_vec(),
        }
    }
}

pub(super) fn watch(bench: &Bench, clock: &ManualClock) -> Watch {
    watch_on(bench.store.clone(), clock)
}

pub(super) fn watch_on(store: Store, clock: &ManualClock) -> Watch {
    springtide_runtime::install_crypto_provider();
    Watch {
        store,
        clock: Arc::new(clock.clone()),
        metrics: ServiceMetrics::default(),
        webhooks: Webhooks::new().unwrap(),
    }
}

/// An account whose plan promises 99.9 %.
pub(super) async fn account(bench: &Bench, tenant: &str) -> Account {
    let spec = r#"{"charges":[],"currency":"CNY","sla":{"availability":{"credits":[{"below":"99.9","percent":"10"}],"minimumRequests":10,"objective":"99.9"}},"timeZone":"Asia/Shanghai"}"#;
    let plan = PlanVersion {
        name: "standard".into(),
        uid: "plan-uid".into(),
        generation: 1,
        spec: spec.into(),
        digest: Digest::of(spec.as_bytes()),
    };
    bench.store.put_plan(&plan, now()).await.unwrap();
    bench.register(tenant).await
}

/// An hour of minutes before `end`, each with that.
async fn hour(store: &Store, tenant: &str, end: Timestamp, good: u64, bad: u64) {
    let minutes = (1..=60).map(|ago| {
        let begins = end - SignedDuration::from_mins(ago);
        minute("a", &begins.to_string(), good, bad)
    });
    take(store, tenant, minutes.collect()).await;
}

/// (alert, state) of a tenant's messages, the oldest first.
async fn told(bench: &Bench, account: &Account) -> Vec<(String, String)> {
    let mut told = Vec::new();
    for delivery in bench.store.deliveries(account.ledger).await.unwrap() {
        let body: serde_json::Value = serde_json::from_str(&delivery.body).unwrap();
        let text = |key: &str| body[key].as_str().unwrap().to_owned();
        told.push((text("alert"), text("state")));
    }
    told.reverse();
    told
}

pub(super) async fn a_tenant_is_told_once_that_an_alert_is_raised_and_once_that_it_is_over(bench: Bench) {
    let acme = account(&bench, "acme").await;
    let other = account(&bench, "other").await;
    let receiver = Receiver::start().await;
    bench
        .store
        .set_alert_target(acme.ledger, &receiver.target(), now())
        .await
        .unwrap();
    let (one, two) = (at("2026-11-11T01:00:00Z"), at("2026-11-11T02:00:00Z"));
    hour(&bench.store, "acme", one, 98, 2).await;
    hour(&bench.store, "acme", two, 100, 0).await;
    hour(&bench.store, "other", one, 100, 0).await;
    let watch = watch(&bench, &ManualClock::new(one));
    for _ in 0..2 {
        for account in [&acme, &other] {
            watch.look_at(account, one, one, true).await.unwrap();
        }
    }
    let raised = |state: &str| ["1h", "6h", "1d", "3d"].map(|name| (name.to_owned(), state.to_owned()));
    assert_eq!(told(&bench, &acme).await, raised("raised"));
    assert_eq!(bench.store.raised_alerts(other.ledger).await.unwrap(), [""; 0]);
    // An hour later nothing burns any more, in the short windows.
    let later = two + SignedDuration::from_hours(7);
    for _ in 0..2 {
        watch.look_at(&acme, later, later, true).await.unwrap();
    }
    let silent = ("silent".to_owned(), "raised".to_owned());
    let all = [&raised("raised")[..], &raised("resolved"), &[silent]].concat();
    assert_eq!(told(&bench, &acme).await, all);
    assert_eq!(bench.store.raised_alerts(acme.ledger).await.unwrap(), ["silent"]);
    // So it stays, however long it lasts.
    let weeks_later = later + SignedDuration::from_hours(500);
    watch
        .look_at(&acme, weeks_later, weeks_later, true)
        .await
        .unwrap();
    assert_eq!(bench.store.raised_alerts(acme.ledger).await.unwrap(), ["silent"]);
}

pub(super) async fn a_tenant_is_told_once_that_a_threshold_of_its_budget_is_reached_and_once_that_it_is_not(
    bench: Bench,
) {
    let minimum =
        r#"{"charges":[],"currency":"CNY","minimumCommitment":"800.00","timeZone":"Asia/Shanghai"}"#;
    bench.register_with_plan("acme", minimum).await;
    let acme = bench
        .store
        .account_of_uid(&super::support::uid("acme"))
        .await
        .unwrap()
        .unwrap();
    let receiver = Receiver::start().await;
    bench
        .store
        .set_alert_target(acme.ledger, &receiver.target(), now())
        .await
        .unwrap();
    let set = async |name: &str, value: &str| {
        bench.store.set_setting(acme.ledger, name, value).await.unwrap();
    };
    let noon = at("2026-11-11T04:00:00Z");
    let watch = watch(&bench, &ManualClock::new(noon));
    watch.look_at_budget(&acme, noon).await.unwrap();
    assert_eq!(told(&bench, &acme).await, []);
    set("budget", "1000").await;
    set("budget_thresholds", "50,80,90").await;
    for _ in 0..2 {
        watch.look_at_budget(&acme, noon).await.unwrap();
    }
    let news = |alert: &str, state: &str| (alert.to_owned(), state.to_owned());
    let raised = [news("budget-50", "raised"), news("budget-80", "raised")];
    assert_eq!(told(&bench, &acme).await, raised);
    let deliveries = bench.store.deliveries(acme.ledger).await.unwrap();
    let body: serde_json::Value = serde_json::from_str(&deliveries[0].body).unwrap();
    assert_eq!(
        body["budget"],
        serde_json::json!({"period": "2026-11", "currency": "CNY", "used": "800.00", "amount": "1000", "percent": 80})
    );
    // Service is looked at beside it, and leaves alerts of budgets alone.
    watch.look_at(&acme, noon, noon, true).await.unwrap();
    set("budget", "1600").await;
    watch.look_at_budget(&acme, noon).await.unwrap();
    set("budget", "").await;
    watch.look_at_budget(&acme, noon).await.unwrap();
    let resolved = [news("budget-80", "resolved"), news("budget-50", "resolved")];
    assert_eq!(told(&bench, &acme).await, [&raised[..], &resolved].concat());
    assert_eq!(bench.store.raised_alerts(acme.ledger).await.unwrap(), [""; 0]);
}

pub(super) async fn a_message_is_signed_and_sent_again_until_it_is_received(bench: Bench) {
    let acme = account(&bench, "acme").await;
    let receiver = Receiver::start().await;
    let (store, target) = (&bench.store, receiver.target());
    store.set_alert_target(acme.ledger, &target, now()).await.unwrap();
    store
        .note_alert(acme.ledger, "1h", true, "{}", now())
        .await
        .unwrap();
    let clock = ManualClock::new(now());
    let watch = watch(&bench, &clock);
    let send = async |seconds: i64| {
        let sending = TaskTracker::new();
        let then = now() + SignedDuration::from_secs(seconds);
        clock.set(then);
        watch.send_due(then, &sending).await.unwrap();
        sending.close();
        sending.wait().await;
        receiver.received.lock().len()
    };
    *receiver.answers.lock() = StatusCode::INTERNAL_SERVER_ERROR;
    assert_eq!(send(0).await, 1);
    assert_eq!(send(9).await, 1, "the first pause is ten seconds");
    *receiver.answers.lock() = StatusCode::NO_CONTENT;
    let failed = store.deliveries(acme.ledger).await.unwrap().remove(0);
    assert_eq!((failed.state.as_str(), failed.attempts), ("pending", 1));
    assert!(failed.last_error.contains("500"), "{}", failed.last_error);
    assert_eq!(send(10).await, 2);
    assert_eq!(send(1_000).await, 2, "received is received");
    let delivered = store.deliveries(acme.ledger).await.unwrap().remove(0);
    assert_eq!((delivered.state.as_str(), delivered.attempts), ("delivered", 2));
    let expected = signature(&target, "{}", now() + SignedDuration::from_secs(10));
    assert_eq!(receiver.received.lock()[1], (expected, "{}".to_owned()));
}

pub(super) async fn a_receiver_that_does_not_answer_keeps_no_other_waiting(bench: Bench) {
    let (acme, other) = (account(&bench, "acme").await, account(&bench, "other").await);
    let receiver = Receiver::start().await;
    // Takes connections, and never says a word.
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = AlertTarget {
        url: format!("http://{}/", deaf.local_addr().unwrap()),
        secret: Vec::new(),
    };
    let store = &bench.store;
    store.set_alert_target(acme.ledger, &nobody, now()).await.unwrap();
    store
        .set_alert_target(other.ledger, &receiver.target(), now())
        .await
        .unwrap();
    for name in ["1h", "6h"] {
        for ledger in [acme.ledger, other.ledger] {
            store.note_alert(ledger, name, true, name, now()).await.unwrap();
        }
    }
    let (watch, sending) = (watch(&bench, &ManualClock::new(now())), TaskTracker::new());
    let both = async {
        while receiver.received.lock().len() < 2 {
            watch.send_due(now(), &sending).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(4), both)
        .await
        .expect("the other waits");
    let received = receiver.received.lock().clone();
    assert_eq!(
        (received[0].1.as_str(), received[1].1.as_str()),
        ("1h", "6h"),
        "in order"
    );
    assert!(bench.store.remove_alert_target(acme.ledger).await.unwrap());
    let given_up = bench.store.deliveries(acme.ledger).await.unwrap();
    assert!(given_up.iter().all(|delivery| delivery.state == "given_up"));
}

pub(super) async fn one_server_watches_and_another_takes_over_when_it_has_gone(bench: Bench) {
    let other = bench.again().await;
    let mut lock = bench.store.try_watch().await.unwrap().unwrap();
    assert!(lock.is_held().await);
    if matches!(bench.store, Store::Postgres(_)) {
        assert!(other.try_watch().await.unwrap().is_none());
    }
    drop(lock);
    let taken = async {
        while other.try_watch().await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), taken)
        .await
        .expect("nobody watches");
}
