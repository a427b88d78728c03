//! Conversations through a real gateway and real workers, with what can go wrong on the way.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it cannot go on"
)]

use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use springtide_proto::ids::ConversationId;
use springtide_proto::metering::{Delivery, Witness};
use springtide_proto::rated::Rating;
use springtide_runtime::clock::{Clock as _, SystemClock};
use springtide_runtime::probe::{PROBE_HEADER, ProbeKey};
use springtide_tests::load::{Client, Sent, worker_of};
use springtide_tests::parts::{Gateway, INVOICE, PROBE_KEY, REFUND, Tenant};
use springtide_worker::conversations::Intake;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

fn client(gateway: &Gateway) -> Client {
    Client::new(&gateway.url).unwrap()
}

async fn ask(
    client: &Client,
    conversation: &str,
    turn: &str,
    text: &str,
    token: &str,
) -> springtide_tests::load::Reply {
    match client.turn(conversation, turn, text, token).await {
        Sent::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

/// Waits for a level, at most five seconds.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(5), wait).await.is_ok(),
        "{what}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn both_witnesses_hold_the_same_bytes_and_a_repeated_turn_is_one_event() {
    let tenant = Tenant::new().unwrap();
    let worker = tenant.worker("one", 1).await.unwrap();
    let gateway = tenant.gateway(&[&worker]).await.unwrap();
    let client = client(&gateway);
    let first = ask(&client, "c1", "t1", REFUND, "").await;
    let again = ask(&client, "c1", "t1", REFUND, "").await;
    assert_eq!(
        (first.kind.as_str(), first.answer_id.as_deref()),
        ("unique", Some("refund"))
    );
    assert_eq!(
        (first.text, first.turn_sequence),
        (again.text, again.turn_sequence)
    );
    eventually("both deliveries are settled", async || {
        gateway.relay.spool.oldest(9).await.unwrap().len() == 2
    })
    .await;
    let of_gateway = gateway.relay.spool.oldest(9).await.unwrap();
    let of_worker = worker.answering.spool.oldest(9).await.unwrap();
    assert_eq!(of_worker.len(), 1);
    assert!(
        of_gateway
            .iter()
            .all(|record| record.event == of_worker[0].event && record.delivery == Delivery::Delivered)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_goes_on_at_another_worker_when_its_own_is_killed() {
    let tenant = Tenant::new().unwrap();
    let one = tenant.worker("one", 1).await.unwrap();
    let gateway = tenant.gateway(&[&one]).await.unwrap();
    let client = client(&gateway);
    let first = ask(&client, "c1", "t1", REFUND, "").await;
    let two = tenant.worker("two", 1).await.unwrap();
    gateway.know(&[&one, &two]);
    one.kill();
    let second = ask(&client, "c1", "t2", INVOICE, &first.resume_token).await;
    assert_eq!(
        (second.turn_sequence, second.answer_id.as_deref()),
        (2, Some("invoice"))
    );
    assert_eq!(two.answering.spool.depth(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_goes_on_at_another_worker_when_its_own_hands_off() {
    let tenant = Tenant::new().unwrap();
    let (one, two) = (
        tenant.worker("one", 1).await.unwrap(),
        tenant.worker("two", 1).await.unwrap(),
    );
    let gateway = tenant.gateway(&[&one]).await.unwrap();
    let client = client(&gateway);
    let first = ask(&client, "c1", "t1", REFUND, "").await;
    one.answering.conversations.set_intake(Intake::HandingOff);
    gateway.know(&[&one, &two]);
    let second = ask(&client, "c1", "t2", INVOICE, &first.resume_token).await;
    assert_eq!(second.turn_sequence, 2);
    assert_eq!(two.answering.conversations.active(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_billing_did_not_take_from_a_worker_by_its_drain_deadline_a_gateway_reports_in_its_place() {
    let mut tenant = Tenant::new().unwrap();
    let worker = tenant.worker("one", 1).await.unwrap();
    // Billing is away: nobody here reports to it.
    let (asked, other) = (
        tenant.gateway(&[&worker]).await.unwrap(),
        tenant.gateway(&[&worker]).await.unwrap(),
    );
    ask(&client(&asked), "c1", "t1", REFUND, "").await;
    let own = asked.relay.spool.depth();
    worker.cordon(Duration::from_hours(1));
    asked.know(&[&worker]);
    let address = worker.address.clone();
    assert!(asked.relay.pools.values().all(|pool| {
        pool.look(|pool| {
            pool.workers()
                .all(|known| known.address == address && !known.accepting)
        })
    }));
    assert_eq!(worker.answering.spool.depth(), 1, "it still has time");
    worker.cordon(Duration::ZERO);
    eventually("a gateway has the worker's record", async || {
        worker.answering.spool.depth() == 0
    })
    .await;
    assert_eq!(
        (asked.relay.spool.depth(), other.relay.spool.depth()),
        (own + 1, 0),
        "the other one takes the worker for one that takes conversations"
    );
    let spool = tenant.spool_of("gateway-0");
    drop(asked);
    let (records, mut reported) = tokio::sync::mpsc::unbounded_channel();
    tenant
        .report_to(Arc::new(move |taken| drop(records.send(taken))))
        .await
        .unwrap();
    let again = tenant.gateway_with_spool(&[], &spool).await.unwrap();
    assert!(again.flush(Duration::from_secs(5)).await);
    let mut by = Vec::new();
    while let Ok(taken) = reported.try_recv() {
        by.extend(
            taken
                .iter()
                .map(|record| (record.witness(), record.reporter.clone())),
        );
    }
    by.sort();
    assert_eq!(
        by,
        [
            (Witness::Worker, "one".to_owned()),
            (Witness::Gateway, "gateway".to_owned())
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_too_slow_keeps_no_place_for_a_conversation_that_went_on_elsewhere() {
    let tenant = Tenant::new().unwrap();
    let (one, two) = (
        tenant.worker("one", 2).await.unwrap(),
        tenant.worker("two", 1).await.unwrap(),
    );
    let gateway = tenant.gateway(&[&one]).await.unwrap();
    // Its turns wait for this lock, as those of a worker that gets no processor.
    let conversation = ConversationId::parse("c1").unwrap();
    let slot = one
        .answering
        .conversations
        .enter(&conversation, Instant::now())
        .unwrap();
    let stuck = slot.lock().await;
    gateway.know(&[&one, &two]);
    let first = ask(&client(&gateway), "c1", "t1", REFUND, "").await;
    assert_eq!(
        (first.turn_sequence, two.answering.conversations.active()),
        (1, 1)
    );
    eventually("the slow worker has room again", async || {
        one.answering.conversations.active() == 0
    })
    .await;
    drop(stuck);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_gateway_goes_on_from_the_clients_token() {
    let tenant = Tenant::new().unwrap();
    let worker = tenant.worker("one", 1).await.unwrap();
    let (first, second) = (
        tenant.gateway(&[&worker]).await.unwrap(),
        tenant.gateway(&[&worker]).await.unwrap(),
    );
    let reply = ask(&client(&first), "c1", "t1", REFUND, "").await;
    let next = ask(&client(&second), "c1", "t2", INVOICE, &reply.resume_token).await;
    assert_eq!(
        next.turn_sequence, 2,
        "the worker that has it is found by the token's hint, though it is full"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_moved_through_another_gateway_stays_where_it_is_when_it_comes_back() {
    let tenant = Tenant::new().unwrap();
    let one = tenant.worker("one", 1).await.unwrap();
    let two = tenant.worker("two", 1).await.unwrap();
    let first = tenant.gateway(&[&one]).await.unwrap();
    let second = tenant.gateway(&[&two]).await.unwrap();
    let reply = ask(&client(&first), "c1", "t1", REFUND, "").await;
    let moved = ask(&client(&second), "c1", "t2", INVOICE, &reply.resume_token).await;
    first.know(&[&one, &two]);
    let back = ask(&client(&first), "c1", "t3", REFUND, &moved.resume_token).await;
    assert_eq!(
        (back.turn_sequence, worker_of(&back.resume_token)),
        (3, Some("pod-two".into()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_room_waits_with_a_position_and_is_served_when_there_is() {
    let tenant = Tenant::new().unwrap();
    let worker = tenant.worker("one", 1).await.unwrap();
    let gateway = tenant.gateway(&[&worker]).await.unwrap();
    let client = client(&gateway);
    let first = ask(&client, "c1", "t1", REFUND, "").await;
    let body =
        |turn: &str, wait: u64| json!({"turn_id": turn, "text": INVOICE, "wait_seconds": wait}).to_string();
    let path = |conversation: &str| format!("/v1/conversations/{conversation}/turns");
    for (conversation, position) in [("c2", 1), ("c3", 2)] {
        let (status, answer) = client
            .request(Method::POST, &path(conversation), body("t1", 0))
            .await
            .unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(
            (status, &answer["position"]),
            (StatusCode::ACCEPTED, &json!(position))
        );
    }
    let (status, answer) = client
        .request(Method::POST, &path("c4"), body("t1", 0))
        .await
        .unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(String::from_utf8_lossy(&answer).contains("WAITING_ROOM_FULL"));
    assert_eq!(
        gateway.served(),
        (1, 1),
        "waiting is neither, a full room is bad service"
    );
    gateway.at_contract_limit(true);
    client
        .request(Method::POST, &path("c4"), body("t1", 0))
        .await
        .unwrap();
    assert_eq!(
        gateway.served(),
        (1, 1),
        "the tenant has all that its contract gives it"
    );
    let waiting = tokio::spawn({
        let (client, path, body) = (client.clone(), path("c2"), body("t1", 5));
        async move { client.request(Method::POST, &path, body).await.unwrap().0 }
    });
    client.close("c1", &first.resume_token).await.unwrap();
    assert_eq!(waiting.await.unwrap(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused_by_name() {
    let tenant = Tenant::new().unwrap();
    let worker = tenant.worker("one", 1).await.unwrap();
    let gateway = tenant.gateway(&[&worker]).await.unwrap();
    let client = client(&gateway);
    let turns = "/v1/conversations/c1/turns";
    for (path, body, status, reason, field) in [
        (turns, "{".to_owned(), 400, "INVALID_ARGUMENT", json!("body")),
        (
            turns,
            json!({"text": "x"}).to_string(),
            400,
            "INVALID_ARGUMENT",
            json!("body"),
        ),
        (
            turns,
            json!({"turn_id": "a b", "text": "x"}).to_string(),
            400,
            "INVALID_ARGUMENT",
            json!("turn_id"),
        ),
        (
            turns,
            json!({"turn_id": "t", "text": " "}).to_string(),
            400,
            "INVALID_ARGUMENT",
            json!("text"),
        ),
        (
            turns,
            json!({"turn_id": "t", "text": "x", "channel": "fax"}).to_string(),
            400,
            "INVALID_ARGUMENT",
            json!("channel"),
        ),
        (
            turns,
            json!({"turn_id": "t", "text": "x", "resume_token": "1.1.p.AAAA"}).to_string(),
            403,
            "RESUME_TOKEN_REFUSED",
            json!(null),
        ),
        (
            "/v1/conversations/a%20b/turns",
            json!({"turn_id": "t", "text": "x"}).to_string(),
            400,
            "INVALID_ARGUMENT",
            json!("conversation_id"),
        ),
        ("/v2", String::new(), 404, "NOT_FOUND", json!(null)),
    ] {
        let (got, answer) = client.request(Method::POST, path, body.clone()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(
            (
                got.as_u16(),
                &answer["error"]["reason"],
                &answer["error"]["field"]
            ),
            (status, &json!(reason), &field),
            "{path} {body}"
        );
    }
    let (status, _) = client
        .request(Method::POST, turns, "x".repeat(20_000))
        .await
        .unwrap();
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    ask(&client, "c1", "t1", REFUND, "").await;
    let (status, _) = client
        .request(
            Method::POST,
            turns,
            json!({"turn_id": "t1", "text": INVOICE}).to_string(),
        )
        .await
        .unwrap();
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(gateway.served(), (1, 0), "none of these was our fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_is_answered_by_a_worker_and_leaves_nothing_and_nobody_else_can_make_one() {
    let tenant = Tenant::new().unwrap();
    let worker = tenant.worker("one", 1).await.unwrap();
    let gateway = tenant.gateway(&[&worker]).await.unwrap();
    let client = client(&gateway);
    ask(&client, "c1", "t1", REFUND, "").await;
    let path = "/v1/conversations/probe-web/turns";
    let probe = async |key: &[u8]| {
        let header = ProbeKey::new(key).sign(path, SystemClock.now());
        let body = json!({"turn_id": "probe", "text": REFUND}).to_string();
        client
            .request_with_header(Method::POST, path, body, Some((PROBE_HEADER, header)))
            .await
            .unwrap()
            .0
    };
    assert_eq!(
        probe(PROBE_KEY).await,
        StatusCode::OK,
        "a full worker answers probes"
    );
    assert_eq!(probe(b"another").await, StatusCode::FORBIDDEN);
    assert_eq!(gateway.served(), (1, 0));
    assert_eq!(gateway.relay.spool.depth() + worker.answering.spool.depth(), 2);
    assert_eq!(worker.answering.conversations.active(), 1);
    gateway.know(&[]);
    assert_eq!(
        probe(PROBE_KEY).await,
        StatusCode::ACCEPTED,
        "an empty pool is not the door's failure"
    );
    gateway.know(&[&worker]);
    worker.kill();
    assert_eq!(probe(PROBE_KEY).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(gateway.served(), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_gets_replies_places_and_errors_and_lives_on() {
    let tenant = Tenant::new().unwrap();
    let worker = tenant.worker("one", 1).await.unwrap();
    let gateway = tenant.gateway(&[&worker]).await.unwrap();
    let client = client(&gateway);
    let first = ask(&client, "c1", "t1", REFUND, "").await;
    let url = format!("{}/v1/conversations/c2/ws", gateway.url.replace("http", "ws"));
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let mut next = async |text: Option<Value>| -> Value {
        if let Some(text) = text {
            socket.send(Message::text(text.to_string())).await.unwrap();
        }
        serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap()
    };
    let wrong = next(Some(json!({"type": "turn", "turn_id": "", "text": "x"}))).await;
    assert_eq!(
        (&wrong["type"], &wrong["error"]["field"]),
        (&json!("error"), &json!("turn_id"))
    );
    let place = next(Some(json!({"type": "turn", "turn_id": "t1", "text": INVOICE}))).await;
    assert_eq!(
        (&place["type"], &place["position"]),
        (&json!("waiting"), &json!(1))
    );
    client.close("c1", &first.resume_token).await.unwrap();
    let mut reply = next(None).await;
    while reply["type"] == "waiting" {
        reply = next(None).await;
    }
    assert_eq!(
        (&reply["type"], &reply["answer_id"]),
        (&json!("reply"), &json!("invoice"))
    );
    let second = next(Some(json!({"type": "turn", "turn_id": "t2", "text": REFUND}))).await;
    assert_eq!(second["turn_sequence"], 2, "the gateway holds the token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_whose_customer_has_gone_is_reported_as_undelivered() {
    let tenant = Tenant::new().unwrap();
    let worker = tenant.worker("one", 1).await.unwrap();
    let gateway = tenant.gateway(&[&worker]).await.unwrap();
    let turn = springtide_gateway::relay::CustomerTurn {
        conversation: springtide_proto::ids::ConversationId::parse("c1").unwrap(),
        turn: springtide_proto::ids::TurnId::parse("t1").unwrap(),
        text: REFUND.into(),
        channel: "web".into(),
        token: None,
        arrived_at: "2026-11-11T00:00:00Z".parse().unwrap(),
        wait: Duration::ZERO,
    };
    drop(gateway.relay.take(turn));
    eventually("the reply is settled", async || {
        let spooled = gateway.relay.spool.oldest(9).await.unwrap();
        spooled.len() == 1 && spooled[0].delivery == Delivery::Undelivered
    })
    .await;
}

/// The ratings in a gateway's spool: conversation, score, comment, answer.
async fn rated(gateway: &Gateway) -> Vec<(String, u8, String, String)> {
    let records = gateway.relay.spool.oldest(99).await.unwrap();
    let ratings = records
        .iter()
        .filter_map(|record| Rating::decode(&record.event).ok());
    let of = |rating: Rating| {
        let comment = rating.comment.map(|comment| comment.as_str().to_owned());
        (
            rating.conversation.to_string(),
            rating.score.number(),
            comment.unwrap_or_default(),
            rating.answer_id.unwrap_or_default(),
        )
    };
    ratings.map(of).collect()
}

async fn rate(client: &Client, conversation: &str, body: Value) -> StatusCode {
    let path = format!("/v1/conversations/{conversation}/rating");
    let (status, _) = client
        .request(Method::POST, &path, body.to_string())
        .await
        .unwrap();
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_was_answered_here_is_rated_once_as_it_is_liked_last_and_no_other_is() {
    let tenant = Tenant::new().unwrap();
    let worker = tenant.worker("one", 9).await.unwrap();
    let gateway = tenant.gateway(&[&worker]).await.unwrap();
    let client = client(&gateway);
    assert_eq!(
        rate(&client, "c1", json!({"score": 5})).await,
        StatusCode::NOT_FOUND,
        "nothing was answered yet"
    );
    let reply = ask(&client, "c1", "t1", REFUND, "").await;
    ask(&client, "c1", "t2", "zzz", &reply.resume_token).await;
    ask(&client, "c2", "t1", "zzz", "").await;
    let complaint = json!({"score": 1, "comment": "打 138 0013 8000 没人接", "channel": "web"});
    assert_eq!(rate(&client, "c1", complaint).await, StatusCode::NO_CONTENT);
    let of = |conversation: &str, score, comment: &str, answer: &str| {
        (
            conversation.to_owned(),
            score,
            comment.to_owned(),
            answer.to_owned(),
        )
    };
    assert_eq!(rated(&gateway).await, [of("c1", 1, "打 *** 没人接", "refund")]);
    for wrong in [
        json!({}),
        json!({"score": 6}),
        json!({"score": 5, "channel": "fax"}),
        json!({"score": 5, "x": 1}),
    ] {
        assert_eq!(rate(&client, "c1", wrong).await, StatusCode::BAD_REQUEST);
    }
    assert_eq!(
        rate(&client, "c9", json!({"score": 1})).await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        rate(&client, "c2", json!({"score": 2})).await,
        StatusCode::NO_CONTENT
    );
    // Who is done may change their mind.
    client.close("c1", &reply.resume_token).await.unwrap();
    assert_eq!(
        rate(&client, "c1", json!({"score": 4})).await,
        StatusCode::NO_CONTENT
    );
    let mut rated = rated(&gateway).await;
    rated.sort();
    assert_eq!(rated, [of("c1", 4, "", "refund"), of("c2", 2, "", "")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_goes_on_can_be_rated_by_socket_also_when_the_gateway_was_started_anew() {
    let tenant = Tenant::new().unwrap();
    let worker = tenant.worker("one", 9).await.unwrap();
    let spool = tenant.spool_of("same");
    let before = tenant.gateway_with_spool(&[&worker], &spool).await.unwrap();
    ask(&client(&before), "c1", "t1", REFUND, "").await;
    drop(before);
    let gateway = tenant.gateway_with_spool(&[&worker], &spool).await.unwrap();
    let url = |id: &str| format!("{}/v1/conversations/{id}/ws", gateway.url.replace("http", "ws"));
    for (conversation, answers) in [
        ("c1", ["rated", "rating_refused"]),
        ("c9", ["rating_refused", "rating_refused"]),
    ] {
        let (mut socket, _) = tokio_tungstenite::connect_async(url(conversation)).await.unwrap();
        let sent = [
            json!({"type": "rating", "score": 3}),
            json!({"type": "rating", "score": 0}),
        ];
        for (rating, answer) in sent.into_iter().zip(answers) {
            socket.send(Message::text(rating.to_string())).await.unwrap();
            let said = socket.next().await.unwrap().unwrap();
            let said: Value = serde_json::from_str(said.to_text().unwrap()).unwrap();
            assert_eq!(said["type"], answer, "{said}");
            assert_eq!(said["error"].is_object(), answer == "rating_refused", "{said}");
        }
    }
    assert_eq!(
        rated(&gateway).await,
        [("c1".to_owned(), 3, String::new(), String::new())]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chat_page_and_its_parts_come_from_the_gateway_alone() {
    let tenant = Tenant::new().unwrap();
    let worker = tenant.worker("one", 1).await.unwrap();
    let gateway = tenant.gateway(&[&worker]).await.unwrap();
    for path in ["/", "/chat.js", "/chat.css"] {
        let (status, body) = client(&gateway)
            .request(Method::GET, path, String::new())
            .await
            .unwrap();
        assert_eq!(status, StatusCode::OK, "{path}");
        let text = String::from_utf8_lossy(&body);
        assert!(
            !text.contains("https://") && !text.contains("http://"),
            "{path} names a third party"
        );
    }
}
