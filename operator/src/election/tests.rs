use serde_json::json;
use springtide_runtime::clock::SystemClock;

use super::*;
use crate::controllers::testing::FakeApi;

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/system/leases/operator";
const LONG: Duration = Duration::from_secs(10);

struct Candidate {
    standing: Standing,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn settings(retry_period: Duration, name: &str) -> Settings {
    Settings {
        namespace: "system".to_owned(),
        lease: "operator".to_owned(),
        identity: format!("{name}@10.0.0.1:7444"),
        lease_duration: Duration::from_secs(1),
        renew_deadline: Duration::from_millis(300),
        retry_period,
    }
}

fn candidate(api: &FakeApi, name: &str) -> Candidate {
    let settings = settings(Duration::from_millis(20), name);
    let (election, standing) = Election::new(api.client(), settings, Arc::new(SystemClock));
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(election.run(shutdown.clone()));
    Candidate {
        standing,
        shutdown,
        task,
    }
}

impl Candidate {
    async fn until(&mut self, wanted: impl FnMut(&Option<u64>) -> bool) -> Option<u64> {
        *tokio::time::timeout(LONG, self.standing.term.wait_for(wanted))
            .await
            .expect("in time")
            .unwrap()
    }

    async fn end(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

fn lease_of(holder: &str, transitions: i32) -> serde_json::Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 1, "leaseTransitions": transitions, "renewTime": "2026-11-10T12:00:00.000000Z"},
    })
}

#[tokio::test]
async fn the_first_candidate_leads_and_its_successor_has_a_higher_term() {
    let api = FakeApi::default();
    let mut first = candidate(&api, "one");
    assert_eq!(first.until(Option::is_some).await, Some(1));
    first.end().await;
    assert_eq!(api.get(LEASE).unwrap()["spec"]["holderIdentity"], "", "released");
    let mut second = candidate(&api, "two");
    assert_eq!(second.until(Option::is_some).await, Some(2));
    second.end().await;
}

#[tokio::test]
async fn a_partitioned_leader_gives_up_at_its_renew_deadline() {
    let api = FakeApi::default();
    let mut leader = candidate(&api, "one");
    leader.until(Option::is_some).await;
    api.set_unreachable(true);
    let cut = Instant::now();
    leader.until(Option::is_none).await;
    assert!(
        cut.elapsed() < Duration::from_secs(1),
        "before another may take over"
    );
    assert_eq!(
        api.get(LEASE).unwrap()["spec"]["holderIdentity"],
        "one@10.0.0.1:7444"
    );
    api.set_unreachable(false);
    assert_eq!(
        leader.until(Option::is_some).await,
        Some(2),
        "and leads in a new term when it is back"
    );
    leader.end().await;
}

#[tokio::test]
async fn a_leader_whose_lease_another_took_stops_at_once() {
    let api = FakeApi::default();
    let mut leader = candidate(&api, "one");
    leader.until(Option::is_some).await;
    api.put(LEASE, lease_of("two@10.0.0.2:7444", 9));
    leader.until(Option::is_none).await;
    let hint = tokio::time::timeout(
        LONG,
        leader.standing.leader.wait_for(|hint| hint.transitions == 9),
    )
    .await
    .unwrap()
    .unwrap()
    .clone();
    assert_eq!((hint.address.as_str(), hint.transitions), ("10.0.0.2:7444", 9));
    leader.end().await;
}

#[tokio::test]
async fn anothers_lease_is_taken_only_when_it_has_not_changed_for_its_duration() {
    let api = FakeApi::default();
    api.put(LEASE, lease_of("two@10.0.0.2:7444", 4));
    let begun = Instant::now();
    let mut follower = candidate(&api, "one");
    assert_eq!(follower.until(Option::is_some).await, Some(5));
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "by our own clock, whatever the record's time says"
    );
    follower.end().await;
}

#[tokio::test]
async fn what_a_killed_process_of_ours_held_is_not_ours_at_once_but_what_we_lost_ourselves_is() {
    let now = Instant::now();
    let own = settings(LONG, "one");
    let lease: Lease = serde_json::from_value(lease_of(&own.identity, 4)).unwrap();
    let api = FakeApi::default();
    let (mut started, _standing) = Election::new(api.client(), own, Arc::new(SystemClock));
    started.observe(&lease, now);
    assert!(!started.is_free(&lease, now), "others have watched all the while");
    assert!(started.is_free(&lease, now + Duration::from_secs(1)));
    started.settle(Ok(lease.clone()), now).unwrap();
    started.lose();
    assert!(started.is_free(&lease, now), "nobody has watched longer");
}

#[tokio::test]
async fn a_follower_is_back_at_the_instant_from_which_it_may_take_over() {
    let (retry, now) = (LONG, Instant::now());
    let (mut election, _standing) = Election::new(
        FakeApi::default().client(),
        settings(retry, "one"),
        Arc::new(SystemClock),
    );
    assert_eq!(election.latest_wake(now), now + retry, "it knows of no lease");
    let lease: Lease = serde_json::from_value(lease_of("two@10.0.0.2:7444", 4)).unwrap();
    election.observe(&lease, now);
    let lease_ends = now + Duration::from_secs(1);
    assert_eq!(election.latest_wake(now), lease_ends);
    assert!(election.is_free(&lease, lease_ends));
    assert_eq!(
        election.latest_wake(lease_ends),
        lease_ends + retry,
        "others may be faster: no busy loop"
    );
}

#[tokio::test]
async fn the_lease_is_released_only_when_writers_have_stopped() {
    let api = FakeApi::default();
    let mut leader = candidate(&api, "one");
    leader.until(Option::is_some).await;
    let writing = leader.standing.writers.clone().lock_owned().await;
    leader.shutdown.cancel();
    leader.until(Option::is_none).await;
    assert_ne!(api.get(LEASE).unwrap()["spec"]["holderIdentity"], "");
    drop(writing);
    leader.task.await.unwrap();
    assert_eq!(api.get(LEASE).unwrap()["spec"]["holderIdentity"], "");
}
