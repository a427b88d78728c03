//! Chats through real gateways and workers, billed by what they came to: billing's own store takes what both report.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it cannot go on"
)]

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::json;
use springtide_billing::bill::document::Document;
use springtide_billing::bill::draft;
use springtide_billing::bill::schedule::schedule_of;
use springtide_billing::bill::summary::{MeterSum, by_meter, summed_by_time};
use springtide_billing::digest::Digest;
use springtide_billing::locale::Locale;
use springtide_billing::metering::examine::{Reporter, examine};
use springtide_billing::metering::report::{Party, Verdict};
use springtide_billing::metering::retention::KeptDays;
use springtide_billing::store::{AccountDetails, Landed, PlanVersion, Store};
use springtide_proto::ids::{ConversationId, TenantId, TenantUid};
use springtide_proto::metering::{Record, Witness};
use springtide_runtime::clock::{Clock as _, SystemClock};
use springtide_runtime::identity::TenantRole;
use springtide_runtime::probe::{PROBE_HEADER, ProbeKey};
use springtide_tests::ends::end_of;
use springtide_tests::load::{Client, Reply, Sent};
use springtide_tests::parts::{Gateway, INVOICE, PROBE_KEY, REFUND, SHIPPING, Tenant, Worker};

const PLAN: &str = r#"{"charges":[{"meter":"conversations","model":"PerUnit","name":"resolved","unitPrice":"0.50","where":{"outcome":"resolved"}}],"currency":"CNY","timeZone":"Asia/Shanghai"}"#;
const FLUSH: Duration = Duration::from_secs(20);

fn party() -> Party {
    Party {
        tenant_uid: TenantUid::parse("uid-acme").unwrap(),
        tenant: TenantId::parse("acme").unwrap(),
    }
}

/// What witnesses reported, and the store that takes it.
struct Billing {
    store: Store,
    reported: Arc<Mutex<Vec<Record>>>,
    _folder: tempfile::TempDir,
}

impl Billing {
    async fn of(tenant: &mut Tenant) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/billing.db", folder.path().display());
        let store = Store::connect(&url, true).await.unwrap();
        store.migrate().await.unwrap();
        let plan = PlanVersion {
            name: "outcome".into(),
            uid: "plan".into(),
            generation: 1,
            digest: Digest::of(PLAN.as_bytes()),
            spec: PLAN.into(),
        };
        let before = SystemClock.now() - jiff::SignedDuration::from_hours(24 * 40);
        store.put_plan(&plan, before).await.unwrap();
        let details = AccountDetails {
            party: party(),
            display_name: "安可商城".into(),
            time_zone: "Asia/Shanghai".into(),
            rate_plan: "outcome".into(),
            legal_name: String::new(),
            tax_id: String::new(),
            billing_email: String::new(),
            payment_days: 30,
            portal_token: Digest::of(b"token"),
            locale: Locale::ZhCn,
            usage_kept: KeptDays::default(),
        };
        store.register(&details, before).await.unwrap();
        let reported = Arc::new(Mutex::new(Vec::new()));
        let taken = reported.clone();
        tenant
            .report_to(Arc::new(move |records: Vec<Record>| taken.lock().extend(records)))
            .await
            .unwrap();
        Self {
            store,
            reported,
            _folder: folder,
        }
    }

    /// Takes what came since, each record twice; the bill so far, and what was counted.
    async fn bill(&self) -> (Document, MeterSum) {
        let now = SystemClock.now();
        let records = std::mem::take(&mut *self.reported.lock());
        let examined: Vec<_> = records
            .iter()
            .chain(&records)
            .map(|record| {
                let role = if record.witness() == Witness::Worker {
                    TenantRole::Worker
                } else {
                    TenantRole::Gateway
                };
                let peer = Reporter {
                    tenant: party().tenant,
                    role: Some(role),
                };
                examine(record.clone(), &peer, now)
            })
            .collect();
        for examined in examined.chunks(3) {
            let verdicts = self.store.ingest(examined, now).await.unwrap();
            let is_taken = |verdict: &Verdict| !matches!(verdict, Verdict::Conflict | Verdict::Rejected(..));
            assert!(verdicts.iter().all(is_taken), "{verdicts:?}");
        }
        let account = self.store.account_of_uid("uid-acme").await.unwrap().unwrap();
        let schedule = schedule_of(&self.store, &account).await.unwrap();
        let period = schedule.containing(now).unwrap();
        let bounds = schedule.bounds(period).unwrap();
        let starts = (&[bounds.start][..], bounds.end);
        let usage = summed_by_time(&self.store, account.ledger, starts, Landed::EVER)
            .await
            .unwrap();
        let sums = by_meter(&usage, &[]).unwrap();
        let counted = sums.into_iter().find(|sum| sum.meter == "conversations");
        let bill = draft(&self.store, &account, period, now).await.unwrap();
        (bill, counted.unwrap())
    }

    /// Of which conversations an end was reported since the last bill.
    fn ended(&self) -> Vec<String> {
        let reported = self.reported.lock();
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
