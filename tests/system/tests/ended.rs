//! Chats through real gateways and workers, billed by what they came to: billing's own store takes what both report.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it cannot go on"
)]

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;
use springtide_billing::bill::document::Document;
use springtide_billing::bill::draft;
use springtide_billing::bill::schedule::schedule_of;
use springtide_billing::bill::summary::{MeterSum, by_meter, summed_by_time};
use springtide_billing::store::Landed;
use springtide_gateway::relay::{CustomerTurn, Relayed};
use springtide_proto::ids::{ConversationId, TurnId};
use springtide_runtime::clock::{Clock as _, SystemClock};
use springtide_runtime::probe::{PROBE_HEADER, ProbeKey};
use springtide_tests::ends::end_of;
use springtide_tests::load::{Client, Reply, Sent};
use springtide_tests::parts::books::Books;
use springtide_tests::parts::{Gateway, INVOICE, PROBE_KEY, REFUND, SHIPPING, Tenant, Worker};

const PLAN: &str = r#"{"charges":[{"meter":"conversations","model":"PerUnit","name":"resolved","unitPrice":"0.50","where":{"outcome":"resolved"}}],"currency":"CNY","timeZone":"Asia/Shanghai"}"#;
const FLUSH: Duration = Duration::from_secs(20);

/// The bill so far of what was reported, and which conversations ended.
struct Billing(Books);

impl Billing {
    async fn of(tenant: &mut Tenant) -> Self {
        Self(Books::of(tenant, PLAN).await.unwrap())
    }

    /// Takes what came since, each record twice; the bill so far, and what was counted.
    async fn bill(&self) -> (Document, MeterSum) {
        let (now, store) = (SystemClock.now(), &self.0.store);
        self.0.take(now).await.unwrap();
        let account = self.0.account().await.unwrap();
        let schedule = schedule_of(store, &account).await.unwrap();
        let period = schedule.containing(now).unwrap();
        let bounds = schedule.bounds(period).unwrap();
        let starts = (&[bounds.start][..], bounds.end);
        let usage = summed_by_time(store, account.ledger, starts, Landed::EVER)
            .await
            .unwrap();
        let sums = by_meter(&usage, &[]).unwrap();
        let counted = sums.into_iter().find(|sum| sum.meter == "conversations");
        let bill = draft(store, &account, period, now).await.unwrap();
        (bill, counted.unwrap())
    }

    /// Of which conversations an end was reported since the last bill.
    fn ended(&self) -> Vec<String> {
        let reported = self.0.reported();
        let ends = reported.iter().filter_map(end_of);
        let mut ended: Vec<_> = ends.map(|end| end.conversation.to_string()).collect();
        ended.sort();
        ended.dedup();
        ended
    }
}

fn client(gateway: &Gateway) -> Client {
    Client::new(&gateway.url).unwrap()
}

async fn ask(client: &Client, conversation: &str, turn: &str, text: &str, token: &str) -> Reply {
    match client.turn(conversation, turn, text, token).await {
        Sent::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

async fn flush(gateways: &[&Gateway], workers: &[&Worker]) {
    for gateway in gateways {
        assert!(gateway.flush(FLUSH).await);
    }
    for worker in workers {
        assert!(worker.flush(FLUSH).await);
    }
}

fn quantities(sum: &MeterSum) -> (String, Vec<String>) {
    let outcomes = sum.outcomes.iter();
    let outcomes = outcomes.map(|(outcome, quantity)| format!("{outcome} {quantity}"));
    (sum.quantity.to_string(), outcomes.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_are_billed_by_what_they_came_to_once_each_though_they_move_and_witnesses_are_killed() {
    let mut tenant = Tenant::new().unwrap();
    let billing = Billing::of(&mut tenant).await;
    let one = tenant.worker("one", 9).await.unwrap();
    let two = tenant.worker("two", 9).await.unwrap();
    let first = tenant.gateway(&[&one]).await.unwrap();
    let second = tenant.gateway(&[&one, &two]).await.unwrap();
    let (a, b) = (client(&first), client(&second));

    // Answered, and closed, twice.
    let closed = ask(&a, "closed", "t1", REFUND, "").await;
    for _ in 0..2 {
        a.close("closed", &closed.resume_token).await.unwrap();
    }
    // A choice that nobody made.
    ask(&a, "list", "t1", SHIPPING, "").await;
    // Answered by one worker through one gateway, and by another through the other.
    let moved = ask(&a, "moved", "t1", SHIPPING, "").await;
    // Answered, and then not: the customer waits for a worker, and goes.
    let waited = ask(&a, "waited", "t1", REFUND, "").await;
    // A probe is no conversation.
    let path = "/v1/conversations/probe-web/turns";
    let header = (
        PROBE_HEADER,
        ProbeKey::new(PROBE_KEY).sign(path, SystemClock.now()),
    );
    let body = json!({"turn_id": "probe", "text": REFUND}).to_string();
    let probed = a
        .request_with_header(Method::POST, path, body, Some(header))
        .await;
    assert_eq!(probed.unwrap().0, StatusCode::OK);
    flush(&[&first, &second], &[&one, &two]).await;
    assert_eq!(billing.ended(), ["closed"], "the others go on");

    one.kill();
    first.know(&[]);
    second.know(&[&two]);
    let body =
        json!({"turn_id": "t2", "text": INVOICE, "resume_token": waited.resume_token, "wait_seconds": 0});
    let path = "/v1/conversations/waited/turns";
    let waiting = a.request(Method::POST, path, body.to_string()).await.unwrap();
    assert_eq!(waiting.0, StatusCode::ACCEPTED);
    ask(&b, "moved", "t2", "2", &moved.resume_token).await;
    let (bill, counted) = billing.bill().await;
    assert_eq!(
        (bill.total.as_str(), quantities(&counted).0),
        ("0.50", "1".into())
    );

    // Silence, as each witness knows it: the first gateway says something old of the conversation that moved.
    let again = tenant.worker("one", 9).await.unwrap();
    let later = SystemClock.now() + jiff::SignedDuration::from_hours(1);
    first.relay.end_silent(later).await;
    flush(&[&first], &[]).await;
    assert_eq!(billing.ended(), ["list", "moved", "waited"]);
    let (bill, counted) = billing.bill().await;
    assert_eq!(bill.total, "0.50");
    assert_eq!(
        quantities(&counted),
        ("4".into(), vec!["abandoned 3".into(), "resolved 1".into()])
    );
    for worker in [&again, &two] {
        worker.answering.end_silent(Duration::ZERO).await;
    }
    second.relay.end_silent(later).await;
    flush(&[&first, &second], &[&again, &two]).await;
    let (bill, counted) = billing.bill().await;
    assert_eq!(bill.total, "1.00");
    assert_eq!(
        quantities(&counted),
        ("4".into(), vec!["abandoned 2".into(), "resolved 2".into()])
    );

    // It comes back, and is the same conversation: with a question that nothing fits, and the gateway ends for good.
    ask(&b, "closed", "t2", "zzz", &closed.resume_token).await;
    second.relay.end_all().await;
    flush(&[&second], &[&two]).await;
    let (bill, counted) = billing.bill().await;
    assert_eq!(bill.total, "0.50");
    assert_eq!(
        quantities(&counted),
        ("4".into(), vec!["abandoned 3".into(), "resolved 1".into()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_let_go_says_nothing_of_a_conversation_that_went_on_elsewhere() {
    let mut tenant = Tenant::new().unwrap();
    let billing = Billing::of(&mut tenant).await;
    let one = tenant.worker("one", 9).await.unwrap();
    let two = tenant.worker("two", 9).await.unwrap();
    let gateway = tenant.gateway(&[&one]).await.unwrap();
    let client = client(&gateway);
    let token = ask(&client, "c1", "t1", REFUND, "").await.resume_token;
    // Its turns wait for this lock, as those of a worker that gets no processor.
    let conversation = ConversationId::parse("c1").unwrap();
    let now = tokio::time::Instant::now();
    let slot = one.answering.conversations.enter(&conversation, now).unwrap();
    let stuck = slot.lock().await;
    gateway.know(&[&one, &two]);
    ask(&client, "c1", "t2", INVOICE, &token).await;
    let let_go = async {
        while one.answering.conversations.active() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(5), let_go).await.is_ok());
    one.answering.end_silent(Duration::ZERO).await;
    flush(&[&gateway], &[&one]).await;
    assert_eq!(billing.ended(), Vec::<String>::new(), "it goes on");
    two.answering.end_silent(Duration::ZERO).await;
    flush(&[], &[&two]).await;
    let (bill, counted) = billing.bill().await;
    assert_eq!(
        (bill.total.as_str(), quantities(&counted).0),
        ("0.50", "1".into())
    );
    drop(stuck);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_message_whose_answer_was_read_leaves_the_conversation_as_it_was() {
    let mut tenant = Tenant::new().unwrap();
    let billing = Billing::of(&mut tenant).await;
    let worker = tenant.worker("one", 9).await.unwrap();
    let gateway = tenant.gateway(&[&worker]).await.unwrap();
    let client = client(&gateway);
    for conversation in ["gone", "waits"] {
        ask(&client, conversation, "t1", REFUND, "").await;
    }
    // Copies that were long under way: nobody is there any more when one is answered, and there is no worker for the other.
    let turn = |conversation: &str| CustomerTurn {
        conversation: ConversationId::parse(conversation).unwrap(),
        turn: TurnId::parse("t1").unwrap(),
        text: REFUND.into(),
        channel: "web".into(),
        token: None,
        arrived_at: SystemClock.now(),
        wait: Duration::ZERO,
    };
    let answered = gateway.relay.take(turn("gone")).outcome.await.unwrap().unwrap();
    assert!(matches!(answered, Relayed::Replied(_)), "{answered:?}");
    drop(answered);
    worker.kill();
    gateway.know(&[]);
    let waiting = gateway.relay.take(turn("waits")).outcome.await.unwrap().unwrap();
    assert!(matches!(waiting, Relayed::Waiting(_)), "{waiting:?}");
    // What was held for a customer is settled then.
    flush(&[&gateway], &[]).await;
    gateway.relay.end_all().await;
    flush(&[&gateway], &[]).await;
    let (_, counted) = billing.bill().await;
    assert_eq!(quantities(&counted), ("2".into(), vec!["resolved 2".into()]));
}
