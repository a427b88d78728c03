//! One simulated gateway: reports what arrives, ends and waits at each pool of its tenant.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use springtide_proto::fleet::fleet_client::FleetClient;
use springtide_proto::fleet::gateway_command::Command;
use springtide_proto::fleet::gateway_message::Message;
use springtide_proto::fleet::{GatewayCommand, GatewayHello, GatewayLoad, GatewayMessage};
use springtide_proto::time::timestamp_to_wire;
use springtide_runtime::clock::{Clock as _, SystemClock, new_boot_id};
use springtide_runtime::leader::{CONNECT_TIMEOUT, Detached};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::fleet::{Pool, Tenant};
use super::link::{Connection, Link};

const HEARTBEAT: Duration = Duration::from_secs(1);
const OUTBOX: usize = 64;

/// A gateway in a fake Pod; the only one of its tenant, so that all conversations came through it.
pub(super) struct Gateway {
    pub(super) tenant: Arc<Tenant>,
    pub(super) pod: String,
    pub(super) uid: String,
    pub(super) node: String,
}

#[derive(Default)]
struct Session {
    boot: String,
    sequence: u64,
    /// How many waited when each pool was reported last.
    waiting: BTreeMap<String, u32>,
}

impl Gateway {
    /// Stays attached until it is dropped.
    pub(super) async fn run(self) {
        let link = Link::new(self.tenant.gateway_tls.clone(), Duration::ZERO);
        let mut session = Session {
            boot: new_boot_id(),
            ..Session::default()
        };
        loop {
            let connection = link.connection().await;
            let generation = connection.generation;
            let detached = self.attach(connection, &mut session).await;
            link.detached(generation, detached).await;
        }
    }

    async fn attach(&self, connection: Connection, session: &mut Session) -> Detached {
        let (outbox, messages) = mpsc::channel(OUTBOX);
        if send(
            &outbox,
            Message::Hello(self.hello(session, connection.lost_leader)),
        )
        .await
        .is_none()
        {
            return ended();
        }
        let mut client = FleetClient::new(connection.channel);
        let attached = client.attach_gateway(ReceiverStream::new(messages));
        match tokio::time::timeout(CONNECT_TIMEOUT, attached).await {
            Ok(Ok(commands)) => self.converse(commands.into_inner(), &outbox, session).await,
            Ok(Err(status)) => Detached::Ended(status.message().to_owned()),
            Err(_) => Detached::Unreachable,
        }
    }

    async fn converse(
        &self,
        mut commands: tonic::Streaming<GatewayCommand>,
        outbox: &mpsc::Sender<GatewayMessage>,
        session: &mut Session,
    ) -> Detached {
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        let mut changed = Box::pin(self.tenant.waiting.notified());
        loop {
            let all = tokio::select! {
                _ = heartbeat.tick() => true,
                () = &mut changed => {
                    changed.set(self.tenant.waiting.notified());
                    false
                }
                command = commands.next() => match command {
                    None | Some(Err(_)) => return ended(),
                    Some(Ok(GatewayCommand { command: Some(Command::NotLeader(other)) })) => {
                        return Detached::NotLeader(other.address);
                    }
                    // A simulated gateway goes by what its workers do, not by what it is told of them.
                    Some(Ok(_)) => continue,
                },
            };
            for pool in &self.tenant.pools {
                let news = session.waiting.get(&pool.name) != Some(&pool.counts().waiting);
                if (all || news) && send(outbox, report(session, pool)).await.is_none() {
                    return ended();
                }
            }
        }
    }

    fn hello(&self, session: &Session, lost_leader: String) -> GatewayHello {
        GatewayHello {
            tenant: self.tenant.name.clone(),
            pod: self.pod.clone(),
            pod_uid: self.uid.clone(),
            boot_id: session.boot.clone(),
            node: self.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pools: self.tenant.pools.iter().map(|pool| pool.name.clone()).collect(),
            lost_leader,
        }
    }
}

fn ended() -> Detached {
    Detached::Ended("closed by the operator".to_owned())
}

async fn send(outbox: &mpsc::Sender<GatewayMessage>, message: Message) -> Option<()> {
    let message = GatewayMessage {
        message: Some(message),
    };
    outbox.send(message).await.ok()
}

fn report(session: &mut Session, pool: &Pool) -> Message {
    session.sequence += 1;
    let counts = pool.counts();
    session.waiting.insert(pool.name.clone(), counts.waiting);
    Message::Load(GatewayLoad {
        sequence: session.sequence,
        measured_at: Some(timestamp_to_wire(SystemClock.now())),
        pool: pool.name.clone(),
        waiting: counts.waiting,
        oldest_wait: None,
        arrived: counts.arrived,
        ended: counts.ended,
        abandoned: 0,
        active: counts.active,
        spooled: 0,
    })
}
