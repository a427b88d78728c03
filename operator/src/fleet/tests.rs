//! Streams of workers and gateways that say what cannot be true, and of those that say nothing.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::channel::mpsc as small;
use jiff::Timestamp;
use springtide_proto::epoch::Epoch;
use springtide_proto::fleet::worker_command::Command;
use springtide_proto::fleet::{
    CordonAcknowledged, GatewayHello, GatewayLoad, GatewayMessage, WorkerHello, WorkerLoad, WorkerMessage,
    gateway_message, worker_message,
};
use springtide_proto::ids::{PoolId, TenantId};
use springtide_proto::time::timestamp_to_wire;
use springtide_runtime::clock::ManualClock;
use springtide_runtime::identity::{PeerIdentity, TenantRole};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::testing::TestWorker;
use super::*;
use crate::election::LeaderHint;

fn key() -> PoolKey {
    PoolKey {
        tenant: TenantId::parse("acme").unwrap(),
        pool: PoolId::parse("web").unwrap(),
    }
}

struct Leading {
    fleet: Fleet,
    leader: watch::Sender<LeaderHint>,
    _steps: mpsc::UnboundedReceiver<PoolKey>,
}

fn leading() -> Leading {
    let leading = following();
    leading.fleet.begin(7);
    let none = std::collections::BTreeMap::new();
    leading
        .fleet
        .with_book(|book| book.sync_workers(&key(), &none, 20, true));
    leading
}

/// One that does not lead yet.
fn following() -> Leading {
    let (sender, step_queue) = mpsc::unbounded_channel();
    let (leader, receiver) = watch::channel(LeaderHint::default());
    let settings = FleetSettings {
        leader: receiver,
        address: "10.0.0.1:7444".to_owned(),
        prober: None,
        clock: Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)),
        steps: sender,
    };
    Leading {
        fleet: Fleet::new(settings, FleetMetrics::default()),
        leader,
        _steps: step_queue,
    }
}

impl Leading {
    fn view(&self) -> PoolView {
        let now = self.fleet.now();
        self.fleet.with_book(|book| book.view(&key(), now)).unwrap()
    }

    /// Messages of workers and of gateways that were refused.
    fn refused(&self) -> (u64, u64) {
        let refused = &self.fleet.inner().metrics.refused;
        let of = |peer| refused.get_or_create(peer).get();
        (of(&worker_stream::WORKERS), of(&gateway_stream::GATEWAYS))
    }

    /// A worker says all that, then its stream ends.
    async fn worker_says(&self, messages: Vec<worker_message::Message>) {
        let said = messages.into_iter().map(|message| {
            Ok(WorkerMessage {
                message: Some(message),
            })
        });
        let peer = PeerIdentity::tenant(&key().tenant, TenantRole::Worker);
        let (out, _commands) = small::channel(64);
        worker_stream::serve(self.fleet.inner(), peer, futures::stream::iter(said), out).await;
    }

    /// A gateway says all that, then its stream ends.
    async fn gateway_says(&self, messages: Vec<gateway_message::Message>) {
        let said = messages.into_iter().map(|message| {
            Ok(GatewayMessage {
                message: Some(message),
            })
        });
        let peer = PeerIdentity::tenant(&key().tenant, TenantRole::Gateway);
        let (out, _commands) = small::channel(64);
        gateway_stream::serve(self.fleet.inner(), peer, futures::stream::iter(said), out).await;
    }
}

fn worker_hello(capacity: u32) -> worker_message::Message {
    worker_message::Message::Hello(WorkerHello {
        tenant: "acme".to_owned(),
        pool: "web".to_owned(),
        pod: "web-0".to_owned(),
        pod_uid: "u0".to_owned(),
        boot_id: "boot".to_owned(),
        address: "10.0.0.1:7443".to_owned(),
        capacity,
        ..WorkerHello::default()
    })
}

fn load(sequence: u64, active: u32, measured_second: i64) -> worker_message::Message {
    let measured = Timestamp::from_second(measured_second).unwrap();
    worker_message::Message::Load(WorkerLoad {
        sequence,
        active,
        accepting: true,
        measured_at: Some(timestamp_to_wire(measured)),
        ..WorkerLoad::default()
    })
}

fn acknowledged(epoch: Option<Epoch>) -> worker_message::Message {
    let epoch = epoch.map(Into::into);
    worker_message::Message::CordonAcknowledged(CordonAcknowledged { epoch })
}

#[tokio::test]
async fn a_worker_that_reports_nonsense_moves_nothing_and_each_message_is_counted() {
    let leading = leading();
    let next_week = 7 * 24 * 3_600;
    let foreign = Epoch {
        transitions: 6,
        sequence: 1,
    };
    let nonsense = vec![
        load(2, 20, 0),
        load(1, 20, 0),
        load(5_000_000, 20, 0),
        load(3, 21, 0),
        load(3, 20, next_week),
        acknowledged(Some(foreign)),
        acknowledged(None),
        worker_hello(20),
    ];
    let count = u64::try_from(nonsense.len()).unwrap();
    let good = vec![worker_hello(20), load(2, 5, 0)];
    leading
        .worker_says(good.into_iter().chain(nonsense).collect())
        .await;
    assert_eq!(leading.refused(), (count, 0));
    let worker = leading.view().workers[0].clone();
    assert_eq!((worker.active, worker.reported), (5, true));

    leading
        .worker_says(vec![worker_hello(1_000), load(3, 1_000, 0)])
        .await;
    assert_eq!(leading.refused(), (count + 1, 0), "its pool gives 20");
    assert_eq!(leading.view().workers[0].active, 5);
}

#[tokio::test]
async fn a_gateway_that_reports_nonsense_moves_nothing_and_each_message_is_counted() {
    let leading = leading();
    let hello = gateway_message::Message::Hello(GatewayHello {
        tenant: "acme".to_owned(),
        pod: "gateway-0".to_owned(),
        pod_uid: "g0".to_owned(),
        boot_id: "boot".to_owned(),
        pools: vec!["web".to_owned()],
        ..GatewayHello::default()
    });
    let load = |sequence, waiting, pool: &str| {
        gateway_message::Message::Load(GatewayLoad {
            sequence,
            waiting,
            pool: pool.to_owned(),
            measured_at: Some(timestamp_to_wire(Timestamp::UNIX_EPOCH)),
            ..GatewayLoad::default()
        })
    };
    let messages = vec![
        hello,
        load(2, 7, "web"),
        load(2, 90, "web"),
        load(9_000_000, 90, "web"),
        load(3, 4_000_000, "web"),
        load(3, 90, "another"),
    ];
    leading.gateway_says(messages).await;
    assert_eq!(leading.refused(), (0, 4));
    assert_eq!(leading.view().gateways[0].waiting, 7);
}

#[tokio::test]
async fn a_worker_that_is_not_heard_is_noticed_within_two_and_a_half_seconds_and_not_before_it_missed_two_reports()
 {
    for phase in 0..20 {
        let leading = leading();
        let mut worker = TestWorker::attach(&leading.fleet, &key(), "web-0", "u0");
        worker.report(&leading.fleet, 3, 0, true);
        // Looks come whenever they come.
        let mut unheard = SILENCE_PERIOD * phase / 20;
        leading.fleet.skip(unheard);
        while leading.fleet.fell_silent().is_empty() {
            leading.fleet.skip(SILENCE_PERIOD);
            unheard += SILENCE_PERIOD;
        }
        assert!(unheard <= Duration::from_millis(2_500), "{unheard:?}");
        assert!(unheard > Duration::from_secs(2), "{unheard:?}");
        assert!(leading.view().workers[0].silent);
    }
}

fn said(message: worker_message::Message) -> WorkerMessage {
    WorkerMessage {
        message: Some(message),
    }
}

#[tokio::test]
async fn a_stream_outlives_an_interruption_of_the_lease_and_ends_with_the_term() {
    let leading = leading();
    let (messages, queue) = mpsc::unbounded_channel();
    let peer = PeerIdentity::tenant(&key().tenant, TenantRole::Worker);
    let (out, mut commands) = small::channel(64);
    let stream = tokio::spawn(worker_stream::serve(
        leading.fleet.inner(),
        peer,
        UnboundedReceiverStream::new(queue).map(Ok),
        out,
    ));
    messages.send(said(worker_hello(20))).unwrap();
    messages.send(said(load(1, 5, 0))).unwrap();
    let mut epoch_of_next = async || {
        let command = commands.next().await.unwrap().unwrap().command.unwrap();
        match command {
            Command::Welcome(welcome) => welcome.epoch,
            Command::Cordon(cordon) => cordon.epoch,
            other => panic!("{other:?}"),
        }
        .map(Epoch::from)
        .unwrap()
    };
    assert_eq!(epoch_of_next().await.transitions, 7);
    let cordon = |fleet: &Fleet| {
        let now = fleet.now();
        fleet.with_book(|book| book.cordon(&key(), "u0", Duration::from_mins(1), now));
    };
    cordon(&leading.fleet);
    let overtaken = epoch_of_next().await;

    leading.fleet.resume(8);
    assert_eq!(leading.view().workers[0].active, 5, "what is known stays");
    leading
        .fleet
        .with_book(|book| book.uncordon(&key(), "u0", leading.fleet.now()));
    cordon(&leading.fleet);
    // An acknowledgement of the term before comes late, and is no nonsense.
    messages.send(said(acknowledged(Some(overtaken)))).unwrap();
    messages.send(said(load(2, 6, 0))).unwrap();
    let later = loop {
        let command = commands.next().await.unwrap().unwrap().command.unwrap();
        if let Command::Cordon(cordon) = command {
            break Epoch::from(cordon.epoch.unwrap());
        }
    };
    assert!(later > overtaken && later.transitions == 8, "{later:?}");
    while leading.view().workers[0].active != 6 {
        tokio::task::yield_now().await;
    }
    assert_eq!(leading.refused(), (0, 0));

    leading.fleet.end();
    let last = commands.next().await.unwrap().unwrap().command.unwrap();
    assert!(matches!(last, Command::NotLeader(_)), "{last:?}");
    stream.await.unwrap();
}

/// What becomes of a worker that asks a follower which knows of a leader at 10.0.0.9 while `meanwhile` happens: where it is sent,
/// or nothing where it is welcome; and after how many milliseconds.
async fn asked(lost_leader: &str, meanwhile: impl FnOnce(&Leading)) -> (Option<String>, u128) {
    let following = following();
    following.leader.send_replace(LeaderHint {
        address: "10.0.0.9:7444".to_owned(),
        transitions: 6,
        changes: 3,
    });
    let worker_message::Message::Hello(mut hello) = worker_hello(20) else {
        unreachable!()
    };
    hello.lost_leader = lost_leader.to_owned();
    let hello = Ok(WorkerMessage {
        message: Some(worker_message::Message::Hello(hello)),
    });
    let messages = futures::stream::iter([hello]).chain(futures::stream::pending());
    let peer = PeerIdentity::tenant(&key().tenant, TenantRole::Worker);
    let (out, mut commands) = small::channel(64);
    let begun = tokio::time::Instant::now();
    let serving = worker_stream::serve(following.fleet.inner(), peer, messages, out);
    let _serving = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(serving));
    tokio::time::sleep(Duration::from_millis(100)).await;
    meanwhile(&following);
    let answer = match commands.next().await.unwrap().unwrap().command.unwrap() {
        Command::NotLeader(not_leader) => Some(not_leader.address),
        Command::Welcome(_) => None,
        other => panic!("{other:?}"),
    };
    (answer, begun.elapsed().as_millis())
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_lost_its_leader_asks_a_follower_once_and_is_told_or_taken_when_it_is_known_who_leads() {
    let hint = |address: &str, changes| {
        let address = address.to_owned();
        move |following: &Leading| {
            following.leader.send_replace(LeaderHint {
                address,
                transitions: 7,
                changes,
            });
        }
    };
    let sent = |address: &str| Some(address.to_owned());
    let lost = "10.0.0.9:7444";
    assert_eq!(asked("", |_| {}).await, (sent(lost), 100), "it lost nobody");
    assert_eq!(
        asked("10.0.0.5:7444", |_| {}).await,
        (sent(lost), 100),
        "it lost another"
    );
    assert_eq!(asked(lost, hint(lost, 4)).await, (sent(lost), 100), "it is alive");
    let other = "10.0.0.7:7444";
    assert_eq!(asked(lost, hint(other, 4)).await, (sent(other), 100));
    let begins = |following: &Leading| {
        hint("10.0.0.1:7444", 4)(following);
        following.fleet.begin(7);
    };
    assert_eq!(asked(lost, begins).await, (None, 100), "it leads itself");
    assert_eq!(asked(lost, |_| {}).await, (sent(lost), 5_000), "nothing is known");
    assert_eq!(asked(lost, hint("", 4)).await, (sent(""), 5_000), "nobody leads");
    assert_eq!(
        asked(lost, hint("10.0.0.1:7444", 4)).await,
        (sent("10.0.0.1:7444"), 5_000),
        "its own term does not begin"
    );
}
