//! One simulated worker: the stream of a real one (`worker/server/src/attach.rs`), with load as it is told.

use std::sync::Arc;
use std::time::Duration;

use springtide_proto::epoch::{Epoch, EpochGate};
use springtide_proto::fleet::fleet_client::FleetClient;
use springtide_proto::fleet::worker_command::Command;
use springtide_proto::fleet::worker_message::Message;
use springtide_proto::fleet::{CordonAcknowledged, WorkerCommand, WorkerHello, WorkerLoad, WorkerMessage};
use springtide_proto::time::timestamp_to_wire;
use springtide_runtime::clock::{Clock as _, SystemClock, new_boot_id};
use springtide_runtime::leader::{CONNECT_TIMEOUT, Detached};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::fleet::{Load, Pool};
use super::link::{Connection, Link};
use super::notes::Notes;

pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);
const OUTBOX: usize = 16;

/// A worker in a fake Pod.
pub(super) struct Worker {
    pub(super) pool: Arc<Pool>,
    pub(super) pod: String,
    pub(super) uid: String,
    pub(super) node: String,
    pub(super) address: String,
    pub(super) capacity: u32,
    pub(super) link: Arc<Link>,
    pub(super) notes: Notes,
}

struct Session {
    boot: String,
    gate: EpochGate,
    sequence: u64,
    load: watch::Receiver<Load>,
}

impl Worker {
    /// Stays attached until it is dropped.
    pub(super) async fn run(self, load: watch::Receiver<Load>) {
        let mut session = Session {
            boot: new_boot_id(),
            gate: EpochGate::default(),
            sequence: 0,
            load,
        };
        loop {
            let connection = self.link.connection().await;
            let generation = connection.generation;
            let detached = self.attach(connection, &mut session).await;
            self.link.detached(generation, detached).await;
        }
    }

    async fn attach(&self, connection: Connection, session: &mut Session) -> Detached {
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let hello = Message::Hello(self.hello(session, connection.lost_leader));
        if send(&outbox, hello).await.is_none() {
            return ended();
        }
        let mut client = FleetClient::new(connection.channel);
        let attached = client.attach_worker(ReceiverStream::new(messages));
        match tokio::time::timeout(CONNECT_TIMEOUT, attached).await {
            Ok(Ok(commands)) => self.converse(commands.into_inner(), &outbox, session).await,
            Ok(Err(status)) => Detached::Ended(status.message().to_owned()),
            Err(_) => Detached::Unreachable,
        }
    }

    async fn converse(
        &self,
        mut commands: tonic::Streaming<WorkerCommand>,
        outbox: &mpsc::Sender<WorkerMessage>,
        session: &mut Session,
    ) -> Detached {
        if send(outbox, report(session)).await.is_none() {
            return ended();
        }
        let mut heartbeat = tokio::time::interval_at(self.link.next_report(HEARTBEAT), HEARTBEAT);
        loop {
            let message = tokio::select! {
                _ = heartbeat.tick() => Some(report(session)),
                changed = session.load.changed() => match changed {
                    Ok(()) => Some(report(session)),
                    Err(_) => return ended(),
                },
                command = commands.next() => match command {
                    None | Some(Err(_)) => return ended(),
                    Some(Ok(WorkerCommand { command: Some(Command::NotLeader(other)) })) => {
                        return Detached::NotLeader(other.address);
                    }
                    Some(Ok(WorkerCommand { command })) => {
                        command.and_then(|command| self.obey(&command, &mut session.gate))
                    }
                },
            };
            if let Some(message) = message
                && send(outbox, message).await.is_none()
            {
                return ended();
            }
        }
    }

    fn obey(&self, command: &Command, gate: &mut EpochGate) -> Option<Message> {
        let epoch: Epoch = match command {
            Command::Welcome(welcome) => welcome.epoch?.into(),
            Command::Cordon(cordon) => cordon.epoch?.into(),
            Command::Uncordon(uncordon) => uncordon.epoch?.into(),
            Command::NotLeader(_) => return None,
        };
        if gate.admit(epoch).is_err() {
            self.notes.worker("refused", self);
            return None;
        }
        match command {
            Command::Cordon(_) => {
                self.notes.worker("cordon", self);
                self.pool.cordon(&self.uid, true);
                Some(Message::CordonAcknowledged(CordonAcknowledged {
                    epoch: Some(epoch.into()),
                }))
            }
            Command::Uncordon(_) => {
                self.notes.worker("uncordon", self);
                self.pool.cordon(&self.uid, false);
                None
            }
            Command::Welcome(_) | Command::NotLeader(_) => None,
        }
    }

    fn hello(&self, session: &Session, lost_leader: String) -> WorkerHello {
        WorkerHello {
            tenant: self.pool.tenant.clone(),
            pool: self.pool.name.clone(),
            pod: self.pod.clone(),
            pod_uid: self.uid.clone(),
            boot_id: session.boot.clone(),
            address: self.address.clone(),
            node: self.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capacity: self.capacity,
            lost_leader,
        }
    }
}

fn ended() -> Detached {
    Detached::Ended("closed by the operator".to_owned())
}

async fn send(outbox: &mpsc::Sender<WorkerMessage>, message: Message) -> Option<()> {
    let message = WorkerMessage {
        message: Some(message),
    };
    outbox.send(message).await.ok()
}

fn report(session: &mut Session) -> Message {
    session.sequence += 1;
    let load = *session.load.borrow_and_update();
    Message::Load(WorkerLoad {
        sequence: session.sequence,
        measured_at: Some(timestamp_to_wire(SystemClock.now())),
        active: load.active,
        accepting: !load.draining,
        draining: load.draining,
        spooled: 0,
        conversations_begun: load.begun,
        conversations_ended: load.ended,
        turns_answered: load.begun,
        not_accepting_because: String::new(),
        ending: false,
        parked_in: None,
    })
}
