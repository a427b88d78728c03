//! Ratings: each conversation's last one counts, and bursts of complaints are told once.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use springtide_proto::metering::{Delivery, Witness};
use springtide_proto::rated::{Comment, Rating, Score};
use springtide_runtime::clock::ManualClock;

use super::alerts::{account, watch, watch_on};
use super::support::*;
use crate::bill::draft;
use crate::bill::verify::verify_tenant;
use crate::metering::erase::Conversations;
use crate::metering::report::{Examined, Verdict};
use crate::satisfaction::sums::satisfaction_within;
use crate::service_level::watch::Watch;
use crate::store::{Account, AlertTarget, Eraser, Holder, Topic};

fn noon() -> Timestamp {
    at("2026-11-11T04:00:00Z")
}

fn minutes(number: i64) -> SignedDuration {
    SignedDuration::from_mins(number)
}

fn rating(tenant: &str, conversation: &str, minute: i64, score: i64) -> Rating {
    let of = interaction(tenant, "t");
    Rating {
        rated_at: noon() + minutes(minute),
        score: Score::new(score).unwrap(),
        comment: Comment::of(&format!("{conversation} 太慢了")),
        answer_id: Some("refund".into()),
        channel: "web".into(),
        pool: of.pool,
        conversation: conversation.parse().unwrap(),
        tenant: of.tenant,
        tenant_uid: of.tenant_uid,
    }
}

fn by_its_gateway(rating: &Rating) -> Examined {
    let tenant = rating.tenant.as_str();
    reported(
        rating.encode(),
        tenant,
        Witness::Gateway,
        Delivery::Unspecified,
        "gateway-0",
    )
}

/// So many complaints, a minute apart, each reported when it came.
async fn complain(bench: &Bench, tenant: &str, topic: Option<&str>, (from, number): (i64, i64)) {
    for minute in from..from + number {
        let conversation = format!("{}-{minute}", topic.unwrap_or("none"));
        let rating = Rating {
            answer_id: topic.map(str::to_owned),
            ..rating(tenant, &conversation, minute, 1 + minute % 2)
        };
        let verdicts = bench
            .store
            .ingest(&[by_its_gateway(&rating)], rating.rated_at)
            .await
            .unwrap();
        assert_eq!(verdicts, [Verdict::Accepted]);
    }
}

/// A tenant that is told, by whoever there may be at that address.
async fn told_account(bench: &Bench, tenant: &str) -> Account {
    let account = account(bench, tenant).await;
    let target = AlertTarget {
        url: "http://127.0.0.1:9/alerts".into(),
        secret: Vec::new(),
    };
    let set = bench.store.set_alert_target(account.ledger, &target, now());
    set.await.unwrap();
    account
}

/// Its messages, the oldest first.
async fn messages(bench: &Bench, account: &Account) -> Vec<Value> {
    let deliveries = bench.store.deliveries(account.ledger).await.unwrap();
    let bodies = deliveries.iter().rev();
    bodies
        .map(|delivery| serde_json::from_str(&delivery.body).unwrap())
        .collect()
}

/// (topic, state) of each.
async fn told(bench: &Bench, account: &Account) -> Vec<(Value, String)> {
    let messages = messages(bench, account).await.into_iter();
    messages
        .map(|message| {
            assert_eq!(message["alert"], "complaints");
            let state = message["state"].as_str().unwrap().to_owned();
            (message["complaints"]["topic"].clone(), state)
        })
        .collect()
}

async fn look(watch: &Watch, minute: i64) {
    let whole = watch.look_for_bursts(None, noon() + minutes(minute)).await;
    assert!(whole.unwrap(), "all could be looked at");
}

pub(super) async fn a_conversation_has_one_rating_the_later_one_and_nobody_pays_for_it(bench: Bench) {
    let account = bench.account("acme").await;
    let scores = async || {
        let november = november();
        let satisfaction = satisfaction_within(&bench.store, account.ledger, &november).await;
        satisfaction.unwrap().all.to_json().unwrap()["scores"].clone()
    };
    let (first, later) = (rating("acme", "c1", 0, 1), rating("acme", "c1", 40, 5));
    for (said, verdict, score) in [
        (&first, Verdict::Accepted, "1"),
        (&first, Verdict::Duplicate, "1"),
        (&later, Verdict::Variant, "5"),
        (&first, Verdict::Variant, "5"),
        (&later, Verdict::Duplicate, "5"),
    ] {
        assert_eq!(bench.report(vec![by_its_gateway(said)]).await, [verdict]);
        assert_eq!(scores().await[score], "1", "{said:?}");
        assert_eq!(bench.sum("acme", "ratings", None).await, count(1));
    }
    // Some are new and some are known, as in any batch of a gateway.
    let mixed = [
        by_worker(&interaction("acme", "t1")),
        by_gateway(&interaction("acme", "t1"), Delivery::Delivered),
        by_its_gateway(&rating("acme", "c2", 1, 3)),
        by_its_gateway(&rating("acme", "c1", 50, 2)),
    ];
    bench.report(mixed.into()).await;
    assert_eq!(
        scores().await,
        json!({"1": "0", "2": "1", "3": "1", "4": "0", "5": "0"})
    );
    let draft = draft(&bench.store, &account, november_period(), now()).await;
    let draft = draft.unwrap();
    assert_eq!((draft.total.as_str(), draft.lines.len()), ("0.10", 1));
    assert_eq!(rows(&bench.store, "SELECT count(*) FROM event").await, 3);
    assert_eq!(rows(&bench.store, "SELECT count(*) FROM rating").await, 2);
    let told = "SELECT count(*) FROM usage_bucket WHERE dimensions LIKE '%comment%' OR dimensions LIKE '%conversation%'
        OR dimensions LIKE '%answer_id%'";
    assert_eq!(rows(&bench.store, told).await, 0, "sums are of nobody");
    assert_eq!(verify_tenant(&bench.store, &account, now()).await.unwrap(), []);
}

pub(super) async fn a_large_batch_of_a_gateway_with_ratings_is_taken_as_it_is(bench: Bench) {
    let account = bench.account("acme").await;
    let turns: Vec<_> = (0..50)
        .map(|turn| interaction("acme", &format!("t{turn}")))
        .collect();
    bench.report(turns.iter().map(by_worker).collect()).await;
    let delivered = turns.iter().map(|turn| by_gateway(turn, Delivery::Delivered));
    let rated = (0..9).map(|number| by_its_gateway(&rating("acme", &format!("c{number}"), 0, 4)));
    let verdicts = bench.report(delivered.chain(rated).collect()).await;
    assert_eq!(verdicts[..50], vec![Verdict::Duplicate; 50]);
    assert_eq!(verdicts[50..], vec![Verdict::Accepted; 9]);
    assert_eq!(bench.sum("acme", "ratings", None).await, count(9));
    assert_eq!(verify_tenant(&bench.store, &account, now()).await.unwrap(), []);
}

pub(super) async fn a_burst_is_told_once_whoever_looks_and_another_one_when_it_was_over(bench: Bench) {
    let (acme, other) = (
        told_account(&bench, "acme").await,
        told_account(&bench, "other").await,
    );
    complain(&bench, "acme", Some("refund"), (0, 6)).await;
    complain(&bench, "acme", None, (0, 4)).await;
    complain(&bench, "other", Some("refund"), (0, 4)).await;
    let clock = ManualClock::new(noon());
    let (one, next) = (watch(&bench, &clock), watch_on(bench.again().await, &clock));
    for minute in [6, 7] {
        look(&one, minute).await;
        look(&next, minute).await;
    }
    let raised = (json!("refund"), "raised".to_owned());
    let resolved = (json!("refund"), "resolved".to_owned());
    assert_eq!(told(&bench, &acme).await, std::slice::from_ref(&raised));
    assert_eq!(told(&bench, &other).await, [], "four are none");
    let message = messages(&bench, &acme).await.remove(0);
    assert_eq!(message["tenant"], "acme");
    assert_eq!(
        message["complaints"],
        json!({"topic": "refund", "from": "2026-11-11T04:00:00Z", "to": "2026-11-11T04:05:00Z", "complaints": 6,
            "expectedInAQuarterOfAnHour": "0.25"})
    );
    let examples = message["examples"].as_array().unwrap();
    assert_eq!(examples.len(), 5, "the newest");
    assert_eq!(
        examples[0],
        json!({"conversation": "refund-5", "ratedAt": "2026-11-11T04:05:00Z", "score": 2, "comment": "refund-5 太慢了",
            "channel": "web", "pool": "web"})
    );
    // It goes on, which is no news; the fifth without an answer is.
    complain(&bench, "acme", Some("refund"), (8, 4)).await;
    complain(&bench, "acme", None, (8, 1)).await;
    look(&one, 12).await;
    let unanswered = (Value::Null, "raised".to_owned());
    assert_eq!(told(&bench, &acme).await, [raised.clone(), unanswered.clone()]);
    let under_way = bench.store.bursts_under_way().await.unwrap();
    let refund = under_way
        .iter()
        .find(|told| told.topic.answer_id == "refund")
        .unwrap();
    assert_eq!(
        (refund.burst.complaints, refund.burst.last_at),
        (10, noon() + minutes(11))
    );
    // A quarter of an hour later it is over; and then there is another.
    for watch in [&one, &next] {
        look(watch, 27).await;
    }
    let over = (Value::Null, "resolved".to_owned());
    let mut all = vec![raised.clone(), unanswered, resolved, over];
    assert_eq!(told(&bench, &acme).await, all);
    complain(&bench, "acme", Some("refund"), (60, 9)).await;
    for watch in [&one, &next] {
        look(watch, 69).await;
    }
    all.push(raised);
    assert_eq!(told(&bench, &acme).await, all);
    let bursts = bench.store.bursts_within(acme.ledger, &november()).await.unwrap();
    let ended: Vec<_> = bursts.iter().map(|told| told.ended_at.is_some()).collect();
    assert_eq!(ended, [false, true, true]);
    assert_eq!(
        bench
            .store
            .bursts_within(other.ledger, &november())
            .await
            .unwrap(),
        []
    );
}

pub(super) async fn what_billing_hears_late_is_a_burst_only_if_it_came_in_one(bench: Bench) {
    let acme = told_account(&bench, "acme").await;
    let spread = (0..12).map(|number| rating("acme", &format!("spread-{number}"), number * 20, 1));
    let burst = (0..5).map(|number| Rating {
        answer_id: Some("invoice".into()),
        ..rating("acme", &format!("burst-{number}"), 100 + number, 2)
    });
    let records: Vec<_> = spread
        .chain(burst)
        .map(|rating| by_its_gateway(&rating))
        .collect();
    bench.store.ingest(&records, noon() + minutes(300)).await.unwrap();
    let watch = watch(&bench, &ManualClock::new(noon()));
    look(&watch, 300).await;
    let of = |state: &str| (json!("invoice"), state.to_owned());
    assert_eq!(told(&bench, &acme).await, [of("raised"), of("resolved")]);
}

pub(super) async fn an_erased_customer_is_no_example_any_more(bench: Bench) {
    let acme = told_account(&bench, "acme").await;
    complain(&bench, "acme", Some("refund"), (0, 6)).await;
    look(&watch(&bench, &ManualClock::new(noon())), 6).await;
    let examples = async || {
        let topic = Topic {
            ledger: acme.ledger,
            answer_id: "refund".into(),
        };
        let span = (noon(), noon() + minutes(6));
        let examples = bench.store.complaint_examples(&topic, span, 9).await.unwrap();
        let listed: Vec<_> = examples
            .iter()
            .map(|rating| rating.conversation.to_string())
            .collect();
        let message = messages(&bench, &acme).await.remove(0);
        (listed, message["examples"].to_string())
    };
    let (listed, sent) = examples().await;
    assert!(listed.contains(&"refund-5".to_owned()) && sent.contains("refund-5"));
    let holder = Holder::of_account();
    let eraser = Eraser {
        holder: &holder,
        now: now(),
    };
    let customer = Conversations::new(["refund-5".parse().unwrap()].into()).unwrap();
    let party = &acme.details.party;
    let erased = bench.store.erase(acme.ledger, party, &customer, Some(eraser));
    let erased = erased.await.unwrap();
    assert_eq!((erased.events, erased.messages), (1, 1));
    let (listed, sent) = examples().await;
    assert_eq!(
        listed,
        ["refund-4", "refund-3", "refund-2", "refund-1", "refund-0"]
    );
    assert!(!sent.contains("refund-5") && sent.contains("refund-4"), "{sent}");
    let again = rating("acme", "refund-5", 9, 1);
    assert_eq!(
        bench.report(vec![by_its_gateway(&again)]).await,
        [Verdict::Variant]
    );
    assert_eq!(examples().await.0, listed, "nothing more is taken of it");
    assert_eq!(verify_tenant(&bench.store, &acme, now()).await.unwrap(), []);
}
