//! What is taken, how often, and that it stays.

use std::sync::Arc;

use futures::TryStreamExt as _;
use springtide_proto::error::Reason;
use springtide_proto::event::InteractionKind;
use springtide_proto::ids::TenantUid;
use springtide_proto::metering::{Delivery, Dimension, UsageEvent};
use springtide_runtime::clock::ManualClock;

use super::support::*;
use crate::metering::report::Verdict;
use crate::metering::writer::UsageWriter;
use crate::metrics::Metrics;
use crate::rating::number::Exact;
use crate::store::{KeptQuery, Store, on_readers};

fn of(tenant: &str) -> KeptQuery {
    KeptQuery {
        tenant: Some(tenant.to_owned()),
        ..KeptQuery::default()
    }
}

pub(super) async fn two_witnesses_of_one_interaction_are_one_event_with_two_provenances(bench: Bench) {
    let turn = interaction("acme", "t1");
    assert_eq!(bench.report(vec![by_worker(&turn)]).await, [Verdict::Accepted]);
    for _ in 0..2 {
        assert_eq!(
            bench.report(vec![by_gateway(&turn, Delivery::Delivered)]).await,
            [Verdict::Duplicate]
        );
    }
    assert_eq!(bench.interactions("acme").await, count(1));
    assert_eq!(rows(&bench.store, "SELECT count(*) FROM event").await, 1);
    assert_eq!(rows(&bench.store, "SELECT count(*) FROM provenance").await, 2);
    assert_eq!(
        rows(&bench.store, "SELECT delivery FROM provenance WHERE witness = 2").await,
        2
    );
}

pub(super) async fn what_was_accepted_is_a_duplicate_for_ever_also_after_a_restart(bench: Bench) {
    let mut old = interaction("acme", "t1");
    old.arrived_at = at("2001-01-01T00:00:00Z");
    assert_eq!(bench.report(vec![by_worker(&old)]).await, [Verdict::Accepted]);
    bench.store.close().await;
    let again = bench.again().await;
    assert_eq!(
        again.ingest(&[by_worker(&old)], now()).await.unwrap(),
        [Verdict::Duplicate]
    );
}

pub(super) async fn an_undelivered_report_takes_it_off_and_a_delivered_one_brings_it_back(bench: Bench) {
    let turn = interaction("acme", "t1");
    bench.report(vec![by_worker(&turn)]).await;
    for (delivery, expected) in [
        (Delivery::Undelivered, 0),
        (Delivery::Delivered, 1),
        (Delivery::Undelivered, 1),
    ] {
        bench.report(vec![by_gateway(&turn, delivery)]).await;
        assert_eq!(bench.interactions("acme").await, count(expected), "{delivery:?}");
    }
    assert_eq!(
        rows(&bench.store, "SELECT delivery FROM provenance WHERE witness = 2").await,
        2,
        "delivered outranks"
    );
    let second = interaction("acme", "t2");
    assert_eq!(
        bench
            .report(vec![by_gateway(&second, Delivery::Undelivered)])
            .await,
        [Verdict::Accepted]
    );
    bench.report(vec![by_worker(&second)]).await;
    assert_eq!(bench.interactions("acme").await, count(1));
}

pub(super) async fn variants_conflicts_and_rejections_are_kept_and_not_counted(bench: Bench) {
    let first = interaction("acme", "t1");
    let mut other = first.clone();
    other.kind = InteractionKind::Sorry;
    let verdicts = bench
        .report(vec![by_worker(&first), by_gateway(&other, Delivery::Delivered)])
        .await;
    assert_eq!(verdicts, [Verdict::Accepted, Verdict::Variant]);
    assert_eq!(
        bench.report(vec![by_worker(&other)]).await,
        [Verdict::Variant],
        "as often as it comes"
    );
    assert_eq!(bench.sum("acme", "unanswered", None).await, Exact::ZERO);
    let storage = usage_event("acme", "s1", "1");
    let changed = usage_event("acme", "s1", "2");
    let wrong = usage_event("acme", "s2", "-2");
    let verdicts = bench
        .report(vec![by_anyone(&storage), by_anyone(&changed), by_anyone(&wrong)])
        .await;
    assert!(matches!(
        verdicts.as_slice(),
        [
            Verdict::Accepted,
            Verdict::Conflict,
            Verdict::Rejected(Reason::EventRejected, _)
        ]
    ));
    bench.report(vec![by_anyone(&wrong), by_anyone(&wrong)]).await;
    assert_eq!(bench.sum("acme", "handoffs", None).await, count(1));
    let kept = bench.store.kept(&of("acme")).await.unwrap();
    let mut kinds: Vec<_> = kept.iter().map(|kept| (kept.kind.as_str(), kept.times)).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [("conflict", 1), ("rejected", 3), ("variant", 1)]);
    assert!(bench.store.kept(&of("other")).await.unwrap().is_empty());
    assert_eq!(bench.store.kept(&KeptQuery::default()).await.unwrap().len(), 3);
}

pub(super) async fn a_reversal_subtracts_once(bench: Bench) {
    let event = usage_event("acme", "s1", "2.5");
    let mut undo = usage_event("acme", "undo", "2.5");
    undo.reversal_of = "s1".into();
    let mut again = undo.clone();
    again.id = "undo-again".into();
    assert!(matches!(
        bench.report(vec![by_anyone(&undo)]).await[0],
        Verdict::Rejected(Reason::EventRejected, _)
    ));
    bench.report(vec![by_anyone(&event)]).await;
    assert_eq!(
        bench.report(vec![by_anyone(&undo)]).await,
        [Verdict::Accepted],
        "once its event is known"
    );
    assert_eq!(bench.report(vec![by_anyone(&undo)]).await, [Verdict::Duplicate]);
    assert!(matches!(
        bench.report(vec![by_anyone(&again)]).await[0],
        Verdict::Rejected(..)
    ));
    assert_eq!(bench.sum("acme", "handoffs", None).await, Exact::ZERO);
}

pub(super) async fn the_largest_quantities_add_up_exactly(bench: Bench) {
    let most = "999999999999999999.999999999";
    let mut expected = Exact::ZERO;
    for batch in 0..3 {
        let events: Vec<_> = (0..10)
            .map(|id| by_anyone(&usage_event("acme", &format!("{batch}-{id}"), most)))
            .collect();
        bench.report(events).await;
        for _ in 0..10 {
            expected = expected.plus(Exact::parse(most).unwrap()).unwrap();
        }
    }
    assert_eq!(bench.sum("acme", "handoffs", None).await, expected);
    let mut undo = usage_event("acme", "undo", most);
    undo.reversal_of = "0-0".into();
    assert_eq!(bench.report(vec![by_anyone(&undo)]).await, [Verdict::Accepted]);
    let less = expected.minus(Exact::parse(most).unwrap()).unwrap();
    assert_eq!(bench.sum("acme", "handoffs", None).await, less);
}

pub(super) async fn usage_before_registration_is_on_the_bill_after_it(bench: Bench) {
    bench
        .report(vec![
            by_worker(&interaction("acme", "t1")),
            by_worker(&interaction("acme", "t2")),
        ])
        .await;
    let account = bench.account("acme").await;
    let draft = crate::bill::draft(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    assert_eq!(draft.total, "0.20");
    let again = bench.report(vec![by_worker(&interaction("acme", "t1"))]).await;
    assert_eq!(again, [Verdict::Duplicate]);
}

pub(super) async fn a_uid_of_another_name_reaches_nobodys_bill(bench: Bench) {
    // Before the account is there, whoever guesses its UID gets a ledger of its own and holds no identity of the owner's.
    let mut foreign = interaction("mallory", "t1");
    foreign.tenant_uid = TenantUid::parse(uid("acme")).unwrap();
    assert_eq!(bench.report(vec![by_worker(&foreign)]).await, [Verdict::Accepted]);
    let account = bench.account("acme").await;
    assert_eq!(
        bench.report(vec![by_worker(&interaction("acme", "t1"))]).await,
        [Verdict::Accepted]
    );
    // Once it is there, such records are refused one by one; the others of the batch are taken.
    let verdicts = bench
        .report(vec![
            by_worker(&foreign),
            by_worker(&interaction("mallory", "t2")),
        ])
        .await;
    assert!(matches!(
        verdicts.as_slice(),
        [Verdict::Rejected(Reason::PermissionDenied, _), Verdict::Accepted]
    ));
    let draft = crate::bill::draft(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    assert_eq!(draft.total, "0.10");
}

pub(super) async fn concurrent_reports_of_the_same_records_count_each_once(bench: Bench) {
    let turns: Arc<Vec<_>> = Arc::new(
        (0..200)
            .map(|turn| interaction("acme", &format!("t{turn}")))
            .collect(),
    );
    let stores = [bench.store.clone(), bench.again().await];
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..6_usize {
        let (store, turns) = (stores[task % 2].clone(), turns.clone());
        tasks.spawn(async move {
            let mut accepted = 0;
            for batch in turns.chunks(if task < 3 { 40 } else { 70 }) {
                let report = |turn| {
                    if task % 3 == 0 {
                        by_worker(turn)
                    } else {
                        by_gateway(turn, Delivery::Delivered)
                    }
                };
                let mut batch: Vec<_> = batch.iter().map(report).collect();
                if task % 2 == 1 {
                    batch.reverse();
                }
                let verdicts = store.ingest(&batch, now()).await.unwrap();
                accepted += verdicts
                    .iter()
                    .filter(|verdict| **verdict == Verdict::Accepted)
                    .count();
            }
            accepted
        });
    }
    let accepted: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(accepted, 200);
    assert_eq!(bench.interactions("acme").await, count(200));
}

pub(super) async fn events_equal_buckets_after_any_history(bench: Bench) {
    // A history that is the same at each run, from a small generator.
    let mut state = 7_u64;
    let mut draw = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..40 {
        let batch = (0..25)
            .map(|_| {
                let mut turn = interaction("acme", &format!("t{}", draw(120)));
                turn.arrived_at = at("2026-11-11T00:00:00Z");
                if draw(6) == 0 {
                    turn.kind = InteractionKind::List;
                }
                match draw(4) {
                    0 => by_worker(&turn),
                    1 => by_gateway(&turn, Delivery::Undelivered),
                    2 => by_gateway(&turn, Delivery::Unspecified),
                    _ => by_gateway(
                        &turn,
                        if draw(2) == 0 {
                            Delivery::Delivered
                        } else {
                            Delivery::Undelivered
                        },
                    ),
                }
            })
            .collect();
        bench.report(batch).await;
    }
    // From what witnesses said, without the standing that ingest keeps.
    let naive = "SELECT count(*) FROM event e WHERE NOT EXISTS
            (SELECT 1 FROM provenance p WHERE p.key = e.key AND p.witness = 2 AND p.delivery = 1)
        OR EXISTS (SELECT 1 FROM provenance p WHERE p.key = e.key AND p.witness = 2 AND p.delivery = 2)";
    let billable = rows(&bench.store, naive).await;
    assert!(billable > 0 && billable < 120, "the history must have both kinds");
    assert_eq!(bench.interactions("acme").await, count(billable.into()));
    let (ledger, _) = bench.store.ledgers_named("acme").await.unwrap()[0];
    let exported: Vec<_> = bench
        .store
        .export(ledger, "acme", &november())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(i64::try_from(exported.len()).unwrap(), billable);
}

pub(super) async fn what_is_supposed_of_a_batch_changes_nothing_of_what_becomes_of_it(bench: Bench) {
    let reference = Bench::sqlite().await;
    let mut state = 11_u64;
    let mut draw = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for tenant in 0..25 {
        let tenant = format!("tenant-{tenant}");
        // In most histories the gateway follows the worker, in some they mix, repeat each other or differ.
        let (variety, batches) = (1 + draw(12), 2 + draw(4));
        for number in 0..batches {
            let is_worker = number % 2 == 0 || draw(5) == 0;
            let first = if draw(4) == 0 { draw(10) } else { 0 };
            // Now and then with other bytes under an identity of the same batch.
            let mut turns: Vec<_> = (first..first + 8).map(|turn| (turn, false)).collect();
            match draw(6) {
                0 => turns.push((first, true)),
                1 => turns.insert(0, (first, true)),
                _ => {}
            }
            let batch: Vec<_> = turns
                .into_iter()
                .map(|(turn, is_other)| {
                    let mut turn = interaction(&tenant, &format!("t{turn}"));
                    if is_other || draw(variety * 10) == 0 {
                        turn.kind = InteractionKind::List;
                    }
                    if is_worker {
                        by_worker(&turn)
                    } else {
                        let said = [Delivery::Delivered, Delivery::Undelivered, Delivery::Unspecified];
                        by_gateway(&turn, said[usize::try_from(draw(3)).unwrap()])
                    }
                })
                .collect();
            let [said, expected] = [&bench, &reference].map(|bench| bench.store.rehearse(&batch, now()));
            assert_eq!(
                said.await.unwrap(),
                expected.await.unwrap(),
                "rehearsal {number} of {tenant}"
            );
            assert_eq!(
                bench.report(batch.clone()).await,
                reference.report(batch).await,
                "batch {number} of {tenant}"
            );
        }
        assert_eq!(
            bench.interactions(&tenant).await,
            reference.interactions(&tenant).await
        );
        let (one, other) = (said(&bench.store).await, said(&reference.store).await);
        assert_eq!(one, other, "after {tenant}");
    }
}

pub(super) async fn other_bytes_within_a_batch_say_what_they_say_of_the_delivery(bench: Bench) {
    let turn = interaction("acme", "t1");
    let mut other = turn.clone();
    other.kind = InteractionKind::List;
    bench.report(vec![by_worker(&turn)]).await;
    let verdicts = bench
        .report(vec![
            by_gateway(&other, Delivery::Delivered),
            by_gateway(&turn, Delivery::Undelivered),
        ])
        .await;
    assert_eq!(verdicts, [Verdict::Variant, Verdict::Duplicate]);
    assert_eq!(bench.interactions("acme").await, count(1));
}

/// Who said what of how many events, as people are shown it.
async fn said(store: &Store) -> Vec<(i64, String, i64, i64)> {
    on_readers!(store, pool => {
        let text = "SELECT witness, reporter, delivery, count(*) FROM provenance GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
        sqlx::query_as(text).fetch_all(pool).await
    })
    .unwrap()
}

pub(super) async fn the_export_is_what_is_billed_in_the_order_of_time(bench: Bench) {
    let timed = |turn: &str, time: &str, kind| {
        let mut interaction = interaction("acme", turn);
        (interaction.arrived_at, interaction.kind) = (at(time), kind);
        interaction
    };
    let late = timed("late", "2026-11-20T00:00:00Z", InteractionKind::List);
    let early = timed("early", "2026-11-02T00:00:00.25Z", InteractionKind::Sorry);
    let lost = timed("lost", "2026-11-03T00:00:00Z", InteractionKind::Answer);
    let outside = timed("outside", "2026-11-30T16:00:00Z", InteractionKind::Answer);
    bench
        .report(vec![
            by_worker(&late),
            by_gateway(&late, Delivery::Delivered),
            by_gateway(&early, Delivery::Delivered),
        ])
        .await;
    bench
        .report(vec![
            by_worker(&lost),
            by_gateway(&lost, Delivery::Undelivered),
            by_worker(&outside),
        ])
        .await;
    bench
        .report(vec![by_anyone(&usage_event("acme", "s1", "1"))])
        .await;
    let (ledger, _) = bench.store.ledgers_named("acme").await.unwrap()[0];
    let exported: Vec<_> = bench
        .store
        .export(ledger, "acme", &november())
        .try_collect()
        .await
        .unwrap();
    let lines: Vec<_> = exported
        .iter()
        .map(|event| serde_json::to_string(event).unwrap())
        .collect();
    assert_eq!(
        lines,
        [
            r#"{"tenant":"acme","conversation":"c1","turn":"early","time":"2026-11-02T00:00:00.25Z","meter":"unanswered","kind":"sorry","witnesses":["gateway"]}"#,
            r#"{"tenant":"acme","conversation":"c1","turn":"late","time":"2026-11-20T00:00:00Z","meter":"interactions","kind":"list","witnesses":["gateway","worker"]}"#,
        ]
    );
}

pub(super) async fn a_batch_of_ten_thousand_with_long_dimensions_is_taken(bench: Bench) {
    let records = (0..10_000)
        .map(|turn| by_worker(&interaction("acme", &format!("t{turn}"))))
        .collect();
    let verdicts = bench.report(records).await;
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Accepted));
    assert_eq!(bench.interactions("acme").await, count(10_000));
    let mut long = usage_event("acme", &"宽".repeat(130), "1");
    long.dimensions = (10..26)
        .map(|key| Dimension {
            key: format!("k{key}"),
            value: "宽".repeat(60),
        })
        .collect();
    assert_eq!(bench.report(vec![by_anyone(&long)]).await, [Verdict::Accepted]);
    assert_eq!(bench.report(vec![by_anyone(&long)]).await, [Verdict::Duplicate]);
}

pub(super) async fn concurrent_batches_through_the_writer_each_hear_their_own_verdicts(bench: Bench) {
    let clock = Arc::new(ManualClock::new(now()));
    let (writer, task) = UsageWriter::start(bench.store.clone(), clock, Metrics::default()).unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for call in 0..50 {
        let writer = writer.clone();
        calls.spawn(async move {
            let mut records: Vec<_> = (0..=call % 3)
                .map(|turn| by_worker(&interaction("acme", &format!("t{call}-{turn}"))))
                .collect();
            records.push(by_anyone(&usage_event("acme", "x", "wrong")));
            let expected = records.len();
            let verdicts = writer.write(records).await.unwrap();
            assert_eq!(verdicts.len(), expected);
            assert!(
                verdicts[..expected - 1]
                    .iter()
                    .all(|verdict| *verdict == Verdict::Accepted)
            );
            assert!(matches!(verdicts[expected - 1], Verdict::Rejected(..)));
            expected - 1
        });
    }
    let accepted: usize = calls.join_all().await.into_iter().sum();
    drop(writer);
    task.await.unwrap();
    assert_eq!(
        bench.interactions("acme").await,
        count(i128::try_from(accepted).unwrap())
    );
}

pub(super) async fn a_database_that_is_away_acknowledges_nothing(bench: Bench) {
    let clock = Arc::new(ManualClock::new(now()));
    let (writer, _task) = UsageWriter::start(bench.store.clone(), clock, Metrics::default()).unwrap();
    let verdicts = writer
        .write(vec![by_worker(&interaction("acme", "before"))])
        .await;
    assert_eq!(verdicts.unwrap(), [Verdict::Accepted]);
    bench.take_away().await;
    let turn = interaction("acme", "t1");
    let refused = writer.write(vec![by_worker(&turn)]).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Unavailable);
    let again = bench.bring_back().await;
    assert_eq!(
        again.ingest(&[by_worker(&turn)], now()).await.unwrap(),
        [Verdict::Accepted]
    );
    // A server has to be started again for a file that was closed, and for no database that came back.
    if matches!(bench.store, Store::Postgres(_)) {
        assert_eq!(
            writer.write(vec![by_worker(&turn)]).await.unwrap(),
            [Verdict::Duplicate]
        );
    }
}

pub(super) async fn a_full_disk_acknowledges_nothing_and_loses_nothing_that_was(bench: Bench) {
    let Store::Sqlite(database) = &bench.store else {
        return;
    };
    bench
        .report(vec![by_worker(&interaction("acme", "before"))])
        .await;
    let limit = async |text: &'static str| {
        let mut transaction = database.begin().await.unwrap();
        sqlx::query(text).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
    };
    limit("PRAGMA max_page_count = 1").await;
    let clock = Arc::new(ManualClock::new(now()));
    let (writer, _task) = UsageWriter::start(bench.store.clone(), clock, Metrics::default()).unwrap();
    let records = || {
        (0..5_000)
            .map(|turn| by_worker(&interaction("acme", &format!("t{turn}"))))
            .collect()
    };
    assert_eq!(
        writer.write(records()).await.unwrap_err().reason,
        Reason::Unavailable
    );
    assert_eq!(bench.interactions("acme").await, count(1));
    limit("PRAGMA max_page_count = 1000000").await;
    assert!(
        writer
            .write(records())
            .await
            .unwrap()
            .iter()
            .all(|verdict| *verdict == Verdict::Accepted)
    );
    assert_eq!(bench.interactions("acme").await, count(5_001));
}

pub(super) async fn concurrent_words_on_delivery_add_up_whoever_comes_first(bench: Bench) {
    let stores = [bench.store.clone(), bench.again().await];
    for round in 0..12 {
        let turns: Arc<Vec<_>> = Arc::new(
            (0..100)
                .map(|turn| interaction("acme", &format!("{round}-{turn}")))
                .collect(),
        );
        bench.report(turns.iter().map(by_worker).collect()).await;
        let together = Arc::new(tokio::sync::Barrier::new(2));
        let mut tasks = tokio::task::JoinSet::new();
        for (store, delivery) in stores
            .clone()
            .into_iter()
            .zip([Delivery::Undelivered, Delivery::Delivered])
        {
            let (turns, together) = (turns.clone(), together.clone());
            tasks.spawn(async move {
                let records: Vec<_> = turns.iter().map(|turn| by_gateway(turn, delivery)).collect();
                together.wait().await;
                store.ingest(&records, now()).await.unwrap();
            });
        }
        tasks.join_all().await;
    }
    let unsaid = rows(
        &bench.store,
        "SELECT count(*) FROM event_key WHERE standing & 12 <> 12",
    )
    .await;
    assert_eq!(unsaid, 0, "each event remembers both words");
    assert_eq!(
        bench.interactions("acme").await,
        count(1200),
        "delivered outranks, and no bucket is raised twice"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_is_taken_while_readers_hold_every_connection() {
    let Some(bench) = Bench::postgres().await else {
        return;
    };
    let Store::Postgres(database) = &bench.store else {
        unreachable!()
    };
    let clock = Arc::new(ManualClock::new(now()));
    let (writer, task) = UsageWriter::start(bench.store.clone(), clock, Metrics::default()).unwrap();
    let mut held = Vec::new();
    for _ in 0..database.pool().options().get_max_connections() {
        held.push(database.pool().acquire().await.unwrap());
    }
    // Of a reporter that was not seen before, which is written down first.
    let verdicts = writer
        .write(vec![by_worker(&interaction("acme", "t1"))])
        .await
        .unwrap();
    assert_eq!(verdicts, [Verdict::Accepted]);
    drop(held);
    drop(writer);
    task.await.unwrap();
    assert_eq!(bench.interactions("acme").await, count(1));
}

pub(super) async fn a_meter_is_known_that_is_built_in_or_that_a_plan_of_the_tenant_names_at_any_time(
    bench: Bench,
) {
    let event = |tenant: &str, meter: &str, id: &str| {
        by_anyone(&UsageEvent {
            meter: meter.into(),
            ..usage_event(tenant, id, "1")
        })
    };
    let names = async |bench: &Bench, tenant: &str, meter: &str, id: &str| {
        let verdict = bench.report(vec![event(tenant, meter, id)]).await.remove(0);
        verdict == Verdict::Accepted
    };
    // Before there is an account, what is built in is taken, and what a plan may name later is kept.
    assert!(names(&bench, "acme", "handoffs", "a").await);
    assert!(!names(&bench, "acme", "storage", "b").await);
    let spec = |meter: &str| {
        format!(
            r#"{{"currency":"CNY","timeZone":"UTC","charges":[{{"name":"a","meter":"{meter}","model":"PerUnit","unitPrice":"1"}}]}}"#
        )
    };
    bench.register_with_plan("acme", &spec("storage")).await;
    assert!(names(&bench, "acme", "storage", "b").await);
    assert!(!names(&bench, "acme", "interaction", "c").await, "misspelt");
    bench.register_with_plan("other", &spec("tickets")).await;
    assert!(
        !names(&bench, "acme", "tickets", "d").await,
        "of another tenant's plan"
    );
    // One wrong event of a batch keeps no other out.
    let batch = vec![
        event("acme", "storage", "e"),
        event("acme", "tickets", "f"),
        event("other", "tickets", "g"),
        by_worker(&interaction("acme", "t1")),
    ];
    let verdicts = bench.report(batch).await;
    let said: Vec<_> = verdicts.iter().map(Verdict::name).collect();
    assert_eq!(said, ["accepted", "rejected", "accepted", "accepted"]);
    let Verdict::Rejected(reason, message) = &verdicts[1] else {
        panic!("{verdicts:?}")
    };
    assert_eq!(*reason, Reason::EventRejected);
    assert!(message.starts_with("meter tickets is not known"), "{message}");
    assert_eq!(bench.sum("acme", "storage", None).await, count(2));
}
