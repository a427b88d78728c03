//! What is kept beside what is counted, and for how long events are kept.

use jiff::Timestamp;
use springtide_proto::metering::Delivery;

use super::support::*;
use crate::bill::issue;
use crate::bill::notes::act;
use crate::bill::state::Act;
use crate::command::replay;
use crate::metering::report::Verdict;
use crate::rating::number::Exact;
use crate::store::{DropOutcome, Kept, KeptQuery, Landed, Store};

async fn kept(bench: &Bench, query: KeptQuery) -> Vec<Kept> {
    bench.store.kept(&query).await.unwrap()
}

fn words(kept: &[Kept]) -> Vec<&str> {
    kept.iter().map(|kept| kept.message.as_str()).collect()
}

pub(super) async fn what_was_kept_is_found_by_tenant_reason_time_and_text_page_by_page(bench: Bench) {
    for day in 1..=3_i64 {
        let at = now()
            .saturating_sub(jiff::SignedDuration::from_hours(24 * day))
            .unwrap();
        let records: Vec<_> = (0..5)
            .map(|id| by_anyone(&usage_event("acme", &format!("{day}-{id}"), "-2")))
            .collect();
        bench.store.ingest(&records, at).await.unwrap();
    }
    bench
        .report(vec![by_anyone(&usage_event("other", "50%_s1", "1"))])
        .await;
    bench
        .report(vec![by_anyone(&usage_event("other", "50%_s1", "2"))])
        .await;
    let all = kept(&bench, KeptQuery::default()).await;
    assert_eq!(all.len(), 16);
    assert!(
        all.is_sorted_by_key(|kept| std::cmp::Reverse(kept.at)),
        "the newest first"
    );
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let limit = Some(4);
        let page = kept(
            &bench,
            KeptQuery {
                after,
                limit,
                ..KeptQuery::default()
            },
        )
        .await;
        let Some(last) = page.last() else { break };
        after = Some(last.cursor.clone());
        pages.extend(page);
    }
    assert_eq!(pages, all);
    let find = async |query: KeptQuery| kept(&bench, query).await.len();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        find(KeptQuery {
            tenant: some("acme"),
            ..KeptQuery::default()
        })
        .await,
        15
    );
    assert_eq!(
        find(KeptQuery {
            reason: some("EVENT_CONFLICT"),
            ..KeptQuery::default()
        })
        .await,
        1
    );
    assert_eq!(
        find(KeptQuery {
            text: some("QUANTITY"),
            ..KeptQuery::default()
        })
        .await,
        15
    );
    let found = kept(
        &bench,
        KeptQuery {
            text: some("50%_S"),
            ..KeptQuery::default()
        },
    )
    .await;
    assert_eq!(words(&found), ["storage/50%_s1"]);
    assert_eq!(
        find(KeptQuery {
            text: some("5%_s"),
            ..KeptQuery::default()
        })
        .await,
        0
    );
    let day = |day: &str| Some(format!("2026-11-{day}T00:00:00Z").parse::<Timestamp>().unwrap());
    assert_eq!(
        find(KeptQuery {
            since: day("29"),
            until: day("30"),
            ..KeptQuery::default()
        })
        .await,
        5
    );
    let strange = KeptQuery {
        after: some("strange"),
        ..KeptQuery::default()
    };
    assert!(bench.store.kept(&strange).await.is_err());
}

pub(super) async fn a_reversal_that_came_before_its_event_is_taken_when_it_is_offered_again(bench: Bench) {
    let event = usage_event("acme", "s1", "2.5");
    let mut undo = usage_event("acme", "undo", "2.5");
    undo.reversal_of = "s1".into();
    let early = bench.report(vec![by_anyone(&undo)]).await;
    assert!(matches!(early.as_slice(), [Verdict::Rejected(..)]));
    bench.report(vec![by_anyone(&event)]).await;
    assert_eq!(
        bench.sum("acme", "handoffs", None).await,
        Exact::parse("2.5").unwrap()
    );
    let page = bench.store.rejected(Some("acme"), None, None, 10).await.unwrap();
    assert_eq!(page.len(), 1);
    let said = async |dry| -> Vec<Verdict> {
        let outcome = replay(&bench.store, &page, now(), dry).await.unwrap();
        outcome.into_iter().map(|(_, verdict)| verdict).collect()
    };
    assert_eq!(said(true).await, [Verdict::Accepted]);
    assert!(
        !bench.sum("acme", "handoffs", None).await.is_zero(),
        "a rehearsal changes nothing"
    );
    assert_eq!(said(false).await, [Verdict::Accepted]);
    assert!(bench.sum("acme", "handoffs", None).await.is_zero());
    assert!(
        bench
            .store
            .rejected(None, None, None, 10)
            .await
            .unwrap()
            .is_empty()
    );
    let kept = kept(&bench, KeptQuery::default()).await;
    assert_eq!((kept.len(), kept[0].taken_at), (1, Some(now())));
    assert_eq!(
        said(false).await,
        [Verdict::Duplicate],
        "however often it is offered"
    );
}

pub(super) async fn what_is_rejected_again_is_not_counted_as_another_time(bench: Bench) {
    let wrong = usage_event("acme", "s1", "-1");
    bench.report(vec![by_anyone(&wrong), by_anyone(&wrong)]).await;
    let page = bench
        .store
        .rejected(None, Some("EVENT_REJECTED"), None, 10)
        .await
        .unwrap();
    for dry in [true, false] {
        let outcome = replay(&bench.store, &page, now(), dry).await.unwrap();
        assert!(matches!(outcome.as_slice(), [(_, Verdict::Rejected(..))]));
    }
    let kept = kept(&bench, KeptQuery::default()).await;
    assert_eq!((kept[0].times, kept[0].taken_at), (2, None));
    let last = page.last();
    assert!(
        bench
            .store
            .rejected(None, None, last, 10)
            .await
            .unwrap()
            .is_empty(),
        "pages end"
    );
}

pub(super) async fn dropping_old_events_leaves_their_keys_and_what_is_billed(bench: Bench) {
    let then = at("2026-11-15T00:00:00Z");
    bench.store.make_months(then).await.unwrap();
    bench.store.make_months(now()).await.unwrap();
    let old = interaction("acme", "old");
    bench.store.ingest(&[by_worker(&old)], then).await.unwrap();
    bench.report(vec![by_worker(&interaction("acme", "new"))]).await;
    let taken = module_event("acme", "taken", "1", "2026-11-16T00:00:00Z");
    bench
        .store
        .ingest(&[by_anyone(&taken)], at("2026-11-16T00:00:00Z"))
        .await
        .unwrap();
    assert_eq!(
        bench.store.drop_events(then).await.unwrap(),
        DropOutcome::Dropped(0),
        "the month of that day stays"
    );
    let dropped = bench.store.drop_events(now()).await.unwrap();
    let events = matches!(bench.store, Store::Sqlite(_));
    assert_eq!(dropped, DropOutcome::Dropped(if events { 2 } else { 1 }));
    let left = rows(&bench.store, "SELECT count(*) FROM event").await;
    assert_eq!(left, 1, "the new one");
    let ledger = bench.store.ledgers_named("acme").await.unwrap()[0].0;
    let facts = bench
        .store
        .facts(ledger, november(), true, Landed::EVER)
        .await
        .unwrap();
    assert_eq!(facts.module_changes.len(), 1);
    assert_eq!(
        bench.store.events_kept_since(ledger).await.unwrap(),
        at("2026-12-01T00:00:00Z")
    );
    assert_eq!(bench.interactions("acme").await, count(2));
    assert_eq!(bench.report(vec![by_worker(&old)]).await, [Verdict::Duplicate]);
    bench.report(vec![by_gateway(&old, Delivery::Undelivered)]).await;
    assert_eq!(
        bench.interactions("acme").await,
        count(1),
        "its own bytes say what it was"
    );
    bench.store.make_months(then).await.unwrap();
}

pub(super) async fn an_event_of_a_month_that_has_no_place_is_taken(bench: Bench) {
    bench.store.make_months(now()).await.unwrap();
    let far = at("2031-05-05T00:00:00Z");
    let turn = interaction("acme", "t1");
    let verdicts = bench.store.ingest(&[by_worker(&turn)], far).await.unwrap();
    assert_eq!(verdicts, [Verdict::Accepted]);
    assert_eq!(rows(&bench.store, "SELECT count(*) FROM event").await, 1);
}

pub(super) async fn no_event_is_dropped_that_a_disputed_bill_may_be_made_of(bench: Bench) {
    let account = bench.account("acme").await;
    let old = at("2026-10-20T00:00:00Z");
    for month in [old, at("2026-11-15T00:00:00Z"), now()] {
        bench.store.make_months(month).await.unwrap();
    }
    bench
        .store
        .ingest(
            &[by_worker(&interaction("acme", "old"))],
            at("2026-11-15T00:00:00Z"),
        )
        .await
        .unwrap();
    let (bill, _) = issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    let number = bill.number.unwrap();
    let stored = bench.store.any_invoice(&number).await.unwrap().unwrap();
    let brought = async |what| {
        act(&bench.store, &stored, what, "jo", "", now()).await.unwrap();
    };
    let events = async || rows(&bench.store, "SELECT count(*) FROM event").await;
    brought(Act::Dispute).await;
    // November begins in Shanghai at 16:00 of the last of October, and clocks may be an hour off.
    let disputed = DropOutcome::Disputed {
        number: number.clone(),
        since: at("2026-10-31T15:00:00Z"),
    };
    for before in ["2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"] {
        assert_eq!(
            bench.store.drop_events(at(before)).await.unwrap(),
            disputed,
            "{before}"
        );
    }
    assert_eq!(events().await, 1);
    assert!(
        bench.store.events_kept_since(account.ledger).await.unwrap() < at("2026-11-01T00:00:00Z"),
        "nothing is missed"
    );
    let earlier = bench.store.drop_events(at("2026-10-31T00:00:00Z")).await.unwrap();
    assert_eq!(
        earlier,
        DropOutcome::Dropped(0),
        "of what came before the month nothing is disputed"
    );
    brought(Act::Resolve).await;
    let dropped = bench.store.drop_events(at("2026-12-01T00:00:00Z")).await.unwrap();
    assert_ne!(dropped, disputed);
    assert_eq!(events().await, 0);
}
