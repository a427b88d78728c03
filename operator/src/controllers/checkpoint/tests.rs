use std::sync::Arc;

use http::Method;
use jiff::SignedDuration;
use k8s_openapi::ByteString;
use kube::api::ObjectMeta;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::shards::{Entries, MOST_BYTES, SHARDS, config_map, fit, name_of, shard_of};
use super::write::{LAST_WRITE, write};
use super::*;
use crate::api::BotPool;
use crate::autoscale::{Learned, MOST_CHECKPOINT_BYTES};
use crate::controllers::live::LivePool;
use crate::controllers::testing::{Cached, FakeApi, NOW, Scenario, acme, key, web};
use crate::fleet::testing::gateway;

const MAPS: &str = "/api/v1/namespaces/springtide-system/configmaps";

fn pool() -> BotPool {
    web(json!({"min": 1, "max": 10}))
}

/// The UID of [`pool`].
const UID: &str = "pool-uid";

fn map_of(uid: &str) -> String {
    format!("{MAPS}/{}", name_of(shard_of(uid)))
}

/// A leader of the cluster that `api` keeps.
fn leader(api: &FakeApi) -> Scenario {
    let cached = Cached {
        tenants: vec![acme()],
        pools: vec![pool()],
        ..Cached::default()
    };
    Scenario::on(api, cached)
}

async fn decided(scenario: &Scenario) -> LivePool {
    scenario.know(&pool());
    let reconciled = super::super::pool::reconcile(Arc::new(pool()), scenario.context.clone()).await;
    reconciled.unwrap();
    scenario.context.live.pool(&key()).unwrap()
}

async fn keep_all(scenario: &Scenario) {
    for shard in 0..SHARDS {
        write(&scenario.context, shard).await.unwrap();
    }
}

fn writes(api: &FakeApi) -> Vec<Value> {
    let calls = api.calls(&Method::PATCH, "/configmaps/").into_iter();
    calls.map(|call| call.body).collect()
}

/// A day of full load, seen from day to day for three weeks, and starts of 12 seconds.
fn experience() -> Learned {
    let mut learned = Learned::default();
    let time: jiff::Timestamp = NOW.parse().unwrap();
    let begin = time - SignedDuration::from_hours(24 * 21);
    for step in 0..=21 * 24 * 120 {
        learned
            .baseline
            .observe(begin + SignedDuration::from_secs(30) * step, "UTC", Some(40));
    }
    for _ in 0..20 {
        learned.starts.push(Duration::from_secs(12));
    }
    let hour = Duration::from_hours(1);
    learned.load.push(Duration::from_mins(40), 150, hour);
    learned
}

/// The shard of the pool, as an earlier leader left it.
fn left_behind(api: &FakeApi, bytes: Vec<u8>) {
    let entries = Entries::from([(UID.to_owned(), bytes)]);
    let map = config_map("springtide-system", shard_of(UID), &entries);
    api.put(&map_of(UID), serde_json::to_value(map).unwrap());
}

fn experienced() -> Vec<u8> {
    let kept = experience().checkpoint(Duration::from_hours(1), NOW.parse().unwrap());
    kept.encode()
}

#[tokio::test]
async fn a_new_leader_knows_what_the_old_one_had_learned() {
    let api = FakeApi::default();
    left_behind(&api, experienced());
    let old = leader(&api);
    read_all(&old.context).await;
    let _commands = gateway(&old.context.fleet, &key(), "g1", 170);
    let before = decided(&old).await;
    assert_eq!((before.peak, before.start_time), (170, Duration::from_secs(12)));
    assert_eq!(before.baseline, experience().baseline.learned());
    keep_all(&old).await;
    drop(old);

    let new = leader(&api);
    read_all(&new.context).await;
    let after = decided(&new).await;
    assert_eq!(after.active + after.waiting, 0, "it has heard nobody yet");
    assert_eq!((after.peak, after.start_time), (before.peak, before.start_time));
    assert_eq!(after.baseline, before.baseline);
    let decision = after.decision.observation.start_time;
    assert_eq!(decision, Duration::from_secs(12), "it decides by it");
}

#[tokio::test]
async fn a_leader_that_watched_the_shards_asks_for_none_of_them() {
    let api = FakeApi::default();
    let scenario = leader(&api);
    let shown = scenario.context.stores.checkpoints.clone();
    let (other, shard) = ("other-uid".to_owned(), shard_of(UID));
    let map_of = |shard, uid: &str| {
        let entries = Entries::from([(uid.to_owned(), experienced())]);
        config_map("springtide-system", shard, &entries)
    };
    shown.take(Event::Init);
    shown.take(Event::InitApply(map_of(shard_of(&other), &other)));
    assert_eq!(shown.of(shard), None, "not all are listed");
    shown.take(Event::InitDone);
    assert_eq!(shown.of(shard), Some(Entries::new()), "there is none");
    shown.take(Event::Delete(map_of(shard_of(&other), &other)));
    shown.take(Event::Apply(map_of(shard, UID)));

    api.set_unreachable(true);
    let read = tokio::time::timeout(Duration::from_millis(100), read_all(&scenario.context));
    read.await.expect("nobody is asked");
    api.set_unreachable(false);
    assert!(matches!(earlier(&scenario.context, &other), Earlier::Nothing));
    keep_all(&scenario).await;
    assert_eq!(writes(&api).len(), 0, "what waits is there already");
    assert_eq!(decided(&scenario).await.peak, 150);
}

#[tokio::test]
async fn a_leader_that_ends_in_order_leaves_what_it_knows_now() {
    let api = FakeApi::default();
    let old = leader(&api);
    read_all(&old.context).await;
    let _commands = gateway(&old.context.fleet, &key(), "g1", 170);
    decided(&old).await;
    keep_last(&old.context).await;
    assert_eq!(writes(&api).len(), 1, "and nothing that has not changed");
    drop(old);
    let new = leader(&api);
    read_all(&new.context).await;
    assert_eq!(decided(&new).await.peak, 170);
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_holds_up_no_end_of_a_term() {
    let api = FakeApi::default();
    let scenario = leader(&api);
    api.set_unreachable(true);
    let ended = tokio::time::timeout(Duration::from_secs(8), keep_last(&scenario.context)).await;
    assert!(ended.is_ok(), "a call fails only after ten seconds");
    assert!(
        LAST_WRITE < crate::election::RELEASE_TIMEOUT,
        "the lease is released"
    );
}

#[tokio::test]
async fn nothing_is_written_when_nothing_changed() {
    let api = FakeApi::default();
    let scenario = leader(&api);
    read_all(&scenario.context).await;
    decided(&scenario).await;
    keep_all(&scenario).await;
    assert_eq!(writes(&api).len(), 0, "an idle pool has taught nothing");

    let scenario = leader(&api);
    left_behind(&api, experienced());
    read_all(&scenario.context).await;
    keep_all(&scenario).await;
    assert_eq!(writes(&api).len(), 0, "what waits is there already");
    decided(&scenario).await;
    keep_all(&scenario).await;
    keep_all(&scenario).await;
    assert_eq!(writes(&api).len(), 0, "what was taken over is there already");

    let _commands = gateway(&scenario.context.fleet, &key(), "g1", 190);
    decided(&scenario).await;
    keep_all(&scenario).await;
    keep_all(&scenario).await;
    let written = writes(&api);
    assert_eq!(written.len(), 1);
    assert_eq!(
        written[0]["metadata"]["labels"]["app.kubernetes.io/name"],
        "springtide-operator"
    );
}

#[tokio::test]
async fn an_entry_that_is_not_understood_loses_nothing_else() {
    let api = FakeApi::default();
    left_behind(&api, vec![99, 1, 2, 3]);
    // Another shard is no ConfigMap at all.
    let broken = (0..SHARDS).find(|shard| *shard != shard_of(UID)).unwrap();
    let path = format!("{MAPS}/{}", name_of(broken));
    api.put(&path, json!({"metadata": {}, "binaryData": {"x": 7}}));
    let scenario = leader(&api);
    read_all(&scenario.context).await;
    let live = decided(&scenario).await;
    assert_eq!((live.peak, live.desired), (0, 1), "it begins anew");
    let labels = CheckpointLabels {
        outcome: "not_understood",
    };
    let count = scenario.context.metrics.checkpoints.get_or_create(&labels).get();
    assert_eq!(count, 2);
    for shard in 0..SHARDS {
        assert!(scenario.context.checkpoints.is_read(shard));
    }
}

#[tokio::test]
async fn an_entry_that_is_not_understood_takes_none_beside_it_along() {
    let api = FakeApi::default();
    let beside = (0..).map(|number| format!("pool-{number}"));
    let beside = beside
        .into_iter()
        .find(|uid| shard_of(uid) == shard_of(UID))
        .unwrap();
    let entries = Entries::from([(UID.to_owned(), experienced()), (beside.clone(), vec![0; 9])]);
    let map = config_map("springtide-system", shard_of(UID), &entries);
    api.put(&map_of(UID), serde_json::to_value(map).unwrap());
    let scenario = leader(&api);
    read_all(&scenario.context).await;
    assert!(matches!(earlier(&scenario.context, &beside), Earlier::Nothing));
    assert_eq!(decided(&scenario).await.peak, 150);
}

#[tokio::test]
async fn the_entry_of_a_pool_that_is_gone_is_dropped_and_that_of_one_not_decided_yet_stays() {
    let api = FakeApi::default();
    let gone = (0..).map(|number| format!("gone-{number}"));
    let gone = gone
        .into_iter()
        .find(|uid| shard_of(uid) == shard_of(UID))
        .unwrap();
    let entries = Entries::from([(UID.to_owned(), experienced()), (gone, experienced())]);
    let map = config_map("springtide-system", shard_of(UID), &entries);
    api.put(&map_of(UID), serde_json::to_value(map).unwrap());
    let scenario = leader(&api);
    read_all(&scenario.context).await;
    keep_all(&scenario).await;
    let written = writes(&api);
    assert_eq!(written.len(), 1);
    let kept = serde_json::to_value(ByteString(experienced())).unwrap();
    assert_eq!(written[0]["binaryData"], json!({ UID: kept }));
    assert_eq!(decided(&scenario).await.peak, 150);
}

#[tokio::test]
async fn a_pool_that_was_made_again_under_its_name_is_learned_anew() {
    let api = FakeApi::default();
    left_behind(&api, experienced());
    let scenario = leader(&api);
    read_all(&scenario.context).await;
    assert_eq!(decided(&scenario).await.peak, 150);
    let other = BotPool {
        metadata: ObjectMeta {
            uid: Some("other-uid".to_owned()),
            ..pool().metadata
        },
        ..pool()
    };
    let reconciled = super::super::pool::reconcile(Arc::new(other), scenario.context.clone()).await;
    reconciled.unwrap();
    assert_eq!(scenario.context.live.pool(&key()).unwrap().peak, 0);
}

#[tokio::test]
async fn without_an_answer_pools_are_decided_and_what_was_not_read_is_not_overwritten() {
    let api = FakeApi::default();
    left_behind(&api, experienced());
    let scenario = leader(&api);
    api.set_unreachable(true);
    read_all(&scenario.context).await;
    let written = write(&scenario.context, shard_of(UID));
    let written = tokio::time::timeout(Duration::from_millis(20), written).await;
    assert!(written.is_err(), "it waits for the API server");
    api.set_unreachable(false);
    let _commands = gateway(&scenario.context.fleet, &key(), "g1", 30);
    assert_eq!(decided(&scenario).await.peak, 30);

    write(&scenario.context, shard_of(UID)).await.unwrap();
    assert_eq!(writes(&api).len(), 0, "it is read first");
    assert_eq!(decided(&scenario).await.peak, 150, "and taken over late");
}

#[test]
fn shards_of_five_thousand_pools_with_all_that_can_be_learned_stay_below_their_bound() {
    let mut shards = vec![Entries::new(); usize::from(SHARDS)];
    for pool in 0..5_000_u32 {
        let uid = format!(
            "{:08x}-0000-4000-8000-{pool:012x}",
            pool.wrapping_mul(2_654_435_761)
        );
        shards[usize::from(shard_of(&uid))].insert(uid, vec![0xff; MOST_CHECKPOINT_BYTES]);
    }
    let mut largest = 0;
    for (shard, entries) in (0..).zip(&mut shards) {
        assert_eq!(fit(entries), 0);
        let map = config_map("springtide-system", shard, entries);
        largest = largest.max(serde_json::to_vec(&map).unwrap().len());
    }
    assert!((500_000..700 * 1024).contains(&largest), "{largest}");
}

#[test]
fn what_does_not_fit_is_left_out_and_counted() {
    let entry = |number: usize| (format!("{number:036}"), vec![0; MOST_CHECKPOINT_BYTES]);
    let mut entries: Entries = (0..200).map(entry).collect();
    let left_out = fit(&mut entries);
    let bytes: usize = entries.iter().map(|(uid, entry)| uid.len() + entry.len()).sum();
    assert!(bytes <= MOST_BYTES);
    assert_eq!(entries.len(), 200 - usize::try_from(left_out).unwrap());
    assert!(left_out > 0);
    let map = config_map("springtide-system", 0, &entries);
    assert!(serde_json::to_vec(&map).unwrap().len() < 700 * 1024);
}
