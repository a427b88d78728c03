//! The stream to the operator: load up (each second, and at once on a step), cordons down.
//!
//! The worker answers whether the stream stands or not. A command with a lower epoch than one already obeyed is refused.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use springtide_proto::epoch::{Epoch, EpochGate};
use springtide_proto::fleet::fleet_client::FleetClient;
use springtide_proto::fleet::worker_command::Command;
use springtide_proto::fleet::worker_message::Message;
use springtide_proto::fleet::{
    CommandRefused, CordonAcknowledged, WorkerCommand, WorkerHello, WorkerLoad, WorkerMessage,
};
use springtide_proto::time::{duration_from_wire, duration_to_wire, timestamp_to_wire};
use springtide_runtime::leader::{CONNECT_TIMEOUT, Detached, LeaderFinder};
use springtide_runtime::tls::TlsMaterial;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::drain::Drain;
use crate::turn::Answering;

const HEARTBEAT: Duration = Duration::from_secs(1);
/// Messages that wait for the network, at most.
const OUTBOX: usize = 16;

/// Keeps the worker attached.
pub struct Attachment {
    /// What this worker is; sent first.
    pub hello: WorkerHello,
    /// What it does.
    pub answering: Arc<Answering>,
    /// Obeys cordons.
    pub drain: Arc<Drain>,
    /// Silence after which a conversation is parked.
    pub idle_after: Duration,
    /// To prove who it is.
    pub tls: TlsMaterial,
    /// The operator's headless service.
    pub fleet: String,
}

struct Session {
    gate: EpochGate,
    sequence: u64,
}

impl Attachment {
    /// Attaches to the leading operator, again and again, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut finder = LeaderFinder::new(self.fleet.clone());
        let mut session = Session {
            gate: EpochGate::default(),
            sequence: 0,
        };
        loop {
            let detached = tokio::select! {
                () = shutdown.cancelled() => return,
                detached = self.attach(&mut finder, &mut session) => detached,
            };
            finder.after(detached).await;
        }
    }

    async fn attach(&self, finder: &mut LeaderFinder, session: &mut Session) -> Detached {
        let Some(channel) = finder.connect(&self.tls).await else {
            return Detached::Unreachable;
        };
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let hello = WorkerMessage {
            message: Some(Message::Hello(WorkerHello {
                lost_leader: finder.lost_leader().to_owned(),
                ..self.hello.clone()
            })),
        };
        if outbox.send(hello).await.is_err() {
            return Detached::Unreachable;
        }
        let mut client = FleetClient::new(channel);
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
        let mut load = self.answering.conversations.load();
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        loop {
            let message = tokio::select! {
                _ = heartbeat.tick() => Some(self.load(session)),
                changed = load.changed() => match changed {
                    Ok(()) => { load.mark_unchanged(); Some(self.load(session)) }
                    Err(_) => return Detached::Ended("the worker ends".to_owned()),
                },
                command = commands.next() => match command {
                    None => return Detached::Ended("closed by the operator".to_owned()),
                    Some(Err(status)) => return Detached::Ended(status.message().to_owned()),
                    Some(Ok(WorkerCommand { command: None })) => None,
                    Some(Ok(WorkerCommand { command: Some(Command::NotLeader(other)) })) => {
                        return Detached::NotLeader(other.address);
                    }
                    Some(Ok(WorkerCommand { command: Some(command) })) => self.obey(&command, &mut session.gate),
                },
            };
            let Some(message) = message else { continue };
            if outbox
                .send(WorkerMessage {
                    message: Some(message),
                })
                .await
                .is_err()
            {
                return Detached::Ended("closed by the operator".to_owned());
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
        if let Err(highest) = gate.admit(epoch) {
            tracing::warn!(?epoch, ?highest, "command of an older epoch refused");
            return Some(Message::Refused(CommandRefused {
                refused: Some(epoch.into()),
                highest_seen: Some(highest.into()),
            }));
        }
        match command {
            Command::Cordon(cordon) => {
                self.drain.cordon(duration_from_wire(cordon.drain_deadline));
                Some(Message::CordonAcknowledged(CordonAcknowledged {
                    epoch: Some(epoch.into()),
                }))
            }
            Command::Uncordon(_) => {
                self.drain.uncordon();
                None
            }
            Command::Welcome(_) | Command::NotLeader(_) => None,
        }
    }

    fn load(&self, session: &mut Session) -> Message {
        session.sequence += 1;
        let conversations = &self.answering.conversations;
        let load = *conversations.load().borrow();
        let parked_in = conversations.parked_in(Instant::now(), self.idle_after);
        Message::Load(WorkerLoad {
            sequence: session.sequence,
            measured_at: Some(timestamp_to_wire(self.answering.clock.now())),
            active: load.active,
            accepting: load.accepting && !self.answering.spool.is_failing(),
            draining: load.draining,
            spooled: self.answering.spool.depth(),
            conversations_begun: load.begun,
            conversations_ended: load.ended,
            turns_answered: self.answering.turns_answered.load(Ordering::Relaxed),
            not_accepting_because: self.not_accepting_because(load.draining),
            ending: load.ending,
            parked_in: parked_in.map(duration_to_wire),
        })
    }

    fn not_accepting_because(&self, draining: bool) -> String {
        if draining {
            String::new()
        } else if self.answering.spool.is_failing() {
            "the spool cannot be written (is the disk full?)".to_owned()
        } else {
            self.answering
                .knowledge
                .trouble()
                .map(|trouble| format!("knowledge: {trouble}"))
                .unwrap_or_default()
        }
    }
}
