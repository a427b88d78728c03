//! Small batches that PostgreSQL takes by one statement.

use std::collections::BTreeSet;

use springtide_proto::metering::Delivery;

use super::support::*;
use crate::bill::issue;
use crate::metering::report::Verdict;
use crate::store::Store;
use crate::store::ingest::IngestDatabase as _;

/// The open statement of a tenant's ledger as it was last seen.
fn seen(bench: &Bench, tenant: &str) -> Option<i64> {
    let Store::Postgres(database) = &bench.store else {
        panic!("no PostgreSQL")
    };
    let party = details(tenant).party;
    let ledgers = database.last_seen(&BTreeSet::from([&party]), 1)?;
    Some(ledgers[0].3)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_lands_in_the_statement_that_is_open_and_not_in_the_one_that_was_seen() {
    let Some(bench) = Bench::postgres().await else {
        return;
    };
    let account = bench.account("acme").await;
    let turn = |turn| by_worker(&interaction("acme", turn));
    assert_eq!(seen(&bench, "acme"), None);
    assert_eq!(bench.report(vec![turn("t1")]).await, [Verdict::Accepted]);
    assert_eq!(seen(&bench, "acme"), Some(1));
    assert_eq!(bench.report(vec![turn("t2"), turn("t3")]).await.len(), 2);
    // By another process, as it were: what this one has seen stays as it was.
    issue(&bench.again().await, &account, november_period(), now())
        .await
        .unwrap();
    assert_eq!(seen(&bench, "acme"), Some(1));
    let verdicts = bench.report(vec![turn("t4"), turn("t5")]).await;
    assert_eq!(verdicts, [Verdict::Accepted, Verdict::Accepted]);
    assert_eq!(seen(&bench, "acme"), Some(2));
    for (statement, expected) in [(1, 3), (2, 2)] {
        let sum = bench.sum("acme", "interactions", Some(statement)).await;
        assert_eq!(sum, count(expected), "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_with_a_known_event_is_taken_whole_and_counts_it_once() {
    let Some(bench) = Bench::postgres().await else {
        return;
    };
    bench.account("acme").await;
    let turn = |turn| by_worker(&interaction("acme", turn));
    bench.report(vec![turn("t1")]).await;
    let verdicts = bench.report(vec![turn("t2"), turn("t1"), turn("t3")]).await;
    assert_eq!(
        verdicts,
        [Verdict::Accepted, Verdict::Duplicate, Verdict::Accepted]
    );
    let delivered = by_gateway(&interaction("acme", "t3"), Delivery::Delivered);
    assert_eq!(bench.report(vec![delivered]).await, [Verdict::Duplicate]);
    assert_eq!(bench.interactions("acme").await, count(3));
}
