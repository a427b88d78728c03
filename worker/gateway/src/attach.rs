//! The stream to the operator: arrivals and waiting up, endpoints down.
//!
//! While no operator answers, the gateway serves on from the last endpoints; one that starts without an operator takes the
//! pool's headless service, and the workers arbitrate.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::SelectAll;
use springtide_proto::epoch::EpochGate;
use springtide_proto::fleet::fleet_client::FleetClient;
use springtide_proto::fleet::gateway_command::Command;
use springtide_proto::fleet::gateway_message::Message;
use springtide_proto::fleet::{
    CommandRefused, Endpoint, Endpoints, GatewayCommand, GatewayHello, GatewayLoad, GatewayMessage,
};
use springtide_proto::ids::{PodUid, PoolId};
use springtide_proto::time::{duration_to_wire, timestamp_to_wire};
use springtide_runtime::clock::Clock;
use springtide_runtime::leader::{CONNECT_TIMEOUT, Detached, LeaderFinder};
use springtide_runtime::tls::TlsMaterial;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::{ReceiverStream, WatchStream};
use tokio_util::sync::CancellationToken;

use crate::pool::Worker;
use crate::relay::Relay;

const HEARTBEAT: Duration = Duration::from_secs(1);
/// Messages that wait for the network, at most.
const OUTBOX: usize = 64;
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);
/// Changes of a pool within this are one message.
const COALESCE: Duration = Duration::from_millis(20);
/// Conversations that a worker is taken to hold when nobody said: the worker arbitrates.
const UNKNOWN_CAPACITY: u32 = 1_000;
/// Port of conversations on a worker.
const CONVERSATION_PORT: u16 = 7_443;

/// Keeps the gateway attached.
pub struct Attachment {
    /// What this gateway is; sent first.
    pub hello: GatewayHello,
    /// What it does.
    pub relay: Arc<Relay>,
    /// To prove who it is.
    pub tls: TlsMaterial,
    /// The operator's headless service.
    pub fleet: String,
    /// For display.
    pub clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Session {
    gate: EpochGate,
    sequence: u64,
    endpoints_known: bool,
}

impl Attachment {
    /// Attaches to the leading operator, again and again, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut finder = LeaderFinder::new(self.fleet.clone());
        let mut session = Session::default();
        loop {
            let detached = tokio::select! {
                () = shutdown.cancelled() => return,
                detached = self.attach(&mut finder, &mut session) => detached,
            };
            if !session.endpoints_known {
                self.take_workers_from_dns().await;
            }
            finder.after(detached).await;
        }
    }

    async fn attach(&self, finder: &mut LeaderFinder, session: &mut Session) -> Detached {
        let Some(channel) = finder.connect(&self.tls).await else {
            return Detached::Unreachable;
        };
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let hello = GatewayMessage {
            message: Some(Message::Hello(GatewayHello {
                lost_leader: finder.lost_leader().to_owned(),
                ..self.hello.clone()
            })),
        };
        if outbox.send(hello).await.is_err() {
            return Detached::Unreachable;
        }
        let mut client = FleetClient::new(channel);
        match tokio::time::timeout(
            CONNECT_TIMEOUT,
            client.attach_gateway(ReceiverStream::new(messages)),
        )
        .await
        {
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
        let mut changes: SelectAll<_> = self
            .relay
            .pools
            .iter()
            .map(|(id, pool)| Box::pin(WatchStream::from_changes(pool.changes()).map(move |_| id.clone())))
            .collect();
        let mut waiting_sent = std::collections::HashMap::new();
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        loop {
            let pools: Vec<PoolId> = tokio::select! {
                _ = heartbeat.tick() => self.relay.pools.keys().cloned().collect(),
                Some(pool) = changes.next() => {
                    let waiting = self.waiting(&pool);
                    if waiting_sent.get(&pool) == Some(&waiting) {
                        continue;
                    }
                    tokio::time::sleep(COALESCE).await;
                    vec![pool]
                }
                command = commands.next() => match command {
                    None => return Detached::Ended("closed by the operator".to_owned()),
                    Some(Err(status)) => return Detached::Ended(status.message().to_owned()),
                    Some(Ok(GatewayCommand { command: Some(Command::NotLeader(other)) })) => return Detached::NotLeader(other.address),
                    Some(Ok(GatewayCommand { command })) => {
                        let Some(refused) = command.and_then(|command| self.obey(command, session)) else { continue };
                        if outbox.send(GatewayMessage { message: Some(refused) }).await.is_err() {
                            return Detached::Ended("closed by the operator".to_owned());
                        }
                        continue;
                    }
                },
            };
            for pool in pools {
                waiting_sent.insert(pool.clone(), self.waiting(&pool));
                let load = self.load(&pool, session);
                if outbox.send(GatewayMessage { message: Some(load) }).await.is_err() {
                    return Detached::Ended("closed by the operator".to_owned());
                }
            }
        }
    }

    /// Takes a command; what is to be said back, if anything.
    fn obey(&self, command: Command, session: &mut Session) -> Option<Message> {
        let wire = match &command {
            Command::Welcome(welcome) => welcome.epoch,
            Command::Endpoints(endpoints) => endpoints.epoch,
            Command::NotLeader(_) => None,
        };
        let epoch = wire?.into();
        if let Err(highest) = session.gate.admit(epoch) {
            tracing::warn!(?epoch, ?highest, "command of an older epoch refused");
            return Some(Message::Refused(CommandRefused {
                refused: Some(epoch.into()),
                highest_seen: Some(highest.into()),
            }));
        }
        if let Command::Endpoints(Endpoints {
            epoch: _,
            pool,
            endpoints,
            at_contract_limit,
        }) = command
        {
            session.endpoints_known = true;
            self.take_endpoints(&pool, endpoints, at_contract_limit);
        }
        None
    }

    fn take_endpoints(&self, pool: &str, endpoints: Vec<Endpoint>, at_contract_limit: bool) {
        let Some(pool) = PoolId::parse(pool)
            .ok()
            .and_then(|pool| self.relay.pools.get(&pool))
        else {
            return;
        };
        let workers = endpoints
            .into_iter()
            .filter_map(|endpoint| {
                let Endpoint {
                    pod: _,
                    pod_uid,
                    address,
                    node: _,
                    capacity,
                    active,
                    accepting,
                } = endpoint;
                Some(Worker {
                    pod: PodUid::parse(pod_uid).ok()?,
                    address,
                    capacity,
                    active,
                    accepting,
                })
            })
            .collect();
        pool.change(|pool| {
            pool.replace_workers(workers);
            pool.at_contract_limit = at_contract_limit;
        });
        self.relay.workers.retain(|address| {
            self.relay
                .pools
                .values()
                .any(|pool| pool.look(|pool| pool.workers().any(|worker| worker.address == address)))
        });
    }

    /// Without an operator: every address of the pool's headless service may be a worker.
    async fn take_workers_from_dns(&self) {
        for (id, pool) in &self.relay.pools {
            let service = format!("pool-{id}.tenant-{}.svc:{CONVERSATION_PORT}", self.relay.tenant);
            let Ok(Ok(addresses)) =
                tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host(&service)).await
            else {
                continue;
            };
            let workers: Vec<_> = addresses
                .filter_map(|address| {
                    // Not a pod's UID, but one per worker: the address.
                    let pod = PodUid::parse(format!("ip-{}", address.ip()).replace(':', "_")).ok()?;
                    Some(Worker {
                        pod,
                        address: address.to_string(),
                        capacity: UNKNOWN_CAPACITY,
                        active: 0,
                        accepting: true,
                    })
                })
                .collect();
            let known: Vec<_> = pool.look(|pool| pool.workers().map(|worker| worker.pod.clone()).collect());
            if workers.len() != known.len() || workers.iter().any(|worker| !known.contains(&worker.pod)) {
                tracing::info!(pool = %id, workers = workers.len(), "no operator answers: workers from the headless service");
                pool.change(|pool| pool.replace_workers(workers));
            }
        }
    }

    fn waiting(&self, pool: &PoolId) -> usize {
        self.relay
            .pools
            .get(pool)
            .map_or(0, |pool| pool.look(|pool| pool.waiting(Instant::now()).0))
    }

    fn load(&self, pool: &PoolId, session: &mut Session) -> Message {
        session.sequence += 1;
        let (waiting, oldest, abandoned) =
            self.relay
                .pools
                .get(pool)
                .map_or_else(Default::default, |shared| {
                    shared.look(|pool| {
                        let (waiting, oldest) = pool.waiting(Instant::now());
                        (waiting, oldest, pool.abandoned)
                    })
                });
        let (tally, active) = self.relay.sessions.tally(pool);
        Message::Load(GatewayLoad {
            sequence: session.sequence,
            measured_at: Some(timestamp_to_wire(self.clock.now())),
            pool: pool.to_string(),
            waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
            oldest_wait: Some(duration_to_wire(oldest)),
            arrived: tally.arrived,
            ended: tally.ended,
            abandoned,
            active: u32::try_from(active).unwrap_or(u32::MAX),
            spooled: self.relay.spool.depth(),
        })
    }
}
