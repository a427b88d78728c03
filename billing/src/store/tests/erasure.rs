//! A customer that is erased: what is gone, and what stays.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use springtide_proto::event::InteractionKind;
use springtide_proto::metering::Delivery;

use super::closing::issuer;
use super::support::*;
use crate::bill::issue;
use crate::bill::issue::Issuer;
use crate::bill::notes::{act, credit_invoice};
use crate::bill::state::{Act, TaxState};
use crate::bill::verify::{verify_chain, verify_tenant};
use crate::metering::erase::Conversations;
use crate::metering::report::Verdict;
use crate::rating::period::Bounds;
use crate::store::{Account, Dispute, Erased, Eraser, Holder, NewExclusion, Store, TaxRegistration};
use futures::TryStreamExt as _;
use springtide_proto::event::Interaction;

const GONE: &str = "conv-7711";
const STAYS: &str = "conv-77112";

fn turn(tenant: &str, conversation: &str, turn: &str) -> Interaction {
    Interaction {
        conversation: conversation.parse().unwrap(),
        ..interaction(tenant, turn)
    }
}

/// How many rows of all tables name the conversation that is to be gone, in text or in bytes.
async fn naming(store: &Store) -> usize {
    let folder = tempfile::tempdir().unwrap();
    store.back_up(folder.path(), now()).await.unwrap();
    rows_naming(folder.path())
}

fn rows_naming(folder: &Path) -> usize {
    let hexadecimal = |text: &str| {
        text.bytes().fold(String::new(), |mut written, byte| {
            write!(written, "{byte:02x}").unwrap();
            written
        })
    };
    let (text, bytes, other_text, other_bytes) =
        (GONE.to_owned(), hexadecimal(GONE), STAYS, hexadecimal(STAYS));
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let lines = files.flat_map(|file| file.lines().map(str::to_owned).collect::<Vec<_>>());
    let rest = lines.map(|line| line.replace(other_text, "").replace(&other_bytes, ""));
    rest.filter(|line| line.contains(&text) || line.contains(&bytes))
        .count()
}

/// Two of the customer's turns, a variant of one, a record of it that was wrong, and a bill that was disputed; a turn of
/// somebody else's, and one of another firm's conversation of the same name.
async fn books(bench: &Bench) -> Account {
    let account = bench.account("acme").await;
    bench.register("other").await;
    let variant = Interaction {
        kind: InteractionKind::List,
        ..turn("acme", GONE, "t1")
    };
    let mut wrong = usage_event("acme", "late", "-2");
    wrong.dimensions = vec![springtide_proto::metering::Dimension {
        key: "conversation".into(),
        value: GONE.into(),
    }];
    bench
        .report(vec![
            by_worker(&turn("acme", GONE, "t1")),
            by_gateway(&turn("acme", GONE, "t1"), Delivery::Delivered),
            by_worker(&turn("acme", GONE, "t2")),
            by_worker(&turn("acme", STAYS, "t1")),
            by_worker(&turn("other", GONE, "t1")),
        ])
        .await;
    bench.report(vec![by_worker(&variant), by_anyone(&wrong)]).await;
    let (bill, _) = issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    let dispute = Dispute {
        number: bill.number.unwrap(),
        line: String::new(),
        reason: format!("conversation {GONE} was not answered"),
        opened_by: "jo".into(),
        opened_at: now(),
    };
    bench.store.open_dispute(account.ledger, &dispute).await.unwrap();
    account
}

async fn erase(bench: &Bench, account: &Account, is_meant: bool) -> Erased {
    let conversations = Conversations::new([GONE.parse().unwrap()].into()).unwrap();
    let holder = Holder::of_account();
    let eraser = Eraser {
        holder: &holder,
        now: now(),
    };
    let party = &account.details.party;
    let eraser = is_meant.then_some(eraser);
    bench
        .store
        .erase(account.ledger, party, &conversations, eraser)
        .await
        .unwrap()
}

pub(super) async fn an_erased_customer_is_named_nowhere_and_the_books_agree_as_before(bench: Bench) {
    let account = books(&bench).await;
    let all = naming(&bench.store).await;
    let found = Erased {
        events: 2,
        rivals: 1,
        rejections: 1,
        disputes: 1,
        ..Erased::default()
    };
    assert_eq!(all, 6, "all of these, and another firm's event");
    assert_eq!(erase(&bench, &account, false).await, found);
    assert_eq!(naming(&bench.store).await, all, "it was only looked for");

    assert_eq!(erase(&bench, &account, true).await, found);
    assert_eq!(
        naming(&bench.store).await,
        1,
        "another firm's conversation is another"
    );
    assert_eq!(erase(&bench, &account, true).await, Erased::default(), "once");
    assert_eq!(bench.interactions("acme").await, count(3));
    assert_eq!(verify_tenant(&bench.store, &account, now()).await.unwrap(), []);
    assert_eq!(verify_chain(&bench.store).await.unwrap(), (1, Vec::new()));
    let exported = bench.store.export(account.ledger, "acme", &november());
    let mut conversations: Vec<_> = exported
        .map_ok(|event| event.conversation)
        .try_collect()
        .await
        .unwrap();
    conversations.sort();
    assert_eq!(conversations, ["", "", STAYS], "each is still listed, of nobody");
    let audit = bench.store.audit(account.ledger, 10).await.unwrap();
    let noted: Vec<_> = audit
        .iter()
        .map(|entry| (entry.action.as_str(), entry.object.as_str()))
        .collect();
    assert_eq!(
        noted,
        [
            (
                "erase customer",
                "1 conversations: 0 records, 0 disputes, 0 exclusions, 0 messages; 0 texts that never change were kept"
            ),
            (
                "erase customer",
                "1 conversations: 4 records, 1 disputes, 0 exclusions, 0 messages; 0 texts that never change were kept"
            ),
        ]
    );
}

pub(super) async fn what_was_erased_is_known_when_it_is_reported_again(bench: Bench) {
    let account = books(&bench).await;
    erase(&bench, &account, true).await;
    check_that_it_is_known(&bench, &account).await;

    let folder = tempfile::tempdir().unwrap();
    bench.store.back_up(folder.path(), now()).await.unwrap();
    assert_eq!(rows_naming(folder.path()), 1);
    let restored = Bench::sqlite().await;
    restored.store.restore(folder.path(), now()).await.unwrap();
    check_that_it_is_known(&restored, &account).await;
}

async fn check_that_it_is_known(bench: &Bench, account: &Account) {
    let other = Interaction {
        kind: InteractionKind::Sorry,
        ..turn("acme", GONE, "t2")
    };
    let verdicts = bench
        .report(vec![
            by_worker(&turn("acme", GONE, "t1")),
            by_gateway(&turn("acme", GONE, "t2"), Delivery::Delivered),
            by_worker(&other),
        ])
        .await;
    assert_eq!(
        verdicts,
        [Verdict::Duplicate, Verdict::Duplicate, Verdict::Variant]
    );
    assert_eq!(
        naming(&bench.store).await,
        1,
        "other bytes of it are kept of nobody too"
    );
    assert_eq!(bench.interactions("acme").await, count(3));
    let again = bench.store.rejected(Some("acme"), None, None, 10).await.unwrap();
    assert!(again.is_empty(), "nothing erased is offered again: {again:?}");
    assert_eq!(verify_tenant(&bench.store, account, now()).await.unwrap(), []);
}

pub(super) async fn what_was_erased_still_leaves_the_bill_when_nobody_got_it(bench: Bench) {
    let account = bench.account("acme").await;
    bench.report(vec![by_worker(&turn("acme", GONE, "t1"))]).await;
    erase(&bench, &account, true).await;
    let other = Interaction {
        kind: InteractionKind::List,
        ..turn("acme", GONE, "t1")
    };
    bench
        .report(vec![by_gateway(&other, Delivery::Undelivered)])
        .await;
    assert_eq!(bench.interactions("acme").await, count(0));
    assert_eq!(verify_tenant(&bench.store, &account, now()).await.unwrap(), []);
}

pub(super) async fn what_operators_wrote_of_a_customer_is_taken_out_or_where_it_never_changes_named(
    bench: Bench,
) {
    let account = books(&bench).await;
    let december = |reason: &str, approver: &str| NewExclusion {
        from: at("2026-12-02T00:00:00Z"),
        to: at("2026-12-02T01:00:00Z"),
        reason: reason.to_owned(),
        approver: approver.to_owned(),
    };
    for exclusion in [
        december(&format!("{GONE} was cut off; {STAYS} too"), "jo"),
        december("maintenance", "jo"),
    ] {
        bench
            .store
            .exclude(account.ledger, &exclusion, now())
            .await
            .unwrap();
    }
    let bill = bench
        .store
        .invoice_of_period(account.ledger, "2026-11")
        .await
        .unwrap()
        .unwrap();
    let why = format!("because of {GONE}");
    act(&bench.store, &bill, Act::Dispute, "jo", &why, now())
        .await
        .unwrap();
    let registration = TaxRegistration {
        state: TaxState::Requested,
        tax_number: String::new(),
        red_letter_number: String::new(),
        actor: "jo".into(),
        note: format!("{STAYS} asked"),
        at: now(),
    };
    assert!(
        bench
            .store
            .register_tax(&bill.number, &registration)
            .await
            .unwrap()
    );
    let issuer = Issuer {
        note: &why,
        ..issuer()
    };
    let note = credit_invoice(&bench.store, &account, &bill, issuer)
        .await
        .unwrap();
    let note = note.number.unwrap();

    let seen = erase(&bench, &account, false).await;
    let erased = erase(&bench, &account, true).await;
    assert_eq!(seen, erased, "what there is is said before");
    assert_eq!((erased.disputes, erased.exclusions), (1, 1));
    let kept: Vec<_> = erased
        .kept
        .iter()
        .map(|kept| (kept.place.as_str(), kept.of.as_str()))
        .collect();
    assert_eq!(
        kept,
        [
            ("document", note.as_str()),
            ("note of state 1", note.as_str()),
            ("note of state 2", bill.number.as_str()),
            ("note of state 3", bill.number.as_str()),
        ]
    );
    let bounds = Bounds {
        start: at("2026-12-01T00:00:00Z"),
        end: at("2026-12-03T00:00:00Z"),
    };
    let exclusions = bench.store.exclusions(account.ledger, &bounds).await.unwrap();
    let reasons: Vec<_> = exclusions
        .iter()
        .map(|exclusion| exclusion.exclusion.reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            format!("(erased) was cut off; {STAYS} too").as_str(),
            "maintenance"
        ]
    );
    let again = erase(&bench, &account, true).await;
    assert_eq!((again.exclusions, again.kept), (0, erased.kept));
    assert_eq!(verify_tenant(&bench.store, &account, now()).await.unwrap(), []);
}
