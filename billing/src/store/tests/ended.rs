//! Conversations that ended: each counts once, as it ended last.

use springtide_proto::ended::{ConversationEnd, Outcome};
use springtide_proto::ids::ConversationId;
use springtide_proto::metering::{Delivery, Witness};

use super::closing::issuer;
use super::support::*;
use crate::bill::notes::correct;
use crate::bill::verify::verify_tenant;
use crate::bill::{draft, issue};
use crate::metering::erase::Conversations;
use crate::metering::report::{Examined, Verdict};
use crate::store::{Account, Eraser, Holder};

const PLAN: &str = r#"{"currency":"CNY","timeZone":"Asia/Shanghai","charges":[
    {"name":"resolved","meter":"conversations","where":{"outcome":"resolved"},"model":"PerUnit","unitPrice":"0.50"}]}"#;

fn ended(conversation: &str, minute: i64, outcome: Outcome) -> ConversationEnd {
    let mut last = interaction("acme", "last");
    last.conversation = ConversationId::parse(conversation).unwrap();
    last.arrived_at += jiff::SignedDuration::from_mins(minute);
    ConversationEnd {
        outcome,
        ..ConversationEnd::after(&last)
    }
}

fn said_by(end: &ConversationEnd, witness: Witness) -> Examined {
    let reporter = if witness == Witness::Worker {
        "worker-0"
    } else {
        "gateway-0"
    };
    reported(end.encode(), "acme", witness, Delivery::Unspecified, reporter)
}

async fn account(bench: &Bench) -> Account {
    bench.register_with_plan("acme", PLAN).await;
    bench.store.account_of_uid(&uid("acme")).await.unwrap().unwrap()
}

async fn total(bench: &Bench, account: &Account) -> String {
    let draft = draft(&bench.store, account, november_period(), now()).await;
    draft.unwrap().total
}

pub(super) async fn a_conversation_counts_once_as_it_ended_last_and_the_books_agree(bench: Bench) {
    let account = account(&bench).await;
    let (worker, gateway) = (Witness::Worker, Witness::Gateway);
    let first = ended("c1", 0, Outcome::Resolved);
    let unread = ended("c1", 0, Outcome::Abandoned);
    let last = ended("c1", 40, Outcome::Resolved);
    for (end, witness, verdict, money) in [
        (&first, worker, Verdict::Accepted, "0.50"),
        (&first, gateway, Verdict::Duplicate, "0.50"),
        (&unread, gateway, Verdict::Variant, "0.00"),
        (&first, worker, Verdict::Variant, "0.00"),
        (&last, worker, Verdict::Variant, "0.50"),
        (&unread, gateway, Verdict::Variant, "0.50"),
        (&last, gateway, Verdict::Duplicate, "0.50"),
    ] {
        assert_eq!(bench.report(vec![said_by(end, witness)]).await, [verdict]);
        assert_eq!(total(&bench, &account).await, money, "{end:?} by {witness:?}");
        assert_eq!(bench.sum("acme", "conversations", None).await, count(1));
    }
    assert_eq!(rows(&bench.store, "SELECT count(*) FROM event").await, 1);
    assert_eq!(rows(&bench.store, "SELECT count(*) FROM provenance").await, 2);
    assert_eq!(rows(&bench.store, "SELECT count(*) FROM rival").await, 0);
    assert_eq!(verify_tenant(&bench.store, &account, now()).await.unwrap(), []);
    let customer = Conversations::new([last.conversation.clone()].into()).unwrap();
    let holder = Holder::of_account();
    let eraser = Eraser {
        holder: &holder,
        now: now(),
    };
    let party = &account.details.party;
    let erased = bench
        .store
        .erase(account.ledger, party, &customer, Some(eraser))
        .await
        .unwrap();
    assert_eq!(erased.events, 1);
    let after = ended("c1", 90, Outcome::Abandoned);
    assert_eq!(
        bench.report(vec![said_by(&after, worker)]).await,
        [Verdict::Variant]
    );
    assert_eq!(
        total(&bench, &account).await,
        "0.50",
        "of nobody, it stays as it was"
    );
    assert_eq!(verify_tenant(&bench.store, &account, now()).await.unwrap(), []);
}

pub(super) async fn a_conversation_that_goes_on_after_the_bill_is_corrected_by_a_note(bench: Bench) {
    let account = account(&bench).await;
    let worker = Witness::Worker;
    bench
        .report(vec![said_by(&ended("c1", 0, Outcome::Resolved), worker)])
        .await;
    let (bill, _) = issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    assert_eq!(bill.total, "0.50");
    bench
        .report(vec![said_by(&ended("c1", 5, Outcome::Abandoned), worker)])
        .await;
    let note = correct(&bench.store, &account, november_period(), issuer()).await;
    assert_eq!(note.unwrap().unwrap().total, "-0.50");
    assert_eq!(verify_tenant(&bench.store, &account, now()).await.unwrap(), []);
}

pub(super) async fn concurrent_words_on_how_conversations_ended_come_to_the_latest(bench: Bench) {
    const CONVERSATIONS: usize = 60;
    let account = account(&bench).await;
    let stores = [bench.store.clone(), bench.again().await];
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..6_usize {
        let store = stores[task % 2].clone();
        tasks.spawn(async move {
            for batch in 0..6 {
                let records: Vec<_> = (0..CONVERSATIONS)
                    .filter(|number| number % 3 != (task + batch) % 3)
                    .map(|number| {
                        let place = (number + task + batch) % 4;
                        // Every fourth ends unanswered.
                        let outcome = if place == 3 && number % 4 == 0 {
                            Outcome::Abandoned
                        } else {
                            Outcome::Resolved
                        };
                        let end = ended(&format!("c{number}"), i64::try_from(place).unwrap() * 20, outcome);
                        let witness = if task < 3 {
                            Witness::Worker
                        } else {
                            Witness::Gateway
                        };
                        said_by(&end, witness)
                    })
                    .collect();
                let verdicts = store.ingest(&records, now()).await.unwrap();
                assert!(
                    verdicts
                        .iter()
                        .all(|verdict| !matches!(verdict, Verdict::Conflict | Verdict::Rejected(..)))
                );
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let conversations = count(CONVERSATIONS.try_into().unwrap());
    assert_eq!(bench.sum("acme", "conversations", None).await, conversations);
    assert_eq!(
        total(&bench, &account).await,
        "22.50",
        "45 of 60 were resolved at last"
    );
    assert_eq!(verify_tenant(&bench.store, &account, now()).await.unwrap(), []);
}
